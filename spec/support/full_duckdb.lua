--- A process whose DuckDB file runs out of space, for spec/unit/duckdb_spec.lua: full_duckdb.lua DIRECTORY ROOM BYTES
--- The directory is a small file system, ROOM so many MiB that are made free in the end, BYTES the size of an
--- event. It prints what happened, a fact a line.
local hoststore = require "hoststore"

-- The system says in it what has failed.
assert(os.setlocale "")

local url, ballast = "duckdb://" .. arg[1] .. "/hosts.duckdb", arg[1] .. "/ballast"
local file = assert(io.open(ballast, "w"))
file:write(("x"):rep(arg[2] * 1024 * 1024))
assert(file:close())

local store = assert(hoststore.open(url))
local count, done, err = 0
local function append()
  return store:stream("s"):append { type = "A", data = ("x"):rep(tonumber(arg[3])) }
end
repeat
  done, err = append()
  count = count + (done and 1 or 0)
until err
print("failed as", err.code)
print("again as", select(2, append()).code)
done, err = store:stream("s"):read()
print("all are read", not done and err.code or #done == count and count > 20)
store:close()
os.remove(ballast)
store = assert(hoststore.open(url))
print("all are there", store:stream("s"):version() == count and store:verify().ok)
print("with room again it goes on", append() ~= nil)
store:close()
