--- A year of a network, made up: who comes and goes, who is renamed and moved, and by whom.
---   generate.lua DATABASE [HOSTS [DAYS [FLAPS [SEED]]]]      300 hosts, 365 days, 0.5 flaps a lease a day
--- The same numbers make the same year. DATABASE is a path or a URL of an empty database; a file of SQLite
--- is filled soonest, and `hoststore copy` brings it to the others.
local hoststore = require "hoststore"

local url = arg[1] or error("usage: generate.lua DATABASE [HOSTS [DAYS [FLAPS [SEED]]]]", 0)
local HOSTS, DAYS, FLAPS, SEED = tonumber(arg[2] or 300), tonumber(arg[3] or 365), tonumber(arg[4] or 0.5),
  tonumber(arg[5] or 1)

local DAY = 86400
local START = 1735776000 -- 2025-01-02
local ADMINS = { "alice", "bob", "carol" }

-- Of each ten hosts: what they are, and how restless, as a share of FLAPS; the first three do not lease.
local KINDS = {
  { name = "server" }, { name = "server" }, { name = "printer" }, { name = "camera", restless = 0.1 },
  { name = "laptop", restless = 1 }, { name = "laptop", restless = 1 }, { name = "phone", restless = 1.5 },
  { name = "phone", restless = 1.5 }, { name = "guest", restless = 3 }, { name = "lab", restless = 0.5 },
}

local state = SEED * 48271 % 2147483647
local function random()
  state = state * 16807 % 2147483647
  return state / 2147483647
end

local function pick(list)
  return list[1 + math.floor(random() * #list)]
end

-- How often something happens that does so `mean` times on average.
local function times(mean)
  local count = math.floor(mean)
  return random() < mean - count and count + 1 or count
end

local now = START
local store = assert(hoststore.open(url, { clock = function() return now end, policies = false }))
if assert(store:log { limit = 1 })[1] then error("the database is not empty", 0) end

local function address(i, lease)
  return ("10.%d.%d.%d"):format(lease and 1 or 0, math.floor(i / 200) + (lease or 0) * 8, i % 200 + 1)
end

local hosts = {}

local function appear(i, actor)
  local kind = KINDS[i % #KINDS + 1]
  local lease = kind.restless and math.floor(random() * 4)
  hosts[i] = assert(store:add({
    ip = address(i, lease), hostname = ("%s-%d.example.lan"):format(kind.name, i), origin = lease and "dhcp" or "admin",
    tags = lease and { kind.name, "lease" } or { kind.name },
  }, { actor = actor }))
end

local function leave(i)
  assert(store:delete(hosts[i], { actor = "dhcp", reason = "lease ended" }))
end

local function come_back(i)
  appear(i, "dhcp")
end

local function change(i)
  local host, what = hosts[i], random()
  local changes
  if what < 0.5 then
    changes = { comment = ("rack %d, checked %d"):format(i % 7, math.floor(now / DAY)) }
  elseif what < 0.8 then
    changes = { tags = { KINDS[i % #KINDS + 1].name, pick { "monitored", "old", "spare" } } }
  else
    changes = { enabled = not host.enabled }
  end
  hosts[i] = assert(store:update(host, changes, { actor = pick(ADMINS), reason = "maintenance" }))
end

local steps

local function plan(time, act, i)
  steps[#steps + 1] = { time = math.floor(time), act = act, host = i, number = #steps }
end

-- A lease ends, and its client comes back after a while: soon, when it is one that flaps. Each time has a part
-- of the day to itself.
local function plan_flaps(i, opening, count)
  local part = DAY / count
  for k = 0, count - 1 do
    local time = opening + (k + random() / 2) * part
    plan(time, leave, i)
    plan(time + 20 + random() * random() * (math.min(3600, part / 2) - 20), come_back, i)
  end
end

local function live_through(day)
  local opening = START + day * DAY
  steps = {}
  for i = 1, HOSTS do
    local count = times((KINDS[i % #KINDS + 1].restless or 0) * FLAPS)
    if count > 0 then plan_flaps(i, opening, count) end
    -- At the very end of the day everybody is there.
    if random() < 0.02 then plan(opening + DAY - 1, change, i) end
  end
  table.sort(steps, function(a, b)
    if a.time ~= b.time then return a.time < b.time end
    return a.number < b.number
  end)
  for _, step in ipairs(steps) do
    now = math.max(now, step.time)
    step.act(step.host)
  end
end

assert(store:transaction(function()
  for i = 1, HOSTS do
    now = now + 1
    appear(i, "alice")
  end
  return true
end))
for day = 0, DAYS - 1 do
  assert(store:transaction(function()
    live_through(day)
    return true
  end))
end
print(("%d events of %d hosts in %d days"):format(store:stats().events, HOSTS, DAYS))
store:close()
