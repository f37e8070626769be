--- A process that writes to a store, for spec/conformance/concurrency_spec.lua:
---   writer.lua URL MODE NAME COUNT [GATE]
--- adds    adds COUNT hosts (0: without end) and prints the id of each once it is acknowledged
--- same    adds hosts that another NAME adds too, and prints those it got
--- append  appends COUNT events to the stream "shared"
--- read    reads COUNT events as they come, and prints their positions
--- When a GATE is given, a pipe, it says "ready" there and waits for a line on standard input, so that
--- several start at once. It ends with "done", or with what went wrong.
local hoststore = require "hoststore"

local url, mode, name, count, gate = arg[1], arg[2], arg[3], tonumber(arg[4]), arg[5]
local store, err = hoststore.open(url)
if not store then
  error(tostring(err), 0)
end

io.stdout:setvbuf "line"

local pipe
if gate then
  pipe = assert(io.open(gate, "w"))
  pipe:write("ready\n")
  pipe:flush()
  assert(io.read("*l"))
end

local modes = {}

function modes.adds(i)
  local host = assert(store:add({ ip = ("10.%d.%d.%d"):format(name:byte(), math.floor(i / 250), i % 250),
    hostname = name .. i, tags = { name } }, { actor = name }))
  print(host.id)
end

function modes.same(i)
  local host, refusal = store:add { ip = "10.0.0.1", hostname = "h" .. i }
  if host then
    print(host.id)
  else
    assert(refusal.code == "duplicate", tostring(refusal))
  end
end

function modes.append(i)
  print(assert(store:stream("shared"):append({ type = name, data = i })).position)
end

local last = 0
function modes.read()
  local events
  repeat
    events = assert(store:events { after = last, limit = 1 })
  until events[1]
  last = events[1].position
  print(last)
end

local ok, raised = pcall(function()
  local i = 0
  while i < count or count == 0 do
    modes[mode](i)
    i = i + 1
  end
end)
store:close()
if pipe then
  pipe:close()
end
print(ok and "done" or tostring(raised))
