local failures = require "spec.support.failures"
local system = require "spec.support.system"

describe("a lease in the spool", function()
  local directory
  before_each(function() directory = system.directory() end)
  after_each(function() system.remove(directory) end)

  for kind, what in pairs { eio = "fails", short = "gives a part" } do
    it("waits, and is not put aside, when a read " .. what, function()
      local tried, problems = failures.run(directory, kind, "once", "persist", 1, { "drain the spool" })
      assert.equal("", table.concat(problems, "\n"))
      assert.is_true(tried > 20)
    end)
  end
end)
