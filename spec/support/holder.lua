--- A process that has a database open, for spec/unit/duckdb_spec.lua: holder.lua URL [readonly]
--- It says "ready", or why it could not open it, and ends when its standard input does.
local hoststore = require "hoststore"

local store, err = hoststore.open(arg[1], { readonly = arg[2] == "readonly", busy_timeout = 0 })
print(store and "ready" or err.code)
io.stdout:flush()
io.read "*a"
