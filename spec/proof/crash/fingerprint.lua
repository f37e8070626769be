--- What a store holds, as a short text: how many events, and the digest over every value of them, of snapshots, saved
--- states and feeds that a dump ends with.
local null = assert(io.open("/dev/null", "w"))

---@param store hoststore.Store
---@return string
return function(store)
  local dumped = assert(store:dump(null))
  return ("%d %s"):format(dumped.events, dumped.digest)
end
