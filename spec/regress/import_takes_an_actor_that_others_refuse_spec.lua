-- store:import(source, { actor = "" }) wrote events by nobody, and a reason that is not UTF-8 went into the
-- log on SQLite and was a failed query on PostgreSQL; add and update refuse both.
local backends = require "spec.support.backends"
local expect = require "spec.support.expect"

for _, backend in ipairs(backends) do
  describe(backend.name .. ": an import", function()
    after_each(backend.finish)

    it("refuses an actor and a reason that no other change may have", function()
      local store = backend.open()
      local source = { text = "10.0.0.1 a\n" }
      expect.invalid("actor", store:import(source, { actor = "" }))
      expect.invalid("reason", store:import(source, { reason = "\255" }))
      expect.invalid("actor", store:import({ text = "" }, { actor = "a\nb", mode = "sync" }))
      assert.same({}, store:events())
      assert.equal(1, assert(store:import(source, { actor = "anna", reason = "new" })).created)
    end)
  end)
end
