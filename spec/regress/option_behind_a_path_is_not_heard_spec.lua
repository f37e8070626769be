local expect = require "spec.support.expect"
local hoststore = require "hoststore"
local system = require "spec.support.system"

describe("a plain path with an option behind it", function()
  it("is refused, as the option would not be heard", function()
    local err = expect.failure("invalid_url", hoststore.open "hosts.db?policies=/etc/hoststore/policies")
    assert.equal("'hosts.db?policies=/etc/hoststore/policies' is a path with options; write "
      .. "sqlite:hosts.db?policies=/etc/hoststore/policies", err.message)
  end)

  it("may hold a '?' of its own", function()
    local directory = system.directory()
    local store = assert(hoststore.open(directory .. "/what?.db"))
    store:close()
    assert.equal("what?.db", system.files(directory)[1])
    system.remove(directory)
  end)
end)
