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

return options
