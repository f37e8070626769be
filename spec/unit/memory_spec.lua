-- What a long-lived process keeps in memory. `make bench BENCH=memory` does a million operations.

local churn_of = require "spec.support.churn"
local faulty = require "hoststore_faulty"
local hoststore = require "hoststore"
local system = require "spec.support.system"

-- Until then the page cache of SQLite fills, which is 2000 KiB.
local WARM_UP, OPERATIONS = 16000, 20000

local function held()
  collectgarbage()
  collectgarbage()
  return collectgarbage "count" * 1024, faulty.allocated() or 0
end

describe("a store that is used for long", function()
  local directory, store

  before_each(function()
    directory = system.directory()
    store = assert(hoststore.open("sqlite://" .. directory .. "/hosts.db?journal=wal&durability=normal"))
  end)

  after_each(function()
    store:close()
    system.remove(directory)
  end)

  it("holds no more memory after 20 000 operations than before them", function()
    local churn = churn_of(store)
    for i = 1, WARM_UP do churn(i) end
    local lua, all = held()
    for i = WARM_UP + 1, WARM_UP + OPERATIONS do churn(i) end
    local lua_later, all_later = held()
    -- A byte left behind by each operation would be 20 000, the smallest object of Lua's ten times as much and more;
    -- what LuaJIT compiles meanwhile is less.
    assert.is_true(lua_later - lua < 100000, ("Lua holds %.0f bytes more"):format(lua_later - lua))
    assert.is_true(all_later - all < 20000, ("%.0f bytes more are allocated"):format(all_later - all))
  end)
end)
