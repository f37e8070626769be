-- An import of a file said to be odhcpd's did not end: a long word in the place of addresses was looked through
-- anew from each of its bytes.
local hoststore = require "hoststore"

describe("an import of odhcpd's file", function()
  it("ends, whatever stands in the place of the addresses", function()
    local store = assert(hoststore.open(":memory:"))
    local line = "# br-lan aabbccddee01 ipv4 laptop -1 c0a80132 32 "
    local result = assert(store:import({ text = line .. ("a"):rep(250000) .. "\n" .. line .. "192.168.1.50/32 x/y\n" },
      { format = "odhcpd" }))
    assert.same({ 1, 0 }, { result.created, result.failed })
    assert.is_not_nil(store:find("192.168.1.50", "laptop"))
    store:close()
  end)
end)
