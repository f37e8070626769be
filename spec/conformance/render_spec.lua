local system = require "spec.support.system"

local TEMPLATE = [[
# <%= count %> hosts at <%= position %> of <%= tenant %>
<% for host in hosts() do -%>
<%= host.ip %> <%= host.hostname %><% for _, alias in ipairs(host.aliases) do %> <%= alias %><% end %> # <%=
  comment(host.comment) %>
<% end -%>
<% for tag, list in by_tag() do -%>
# <%= tag %>: <%= #list %>
<% end -%>
]]

for _, backend in ipairs(require "spec.support.backends") do
  describe(backend.name .. ": formats for name servers and templates", function()
    local store, time
    before_each(function()
      time = 1000
      store = backend.open { clock = function() return time end, tenant = "site" }
      assert(store:add { ip = "10.0.0.10", hostname = "nas.lan", aliases = { "nas" }, comment = "in\nthe cellar",
        tags = { "disk" } })
      assert(store:add { ip = "10.0.0.9", hostname = "expires.lan", expires_at = 1500, tags = { "disk" } })
      assert(store:add { ip = "10.0.0.1", hostname = "off.lan", enabled = false })
    end)
    after_each(backend.finish)

    local FORMATS = { "dnsmasq", "unbound", "uci", "bind", "bind_reverse", "pihole", "adguard" }

    it("say the same, to the byte, until something changes or a host expires", function()
      for _, format in ipairs(FORMATS) do
        local text = assert(store:export(format))
        time = 1001
        assert.equal(text, store:export(format))
        time = 1500
        local without = assert(store:export(format))
        assert.is_truthy(text:find("10.0.0.9", 1, true) or text:find("9.0.0.10", 1, true))
        assert.is_nil(without:find("10.0.0.9", 1, true) or without:find("9.0.0.10", 1, true))
        time = 1000
      end
    end)

    it("are in the order of the addresses, by number", function()
      for _, format in ipairs(FORMATS) do
        local text = assert(store:export(format))
        local nine = text:find("10.0.0.9", 1, true) or text:find("9.0.0.10", 1, true)
        local ten = text:find("10.0.0.10", 1, true) or text:find("10.0.0.10.in-addr", 1, true)
        assert.is_true(nine < ten, format)
      end
    end)

    it("are published only when they would differ", function()
      local path = backend.directory() .. "/out"
      for _, format in ipairs(FORMATS) do
        assert.is_true(assert(store:publish(path, { format = format })))
        assert.equal(store:export(format), system.read(path))
        assert.is_false(store:publish(path, { format = format }))
      end
    end)

    it("tell with a target how many hosts they had to leave out", function()
      local lenient = backend.open { names = "lenient" }
      assert(lenient:add { ip = "10.0.0.1", hostname = "ä.lan" })
      assert(lenient:add { ip = "10.0.0.2", hostname = "a.lan", aliases = { "ä" } })
      local path = backend.directory() .. "/out"
      assert.same({ 1, 1 }, { lenient:export("dnsmasq", path) })
      assert.same({ 2 }, { lenient:export("hosts", path) })
      assert.same({ "host-record=a.lan,10.0.0.2\n" }, { lenient:export("dnsmasq") })
    end)

    it("put the position into the serial of a zone", function()
      assert.matches(" 3 3600 ", store:export("bind"), 1, true)
      assert(store:delete(store:find("10.0.0.10", "nas.lan").id))
      assert.matches(" 4 3600 ", store:export("bind_reverse"), 1, true)
    end)

    it("as templates are the same on every database", function()
      assert.equal("# 2 hosts at 3 of site\n10.0.0.9 expires.lan # \n10.0.0.10 nas.lan nas # in the cellar\n" ..
        "# disk: 2\n", assert(store:render { text = TEMPLATE, name = "t", format = "hosts" }))
      time = 1500
      assert.equal("# 1 hosts at 3 of site\n10.0.0.10 nas.lan nas # in the cellar\n# disk: 1\n",
        assert(store:render { text = TEMPLATE, name = "t", format = "hosts" }))
    end)

    it("as templates never leave half a file when reading fails", function()
      local path = backend.directory() .. "/out"
      local whole = assert(store:render { text = TEMPLATE })
      local n, done, err = 0
      repeat
        n = n + 1
        system.write(path, "before")
        backend.faulty.fail_at(n)
        done, err = store:render({ text = TEMPLATE }, path)
        backend.faulty.off()
        if not done then
          assert.equal("query", err.code)
          assert.is_true(system.read(path) == "before" or system.read(path) == whole)
        end
      until done
      assert.is_true(n > 4)
      assert.equal(whole, system.read(path))
    end)
  end)
end
