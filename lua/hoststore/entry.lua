--- Entries of an import or a plan: hosts as some source gives them.

local core = require "hoststore.core"
local neutral = require "hoststore.neutral"
local options = require "hoststore.options"

local entry = {}

local types = {
  ip = "string", hostname = "string", comment = "string", origin = "string", enabled = "boolean",
  aliases = "table", tags = "table",
}

local function is_list_of_strings(value)
  local count = 0
  for key, item in pairs(value) do
    if type(key) ~= "number" or type(item) ~= "string" then return false end
    count = count + 1
  end
  return count == #value
end

local function fail(field, format, ...)
  return nil, core.error { code = "invalid", field = field, message = format:format(...) }
end

local function check_time(field, value)
  -- A NUL would be a misuse to parse_time, and stop the whole import.
  if type(value) == "string" and value:find("\0", 1, true) then
    return fail(field, "%s is no time: it holds NUL", field)
  end
  local time, err = core.parse_time(value)
  if not time then
    err.field = field
    return nil, err
  end
  return true
end

--- Whether the values of an entry have the types of a host's fields: data from a file may have any.
---@param given table
---@return true?, hoststore.Error?
function entry.check(given)
  if type(given) ~= "table" then
    return nil, core.error { code = "invalid", message = "an entry must be a table, not " .. type(given) }
  end
  for field, value in pairs(given) do
    local wanted = types[field]
    if value == core.null then
      if field ~= "comment" and field ~= "expires_at" then return fail(field, "%s cannot be null", field) end
    elseif field == "expires_at" then
      local good, err = check_time(field, type(value) == "number" and value or tostring(value))
      if not good then
        return nil, err
      end
    elseif wanted == nil then
      return fail(tostring(field), "a host has no field '%s'", tostring(field))
    elseif type(value) ~= wanted then
      return fail(field, "%s must be a %s, not a %s", field, wanted == "table" and "list" or wanted, type(value))
    elseif wanted == "table" and not is_list_of_strings(value) then
      return fail(field, "%s must be a list of strings", field)
    end
  end
  return true
end

--- Whether an error is about one entry, so that the others can go on.
---@param err hoststore.Error
---@return boolean
function entry.is_refusal(err)
  -- A policy that refuses names a field; one that is broken concerns all entries.
  return err.code == "invalid" or err.code == "duplicate" or err.code == "policy" and err.field ~= nil
end

--- The limit of deletions that `max_deletes` means: a number, or "30%" of `total`.
---@param max_deletes number|string|nil
---@param total integer
---@return number
function entry.delete_limit(max_deletes, total)
  if max_deletes == nil then return math.huge end
  if options.is_count(max_deletes) then return max_deletes end
  local percent = neutral.number(tostring(max_deletes):match "^(%d+%.?%d*)%%$" or "")
  if not percent then
    error(("max_deletes must be a whole number or a percentage like '30%%', not '%s'"):format(tostring(max_deletes)), 3)
  end
  return math.floor(total * percent / 100)
end

--- The refusal of more deletions than allowed.
---@param deletes integer
---@param limit number
---@return nil, hoststore.Error
function entry.too_many_deletes(deletes, limit)
  return nil, core.error {
    code = "conflict", expected = limit, actual = deletes,
    message = ("%d hosts would be deleted; max_deletes allows %d. Nothing was changed"):format(deletes, limit),
  }
end

return entry
