--- Hosts as JSON objects, one a line.
local core = require "hoststore.core"
local formats = require "hoststore.format"
local json = require "hoststore.json"

local ndjson = { fields = { comment = true, tags = true, aliases = true } }

local function is_text(value)
  return type(value) == "string"
end

local function is_time(value)
  return type(value) == "string" or type(value) == "number"
end

local function is_boolean(value)
  return type(value) == "boolean"
end

local function is_list(value)
  if type(value) ~= "table" or (next(value) ~= nil and #value == 0) then
    return false
  end
  for _, item in ipairs(value) do
    if type(item) ~= "string" then
      return false
    end
  end
  return true
end

-- What each field may hold, and what null says of it: nothing, or that it is empty.
local readers = {
  ip = { is = is_text, expected = "a string" },
  hostname = { is = is_text, expected = "a string" },
  aliases = { is = is_list, expected = "an array of strings", empty = function() return {} end },
  comment = { is = is_text, expected = "a string or null", empty = function() return core.null end },
  tags = { is = is_list, expected = "an array of strings", empty = function() return {} end },
  enabled = { is = is_boolean, expected = "true or false" },
  expires_at = { is = is_time, expected = "a time or null", empty = function() return core.null end },
  origin = { is = is_text, expected = "a string" },
}
-- Written for people and scripts, made anew by the store.
local ignored = { id = true, version = true, position = true, created_at = true, updated_at = true }

--- The entry that a decoded object describes.
---@param object any
---@return table? entry, string? message
function ndjson.entry(object)
  if type(object) ~= "table" or object[1] ~= nil then
    return nil, "not a JSON object"
  end
  local entry, problems = {}, {}
  for key, value in pairs(object) do
    local reader = readers[key]
    if not reader then
      if not ignored[key] then
        problems[#problems + 1] = formats.quote(key) .. " is no field of a host"
      end
    elseif value == core.null then
      entry[key] = reader.empty and reader.empty()
    elseif reader.is(value) then
      entry[key] = value
    else
      problems[#problems + 1] = ("'%s' must be %s"):format(key, reader.expected)
    end
  end
  if problems[1] then
    -- Keys come in no order, and a message must not change from run to run.
    table.sort(problems)
    return nil, problems[1]
  end
  return entry
end

--- The entry in a JSON text.
---@param text string
---@return table? entry, string? message
function ndjson.decode(text)
  local object, message = json.decode(text)
  if message then
    return nil, "not JSON: " .. message
  end
  return ndjson.entry(object)
end

local function encode_list(list)
  return list[1] and json.encode(list) or "[]"
end

local function encode_time(time)
  return time and '"' .. core.format_time(time) .. '"' or "null"
end

--- A host as a JSON object, its fields in their usual order.
---@param host hoststore.Host
---@return string text
function ndjson.encode(host)
  return '{"ip":' .. json.encode(host.ip)
    .. ',"hostname":' .. json.encode(host.hostname)
    .. ',"aliases":' .. encode_list(host.aliases)
    .. ',"comment":' .. (host.comment and json.encode(host.comment) or "null")
    .. ',"tags":' .. encode_list(host.tags)
    .. ',"enabled":' .. tostring(host.enabled)
    .. ',"expires_at":' .. encode_time(host.expires_at)
    .. ',"origin":' .. json.encode(host.origin)
    .. ',"id":' .. json.encode(host.id)
    .. ',"version":' .. json.encode(host.version)
    .. ',"created_at":' .. encode_time(host.created_at)
    .. ',"updated_at":' .. encode_time(host.updated_at)
    .. "}"
end

---@param lines hoststore.Lines
---@return fun(): integer?, table?, string?
function ndjson.read(lines)
  return function()
    while true do
      local number, line, message = lines:next()
      if not line then
        return number, nil, message
      elseif line:find("[^\t-\r ]") then
        return number, ndjson.decode(line)
      end
    end
  end
end

---@param iterator fun(): hoststore.Host?
---@param sink fun(text: string)
---@return integer count
function ndjson.write(iterator, sink)
  local count = 0
  for host in iterator do
    sink(ndjson.encode(host) .. "\n")
    count = count + 1
  end
  return count
end

return ndjson
