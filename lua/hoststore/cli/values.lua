-- What the words of a command line mean: times, moments, hosts, assignments.
-- A converter returns a value, or nil and a message, as argparse wants it.

local clock = require "hoststore.clock"
local core = require "hoststore.core"
local neutral = require "hoststore.neutral"
local options = require "hoststore.options"

local values = {}

-- How many seconds a word is away from now; nil when it names a time itself.
local function distance(word)
  return word == "now" and 0 or options.duration(word)
end

local function absolute(word)
  local parsed = core.parse_time(word)
  if parsed then
    return parsed
  end
  return nil, ("'%s' is no time: use 2026-01-31, 2026-01-31T12:00:00Z, or 30m, 2h, 30d, 4w"):format(word)
end

--- A time in the past: ISO 8601, or how long ago.
function values.past(word)
  local seconds = distance(word)
  if seconds then
    return core.sys.time() - seconds
  end
  return absolute(word)
end

local Delay = {}

--- A time in the future: ISO 8601, or in how long. That becomes a time with values.due, as it takes a clock that
--- can be believed.
function values.future(word)
  local seconds = distance(word)
  if seconds then
    return setmetatable({ seconds = seconds }, Delay)
  end
  return absolute(word)
end

--- The time that values.future has read; "conflict" when it is reckoned from a clock that cannot be believed. What is
--- no delay stays as it is.
---@return any time, hoststore.Error? err
function values.due(store, value)
  if getmetatable(value) ~= Delay then
    return value
  end
  local now, err = clock.to_reckon_from(store)
  return now and now + value.seconds, err
end

--- A length of time in seconds.
function values.age(word)
  local seconds = options.duration(word) or tonumber(word:match "^%d+$")
  if seconds then
    return seconds
  end
  return nil, ("'%s' is no length of time: use seconds, or 30m, 2h, 30d, 4w"):format(word)
end

--- A short length of time in seconds, which may have a fraction.
function values.seconds(word)
  local seconds = neutral.number(word:match "^%d+%.?%d*$" or "")
  if seconds then
    return seconds
  end
  return nil, ("'%s' is no number of seconds"):format(word)
end

function values.whole(word)
  local number = tonumber(word:match "^%d+$")
  if number and number <= 2 ^ 53 then
    return number
  end
  return nil, ("'%s' is no whole number"):format(word)
end

--- How often a feed has been claimed: from 1.
function values.epoch(word)
  local number = values.whole(word)
  if number and number > 0 then
    return number
  end
  return nil, ("'%s' is no epoch"):format(word)
end

--- How many deletions are tolerated: a number, or a share such as 30%.
function values.share(word)
  if word:find "^%d+%%$" then
    return word
  end
  local number = values.whole(word)
  if number then
    return number
  end
  return nil, ("'%s' is neither a number nor a share such as 30%%"):format(word)
end

--- A format that hosts are written in.
function values.writable_format(word)
  local format, err = require("hoststore.format").get(word, "write")
  if not format then
    return nil, err.message
  end
  return word
end

--- A name that is asked for and not left empty.
function values.name(word)
  if word == "" then
    return nil, "a name is empty"
  end
  return word
end

--- The version a stream must be at.
function values.expected(word)
  if word == "any" or word == "none" or word == "exists" then
    return word
  end
  local number = values.whole(word)
  if number then
    return number
  end
  return nil, ("'%s' is no version: use any, none, exists or a number"):format(word)
end

local function is_ulid(word)
  return #word == 26 and word:find "^[0-7][%dA-HJKMNP-TV-Z]+$" ~= nil
end

--- A moment as store:at and store:diff take it: a position, a snapshot or a time.
function values.moment(word)
  if word:find "^%d+$" then
    local position, message = values.whole(word)
    return position and { position = position }, message
  elseif is_ulid(word) then
    return { snapshot = word }
  end
  return values.past(word)
end

local function usage_error(message)
  return nil, { code = "usage", message = message }
end

--- An id as written by people, who may have copied the name of the stream.
local function host_id(word)
  local id = word:match "^host%-(.+)$" or word
  return is_ulid(id) and id or nil
end

local function ambiguous(word, hosts)
  return nil, {
    code = "ambiguous",
    message = ("'%s' may mean %d hosts; name one by its id"):format(word, #hosts),
    candidates = hosts,
  }
end

local function not_found(word)
  return nil, { code = "not_found", message = ("no host is called '%s'"):format(word) }
end

--- The host one or two words name: its id, an address and a host name, or one of either when
--- only one host has it.
---@return hoststore.Host? host, table? err
function values.host(store, word, hostname)
  if hostname then
    local host, err = store:find(word, hostname)
    if not host and not err then
      return not_found(word .. " " .. hostname)
    end
    return host, err
  end
  local id = host_id(word)
  if id then
    return store:get(id)
  end
  local is_address = word:find ":" or word:find "^[%d.]+$"
  local hosts, err = store[is_address and "reverse" or "lookup"](store, word)
  if not hosts then
    return nil, err
  elseif #hosts == 0 then
    return not_found(word)
  elseif #hosts > 1 then
    return ambiguous(word, hosts)
  end
  return hosts[1]
end

--- The id of a host that may be deleted by now, which only its id can name.
function values.host_id(store, word, hostname)
  local id = not hostname and host_id(word)
  if id then
    return id
  end
  local host, err = values.host(store, word, hostname)
  return host and host.id, err
end

-- Assignments: field=value, as `set` takes them.

local SWITCH = {
  yes = true, on = true, ["true"] = true, ["1"] = true,
  no = false, off = false, ["false"] = false, ["0"] = false,
}

--- The words of a list separated by commas.
function values.words(list)
  local words = {}
  for word in list:gmatch "[^,]+" do
    words[#words + 1] = word:match "^%s*(.-)%s*$"
  end
  return words
end

local function index_of(list, wanted)
  for i, word in ipairs(list) do
    if word == wanted then
      return i
    end
  end
end

-- A function that takes the list a host has now to the wanted one, and whether it looks at it.
local function list_change(field, value)
  local words = values.words(value)
  local signed = 0
  for _, word in ipairs(words) do
    signed = signed + (word:find "^[+-]" and 1 or 0)
  end
  if signed == 0 then
    return function() return words end
  elseif signed < #words then
    return nil, ("%s=%s mixes a whole list with additions (+) and removals (-)"):format(field, value)
  end
  return function(current)
    local list = {}
    for i, word in ipairs(current) do
      list[i] = word
    end
    for _, word in ipairs(words) do
      local sign, name = word:match "^([+-])(.*)$"
      local at = index_of(list, name)
      if sign == "+" and not at then
        list[#list + 1] = name
      elseif sign == "-" and at then
        table.remove(list, at)
      end
    end
    return list
  end, nil, true
end

local function always(value)
  return function() return value end
end

local FIELDS = {
  ip = always,
  hostname = always,
  origin = always,
  comment = function(value)
    return always(value == "" and core.null or value)
  end,
  enabled = function(value)
    if SWITCH[value] == nil then
      return nil, ("enabled=%s: use yes or no"):format(value)
    end
    return always(SWITCH[value])
  end,
  expires_at = function(value)
    if value == "" or value == "never" then
      return always(core.null)
    end
    local seconds, message = values.future(value)
    return seconds and always(seconds), message
  end,
  aliases = function(value) return list_change("aliases", value) end,
  tags = function(value) return list_change("tags", value) end,
}

local FIELD_NAMES = "ip, hostname, aliases, comment, tags, enabled, expires_at or origin"

--- Reads field=value words. Returns a function that gives the changes to make to a host, and
--- whether they depend on what the host is now.
function values.assignments(words)
  local changes, depends = {}, false
  for _, word in ipairs(words) do
    local field, value = word:match "^([%w_]+)=(.*)$"
    if not FIELDS[field] then
      return usage_error(("'%s' sets no field: use %s, followed by '=' and a value"):format(word, FIELD_NAMES))
    end
    local change, message, on_host = FIELDS[field](value)
    if not change then
      return usage_error(message)
    end
    changes[field], depends = change, depends or on_host or false
  end
  return function(host)
    local given = {}
    for field, change in pairs(changes) do
      given[field] = change(host[field])
    end
    return given
  end, depends
end

return values
