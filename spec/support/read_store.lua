--- A process that reads a store and tries to write it, for spec/unit/sqlite_readonly_spec.lua:
---   read_store.lua URL readonly|writable
local hoststore = require "hoststore"

local store, err = hoststore.open(arg[1], { readonly = arg[2] == "readonly", busy_timeout = 0 })
if not store then
  print("open: " .. err.code)
  os.exit(0)
end
for host in store:hosts() do
  print(host.hostname, host.comment)
end
print("verify: " .. tostring(assert(store:verify()).ok))
local _, problem = store:add { ip = "10.0.0.9", hostname = "new" }
print("add: " .. (problem and problem.code or "done"))
store:close()
