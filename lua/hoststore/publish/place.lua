--- Where publishing keeps what it has to remember: a lock and a few facts for each output.
---
--- Locks, and the facts about reloads, are in a directory that is meant for such things, which a restart empties;
--- where there is none, they are beside the output under a name with a dot. What is known about an output itself
--- is beside it in the first place: it lasts as long as the output does, and a change by hand is noticed behind a
--- restart too.
local core = require "hoststore.core"
local file = require "hoststore.file"

local sys = core.sys
local place = {}

local DEFAULT_RUN = "/var/run/hoststore"
local PUBLIC, PRIVATE = 493, 384 -- modes 0755 and 0600
local PATIENCE = 60 -- seconds for another that publishes the same
local PAUSE = 0.005
local LONGEST = 16 * 1024 * 1024 -- bytes of facts

local function run_directory()
  local wanted = os.getenv "HOSTSTORE_RUN"
  return (wanted and wanted ~= "" and wanted or DEFAULT_RUN) .. "/"
end

local function beside(directory)
  return directory .. "/.hoststore-"
end

-- The beginnings of paths that may do, best first. A lock or fact that others could write is none.
local function candidates(directory)
  local run = run_directory()
  return sys.guard(run, true) and { run, beside(directory) } or { beside(directory) }
end

-- Waited for here and not in C, where Ctrl-C would have to wait too.
local function wait_for_lock(path, patience)
  local deadline = sys.monotonic() + patience
  repeat
    local lock, message, errno = sys.lock(path)
    if lock ~= false or sys.monotonic() >= deadline then
      return lock, message, errno
    end
    sys.sleep(PAUSE)
  until false
end

--- Takes the lock of that key in the first place that can hold it. Returns the lock and the beginning of
--- the paths there; nil and "busy" when another has had it for too long.
---@param directory string  of the output
---@param key string
---@param patience number?  seconds
---@return any? lock, string|hoststore.Error prefix
function place.lock(directory, key, patience)
  local failure
  sys.mkdir_p(run_directory():sub(1, -2), PUBLIC)
  for _, prefix in ipairs(candidates(directory)) do
    local path = prefix .. key .. ".lock"
    local lock
    local safe, message, errno = sys.guard(path)
    if safe then
      lock, message, errno = wait_for_lock(path, patience or PATIENCE)
    end
    if lock then
      return lock, prefix .. key
    elseif lock == false then
      return nil, core.error { code = "busy", message = path .. ": another publishes just now" }
    end
    failure = file.failure(message, errno)
  end
  return nil, failure
end

--- The place without its lock, for who only reads: the one that was used last.
---@return string prefix
function place.find(directory, key)
  local found
  for _, prefix in ipairs(candidates(directory)) do
    if not found and sys.stat(prefix .. key .. ".state") then
      found = prefix .. key
    end
  end
  return found or candidates(directory)[1] .. key
end

-- A fact a line: its name, a tab, its value without control characters.
local function encode(value)
  return (tostring(value):gsub("[%%%c\127]", function(char)
    return ("%%%02x"):format(char:byte())
  end))
end

local function decode(text)
  return (text:gsub("%%(%x%x)", function(hex)
    return string.char(tonumber(hex, 16))
  end))
end

--- The facts of that place; none where nothing is remembered or it cannot be read.
---@param prefix string
---@return table<string, string>
function place.read(prefix)
  local facts = {}
  for line in (sys.read_own(prefix .. ".state", LONGEST) or ""):gmatch("[^\n]+") do
    local name, value = line:match("^([^\t]+)\t(.*)$")
    if name then
      facts[decode(name)] = decode(value)
    end
  end
  return facts
end

local function write(prefix, facts)
  local lines = {}
  for name, value in pairs(facts) do
    lines[#lines + 1] = encode(name) .. "\t" .. encode(value) .. "\n"
  end
  table.sort(lines)
  local replacement, message, errno = sys.replace(prefix .. ".state", PRIVATE, "new")
  local done = replacement
  if done then
    done, message, errno = replacement:write(table.concat(lines))
  end
  if done then
    done, message, errno = replacement:commit()
  end
  if not done and replacement then
    replacement:abort()
  end
  return done, message, errno
end

--- Remembers facts in the place of those before, all or none of them. The caller has the lock.
---@param prefix string
---@param facts table<string, string|number>
---@return true?, hoststore.Error? err
function place.write(prefix, facts)
  local done, message, errno = write(prefix, facts)
  if not done then
    return nil, file.failure(message, errno)
  end
  return true
end

local FORBIDDEN = { [sys.errno.EACCES] = true, [sys.errno.EPERM] = true, [sys.errno.EROFS] = true }

--- What is known about an output. Older releases kept it with the locks, and so it is where nothing can be
--- written beside the output, as in the directory of a file that is mounted by itself.
---@param directory string  of the output
---@param key string
---@return table<string, string> facts
function place.recall(directory, key)
  local facts = place.read(beside(directory) .. key)
  return next(facts) and facts or place.read(run_directory() .. key)
end

--- Remembers what is known about an output, as place.write.
---@return true?, hoststore.Error? err
function place.keep(directory, key, facts)
  local done, message, errno = write(beside(directory) .. key, facts)
  if done then
    sys.unlink(run_directory() .. key .. ".state")
    return true
  elseif FORBIDDEN[errno] then
    return place.write(run_directory() .. key, facts)
  end
  return nil, file.failure(message, errno)
end

return place
