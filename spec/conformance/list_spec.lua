local expect = require "spec.support.expect"

-- Seconds at which the hosts below were created, and one of them was updated.
local T = { 1000, 2000, 3000, 4000, 5000, 6000, 7000 }

local HOSTS = {
  { ip = "10.0.0.10", hostname = "nas.lan", aliases = { "store.lan", "Backup" }, comment = "In the Cellar",
    tags = { "server", "disk" } },
  { ip = "10.0.0.9", hostname = "printer.lan", tags = { "server" }, origin = "dhcp" },
  { ip = "192.168.1.1", hostname = "gw", comment = "100% _up_ *now*", enabled = false },
  { ip = "2001:db8::1", hostname = "gw", tags = { "v6", "server" } },
  { ip = "10.0.1.10", hostname = "a.example.com", aliases = { "nas2" }, origin = "import:lan",
  expires_at = 4000000000 },
  { ip = "2001:db8::a", hostname = "b_x.lan", tags = { "a%b", "disk" } },
}

for _, backend in ipairs(require "spec.support.backends") do
  describe(backend.name .. ": list", function()
    local store, time, hosts
    before_each(function()
      store = backend.open { clock = function() return time end }
      hosts = {}
      for i, given in ipairs(HOSTS) do
        time = T[i]
        hosts[i] = assert(store:add(given))
      end
      time = T[7]
      hosts[2] = assert(store:update(hosts[2], { comment = "updated" }))
    end)
    after_each(backend.finish)

    -- The numbers in HOSTS of the hosts a filter gives. Every way to read must agree: list, count
    -- and hosts, of the store and of the view of now.
    local function numbers(filter)
      local found = {}
      for i, host in ipairs(assert(store:list(filter))) do
        for number, known in ipairs(hosts) do
          if known.id == host.id then
            found[i] = number
          end
        end
      end
      local view = assert(store:at { position = 7 })
      assert.same(expect.pluck(store:list(filter), "id"), expect.pluck(assert(view:list(filter)), "id"))
      for _, reader in ipairs { store, view } do
        local ids = {}
        for host in reader:hosts(filter) do
          ids[#ids + 1] = host.id
        end
        assert.same(expect.pluck(store:list(filter), "id"), ids)
        if not (filter and (filter.limit or filter.offset or filter.after)) then
          assert.equal(#found, reader:count(filter))
        end
      end
      return found
    end

    it("gives all hosts in the numeric order of addresses", function()
      assert.same({ 2, 1, 5, 3, 4, 6 }, numbers())
      assert.same({ 2, 1, 5, 3, 4, 6 }, numbers {})
    end)

    it("filters by address and by network", function()
      assert.same({ 2 }, numbers { ip = "10.0.0.9" })
      assert.same({ 4 }, numbers { ip = "2001:DB8:0::1" })
      assert.same({ 2, 1 }, numbers { ip = "10.0.0.0/24" })
      assert.same({ 2, 1, 5 }, numbers { ip = "10.0.0.0/8" })
      assert.same({ 2, 1, 5 }, numbers { ip = "10.99.0.1/8" })
      assert.same({ 2, 1, 5, 3 }, numbers { ip = "0.0.0.0/0" })
      assert.same({ 4, 6 }, numbers { ip = "::/0" })
      assert.same({ 4, 6 }, numbers { ip = "2001:db8::/124" })
      assert.same({ 4 }, numbers { ip = "2001:db8::/125" })
      assert.same({ 2 }, numbers { ip = "10.0.0.8/31" })
      assert.same({ 1 }, numbers { ip = "10.0.0.10/32" })
      assert.same({}, numbers { ip = "172.16.0.0/12" })
    end)

    it("refuses what is neither address nor network", function()
      for _, ip in ipairs { "", "10.0.0", "10.0.0.0/33", "10.0.0.0/", "10.0.0.0/-1", "::/129", "10.0.0.0/8/8",
        "nas.lan" } do
        expect.invalid("ip", store:list { ip = ip })
        expect.invalid("ip", store:count { ip = ip })
      end
    end)

    it("filters by a part of the address, literally", function()
      assert.same({ 2, 1, 5 }, numbers { ip_pattern = "10.0." })
      assert.same({ 1, 5 }, numbers { ip_pattern = ".10" })
      assert.same({ 4, 6 }, numbers { ip_pattern = "DB8::" })
      assert.same({}, numbers { ip_pattern = "10.%" })
      assert.same({}, numbers { ip_pattern = "10.0.*" })
      assert.same({}, numbers { ip_pattern = "10_0" })
    end)

    it("filters by hostname or alias, exactly or by glob", function()
      assert.same({ 1 }, numbers { hostname = "nas.lan" })
      assert.same({ 1 }, numbers { hostname = "NAS.LAN." })
      assert.same({ 1 }, numbers { hostname = "backup" })
      assert.same({ 3, 4 }, numbers { hostname = "gw" })
      assert.same({ 2, 1, 6 }, numbers { hostname = "*.lan" })
      assert.same({ 1, 5 }, numbers { hostname = "nas*" })
      assert.same({ 5 }, numbers { hostname = "nas?" })
      assert.same({ 3, 4 }, numbers { hostname = "g?" })
      assert.same({ 5 }, numbers { hostname = "*.EXAMPLE.*" })
      assert.same({ 2, 1, 5, 3, 4, 6 }, numbers { hostname = "*" })
      assert.same({ 6 }, numbers { hostname = "b_x.lan" })
      assert.same({ 2 }, numbers { hostname = "*p*r*t*r*" })
      assert.same({}, numbers { hostname = "nas" })
      assert.same({}, numbers { hostname = "?" })
      assert.same({}, numbers { hostname = "" })
      assert.same({}, numbers { hostname = "n%" })
      assert.same({}, numbers { hostname = "b[_]x.lan" })
    end)

    it("filters by a part of hostname or alias, literally", function()
      assert.same({ 1, 5 }, numbers { hostname_pattern = "nas" })
      assert.same({ 2, 1, 6 }, numbers { hostname_pattern = ".LAN" })
      assert.same({ 1 }, numbers { hostname_pattern = "kup" })
      assert.same({ 6 }, numbers { hostname_pattern = "_" })
      assert.same({}, numbers { hostname_pattern = "%" })
      assert.same({}, numbers { hostname_pattern = "*" })
      assert.same({}, numbers { hostname_pattern = "a n" })
    end)

    it("filters by text anywhere, literally", function()
      assert.same({ 1 }, numbers { text = "cellar" })
      assert.same({ 2, 1, 4 }, numbers { text = "SERVER" })
      assert.same({ 3, 6 }, numbers { text = "%" })
      assert.same({ 3 }, numbers { text = "*now*" })
      assert.same({ 3, 6 }, numbers { text = "_" })
      assert.same({ 1 }, numbers { text = "store" })
      assert.same({ 4, 6 }, numbers { text = "2001:" })
      assert.same({}, numbers { text = "cellar nas" })
      assert.same({}, numbers { text = "admin" })
    end)

    it("filters by any, all and none of some tags", function()
      assert.same({ 2, 1, 4 }, numbers { tags = { "server" } })
      assert.same({ 1, 4, 6 }, numbers { tags = { "v6", "disk" } })
      assert.same({ 1 }, numbers { tags_all = { "server", "disk" } })
      assert.same({ 2, 1, 4 }, numbers { tags_all = { "server" } })
      assert.same({ 5, 3, 6 }, numbers { tags_none = { "server" } })
      assert.same({ 5, 3 }, numbers { tags_none = { "server", "disk" } })
      assert.same({ 2, 4 }, numbers { tags = { "server" }, tags_none = { "disk" } })
      assert.same({ 6 }, numbers { tags = { "a%b" } })
      assert.same({}, numbers { tags = { "serv" } })
      assert.same({}, numbers { tags = { "Server" } })
      assert.same({}, numbers { tags_all = { "server", "absent" } })
      assert.same({ 2, 1, 5, 3, 4, 6 }, numbers { tags_all = {}, tags_none = {} })
    end)

    it("filters by enabled and origin", function()
      assert.same({ 3 }, numbers { enabled = false })
      assert.same({ 2, 1, 5, 4, 6 }, numbers { enabled = true })
      assert.same({ 2 }, numbers { origin = "dhcp" })
      assert.same({ 5 }, numbers { origin = "import:lan" })
      assert.same({}, numbers { origin = "import:LAN" })
    end)

    it("filters by times, both ends included", function()
      assert.same({ 5, 4, 6 }, numbers { created_since = 4000 })
      assert.same({ 2, 1, 3 }, numbers { created_until = 3000 })
      assert.same({ 2, 3 }, numbers { created_since = 2000, created_until = 3000 })
      assert.same({ 2 }, numbers { updated_since = 6500 })
      assert.same({ 1, 5, 3, 4 }, numbers { updated_until = "1970-01-01T01:23:20Z" })
      expect.failure("invalid", store:list { created_since = "yesterday" })
    end)

    it("wants all conditions at once", function()
      assert.same({ 1 }, numbers { ip = "10.0.0.0/24", tags = { "server" }, hostname = "*.lan", text = "cellar",
        enabled = true })
      assert.same({}, numbers { ip = "10.0.0.0/24", origin = "import:lan" })
    end)

    it("orders by address as a number or as text", function()
      assert.same({ 2, 1, 5, 3, 4, 6 }, numbers { order = "ip" })
      assert.same({ 6, 4, 3, 5, 1, 2 }, numbers { order = "ip", descending = true })
      assert.same({ 1, 2, 5, 3, 4, 6 }, numbers { order = "ip_text" })
    end)

    it("orders by hostname, by creation and by update", function()
      assert.same({ 5, 6, 3, 4, 1, 2 }, numbers { order = "hostname" })
      assert.same({ 1, 2, 3, 4, 5, 6 }, numbers { order = "created" })
      assert.same({ 6, 5, 4, 3, 2, 1 }, numbers { order = "created", descending = true })
      assert.same({ 1, 3, 4, 5, 6, 2 }, numbers { order = "updated" })
      assert.same({ 2, 6, 5, 4, 3, 1 }, numbers { order = "updated", descending = true })
    end)

    it("orders equal keys by hostname, then id, whichever way it goes", function()
      hosts[7] = assert(store:add { ip = "10.0.0.9", hostname = "b" })
      hosts[8] = assert(store:add { ip = "10.0.0.9", hostname = "a" })
      local view = assert(store:at { position = 9 })
      local function ids(filter)
        local names = expect.pluck(store:list(filter), "hostname")
        assert.same(names, expect.pluck(view:list(filter), "hostname"))
        return names
      end
      assert.same({ "a", "b", "printer.lan", "nas.lan" }, ids { ip = "10.0.0.0/24" })
      assert.same({ "nas.lan", "a", "b", "printer.lan" }, ids { ip = "10.0.0.0/24", descending = true })
      assert.same({ hosts[3].id, hosts[4].id }, expect.pluck(store:list { hostname = "gw", order = "hostname" }, "id"))
      assert.same({ "a", "b", "printer.lan" }, ids { updated_since = 7000, order = "updated", descending = true })
    end)

    it("pages by limit and offset", function()
      assert.same({ 2, 1 }, numbers { limit = 2 })
      assert.same({ 5, 3 }, numbers { limit = 2, offset = 2 })
      assert.same({ 4, 6 }, numbers { offset = 4 })
      assert.same({}, numbers { offset = 6 })
      assert.same({}, numbers { limit = 0 })
      assert.same({ 1 }, numbers { tags = { "server" }, limit = 1, offset = 1 })
    end)

    it("goes on behind a host or its id, in every order and either way", function()
      for _, order in ipairs { "ip", "ip_text", "hostname", "created", "updated" } do
        for _, descending in ipairs { false, true } do
          local whole = numbers { order = order, descending = descending }
          for by_id = 0, 1 do
            local paged, after = {}, nil
            repeat
              local page = assert(store:list { order = order, descending = descending, limit = 4, after = after })
              for _, host in ipairs(page) do
                paged[#paged + 1] = host.id
                after = by_id == 1 and host.id or host
              end
            until #page < 4
            assert.same(expect.pluck(store:list { order = order, descending = descending }, "id"), paged)
          end
          local last = hosts[whole[#whole]]
          assert.same({}, numbers { order = order, descending = descending, after = last })
        end
      end
      assert.same({ 4, 6 }, numbers { after = hosts[3] })
      assert.same({ 4 }, numbers { after = hosts[2], tags = { "server" }, limit = 1, offset = 1 })
    end)

    it("goes on behind a host that was deleted meanwhile", function()
      assert(store:delete(hosts[1]))
      assert.same({ hosts[5].id }, expect.pluck(store:list { after = hosts[1], limit = 1 }, "id"))
    end)

    it("raises for an unknown key, a wrong type or order", function()
      for _, filter in ipairs {
        { ipp = "10.0.0.1" }, { tag = { "server" } }, { order = "size" }, { limit = "2" }, { limit = -1 },
        { offset = -1 },
        { limit = 1.5 }, { enabled = "yes" }, { ip = 10 }, { tags = 5 }, { tags = { 5 } }, { after = true }, { "nas" },
        { descending = 1 }, { order = 1 },
      } do
        expect.misuse(store.list, store, filter)
        expect.misuse(store.count, store, filter)
        expect.misuse(store.hosts, store, filter)
      end
      expect.misuse(store.list, store, "nas")
    end)

    it("never takes a pattern for SQL", function()
      for _, text in ipairs { "'", "' OR 1=1 --", "\"", "\\", ";", "x') OR ('1'='1" } do
        assert.same({}, numbers { text = text })
        assert.same({}, numbers { hostname = text })
        assert.same({}, numbers { hostname_pattern = text })
        assert.same({}, numbers { ip_pattern = text })
        assert.same({}, numbers { tags = { text } })
        assert.same({}, numbers { origin = text })
      end
    end)
  end)

  describe(backend.name .. ": hosts", function()
    local store
    before_each(function()
      store = backend.open()
      assert(store:transaction(function()
        for i = 0, 2499 do
          assert(store:add { ip = ("10.0.%d.%d"):format(math.floor(i / 250), i % 250), hostname = "h" .. i,
            tags = { i % 2 == 0 and "even" or "odd" } })
        end
        return true
      end))
    end)
    after_each(backend.finish)

    it("gives each of many hosts once, in order", function()
      local n = 0
      for host in store:hosts() do
        assert.equal("h" .. n, host.hostname)
        n = n + 1
      end
      assert.equal(2500, n)
    end)

    it("keeps to filter, limit and offset across its pages", function()
      local function collect(filter)
        local first, last, n = nil, nil, 0
        for host in store:hosts(filter) do
          first, last, n = first or host.hostname, host.hostname, n + 1
        end
        return { first, last, n }
      end
      assert.same({ "h1", "h2499", 1250 }, collect { tags = { "odd" } })
      assert.same({ "h0", "h2099", 2100 }, collect { limit = 2100 })
      assert.same({ "h5", "h2004", 2000 }, collect { limit = 2000, offset = 5 })
      assert.same({ "h2499", "h0", 2500 }, collect { descending = true })
      assert.same({ "h11", "h2499", 2489 }, collect { after = store:find("10.0.0.10", "h10") })
    end)

    it("can be left, and lets the loop change what it reads", function()
      assert.equal("h0", store:hosts()().hostname)
      local n = 0
      for host in store:hosts { tags = { "even" } } do
        assert(store:update(host, { tags = { "seen" } }))
        n = n + 1
      end
      assert.same({ 1250, 1250, 0 },
        { n, store:count { tags = { "seen" } }, store:count { tags = { "even" } } })
    end)

    it("raises the error of a page that cannot be read", function()
      local n = 0
      local ok, raised = pcall(function()
        for _ in store:hosts() do
          n = n + 1
          if n == 1 then
            backend.faulty.fail_at(1)
          end
        end
      end)
      assert.is_false(ok)
      assert.equal("query", raised.code)
      assert.equal(raised.message, tostring(raised))
      assert.equal(1000, n)
    end)

    it("raises the error of a filter that is not valid", function()
      local ok, raised = pcall(store.hosts, store, { ip = "10.0.0" })
      assert.is_false(ok)
      assert.same({ "invalid", "ip" }, { raised.code, raised.field })
    end)
  end)
end
