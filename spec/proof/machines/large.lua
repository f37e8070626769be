--- Does on a machine with little memory what a router does, with many hosts:
---   large.lua DIRECTORY HOSTS STEP
--- When it went well it says "needed" and how many KiB of addresses it has had at most.
local hoststore = require "hoststore"

local directory, HOSTS = arg[1], tonumber(arg[2])
local path, source = directory .. "/large.db", directory .. "/source"

local function line_of(i)
  local rest = i % 65536
  return ("10.%.0f.%.0f.%d\thost%d.lan h%d\n"):format((i - rest) / 65536, (rest - i % 256) / 256, i % 256, i, i)
end

local function write_source()
  local file = assert(io.open(source, "w"))
  for i = 1, HOSTS do
    assert(file:write(line_of(i)))
  end
  assert(file:close())
end

local steps = {}

function steps.add(store)
  assert(store:add { ip = "192.0.2.1", hostname = "router.lan", tags = { "core" } })
end

function steps.import(store)
  local result = assert(store:import(source, { origin = "import:list" }))
  assert(result.created == HOSTS and result.failed == 0, "the import has lost lines")
end

function steps.sync(store)
  local result = assert(store:import(source, { origin = "import:list", mode = "sync" }))
  assert(result.unchanged == HOSTS, "the second import has found changes")
end

function steps.list(store)
  local count = 0
  for _ in store:hosts() do
    count = count + 1
  end
  assert(count == store:count(), "hosts are missing")
end

function steps.publish(store)
  assert(store:publish(directory .. "/hosts"))
  assert(store:publish(directory .. "/hosts") == false, "the file is written again")
end

function steps.export(store)
  assert(store:export("ndjson", directory .. "/ndjson"))
end

function steps.read(store)
  local feed, count = store:feed "reader", 0
  repeat
    local events = assert(feed:read(1000))
    count = count + #events
    if #events > 0 then assert(feed:ack(events[#events].position)) end
  until #events == 0
  assert(count == store:stats().events, "events are missing")
end

function steps.dump(store)
  assert(store:dump(directory .. "/dump"))
end

function steps.load()
  local store = assert(hoststore.open(directory .. "/loaded.db", { policies = false }))
  assert(store:load(directory .. "/dump"))
  store:close()
end

function steps.snapshot(store)
  local snapshot = assert(store:snapshot { name = "large" })
  assert(store:delete(assert(store:reverse "10.0.0.1")[1]))
  assert(store:restore(snapshot.id).added == 1)
end

function steps.diff(store)
  assert(#assert(store:diff({ position = 0 }, { position = HOSTS })).added == HOSTS)
end

function steps.verify(store)
  assert(assert(store:verify()).ok)
end

if arg[3] == "begin" then
  write_source()
else
  local store = assert(hoststore.open(path, { policies = false }))
  steps[arg[3]](store)
  store:close()
end
for line in io.lines "/proc/self/status" do
  local kib = line:match "^VmPeak:%s*(%d+) kB"
  if kib then print("needed " .. kib) end
end
