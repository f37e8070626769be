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

  for _, journal in ipairs { "auto", "truncate", "delete", "persist", "wal" } do
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

  -- Without a write-ahead log, "auto" is the same.
  for _, case in ipairs { { "persist", 1024, "200k" }, { "persist", 4096, "1M" }, { "wal", 1024, "2M" } } do
    local journal, page_size, size = case[1], case[2], case[3]
    if unshare then
      it(("is no obstacle to what only deletes, and that makes room (journal %s, pages of %d bytes)"):format(journal,
        page_size), function()
        assert.equal([[
hosts are read: 5
it verifies: true
hosts are read: 5
adding fails as: full
a feed is acknowledged: true
a snapshot is deleted: true
a host is found: true
a saved state is replaced: true
a feed is deleted: true
in one transaction retention deletes all or fails as full: true
retention deletes all but one: true
a host is deleted: true
a host is added: true
it verifies: true
it verifies when opened again: true
]], (system.run(unshare .. "sh -c " .. system.quote(("mount -t tmpfs -o size=%s none %s && exec "):format(size,
          system.quote(directory)) .. system.lua("spec/support/full_disk_room.lua", directory, journal, page_size)))))
      end)
    end
  end
end)
