-- `retention { name = "x", count = -1 }` passed policy check, and deleted all snapshots.
local expect = require "spec.support.expect"
local hoststore = require "hoststore"
local policy = require "hoststore.policy"
local system = require "spec.support.system"

describe("a retention rule with a value that is none", function()
  local directory
  before_each(function() directory = system.directory() end)
  after_each(function() system.remove(directory) end)

  it("is refused with its line, and nothing is deleted", function()
    local store = assert(hoststore.open("memory:", { policies = directory }))
    assert(store:snapshot())
    for given, message in pairs {
      ["count = -1"] = "retention 'x': count must be a whole number, not negative, not '-1'",
      ["count = 1.5"] = "count must be a whole number", ["count = 0/0"] = "count must be a whole number",
      ["count = 1/0"] = "count must be a whole number", ['count = "3"'] = "count must be a whole number",
      ["age = -1"] = "age must be seconds", ["age = 0/0"] = "age must be seconds",
      ['age = "1y"'] = "age must be seconds",
      ["gfs = { daily = -1 }"] = "gfs: daily must be a whole number", ["gfs = { daily = 0.5 }"] = "gfs: daily must be",
      ["gfs = { dayly = 7 }"] = "gfs has an unknown key 'dayly'", ["gfs = {}"] = "gfs needs one of",
      ["gfs = 7"] = "gfs must be a table", ["expired_hosts = { after = -1 }"] = "expired_hosts: after must be",
      ["expired_hosts = { atfer = 1 }"] = "expired_hosts has an unknown key 'atfer'",
      ['trigger = "manual"'] = "retention 'x' needs count, age, gfs, keep or expired_hosts",
      ['trigger = "manual", expired_hosts = "remove"'] = "has a trigger, but says nothing of snapshots",
      ['count = 3, filter = { tags = "x" }'] = "has a filter of hosts, but no expired_hosts",
      ["filter = { ip = '10.0.0.300' }, expired_hosts = 'remove'"] = "retention 'x': the filter: ip must be an address",
    } do
      system.write(directory .. "/a.lua", ("\nretention { name = 'x', %s }\n"):format(given))
      local err = assert(policy.check(directory))[1].errors[1]
      assert.matches("^a%.lua:2: ", err.message)
      assert.matches(message, err.message, 1, true)
      expect.failure("policy", store:apply_policy_retention())
      assert.equal(1, #store:snapshots())
    end
    store:close()
  end)
end)
