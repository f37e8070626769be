--- Runs a program and has all written down that it does to the files below a directory.
local disk = require "spec.proof.crash.disk"
local lfs = require "lfs"
local random_of = require "spec.support.random"
local system = require "spec.support.system"

local recorder = {}

--- A directory for what is written and read again thousands of times: in memory, where there is one.
function recorder.directory()
  local output, status = system.run "mktemp -d -p /dev/shm"
  return status == 0 and output:gsub("\n$", "") or system.directory()
end

-- Without a process for it: it is done for each state.
local function clear(directory)
  for name in lfs.dir(directory) do
    local path = directory .. "/" .. name
    if name ~= "." and name ~= ".." then
      if not os.remove(path) then
        clear(path)
        assert(os.remove(path))
      end
    end
  end
end

--- Puts a state of the disk into a directory, in place of what was there.
function recorder.lay_out(state, directory)
  if lfs.attributes(directory, "mode") then
    clear(directory)
  else
    assert(lfs.mkdir(directory))
  end
  for _, file in ipairs(state) do
    if file.text then
      system.write(directory .. "/" .. file.path, file.text)
    else
      assert(lfs.mkdir(directory .. "/" .. file.path))
    end
  end
end

-- Files that are mapped, not written: SQLite makes them anew after a crash.
local function is_mapped(path)
  return path:find "%-shm$" ~= nil
end

-- Each byte that is there has to come from the log, or the log is not to be believed.
local function compare(root, log)
  local whole = disk.new()
  for _, record in ipairs(log) do
    whole:apply(record)
  end
  local left = {}
  for _, path in ipairs(system.files(root)) do
    left[path] = system.read(root .. "/" .. path)
  end
  for _, file in ipairs(whole:state "all") do
    assert(not file.text or is_mapped(file.path) or left[file.path] == file.text, "the log does not tell all of "
      .. file.path)
    left[file.path] = nil
  end
  assert(next(left) == nil, "the log does not tell of " .. tostring(next(left)))
end

-- More than a process reads.
local function random_bytes(seed)
  local random, bytes = random_of(seed), {}
  for i = 1, 4096 do
    bytes[i] = string.char(random(256) - 1)
  end
  return table.concat(bytes)
end

--- Runs a Lua file with these arguments, and returns the records of what it did below DIRECTORY/root, which
--- is empty at first. DIRECTORY/log is where it may write records of its own. If it has no other clock than one
--- of its own, the same seed gives the same records.
---@param directory string
---@param seed integer
---@param script string
---@return table[] records
function recorder.run(directory, seed, script, ...)
  local log, root, bytes = directory .. "/log", directory .. "/root", directory .. "/random"
  os.remove(log)
  system.write(bytes, random_bytes(seed))
  recorder.lay_out({}, root)
  local words = { os.getenv "LUA", script }
  for _, word in ipairs { ... } do
    words[#words + 1] = system.quote(tostring(word))
  end
  local preload = table.concat({ os.getenv "LD_PRELOAD" or "", os.getenv "BUILD" .. "/write_log.so" }, " ")
  local output, status = system.run(("WRITE_LOG=%s WRITE_LOG_ROOT=%s WRITE_LOG_RANDOM=%s LD_PRELOAD=%s %s"):format(log,
    root, bytes, system.quote(preload), table.concat(words, " ")))
  assert(status == 0, output)
  local records = disk.records(log)
  compare(root, records)
  return records
end

return recorder
