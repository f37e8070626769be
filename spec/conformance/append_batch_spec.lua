local expect = require "spec.support.expect"

local ID = "01ARZ3NDEKTSV4RRFFQ69G5FAV"

for _, backend in ipairs(require "spec.support.backends") do
  describe(backend.name .. ": append_batch", function()
    local store
    before_each(function()
      store = backend.open()
      assert(store:stream("a"):append { { type = "A1" }, { type = "A2" } })
    end)
    after_each(backend.finish)

    it("appends to several streams at once, in order", function()
      local results = assert(store:append_batch {
        { stream = "b", events = { { type = "B1" } }, expected = "none" },
        { stream = "a", events = { { type = "A3" }, { type = "A4" } }, expected = 2 },
        { stream = "b", events = { { type = "B2" } }, expected = 1 },
      })
      assert.same({ 1, 3, 2 }, expect.pluck(results, "first"))
      assert.same({ 1, 4, 2 }, expect.pluck(results, "last"))
      assert.same({ 3, 5, 6 }, expect.pluck(results, "position"))
      assert.same({ "A1", "A2", "B1", "A3", "A4", "B2" }, expect.pluck(store:events(), "type"))
      assert.same(expect.pluck(store:stream("a"):read { from = 3 }, "id"), results[2].ids)
    end)

    it("refuses all when one is refused, and says which", function()
      local err = expect.failure("conflict", store:append_batch {
        { stream = "b", events = { { type = "B1" } } },
        { stream = "a", events = { { type = "A3" } }, expected = 1 },
        { stream = "c", events = { { type = "C1" } } },
      })
      assert.same({ 2, 1, 2 }, { err.index, err.expected, err.actual })
      assert.equal(2, #store:events())
    end)

    it("refuses all when one is not valid, and says which", function()
      local err = expect.failure("invalid", store:append_batch {
        { stream = "b", events = { { type = "B1" } } },
        { stream = "c", events = { { type = "" } } },
      })
      assert.equal(2, err.index)
      err = expect.failure("invalid", store:append_batch {
        { stream = "host-x", events = { { type = "HostCreated" } } },
        { stream = "c", events = { { type = "C" } } },
      })
      assert.equal(1, err.index)
      assert.equal(2, #store:events())
    end)

    it("checks the version of a host, and writes where that holds", function()
      local host = assert(store:add { ip = "10.0.0.1", hostname = "nas.lan" })
      local check = { stream = "host-" .. host.id, events = {}, expected = 1 }
      local audit = { stream = "audit", events = { { type = "Seen" } } }
      local results = assert(store:append_batch { check, audit })
      assert.same({ 2, 1 }, { #results, results[2].last })
      assert(store:update(host, { comment = "moved" }))
      local _, err = store:append_batch { check, audit }
      assert.same({ "conflict", 1, 1, 2 }, { err.code, err.index, err.expected, err.actual })
      assert.equal(1, store:stream("audit"):version())
    end)

    it("does what it can when it is not atomic", function()
      local results = assert(store:append_batch({
        { stream = "b", events = { { type = "B1" } } },
        { stream = "a", events = { { type = "A3" } }, expected = 1 },
        { stream = "host-x", events = { { type = "X" } } },
        { stream = "c", events = { { type = "C1" } }, expected = "none" },
      }, { atomic = false }))
      assert.equal(4, #results)
      assert.same({ 1, 3 }, { results[1].last, results[1].position })
      assert.equal("conflict", results[2].error.code)
      assert.equal(2, results[2].error.actual)
      assert.is_nil(results[2].last)
      assert.equal("invalid", results[3].error.code)
      assert.same({ 1, 4 }, { results[4].last, results[4].position })
      assert.is_nil(results[1].error)
      assert.same({ "A1", "A2", "B1", "C1" }, expect.pluck(store:events(), "type"))
    end)

    it("only checks the version of an operation without events", function()
      local results = assert(store:append_batch {
        { stream = "a", events = {}, expected = 2 },
        { stream = "b", events = { { type = "B1" } } },
      })
      assert.same({}, results[1].ids)
      assert.equal(2, results[1].last)
      assert.equal(2, store:stream("a"):version())
      local err = expect.failure("conflict", store:append_batch {
        { stream = "b", events = { { type = "B2" } } },
        { stream = "a", events = {}, expected = 3 },
      })
      assert.same({ 2, 3, 2 }, { err.index, err.expected, err.actual })
      assert.equal(1, store:stream("b"):version())
    end)

    it("can be a single check", function()
      local results = assert(store:append_batch { { stream = "a", events = {}, expected = 2 } })
      assert.equal(2, results[1].last)
      expect.failure("conflict", store:append_batch { { stream = "a", events = {}, expected = "none" } })
    end)

    it("answers known ids as the first time", function()
      local function batch()
        return { { stream = "b", events = { { type = "B1", id = ID } }, expected = "none" },
          { stream = "a", events = {}, expected = "exists" } }
      end
      assert(store:append_batch(batch()))
      local results = assert(store:append_batch(batch()))
      assert.same({ true, 1, 3 }, { results[1].idempotent, results[1].last, results[1].position })
      assert.equal(3, #store:events())
    end)

    it("reports ids used elsewhere", function()
      assert(store:stream("a"):append { type = "A3", id = ID })
      local err = expect.failure("id_reuse", store:append_batch {
        { stream = "b", events = { { type = "B1" } } },
        { stream = "b", events = { { type = "A3", id = ID } } },
      })
      assert.equal(2, err.index)
      assert.equal(0, store:stream("b"):version())
    end)

    it("raises for what is no operation", function()
      expect.misuse(store.append_batch, store, "a")
      expect.misuse(store.append_batch, store, { { events = { { type = "A" } } } })
      expect.misuse(store.append_batch, store, { { stream = "a", events = { { type = "A" } }, when = 1 } })
      expect.misuse(store.append_batch, store, { { stream = "a", events = { { type = "A" } } } }, { atomc = true })
      assert.equal(2, #store:events())
    end)
  end)
end
