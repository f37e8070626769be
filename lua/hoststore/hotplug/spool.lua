--- A directory of small files, one for each event, until a drainer has put them into the store.
---
--- A file is written under a name with a leading dot and then renamed, so it is there whole or not at
--- all. Names sort by when they were made, on the clock that nobody sets; behind the name of an event that had
--- to wait alone stands how often it was tried. The directory is its owner's alone: what others could write
--- there would pass for leases. It is in memory, so all that is in it has a bound.
local core = require "hoststore.core"

local sys = core.sys
local spool = {}

local DEFAULT, DEFAULT_DB = "/tmp/hoststore/spool", "/etc/hoststore/hoststore.db"
local LOG_LIMIT = 64 * 1024
-- Events that wait: more of them, and the newest are not taken. Each takes a page of memory.
local LIMIT = 2000
-- Each with the file that says why.
local BAD_LIMIT = 2 * 100
-- No value that means something is longer, and a client may send what it likes.
local VALUE_LIMIT = 1024
-- Of a file: an event has about ten values, and each byte may be escaped.
local FILE_LIMIT = 32 * 1024
-- After so many seconds a file that is not renamed has nobody who writes it.
local ABANDONED = 60

local function setting(name)
  local value = os.getenv(name)
  return value ~= "" and value or nil
end

-- As a part of a file's name that no other text has.
local function escape(text)
  return (text:gsub("[^%w./-]", function(char) return ("%%%02x"):format(char:byte()) end):gsub("/", "_"))
end

-- A drainer brings all that is in a spool into one store. What does not tell stores apart, as a password, is left out:
-- it may be mended while leases wait.
local function name_of(db, tenant)
  tenant = tenant or db:match "[?&]tenant=([^&]*)"
  local place = db:gsub("%?.*", ""):gsub("^(%w+://)[^/@]*@", "%1")
  if place == DEFAULT_DB and not tenant then return DEFAULT end
  return DEFAULT .. "-" .. escape(place) .. (tenant and "+" .. escape(tenant) or "")
end

--- The directory the environment names, else one for each database and tenant.
---@param db string?  in place of the environment's
---@param tenant string?
---@return string
function spool.directory(db, tenant)
  return setting "HOSTSTORE_SPOOL"
    or name_of(db or setting "HOSTSTORE_DB" or DEFAULT_DB, tenant or setting "HOSTSTORE_TENANT")
end

local function has_bit(mode, bit)
  return math.floor(mode / bit) % 2 == 1
end

local function others_may_write(found)
  return has_bit(found.mode, 16) or has_bit(found.mode, 2) -- 0020, 0002
end

-- True when nobody but root and us can lead us elsewhere than to what stands behind this path.
local function check_way(path)
  return sys.guard(path, true, true)
end

local function make(path)
  local safe, message = check_way(path)
  if not safe then return nil, message end
  return sys.mkdir_p(path, 448) -- 0700
end

--- Makes the directory when it is missing, and refuses one that is not ours alone.
---@param path string
---@return true?, string? message
function spool.prepare(path)
  path = path:gsub("(.)/+$", "%1")
  local found = sys.stat(path, true)
  if not found then
    local made, message = make(path)
    if not made then return nil, message end
    found = assert(sys.stat(path, true))
  end
  if found.type ~= "directory" then
    return nil, path .. ": is no directory of its own"
  elseif found.uid ~= sys.euid() then
    return nil, path .. ": belongs to another user"
  elseif others_may_write(found) then
    return nil, path .. ": others may write to it; it must have mode 0700"
  end
  return check_way(path)
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

--- Puts a file into the spool, in one step and in the place of one of that name.
---@return true?, string? message
function spool.replace(path, name, text)
  local temporary = path .. "/." .. name
  local made, message, errno = sys.create(temporary, text)
  if errno == sys.errno.EEXIST then -- left by one that was killed
    sys.unlink(temporary)
    made, message = sys.create(temporary, text)
  end
  if not made then return nil, message end
  made, message = os.rename(temporary, path .. "/" .. name)
  if not made then
    sys.unlink(temporary)
    return nil, message
  end
  return true
end

local function is_event_name(name)
  return name:find "^%d" ~= nil
end

-- The names in it that a function takes.
local function list(path, is_wanted)
  local names, message = sys.list(path)
  if not names then return nil, message end
  local wanted = {}
  for _, name in ipairs(names) do
    if is_wanted(name) then wanted[#wanted + 1] = name end
  end
  return wanted
end

-- A directory in memory has 20 bytes for each name, others more. They are only counted when there could be too
-- many, or the size says nothing: whoever lists a directory keeps others from writing to it.
local function is_full(path)
  local size = assert(sys.stat(path)).size
  return (size == 0 or size >= 20 * LIMIT) and #assert(list(path, is_event_name)) >= LIMIT
end

--- Puts an event into the spool.
---@param path string
---@param event table<string, string>
---@return string? name, string? message
function spool.write(path, event)
  local done, message = spool.prepare(path)
  if not done then return nil, message end
  if is_full(path) then
    return nil, ("%s: %d events wait for the database, no more are taken"):format(path, LIMIT)
  end
  local name = sys.sequence()
  done, message = spool.replace(path, name, spool.encode(event))
  if not done then return nil, message end
  return name
end

--- The names of the events that wait, oldest first.
---@param path string
---@return string[]? names, string? message
function spool.waiting(path)
  local names, message = list(path, is_event_name)
  if not names then return nil, message end
  table.sort(names)
  return names
end

-- The seconds of the clock that nobody sets, which a name begins with.
local function seconds_of(name)
  return tonumber(name:match "^%d%d%d%d%d%d%d%d%d%d")
end

local errno = sys.errno
-- These say nothing about the file.
local PASSING = { [errno.EIO] = true, [errno.ENOMEM] = true, [errno.EMFILE] = true, [errno.ENFILE] = true }

--- The event of that name; nil and what is wrong with it, or with the system; false when it is not there any more.
---@param path string
---@param name string
---@return table<string, string>|false|nil event, string? message, boolean? passing  it may be read later
function spool.read(path, name)
  local text, message, number = sys.read_own(path .. "/" .. name, FILE_LIMIT)
  if number == errno.ENOENT then
    return false
  elseif number == errno.EPERM then
    return nil, "the file is another user's, or no plain file"
  elseif not text then
    return nil, message, PASSING[number]
  end
  local event, since_boot = spool.decode(text), seconds_of(name)
  if not (event and since_boot) then return nil, "the file is no event of hoststore" end
  event.since_boot = since_boot
  return event
end

--- Takes an event out of the spool once it is in the store.
function spool.remove(path, name)
  return os.remove(path .. "/" .. name)
end

--- How often an event was tried by itself, and had to wait.
---@param name string
---@return integer
function spool.tries(name)
  return tonumber(name:match "%+(%d+)$") or 0
end

--- Notes in the name of an event that it was tried once more, and had to wait.
---@return string name  the new one
function spool.keep(path, name)
  local tried = ("%s+%d"):format(name:match "^[^+]*", spool.tries(name) + 1)
  return os.rename(path .. "/" .. name, path .. "/" .. tried) and tried or name
end

--- Removes what writers that were killed have left.
function spool.sweep(path)
  local now = sys.monotonic()
  local left = list(path, function(name)
    local begun = seconds_of(name:sub(2))
    return name:find "^%.%d" and begun and math.abs(now - begun) > ABANDONED
  end)
  for _, name in ipairs(left or {}) do
    sys.unlink(path .. "/" .. name)
  end
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
  spool.replace(bad, name .. ".reason", reason:sub(1, VALUE_LIMIT) .. "\n")
  return os.rename(path .. "/" .. name, bad .. "/" .. name)
end

--- Notes what went wrong where nobody sees a message; of a long log the older half is dropped.
function spool.log(path, message)
  local name = path .. "/log"
  local line = os.date "!%Y-%m-%dT%H:%M:%SZ " .. tostring(message):gsub("%c", " "):sub(1, VALUE_LIMIT) .. "\n"
  local size = sys.append(name, line)
  if size and size > LOG_LIMIT then os.rename(name, path .. "/log.1") end
end

return spool
