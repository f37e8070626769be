-- max_count = -1 deleted all snapshots, max_deletes = 0/0 allowed all deletions, expected_version = -1
-- expected nothing; {iot = true} in the place of {"iot"} cleared all tags.
local backends = require "spec.support.backends"
local expect = require "spec.support.expect"

local NAN = 0 / 0

for _, backend in ipairs(backends) do
  describe(backend.name .. ": an argument that makes no sense raises and changes nothing:", function()
    local store, host
    before_each(function()
      store = backend.open()
      host = assert(store:add { ip = "10.0.0.1", hostname = "a", tags = { "lan" }, origin = "import:x" })
      assert(store:snapshot())
    end)
    after_each(backend.finish)

    it("limits of retention", function()
      for _, rules in ipairs { { max_count = -1 }, { max_count = 0.5 }, { max_count = NAN }, { max_age = -1 },
        { max_age = NAN } } do
        expect.misuse(store.apply_retention, store, rules)
      end
      assert.equal(1, #store:snapshots())
    end)

    it("limits of deletion", function()
      local plan = assert(store:plan { entries = {}, origin = "import:x" })
      for _, limit in ipairs { NAN, -1, 0.5, "many", "-1%" } do
        expect.misuse(store.import, store, { text = "" }, { mode = "sync", origin = "import:x", max_deletes = limit })
        expect.misuse(plan.apply, plan, { max_deletes = limit })
      end
      assert.equal(1, store:count())
    end)

    it("versions and limits", function()
      expect.misuse(store.update, store, host.id, { comment = "x" }, { expected_version = -1 })
      expect.misuse(store.delete, store, host.id, { expected_version = -1 })
      for _, limit in ipairs { -1, 0.5, NAN, "2" } do
        for _, method in ipairs { "list", "hosts", "log", "events", "streams", "snapshots" } do
          expect.misuse(store[method], store, { limit = limit })
        end
        expect.misuse(store.history, store, host.id, { limit = limit })
      end
      assert.equal(1, store:get(host.id).version)
    end)

    it("sets in the place of arrays", function()
      expect.misuse(store.update, store, host, { tags = { iot = true } })
      expect.misuse(store.list, store, { tags_none = { lan = true } })
      assert.same({ "lan" }, store:get(host.id).tags)
    end)
  end)

  describe(backend.name .. ": a source without one good record", function()
    after_each(backend.finish)

    it("deletes nothing in mode sync", function()
      local store = backend.open()
      assert(store:add { ip = "10.0.0.1", hostname = "a", origin = "import:x" })
      local err = expect.failure("invalid",
        store:import({ text = "<html>\n<h1>404 not found</h1>\n" }, { mode = "sync", origin = "import:x" }))
      assert.equal(1, err.line)
      assert.equal(1, store:count())
    end)
  end)
end
