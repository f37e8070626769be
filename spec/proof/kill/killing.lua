--- Runs programs side by side until each is killed, as kill -9 does, after a time of its own.
local system = require "spec.support.system"

local killing = {}

local KILLED = 137

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
    lines[i] = ("{ timeout -s KILL %.3f %s >%s%d.out 2>%s%d.err; echo $? >%s%d.status; } &"):format(seconds[i], command,
      prefix, i, prefix, i, prefix, i)
  end
  system.run("exec 2>/dev/null; " .. table.concat(lines, "\n") .. "\nwait")
  for i in ipairs(commands) do
    local status = tonumber(read(prefix .. i .. ".status"))
    local message = read(prefix .. i .. ".err")
    outputs[i] = read(prefix .. i .. ".out")
    assert(status == KILLED or status == 0, message)
    killed = killed + (status == KILLED and 1 or 0)
  end
  return outputs, killed
end

return killing
