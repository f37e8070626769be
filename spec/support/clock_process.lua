--- A process whose clock is wrong, or jumps, for spec/proof/clocks.lua:
---   clock_process.lua URL NAME ids ROUNDS CLOCK TIME…   writes in each round by the next of the times, which it
---                                                      sets in the file CLOCK; prints its ids as they are made
---   clock_process.lua URL NAME flood ROUNDS            writes a hundred events in each round; prints their ids
---   clock_process.lua URL NAME write                   writes a little of everything
---   clock_process.lua URL NAME retain POLICIES         prints what retention by age and by policy come to
---   clock_process.lua URL NAME lease SPOOL             prints whether a lease got its end
---   clock_process.lua URL NAME publish DIRECTORY       prints how many hosts it has published
local hoststore = require "hoststore"

local url, name, mode = arg[1], arg[2], arg[3]
local store = assert(hoststore.open(url, { policies = mode == "retain" and arg[4] or false }))
local modes = {}

local function print_all(ids)
  for _, id in ipairs(ids) do print(id) end
end

function modes.ids(rounds, path, ...)
  local times = { ... }
  for round = 1, tonumber(rounds) do
    require "spec.support.faketime".set(path, times[(round - 1) % #times + 1])
    print_all(assert(store:stream("shared"):append { { type = name }, { type = name }, { type = name } }).ids)
    local host = assert(store:add { ip = "10.0.0.1", hostname = name .. round })
    print(host.id)
    print_all(assert(store:stream(name):append { type = name }).ids)
    print(assert(store:snapshot()).id)
    host = assert(store:update(host, { comment = "round " .. round }))
    if round % 3 == 0 then assert(store:delete(host)) end
  end
end

function modes.flood(rounds)
  local events = {}
  for i = 1, 100 do events[i] = { type = "A" } end
  for _ = 1, tonumber(rounds) do print_all(assert(store:stream "s":append(events)).ids) end
end

function modes.write()
  assert(store:add { ip = "10.0.0.1", hostname = name, expires_at = "2026-03-01T12:30:00Z" })
  assert(store:stream("s"):append { type = "A" })
  assert(store:snapshot { name = name })
end

local function outcome(value, err)
  if value then return type(value) == "table" and ("%d and %d"):format(value.snapshots, value.hosts) or value end
  return err.message:find("nothing is removed", 1, true) and err.code or "no word of the clock: " .. err.message
end

function modes.retain()
  print(outcome(store:apply_policy_retention { dry_run = true }))
  print(outcome(store:apply_retention { max_age = "30d" }))
  print(outcome(store:apply_policy_retention()))
end

function modes.lease(path)
  local spool = require "hoststore.hotplug.spool"
  assert(spool.write(path, { action = "add", client = "aa:bb:cc:dd:ee:01", ip = "10.0.0.9", name = "lease" .. name,
    remaining = "3600" }))
  assert(require "hoststore.hotplug.drain".run(store, path))
  local host = assert(store:reverse("10.0.0.9")[1])
  local log = io.open(path .. "/log")
  print(host.expires_at and "an end" or log and log:read("*a"):find("leases get no end: the clock", 1, true)
    and "no end" or "no end, and no word of it")
end

function modes.publish(path)
  assert(require("hoststore.core").sys.mkdir_p(path))
  local result, hosts = store:publish_outputs { { path = path .. "/hosts" } }[1], 0
  assert(not result.error, result.error)
  for _ in io.lines(path .. "/hosts") do hosts = hosts + 1 end
  print(hosts .. (result.clock and ", nothing expires" or ""))
end

modes[mode](select(4, (unpack or table.unpack)(arg))) -- luacheck: compat
store:close()
print "done"
