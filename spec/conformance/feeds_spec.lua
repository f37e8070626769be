local expect = require "spec.support.expect"
local system = require "spec.support.system"

for _, backend in ipairs(require "spec.support.backends") do
  describe(backend.name .. ": a feed", function()
    local store, time
    before_each(function()
      time = 1000
      store = backend.open { clock = function() return time end }
      for i = 1, 5 do
        assert(store:stream("s"):append { type = "Red", data = i })
      end
    end)
    after_each(backend.finish)

    local function positions(...)
      return expect.pluck(assert((...), select(2, ...)), "position")
    end

    local function fenced(...)
      return expect.failure("conflict", ...)
    end

    local function is_fenced(feed)
      fenced(feed:read())
      fenced(feed:ack(1))
      fenced(feed:project(error))
    end

    it("begins before the first event and gives the same events until they are acknowledged", function()
      local feed = store:feed "f"
      assert.same({ 1, 2 }, positions(feed:read(2)))
      assert.same({ 1, 2, 3, 4, 5 }, positions(feed:read()))
      local event = assert(feed:read(1))[1]
      assert.same({ "s", 1, "Red", 1, 1000 },
        { event.stream, event.version, event.type, event.data, event.recorded_at })
      assert.is_true(feed:ack(2))
      assert.same({ 3, 4, 5 }, positions(feed:read()))
      assert.is_true(feed:ack(5))
      assert.same({}, feed:read())
      assert(store:stream("s"):append { type = "Red" })
      assert.same({ 6 }, positions(feed:read()))
      assert.same({}, feed:read(0))
    end)

    it("gives 100 events at a time unless told otherwise", function()
      assert(store:transaction(function()
        for _ = 1, 200 do
          assert(store:stream("s"):append { type = "Red" })
        end
      end))
      local feed = store:feed "f"
      assert.same({ 100, 205, 7 }, { #feed:read(), #feed:read(1000), #feed:read(7) })
      assert.equal(100, feed:project(function() end))
      assert.equal(105, feed:project(function() end, { limit = 1000 }))
      assert.equal(0, feed:project(function() end))
    end)

    it("is not there because it was named, or asked how it stands", function()
      local feed = store:feed "f"
      assert.same({ 5, 0 }, { feed:lag(), feed:position() })
      assert.same({}, store:feeds())
      assert.is_nil(feed.epoch)
    end)

    it("tells how far it is", function()
      local feed = store:feed "f"
      assert(feed:read())
      assert(feed:ack(3))
      assert.same({ 2, 3 }, { feed:lag(), feed:position() })
      assert.same({ { name = "f", position = 3, lag = 2, epoch = 1, updated_at = 1000 } }, store:feeds())
      assert(store:feed("a"):ack(0))
      assert(store:stream("s"):append { type = "Red" })
      assert.same({ 3, 6 }, { feed:lag(), store:feed("a"):lag() })
      assert.same({ "a", "f" }, expect.pluck(store:feeds(), "name"))
      assert.same({ 6, 3 }, expect.pluck(store:feeds(), "lag"))
    end)

    it("never goes back", function()
      local feed = store:feed "f"
      assert(feed:ack(3))
      for _, position in ipairs { 0, 1, 2, 3 } do
        assert.is_true(feed:ack(position))
        assert.equal(3, feed:position())
      end
    end)

    it("does not go beyond the end of the log", function()
      local feed = store:feed "f"
      expect.invalid("position", feed:ack(6))
      assert.same({}, store:feeds())
      assert(feed:ack(5))
      expect.invalid("position", feed:ack(6))
      assert.equal(5, feed:position())
      assert.is_true(feed:ack(5))
    end)

    it("is written by a claim and by an ack that moves it, and by nothing else", function()
      local feed = store:feed "f"
      assert(feed:read())
      assert(feed:ack(1))
      local before = store:feeds()
      time = 2000
      for _ = 1, 3 do
        assert(feed:read())
        assert(feed:ack(1))
        assert(feed:ack(0))
        assert.equal(0, feed:project(error, { limit = 0 }))
      end
      assert.same(before, store:feeds())
      assert(feed:ack(2))
      assert.same({ 2000, 1 }, { store:feeds()[1].updated_at, store:feeds()[1].epoch })
      time = 3000
      assert(store:feed("f"):read())
      assert.same({ 3000, 2 }, { store:feeds()[1].updated_at, store:feeds()[1].epoch })
      assert.equal(5, #store:events())
    end)

    it("is read by the newest reader alone", function()
      local old, new = store:feed "f", store:feed "f"
      assert(old:read())
      assert(old:ack(1))
      assert.same({ 2, 3, 4, 5 }, positions(new:read()))
      local err = fenced(old:read())
      assert.matches("another reader", err.message)
      assert.same({ 1, 2 }, { err.expected, err.actual })
      is_fenced(old)
      assert.is_true(new:ack(3))
      is_fenced(old)
      assert.same({ 3, 2 }, { new:position(), store:feeds()[1].epoch })
      -- Whoever was fenced can come back as a new reader.
      assert.same({ 4, 5 }, positions(store:feed("f"):read()))
      is_fenced(new)
    end)

    it("is claimed by an ack and by a projection, too", function()
      local a, b, c = store:feed "f", store:feed "f", store:feed "f"
      assert(a:ack(1))
      assert(b:ack(1))
      is_fenced(a)
      assert.equal(4, c:project(function() end))
      is_fenced(b)
      assert.equal(5, c:position())
    end)

    it("that is refused an ack is not claimed by it", function()
      local reader = store:feed "f"
      assert(reader:read())
      expect.invalid("position", store:feed("f"):ack(6))
      assert(reader:ack(1))
    end)

    it("goes on under an epoch that is known, as long as it is the feed's", function()
      local reader = store:feed "f"
      assert(reader:read())
      local same = store:feed("f", { epoch = reader.epoch })
      assert.same({ 1, 2, 3, 4, 5 }, positions(same:read()))
      assert(same:ack(2))
      assert(reader:ack(3))
      for _, epoch in ipairs { 2, 99 } do
        is_fenced(store:feed("f", { epoch = epoch }))
      end
      is_fenced(store:feed("g", { epoch = 1 }))
      assert(store:feed("f"):read())
      is_fenced(same)
      is_fenced(reader)
    end)

    it("and another one know nothing of each other", function()
      local a, b = store:feed "a", store:feed "b"
      assert(a:read())
      assert(b:read())
      assert(a:ack(4))
      assert.same({ 4, 0 }, { a:position(), b:position() })
      assert.same({ 1, 2, 3, 4, 5 }, positions(b:read()))
      assert(store:delete_feed "b")
      assert.same({ 5 }, positions(a:read()))
    end)

    it("that is deleted is gone, and the next begins at the start", function()
      expect.failure("not_found", store:delete_feed "f")
      local old = store:feed "f"
      assert(old:ack(3))
      assert.is_true(store:delete_feed "f")
      assert.same({}, store:feeds())
      assert.same({ 5, 0 }, { old:lag(), old:position() })
      expect.failure("not_found", store:delete_feed "f")
      assert.matches("deleted", fenced(old:read()).message)
      is_fenced(old)
      local new = store:feed "f"
      assert.same({ 1, 2, 3, 4, 5 }, positions(new:read()))
      -- However often: the reader of before must not pass for the one of now.
      is_fenced(old)
      assert(new:ack(1))
      assert.equal(1, #store:feeds())
    end)

    it("has a name like other things", function()
      for _, name in ipairs { "", "a\nb", "a\255", ("x"):rep(256) } do
        local feed = store:feed(name)
        expect.invalid("name", feed:read())
        expect.invalid("name", feed:ack(1))
        expect.invalid("name", feed:lag())
        expect.invalid("name", feed:position())
        expect.invalid("name", feed:project(error))
        expect.failure("not_found", store:delete_feed(name))
      end
      for _, name in ipairs { "ä b'\"%", ("x"):rep(255) } do
        assert(store:feed(name):ack(1))
      end
      assert.equal(2, #store:feeds())
    end)

    it("is misused with a wrong type", function()
      local feed = store:feed "f"
      for _, name in ipairs { 1, true, {} } do
        expect.misuse(store.feed, store, name)
        expect.misuse(store.delete_feed, store, name)
      end
      expect.misuse(store.feed, store)
      expect.misuse(store.feed, store, "f", { epoch = 0 })
      expect.misuse(store.feed, store, "f", { name = "f" })
      for _, count in ipairs { -1, 1.5, "2", true, 0 / 0, math.huge } do
        expect.misuse(feed.read, feed, count)
        expect.misuse(feed.ack, feed, count)
        expect.misuse(feed.project, feed, error, { limit = count })
      end
      expect.misuse(feed.ack, feed)
      expect.misuse(feed.project, feed)
      expect.misuse(feed.project, feed, error, { limits = 1 })
      assert.same({}, store:feeds())
      store:close()
      expect.misuse(feed.read, feed)
      expect.misuse(feed.ack, feed, 1)
      expect.misuse(feed.lag, feed)
    end)

    describe("within a transaction", function()
      it("is claimed and moved with it", function()
        local feed = store:feed "f"
        assert(store:transaction(function()
          assert(feed:read())
          return feed:ack(2)
        end))
        assert.same({ 3, 4, 5 }, positions(feed:read()))
        assert.equal(1, feed.epoch)
      end)

      it("that is rolled back is as before, and its reader reads on", function()
        local feed, before = store:feed "f", store:feed "f"
        assert(before:ack(1))
        for _ = 1, 2 do
          assert.is_nil((store:transaction(function()
            assert(feed:read())
            assert(feed:ack(4))
            is_fenced(before)
            return nil, "no"
          end)))
          assert.same({ { name = "f", position = 1, lag = 4, epoch = 1, updated_at = 1000 } }, store:feeds())
          assert(before:read())
        end
        assert.same({ 2, 3, 4, 5 }, positions(feed:read()))
        assert(feed:ack(2))
        is_fenced(before)
      end)

      it("that is rolled back leaves no reader that passes for the next", function()
        local a, b = store:feed "f", store:feed "f"
        store:transaction(function()
          assert(a:read())
          return nil, "no"
        end)
        assert(b:read())
        assert.equal(a.epoch, b.epoch)
        is_fenced(a)
        assert(b:ack(5))
      end)

      it("that only reads can be read on, but not claimed", function()
        local feed = store:feed "f"
        store:transaction(function()
          expect.failure("readonly", feed:read())
          expect.failure("readonly", feed:ack(1))
          expect.failure("readonly", feed:project(error))
          assert.equal(5, feed:lag())
        end, { readonly = true })
        assert(feed:read())
        assert(store:transaction(function()
          assert.same({ 1 }, positions(feed:read(1)))
          expect.failure("readonly", feed:ack(1))
          return true
        end, { readonly = true }))
      end)
    end)

    describe("projected", function()
      local function seen()
        return expect.pluck(assert(store:stream("seen"):read()), "data")
      end

      local function note(event)
        if event.stream == "seen" then
          return true
        end
        return store:stream("seen"):append { type = "Seen", data = event.position }
      end

      it("moves with what its function writes", function()
        local feed = store:feed "f"
        assert.equal(2, feed:project(note, { limit = 2 }))
        assert.same({ 1, 2 }, seen())
        assert.equal(2, feed:position())
        assert.equal(5, feed:project(note))
        assert.same({ 1, 2, 3, 4, 5 }, seen())
        assert.equal(3, feed:project(note))
        assert.same({ 0, 0 }, { feed:project(note), feed:project(error) })
        assert.same({ 1, 2, 3, 4, 5 }, seen())
        assert.equal(0, feed:lag())
      end)

      it("stays, and nothing is written, when its function fails or raises", function()
        local feed = store:feed "f"
        local function note_two(event)
          if event.position == 3 then
            return nil, "no"
          end
          return note(event)
        end
        assert.same({ nil, "no" }, { feed:project(note_two) })
        local raised = {}
        local ok, what = pcall(feed.project, feed, function(event)
          assert(note(event))
          error(raised)
        end)
        assert.is_true(not ok and what == raised)
        expect.invalid("type", feed:project(function(event)
          assert(note(event))
          return store:stream("seen"):append { type = "" }
        end))
        assert.same({}, seen())
        assert.same({ 0, 5 }, { feed:position(), feed:lag() })
        assert.same({}, store:feeds())
        assert.equal(2, feed:project(note_two, { limit = 2 }))
        assert.same({ nil, "no" }, { feed:project(note_two) })
        assert.same({ 1, 2 }, seen())
        assert.equal(2, feed:position())
      end)

      it("takes a function that returns nothing", function()
        local count = 0
        local feed = store:feed "f"
        assert.equal(5, feed:project(function() count = count + 1 end))
        assert.same({ 5, 5 }, { count, feed:position() })
      end)

      it("in turns by two readers is projected once", function()
        local feeds = { store:feed "f", store:feed "f" }
        local conflicts = 0
        for i = 1, 12 do
          local which = i % 2 + 1
          local count, err = feeds[which]:project(note, { limit = 1 })
          if not count then
            fenced(count, err)
            conflicts = conflicts + 1
            feeds[which] = store:feed "f"
          end
        end
        assert.is_true(conflicts > 3)
        while assert(store:feed("f"):project(note)) > 0 do
          assert.is_true(#seen() <= 5)
        end
        assert.same({ 1, 2, 3, 4, 5 }, seen())
      end)
    end)

    if backend.reopen then
      it("is the same for all who have the database open, and outlives them", function()
        local other = backend.reopen()
        local a, b = store:feed "f", other:feed "f"
        assert(a:read())
        assert(a:ack(2))
        assert.same({ 3, 3 }, { a:lag(), b:lag() })
        assert.same({ 3, 4, 5 }, positions(b:read()))
        is_fenced(a)
        assert(b:ack(4))
        store:close()
        other:close()
        assert.same({ 5 }, positions(backend.reopen():feed("f"):read()))
      end)

      it("of one tenant is not another's", function()
        local other = backend.reopen { tenant = "other" }
        assert(other:stream("s"):append { type = "Blue" })
        assert(store:feed("f"):ack(5))
        assert.same({}, other:feeds())
        expect.failure("not_found", other:delete_feed "f")
        local feed = other:feed "f"
        assert.equal(1, feed:lag())
        assert.equal("Blue", assert(feed:read())[1].type)
        expect.invalid("position", feed:ack(5))
        assert(feed:ack(1))
        assert.same({ 5, 0 }, { store:feed("f"):position(), store:feed("f"):lag() })
      end)

      it("can be watched by a store that only reads", function()
        assert(store:feed("f"):ack(2))
        local reader = backend.reopen { readonly = true }
        local feed = reader:feed "f"
        assert.same({ 3, 2, 5 }, { feed:lag(), feed:position(), reader:feed("g"):lag() })
        assert.equal(1, #reader:feeds())
        expect.failure("readonly", feed:read())
        expect.failure("readonly", feed:ack(3))
        expect.failure("readonly", feed:project(error))
        expect.failure("readonly", reader:delete_feed "f")
        assert.equal(2, feed:position())
      end)
    end

    if backend.shared then
      it("that two processes project while a third appends is projected exactly once", function()
        local count = 150
        local pipes = {}
        for i = 1, 2 do
          pipes[i] = system.popen("exec timeout 120 " .. system.lua("spec/support/projector.lua", backend.url,
            "numbers", "counted", count) .. " 2>&1")
        end
        pipes[3] = system.popen("exec timeout 120 " .. system.lua("spec/support/writer.lua", backend.url, "append",
          "n", count) .. " 2>&1 >/dev/null")
        local projected = 0
        for i = 1, 2 do
          local text = pipes[i]:read "*a"
          projected = projected + assert(tonumber(text:match "^(%d+)\n$"), text)
        end
        assert.equal("", pipes[3]:read "*a")
        for _, pipe in ipairs(pipes) do
          pipe:close()
        end
        local wanted = expect.pluck(store:events { stream = "shared" }, "position")
        assert.equal(count, #wanted)
        assert.same(wanted, expect.pluck(store:stream("counted"):read(), "data"))
        assert.equal(count, projected)
      end)
    end
  end)
end
