local power_cut = require "spec.proof.crash.power_cut"
local recorder = require "spec.proof.crash.recorder"
local system = require "spec.support.system"

describe("a database in a directory that hoststore has made", function()
  it("is there after a power cut, with all that was acknowledged", function()
    local directory = recorder.directory()
    local records = power_cut.record(directory, { options = "durability=full&journal=wal", seed = 1, changes = 3 })
    local tried, problems = power_cut.try(directory, records, { seed = 1, states = 60 })
    system.remove(directory)
    assert.is_true(tried > 30)
    assert.same({}, problems)
  end)
end)
