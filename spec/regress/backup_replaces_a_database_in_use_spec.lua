-- store:backup onto the store's own file, or onto a database with a journal, said true and lost data;
-- onto a device it replaced the device.
local hoststore = require "hoststore"
local system = require "spec.support.system"

describe("a backup", function()
  local directory, store
  before_each(function()
    directory = system.directory()
    store = assert(hoststore.open(directory .. "/hosts.db", { journal = "truncate" }))
    assert(store:add { ip = "10.0.0.1", hostname = "a" })
  end)
  after_each(function()
    store:close()
    system.remove(directory)
  end)

  local function refused(path, words)
    local before = system.files(directory)
    local done, err = store:backup(path)
    assert.is_nil(done)
    assert.equal("invalid", err.code)
    assert.truthy(err.message:find(words, 1, true), err.message)
    assert.same(before, system.files(directory))
  end

  it("is not written over the database itself, by whatever name", function()
    refused(directory .. "/hosts.db", "the database itself")
    assert.equal(0, select(2, system.run(("ln -s hosts.db %s/link.db"):format(directory))))
    refused(directory .. "/link.db", "the database itself")
    assert.is_true(store:verify().ok)
  end)

  it("is not written over a database with a journal, which would be played into it", function()
    for _, suffix in ipairs { "-journal", "-wal" } do
      system.write(directory .. "/old.db", "old")
      system.write(directory .. "/old.db" .. suffix, "pages")
      refused(directory .. "/old.db", "old.db" .. suffix)
      assert.equal("old", system.read(directory .. "/old.db"))
      os.remove(directory .. "/old.db" .. suffix)
    end
    assert.is_true(store:backup(directory .. "/old.db"))
    assert.equal(1, assert(hoststore.open(directory .. "/old.db", { readonly = true })):count())
  end)

  it("follows a symbolic link and takes no pipe for a file", function()
    assert.equal(0, select(2, system.run(("ln -s copy.db %s/link && mkfifo %s/pipe"):format(directory, directory))))
    assert.is_true(store:backup(directory .. "/link"))
    assert.same({ "copy.db", "hosts.db", "hosts.db-journal", "link", "pipe" }, system.files(directory))
    refused(directory .. "/pipe", "no regular file")
  end)
end)
