local formats = require "hoststore.format"
local hoststore = require "hoststore"
local lines = require "hoststore.lines"

local uci = formats.get("uci")

local function read(text)
  local records = {}
  for number, entry, message in uci.read(assert(lines.open { text = text }), {}) do
    records[#records + 1] = { number, entry or message }
  end
  return records
end

local function entry(ip, hostname, ...)
  return { ip = ip, hostname = hostname, aliases = { ... } }
end

describe("OpenWrt's configuration, read", function()
  it("gives the domains, and the static leases that have a name and an address", function()
    assert.same({
      { 5, entry("192.168.1.2", "nas.lan", "nas") },
      { 9, entry("2001:db8::1", "Printer") },
      { 13, entry("192.168.1.3", "tv") },
      { 19, entry("192.168.1.4", "phone") },
      { 25, entry("192.168.1.9", "last.lan") },
    }, read [[
config dnsmasq
	option domain 'lan'
	list server '192.168.1.1'

config domain
	option name 'nas.lan nas'
	option ip '192.168.1.2'

config domain "printer" # by hand
  option ip "2001:db8::1"   # with a comment
  option name Printer

config host
	option name 'tv'
	option dns '1'
	option mac '00:11:22:33:44:55'
	option ip '192.168.1.3'

config host
	option name 'phone'
	option ip '192.168.1.4'

# config domain

config domain
	option 'name' 'last.lan'
	option 'ip' '192.168.1.9']])
  end)

  it("has words with quotes of both kinds, within a word too, and backslashes", function()
    assert.same({ { 1, entry("10.0.0.1", "a'b\"c#d", "e") } },
      read "config domain\r\noption name a\"'\"b'\"'c'#'d\\ \"e\"#f\r\n option ip 1'0.'0\".0.1\"\r\n")
  end)

  it("may be what uci show says, and what our own export does", function()
    assert.same({
      { 2, entry("10.0.0.1", "a.lan", "b", "c") },
      { 6, entry("10.0.0.2", "d.lan") },
    }, read [[
dhcp.lan=dhcp
dhcp.cfg01411c=domain
dhcp.cfg01411c.name='a.lan' 'b c'
dhcp.cfg01411c.ip='10.0.0.1'
dhcp.other.ip='10.0.0.9'
set dhcp.x=domain
set dhcp.x.name='d.lan'
set dhcp.x.ip='10.0.0.2'
commit dhcp
]])
  end)

  it("reports a line of several statements", function()
    assert.same({ { 1, "a ';' ends the statement; write one in a line" } }, read "config domain; option name x\n")
  end)

  it("names the section that lacks something, and the line with an open quote, and goes on", function()
    assert.same({
      { 1, "the section 'domain' has no ip" },
      { 3, "the section 'domain' has no name" },
      { 6, "a quote is not closed" },
      { 5, entry("10.0.0.3", "c") },
    }, read("config domain\noption name a\nconfig domain\noption ip 10.0.0.1\nconfig domain\noption name 'x\n" ..
      "option name c\noption ip 10.0.0.3\n"))
  end)

  it("takes time in proportion to a hostile line", function()
    local before = os.clock()
    for _, piece in ipairs { "'", '"', "\\", " ", "''", "'a'", "#", "a'b'", "\t", ".", "=" } do
      read("config domain\noption name a" .. piece:rep(80000) .. "\n")
      read("set dhcp.x" .. piece:rep(80000) .. "\n")
    end
    assert.is_true(os.clock() - before < 5)
  end)
end)

describe("OpenWrt's configuration", function()
  it("brings back the names and addresses it was written of", function()
    local store = assert(hoststore.open "memory:")
    assert(store:add { ip = "10.0.0.1", hostname = "nas.lan", aliases = { "nas", "files" }, comment = "kept" })
    assert(store:add { ip = "2001:db8::1", hostname = "my_host" })
    local text = assert(store:export "uci")
    local result = assert(store:import({ text = text }, { format = "uci", mode = "replace" }))
    assert.same({ 2, 2, 0 }, { result.processed, result.unchanged, result.failed })
    local copy = assert(hoststore.open "memory:")
    assert.equal(2, assert(copy:import({ text = text }, { format = "uci", mode = "strict" })).created)
    assert.equal(store:export "dnsmasq", copy:export "dnsmasq")
    copy:close()
    store:close()
  end)
end)
