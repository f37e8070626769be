local power_cut = require "spec.proof.crash.power_cut"
local recorder = require "spec.proof.crash.recorder"
local system = require "spec.support.system"

describe("a database whose journal is deleted with each commit", function()
  it("keeps what was acknowledged when the power is cut right after", function()
    local directory = recorder.directory()
    local records = power_cut.record(directory, { options = "durability=full&journal=delete", seed = 1, changes = 15 })
    local tried, problems = power_cut.try(directory, records, { seed = 1, states = 100 })
    system.remove(directory)
    assert.is_true(tried > 50)
    assert.same({}, problems)
  end)
end)
