local command_line = require "spec.support.command_line"
local hoststore = require "hoststore"
local system = require "spec.support.system"

describe("a copy of a tenant that nobody has written to", function()
  local directory

  before_each(function()
    directory = system.directory()
    local store = assert(hoststore.open(directory .. "/a.db", { tenant = "site1" }))
    assert(store:add { ip = "10.0.0.1", hostname = "nas" })
    store:close()
  end)

  after_each(function() system.remove(directory) end)

  local function run(...)
    return command_line.run { ... }
  end

  it("is refused, and the message names it", function()
    local code, _, message = run("copy", directory .. "/a.db", directory .. "/b.db")
    assert.equal(3, code)
    assert.matches("'default'", message)
    assert.equal(3, (run("--db", directory .. "/a.db", "--tenant", "site2", "dump")))
    assert.equal(0, (run("copy", directory .. "/a.db", directory .. "/b.db", "--tenant", "site1")))
  end)

  it("goes to the tenant that the target's URL names", function()
    local target = "sqlite:" .. directory .. "/b.db?tenant=home"
    assert.equal(0, (run("copy", directory .. "/a.db", target, "--tenant", "site1")))
    local store = assert(hoststore.open(target))
    assert.equal(1, store:count())
    store:close()
  end)
end)
