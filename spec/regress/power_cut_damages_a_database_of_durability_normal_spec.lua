local power_cut = require "spec.proof.crash.power_cut"
local recorder = require "spec.proof.crash.recorder"
local system = require "spec.support.system"

describe("a database with durability=normal and a rollback journal", function()
  it("may lose its last changes in a power cut, and is sound", function()
    local directory = recorder.directory()
    local records = power_cut.record(directory, { options = "durability=normal&journal=truncate",
      seed = 1, changes = 25 })
    local tried, problems = power_cut.try(directory, records, { seed = 1, states = 250, lossy = true })
    system.remove(directory)
    assert.is_true(tried > 125)
    assert.same({}, problems)
  end)
end)
