local backends = require "spec.support.backends"
local expect = require "spec.support.expect"

for _, backend in ipairs(backends) do
  describe(backend.name .. ": a sync with a source without any host", function()
    local store

    before_each(function()
      store = backend.open()
      assert(store:import({ text = "10.0.0.1 ads.lan\n" }, { mode = "sync", origin = "import:ads" }))
    end)

    after_each(backend.finish)

    for name, source in pairs { nothing = "", comments = "# moved\n\n" } do
      it("of " .. name .. " is refused and deletes nothing", function()
        local err = expect.failure("invalid", store:import({ text = source },
          { mode = "sync", origin = "import:ads" }))
        assert.equal("the source holds no host, so nothing was deleted; if all 1 are to go, say so with max_deletes",
          err.message)
        assert.equal(1, store:count())
      end)
    end

    it("of an empty array is refused, too", function()
      expect.failure("invalid", store:import({ text = "[]" },
        { mode = "sync", origin = "import:ads", format = "json" }))
      assert.equal(1, store:count())
    end)

    it("is done when max_deletes says so", function()
      local result = assert(store:import({ text = "" }, { mode = "sync", origin = "import:ads", max_deletes = "100%" }))
      assert.equal(1, result.deleted)
    end)

    it("is nothing to refuse where there is nothing to delete", function()
      assert.equal(0, assert(store:import({ text = "" }, { mode = "sync", origin = "import:other" })).deleted)
    end)
  end)
end
