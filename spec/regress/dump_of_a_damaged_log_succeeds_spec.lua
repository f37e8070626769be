local expect = require "spec.support.expect"
local hoststore = require "hoststore"
local system = require "spec.support.system"

describe("a dump of a log with a hole", function()
  it("fails, as nobody could load it", function()
    local directory = system.directory()
    local path = directory .. "/a.db"
    local store = assert(hoststore.open(path))
    for i = 1, 5 do
      assert(store:stream("s"):append { type = "A", data = i })
    end
    store:close()
    local output, status = system.sqlite(path,
      "DROP TRIGGER events_refuse_delete; DELETE FROM events WHERE position = 3")
    assert.equal(0, status, output)
    store = assert(hoststore.open(path))
    local err = expect.failure("corrupt", store:dump(directory .. "/dump"))
    assert.matches("4 events up to position 5", err.message)
    assert.is_nil(io.open(directory .. "/dump"))
    store:close()
    system.remove(directory)
  end)
end)
