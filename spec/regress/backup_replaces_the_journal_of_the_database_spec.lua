-- A backup to hosts.db-journal was done: the journal was gone, and with it what a crash would have needed.
local hoststore = require "hoststore"
local system = require "spec.support.system"

for _, journal in ipairs { "truncate", "delete", "wal" } do
  describe("a backup of a database with journal=" .. journal, function()
    local directory, store

    before_each(function()
      directory = system.directory()
      store = assert(hoststore.open(directory .. "/hosts.db", { journal = journal }))
      assert(store:add { ip = "10.0.0.1", hostname = "a" })
    end)
    after_each(function()
      store:close()
      system.remove(directory)
    end)

    it("takes no name that SQLite uses for the database, whether there is such a file or not", function()
      local before = system.files(directory)
      assert.equal(0, select(2, system.run(("ln -s hosts.db-wal %s/link"):format(directory))))
      for _, name in ipairs { "hosts.db-journal", "hosts.db-wal", "hosts.db-shm", "link" } do
        local done, err = store:backup(directory .. "/" .. name)
        assert.is_nil(done)
        assert.same({ "invalid", "path" }, { err.code, err.field })
        assert.truthy(err.message:find("uses beside it", 1, true), err.message)
      end
      before[#before + 1] = "link"
      assert.same(before, system.files(directory))
      assert.is_true(store:backup(directory .. "/copy.db-wal"))
    end)
  end)
end
