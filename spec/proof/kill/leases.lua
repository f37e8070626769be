--- A process that puts leases into a spool until it is killed:
---   leases.lua SPOOL FIRST
--- Prints the number of each lease, from FIRST on, when it is in the spool.
local spool = require "hoststore.hotplug.spool"
local sys = require("hoststore.core").sys

local path, i = arg[1], tonumber(arg[2])
io.stdout:setvbuf "line"

while true do
  assert(spool.write(path, {
    action = "add", client = ("02:00:00:00:%02x:%02x"):format(math.floor(i / 256), i % 256), expires = "0",
    ip = ("10.9.%d.%d"):format(math.floor(i / 250), i % 250), name = "client" .. i,
  }))
  print(i)
  i = i + 1
  -- Clients are not as fast as this.
  sys.sleep(0.001)
end
