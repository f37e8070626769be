--- Makes a DuckDB file in a DIRECTORY that is not there and, while its log is beside it, lists who may do what
--- with them, for spec/unit/duckdb_spec.lua: modes_of_duckdb.lua DIRECTORY
local hoststore = require "hoststore"

local store = assert(hoststore.open("duckdb://" .. arg[1] .. "/hosts.duckdb"))
assert(store:add { ip = "10.0.0.1", hostname = "a" })
local function list()
  local pipe = assert(io.popen("cd '" .. arg[1] .. "' && find . -printf '%M %f\\n' | LC_ALL=C sort"))
  local text = pipe:read "*a"
  pipe:close()
  return text
end

local before = list()
store:close()
io.write(before)
local kept = before:gsub("[^\n]*%.wal\n", "")
assert(list() == kept)
