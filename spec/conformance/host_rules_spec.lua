local expect = require "spec.support.expect"

local function many(count, make)
  local list = {}
  for i = 1, count do
    list[i] = make(i)
  end
  return list
end

local function alias(i)
  return "alias-" .. i
end

for _, backend in ipairs(require "spec.support.backends") do
  describe(backend.name .. ": the rules of a host", function()
    local store
    before_each(function() store = backend.open() end)
    after_each(backend.finish)

    -- Adds a host with one field set, and deletes it again.
    local function try(field, value)
      local given = { ip = "10.0.0.2", hostname = "nas.lan" }
      given[field] = value
      local host, err = store:add(given)
      if host then
        assert(store:delete(host))
      end
      return host, err
    end

    local function accepts(field, given, wanted)
      local host, err = try(field, given)
      assert.is_truthy(host, tostring(err))
      if wanted == nil then
        wanted = given
      end
      assert.same(wanted, host[field])
    end

    local function refuses(field, value)
      local host, err = try(field, value)
      return expect.invalid(field, host, err)
    end

    -- The same rule holds for an update.
    local function refuses_update(field, value)
      local host = assert(store:find("10.9.9.9", "fixed") or store:add { ip = "10.9.9.9", hostname = "fixed" })
      expect.invalid(field, store:update(host, { [field] = value }))
    end

    it("an address is IPv4 or IPv6, written as RFC 5952 says", function()
      for given, wanted in pairs {
        ["0.0.0.0"] = "0.0.0.0", ["255.255.255.255"] = "255.255.255.255", ["::"] = "::", ["::1"] = "::1",
        ["2001:0db8:0000:0000:0000:0000:0000:0001"] = "2001:db8::1", ["2001:DB8::A"] = "2001:db8::a",
        ["1:0:0:2:0:0:0:3"] = "1:0:0:2::3", ["1:0:0:2:3:0:0:4"] = "1::2:3:0:0:4",
        ["1:2:3:4:5:6:0:7"] = "1:2:3:4:5:6:0:7",
        ["fe80:0::"] = "fe80::", ["::ffff:1.2.3.4"] = "::ffff:1.2.3.4", ["::FFFF:0102:0304"] = "::ffff:1.2.3.4",
        ["64:ff9b::1.2.3.4"] = "64:ff9b::102:304",
      } do
        accepts("ip", given, wanted)
      end
    end)

    it("nothing else is an address", function()
      for _, text in ipairs {
        "", " ", "1.2.3", "1.2.3.4.5", "1.2.3.256", "01.2.3.4", "1.2.3.04", "1.2.3.4 ", " 1.2.3.4", "1.2.3.4\n",
        "0x7f.0.0.1",
        "10.0.0.1/24", "nas.lan", "1.2.3.-4", "１.2.3.4", ":::", "1::2::3", "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9",
        "12345::", "g::",
        "fe80::1%eth0", "[::1]", "1.2.3.4\0", "\0",
      } do
        refuses("ip", text)
      end
      refuses_update("ip", "fe80::1%eth0")
    end)

    it("says what is wrong and what would be right", function()
      local err = refuses("ip", "192.168.1.300")
      assert.matches("192%.168%.1%.300", err.message)
      assert.matches("2001:db8::2", err.message)
      err = refuses("ip", "fe80::1%eth0")
      assert.matches("zone", err.message)
      -- Nothing of it can steer a terminal.
      err = refuses("hostname", "bad\27[31m\nname")
      assert.is_nil(err.message:find("[%z\1-\31\127]"))
    end)

    it("a hostname is labels of letters, digits, '-' and '_'", function()
      local label = ("a"):rep(63)
      for given, wanted in pairs {
        ["a"] = "a", ["NAS.Lan"] = "nas.lan", ["nas.lan."] = "nas.lan", ["_srv._tcp.lan"] = "_srv._tcp.lan",
        ["a-b.c_d"] = "a-b.c_d", ["4ever"] = "4ever", ["xn--bcher-kva.example"] = "xn--bcher-kva.example",
        ["1.2.3.4a"] = "1.2.3.4a", [label] = label,
        [("a."):rep(126) .. "a"] = ("a."):rep(126) .. "a",
      } do
        accepts("hostname", given, wanted)
      end
    end)

    it("nothing else is a hostname", function()
      for _, text in ipairs {
        "", ".", "..", ".a", "a..b", "a.b..", "-a", "a-", "a.-b", "a-.b", "a b", "a\tb", "a\nb", "a#b", "a,b", "a/b",
        "a;b", "a'b",
        "*", "*.lan", "a$b", "bücher", "\255", "a\0b", ("a"):rep(64), ("a."):rep(126) .. "aa", "1.2.3.4", "10.0.0.1.",
        "127.1", "::1", "a:b", "a%b", "a\\b", "$(reboot)", "\226\128\174",
      } do
        refuses("hostname", text)
      end
      refuses_update("hostname", "a b")
    end)

    it("needs an address and a hostname", function()
      expect.invalid("ip", store:add { hostname = "nas.lan" })
      expect.invalid("hostname", store:add { ip = "10.0.0.2" })
    end)

    it("has at most 50 aliases, by the rules of hostnames, none twice", function()
      accepts("aliases", {})
      accepts("aliases", { "B.", "a" }, { "b", "a" })
      accepts("aliases", many(50, alias))
      refuses("aliases", many(51, alias))
      refuses("aliases", { "a", "b", "A." })
      refuses("aliases", { "nas.lan" })
      refuses("aliases", { "a", "NAS.lan." })
      for _, text in ipairs { "", "a b", "-a", "1.2.3.4", "a\0b", "a#", ("a"):rep(64) } do
        refuses("aliases", { text })
      end
      refuses_update("aliases", { "fixed" })
    end)

    it("cannot be renamed to one of its aliases", function()
      local host = assert(store:add { ip = "10.0.0.3", hostname = "a", aliases = { "b" } })
      expect.failure("invalid", store:update(host, { hostname = "b" }))
      host = assert(store:update(host, { hostname = "b", aliases = { "a" } }))
      assert.same({ "b", { "a" } }, { host.hostname, host.aliases })
    end)

    it("has a comment of up to 16 KiB of UTF-8", function()
      accepts("comment", "a")
      accepts("comment", "line\nline\ttab # [tag] \\ \"quoted\" \27")
      accepts("comment", "für den Flur ☃ 𝄞")
      accepts("comment", ("x"):rep(16384))
      refuses("comment", ("x"):rep(16385))
      refuses("comment", "a\0b")
      refuses("comment", "\0")
      refuses("comment", "\255")
      refuses("comment", "\192\128")
      refuses("comment", "\237\160\128")
      refuses("comment", "\244\144\128\128")
      refuses("comment", "cut off \226\130")
      refuses_update("comment", "\255")
    end)

    it("has no comment when the comment is empty", function()
      assert.is_nil(assert(store:add { ip = "10.0.0.3", hostname = "a", comment = "" }).comment)
      local host = assert(store:add { ip = "10.0.0.3", hostname = "b", comment = "c" })
      assert.is_nil(assert(store:update(host, { comment = "" })).comment)
    end)

    it("has at most 64 tags of 1 to 128 bytes, a sorted set", function()
      accepts("tags", { "b", "a", "B", "ä", "a" }, { "B", "a", "b", "ä" })
      accepts("tags", { "two words", "#", "]", "a:b", "'" }, { "#", "'", "]", "a:b", "two words" })
      accepts("tags", { ("x"):rep(128) })
      local tags = many(64, function(i) return ("t%02d"):format(i) end)
      accepts("tags", tags)
      tags[65] = "t01"
      accepts("tags", tags, many(64, function(i) return ("t%02d"):format(i) end))
      tags[65] = "t65"
      refuses("tags", tags)
      for _, tag in ipairs { "", ("x"):rep(129), "a,b", "a\nb", "\1", "\127", "a\0b", "\255", "\194\133" } do
        refuses("tags", { tag })
      end
      refuses_update("tags", { "a,b" })
    end)

    it("expires at a time in seconds or ISO 8601", function()
      accepts("expires_at", 0)
      accepts("expires_at", 1800000000.123456)
      for text, seconds in pairs {
        ["2026-01-31T12:00:00Z"] = 1769860800, ["2026-01-31 12:00:00"] = 1769860800, ["2026-01-31"] = 1769817600,
        ["2026-01-31T12:00:00.5+02:00"] = 1769853600.5, ["2024-02-29T23:59:59Z"] = 1709251199,
        ["2026-01-31T12:00:00-05:30"] = 1769880600, ["1970-01-01T00:00:00.000001Z"] = 0.000001,
        ["2026-01-31t12:00:00z"] = 1769860800,
      } do
        accepts("expires_at", text, seconds)
      end
      for _, text in ipairs {
        "", "tomorrow", "2026-02-29", "2026-13-01", "2026-00-01", "2026-01-00", "2026-01-31T24:00:00",
        "2026-01-31T12:60:00",
        "2026-1-1", "20260131", "2026-01-31T12:00:00X", "2026-01-31T12:00:00+25:00", " 2026-01-31", "2026-01-31\n",
      } do
        refuses("expires_at", text)
      end
      refuses("expires_at", -1)
      refuses("expires_at", 1e15)
      refuses("expires_at", 0 / 0)
      refuses("expires_at", math.huge)
      refuses_update("expires_at", "never")
    end)

    it("belongs to admin, dhcp or import:NAME", function()
      for _, origin in ipairs { "admin", "dhcp", "import:lan", "import:a b" } do
        accepts("origin", origin)
      end
      for _, origin in ipairs { "", "root", "Admin", "import", "import:", "import:a\nb", "dhcp ", "admin\0" } do
        refuses("origin", origin)
      end
      refuses_update("origin", "root")
    end)
  end)

  describe(backend.name .. ": names = 'lenient'", function()
    local store
    before_each(function() store = backend.open { names = "lenient" } end)
    after_each(backend.finish)

    it("accepts any UTF-8 without space, control characters and '#'", function()
      for i, name in ipairs { "bücher.lan", "*.lan", "a..b", "-a-", "$(reboot)", "a;b", ("a"):rep(64), "☃",
        "a:b" } do
        local host = assert(store:add { ip = "10.0.0." .. i, hostname = name, aliases = { "x!" } })
        assert.equal(name, host.hostname)
        assert.equal(host.id, store:find(host.ip, name).id)
        assert.same({ host.id }, expect.pluck(store:lookup("x!"), "id"))
        assert(store:delete(host))
      end
    end)

    it("refuses the rest", function()
      for _, name in ipairs { "", "a b", "a\tb", "a\nb", "a#b", "\255", "a\0b", "\194\133", "1.2.3.4", "::1",
        ("a"):rep(254) } do
        expect.invalid("hostname", store:add { ip = "10.0.0.1", hostname = name })
        expect.invalid("aliases", store:add { ip = "10.0.0.1", hostname = "a", aliases = { name } })
      end
    end)
  end)
end
