--- The machine's clock as a spec wants it, in this process.
---   before_each(function() directory = machine_clock.begin(function() return time end) end)
---   after_each(machine_clock.finish)
local core = require "hoststore.core"
local spool = require "hoststore.hotplug.spool"
local system = require "spec.support.system"

local machine_clock = {}
local now, spool_directory = core.now, spool.directory
local directory

--- From now on it says what `says` returns. What is known about it is in the directory, which is empty at first.
---@param says fun(): number
---@return string directory
function machine_clock.begin(says)
  directory = system.directory()
  core.now = says
  spool.directory = function() return directory end
  return directory
end

function machine_clock.finish()
  core.now, spool.directory = now, spool_directory
  system.remove(directory)
end

return machine_clock
