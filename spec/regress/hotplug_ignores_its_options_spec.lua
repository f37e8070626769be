-- `hoststore hotplug --db URL add …` wrote the lease to the database of the environment, and a client that called
-- itself like an option was taken for one.
local leases = require "spec.support.leases"
local spool = require "hoststore.hotplug.spool"
local system = require "spec.support.system"

local COMMAND = system.lua "lua/hoststore.command"
local CLIENT = "aa:bb:cc:dd:ee:01 10.0.0.5 "

describe("hoststore hotplug with options", function()
  local directory, path

  before_each(function() directory, path = leases.begin() end)
  after_each(leases.finish)

  local function run(words)
    return system.run(("HOSTSTORE_DB=%s/other.db HOSTSTORE_SPOOL=%s/other %s "):format(directory, directory, COMMAND)
      .. words)
  end

  local function assert_only_in_own()
    leases.wait_for_all(path)
    assert.is_nil(table.concat(system.files(directory), " "):find("other", 1, true))
  end

  for what, words in pairs {
    ["before the command"] = "--tenant site --actor router --db %s/hosts.db hotplug --spool %s add " .. CLIENT .. "nas",
    ["behind the command"] = "hotplug --db=%s/hosts.db --spool %s --tenant site --actor router add " .. CLIENT .. "nas",
    ["before --"] = "hotplug --db %s/hosts.db --spool %s --tenant site --actor router -- add " .. CLIENT .. "nas",
  } do
    it("takes them " .. what, function()
      assert.same({ "", 0 }, { run(words:format(directory, path)) })
      assert_only_in_own()
      leases.with_store("sqlite://" .. directory .. "/hosts.db?tenant=site", function(store)
        local host = assert(store:find("10.0.0.5", "nas"))
        assert.equal("router", assert(store:history(host.id))[1].actor)
      end)
      assert.equal(0, #leases.hosts(directory .. "/hosts.db"))
    end)
  end

  it("refuses with exit code 2 what it cannot heed, and takes no event then", function()
    local options = ("--db %s/hosts.db --spool %s "):format(directory, path)
    system.write(directory .. "/leases", "")
    for _, words in ipairs { "--readonly add " .. CLIENT, "--reason x add " .. CLIENT, "--drain add " .. CLIENT,
      "--readonly --drain", ("--readonly --leases %s/leases"):format(directory),
      ("--leases %s/leases %s/more"):format(directory, directory), "add " .. CLIENT .. "nas --readonly",
      "add " .. CLIENT .. "--db x", "dhcp --drain" } do
      local output, status = run("hotplug " .. options .. words)
      assert.equal(2, status, words .. ": " .. output)
    end
    assert.equal(2, select(2, run("hotplug add " .. CLIENT .. "nas --readonly")))
    assert.same({ "leases" }, system.files(directory))
  end)

  it("takes for data what a client calls itself", function()
    assert(spool.prepare(path))
    local lock = assert(require("hoststore.core").sys.lock(path .. "/lock"))
    local environment = ("HOSTSTORE_DB=%s/hosts.db HOSTSTORE_SPOOL=%s %s "):format(directory, path, COMMAND)
    local names = { "-x", "--drain", "--help", "--json", "--", "--db=x" }
    for _, name in ipairs(names) do
      for _, words in ipairs { "hotplug add ", "hotplug -- add ", "--actor me hotplug add " } do
        assert.same({ "", 0 }, { system.run(environment .. words .. CLIENT .. name) })
      end
    end
    lock:release()
    local waiting = assert(spool.waiting(path))
    assert.equal(3 * #names, #waiting)
    for i, name in ipairs(waiting) do
      assert.equal(names[math.floor((i - 1) / 3) + 1], assert(spool.read(path, name)).name)
    end
  end)
end)
