--- Runs programs side by side until each is killed, as kill -9 does, after a time of its own.
local system = require "spec.support.system"

local killing = {}

local KILLED = 137
local DONE = { [0] = true, [124] = true } -- just when it was to be killed

local function read(path)
  local text = system.read(path)
  os.remove(path)
  return text
end

--- Returns what each of them wrote, and how many were killed. Raises when one has ended otherwise, but for one that
--- was done before.
---@param directory string  for files of its own
---@param commands string[]  of system.lua
---@param seconds number[]  when each is killed
---@return string[] outputs, integer killed
function killing.run(directory, commands, seconds)
  local lines, outputs, killed = {}, {}, 0
  local prefix = directory .. "/killing."
  for i, command in ipairs(commands) do
    -- In the foreground timeout waits until it is dead indeed, and has let go of its locks.
    local here = prefix .. i
    lines[i] = ("{ timeout --foreground -s KILL %.3f "):format(seconds[i]) .. command .. "; echo $? >" .. here
      .. ".status; } >" .. here .. ".out 2>" .. here .. ".err &"
  end
  system.run("exec 2>/dev/null; " .. table.concat(lines, "\n") .. "\nwait")
  for i in ipairs(commands) do
    local status = tonumber(read(prefix .. i .. ".status"))
    local message = read(prefix .. i .. ".err")
    outputs[i] = read(prefix .. i .. ".out")
    assert(status == KILLED or DONE[status], message .. "status " .. tostring(status))
    killed = killed + (status == KILLED and 1 or 0)
  end
  return outputs, killed
end

return killing
