local expect = require "spec.support.expect"
local hoststore = require "hoststore"

local ID = "01ARZ3NDEKTSV4RRFFQ69G5FAV"

for _, backend in ipairs(require "spec.support.backends") do
  describe(backend.name .. ": a host", function()
    local store, time
    before_each(function()
      time = 1700000000.5
      store = backend.open { clock = function() return time end }
    end)
    after_each(backend.finish)

    local function position()
      local events = store:events()
      return #events > 0 and events[#events].position or 0
    end

    -- The fields of a host without its metatable, to compare.
    local function fields(host)
      local copy = {}
      for name, value in pairs(host) do
        copy[name] = value
      end
      return copy
    end

    describe("add", function()
      it("gives the host with every field that is set", function()
        local host = assert(store:add {
          ip = "10.0.0.2", hostname = "nas.lan", aliases = { "store", "backup" }, comment = "in the cellar",
          tags = { "server", "disk" }, enabled = false, expires_at = 1800000000.25, origin = "import:dhcp",
        })
        assert.same({
          id = host.id, version = 1, position = 1, ip = "10.0.0.2", hostname = "nas.lan",
          aliases = { "store", "backup" }, comment = "in the cellar", tags = { "disk", "server" }, enabled = false,
          expires_at = 1800000000.25, origin = "import:dhcp", created_at = 1700000000.5, updated_at = 1700000000.5,
        }, fields(host))
        assert.equal(26, #host.id)
      end)

      it("fills in what is not given", function()
        local host = assert(store:add { ip = "10.0.0.2", hostname = "nas.lan" })
        assert.same({
          id = host.id, version = 1, position = 1, ip = "10.0.0.2", hostname = "nas.lan", aliases = {}, tags = {},
          enabled = true, origin = "admin", created_at = 1700000000.5, updated_at = 1700000000.5,
        }, fields(host))
      end)

      it("takes null for what is not set", function()
        local host = assert(store:add {
          ip = "10.0.0.2", hostname = "nas.lan", comment = hoststore.null, expires_at = hoststore.null,
        })
        assert.is_nil(host.comment)
        assert.is_nil(host.expires_at)
      end)

      it("makes values canonical", function()
        local host = assert(store:add {
          ip = "2001:DB8:0:0:0:0:0:1", hostname = "NAS.Lan.", aliases = { "Store.", "B" }, tags = { "b", "a", "b" },
        })
        assert.same({ "2001:db8::1", "nas.lan", { "store", "b" }, { "a", "b" } },
          { host.ip, host.hostname, host.aliases, host.tags })
      end)

      it("writes one event with the whole host, and why", function()
        local host = assert(store:add({ ip = "10.0.0.2", hostname = "nas.lan", comment = "c", tags = { "t" } },
          { actor = "alice", reason = "new", metadata = { ticket = 7 }, event_id = ID }))
        local events = store:events()
        assert.equal(1, #events)
        local event = events[1]
        assert.same({ "host-" .. host.id, 1, ID, "HostCreated", "alice", "new", { ticket = 7 } },
          { event.stream, event.version, event.id, event.type, event.actor, event.reason, event.metadata })
        assert.same({ "10.0.0.2", "nas.lan", "c", { "t" } },
          { event.data.ip, event.data.hostname, event.data.comment, event.data.tags })
        assert.is_not_nil(event.data.created_at)
      end)

      it("refuses an (ip, hostname) that is taken, however it is written", function()
        local host = assert(store:add { ip = "2001:db8::1", hostname = "nas.lan" })
        local err = expect.failure("duplicate", store:add { ip = "2001:DB8::0:1", hostname = "NAS.lan." })
        assert.equal(host.id, err.current.id)
        assert.equal(1, store:count())
        assert.equal(1, position())
      end)

      it("accepts one address with several names and one name with several addresses", function()
        assert(store:add { ip = "10.0.0.2", hostname = "a" })
        assert(store:add { ip = "10.0.0.2", hostname = "b" })
        assert(store:add { ip = "10.0.0.3", hostname = "a" })
        assert(store:add { ip = "10.0.0.4", hostname = "c", aliases = { "a", "b" } })
        assert.equal(4, store:count())
      end)

      it("answers a known event id as the first time", function()
        local function add(comment)
          return store:add({ ip = "10.0.0.2", hostname = "nas.lan", comment = comment }, { event_id = ID })
        end
        local first = assert(add("c"))
        local again = assert(add("c"))
        assert.same({ first.id, 1, 1 }, { again.id, again.version, again.position })
        assert.equal(1, position())
        expect.failure("id_reuse", add("other"))
        expect.failure("invalid", store:add({ ip = "10.0.0.3", hostname = "x" }, { event_id = "7" }))
      end)

      it("raises for unknown fields and wrong types", function()
        local function refuse(host, options)
          expect.misuse(store.add, store, host, options)
        end
        refuse(nil)
        refuse("10.0.0.2 nas.lan")
        refuse { ip = "10.0.0.2", hostname = "a", name = "b" }
        refuse { ip = "10.0.0.2", hostname = "a", id = ID }
        refuse { ip = 10, hostname = "a" }
        refuse { ip = "10.0.0.2", hostname = "a", aliases = "b" }
        refuse { ip = "10.0.0.2", hostname = "a", tags = { 1 } }
        refuse { ip = "10.0.0.2", hostname = "a", enabled = 1 }
        refuse { ip = "10.0.0.2", hostname = "a", expires_at = {} }
        refuse({ ip = "10.0.0.2", hostname = "a" }, { why = "x" })
        refuse({ ip = "10.0.0.2", hostname = "a" }, { actor = 5 })
        assert.equal(0, position())
      end)
    end)

    describe("is found", function()
      local nas, printer
      before_each(function()
        nas = assert(store:add { ip = "10.0.0.2", hostname = "nas.lan", aliases = { "store", "backup.lan" } })
        printer = assert(store:add { ip = "2001:db8::2", hostname = "printer", aliases = { "store" } })
        assert(store:add { ip = "10.0.0.2", hostname = "other" })
      end)

      local function names(hosts)
        return expect.pluck(assert(hosts), "hostname")
      end

      it("by id", function()
        assert.same(fields(nas), fields(store:get(nas.id)))
        expect.failure("not_found", store:get(ID))
        expect.failure("not_found", store:get("nonsense"))
        expect.failure("not_found", store:get(""))
        expect.failure("not_found", store:get(nas.id .. "X"))
        expect.failure("not_found", store:get(nas.id:lower()))
      end)

      it("by ip and hostname, nil without an error when there is none", function()
        assert.equal(nas.id, store:find("10.0.0.2", "nas.lan").id)
        assert.equal(nas.id, store:find("10.0.0.2", "NAS.LAN.").id)
        assert.equal(printer.id, store:find("2001:DB8:0::2", "printer").id)
        assert.is_nil((store:find("10.0.0.2", "absent")))
        local host, err = store:find("10.0.0.3", "nas.lan")
        assert.is_nil(host)
        assert.is_nil(err)
        assert.is_nil((store:find("10.0.0.2", "store")))
      end)

      it("by hostname or alias", function()
        assert.same({ "nas.lan" }, names(store:lookup("nas.lan")))
        assert.same({ "nas.lan" }, names(store:lookup("NAS.Lan.")))
        assert.same({ "nas.lan", "printer" }, names(store:lookup("store")))
        assert.same({}, names(store:lookup("absent")))
        assert.same({}, names(store:lookup("sto")))
        assert.same({}, names(store:lookup("*")))
        assert.same({}, names(store:lookup("nas.la?")))
      end)

      it("by address", function()
        assert.same({ "nas.lan", "other" }, names(store:reverse("10.0.0.2")))
        assert.same({ "printer" }, names(store:reverse("2001:DB8::2")))
        assert.same({}, names(store:reverse("10.0.0.9")))
        expect.invalid("ip", store:reverse("10.0.0"))
      end)

      it("and has methods of its own", function()
        local host = assert(store:get(nas.id))
        host = assert(host:update({ comment = "c" }, { reason = "why" }))
        assert.equal("c", host.comment)
        assert.same({ "HostCreated", "CommentUpdated" }, expect.pluck(host:history(), "type"))
        assert.is_true(host:delete("old"))
        expect.failure("not_found", store:get(nas.id))
        assert.equal("old", store:events({ after = 4 })[1].reason)
      end)
    end)

    describe("update", function()
      local nas
      before_each(function()
        nas = assert(store:add {
          ip = "10.0.0.2", hostname = "nas.lan", aliases = { "a", "b" }, comment = "c", tags = { "t" },
          expires_at = 1800000000,
        })
        time = time + 60
      end)

      it("writes an event for each field that changed, together", function()
        local host, changed = store:update(nas, {
          ip = "10.0.0.3", hostname = "nas2.lan", aliases = { "b", "a" }, comment = "d", tags = { "t", "u" },
          enabled = false, expires_at = hoststore.null, origin = "dhcp",
        }, { actor = "bob", reason = "moved" })
        assert.is_true(changed)
        assert.same({ 9, 9, 1700000000.5, 1700000060.5 },
          { host.version, host.position, host.created_at, host.updated_at })
        local events = store:events { after = 1 }
        assert.same({ "IpAddressChanged", "HostnameChanged", "AliasesChanged", "CommentUpdated", "TagsModified",
          "EnabledChanged", "ExpiryChanged", "OriginChanged" }, expect.pluck(events, "type"))
        assert.same({ "bob", "moved" }, { events[8].actor, events[8].reason })
        assert.same(fields(host), fields(store:get(nas.id)))
      end)

      it("leaves every field alone that is not given", function()
        local host = assert(store:update(nas, { enabled = false }))
        assert.same({ "10.0.0.2", "nas.lan", { "a", "b" }, "c", { "t" }, false, 1800000000, "admin" },
          { host.ip, host.hostname, host.aliases, host.comment, host.tags, host.enabled, host.expires_at, host.origin })
        assert.equal(2, host.version)
      end)

      it("writes nothing when the values are equal", function()
        for _, changes in ipairs {
          {}, { ip = "10.0.0.2" }, { hostname = "NAS.LAN." }, { aliases = { "A", "b." } }, { comment = "c" },
          { tags = { "t", "t" } }, { enabled = true }, { expires_at = 1800000000 },
          { expires_at = "2027-01-15T08:00:00Z" }, { origin = "admin" },
        } do
          local host, changed = store:update(nas, changes)
          assert.is_false(changed)
          assert.same(fields(nas), fields(host))
        end
        assert.equal(1, position())
      end)

      it("replaces lists as a whole, and keeps the order of aliases", function()
        local host = assert(store:update(nas, { aliases = { "z", "a" }, tags = { "y", "x" } }))
        assert.same({ { "z", "a" }, { "x", "y" } }, { host.aliases, host.tags })
        host = assert(store:update(host, { aliases = {}, tags = {} }))
        assert.same({ {}, {} }, { host.aliases, host.tags })
        assert.same({}, store:lookup("z"))
        assert.same({}, store:list { tags = { "x" } })
      end)

      it("clears a comment in every read, now and in time travel", function()
        local host, changed = store:update(nas, { comment = hoststore.null })
        assert.is_true(changed)
        time = time + 60
        assert(store:update(host, { enabled = false }))
        for _, view in ipairs { store, store:at(time), store:at { position = 3 }, store:at { position = 2 } } do
          assert.is_nil(view:get(nas.id).comment)
          assert.is_nil(view:find("10.0.0.2", "nas.lan").comment)
          assert.is_nil(view:list()[1].comment)
          assert.is_nil(view:lookup("a")[1].comment)
          for each in view:hosts() do
            assert.is_nil(each.comment)
          end
          assert.equal(0, view:count { text = "c" })
        end
        assert.equal("c", store:at({ position = 1 }):get(nas.id).comment)
        local history = store:history(nas.id)
        assert.same({ old = "c" }, history[2].changes.comment)
        assert.is_nil(history[3].host.comment)
        -- Clearing it again is no change.
        assert.is_false(select(2, store:update(nas.id, { comment = hoststore.null })))
      end)

      it("of a host that was read refuses a version that has passed, and writes nothing", function()
        assert(store:update(nas, { ip = "10.0.0.3" }))
        local err = expect.failure("conflict", store:update(nas, { ip = "10.0.0.4" }))
        assert.same({ 1, 2, "10.0.0.3" }, { err.expected, err.actual, err.current.ip })
        err = expect.failure("conflict", nas:update { comment = "x" })
        assert.equal(2, err.actual)
        assert.equal(2, position())
        -- What the error carries can be updated at once.
        assert(store:update(err.current, { ip = "10.0.0.4" }))
      end)

      it("by id expects no version unless it is told one", function()
        assert(store:update(nas, { comment = "d" }))
        assert(store:update(nas.id, { comment = "e" }))
        local err = expect.failure("conflict", store:update(nas.id, { comment = "f" }, { expected_version = 2 }))
        assert.same({ 2, 3 }, { err.expected, err.actual })
        -- Versions may be larger than the integers of Lua are, on OpenWrt.
        err = expect.failure("conflict", store:update(nas.id, { comment = "f" }, { expected_version = 2 ^ 40 }))
        assert.equal(2 ^ 40, err.expected)
        assert(store:update(nas.id, { comment = "f" }, { expected_version = 3 }))
        assert(store:update(nas, { comment = "g" }, { expected_version = 4 }))
      end)

      it("checks the version even when nothing would change", function()
        local host = assert(store:update(nas, { comment = "d" }))
        expect.failure("conflict", store:update(nas, { comment = "d" }))
        assert.is_false(select(2, store:update(host, { comment = "d" })))
      end)

      it("refuses an (ip, hostname) another host has", function()
        local other = assert(store:add { ip = "10.0.0.2", hostname = "other" })
        local err = expect.failure("duplicate", store:update(other, { hostname = "nas.lan" }))
        assert.equal(nas.id, err.current.id)
        assert(store:update(other, { ip = "10.0.0.9" }))
        expect.failure("duplicate", store:update(other.id, { ip = "10.0.0.2", hostname = "NAS.lan" }))
        assert.equal("other", store:get(other.id).hostname)
        assert.equal(3, position())
      end)

      it("frees the key it leaves", function()
        assert(store:update(nas, { ip = "10.0.0.3" }))
        assert(store:add { ip = "10.0.0.2", hostname = "nas.lan" })
      end)

      it("writes nothing when one of several values is wrong", function()
        expect.invalid("ip", store:update(nas, { comment = "new", ip = "10.0.0.300" }))
        assert.same(fields(nas), fields(store:get(nas.id)))
      end)

      it("of a host that is not there is not_found", function()
        expect.failure("not_found", store:update(ID, { comment = "x" }))
        expect.failure("not_found", store:update("", { comment = "x" }))
        assert(store:delete(nas))
        expect.failure("not_found", store:update(nas, { comment = "x" }))
        expect.failure("not_found", nas:update { comment = "x" })
      end)

      it("raises for fields that cannot be set", function()
        for _, changes in ipairs { { id = ID }, { version = 2 }, { created_at = 5 }, { colour = "red" }, { 5 } } do
          expect.misuse(store.update, store, nas, changes)
        end
        expect.misuse(store.update, store, nas)
        expect.misuse(store.update, store, nil, { comment = "x" })
        expect.misuse(store.update, store, {}, { comment = "x" })
        expect.misuse(store.update, store, nas, {}, { expected = 1 })
      end)
    end)

    describe("delete", function()
      local nas
      before_each(function()
        nas = assert(store:add { ip = "10.0.0.2", hostname = "nas.lan", aliases = { "a" }, tags = { "t" } })
      end)

      it("takes the host out of every read and keeps its history", function()
        assert.is_true(store:delete(nas, { reason = "gone", actor = "bob" }))
        expect.failure("not_found", store:get(nas.id))
        assert.is_nil((store:find("10.0.0.2", "nas.lan")))
        assert.same({}, store:list())
        assert.same({}, store:list { tags = { "t" } })
        assert.same({}, store:lookup("a"))
        assert.same({}, store:reverse("10.0.0.2"))
        assert.equal(0, store:count())
        local event = store:events({ after = 1 })[1]
        assert.same({ "HostDeleted", 2, "gone", "bob" }, { event.type, event.version, event.reason, event.actor })
        assert.equal("nas.lan", event.data.hostname)
      end)

      it("works by id, and only once", function()
        assert.is_true(store:delete(nas.id))
        expect.failure("not_found", store:delete(nas.id))
        expect.failure("not_found", store:delete(nas))
        expect.failure("not_found", store:delete("nonsense"))
      end)

      it("refuses a version that has passed", function()
        assert(store:update(nas, { comment = "new" }))
        local err = expect.failure("conflict", store:delete(nas))
        assert.same({ 1, 2, "new" }, { err.expected, err.actual, err.current.comment })
        expect.failure("conflict", store:delete(nas.id, { expected_version = 1 }))
        expect.failure("conflict", nas:delete())
        assert.equal(1, store:count())
        assert.is_true(store:delete(nas.id, { expected_version = 2 }))
      end)

      it("makes room for a new host with the same key", function()
        assert(store:delete(nas))
        local again = assert(store:add { ip = "10.0.0.2", hostname = "nas.lan" })
        assert.not_equal(nas.id, again.id)
        assert.same({ 1, {} }, { again.version, again.aliases })
      end)

      it("raises for unknown options", function()
        expect.misuse(store.delete, store, nas, { why = "x" })
        expect.misuse(store.delete, store)
        assert.equal(1, store:count())
      end)
    end)
  end)
end
