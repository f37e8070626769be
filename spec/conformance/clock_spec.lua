local expect = require "spec.support.expect"
local sys = require("hoststore.core").sys

for _, backend in ipairs(require "spec.support.backends") do
  describe(backend.name .. ": the clock", function()
    local store, time
    before_each(function()
      time = 0
      store = backend.open { clock = function() return time end }
    end)
    after_each(backend.finish)

    it("of a router that boots in 1970 is written down as it is", function()
      local host = assert(store:add { ip = "10.0.0.1", hostname = "a" })
      assert.same({ 0, 0 }, { host.created_at, host.updated_at })
      assert.equal(0, store:events()[1].recorded_at)
      assert.equal("a", store:at(0):get(host.id).hostname)
    end)

    it("does not decide the order, which is position and version", function()
      for i, seconds in ipairs { 2000000000, 10, 1700000000, 9.5, 0 } do
        time = seconds
        assert(store:stream("s"):append { type = "T" .. i })
      end
      assert.same({ "T1", "T2", "T3", "T4", "T5" }, expect.pluck(store:events(), "type"))
      assert.same({ "T1", "T2", "T3", "T4", "T5" }, expect.pluck(store:stream("s"):read(), "type"))
      assert.same({ 2000000000, 10, 1700000000, 9.5, 0 }, expect.pluck(store:events(), "recorded_at"))
    end)

    it("that stands still or goes back still gives ids that strictly increase", function()
      local last = ""
      for _, seconds in ipairs { 1700000000, 1700000000, 1700000000.001, 0, 1600000000, 1700000000.002, 4102444800,
        5 } do
        time = seconds
        local result = assert(store:stream("s"):append { { type = "A" }, { type = "B" }, { type = "C" } })
        for _, id in ipairs(result.ids) do
          assert.is_true(id > last)
          last = id
        end
        local host = assert(store:add { ip = "10.0.0.1", hostname = "h" .. #store:events() })
        assert.is_true(host.id > last)
        last = store:events({ stream = "host-" .. host.id })[1].id
        assert.is_true(last >= host.id)
      end
    end)

    it("that goes back gives increasing ids across the stores of a process", function()
      time = 1900000000
      local first = assert(store:snapshot()).id
      local other = backend.open { clock = function() return 100 end }
      local second = assert(other:snapshot()).id
      assert.is_true(second > first)
    end)

    it("goes into the id of an event when it moves on", function()
      time = 4102444800
      local one = assert(store:stream("s"):append { type = "A" }).ids[1]
      -- 4102444800000 milliseconds as ten digits of base 32.
      assert.equal("03QCPC7P00", one:sub(1, 10))
    end)

    it("keeps microseconds", function()
      for _, seconds in ipairs { 1700000000.000001, 1700000000.999999, 0.000001, 4102444799.123456 } do
        time = seconds
        assert(store:stream("s"):append { type = "A" })
        local events = store:events()
        assert.equal(seconds, events[#events].recorded_at)
      end
    end)

    it("that raises lets the call raise, and nothing is written", function()
      local works = false
      local broken = backend.open { clock = function() return works and 5 or error("no battery", 0) end }
      local ok, raised = pcall(broken.add, broken, { ip = "10.0.0.1", hostname = "a" })
      assert.same({ false, "no battery" }, { ok, raised })
      works = true
      assert.same({}, broken:events())
    end)

    it("must be a function that gives seconds", function()
      expect.misuse(backend.open, { clock = 5 })
      local answer
      local text = backend.open { clock = function() return answer end }
      for _, wrong in ipairs { "soon", false, 0 / 0, 1e15, {} } do
        answer = wrong
        expect.misuse(text.add, text, { ip = "10.0.0.1", hostname = "a" })
      end
      answer = 5
      assert.equal(5, assert(text:add { ip = "10.0.0.1", hostname = "a" }).created_at)
    end)

    it("is the system's when none is given", function()
      local real = backend.open()
      local before = sys.time()
      local host = assert(real:add { ip = "10.0.0.1", hostname = "a" })
      assert.is_true(host.created_at >= before and host.created_at <= sys.time())
    end)
  end)

  if backend.reopen then
    describe(backend.name .. ": a read-only handle", function()
      local store, reader, nas
      before_each(function()
        store = backend.open()
        nas = assert(store:add { ip = "10.0.0.1", hostname = "nas", comment = "c" })
        assert(store:snapshot { name = "s" })
        reader = backend.reopen { readonly = true }
      end)
      after_each(backend.finish)

      it("reads everything, and what others write meanwhile", function()
        assert.equal("nas", reader:get(nas.id).hostname)
        assert(store:update(nas, { comment = "d" }))
        assert.equal("d", reader:get(nas.id).comment)
        assert.equal("c", reader:at({ position = 1 }):get(nas.id).comment)
        assert.equal(2, #reader:events())
        assert.equal(2, #reader:history(nas.id))
        assert.equal("s", reader:snapshots()[1].name)
        assert.equal(store:export "json", reader:export "json")
        assert.is_true(reader:verify().ok)
        assert.equal(1, #assert(reader:plan { entries = { { ip = "10.0.0.2", hostname = "b" } }, origin = "dhcp" }).add)
      end)

      it("refuses every write", function()
        local snapshot = store:snapshots()[1].id
        local before = expect.entries(store)
        local calls = {
          add = function() return reader:add { ip = "10.0.0.2", hostname = "b" } end,
          update = function() return reader:update(nas.id, { comment = "d" }) end,
          delete = function() return reader:delete(nas.id) end,
          append = function() return reader:stream("s"):append { type = "A" } end,
          append_batch = function() return reader:append_batch { { stream = "s", events = { { type = "A" } } } } end,
          save_snapshot = function() return reader:stream("s"):save_snapshot(0, 1) end,
          undo = function() return reader:undo(1) end,
          snapshot = function() return reader:snapshot() end,
          delete_snapshot = function() return reader:delete_snapshot(snapshot) end,
          restore = function() return reader:restore(snapshot) end,
          retention = function() return reader:apply_retention { max_count = 0 } end,
          import = function() return reader:import { text = "10.0.0.2 b\n" } end,
          transaction = function() return reader:transaction(function() return reader:delete(nas.id) end) end,
          plan = function()
            return assert(reader:plan { entries = { { ip = "10.0.0.2", hostname = "b" } }, origin = "dhcp" }):apply()
          end,
        }
        for name, call in pairs(calls) do
          local value, err = call()
          assert.is_nil(value, name)
          assert.equal("readonly", err.code, name)
          assert.is_false(err.retryable)
        end
        assert.same(before, expect.entries(store))
        assert.equal(1, #store:events())
        assert.equal(1, #store:snapshots())
      end)

      it("of a database that is not there makes none", function()
        reader:close()
        store:close()
        backend.clear()
        for _ = 1, 2 do
          expect.failure("not_found", require("hoststore").open(backend.url, { readonly = true }))
          expect.failure("not_found", require("hoststore").open(backend.url, { create = false }))
        end
      end)
    end)
  end
end
