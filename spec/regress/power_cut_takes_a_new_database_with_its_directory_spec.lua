local power_cut = require "spec.proof.crash.power_cut"

describe("a database in a directory that hoststore has made", function()
  it("is there after a power cut, with all that was acknowledged", function()
    local tried, problems = power_cut.during(
      { options = "durability=full&journal=wal", seed = 1, changes = 3 },
      { seed = 1, states = 60 })
    assert.is_true(tried > 30)
    assert.same({}, problems)
  end)
end)
