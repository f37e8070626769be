-- `hoststore import --format uci /etc/config/dhcp` said nothing of the static leases, and left them out unless they had
-- `option dns '1'`.
local hoststore = require "hoststore"

local function section(options)
  local lines = { "config host" }
  for _, option in ipairs(options) do lines[#lines + 1] = "\toption " .. option end
  return table.concat(lines, "\n") .. "\n"
end

describe("an import of OpenWrt's static leases", function()
  local store
  before_each(function() store = assert(hoststore.open "memory:") end)
  after_each(function() store:close() end)

  local function import(options)
    local result = assert(store:import({ text = section(options) }, { format = "uci" }))
    return { result.created, result.failed }
  end

  it("makes hosts of those with a name and an address", function()
    assert.same({ 1, 0 }, import { "name 'nas'", "ip '192.168.1.2'", "mac '00:11:22:33:44:55'" })
    assert.truthy(store:find("192.168.1.2", "nas"))
    assert.same({ 1, 0 }, import { "name 'tv'", "ip '192.168.1.3'", "dns '1'" })
  end)

  it("leaves out those that are to have no name in the DNS, no name, or no address", function()
    for _, options in ipairs { { "name 'a'", "ip '192.168.1.2'", "dns '0'" }, { "name 'a'", "ip 'ignore'" },
      { "name 'a'", "mac '00:11:22:33:44:55'" }, { "ip '192.168.1.2'", "leasetime 'infinite'" } } do
      assert.same({ 0, 0 }, import(options))
    end
  end)

  it("names those that are to have a name in the DNS and lack what it takes", function()
    assert.same({ 0, 1 }, import { "name 'a'", "dns '1'" })
  end)
end)
