--- A host as a store would give it, made without one: what `fields` says, the rest plain.
local function host(fields)
  local made = {
    ip = "10.0.0.1", hostname = "nas.lan", aliases = {}, tags = {}, enabled = true, origin = "admin",
    id = "host-01ARZ3NDEKTSV4RRFFQ69G5FAV", version = 1, created_at = 1700000000, updated_at = 1700000000.25,
  }
  for key, value in pairs(fields or {}) do
    made[key] = value
  end
  return made
end

return host
