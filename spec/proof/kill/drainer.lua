--- A process that drains a spool, again and again, until it is killed:
---   drainer.lua URL SPOOL
local hotplug = require "hoststore.hotplug"
local sys = require("hoststore.core").sys

while true do
  local drained, err = hotplug.drain { db = arg[1], spool = arg[2] }
  assert(drained ~= nil, tostring(err))
  if not drained then
    sys.sleep(0.001)
  end
end
