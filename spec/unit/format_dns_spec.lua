local dns = require "hoststore.format.dns"
local formats = require "hoststore.format"
local host = require "spec.support.host"
local written = require "spec.support.written"

local function write(name, list, options)
  return written(assert(formats.get(name, "write")), list, options)
end

local function lines(...)
  return table.concat({ ... }, "\n") .. "\n"
end

local HOSTS = {
  host { aliases = { "nas" }, comment = "in the cellar", tags = { "disk" } },
  host { ip = "10.0.0.2", aliases = { "my_alias" } },
  host { ip = "10.0.0.2", hostname = "printer", id = "host-01ARZ3NDEKTSV4RRFFQ69G5FAW" },
  host { ip = "2001:db8::1", id = "host-01ARZ3NDEKTSV4RRFFQ69G5FAX" },
  host { ip = "10.0.0.3", hostname = "off.lan", enabled = false },
  host { ip = "10.0.0.4", hostname = "gone.lan", expires_at = 100 },
}

local SOA = "$TTL 300\n@ IN SOA localhost. hostmaster.localhost. 1207 3600 600 604800 300\n@ IN NS localhost.\n"

local EXPECTED = {
  dnsmasq = lines(
    "host-record=nas.lan,nas,10.0.0.1",
    "host-record=nas.lan,my_alias,10.0.0.2",
    "host-record=printer,10.0.0.2",
    "host-record=nas.lan,2001:db8::1"),
  unbound = lines(
    "server:",
    'local-zone: "nas.lan." static',
    'local-data: "nas.lan. 300 IN A 10.0.0.1"',
    'local-zone: "nas." transparent',
    'local-data: "nas. 300 IN A 10.0.0.1"',
    'local-data-ptr: "10.0.0.1 300 nas.lan."',
    'local-data: "nas.lan. 300 IN A 10.0.0.2"',
    'local-zone: "my_alias." transparent',
    'local-data: "my_alias. 300 IN A 10.0.0.2"',
    'local-data-ptr: "10.0.0.2 300 nas.lan."',
    'local-zone: "printer." transparent',
    'local-data: "printer. 300 IN A 10.0.0.2"',
    'local-data: "nas.lan. 300 IN AAAA 2001:db8::1"',
    'local-data-ptr: "2001:db8::1 300 nas.lan."'),
  uci = lines(
    "set dhcp.hoststore_01ARZ3NDEKTSV4RRFFQ69G5FAV=domain",
    "set dhcp.hoststore_01ARZ3NDEKTSV4RRFFQ69G5FAV.name='nas.lan nas'",
    "set dhcp.hoststore_01ARZ3NDEKTSV4RRFFQ69G5FAV.ip='10.0.0.1'",
    "set dhcp.hoststore_01ARZ3NDEKTSV4RRFFQ69G5FAV=domain",
    "set dhcp.hoststore_01ARZ3NDEKTSV4RRFFQ69G5FAV.name='nas.lan my_alias'",
    "set dhcp.hoststore_01ARZ3NDEKTSV4RRFFQ69G5FAV.ip='10.0.0.2'",
    "set dhcp.hoststore_01ARZ3NDEKTSV4RRFFQ69G5FAW=domain",
    "set dhcp.hoststore_01ARZ3NDEKTSV4RRFFQ69G5FAW.name='printer'",
    "set dhcp.hoststore_01ARZ3NDEKTSV4RRFFQ69G5FAW.ip='10.0.0.2'",
    "set dhcp.hoststore_01ARZ3NDEKTSV4RRFFQ69G5FAX=domain",
    "set dhcp.hoststore_01ARZ3NDEKTSV4RRFFQ69G5FAX.name='nas.lan'",
    "set dhcp.hoststore_01ARZ3NDEKTSV4RRFFQ69G5FAX.ip='2001:db8::1'",
    "commit dhcp"),
  bind = SOA .. lines(
    "nas.lan. IN A 10.0.0.1",
    "nas IN A 10.0.0.1",
    "nas.lan. IN A 10.0.0.2",
    "printer IN A 10.0.0.2",
    "nas.lan. IN AAAA 2001:db8::1"),
  bind_reverse = SOA .. lines(
    "1.0.0.10.in-addr.arpa. IN PTR nas.lan.",
    "2.0.0.10.in-addr.arpa. IN PTR nas.lan.",
    "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa. IN PTR nas.lan."),
  pihole = lines(
    "10.0.0.1 nas.lan nas",
    "10.0.0.2 nas.lan my_alias",
    "10.0.0.2 printer",
    "2001:db8::1 nas.lan"),
  adguard = lines(
    "rewrites:",
    '  - domain: "nas.lan"', '    answer: "10.0.0.1"', "    enabled: true",
    '  - domain: "nas"', '    answer: "10.0.0.1"', "    enabled: true",
    '  - domain: "nas.lan"', '    answer: "10.0.0.2"', "    enabled: true",
    '  - domain: "my_alias"', '    answer: "10.0.0.2"', "    enabled: true",
    '  - domain: "printer"', '    answer: "10.0.0.2"', "    enabled: true",
    '  - domain: "nas.lan"', '    answer: "2001:db8::1"', "    enabled: true"),
}

local EMPTY = {
  dnsmasq = "", unbound = "server:\n", uci = "commit dhcp\n", bind = SOA, bind_reverse = SOA, pihole = "",
  adguard = "rewrites: []\n",
}

-- The sign that begins a comment; uci batch has none.
local SIGNS = { dnsmasq = "#", unbound = "#", bind = ";", bind_reverse = ";", pihole = "#", adguard = "#" }

local CLIENT_NAMES = {
  "a,b.lan", 'a"b', "a'b", "a\\b", "a/b", "a;b", "*", "*.lan", "a$b", "$(reboot)", "ä.lan", "a%b", "a:b", "a=b", "@",
  "a(b", "[a]", "-a", "a-", "a..b", ".a", ("a"):rep(64), ("a."):rep(127) .. "a",
}

for name, expected in pairs(EXPECTED) do
  describe("format " .. name, function()
    it("says of each enabled host that has not expired what it is to say, and no more", function()
      local text, count, skipped = write(name, HOSTS, { now = 100, position = 1207 })
      assert.equal(expected, text)
      assert.same({ 4, 0 }, { count, skipped })
    end)

    it("of no hosts is a file its program reads", function()
      assert.equal(EMPTY[name], (write(name, {}, { position = 1207 })))
    end)

    it("begins with a comment when asked for a header, if there are comments in it", function()
      local text = write(name, HOSTS, { now = 100, position = 1207, header = true })
      local header = SIGNS[name] and text:match("^" .. SIGNS[name] .. " [^\n]*\n") or ""
      assert.equal(header .. expected, text)
      assert.equal(SIGNS[name] == nil, header == "")
    end)

    it("leaves out a name that is not ASCII labels, and counts the hosts that have no other", function()
      for _, hostile in ipairs(CLIENT_NAMES) do
        local text, count, skipped = write(name, { host { hostname = hostile, aliases = { hostile .. "x,y" } } },
          { position = 1207 })
        assert.same({ EMPTY[name], 0, 1 }, { text, count, skipped })
        assert.equal((write(name, { host() })),
          (write(name, { host { aliases = { hostile } } })))
        assert.equal((write(name, { host() })), (write(name, { host { hostname = hostile, aliases = { "nas.lan" } } })))
      end
    end)
  end)
end

describe("format dnsmasq", function()
  it("never has a line that dnsmasq would cut, however many names a host has", function()
    local aliases = {}
    for i = 1, 50 do
      aliases[i] = ("%s.%s.%s.%s.a%02d"):format(("a"):rep(60), ("b"):rep(60), ("c"):rep(60), ("d"):rep(60), i)
    end
    local text = write("dnsmasq", { host { ip = "2001:db8:1111:2222:3333:4444:5555:6666", aliases = aliases } })
    local named = 0
    for line in text:gmatch("[^\n]*\n") do
      assert.is_true(#line <= 1024)
      assert.matches("^host%-record=[^=]+,2001:db8:1111:2222:3333:4444:5555:6666\n$", line)
      named = named + select(2, line:gsub(",", ""))
    end
    assert.equal(51, named)
  end)
end)

for _, name in ipairs { "bind", "bind_reverse" } do
  describe("format " .. name, function()
    it("leaves out names with an underscore, for which a server refuses the zone", function()
      local text, count, skipped = write(name, { host { hostname = "my_host.lan" } }, { position = 1207 })
      assert.same({ SOA, 0, 1 }, { text, count, skipped })
    end)

    it("has a serial that goes on from 0 behind 32 bits", function()
      for position, serial in pairs { [0] = "0", [4294967295] = "4294967295", [4294967296] = "0",
        [4294967300] = "4" } do
        assert.equal(serial, write(name, {}, { position = position }):match("hostmaster%.localhost%. (%d+) 3600"))
      end
    end)
  end)
end

describe("format bind_reverse", function()
  it("points at a whole name of the host, if it has one", function()
    local list = { host { hostname = "nas", aliases = { "disk", "nas.lan", "disk.lan" } },
      host { ip = "10.0.0.2", hostname = "printer" } }
    assert.equal(SOA .. lines("1.0.0.10.in-addr.arpa. IN PTR nas.lan.", "2.0.0.10.in-addr.arpa. IN PTR printer."),
      (write("bind_reverse", list, { position = 1207 })))
  end)
end)

describe("the name under which an address is looked up", function()
  it("has all digits of it, backwards", function()
    local zeros = ("0."):rep(20)
    for ip, name in pairs {
      ["192.168.1.20"] = "20.1.168.192.in-addr.arpa",
      ["::"] = ("0."):rep(32) .. "ip6.arpa",
      ["::1"] = "1." .. ("0."):rep(31) .. "ip6.arpa",
      ["fe80::"] = ("0."):rep(28) .. "0.8.e.f.ip6.arpa",
      ["2001:db8:1:2:3:4:5:6"] = "6.0.0.0.5.0.0.0.4.0.0.0.3.0.0.0.2.0.0.0.1.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa",
      ["2001:db8::a:1"] = "1.0.0.0.a.0.0.0." .. ("0."):rep(16) .. "8.b.d.0.1.0.0.2.ip6.arpa",
      ["::ffff:1.2.3.10"] = "a.0.3.0.2.0.1.0.f.f.f.f." .. zeros .. "ip6.arpa",
    } do
      assert.equal(name, dns.reverse_name(ip))
    end
  end)
end)

describe("formats that are only written", function()
  it("are no formats to read, and an unknown one is answered with those that are written", function()
    for name in pairs(EXPECTED) do
      assert.equal(name == "uci", (formats.get(name)) ~= nil)
    end
    local _, err = formats.get("yaml", "write")
    assert.equal("'yaml' is no known format; there are hosts, json, ndjson, csv, dnsmasq, unbound, uci, bind, " ..
      "bind_reverse, pihole, adguard", tostring(err))
  end)
end)
