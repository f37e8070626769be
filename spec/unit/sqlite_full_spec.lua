local system = require "spec.support.system"

-- A file system of its own takes a mount; the limit of pages is always there.
local unshare = system.namespace()

describe("a full disk", function()
  local directory
  before_each(function() directory = system.directory() end)
  after_each(function() system.remove(directory) end)

  local function check(output)
    assert.same([[
adding failed as: full
retryable: false
some were added: true
open transactions: 0
nothing is lost and nothing half written: true
all are read: true
history is read: 1
importing failed as: full
appending failed as: full
the transaction failed as: full
the careless transaction wrote nothing, or failed: true
open transactions: 0
nothing is lost and nothing half written: true
after opening again all is there: true
with room again it goes on: true
]], output)
  end

  for _, journal in ipairs { "auto", "truncate", "delete", "wal" } do
    it("of limited pages gives full, loses nothing, and reads go on (journal " .. journal .. ")", function()
      check((system.run(system.lua("spec/support/full_disk.lua", directory, journal, "pages"))))
    end)

    if unshare then
      it("of its own gives full, loses nothing, and reads go on (journal " .. journal .. ")", function()
        check((system.run(unshare .. "sh -c " .. system.quote("mount -t tmpfs -o size=300k none " ..
          system.quote(directory) .. " && exec " .. system.lua("spec/support/full_disk.lua", directory, journal,
            "disk")))))
      end)
    end
  end
end)
