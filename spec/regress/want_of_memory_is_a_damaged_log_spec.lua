local failures = require "spec.support.failures"
local system = require "spec.support.system"

describe("a process without memory", function()
  local directory
  before_each(function() directory = system.directory() end)
  after_each(function() system.remove(directory) end)

  for kind, subject in pairs { malloc = "history", lua = "events" } do
    it("is told so, and not that the log is damaged: " .. subject, function()
      local _, problems = failures.run(directory, kind, "once", "persist", 1, { subject })
      assert.equal("", table.concat(problems, "\n"))
    end)
  end
end)
