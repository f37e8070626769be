--- A directory of small files, one for each event, until a drainer has put them into the store.
---
--- A file is written under a name with a leading dot and then renamed, so it is there whole or not at
--- all. Names sort by when they were made, on the clock that nobody sets. The directory is its
--- owner's alone: what others could write there would pass for leases.
local sys = require("hoststore.core").sys

local spool = {}

local DEFAULT = "/tmp/hoststore/spool"
local LOG_LIMIT = 64 * 1024
-- Each with the file that says why.
local BAD_LIMIT = 2 * 100
-- No value that means something is longer, and a client may send what it likes.
local VALUE_LIMIT = 1024

--- The directory the environment names.
---@return string
function spool.directory()
  local named = os.getenv "HOSTSTORE_SPOOL"
  return named and named ~= "" and named or DEFAULT
end

local function has_bit(mode, bit)
  return math.floor(mode / bit) % 2 == 1
end

local function others_may_write(found)
  return has_bit(found.mode, 16) or has_bit(found.mode, 2) -- 0020, 0002
end

-- Who may write to the parent could put a directory of their own in the place of ours; a sticky one,
-- as /tmp is, does not let them.
local function check_parent(path)
  local parent = path:match "^(.*)/[^/]*$" or "."
  local found, message = sys.stat(parent == "" and "/" or parent)
  if not found then
    return nil, message
  elseif found.uid ~= 0 and found.uid ~= sys.euid() then
    return nil, parent .. ": belongs to another user, who could replace the spool in it"
  elseif others_may_write(found) and not has_bit(found.mode, 512) then -- 01000
    return nil, parent .. ": others may write to it, and so replace the spool in it"
  end
  return true
end

--- Makes the directory when it is missing, and refuses one that is not ours alone.
---@param path string
---@return true?, string? message
function spool.prepare(path)
  path = path:gsub("(.)/+$", "%1")
  local found = sys.stat(path)
  if not found then
    local made, message = sys.mkdir_p(path, 448) -- 0700
    if not made then return nil, message end
    found = assert(sys.stat(path))
  end
  if found.type ~= "directory" or sys.readlink(path) then
    return nil, path .. ": is no directory of its own"
  elseif found.uid ~= sys.euid() then
    return nil, path .. ": belongs to another user"
  elseif others_may_write(found) then
    return nil, path .. ": others may write to it; it must have mode 0700"
  end
  return check_parent(path)
end

local escapes = { ["\\"] = "\\\\", ["\n"] = "\\n" }
local unescapes = { ["\\"] = "\\", n = "\n" }

--- An event as text: a line for each key, and a last line that says that it is whole.
---@param event table<string, string>
---@return string
function spool.encode(event)
  local lines = {}
  for key, value in pairs(event) do
    lines[#lines + 1] = key .. " " .. value:sub(1, VALUE_LIMIT):gsub("[\\\n]", escapes)
  end
  table.sort(lines)
  lines[#lines + 1] = "end\n"
  return table.concat(lines, "\n")
end

--- The event of a text, nil when it is none.
---@param text string
---@return table<string, string>? event
function spool.decode(text)
  local event, body = {}, text:match "^(.*)end\n$"
  if not body then return nil end
  for line in body:gmatch "([^\n]*)\n" do
    local key, value = line:match "^([a-z_]+) (.*)$"
    if not key then return nil end
    event[key] = value:gsub("\\(.)", unescapes)
  end
  return event
end

local function write_file(path, text)
  local file, message = io.open(path, "wb")
  if not file then return nil, message end
  local written, problem = file:write(text)
  local closed, failure = file:close()
  if not (written and closed) then
    os.remove(path)
    return nil, path .. ": " .. (problem or failure)
  end
  return true
end

--- Puts an event into the spool.
---@param path string
---@param event table<string, string>
---@return string? name, string? message
function spool.write(path, event)
  local ready, message = spool.prepare(path)
  if not ready then return nil, message end
  local name = sys.sequence()
  local temporary = path .. "/." .. name
  ready, message = write_file(temporary, spool.encode(event))
  if not ready then return nil, message end
  ready, message = os.rename(temporary, path .. "/" .. name)
  if not ready then
    os.remove(temporary)
    return nil, message
  end
  return name
end

--- The names of the events that wait, oldest first.
---@param path string
---@return string[]? names, string? message
function spool.waiting(path)
  local names, message = sys.list(path)
  if not names then return nil, message end
  local pending = {}
  for _, name in ipairs(names) do
    if name:find "^%d" then pending[#pending + 1] = name end
  end
  table.sort(pending)
  return pending
end

--- The event of that name, or nil and what is wrong with it.
---@param path string
---@param name string
---@return table<string, string>? event, string? message
function spool.read(path, name)
  local file, message = io.open(path .. "/" .. name, "rb")
  if not file then return nil, message end
  local text = file:read "*a"
  file:close()
  local event = text and spool.decode(text)
  if not event then return nil, "the file is no event of hoststore" end
  -- The seconds of the clock that nobody sets.
  event.since_boot = tonumber(name:match "^(%d%d%d%d%d%d%d%d%d%d)")
  return event
end

--- Takes an event out of the spool once it is in the store.
function spool.remove(path, name)
  return os.remove(path .. "/" .. name)
end

-- A client that is refused again and again must not fill the memory the spool is in.
local function limit(bad)
  local names = sys.list(bad) or {}
  table.sort(names)
  for i = 1, #names - BAD_LIMIT do
    os.remove(bad .. "/" .. names[i])
  end
end

--- Puts an event aside, with the reason, so that it is not tried for ever. The newest ones are kept.
function spool.put_aside(path, name, reason)
  local bad = path .. "/bad"
  sys.mkdir_p(bad, 448)
  limit(bad)
  write_file(bad .. "/" .. name .. ".reason", reason .. "\n")
  return os.rename(path .. "/" .. name, bad .. "/" .. name)
end

--- Notes what went wrong where nobody sees a message; of a long log the older half is dropped.
function spool.log(path, message)
  local name = path .. "/log"
  local file = io.open(name, "ab")
  if not file then return end
  local size = file:seek "end"
  file:write(os.date "!%Y-%m-%dT%H:%M:%SZ ", (tostring(message):gsub("%c", " ")), "\n")
  file:close()
  if size > LOG_LIMIT then os.rename(name, path .. "/log.1") end
end

return spool
