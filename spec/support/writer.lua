--- A process that writes to a store, for spec/conformance/concurrency_spec.lua:
---   writer.lua URL MODE NAME COUNT [GATE]
--- adds    adds COUNT hosts (0: without end) and prints the id of each once it is acknowledged
--- same    adds hosts that another NAME adds too, and prints those it got
--- append  appends COUNT events to the stream "shared"
--- spread  appends COUNT events, every other one to "shared", the others to 100 more streams in turn
--- read    reads COUNT events as they come, and prints their positions
--- pages   reads COUNT events as they come, in pages, and prints the position, stream and version of each
--- hold    appends an event to "shared" in a transaction, and says "ready" in it
--- When a GATE is given, a pipe, it says "ready" there and waits for a line on standard input, so that
--- several start at once. It ends with "done", or with what went wrong.
local hoststore = require "hoststore"

local url, mode, name, count, gate = arg[1], arg[2], arg[3], tonumber(arg[4]), arg[5]
local store, err = hoststore.open(url)
if not store then
  error(tostring(err), 0)
end

io.stdout:setvbuf "line"

local pipe = gate and assert(io.open(gate, "w"))

local function wait_at_gate()
  if pipe then
    pipe:write("ready\n")
    pipe:flush()
    assert(io.read("*l"))
  end
end

if mode ~= "hold" then
  wait_at_gate()
end

local modes = {}

function modes.adds(i)
  local host = assert(store:add({ ip = ("10.%d.%d.%d"):format(name:byte(), math.floor(i / 250), i % 250),
    hostname = name .. i, tags = { name } }, { actor = name }))
  print(host.id)
end

function modes.same(i)
  local host, problem = store:add { ip = "10.0.0.1", hostname = "h" .. i }
  if host then
    print(host.id)
  else
    assert(problem.code == "duplicate", tostring(problem))
  end
end

function modes.append(i)
  print(assert(store:stream("shared"):append({ type = name, data = i })).position)
end

function modes.spread(i)
  local stream = i % 2 == 0 and "shared" or ("s%d"):format((name:byte() * 12 + (i - 1) / 2) % 100)
  local result = assert(store:stream(stream):append { type = name, data = i })
  print(("%d %s %d"):format(result.position, stream, result.last))
end

function modes.hold()
  assert(store:transaction(function()
    local result = assert(store:stream("shared"):append { type = name })
    wait_at_gate()
    return result
  end))
end

local last = 0
local function read(limit)
  local events
  repeat
    events = assert(store:events { after = last, limit = limit })
  until events[1]
  last = events[#events].position
  return events
end

function modes.read()
  print(read(1)[1].position)
end

-- Returns how many events it was.
function modes.pages()
  local events = read(37)
  for _, event in ipairs(events) do
    print(("%d %s %d"):format(event.position, event.stream, event.version))
  end
  return #events
end

local ok, raised = pcall(function()
  local i = 0
  while i < count or count == 0 do
    i = i + (modes[mode](i) or 1)
  end
end)
store:close()
if pipe then
  pipe:close()
end
print(ok and "done" or tostring(raised))
