local expect = require "spec.support.expect"
local hoststore = require "hoststore"

local ID = "01ARZ3NDEKTSV4RRFFQ69G5FAV"

for _, backend in ipairs(require "spec.support.backends") do
  describe(backend.name .. ": a snapshot", function()
    local store, time
    before_each(function()
      time = 1000
      store = backend.open { clock = function() return time end }
      assert(store:add { ip = "10.0.0.10", hostname = "nas", aliases = { "store" }, comment = "c", tags = { "t",
        "a" } })
      assert(store:add { ip = "10.0.0.9", hostname = "off", enabled = false })
      assert(store:add { ip = "10.0.0.8", hostname = "gone", expires_at = 999 })
      assert(store:add { ip = "10.0.0.2", hostname = "gw" })
    end)
    after_each(backend.finish)

    it("is the rendered hosts file at the position of the log", function()
      local snapshot = assert(store:snapshot { name = "before the move" })
      assert.same({ "before the move", "manual", 4, 1000, 4, 26 }, {
        snapshot.name, snapshot.trigger, snapshot.position, snapshot.created_at, snapshot.entry_count, #snapshot.id,
      })
      assert.is_nil(snapshot.hosts_content)
      assert.equal("10.0.0.2\tgw\n10.0.0.10\tnas store\t# c [a, t]\n", store:get_snapshot(snapshot.id).hosts_content)
    end)

    it("needs no name, and says what triggered it", function()
      assert.same({ n = nil, t = "manual" }, { n = store:snapshot().name, t = store:snapshot({}).trigger })
      assert.equal("cron", store:snapshot({ trigger = "cron" }).trigger)
    end)

    it("is no event and changes no host", function()
      assert(store:snapshot())
      assert.equal(4, #store:events())
    end)

    it("stays as it was made", function()
      local snapshot = assert(store:snapshot())
      local before = store:get_snapshot(snapshot.id)
      assert(store:update(store:lookup("gw")[1], { comment = "new" }))
      assert.same(before, store:get_snapshot(snapshot.id))
    end)

    it("is listed newest first, without its content, by pages", function()
      local ids = {}
      for i = 1, 5 do
        -- The clock goes back, and the newest is still the one made last.
        time = 1000 - i
        ids[6 - i] = assert(store:snapshot { name = "s" .. i }).id
      end
      local list = assert(store:snapshots())
      assert.same(ids, expect.pluck(list, "id"))
      assert.same({}, expect.pluck(list, "hosts_content"))
      assert.same({ "s5", "s4" }, expect.pluck(store:snapshots { limit = 2 }, "name"))
      assert.same({ "s3", "s2" }, expect.pluck(store:snapshots { limit = 2, offset = 2 }, "name"))
      assert.same({ "s1" }, expect.pluck(store:snapshots { offset = 4 }, "name"))
      assert.same({}, store:snapshots { limit = 0 })
    end)

    it("can be deleted, once", function()
      local one, two = assert(store:snapshot()), assert(store:snapshot())
      assert.is_true(store:delete_snapshot(one.id))
      expect.failure("not_found", store:delete_snapshot(one.id))
      expect.failure("not_found", store:get_snapshot(one.id))
      assert.same({ two.id }, expect.pluck(store:snapshots(), "id"))
    end)

    it("that is not there is not_found", function()
      for _, id in ipairs { ID, "", "nonsense", "' OR 1=1 --" } do
        expect.failure("not_found", store:get_snapshot(id))
        expect.failure("not_found", store:delete_snapshot(id))
        expect.failure("not_found", store:restore(id))
      end
    end)

    it("refuses a name with control characters, and raises for unknown options", function()
      expect.failure("invalid", store:snapshot { name = "a\nb" })
      expect.misuse(store.snapshot, store, { title = "x" })
      expect.misuse(store.snapshots, store, { after = 1 })
      expect.misuse(store.get_snapshot, store)
      assert.same({}, store:snapshots())
    end)
  end)

  describe(backend.name .. ": restore", function()
    local store, kept, changed, deleted, snapshot, swapped
    -- Between the snapshot and now: one host changed, one is gone, two traded addresses, one came.
    before_each(function()
      store = backend.open { actor = "alice" }
      kept = assert(store:add { ip = "10.0.0.1", hostname = "kept" })
      changed = assert(store:add { ip = "10.0.0.2", hostname = "changed", comment = "old", tags = { "t" } })
      deleted = assert(store:add { ip = "10.0.0.3", hostname = "deleted", aliases = { "d" }, tags = { "t" } })
      swapped = {}
      for i = 1, 2 do
        swapped[i] = assert(store:add { ip = "10.0.1." .. i, hostname = "swap" })
      end
      snapshot = assert(store:snapshot())
      assert(store:update(changed, { comment = "new", tags = {}, enabled = false }))
      assert(deleted:delete())
      assert(store:update(swapped[1], { ip = "10.0.1.9" }))
      assert(store:update(swapped[2], { ip = "10.0.1.1" }))
      assert(store:update(swapped[1].id, { ip = "10.0.1.2" }))
      assert(store:add { ip = "10.0.0.4", hostname = "extra" })
    end)
    after_each(backend.finish)

    local function content(id)
      return store:get_snapshot(id).hosts_content
    end

    it("brings the hosts back, with their ids, and counts what it did", function()
      local result = assert(store:restore(snapshot.id))
      assert.same({ 1, 3, 1, 1 }, { result.added, result.updated, result.deleted, result.unchanged })
      local diff = assert(store:diff({ snapshot = snapshot.id }, { position = #store:events() }))
      assert.same({ added = {}, removed = {}, changed = {} }, diff)
      assert.equal(deleted.id, store:find("10.0.0.3", "deleted").id)
      assert.same({ deleted.id }, expect.pluck(store:lookup("d"), "id"))
      assert.same({ changed.id, deleted.id }, expect.pluck(store:list { tags = { "t" } }, "id"))
      assert.equal("10.0.1.1", store:get(swapped[1].id).ip)
      assert.same({ "old", true }, { store:get(changed.id).comment, store:get(changed.id).enabled })
      assert.is_nil((store:find("10.0.0.4", "extra")))
    end)

    it("writes events only for what differs", function()
      local before = #store:events()
      assert(store:restore(snapshot.id, { actor = "bob", reason = "oops" }))
      local counts = {}
      for _, event in ipairs(store:events { after = before }) do
        counts[event.type] = (counts[event.type] or 0) + 1
        assert.same({ "bob", "oops" }, { event.actor, event.reason })
      end
      assert.same({ CommentUpdated = 1, TagsModified = 1, EnabledChanged = 1, HostCreated = 1, IpAddressChanged = 2,
        HostDeleted = 1 }, counts)
      assert.equal(1, store:get(kept.id).version)
      -- A revived host goes on with its old stream.
      assert.equal(3, store:get(deleted.id).version)
    end)

    it("keeps a snapshot of what it replaced, which restores it again", function()
      local before = expect.entries(store)
      local result = assert(store:restore(snapshot.id))
      assert.equal("10.0.0.1\tkept\n10.0.0.4\textra\n10.0.1.1\tswap\n10.0.1.2\tswap\n", content(result.backup))
      assert.equal(result.backup, store:snapshots()[1].id)
      assert.equal("restore", store:snapshots()[1].trigger)
      assert(store:restore(result.backup))
      assert.same(before, expect.entries(store))
    end)

    it("of what is there already writes nothing", function()
      assert(store:restore(snapshot.id))
      local events = #store:events()
      local result = assert(store:restore(snapshot.id))
      assert.same({ 0, 0, 0, 5 }, { result.added, result.updated, result.deleted, result.unchanged })
      assert.equal(events, #store:events())
    end)

    it("as a dry run counts the same and leaves everything as it is", function()
      local events, snapshots = #store:events(), #store:snapshots()
      local result = assert(store:restore(snapshot.id, { dry_run = true }))
      assert.same({ added = 1, updated = 3, deleted = 1, unchanged = 1 }, result)
      assert.same({ events, snapshots }, { #store:events(), #store:snapshots() })
      assert.equal("new", store:get(changed.id).comment)
    end)

    it("takes the place of a host that has the key of one to come back", function()
      local usurper = assert(store:add { ip = "10.0.0.3", hostname = "deleted", comment = "usurper" })
      local result = assert(store:restore(snapshot.id))
      assert.equal(2, result.deleted)
      assert.equal(deleted.id, store:find("10.0.0.3", "deleted").id)
      expect.failure("not_found", store:get(usurper.id))
    end)

    it("raises for unknown options", function()
      expect.misuse(store.restore, store, snapshot.id, { dryrun = true })
      expect.misuse(store.restore, store)
      expect.misuse(store.restore, store, 5)
      expect.misuse(store.restore, store, snapshot.id, { dry_run = "yes" })
    end)
  end)

  describe(backend.name .. ": apply_retention", function()
    local store, time
    -- Snapshots s1 to s5, a day apart, the newest of them an hour ago.
    local DAY = 86400
    before_each(function()
      store = backend.open { clock = function() return time end }
      for i = 1, 5 do
        time = 1700000000 + i * DAY
        assert(store:snapshot { name = "s" .. i, trigger = i == 2 and "manual" or "cron" })
      end
      time = time + 3600
    end)
    after_each(backend.finish)

    local function names()
      return table.concat(expect.pluck(store:snapshots(), "name"), " ")
    end

    it("deletes nothing when nothing is given", function()
      assert.equal(0, assert(store:apply_retention {}))
      assert.equal(0, assert(store:apply_retention()))
      assert.equal("s5 s4 s3 s2 s1", names())
    end)

    it("keeps the newest max_count", function()
      assert.equal(0, assert(store:apply_retention { max_count = 5 }))
      assert.equal(3, assert(store:apply_retention { max_count = 2 }))
      assert.equal("s5 s4", names())
      assert.equal(2, assert(store:apply_retention { max_count = 0 }))
      assert.equal("", names())
    end)

    it("keeps those up to max_age, to the second", function()
      assert.equal(0, assert(store:apply_retention { max_age = 4 * DAY + 3600 }))
      assert.equal(1, assert(store:apply_retention { max_age = 4 * DAY + 3599 }))
      assert.equal(0, assert(store:apply_retention { max_age = 3 * DAY + 3600.5 }))
      assert.equal("s5 s4 s3 s2", names())
      assert.equal(3, assert(store:apply_retention { max_age = "1d" }))
      assert.equal("s5", names())
      assert.equal(0, assert(store:apply_retention { max_age = "1h" }))
      assert.equal(1, assert(store:apply_retention { max_age = "59m" }))
    end)

    it("deletes what either limit says", function()
      assert.equal(3, assert(store:apply_retention { max_count = 4, max_age = "2d" }))
      assert.equal("s5 s4", names())
    end)

    it("spares what keep wants, which sees the snapshot without its content", function()
      assert.equal(3, assert(store:apply_retention {
        max_count = 1,
        keep = function(meta)
          assert.is_nil(meta.hosts_content)
          return meta.trigger == "manual"
        end,
      }))
      assert.equal("s5 s2", names())
    end)

    it("of the newest counts by what was made last when the clock went back", function()
      time = 100
      assert(store:snapshot { name = "s6" })
      assert.equal(5, assert(store:apply_retention { max_count = 1 }))
      assert.equal("s6", names())
    end)

    it("deletes nothing by age when the clock is before the snapshots", function()
      time = 100
      assert.equal(0, assert(store:apply_retention { max_age = 1 }))
    end)

    it("undoes its deletions when keep raises", function()
      local ok, raised = pcall(store.apply_retention, store, { max_count = 0, keep = function(meta)
        if meta.name == "s3" then
          error("keep failed", 0)
        end
      end })
      assert.same({ false, "keep failed" }, { ok, raised })
      assert.equal("s5 s4 s3 s2 s1", names())
    end)

    it("refuses an age that is none, and raises for unknown options", function()
      expect.failure("invalid", store:apply_retention { max_age = "a month" })
      expect.misuse(store.apply_retention, store, { max_size = 5 })
      expect.misuse(store.apply_retention, store, { max_count = "5" })
      expect.misuse(store.apply_retention, store, { keep = true })
      assert.equal("s5 s4 s3 s2 s1", names())
    end)

    it("leaves hosts and events alone", function()
      local host = assert(store:add { ip = "10.0.0.1", hostname = "a", comment = "c" })
      assert(store:update(host, { comment = hoststore.null }))
      assert(store:apply_retention { max_count = 0 })
      assert.same({ 2, 1 }, { #store:events(), store:count() })
    end)
  end)
end
