-- io.write(assert(store:export "hosts")) failed: behind the text came a nil.
local backends = require "spec.support.backends"
local system = require "spec.support.system"

for _, backend in ipairs(backends) do
  describe(backend.name .. ": a call that succeeds returns its results and no nil behind them", function()
    after_each(backend.finish)

    it("is so for export, import, publish, snapshot, restore, plan and transaction", function()
      local store = backend.open()
      assert(store:add { ip = "10.0.0.1", hostname = "a" })
      local snapshot = assert(store:snapshot())
      local path = os.tmpname()
      finally(function() os.remove(path) end)
      for name, call in pairs {
        export = function() return store:export "hosts" end,
        import = function() return store:import { text = "10.0.0.2 b\n" } end,
        publish = function() return store:publish(path) end,
        snapshot = function() return store:snapshot() end,
        restore = function() return store:restore(snapshot.id, { dry_run = true }) end,
        plan = function() return store:plan { entries = {} } end,
        transaction = function() return store:transaction(function() return 1 end) end,
        at = function() return store:at { position = 1 } end,
        stats = function() return store:stats() end,
        apply_retention = function() return store:apply_retention { max_count = 9 } end,
      } do
        assert.equal(1, select("#", call()), name)
      end
    end)

    it("is so for load", function()
      local dump = system.directory() .. "/dump"
      local store = backend.open()
      assert(store:add { ip = "10.0.0.1", hostname = "a" })
      assert(store:dump(dump))
      assert.equal(1, select("#", backend.open { tenant = "copy" }:load(dump)))
    end)

    it("is so for the retention of policies", function()
      local policies = system.directory()
      system.write(policies .. "/10-keep.lua", "retention { name = 'keep', count = 1 }")
      local store = backend.open { policies = policies }
      assert.equal(1, select("#", store:apply_policy_retention()))
    end)
  end)
end
