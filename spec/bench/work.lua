--- What of hoststore is measured on SQLite, each in a process of its own, so that nothing else is in its memory:
---   work.lua DATABASE TASK WORD...
--- Prints the seconds the task took, without opening and closing, and how many bytes more than before the process
--- held at most. A task does beforehand what is not to be measured, and returns the rest.
local hoststore = require "hoststore"
local report = require "spec.bench.report"
local sys = require("hoststore.core").sys

-- The same host for the same number as in sqlite.c.
local function address(i)
  return ("10.%d.%d.%d"):format(math.floor(i / 65536), math.floor(i / 256) % 256, i % 256)
end

local function hostname(i)
  return ("host-%d.example.lan"):format(i)
end

local function id_of(i)
  return ("01KA0000000000000A%08d"):format(i)
end

local tasks = {}

-- A task that calls fn for some of the hosts, each time another one.
local function each(fn)
  return function(store, count, hosts)
    return function()
      for n = 0, count - 1 do assert(fn(store, n * 7919 % hosts)) end
    end
  end
end

tasks.get = each(function(store, i) return store:get(id_of(i)) end)
tasks.find = each(function(store, i) return store:find(address(i), hostname(i)) end)
tasks.lookup = each(function(store, i) return store:lookup("h" .. i)[1] end)
tasks.reverse = each(function(store, i) return store:reverse(address(i))[1] end)
tasks.tag = each(function(store) return #store:list { tags = { "rare" } } == 10 end)
tasks.cidr = each(function(store) return #store:list { ip = "10.0.0.0/29" } == 8 end)
tasks.glob = each(function(store) return #store:list { hostname = "host-7.*" } == 1 end)

function tasks.add(store, count, start)
  return function()
    for i = start, start + count - 1 do
      assert(store:add { ip = address(i), hostname = hostname(i), aliases = { "h" .. i }, tags = { "bench" },
        comment = ("number %d of many, version 1"):format(i) })
    end
  end
end

function tasks.append(store, count, size)
  local stream = store:stream "attic"
  return function()
    for _ = 1, count do
      local events = {}
      for n = 1, size do
        events[n] = { type = "Measured", data = { number = n, place = "attic", unit = "kelvin" } }
      end
      assert(stream:append(events))
    end
  end
end

function tasks.import(store, source, count)
  return function() assert(assert(store:import(source)).created == count) end
end

function tasks.list(store)
  return function() assert(store:list {}) end
end

function tasks.walk(store)
  return function()
    for host in store:hosts() do assert(host.id) end
  end
end

function tasks.at(store, position)
  return function() assert(assert(store:at { position = position }):list()[1]) end
end

function tasks.diff(store, a, b)
  return function() assert(assert(store:diff({ position = a }, { position = b })).changed[1]) end
end

function tasks.history(store, count)
  return function() assert(#assert(store:history(id_of(0))) == count) end
end

-- The first host, as it was before the last event.
function tasks.get_then(store, count)
  local position = assert(store:stats()).events - 1
  return function()
    for _ = 1, count do assert(assert(store:at { position = position }):get(id_of(0))) end
  end
end

function tasks.publish(store, path)
  return function() assert(store:publish(path) == true) end
end

function tasks.publish_unchanged(store, path)
  assert(store:publish(path) ~= nil)
  return function() assert(store:publish(path) == false) end
end

function tasks.follow(store)
  return function()
    for event in store:follow { timeout = 0 } do assert(event.data) end
  end
end

function tasks.feed(store, page, name)
  local feed = store:feed(name)
  return function()
    local events
    repeat
      events = assert(feed:read(page))
      if events[1] then assert(feed:ack(events[#events].position)) end
    until not events[1]
  end
end

-- The most memory, VmHWM, is that of now again.
local function forget_peak()
  collectgarbage()
  local file = assert(io.open("/proc/self/clear_refs", "w"))
  file:write "5"
  file:close()
end

local words = {}
for i = 3, #arg do words[i - 2] = tonumber(arg[i]) or arg[i] end
local store = assert(hoststore.open(arg[1], { actor = "bench", policies = false }))
local task = tasks[arg[2]](store, words[1], words[2])
forget_peak()
local before, start = report.memory "VmHWM", sys.monotonic()
task()
print(("%.6f %d"):format(sys.monotonic() - start, report.memory "VmHWM" - before))
store:close()
