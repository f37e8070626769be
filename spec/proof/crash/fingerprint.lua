--- What a store holds, as a short text: its position, and a digest of all that was ever acknowledged of it.
local sys = require("hoststore.core").sys

local function value_of(data)
  if type(data) ~= "table" then
    return tostring(data)
  end
  local names, parts = {}, {}
  for name in pairs(data) do
    names[#names + 1] = name
  end
  table.sort(names, function(a, b) return tostring(a) < tostring(b) end)
  for i, name in ipairs(names) do
    parts[i] = tostring(name) .. "=" .. value_of(data[name])
  end
  return "{" .. table.concat(parts, ",") .. "}"
end

---@param store hoststore.Store
---@return string
return function(store)
  local parts = {}
  local function add(list)
    for _, item in ipairs(list) do
      parts[#parts + 1] = value_of(item)
    end
  end
  local events = assert(store:events())
  add(events)
  add(assert(store:snapshots()))
  for _, feed in ipairs(assert(store:feeds())) do
    parts[#parts + 1] = ("%s %d"):format(feed.name, feed.position)
  end
  return ("%d %s"):format(#events, sys.digest(table.concat(parts, "\n")))
end
