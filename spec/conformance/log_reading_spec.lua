local expect = require "spec.support.expect"

for _, backend in ipairs(require "spec.support.backends") do
  describe(backend.name .. ": the log", function()
    local store, time, host
    before_each(function()
      time = 1000
      store = backend.open { clock = function() return time end }
      assert(store:stream("a"):append { { type = "Red" }, { type = "Blue" } })
      time = 2000
      assert(store:stream("ab"):append { type = "Red" })
      assert(store:stream("foobar"):append { type = "Green" })
      time = 3000
      assert(store:stream("a"):append { type = "Red" })
      host = assert(store:add { ip = "10.0.0.1", hostname = "nas.lan" })
    end)
    after_each(backend.finish)

    local function positions(options)
      return expect.pluck(assert(store:events(options)), "position")
    end

    it("has nothing under a name that is not UTF-8, and a transaction that asks goes on", function()
      local bad = "a\255"
      assert(store:transaction(function()
        assert.same({}, store:events { stream = bad })
        assert.same({}, store:events { prefix = bad })
        assert.same({}, store:events { types = { bad, "Red" } })
        assert.same({}, store:log { actor = bad })
        assert.same({}, store:streams { prefix = bad })
        assert.same({}, store:stream(bad):read())
        assert.equal(0, store:stream(bad):version())
        assert.is_nil((store:stream(bad):load_snapshot()))
        assert.same({}, store:lookup(bad))
        assert.same({}, store:list { hostname = bad })
        assert.same({}, store:list { tags = { bad } })
        expect.failure("not_found", store:get_snapshot(bad))
        expect.failure("not_found", store:delete_snapshot(bad))
        return store:stream("b"):append { type = "Red" }
      end))
      assert.equal(1, store:stream("b"):version())
    end)

    it("is read in the order of positions", function()
      assert.same({ 1, 2, 3, 4, 5, 6 }, positions())
      local event = store:events()[6]
      assert.same({ "host-" .. host.id, 1, "HostCreated", 3000 },
        { event.stream, event.version, event.type, event.recorded_at })
      assert.equal("nas.lan", event.data.hostname)
    end)

    it("is read on from a position", function()
      assert.same({ 5, 6 }, positions { after = 4 })
      assert.same({ 3, 4 }, positions { after = 2, limit = 2 })
      assert.same({ 1, 2, 3, 4, 5, 6 }, positions { after = 0 })
      assert.same({}, positions { after = 6 })
      assert.same({}, positions { limit = 0 })
    end)

    it("is read by stream, prefix and type", function()
      assert.same({ 1, 2, 5 }, positions { stream = "a" })
      assert.same({ 1, 2, 3, 5 }, positions { prefix = "a" })
      assert.same({ 6 }, positions { prefix = "host-" })
      assert.same({ 1, 3, 5 }, positions { types = { "Red" } })
      assert.same({ 1, 3, 4, 5 }, positions { types = { "Red", "Green" } })
      assert.same({ 5 }, positions { types = { "Red" }, stream = "a", after = 1 })
      assert.same({}, positions { types = { "red" } })
      assert.same({}, positions { prefix = "A" })
      assert.same({}, positions { prefix = "%" })
    end)

    it("raises for an unknown key", function()
      expect.misuse(store.events, store, { before = 3 })
      expect.misuse(store.streams, store, { suffix = "a" })
    end)

    it("lists its streams by name", function()
      local streams = assert(store:streams())
      assert.same({ "a", "ab", "foobar", "host-" .. host.id }, expect.pluck(streams, "stream"))
      assert.same({ stream = "a", version = 3, partition = 12, created_at = 1000, updated_at = 3000 }, streams[1])
      assert.same({ 3, 1, 1, 1 }, expect.pluck(streams, "version"))
      assert.equal(8, streams[3].partition)
    end)

    it("lists streams by prefix, partition and page", function()
      local function names(options)
        return expect.pluck(assert(store:streams(options)), "stream")
      end
      assert.same({ "a", "ab" }, names { prefix = "a" })
      assert.same({ "ab" }, names { prefix = "ab" })
      assert.same({}, names { prefix = "b" })
      assert.same({ "a" }, names { partition = 12, prefix = "a" })
      assert.same({ "a", "ab" }, names { limit = 2 })
      assert.same({ "foobar" }, names { after = "ab", limit = 1 })
      assert.same({ "ab" }, names { after = "a", prefix = "a" })
      assert.same({}, names { limit = 0 })
    end)

    it("puts the partitions a fixed hash names", function()
      for stream, partition in pairs { a = 12, foobar = 8 } do
        assert.equal(partition, store:streams({ prefix = stream, limit = 1 })[1].partition)
      end
    end)

    it("counts what its partitions hold", function()
      local streams, events, of_a = 0, 0, nil
      local last = -1
      for _, row in ipairs(assert(store:partition_stats())) do
        streams, events = streams + row.streams, events + row.events
        assert.is_true(row.partition > last and row.partition < 32)
        last = row.partition
        if row.partition == 12 then
          of_a = row
        end
      end
      assert.same({ 4, 6 }, { streams, events })
      assert.equal(3, of_a.max_version)
    end)

    it("knows every stream of it to be healthy", function()
      local health = assert(store:stream_health())
      assert.same({ "a", "ab", "foobar", "host-" .. host.id }, expect.pluck(health, "stream"))
      assert.same({ stream = "a", version = 3, watermark = 3, gap_size = 0, status = "HEALTHY" }, health[1])
    end)

    it("is empty at first", function()
      local empty = backend.open()
      assert.same({}, empty:events())
      assert.same({}, empty:streams())
      assert.same({}, empty:stream_health())
      assert.same({}, empty:partition_stats())
      assert.same({}, empty:log())
      assert.same({ ok = true, problems = {}, events = 0, hosts = 0, streams = 0 }, empty:verify())
    end)

    it("verifies, and verify counts what it holds", function()
      assert.same({ ok = true, problems = {}, events = 6, hosts = 1, streams = 4 }, store:verify())
    end)

    it("answers check, and stats that name the backend's numbers", function()
      assert.is_true(store:check())
      assert.is_table(store:stats())
    end)
  end)

  if backend.reopen then
    describe(backend.name .. ": a tenant", function()
      after_each(backend.finish)

      it("sees nothing of another", function()
        local id = "01ARZ3NDEKTSV4RRFFQ69G5FAV"
        local one = backend.open { tenant = "one" }
        local two = backend.reopen { tenant = "two" }
        assert(one:stream("s"):append { type = "A", id = id })
        local nas = assert(one:add { ip = "10.0.0.1", hostname = "nas.lan", tags = { "t" }, aliases = { "store" } })
        assert(one:stream("s"):save_snapshot(1, "state"))
        local snapshot = assert(one:snapshot { name = "mine" })

        assert.same({}, two:events())
        assert.same({}, two:list())
        assert.same({}, two:list { tags = { "t" } })
        assert.same({}, two:lookup("store"))
        assert.same({}, two:snapshots())
        assert.same({}, two:streams())
        assert.is_nil(two:stream("s"):load_snapshot())
        expect.failure("not_found", two:get(nas.id))
        expect.failure("not_found", two:update(nas.id, { comment = "x" }))
        expect.failure("not_found", two:delete(nas.id))
        expect.failure("not_found", two:get_snapshot(snapshot.id))
        expect.failure("not_found", two:restore(snapshot.id))
        expect.failure("not_found", two:delete_snapshot(snapshot.id))
        expect.failure("not_found", two:undo(1))

        -- Ids, positions and keys of one are free in the other.
        local result = assert(two:stream("s"):append { type = "A", id = id })
        assert.same({ 1, 1, false }, { result.last, result.position, result.idempotent })
        assert.equal(2, assert(two:add { ip = "10.0.0.1", hostname = "nas.lan" }).position)
        assert.same({ 2, 2 }, { one:verify().events, two:verify().events })
        assert(two:delete(two:find("10.0.0.1", "nas.lan")))
        assert.equal(nas.id, one:find("10.0.0.1", "nas.lan").id)
      end)

      it("is 'default' when none is named", function()
        local store = backend.open()
        assert(store:add { ip = "10.0.0.1", hostname = "nas.lan" })
        assert.equal(1, backend.reopen({ tenant = "default" }):count())
      end)
    end)
  end
end
