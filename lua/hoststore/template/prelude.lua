--- What a template finds around it, as text that runs in its sandbox before it. The other side gives
--- it __open() -> iterator, __next(iterator) -> hosts, __count(), __escape(kind, text) and __sink(text).

return [==[
local open, next_hosts, count_hosts, escape_text, sink = __open, __next, __count, __escape, __sink
local concat, error, find, floor, format = table.concat, error, string.find, math.floor, string.format
local getmetatable, ipairs, select, setmetatable = getmetatable, ipairs, select, setmetatable
local gsub, sort, sub, tostring, type = string.gsub, table.sort, string.sub, tostring, type
local null_text
__open, __next, __count, __escape, __sink, subject = nil, nil, nil, nil, nil, nil

-- Writing ------------------------------------------------------------------------------------------

local PIECES, BYTES = 256, 16384
local pieces, count, size = {}, 0, 0

function __flush()
  if count > 0 then
    sink(concat(pieces, "", 1, count))
    count, size = 0, 0
  end
end

function __write(text)
  count, size = count + 1, size + #text
  pieces[count] = text
  if count == PIECES or size > BYTES then __flush() end
end

local put = __write

-- A text that is written as it is.
local Raw = {}
function Raw.__tostring(self) return self.text end

local function is_raw(value)
  return type(value) == "table" and getmetatable(value) == Raw
end

local function number_text(number)
  if number == floor(number) and number > -2^53 and number < 2^53 then return format("%.0f", number) end
  return (gsub(format("%.14g", number), "^(-?%d+)[^%de]+", "%1."))
end

-- The text of a value; the caller's caller is told when it has none.
local function text_of(value)
  local kind = type(value)
  if kind == "string" then return value end
  if kind == "number" then return number_text(value) end
  if kind == "boolean" then return tostring(value) end
  if value == nil then return "" end
  if is_raw(value) then return value.text end
  error("a " .. kind .. " cannot be written; give a text, a number or a boolean", 3)
end

function __write_value(...)
  local value = ...
  if type(value) == "string" then
    put(escape_text("value", value))
  elseif value ~= nil then
    put(text_of(value))
  elseif select("#", ...) > 0 then
    put(null_text)
  else
    error("there is no value to write", 2)
  end
end

function write(value) put(text_of(value)) end

local function as_raw(text) return setmetatable({ text = text }, Raw) end

function raw(value) return as_raw(text_of(value)) end
function escape(value) return as_raw(escape_text("value", text_of(value))) end
function quote(value) return as_raw(escape_text("quote", text_of(value))) end
function comment(value) return as_raw(escape_text("comment", text_of(value))) end

-- Hosts ---------------------------------------------------------------------------------------------

local FIELDS = { id = true, version = true, position = true, ip = true, hostname = true, aliases = true, comment = true,
  tags = true, enabled = true, expires_at = true, origin = true, created_at = true, updated_at = true }
local Host = {}

function Host.__index(_, field)
  if not FIELDS[field] then error("a host has no field '" .. tostring(field) .. "'", 2) end
end

-- Iterators take nothing: a filter that is not heard would let all hosts through.
local function refuse_arguments(name, ...)
  if select("#", ...) > 0 then
    error(name .. "() takes no argument and gives all hosts; say which in the filter of the output or of render, " ..
      "or look at each of them here", 3)
  end
end

local function hosts(...)
  refuse_arguments("hosts", ...)
  local iterator, batch, index = open(), {}, 0
  return function()
    if batch == nil then return nil end
    index = index + 1
    if batch[index] == nil then
      batch, index = next_hosts(iterator), 1
      if batch == nil then return nil end
    end
    return setmetatable(batch[index], Host)
  end
end

local function by_ip(...)
  refuse_arguments("by_ip", ...)
  local step = hosts()
  local ahead = step()
  return function()
    if ahead == nil then return nil end
    local group, ip = {}, ahead.ip
    repeat
      group[#group + 1] = ahead
      ahead = step()
    until ahead == nil or ahead.ip ~= ip
    return ip, group
  end
end

-- Goes through the groups of all hosts in the order of their keys.
local function grouped(keys_of)
  local groups, keys, i = {}, {}, 0
  for host in hosts() do
    for _, key in ipairs(keys_of(host)) do
      local group = groups[key]
      if group == nil then
        group = {}
        groups[key] = group
        keys[#keys + 1] = key
      end
      group[#group + 1] = host
    end
  end
  sort(keys)
  return function()
    i = i + 1
    return keys[i], groups[keys[i]]
  end
end

local function by_tag(...)
  refuse_arguments("by_tag", ...)
  return grouped(function(host) return host.tags end)
end

local function by_domain(...)
  refuse_arguments("by_domain", ...)
  return grouped(function(host)
    local dot = find(host.hostname, ".", 1, true)
    return { dot and sub(host.hostname, dot + 1) or "" }
  end)
end

-- The context -----------------------------------------------------------------------------------------

function __begin(given, null)
  __begin, null_text = nil, null
  given.hosts, given.by_ip, given.by_tag, given.by_domain = hosts, by_ip, by_tag, by_domain
  context = setmetatable(given, { __index = function(_, name)
    if name ~= "count" then error("the context has no '" .. tostring(name) .. "'", 2) end
    given.count = count_hosts()
    return given.count
  end })
  setmetatable(_G, { __index = function(_, name)
    if name == "count" then return given.count end
    local value = rawget(given, name)
    if value == nil then error("'" .. tostring(name) .. "' is not defined", 2) end
    return value
  end })
end
]==]
