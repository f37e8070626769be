-- Two coroutines in store:transaction took part in each other's: what one rolled back was kept, what
-- the other committed was lost.
local backends = require "spec.support.backends"

for _, backend in ipairs(backends) do
  describe(backend.name .. ": a transaction", function()
    after_each(backend.finish)

    it("cannot be left by a yield", function()
      local store = backend.open()
      local first = coroutine.create(function()
        return store:transaction(function()
          assert(store:add { ip = "10.0.0.1", hostname = "a" })
          coroutine.yield()
        end)
      end)
      local ok, message = coroutine.resume(first)
      assert.is_false(ok)
      assert.matches("yield", message)
      assert.equal("dead", coroutine.status(first))
      assert(store:add { ip = "10.0.0.2", hostname = "b" })
      assert.equal(1, store:count())
    end)

    it("nor can an import, by its progress function", function()
      local store = backend.open()
      local ok, message = coroutine.resume(coroutine.create(function()
        return store:import({ text = "10.0.0.1 a\n" }, { progress = coroutine.yield })
      end))
      assert.is_false(ok)
      assert.matches("yield", message)
      assert.equal(0, store:count())
    end)
  end)
end
