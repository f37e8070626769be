local expect = require "spec.support.expect"
local hoststore = require "hoststore"

local ID = {
  "01ARZ3NDEKTSV4RRFFQ69G5FA1", "01ARZ3NDEKTSV4RRFFQ69G5FA2", "01ARZ3NDEKTSV4RRFFQ69G5FA3",
  "01ARZ3NDEKTSV4RRFFQ69G5FA4",
}

local function append_numbers(stream, first, last)
  for number = first, last do
    assert(stream:append { type = "Counted", data = number })
  end
end

for _, backend in ipairs(require "spec.support.backends") do
  describe(backend.name .. ": a stream", function()
    local store, orders
    local time
    before_each(function()
      time = 1700000000
      store = backend.open { actor = "tester", clock = function() return time end }
      orders = store:stream("orders")
    end)
    after_each(backend.finish)

    describe("append", function()
      it("numbers the events of a stream from 1 and those of the log across streams", function()
        local first = assert(orders:append { type = "Placed", data = { total = 5 } })
        assert.same({ 1, 1, 1, false }, { first.first, first.last, first.position, first.idempotent })
        assert(store:stream("other"):append { type = "Placed" })
        local second = assert(orders:append { { type = "Paid" }, { type = "Shipped" } })
        assert.same({ 2, 3, 4, false }, { second.first, second.last, second.position, second.idempotent })
        assert.equal(3, orders:version())
      end)

      it("answers with the ids the events have, greater each time", function()
        local result = assert(orders:append { { type = "Placed" }, { type = "Paid" }, { type = "Shipped" } })
        assert.equal(3, #result.ids)
        assert.same(expect.pluck(orders:read(), "id"), result.ids)
        assert.is_true(result.ids[1] < result.ids[2] and result.ids[2] < result.ids[3])
        for _, id in ipairs(result.ids) do
          assert.matches("^[0-9A-HJKMNP-TV-Z]+$", id)
          assert.equal(26, #id)
        end
      end)

      it("keeps everything an event was given", function()
        assert(orders:append({
          type = "Placed", id = ID[1], data = { items = { "a", "b" } }, metadata = { source = "shop" },
          occurred_at = 1600000000.25,
        }, { actor = "alice" }))
        local event = orders:read()[1]
        assert.same({
          position = 1, stream = "orders", version = 1, id = ID[1], type = "Placed",
          data = { items = { "a", "b" } }, metadata = { source = "shop" }, actor = "alice",
          occurred_at = 1600000000.25, recorded_at = 1700000000,
        }, event)
      end)

      it("takes actor, metadata and the time from the store and the call where the event has none", function()
        assert(orders:append({ { type = "A" }, { type = "B", metadata = { n = 2 } } }, { metadata = { n = 1 } }))
        local events = orders:read()
        assert.same({ "tester", "tester" }, expect.pluck(events, "actor"))
        assert.same({ { n = 1 }, { n = 2 } }, expect.pluck(events, "metadata"))
        assert.equal(1700000000, events[1].occurred_at)
      end)

      it("accepts an ISO time for when it happened", function()
        assert(orders:append { type = "Placed", occurred_at = "2026-01-31T12:00:00.000001Z" })
        assert.equal(1769860800.000001, orders:read()[1].occurred_at)
      end)

      it("refuses an empty list of events", function()
        expect.failure("invalid", orders:append({}))
        assert.equal(0, orders:version())
      end)

      it("refuses a type that is empty or holds control characters", function()
        expect.invalid("type", orders:append { type = "" })
        expect.invalid("type", orders:append { type = "Placed\n" })
        assert.equal(0, orders:version())
      end)

      it("refuses an id that is not a ULID", function()
        expect.invalid("id", orders:append { type = "Placed", id = "1" })
        expect.invalid("id", orders:append { type = "Placed", id = "01ARZ3NDEKTSV4RRFFQ69G5FAU" })
      end)

      it("refuses streams of hosts, which it can read", function()
        local host = assert(store:add { ip = "10.0.0.1", hostname = "nas.lan" })
        local stream = store:stream("host-" .. host.id)
        expect.invalid("stream", stream:append { type = "HostDeleted", data = {} })
        expect.invalid("stream", store:stream("host-anything"):append { type = "A" })
        assert.equal(1, stream:version())
        assert.equal("HostCreated", stream:read()[1].type)
      end)

      it("is all or nothing", function()
        expect.invalid("type", orders:append { { type = "Placed" }, { type = "" } })
        assert.same({}, orders:read())
        assert.same({}, store:events())
      end)

      it("raises for what is not an event", function()
        expect.misuse(orders.append, orders, "Placed")
        expect.misuse(orders.append, orders, { type = 5 })
        expect.misuse(orders.append, orders, { data = "no type" })
        expect.misuse(orders.append, orders, { { type = "A" }, { data = "no type" } })
        expect.misuse(orders.append, orders, { type = "A", colour = "red" })
        expect.misuse(orders.append, orders, { type = "A" }, { expect = "any" })
        expect.misuse(orders.append, orders, { type = "A", data = print })
        assert.same({}, orders:read())
      end)
    end)

    describe("data", function()
      local function round_trip(value)
        local stream = store:stream("values")
        assert(stream:append { type = "Value", data = value })
        local events = stream:read { direction = "backward", limit = 1 }
        return events[1].data
      end

      it("is any value JSON can carry", function()
        for _, value in ipairs { 0, -1, 1.5, 0.1, 1e300, 2 ^ 53, true, false, "", "text", { a = { b = { 1, 2 } } } } do
          assert.same(value, round_trip(value))
        end
        assert.is_nil(round_trip(hoststore.null))
        assert.same({ a = hoststore.null }, round_trip { a = hoststore.null })
      end)

      it("is JSON text where that is wanted, kept and given byte for byte", function()
        local stream = store:stream("texts")
        local data, metadata = '{"items":[], "n":9007199254740993,\n "b":1.0}', '[ ]'
        assert(stream:append({ type = "Value", data = data, metadata = metadata }, { json = true }))
        assert(store:append_batch({ { stream = "texts", events = { { type = "Value", data = "[]" } } } },
          { json = true }))
        assert(stream:append({ type = "Value" }, { json = true }))
        local function texts(events)
          return { #events, events[1].data, events[1].metadata, events[2].data, events[3].data, events[3].metadata }
        end
        local wanted = { 3, data, metadata, "[]", "null" }
        assert.same(wanted, texts(assert(stream:read { json = true })))
        assert.same(wanted, texts(assert(store:events { json = true })))
        assert.same(wanted, texts(assert(store:feed("f"):read(10, { json = true }))))
        assert.same(wanted, texts(assert(store:log { json = true })))
        local followed = {}
        for event in store:follow { timeout = 0, json = true } do followed[#followed + 1] = event end
        assert.same(wanted, texts(followed))
        assert.same({ items = {}, n = 2 ^ 53, b = 1 }, stream:read()[1].data)
      end)

      it("is refused as JSON text when it is none", function()
        local stream = store:stream("texts")
        for _, text in ipairs { "", "{", "[1,]", "nan", "'a'", "[1] 2", '"\255"', '"a\nb"', "1\0", 5, {} } do
          expect.invalid("data", stream:append({ type = "Value", data = text }, { json = true }))
          expect.invalid("metadata", stream:append({ type = "Value", metadata = text }, { json = true }))
        end
        assert.equal(0, stream:version())
      end)

      it("carries strings of any bytes", function()
        local bytes = {}
        for byte = 0, 255 do
          bytes[#bytes + 1] = string.char(byte)
        end
        local text = table.concat(bytes)
        assert.equal(text, round_trip(text))
        assert.equal("\0", round_trip("\0"))
        assert.same({ ["\255\0"] = "\237\160\128" }, round_trip { ["\255\0"] = "\237\160\128" })
      end)

      it("can be a megabyte long", function()
        local text = ("0123456789\n\"\\\0\255x"):rep(65536)
        assert.equal(text, round_trip(text))
      end)
    end)

    describe("append with an expected version", function()
      local function conflict(actual, ...)
        local err = expect.failure("conflict", ...)
        assert.equal(actual, err.actual)
        return err
      end

      it("'none' wants a stream that does not exist", function()
        assert(orders:append({ type = "A" }, { expected = "none" }))
        local err = conflict(1, orders:append({ type = "B" }, { expected = "none" }))
        assert.equal("none", err.expected)
        assert.equal(1, orders:version())
      end)

      it("'exists' wants one that does", function()
        local err = conflict(0, orders:append({ type = "A" }, { expected = "exists" }))
        assert.equal("exists", err.expected)
        assert(orders:append { type = "A" })
        assert.equal(2, assert(orders:append({ type = "B" }, { expected = "exists" })).last)
      end)

      it("a number wants just that version", function()
        assert(orders:append({ type = "A" }, { expected = 0 }))
        assert(orders:append({ type = "B" }, { expected = 1 }))
        local err = conflict(2, orders:append({ type = "C" }, { expected = 1 }))
        assert.equal(1, err.expected)
        err = conflict(2, orders:append({ type = "C" }, { expected = 3 }))
        assert.equal(3, err.expected)
        assert.same({ "A", "B" }, expect.pluck(orders:read(), "type"))
      end)

      it("'any', the default, takes every version", function()
        assert(orders:append({ type = "A" }, { expected = "any" }))
        assert(orders:append({ type = "B" }, { expected = "any" }))
        assert.equal(2, orders:version())
      end)

      it("raises for what is no expectation", function()
        for _, expected in ipairs { "some", -1, 1.5, true, {} } do
          expect.misuse(orders.append, orders, { type = "A" }, { expected = expected })
        end
      end)
    end)

    describe("append with known ids", function()
      local function pair()
        return { { type = "A", id = ID[1], data = { n = 1 } }, { type = "B", id = ID[2], data = { n = 2 } } }
      end

      it("answers as the first time and writes nothing", function()
        assert(store:stream("other"):append { type = "Before" })
        local first = assert(orders:append(pair()))
        assert(orders:append { type = "C" })
        local again = assert(orders:append(pair()))
        assert.same({ first = 1, last = 2, position = 3, idempotent = true, ids = { ID[1], ID[2] } }, again)
        assert.same({ 1, 2, 3 }, { first.first, first.last, first.position })
        assert.equal(3, orders:version())
      end)

      it("looks the ids up before the version", function()
        assert(orders:append(pair(), { expected = "none" }))
        assert.is_true(assert(orders:append(pair(), { expected = "none" })).idempotent)
        assert.is_true(assert(orders:append(pair(), { expected = 7 })).idempotent)
      end)

      it("is a partial replay when only some are known", function()
        assert(orders:append { type = "A", id = ID[1], data = { n = 1 } })
        expect.failure("partial_replay", orders:append(pair()))
        expect.failure("partial_replay", orders:append { pair()[1], { type = "Z" } })
        assert.equal(1, orders:version())
      end)

      it("is a reuse when the content differs", function()
        assert(orders:append(pair()))
        expect.failure("id_reuse", orders:append { type = "Z", id = ID[1], data = { n = 1 } })
        expect.failure("id_reuse", orders:append { type = "A", id = ID[1], data = { n = 2 } })
        expect.failure("id_reuse", orders:append { type = "A", id = ID[1], data = { n = 1 }, metadata = { n = 1 } })
        expect.failure("id_reuse", orders:append { type = "A", id = ID[1], data = { n = 1 }, occurred_at = 5 })
        assert.equal(2, orders:version())
      end)

      it("may say again when it happened, or leave that out", function()
        local event = { type = "A", id = ID[1], occurred_at = 5 }
        assert(orders:append(event))
        assert.is_true(assert(orders:append(event)).idempotent)
        assert.is_true(assert(orders:append { type = "A", id = ID[1] }).idempotent)
      end)

      it("is a reuse in another order", function()
        assert(orders:append(pair()))
        local events = pair()
        expect.failure("id_reuse", orders:append { events[2], events[1] })
      end)

      it("is a reuse in another stream", function()
        assert(orders:append(pair()))
        expect.failure("id_reuse", store:stream("other"):append(pair()))
        expect.failure("id_reuse", store:stream("other"):append(pair()[1]))
        assert.equal(0, store:stream("other"):version())
      end)

      it("answers for each half of an append that is sent again in two", function()
        assert(orders:append(pair()))
        local second = assert(orders:append(pair()[2]))
        assert.same({ 2, 2, 2, true }, { second.first, second.last, second.position, second.idempotent })
      end)

      it("refuses the same id twice in one append", function()
        expect.failure("invalid", orders:append { { type = "A", id = ID[1] }, { type = "A", id = ID[1] } })
        assert.equal(0, orders:version())
      end)
    end)

    describe("read", function()
      before_each(function() append_numbers(orders, 1, 5) end)

      local function versions(options)
        return expect.pluck(assert(orders:read(options)), "version")
      end

      it("gives all events, oldest first", function()
        assert.same({ 1, 2, 3, 4, 5 }, versions())
        assert.same({ 1, 2, 3, 4, 5 }, expect.pluck(orders:read {}, "data"))
        assert.same({ 1, 2, 3, 4, 5 }, versions { direction = "forward" })
      end)

      it("begins at from and ends at to, both included", function()
        assert.same({ 3, 4, 5 }, versions { from = 3 })
        assert.same({ 1, 2, 3 }, versions { to = 3 })
        assert.same({ 2, 3, 4 }, versions { from = 2, to = 4 })
        assert.same({ 3 }, versions { from = 3, to = 3 })
        assert.same({}, versions { from = 4, to = 3 })
        assert.same({}, versions { from = 6 })
      end)

      it("takes from = 0 for the start", function()
        assert.same({ 1, 2, 3, 4, 5 }, versions { from = 0 })
        assert.same({ 5, 4, 3, 2, 1 }, versions { from = 0, direction = "backward" })
      end)

      it("stops at the limit", function()
        assert.same({ 1, 2 }, versions { limit = 2 })
        assert.same({ 2, 3 }, versions { from = 2, limit = 2 })
        assert.same({}, versions { limit = 0 })
        assert.same({ 1, 2, 3, 4, 5 }, versions { limit = 100 })
      end)

      it("gives the newest first when backward", function()
        assert.same({ 5, 4, 3, 2, 1 }, versions { direction = "backward" })
        assert.same({ 5, 4 }, versions { direction = "backward", limit = 2 })
      end)

      it("pages backward from the newest to the oldest", function()
        assert.same({ 3, 2 }, versions { direction = "backward", from = 3, limit = 2 })
        assert.same({ 4, 3, 2 }, versions { direction = "backward", from = 4, to = 2 })
      end)

      it("gives {} for a stream that is not there", function()
        assert.same({}, store:stream("missing"):read())
        assert.equal(0, store:stream("missing"):version())
        assert.is_true(store:stream("missing"):verify().ok)
      end)

      it("raises for unknown options and directions", function()
        expect.misuse(orders.read, orders, { form = 1 })
        expect.misuse(orders.read, orders, { direction = "up" })
        expect.misuse(orders.read, orders, { limit = "2" })
        expect.misuse(orders.read, orders, { from = 1.5 })
      end)

      it("keeps streams apart whose names begin alike", function()
        append_numbers(store:stream("orders2"), 1, 1)
        append_numbers(store:stream("Orders"), 1, 1)
        assert.equal(5, orders:version())
        assert.equal(1, store:stream("Orders"):version())
      end)
    end)

    it("accepts any name without control characters", function()
      for _, name in ipairs { "a", "with space", "naïve", "'; DROP TABLE events; --", "%_*?", ("x"):rep(255) } do
        assert(store:stream(name):append { type = "A" })
        assert.equal(name, store:stream(name):read()[1].stream)
      end
      for _, name in ipairs { "", "a\nb", "\255", ("x"):rep(256) } do
        expect.invalid("stream", (function()
          local stream, err = store:stream(name)
          if not stream then
            return nil, err
          end
          return stream:append { type = "A" }
        end)())
      end
    end)

    it("verifies as long as it is whole", function()
      append_numbers(orders, 1, 3)
      assert.is_true(orders:verify().ok)
    end)

    it("raises when its name is not a string", function()
      expect.misuse(store.stream, store, 5)
      expect.misuse(store.stream, store)
    end)
  end)

  describe(backend.name .. ": a state snapshot", function()
    local store, numbers
    before_each(function()
      store = backend.open()
      numbers = store:stream("numbers")
      append_numbers(numbers, 1, 4)
    end)
    after_each(backend.finish)

    local function add(sum, event)
      return sum + event.data
    end

    it("comes back as it was saved", function()
      assert.is_nil(numbers:load_snapshot())
      assert(numbers:save_snapshot(2, { sum = 3, list = { "a" } }))
      assert.same({ version = 2, state = { sum = 3, list = { "a" } } }, numbers:load_snapshot())
    end)

    it("is never replaced by an older one", function()
      assert(numbers:save_snapshot(3, "newer"))
      assert(numbers:save_snapshot(2, "older"))
      assert.same({ version = 3, state = "newer" }, numbers:load_snapshot())
      assert(numbers:save_snapshot(4, "newest"))
      assert.same({ version = 4, state = "newest" }, numbers:load_snapshot())
    end)

    it("belongs to its stream alone", function()
      assert(numbers:save_snapshot(2, "mine"))
      assert.is_nil(store:stream("others"):load_snapshot())
    end)

    it("cannot be ahead of its stream", function()
      expect.failure("invalid", numbers:save_snapshot(5, "future"))
      assert.is_nil(numbers:load_snapshot())
    end)

    it("is no event", function()
      assert(numbers:save_snapshot(4, 10))
      assert.equal(4, numbers:version())
      assert.equal(4, #store:events())
    end)

    it("of a stream without events shows as EMPTY", function()
      assert(store:stream("unborn"):save_snapshot(0, {}))
      local health = store:stream_health()
      assert.same({ stream = "unborn", version = 0, watermark = 0, gap_size = 0, status = "EMPTY" }, health[2])
    end)

    it("is where fold goes on, and nothing is folded twice", function()
      local sum, version = numbers:fold(0, add)
      assert.same({ 10, 4 }, { sum, version })
      assert(numbers:save_snapshot(version, sum))
      append_numbers(numbers, 5, 6)
      local seen = {}
      sum, version = numbers:fold(0, function(state, event)
        seen[#seen + 1] = event.version
        return add(state, event)
      end)
      assert.same({ 21, 6 }, { sum, version })
      assert.same({ 5, 6 }, seen)
    end)

    it("is all fold needs when nothing happened since", function()
      assert(numbers:save_snapshot(4, 10))
      local sum, version = numbers:fold(0, function() error("there is no event to fold") end)
      assert.same({ 10, 4 }, { sum, version })
    end)

    it("fold of a stream that is not there gives what it began with", function()
      local state, version = store:stream("missing"):fold({ n = 1 }, function() error("no event") end)
      assert.same({ n = 1 }, state)
      assert.equal(0, version)
    end)

    it("fold passes on what its function raises", function()
      local ok, raised = pcall(numbers.fold, numbers, 0, function() error({ mine = true }) end)
      assert.is_false(ok)
      assert.same({ mine = true }, raised)
    end)

    it("fold goes through streams longer than any page", function()
      local events = {}
      for number = 1, 2500 do
        events[number] = { type = "Counted", data = number }
      end
      assert(store:stream("long"):append(events))
      local sum, version = store:stream("long"):fold(0, add)
      assert.same({ 2500 * 2501 / 2, 2500 }, { sum, version })
    end)
  end)
end
