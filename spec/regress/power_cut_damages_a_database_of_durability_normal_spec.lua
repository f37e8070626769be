local power_cut = require "spec.proof.crash.power_cut"

describe("a database with durability=normal and a rollback journal", function()
  it("may lose its last changes in a power cut, and is sound", function()
    local tried, problems = power_cut.during(
      { options = "durability=normal&journal=truncate", seed = 1, changes = 25 },
      { seed = 1, states = 250, lossy = true })
    assert.is_true(tried > 125)
    assert.same({}, problems)
  end)
end)
