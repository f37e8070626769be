-- An inner transaction was given up, and its undo failed: the outer one wrote nothing and said it had.
local expect = require "spec.support.expect"

for _, backend in ipairs(require "spec.support.backends") do
  describe(backend.name .. ": a transaction whose inner one cannot be undone", function()
    after_each(backend.finish)

    it("fails", function()
      local store = backend.open()
      local function give_up()
        assert(store:stream("b"):append { type = "B" })
        backend.faulty.fail_at(1, "query")
        return nil, "no"
      end
      expect.failure("query", store:transaction(function()
        assert(store:stream("a"):append { type = "A" })
        store:transaction(give_up)
        return "good"
      end))
      assert.same({}, store:events())
    end)
  end)
end
