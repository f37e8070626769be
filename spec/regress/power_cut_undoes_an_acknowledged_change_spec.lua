local power_cut = require "spec.proof.crash.power_cut"

describe("a database whose journal is deleted with each commit", function()
  it("keeps what was acknowledged when the power is cut right after", function()
    local tried, problems = power_cut.during(
      { options = "durability=full&journal=delete", seed = 1, changes = 15 },
      { seed = 1, states = 100 })
    assert.is_true(tried > 50)
    assert.same({}, problems)
  end)
end)
