local expect = require "spec.support.expect"
local hoststore = require "hoststore"

local ID = "01ARZ3NDEKTSV4RRFFQ69G5FAV"

for _, backend in ipairs(require "spec.support.backends") do
  describe(backend.name .. ": history", function()
    local store, time, nas
    -- 1 nas is added, 2 its comment and 3 its tags change, 4 gw is added, 5 nas is deleted.
    before_each(function()
      time = 1000
      store = backend.open { actor = "alice", clock = function() return time end }
      nas = assert(store:add({ ip = "10.0.0.1", hostname = "nas", comment = "a" }, { reason = "new" }))
      time = 2000
      nas = assert(store:update(nas, { comment = hoststore.null, tags = { "t" } }, { actor = "bob" }))
      time = 3000
      assert(store:add { ip = "10.0.0.2", hostname = "gw" })
      assert(nas:delete("old"))
    end)
    after_each(backend.finish)

    it("of a host tells what each event changed, oldest first", function()
      local entries = assert(store:history(nas.id))
      assert.same({ 1, 2, 3, 4 }, expect.pluck(entries, "version"))
      assert.same({ 1, 2, 3, 5 }, expect.pluck(entries, "position"))
      assert.same({ "HostCreated", "CommentUpdated", "TagsModified", "HostDeleted" }, expect.pluck(entries, "type"))
      assert.same({ 1000, 2000, 2000, 3000 }, expect.pluck(entries, "at"))
      assert.same({ "alice", "bob", "bob", "alice" }, expect.pluck(entries, "actor"))
      assert.same({ "new", "old" }, { entries[1].reason, entries[4].reason })
      assert.same({ comment = { old = "a" } }, entries[2].changes)
      assert.same({ tags = { old = {}, new = { "t" } } }, entries[3].changes)
      assert.same({ new = "nas" }, entries[1].changes.hostname)
      assert.same({ new = "a" }, entries[1].changes.comment)
      assert.same({ "a", "nas" }, { entries[1].host.comment, entries[2].host.hostname })
      assert.is_nil(entries[2].host.comment)
      assert.same({ "t" }, entries[3].host.tags)
    end)

    it("with a limit is the newest part of it, oldest first", function()
      assert.same({ 3, 4 }, expect.pluck(store:history(nas.id, { limit = 2 }), "version"))
      assert.same({ comment = { old = "a" } }, store:history(nas.id, { limit = 3 })[1].changes)
      assert.same({}, store:history(nas.id, { limit = 0 }))
      assert.equal(4, #store:history(nas.id, { limit = 100 }))
    end)

    it("of a host that never was is not_found", function()
      expect.failure("not_found", store:history(ID))
      expect.failure("not_found", store:history("nonsense"))
    end)

    it("of the whole log goes by position", function()
      local log = assert(store:log())
      assert.same({ 1, 2, 3, 4, 5 }, expect.pluck(log, "position"))
      assert.same({ tags = { old = {}, new = { "t" } } }, log[3].changes)
      assert.equal("gw", log[4].host.hostname)
    end)

    it("of the log is filtered by actor, time, type, stream and page", function()
      local function positions(filter)
        return expect.pluck(assert(store:log(filter)), "position")
      end
      assert.same({ 2, 3 }, positions { actor = "bob" })
      assert.same({ 2, 3, 4, 5 }, positions { since = 2000 })
      assert.same({ 4, 5 }, positions { since = "1970-01-01T00:50:00Z" })
      assert.same({ 1, 4 }, positions { types = { "HostCreated" } })
      assert.same({ 1, 2, 3, 5 }, positions { stream = "host-" .. nas.id })
      assert.same({ 3, 4 }, positions { after = 2, limit = 2 })
      assert.same({ 5 }, positions { actor = "alice", after = 4 })
      assert.same({}, positions { actor = "carol" })
    end)

    it("of the log tells what an event changed whatever the filter leaves out", function()
      local log = assert(store:log { types = { "TagsModified", "HostDeleted" } })
      assert.same({ tags = { old = {}, new = { "t" } } }, log[1].changes)
      assert.same({ "TagsModified", "HostDeleted" }, expect.pluck(log, "type"))
    end)

    it("of the log has events of other streams too", function()
      assert(store:stream("orders"):append { type = "Placed", data = { n = 1 } })
      local entry = store:log({ after = 5 })[1]
      assert.same({ "orders", "Placed", 6 }, { entry.stream, entry.type, entry.position })
      assert.is_nil(entry.host)
    end)

    it("raises for unknown keys", function()
      expect.misuse(store.history, store, nas.id, { limits = 1 })
      expect.misuse(store.log, store, { befor = 1 })
      expect.misuse(store.history, store)
    end)
  end)

  describe(backend.name .. ": the hosts at a moment", function()
    local store, time, nas, gw
    -- 1 nas is added at 1000, 2 moved at 2000, 3 gw is added at 3000, 4 nas is deleted at 4000.
    before_each(function()
      time = 1000
      store = backend.open { clock = function() return time end }
      nas = assert(store:add { ip = "10.0.0.1", hostname = "nas", tags = { "t" }, aliases = { "store" } })
      time = 2000
      nas = assert(store:update(nas, { ip = "10.0.0.7" }))
      time = 3000
      gw = assert(store:add { ip = "10.0.0.2", hostname = "gw" })
      time = 4000
      assert(nas:delete())
    end)
    after_each(backend.finish)

    local function at(moment)
      local found = {}
      for i, host in ipairs(assert(store:at(moment)):list()) do
        found[i] = host.ip .. " " .. host.hostname
      end
      return found
    end

    it("by position are those after that event", function()
      assert.same({}, at { position = 0 })
      assert.same({ "10.0.0.1 nas" }, at { position = 1 })
      assert.same({ "10.0.0.7 nas" }, at { position = 2 })
      assert.same({ "10.0.0.2 gw", "10.0.0.7 nas" }, at { position = 3 })
      assert.same({ "10.0.0.2 gw" }, at { position = 4 })
    end)

    it("by time are those recorded at or before it", function()
      assert.same({}, at(999.999999))
      assert.same({ "10.0.0.1 nas" }, at(1000))
      assert.same({ "10.0.0.1 nas" }, at(1999.999999))
      assert.same({ "10.0.0.7 nas" }, at(2000))
      assert.same({ "10.0.0.2 gw", "10.0.0.7 nas" }, at("1970-01-01T01:06:39.999999Z"))
      assert.same({ "10.0.0.2 gw" }, at("1970-01-01T01:06:40Z"))
      assert.same({ "10.0.0.2 gw" }, at("2100-01-01"))
    end)

    it("by snapshot are those the snapshot was made of", function()
      local snapshot = assert(store:snapshot())
      assert(store:update(gw, { ip = "10.0.0.9" }))
      assert.same({ "10.0.0.2 gw" }, at { snapshot = snapshot.id })
      expect.failure("not_found", store:at { snapshot = ID })
    end)

    it("do not change afterwards", function()
      local view = assert(store:at { position = 3 })
      assert(store:update(gw, { ip = "10.0.0.9" }))
      assert.equal("10.0.0.2", view:get(gw.id).ip)
    end)

    it("are read like those of now", function()
      local view = assert(store:at { position = 2 })
      local host = assert(view:get(nas.id))
      assert.same({ "10.0.0.7", 2, 2, 1000, 2000, { "t" } },
        { host.ip, host.version, host.position, host.created_at, host.updated_at, host.tags })
      expect.failure("not_found", view:get(gw.id))
      assert.equal(nas.id, view:find("10.0.0.7", "NAS").id)
      assert.is_nil((view:find("10.0.0.1", "nas")))
      assert.same({ nas.id }, expect.pluck(view:lookup("store"), "id"))
      assert.same({}, view:lookup("gw"))
      assert.equal(1, view:count())
      assert.equal(0, view:count { ip = "10.0.0.1" })
      local n = 0
      for each in view:hosts { tags = { "t" } } do
        assert.equal("nas", each.hostname)
        n = n + 1
      end
      assert.equal(1, n)
    end)

    it("cannot be written", function()
      local view = assert(store:at { position = 2 })
      assert.is_nil(view.add)
      assert.is_nil(view.update)
      assert.is_nil(view.delete)
      -- A host of the past is a host of an old version.
      expect.failure("not_found", view:get(nas.id):update { comment = "x" })
      local old = assert(store:at({ position = 3 }):get(gw.id))
      assert(store:update(gw, { comment = "new" }))
      expect.failure("conflict", old:update { comment = "x" })
    end)

    it("go by version, not by a clock that went back", function()
      time = 500
      assert(store:update(gw, { comment = "early" }))
      time = 5000
      -- The highest version recorded by 3500 is the one the slow clock gave 500.
      assert.equal("early", store:at(3500):get(gw.id).comment)
      assert.equal("early", store:at(500):get(gw.id).comment)
      expect.failure("not_found", store:at(499):get(gw.id))
    end)

    it("cannot be those of a time or place that is none", function()
      expect.failure("invalid", store:at("yesterday"))
      expect.failure("invalid", store:at { position = -1 })
      expect.failure("not_found", store:at { position = 99 })
      expect.misuse(store.at, store)
      expect.misuse(store.at, store, {})
      expect.misuse(store.at, store, { pos = 1 })
      expect.misuse(store.at, store, { position = "1" })
      expect.misuse(store.at, store, { position = 1.5 })
      expect.misuse(store.at, store, { position = 1, snapshot = ID })
    end)

    it("differ as diff says", function()
      local diff = assert(store:diff({ position = 1 }, { position = 4 }))
      assert.same({ "gw" }, expect.pluck(diff.added, "hostname"))
      assert.same({ "nas" }, expect.pluck(diff.removed, "hostname"))
      assert.same({}, diff.changed)

      diff = assert(store:diff(1000, "1970-01-01T00:50:00Z"))
      assert.same({ { "gw" }, {}, 1 }, { expect.pluck(diff.added, "hostname"), diff.removed, #diff.changed })
      assert.same({ "10.0.0.1", "10.0.0.7" }, { diff.changed[1].before.ip, diff.changed[1].after.ip })

      diff = assert(store:diff({ position = 4 }, { position = 1 }))
      assert.same({ { "nas" }, { "gw" } }, { expect.pluck(diff.added, "hostname"), expect.pluck(diff.removed,
        "hostname") })
    end)

    it("differ in nothing from themselves, nor when a change was taken back", function()
      local nothing = { added = {}, removed = {}, changed = {} }
      assert.same(nothing, store:diff({ position = 3 }, { position = 3 }))
      gw = assert(store:update(gw, { comment = "x" }))
      assert(store:update(gw, { comment = hoststore.null }))
      assert.same(nothing, store:diff({ position = 4 }, { position = 6 }))
      expect.failure("not_found", store:diff({ position = 1 }, { position = 99 }))
    end)
  end)

  describe(backend.name .. ": undo", function()
    local store, nas
    before_each(function()
      store = backend.open { actor = "alice" }
      nas = assert(store:add { ip = "10.0.0.1", hostname = "nas", comment = "a", tags = { "t" }, aliases = { "b" } })
    end)
    after_each(backend.finish)

    local function now()
      return store:get(nas.id)
    end

    it("of a change brings back the value before it, and says how many events that took", function()
      assert(store:update(nas, { comment = "b", tags = { "u" } }))
      assert.equal(1, assert(store:undo(2)))
      assert.same({ "a", { "u" }, 4 }, { now().comment, now().tags, now().version })
      assert.same({ comment = { old = "b", new = "a" } }, store:history(nas.id)[4].changes)
      assert.equal(1, assert(store:undo(3)))
      assert.same({ "a", { "t" } }, { now().comment, now().tags })
    end)

    it("works for every field", function()
      local before = now()
      local changes = {
        ip = "10.0.0.9", hostname = "nas9", aliases = { "c", "d" }, comment = hoststore.null, tags = {},
          enabled = false,
        expires_at = 4e9, origin = "dhcp",
      }
      assert(store:update(nas, changes))
      for position = 2, 9 do
        assert.equal(1, assert(store:undo(position)))
      end
      local after = now()
      for _, field in ipairs { "ip", "hostname", "aliases", "comment", "tags", "enabled", "expires_at", "origin" } do
        assert.same(before[field], after[field])
      end
      assert.equal(17, after.version)
    end)

    it("of a creation deletes the host", function()
      assert.equal(1, assert(store:undo(1)))
      assert.same({}, store:list())
      assert.equal("HostDeleted", store:events({ after = 1 })[1].type)
    end)

    it("of a deletion revives the host under its id", function()
      assert(nas:delete())
      assert.equal(1, assert(store:undo(2)))
      local host = now()
      assert.same({ "nas", "a", { "t" }, { "b" }, 3 }, { host.hostname, host.comment, host.tags, host.aliases,
        host.version })
      assert.equal(nas.created_at, host.created_at)
      assert.same({ nas.id }, expect.pluck(store:lookup("b"), "id"))
      assert.same({ nas.id }, expect.pluck(store:list { tags = { "t" } }, "id"))
    end)

    it("of an undo brings the change back", function()
      assert(store:update(nas, { comment = "b" }))
      assert(store:undo(2))
      assert(store:undo(3))
      assert.equal("b", now().comment)
      assert(store:undo(4))
      assert.equal("a", now().comment)

      assert(store:undo(1))
      assert.same({}, store:list())
      assert(store:undo(6))
      assert.equal("a", now().comment)
      assert(store:undo(7))
      assert.same({}, store:list())
    end)

    it("of what was changed since is a conflict, and nothing is overwritten", function()
      assert(store:update(nas, { comment = "b" }))
      assert(store:update(nas.id, { comment = "c" }))
      local err = expect.failure("conflict", store:undo(2))
      assert.equal("c", err.current.comment)
      assert.equal("c", now().comment)
      assert.equal(3, #store:events())
      -- Another field does not matter.
      assert(store:update(nas.id, { tags = { "x" } }))
      assert(store:undo(3))
      assert.same({ "b", { "x" } }, { now().comment, now().tags })
    end)

    it("of a creation is a conflict when the host was changed since", function()
      assert(store:update(nas, { comment = "b" }))
      expect.failure("conflict", store:undo(1))
      assert.equal(1, store:count())
    end)

    it("of a change of a host that is gone is a conflict", function()
      assert(store:update(nas, { comment = "b" }))
      assert(store:delete(nas.id))
      expect.failure("conflict", store:undo(2))
      expect.failure("conflict", store:undo(1))
    end)

    it("twice is a conflict the second time", function()
      assert(store:update(nas, { comment = "b" }))
      assert(store:undo(2))
      expect.failure("conflict", store:undo(2))
      assert(now():delete())
      assert(store:undo(4))
      expect.failure("conflict", store:undo(4))
    end)

    it("of a deletion that another has followed is a conflict", function()
      assert(nas:delete())
      assert(store:undo(2))
      assert(now():delete())
      expect.failure("conflict", store:undo(2))
      assert.same({}, store:list())
      assert(store:undo(4))
      assert.equal(5, now().version)
    end)

    it("that would make a duplicate is refused", function()
      assert(store:update(nas, { hostname = "other" }))
      assert(store:add { ip = "10.0.0.1", hostname = "nas" })
      expect.failure("duplicate", store:undo(2))
      assert(store:delete(nas.id))
      assert(store:add { ip = "10.0.0.1", hostname = "other" })
      expect.failure("duplicate", store:undo(4))
      assert.same({ "nas", "other" }, expect.pluck(store:list(), "hostname"))
    end)

    it("of what is no change of a host is refused", function()
      assert(store:stream("s"):append { type = "A" })
      expect.failure("invalid", store:undo(2))
      expect.failure("not_found", store:undo(3))
      expect.failure("not_found", store:undo(0))
      expect.misuse(store.undo, store)
      expect.misuse(store.undo, store, "1")
      expect.misuse(store.undo, store, 1.5)
    end)
  end)
end
