--- Checks of arguments that the Lua side shares.

local options = {}

--- Raises unless `given` is nil or a table whose keys are all in `known`; returns a table.
---@param given table?
---@param known table<string, any>  names of allowed keys
---@param what string  for the message
---@return table
function options.check(given, known, what)
  if given == nil then return {} end
  if type(given) ~= "table" then error(what .. " must be a table, not " .. type(given), 3) end
  for name in pairs(given) do
    if known[name] == nil then error(what .. " has an unknown key '" .. tostring(name) .. "'", 3) end
  end
  return given
end

--- A set out of names, for `check`.
---@param ... string
---@return table<string, boolean>
function options.set(...)
  local set = {}
  for _, name in ipairs({ ... }) do set[name] = true end
  return set
end

--- Whether a value is a whole number, not negative.
---@param value any
---@return boolean
function options.is_count(value)
  return type(value) == "number" and value >= 0 and value < math.huge and value % 1 == 0
end

local SECONDS = { s = 1, m = 60, h = 3600, d = 86400, w = 604800 }

--- The seconds of a length of time such as "30d"; nil when it is none.
---@param text string
---@return number?
function options.duration(text)
  local number, unit = text:match "^(%d+)([smhdw])$"
  return number and tonumber(number) * SECONDS[unit]
end

return options
