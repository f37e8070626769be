local expect = require "spec.support.expect"
local hoststore = require "hoststore"
local system = require "spec.support.system"

describe("a text that is to be written to the path of a database", function()
  local directory, path, store

  before_each(function()
    directory = system.directory()
    path = directory .. "/hosts.db"
    store = assert(hoststore.open(path, { policies = false }))
    assert(store:add { ip = "10.0.0.1", hostname = "nas.lan" })
  end)

  after_each(function()
    store:close()
    system.remove(directory)
  end)

  for name, write in pairs {
    publish = function() return store:publish(path) end,
    ["publish in place"] = function() return store:publish(path, { mode = "in-place" }) end,
    export = function() return store:export("hosts", path) end,
    render = function() return store:render({ text = "x" }, path) end,
    dump = function() return store:dump(path) end,
  } do
    it("is refused by " .. name .. ", and the database is whole", function()
      local err = expect.failure("invalid", write())
      assert.matches("is a database; give another path", err.message, 1, true)
      local again = assert(hoststore.open(path, { policies = false }))
      assert.equal(1, again:count())
      assert.is_true(again:verify().ok)
      again:close()
    end)
  end
end)
