local core = require "hoststore.core"
local hoststore = require "hoststore"
local machine_clock = require "spec.support.machine_clock"
local system = require "spec.support.system"

describe("a snapshot that was made before the clock was set", function()
  local DAY, NOW = 86400, 1772366400 -- 2026-03-01, at noon
  local directory, path, store
  before_each(function()
    directory = machine_clock.begin(function() return NOW end)
    path = directory .. "/hosts.db"
    assert(core.sys.mkdir_p(directory .. "/policies"))
    system.write(directory .. "/policies/a.lua", 'retention { name = "month", age = "30d" }')
    for _, time in ipairs { NOW - 40 * DAY, 50, NOW - 60 } do
      local writer = assert(hoststore.open(path, { clock = function() return time end }))
      assert(writer:add { ip = "10.0.0.1", hostname = ("at%.0f"):format(time) })
      assert(writer:snapshot())
      writer:close()
    end
    store = assert(hoststore.open(path, { policies = directory .. "/policies" }))
  end)
  after_each(function()
    store:close()
    machine_clock.finish()
  end)

  local function times()
    local found = {}
    for i, snapshot in ipairs(assert(store:snapshots())) do found[i] = snapshot.created_at end
    return found
  end

  it("is not deleted for its age, which nobody knows, not even by force", function()
    assert.equal(1, assert(store:apply_retention { max_age = "30d" }))
    assert.equal(0, assert(store:apply_retention { max_age = "30d", force = true }))
    assert.same({ NOW - 60, 50 }, times())
  end)

  it("is not deleted for it by a policy either", function()
    assert.same({ snapshots = 1, hosts = 0 }, assert(store:apply_policy_retention()))
    assert.same({ NOW - 60, 50 }, times())
  end)

  it("still counts", function()
    assert.equal(2, assert(store:apply_retention { max_count = 1 }))
    assert.same({ NOW - 60 }, times())
  end)
end)
