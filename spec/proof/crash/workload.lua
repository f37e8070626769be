--- A process that works on a store, with spec/support/write_log.c preloaded:
---   workload.lua URL LOG SEED COUNT SESSION [SQL]
--- makes COUNT random changes and notes in the log, behind each, that it was acknowledged, and the fingerprint
--- of the store then. The store is opened anew after about SESSION changes. SQL is run on each new connection, after
--- what hoststore has set.
local faulty = require "hoststore_faulty"
local fingerprint = require "spec.proof.crash.fingerprint"
local hoststore = require "hoststore"
local random_of = require "spec.support.random"

local url, log_path, seed, count, session, sql = arg[1], arg[2], tonumber(arg[3]), tonumber(arg[4]), tonumber(arg[5]),
  arg[6]
local random = random_of(seed)
local log = assert(io.open(log_path, "ab"))
local store
local changes = 0

if sql then
  package.loaded["hoststore.sqlite"] = faulty.wrap(require "hoststore.sqlite")
  faulty.at_open(sql)
end

local function acknowledge()
  local text = fingerprint(store)
  log:write(("ack 0 %d -\n%s"):format(#text, text))
  log:flush()
end

local now = 1.7e9
local function clock()
  now = now + 0.01
  return now
end

local function open()
  store = assert(hoststore.open(url, { policies = false, clock = clock }))
end

local function new_host()
  changes = changes + 1
  return { ip = ("10.%d.%d.%d"):format(random(250), random(250), random(250)), hostname = "h" .. changes,
    comment = random(3) == 1 and ("c"):rep(random(3000)) or nil, tags = random(2) == 1 and { "t" .. random(5) } or nil }
end

local function any_host()
  local hosts = assert(store:list())
  return hosts[1] and hosts[random(#hosts)]
end

-- Each is one transaction, so that there is nothing between before and after.
local kinds = {
  function() assert(store:add(new_host())) end,
  function() assert(store:add(new_host())) end,
  function()
    local host = any_host()
    if host then
      assert(store:update(host, { comment = "change " .. random(100000), enabled = random(2) == 1 }))
    end
  end,
  function()
    local host = any_host()
    if host then
      assert(store:delete(host))
    end
  end,
  function()
    local lines = {}
    for i = 1, random(20) do
      local host = new_host()
      lines[i] = host.ip .. " " .. host.hostname .. "\n"
    end
    assert(store:import({ text = table.concat(lines) }, { format = "hosts" }))
  end,
  function() assert(store:snapshot { name = "s" .. changes }) end,
  function()
    local snapshots = assert(store:snapshots())
    if snapshots[1] then
      assert(store:restore(snapshots[random(#snapshots)].id))
    end
  end,
  function()
    local snapshots = assert(store:snapshots())
    if snapshots[1] then
      assert(store:delete_snapshot(snapshots[random(#snapshots)].id))
    end
  end,
  function()
    local orders = store:stream "orders"
    local version = assert(orders:version())
    if version > 0 then
      assert(orders:save_snapshot(version, { n = version }))
    end
  end,
  function()
    assert(store:transaction(function()
      for _ = 1, 3 do
        assert(store:add(new_host()))
      end
      return assert(store:stream("orders"):append { { type = "A", data = { n = random(1000) } }, { type = "B" } })
    end))
  end,
  function()
    assert(store:feed("copy"):project(function(event)
      return store:stream("copies"):append { type = "Copied", data = event.position }
    end, { limit = 5 }))
  end,
}

open()
acknowledge()
for i = 1, count do
  -- A new process begins where another has ended: its journal comes and goes.
  if random(session) == 1 then
    store:close()
    open()
  end
  kinds[i <= 5 and 1 or random(#kinds)]()
  acknowledge()
end
store:close()
log:close()
