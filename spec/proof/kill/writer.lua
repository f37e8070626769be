--- A process that writes until it is killed:
---   writer.lua URL NAME FIRST [EARLY]
--- From FIRST on, each number i is two events, appended to the stream NAME at once, and a host. Their ids depend on
--- the number, so that what was under way when the one before was killed is called again. Prints i when all of it was
--- acknowledged or, when it is to be EARLY, before.
local hoststore = require "hoststore"

local url, name, first, early = arg[1], arg[2], tonumber(arg[3]), arg[4]
local store = assert(hoststore.open(url, { policies = false }))
local stream = store:stream(name)
io.stdout:setvbuf "line"

local function id_of(kind, i)
  return ("01ARZ3NDEKTSV4RR%s%02X%07d"):format(kind, name:byte(), i)
end

local i = first
while true do
  if early then
    print(i)
  end
  assert(stream:append {
    { type = "First", id = id_of("A", i), data = i },
    { type = "Second", id = id_of("B", i), data = i },
  })
  assert(store:add({ ip = ("10.%d.%d.%d"):format(name:byte(), math.floor(i / 250), i % 250), hostname = name .. i },
    { event_id = id_of("C", i) }))
  if not early then
    print(i)
  end
  i = i + 1
end
