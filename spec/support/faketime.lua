--- Runs processes by a clock of our own, with libfaketime. The clock of the boot stays the machine's.
local system = require "spec.support.system"

local faketime = {}

local function library()
  local found, status = system.run "ls /usr/lib/*/faketime/libfaketime.so.1"
  assert(status == 0, "libfaketime is missing: make deps")
  return found:match "%S+"
end

local function run(setting, command)
  return system.preload(library(), "TZ=UTC FAKETIME_DONT_FAKE_MONOTONIC=1 " .. setting, command)
end

--- The command, as system.lua gives it, by a clock that says `time` when it begins ("@2033-05-18 03:33:20"), stands
--- still at `time` ("2033-05-18 03:33:20"), or is off by so much ("+400d").
---@param time string
---@param command string
function faketime.at(time, command)
  return run("FAKETIME=" .. system.quote(time), command)
end

--- The command by a clock that shows what the file says, which faketime.set changes while it runs.
---@param path string
---@param command string
function faketime.by(path, command)
  return run("FAKETIME_NO_CACHE=1 FAKETIME_TIMESTAMP_FILE=" .. system.quote(path), command)
end

--- Sets the clock of a file.
function faketime.set(path, time)
  system.write(path .. ".new", time .. "\n")
  assert(os.rename(path .. ".new", path))
end

return faketime
