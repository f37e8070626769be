-- Events of one transaction are reduced to their outcome. A lease was lost when the end of the client's lease before
-- was told of behind it; and a client whose new name was taken by another got its old one back.
local drain = require "hoststore.hotplug.drain"
local hoststore = require "hoststore"
local spool = require "hoststore.hotplug.spool"
local system = require "spec.support.system"

local MAC1, MAC2 = "aa:bb:cc:dd:ee:01", "aa:bb:cc:dd:ee:02"

describe("a swarm of leases", function()
  local directory, store

  before_each(function()
    directory = system.directory()
    store = assert(hoststore.open("memory:", { policies = false }))
  end)
  after_each(function()
    store:close()
    system.remove(directory)
  end)

  local function tell(action, client, ip, name, more)
    local event = { action = action, client = client, ip = ip, name = name }
    for key, value in pairs(more or {}) do event[key] = value end
    assert(spool.write(directory .. "/spool", event))
  end

  local function outcome(options)
    assert(drain.run(store, directory .. "/spool", options))
    local lines = {}
    for i, host in ipairs(assert(store:list())) do lines[i] = host.ip .. " " .. host.hostname end
    return lines
  end

  for _, expiry in ipairs { true, false } do
    it("has the lease that began, though the end of the one before came late; ends are kept: " .. tostring(expiry),
      function()
        tell("add", MAC1, "10.0.0.1", "laptop", { expires = "4102444800" })
        tell("del", MAC1, "10.0.0.1", nil, { expires = "4102441200" })
        assert.same({ "10.0.0.1 laptop" }, outcome { expiry = expiry })
        tell("add", MAC1, "10.0.0.1", "laptop", { expires = "4102444800" })
        tell("del", MAC1, "10.0.0.1", nil, { expires = "4102444800" })
        assert.same({}, outcome { expiry = expiry })
      end)
  end

  it("ends a lease whose end dnsmasq had reckoned with a clock that was wrong", function()
    tell("add", MAC1, "10.0.0.1", "laptop", { expires = "43200", remaining = "3600" })
    assert.same({ "10.0.0.1 laptop" }, outcome())
    tell("del", MAC1, "10.0.0.1", nil, { expires = "43200" })
    assert.same({}, outcome())
  end)

  it("gives no old name back to a client that lost its new one", function()
    tell("add", MAC1, "10.0.0.1", "old")
    tell("old", MAC1, "10.0.0.1", "new")
    tell("old", MAC1, "10.0.0.1", nil, { lost = "new" })
    tell("add", MAC2, "10.0.0.2", "new")
    assert.same({ "10.0.0.2 new" }, outcome())
  end)
end)
