local hoststore = require "hoststore"
local store = assert(hoststore.open(os.getenv "HOSTSTORE_DB" or "memory:", { actor = "anna" }))

-- A host needs an address and a name; the rest is optional.
local nas = assert(store:add { ip = "192.168.1.10", hostname = "nas.lan", aliases = { "nas" }, tags = { "storage" } })

-- What a host value was read as is what it expects: a change by somebody else is a conflict.
assert(nas:update({ ip = "192.168.1.11", comment = "moved to the rack" }, { reason = "new switch" }))
local _, err = nas:update { ip = "192.168.1.12" }
print(err.code, err.expected, err.actual)

local history = assert(store:history(nas.id))
for _, entry in ipairs(history) do
  print(entry.version, entry.type, entry.actor, entry.reason or "-")
end

print("before: " .. assert(store:at { position = nas.position }):get(nas.id).ip)
print("now:    " .. assert(store:get(nas.id)).ip)
assert(store:undo(history[2].position)) -- takes back the change of the address
io.write(assert(store:export "hosts"))
store:close()
