local failures = require "spec.support.failures"
local system = require "spec.support.system"

describe("a disk that has no room", function()
  local directory
  before_each(function() directory = system.directory() end)
  after_each(function() system.remove(directory) end)

  -- Some file systems look for room when a file is synced.
  for _, journal in ipairs { "persist", "wal" } do
    it("is full, whichever call finds out (journal " .. journal .. ")", function()
      local tried, problems = failures.run(directory, "enospc", "once", journal, 1, { "add", "open a new one" })
      assert.equal("", table.concat(problems, "\n"))
      assert.is_true(tried > 20)
    end)
  end
end)
