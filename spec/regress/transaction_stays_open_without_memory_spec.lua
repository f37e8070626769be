local failures = require "spec.support.failures"
local system = require "spec.support.system"

describe("a transaction that is rolled back", function()
  local directory
  before_each(function() directory = system.directory() end)
  after_each(function() system.remove(directory) end)

  it("is over, even when there is no memory for the statement that says so", function()
    local _, problems = failures.run(directory, "malloc", "once", "persist", 1, { "roll back" })
    assert.equal("", table.concat(problems, "\n"))
  end)
end)
