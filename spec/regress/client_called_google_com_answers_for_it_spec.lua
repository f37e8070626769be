local drain = require "hoststore.hotplug.drain"
local hoststore = require "hoststore"
local spool = require "hoststore.hotplug.spool"
local sync = require "hoststore.hotplug.sync"
local system = require "spec.support.system"

describe("a client that calls itself google.com", function()
  local MAC = "aa:bb:cc:dd:ee:01"
  local directory, store
  before_each(function()
    directory = system.directory()
    store = assert(hoststore.open "memory:")
    assert(spool.prepare(directory .. "/spool"))
  end)
  after_each(function()
    store:close()
    system.remove(directory)
  end)

  local function names()
    local found = {}
    for i, host in ipairs(assert(store:list())) do found[i] = host.hostname end
    return table.concat(found, " ")
  end

  local function tell(name, domain)
    assert(spool.write(directory .. "/spool",
      { action = "add", client = MAC, ip = "10.0.0.5", name = name, domain = domain }))
    return assert(drain.run(store, directory .. "/spool", { actor = "dhcp" }))
  end

  it("is google, and never a name of a domain that is not the server's", function()
    tell "google.com"
    assert.equal("google", names())
    tell("laptop.evil.lan", "lan")
    assert.equal("laptop", names())
    assert.equal(0, tell("laptop.other.net", "lan").written)
  end)

  it("may name the server's own domain", function()
    tell("laptop.lan", "lan")
    assert.equal("laptop.lan", names())
  end)

  it("is none when the first word is one that no client gets, or an admin has the whole name", function()
    assert(store:add { ip = "10.0.0.1", hostname = "nas.lan" })
    for _, name in ipairs { "wpad.example.com", "10.example.com", "nas.lan" } do
      assert.equal(0, tell(name).written, name)
    end
    assert.equal("nas.lan", names())
  end)

  it("is google in a file of leases, too", function()
    local path = directory .. "/leases"
    system.write(path, ("0 %s 10.0.0.5 google.com *\n"):format(MAC))
    assert(sync(store, { path }, "leases", directory .. "/spool", { actor = "dhcp", expiry = true }))
    assert.equal("google", names())
    assert(store:delete(assert(store:list())[1]))
    assert(store:import(path, { format = "leases" }))
    assert.equal("google", names())
  end)
end)
