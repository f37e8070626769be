--- JSON whose text is the same for the same value: keys sorted, numbers exact, any bytes in strings.
---
--- A string that is not UTF-8 is written with a lone surrogate \udcXX for each stray byte, and
--- reading makes that byte of it again. An empty table is written {}.
local core = require "hoststore.core"
local neutral = require "hoststore.neutral"

local char, concat, find = string.char, table.concat, string.find
local format, gsub, sort = string.format, string.gsub, table.sort

local json = {}

-- Lua 5.3 has these two, and two kinds of number.
local number_type, to_integer = rawget(math, "type"), rawget(math, "tointeger")
local MAX_EXACT = 2 ^ 53
local MAX_DEPTH = 1000

-- All sets of characters are spelled out: %c and its like depend on the locale.
local ESCAPED = '[^ !#-[%]^-~\128-\255]'
local NOT_PLAIN = '[^ !#-[%]^-~]'
local escapes = {
  ['"'] = '\\"', ["\\"] = "\\\\", ["\b"] = "\\b", ["\f"] = "\\f",
  ["\n"] = "\\n", ["\r"] = "\\r", ["\t"] = "\\t",
}
for code = 0, 127 do
  if code < 32 or code == 127 then
    escapes[char(code)] = escapes[char(code)] or format("\\u%04x", code)
  end
end

local function encode_string(text)
  if find(text, NOT_PLAIN) then
    text = core.escape_utf8((gsub(text, ESCAPED, escapes)))
  end
  return '"' .. text .. '"'
end

local function encode_number(number)
  if number ~= number or number == math.huge or number == -math.huge then
    error("JSON cannot carry " .. tostring(number), 0)
  elseif number >= -MAX_EXACT and number <= MAX_EXACT and number % 1 == 0 then
    return format("%.0f", number)
  elseif number_type and number_type(number) == "integer" then
    error("JSON cannot carry the integer " .. number .. " exactly; give it as a string", 0)
  end
  local text
  for digits = 15, 17 do
    text = format("%." .. digits .. "g", number)
    if tonumber(text) == number then
      break
    end
  end
  -- The decimal point of the locale becomes JSON's.
  return (gsub(text, "[^%deE+-]+", "."))
end

local encode_value

local function encode_array(array, depth)
  local parts, count = {}, 0
  for _ in pairs(array) do
    count = count + 1
  end
  for i = 1, count do
    if array[i] == nil then
      error("JSON cannot carry a table that has number keys and is not a list without gaps", 0)
    end
    parts[i] = encode_value(array[i], depth)
  end
  return "[" .. concat(parts, ",") .. "]"
end

local function encode_object(object, depth)
  local keys, parts = {}, {}
  for key in pairs(object) do
    if type(key) ~= "string" then
      error("JSON cannot carry a " .. type(key) .. " as a key", 0)
    end
    keys[#keys + 1] = key
  end
  sort(keys, neutral.is_before)
  for i = 1, #keys do
    parts[i] = encode_string(keys[i]) .. ":" .. encode_value(object[keys[i]], depth)
  end
  return "{" .. concat(parts, ",") .. "}"
end

function encode_value(value, depth)
  local kind = type(value)
  if kind == "string" then
    return encode_string(value)
  elseif kind == "number" then
    return encode_number(value)
  elseif kind == "boolean" then
    return tostring(value)
  elseif value == core.null then
    return "null"
  elseif kind ~= "table" then
    error("JSON cannot carry a " .. kind, 0)
  elseif depth == MAX_DEPTH then
    error("JSON cannot carry a table nested " .. MAX_DEPTH .. " deep (or within itself)", 0)
  elseif type(next(value)) == "number" then
    return encode_array(value, depth + 1)
  end
  return encode_object(value, depth + 1)
end

--- The JSON text of a value. Raises when JSON cannot carry it.
---@param value any
---@return string text
function json.encode(value)
  if type(value) == "string" then
    return encode_string(value)
  end
  local ok, text = pcall(encode_value, value, 0)
  if not ok then
    error(text, 2)
  end
  return text
end

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
