local core = require "hoststore.core"
local expect = require "spec.support.expect"
local system = require "spec.support.system"

for _, backend in ipairs(require "spec.support.backends") do
  describe(backend.name .. ": following the log", function()
    local faulty = backend.faulty
    local store
    before_each(function() store = backend.open() end)
    after_each(backend.finish)

    local function append(type, count)
      for _ = 1, count or 1 do
        assert(store:stream("s"):append { type = type })
      end
    end

    local function collect(options)
      local positions = {}
      for event in store:follow(options) do
        positions[#positions + 1] = event.position
      end
      return positions
    end

    -- Runs fn with a function of a table replaced by one made of it.
    local function replaced(where, name, make, fn)
      local original = where[name]
      where[name] = make(original)
      local ok, raised = pcall(fn)
      where[name] = original
      if not ok then
        error(raised, 0)
      end
    end

    it("gives what is there in its order, and ends there when the timeout is 0", function()
      assert.same({}, collect { timeout = 0 })
      append("Red", 2)
      append "Blue"
      assert.same({ 1, 2, 3 }, collect { timeout = 0 })
      assert.same({ 3 }, collect { timeout = 0, after = 2 })
      assert.same({ 1, 2 }, collect { timeout = 0, types = { "Red" } })
      assert.same({}, collect { timeout = 0, prefix = "x" })
      assert.same({}, collect { timeout = 0, after = 99 })
    end)

    it("goes on where it ended", function()
      local follow = store:follow { timeout = 0 }
      assert.is_nil(follow())
      append "Red"
      assert.equal(1, follow().position)
      assert.is_nil(follow())
      append "Red"
      assert.equal(2, follow().position)
      assert.is_nil(follow())
    end)

    it("gives each of many events once, whatever a page holds", function()
      assert(store:transaction(function()
        for _ = 1, 250 do
          append "Red"
          append "Blue"
        end
      end))
      local all, red = {}, {}
      for i = 1, 500 do
        all[i] = i
        red[#red + 1] = i % 2 == 1 and i or nil
      end
      assert.same(all, collect { timeout = 0 })
      assert.same(red, collect { timeout = 0, types = { "Red" } })
    end)

    it("searches once what does not match", function()
      local searched = {}
      replaced(core, "events", function(events)
        return function(given, query)
          searched[#searched + 1] = query.after
          return events(given, query)
        end
      end, function()
        append("Blue", 5)
        local follow = store:follow { timeout = 0, types = { "Red" } }
        assert.is_nil(follow())
        assert.is_nil(follow())
        append("Blue", 2)
        assert.is_nil(follow())
        append "Red"
        append "Blue"
        assert.equal(8, follow().position)
        assert.is_nil(follow())
        append "Red"
        assert.equal(10, follow().position)
      end)
      assert.same({ 0, 5, 7, 9 }, searched)
    end)

    it("misses nothing that is written while it looks", function()
      local left = 20
      local function write()
        if left > 0 then
          left = left - 1
          append(left % 3 == 0 and "Red" or "Blue")
        end
      end
      local found = {}
      replaced(core, "position", function(position)
        return function(given)
          local head, err = position(given)
          write()
          return head, err
        end
      end, function()
        replaced(core, "events", function(events)
          return function(given, query)
            local result, err = events(given, query)
            write()
            return result, err
          end
        end, function()
          local follow = store:follow { timeout = 0, types = { "Red" } }
          repeat
            local done = left == 0
            local event = follow()
            found[#found + 1] = event and event.position
          until done and not event
        end)
      end)
      local wanted = expect.pluck(store:events { types = { "Red" } }, "position")
      assert.equal(7, #wanted)
      assert.same(wanted, found)
    end)

    it("is done by several at once, each for itself", function()
      append "Red"
      local a, b = store:follow { timeout = 0 }, store:follow { timeout = 0, types = { "Blue" } }
      assert.equal(1, a().position)
      assert.is_nil(b())
      append "Blue"
      assert.same({ 2, 2 }, { a().position, b().position })
      assert.is_nil(a())
      assert.is_nil(b())
    end)

    it("goes on when the connection is lost or the database is busy for a while", function()
      append("Red", 3)
      append "Blue"
      -- What somebody else writes while it waits; no wait is longer.
      local function write_and_wait(wait)
        return function(given)
          store:stream("s"):append { type = "Red" }
          return wait(given, 0)
        end
      end
      for _, how in ipairs { "connection", "busy" } do
        local n = 0
        repeat
          n = n + 1
          local last = #store:events()
          faulty.fail_at(n, how, n + 1)
          replaced(core, "wait", write_and_wait, function()
            local follow = store:follow { timeout = 60, types = { "Red" }, after = last - 4 }
            for i = 3, 1, -1 do
              assert.equal(last - i, follow().position)
            end
            assert.equal(last + 1, follow().position)
          end)
          local calls = faulty.calls()
          faulty.off()
          append("Red", 2)
          append "Blue"
        until calls < n
        assert.is_true(n > 6)
      end
    end)

    it("raises what does not pass within the timeout", function()
      append "Red"
      for _, case in ipairs {
        { "connection", 0 }, { "busy", 0 }, { "connection", 0.1 }, { "busy", 0.1 }, { "query", 60 }, { "full", 60 },
      } do
        faulty.fail_at(1, case[1], 1000)
        local follow = store:follow { timeout = case[2] }
        local ok, raised = pcall(follow)
        faulty.off()
        assert.is_false(ok)
        expect.failure(case[1], nil, raised)
        -- The iterator is still good.
        assert.equal(1, follow().position)
      end
    end)

    it("cannot wait within a transaction", function()
      append "Red"
      assert(store:transaction(function()
        append "Red"
        assert.same({ 1, 2 }, collect { timeout = 0 })
        local follow = store:follow { after = 1, timeout = 60 }
        assert.equal(2, follow().position)
        assert.matches("within a transaction", expect.misuse(follow))
        expect.misuse(core.wait, store, 60)
      end))
    end)

    it("raises for options that make no sense", function()
      for _, options in ipairs {
        { before = 1 }, { after = "1" }, { after = -1 }, { after = 1.5 }, { timeout = -1 }, { timeout = "1" },
      } do
        expect.misuse(store.follow, store, options)
      end
      expect.misuse(store:follow { types = "Red", timeout = 0 })
      local events = store:follow { timeout = 0 }
      store:close()
      expect.misuse(events)
      expect.misuse(store.follow, store, { timeout = 0 })
    end)

    if backend.shared then
      it("gives what other processes write, once and in order", function()
        local pipes = {}
        for i, name in ipairs { "a", "b" } do
          local writer = system.lua("spec/support/writer.lua", backend.url, "append", name, 50)
          pipes[i] = system.popen("exec timeout 60 " .. writer .. " 2>&1 >/dev/null")
        end
        local all, of_a = {}, {}
        for event in store:follow { timeout = 60 } do
          all[#all + 1] = event.position
          if #all == 100 then
            break
          end
        end
        for event in store:follow { timeout = 60, types = { "a" } } do
          of_a[#of_a + 1] = event.data
          if #of_a == 50 then
            break
          end
        end
        for _, pipe in ipairs(pipes) do
          assert.equal("", pipe:read "*a")
          pipe:close()
        end
        for i = 1, 100 do
          assert.equal(i, all[i])
        end
        for i = 1, 50 do
          assert.equal(i - 1, of_a[i])
        end
      end)
    end

    if backend.reopen then
      it("wakes up for what was written between two waits, and by whom else", function()
        local other = backend.reopen()
        assert(core.wait(store, 0))
        for i = 1, 3 do
          assert(other:stream("s"):append { type = "Red" })
          local start = core.sys.monotonic()
          assert(core.wait(store, 120))
          -- Sooner than the wait itself: a machine that takes longer than this has stopped.
          assert.is_true(core.sys.monotonic() - start < 60)
          assert.equal(i, #store:events())
        end
      end)
    end
  end)
end
