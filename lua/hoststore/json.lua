--- JSON whose text is the same for the same value: keys sorted, numbers exact, any bytes in strings.
---
--- A string that is not UTF-8 is written with a lone surrogate \udcXX for each stray byte, and
--- reading makes that byte of it again. An empty table is written {}.
local core = require "hoststore.core"

local char, find, gsub = string.char, string.find, string.gsub

local json = {}

-- Lua 5.3 has this, and two kinds of number.
local to_integer = rawget(math, "tointeger")
local MAX_EXACT = 2 ^ 53
local MAX_DEPTH = 1000

--- The JSON text of a value. Raises when JSON cannot carry it.
---@type fun(value: any): string
json.encode = core.encode_json

local cjson

local function load_cjson()
  local found, module = pcall(require, "cjson")
  if not found then
    error("JSON is read with lua-cjson, which is not installed: " .. module, 0)
  end
  cjson = module.new()
  cjson.decode_invalid_numbers(false)
  cjson.decode_max_depth(MAX_DEPTH)
end

-- Lone surrogates from \udc80 to \udcff are bytes. One behind a high surrogate is half of a
-- character, and a backslash behind a backslash begins nothing.
local function restore_bytes(text)
  local pair_ends
  return (gsub(text, "()\\(.)(%x?%x?%x?%x?)", function(position, letter, digits)
    if letter ~= "u" then
      return nil
    elseif find(digits, "^[dD][89abAB]") then
      pair_ends = position + 6
    elseif position ~= pair_ends and find(digits, "^[dD][cC][89a-fA-F]") then
      return char(tonumber(digits:sub(3), 16))
    end
  end))
end

local function restore_integer(number)
  if number >= -MAX_EXACT and number <= MAX_EXACT then
    return to_integer(number) or number
  end
  return number
end

-- cjson makes a float of every number. Most values are texts, which cost no call here.
local function restore_integers(values)
  for key, value in pairs(values) do
    local kind = type(value)
    if kind == "number" then
      values[key] = restore_integer(value)
    elseif kind == "table" then
      restore_integers(value)
    end
  end
end

--- The value of a JSON text, null as hoststore.null.
---@param text string
---@return any value, string? message
function json.decode(text)
  if not cjson then
    load_cjson()
  end
  if find(text, "\\u", 1, true) and find(text, "\\u[dD][cC]") then
    text = restore_bytes(text)
  end
  local ok, value = pcall(cjson.decode, text)
  if not ok and value == "not enough memory" then
    error(value, 0)
  elseif not ok then
    return nil, value
  elseif to_integer and type(value) == "table" then
    restore_integers(value)
  elseif to_integer and type(value) == "number" then
    value = restore_integer(value)
  end
  return value
end

return json
