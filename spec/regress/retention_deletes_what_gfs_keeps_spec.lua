-- A retention rule with a count deleted the monthly and yearly snapshots that the gfs of another rule kept.

local core = require "hoststore.core"
local expect = require "spec.support.expect"
local system = require "spec.support.system"

for _, backend in ipairs(require "spec.support.backends") do
  describe(backend.name .. ": retention by several rules", function()
    after_each(backend.finish)

    it("never deletes by one rule what the gfs of another keeps", function()
      local policies, now = backend.directory() .. "/policies", 1774958400 - 70 * 86400
      assert(core.sys.mkdir_p(policies))
      system.write(policies .. "/10-test.lua", [[
        retention { name = "few", count = 2 }
        retention { name = "gfs", gfs = { daily = 2, monthly = 3 } }]])
      local store = backend.open { policies = policies, clock = function() return now end }
      for day = 1, 70 do
        now = now + 86400
        assert(store:snapshot { name = tostring(day) })
      end
      assert.equal(66, assert(store:apply_policy_retention()).snapshots)
      -- The last two days, and the ends of February and January.
      assert.same({ "70", "69", "39", "11" }, expect.pluck(assert(store:snapshots()), "name"))
    end)
  end)
end
