--- What runs first in every sandbox, as text: functions in place of those of the library that would run for
-- a long time where no hook counts, or that would tell one run from another (addresses, the order of keys).

return [==[
local charge, scan, is_before, memory = ...
local byte, concat, format, rep, sub = string.byte, table.concat, string.format, string.rep, string.sub
local error, getmetatable, next, rawget, raw_tostring = error, getmetatable, next, rawget, tostring
local select, tonumber, type = select, tonumber, type
local raw_unpack = table.unpack or unpack
local floor, huge = math.floor, math.huge

-- Texts and numbers --------------------------------------------------------------------------------

local function text_of(value, what)
  if type(value) == "string" then return value end
  if type(value) == "number" then return raw_tostring(value) end
  error("bad argument (" .. what .. " expected to be a string, not " .. type(value) .. ")")
end

function tostring(value)
  local kind = type(value)
  if kind == "userdata" then return "null" end
  if kind == "function" then return kind end
  if kind == "table" then
    local meta = getmetatable(value)
    if meta == nil or type(meta) == "table" and not rawget(meta, "__tostring") then return kind end
  end
  return raw_tostring(value)
end

local function sized_unpack(list, first, last)
  first, last = first or 1, last or #list
  charge(last - first)
  return raw_unpack(list, first, last)
end

table.unpack, unpack = sized_unpack, sized_unpack

function table.pack(...)
  return { n = select("#", ...), ... }
end

-- Lists ---------------------------------------------------------------------------------------------

function table.concat(list, separator, first, last)
  first, last = first or 1, last or #list
  charge(last - first)
  return concat(list, separator, first, last)
end

function table.insert(list, ...)
  local count, size = select("#", ...), #list
  if count == 1 then
    list[size + 1] = (...)
    return
  elseif count ~= 2 then
    error("wrong number of arguments to 'insert'")
  end
  local position, value = ...
  if type(position) ~= "number" or position < 1 or position > size + 1 then
    error("bad argument to 'insert' (position out of bounds)")
  end
  for i = size, position, -1 do list[i + 1] = list[i] end
  list[position] = value
end

function table.remove(list, position)
  local size = #list
  if position == nil then position = size end
  local value = list[position]
  for i = position, size - 1 do list[i] = list[i + 1] end
  if position >= 1 and position <= size then list[size] = nil end
  return value
end

-- Texts by their bytes: `<` puts them in the order that the language of the process has.
local function less(a, b)
  if type(a) == "string" and type(b) == "string" then return is_before(a, b) end
  return a < b
end

-- Merges the sorted runs of `list` from first to middle and from there to last.
local function merge(list, other, first, middle, last, before)
  local a, b = first, middle + 1
  for i = first, last do
    if a <= middle and (b > last or not before(list[b], list[a])) then
      other[i], a = list[a], a + 1
    else
      other[i], b = list[b], b + 1
    end
  end
end

-- Equal items keep their order.
function table.sort(list, before)
  local size, width = #list, 1
  before = before or less
  local from, to = list, {}
  while width < size do
    for first = 1, size, 2 * width do
      local middle, last = first + width - 1, first + 2 * width - 1
      merge(from, to, first, middle < size and middle or size, last < size and last or size, before)
    end
    from, to, width = to, from, 2 * width
  end
  if from ~= list then
    for i = 1, size do list[i] = from[i] end
  end
end

-- Numbers, then texts, each in order; then false and true. Between others only their addresses could decide.
local RANKS = { number = 1, string = 2, boolean = 3 }

local function key_before(a, b)
  local rank_a, rank_b = RANKS[type(a)] or 4, RANKS[type(b)] or 4
  if rank_a ~= rank_b then return rank_a < rank_b end
  if rank_a == 4 then error("pairs: keys that are tables or functions have no order") end
  if rank_a == 3 then return a == false and b == true end
  return less(a, b)
end

local sort = table.sort

function pairs(object)
  local keys, count, i = {}, 0, 0
  for key in next, object do
    count = count + 1
    keys[count] = key
  end
  sort(keys, key_before)
  return function()
    while i < count do
      i = i + 1
      local value = rawget(object, keys[i])
      if value ~= nil then return keys[i], value end
    end
  end, object, nil
end

_G.next = nil

-- Strings --------------------------------------------------------------------------------------------

function string.rep(text, count, separator)
  text = text_of(text, "the text")
  separator = separator or ""
  if type(count) ~= "number" then error("bad argument to 'rep' (number expected)") end
  count = floor(count)
  if count < 1 or text == "" and separator == "" then return "" end
  local size = (#text + #separator) * count
  if size > memory then error("resulting string too large") end
  charge(size / 64)
  if separator == "" then return rep(text, count) end
  return rep(text .. separator, count - 1) .. text
end

function string.format(pattern, ...)
  pattern = text_of(pattern, "the format")
  local values, count, index, position = { ... }, select("#", ...), 0, 1
  while true do
    local from, to, kind = scan(pattern, "%%[-+ #0]*%d*%.?%d*(.)", position)
    if not from then break end
    if kind ~= "%" then
      index = index + 1
      if kind == "p" then error("invalid conversion '%p' to 'format'") end
      if kind == "s" and index <= count then values[index] = tostring(values[index]) end
    end
    position = to + 1
  end
  return format(pattern, raw_unpack(values, 1, count))
end

local function start_of(text, init)
  if init == nil then return 1 end
  if type(init) ~= "number" then error("bad argument (number expected as the start)") end
  if init < 0 then init = #text + init + 1 end
  return init < 1 and 1 or floor(init)
end

-- The captures, or the whole match when there is none.
local function captured(text, from, to, ...)
  if not from then return nil end
  if select("#", ...) == 0 then return sub(text, from, to) end
  return ...
end

local function literal(text)
  local pieces, position, count = {}, 1, 0
  while true do
    local from = scan(text, "%W", position)
    count = count + 1
    if not from then
      pieces[count] = sub(text, position)
      return concat(pieces)
    end
    pieces[count] = sub(text, position, from - 1) .. "%" .. sub(text, from, from)
    position = from + 1
  end
end

function string.find(text, pattern, init, plain)
  text, pattern = text_of(text, "the text"), text_of(pattern, "the pattern")
  return scan(text, plain and literal(pattern) or pattern, start_of(text, init))
end

function string.match(text, pattern, init)
  text, pattern = text_of(text, "the text"), text_of(pattern, "the pattern")
  return captured(text, scan(text, pattern, start_of(text, init)))
end

-- Calls step(from, to, captures ...) for each match; one that is empty does not touch the one before.
local function matcher(text, pattern)
  local position, last, anchored = 1, nil, sub(pattern, 1, 1) == "^"
  local function take(from, to, ...)
    if not from then
      position = #text + 2
      return nil
    end
    if to == last and to < from then
      position = from + 1
      if anchored then return nil end
      return take(scan(text, pattern, position))
    end
    position, last = to + 1, to
    if anchored then position = #text + 2 end
    return from, to, ...
  end
  return function()
    if position > #text + 1 then return nil end
    return take(scan(text, pattern, position))
  end
end

function string.gmatch(text, pattern)
  text, pattern = text_of(text, "the text"), text_of(pattern, "the pattern")
  -- Here '^' means itself, as in Lua.
  if sub(pattern, 1, 1) == "^" then pattern = "%" .. pattern end
  local step = matcher(text, pattern)
  return function() return captured(text, step()) end
end

local function expand(template, text, from, to, ...)
  local pieces, count, position = {}, 0, 1
  while true do
    local at = scan(template, "%%", position)
    count = count + 1
    if not at then
      pieces[count] = sub(template, position)
      return concat(pieces)
    end
    pieces[count] = sub(template, position, at - 1)
    local which, value = sub(template, at + 1, at + 1), nil
    if which == "%" then
      value = "%"
    elseif which == "0" or which == "1" and select("#", ...) == 0 then
      value = sub(text, from, to)
    elseif byte(which) and byte(which) >= 49 and byte(which) <= 57 then
      value = select(tonumber(which), ...)
      if value == nil then error("invalid capture index in the replacement") end
    else
      error("invalid use of '%' in the replacement")
    end
    count = count + 1
    pieces[count] = value
    position = at + 2
  end
end

local function replacement_of(kind, replacement, text, from, to, ...)
  local value
  if kind == "string" then
    return expand(replacement, text, from, to, ...)
  elseif kind == "table" then
    value = replacement[(captured(text, from, to, ...))]
  else
    value = replacement(captured(text, from, to, ...))
  end
  if not value then return sub(text, from, to) end
  if type(value) ~= "string" and type(value) ~= "number" then
    error("invalid replacement value (a " .. type(value) .. ")")
  end
  return value
end

function string.gsub(text, pattern, replacement, limit)
  text, pattern = text_of(text, "the text"), text_of(pattern, "the pattern")
  local kind = type(replacement)
  if kind == "number" then replacement, kind = raw_tostring(replacement), "string" end
  if kind ~= "string" and kind ~= "table" and kind ~= "function" then
    error("bad argument to 'gsub' (string, function or table expected)")
  end
  local pieces, size, count, position = {}, 0, 0, 1
  local step = matcher(text, pattern)
  limit = limit or huge
  local function take(from, to, ...)
    if not from then return false end
    count = count + 1
    pieces[size + 1] = sub(text, position, from - 1)
    pieces[size + 2] = replacement_of(kind, replacement, text, from, to, ...)
    size, position = size + 2, to + 1
    return true
  end
  while count < limit and take(step()) do end
  pieces[size + 1] = sub(text, position)
  return concat(pieces), count
end
]==]
