-- A directory in the place of the spool that another user had made was refused for a new event, but what was in it
-- became hosts with the next event of an interface; and bringing in files of leases wrote the note about the
-- clock there, through a link if there was one, over any file.
local hotplug = require "hoststore.hotplug"
local leases = require "spec.support.leases"
local system = require "spec.support.system"

describe("a spool that another user could write to", function()
  local directory, path, environment

  before_each(function()
    directory, path = leases.begin()
    environment = ("HOSTSTORE_DB=%s/hosts.db HOSTSTORE_SPOOL=%s "):format(directory, path)
    system.run("mkdir -m 0777 " .. path)
    system.write(path .. "/0000000001000000000-1-0000000000",
      "action add\nclient aa:bb:cc:dd:ee:01\nip 10.0.0.1\nname forged\nend\n")
    system.run("echo keep >" .. directory .. "/victim && ln -s ../victim " .. path .. "/.clock")
  end)
  after_each(leases.finish)

  it("gives no leases away when an interface comes up", function()
    system.run(environment .. system.lua("lua/hoststore.command", "hotplug", "iface"))
    leases.wait_for_drainer(path)
    assert.same({}, leases.hosts(directory .. "/hosts.db"))
  end)

  it("is not written to when files of leases are brought in", function()
    system.write(directory .. "/leases", "0 aa:bb:cc:dd:ee:02 10.0.0.2 real *\n")
    local result, err = hotplug.sync(directory .. "/leases", { db = directory .. "/hosts.db", spool = path })
    assert.is_nil(result)
    assert.is_truthy(err.message:find("others may write to it", 1, true))
    assert.equal("keep\n", system.read(directory .. "/victim"))
  end)
end)
