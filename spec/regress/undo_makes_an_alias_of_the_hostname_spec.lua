-- A host was renamed from a to b and given the alias a; undoing the renaming made it a with the alias a, which
-- nobody could have added.
local backends = require "spec.support.backends"
local expect = require "spec.support.expect"

for _, backend in ipairs(backends) do
  describe(backend.name .. ": an undo that would give a host its own name as an alias", function()
    local store, host
    before_each(function()
      store = backend.open()
      host = assert(store:add { ip = "10.0.0.1", hostname = "a" })
    end)
    after_each(backend.finish)

    it("of a renaming is a conflict until the alias is undone", function()
      assert(store:update(host.id, { hostname = "b" }))
      assert(store:update(host.id, { aliases = { "a" } }))
      local err = expect.failure("conflict", store:undo(2))
      assert.same({ 2, 3, "b" }, { err.expected, err.actual, err.current.hostname })
      assert.equal(3, #store:events())
      assert(store:undo(3))
      assert(store:undo(2))
      assert.equal("a", store:get(host.id).hostname)
    end)

    it("of a change of aliases is a conflict until the renaming is undone", function()
      assert(store:update(host.id, { aliases = { "b" } }))
      assert(store:update(host.id, { aliases = {} }))
      assert(store:update(host.id, { hostname = "b" }))
      expect.failure("conflict", store:undo(3))
      assert(store:undo(4))
      assert(store:undo(3))
      assert.same({ "b" }, store:get(host.id).aliases)
    end)
  end)
end
