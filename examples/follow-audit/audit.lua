-- An audit trail: a line for each change of a host, who made it and why, as it happens.
--
--   lua examples/follow-audit/audit.lua [AFTER [TIMEOUT]]
--
-- AFTER is the position to begin behind (0: from the start). It waits for more until none has come
-- for TIMEOUT seconds (for ever without one; 0: the log as it is). HOSTSTORE_DB names the database.
-- The position at the start of a line is what to pass as AFTER the next time.

local hoststore = require "hoststore"

local store = assert(hoststore.open(os.getenv "HOSTSTORE_DB" or "/etc/hoststore/hoststore.db", { readonly = true }))
local after, timeout = tonumber(arg[1]) or 0, tonumber(arg[2])

local function shown(value)
  if value == nil then return "(none)" end
  if type(value) == "table" then return "[" .. table.concat(value, ", ") .. "]" end
  -- What a client sent must not reach a terminal as it is.
  return (tostring(value):gsub("%c", "?"))
end

for event in store:follow { after = after, timeout = timeout, prefix = "host-" } do
  local entry = assert(store:log { after = event.position - 1, limit = 1 })[1]
  local what = {}
  for field, change in pairs(entry.changes) do
    what[#what + 1] = ("%s: %s -> %s"):format(field, shown(change.old), shown(change.new))
  end
  table.sort(what)
  io.write(("%d\t%s\t%s\t%s\t%s%s\n"):format(entry.position, entry.type, entry.actor or "-", entry.host.hostname,
    table.concat(what, ", "), entry.reason and " (" .. entry.reason .. ")" or ""))
  io.flush()
end
store:close()
