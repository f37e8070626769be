--- A process that copies or loads, for spec/conformance/copy_spec.lua:
---   copier.lua copy FROM TO | copier.lua load DUMP TO
--- It prints the number of records whenever it tells of progress, and waits for a line on standard input.
local hoststore = require "hoststore"

io.stdout:setvbuf "line"

local function progress(records)
  print(records)
  io.read "*l"
end

local target = assert(hoststore.open(arg[3]))
if arg[1] == "copy" then
  assert(assert(hoststore.open(arg[2])):copy_to(target, { progress = progress }))
else
  assert(target:load(arg[2], { progress = progress }))
end
print "done"
