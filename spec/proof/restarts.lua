--- Proves what is left when a PostgreSQL server dies under its writers, and starts again:
---   restarts.lua short|full
--- It is stopped without a word (pg_ctl stop -m immediate), or one of its processes is killed, upon which it throws out
--- all others and recovers by itself. The writers call again with the same ids until they are answered.
local clusters = require "spec.support.clusters"
local hoststore = require "hoststore"
local report = require "spec.proof.frame.report"
local steady_writers = require "spec.support.steady_writers"
local system = require "spec.support.system"

local full = arg[1] == "full"
local DEATHS = full and 60 or 4
local BETWEEN = 10 -- events of each writer from one death to the next

local directory = system.directory()

local deaths = {}

function deaths.stopped(cluster)
  cluster:stop "immediate"
  cluster:start()
end

function deaths.killed(cluster)
  local pid = cluster:psql [[SELECT pid FROM pg_stat_activity
    WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() ORDER BY random() LIMIT 1]]
  cluster:run("kill -9 " .. assert(tonumber(pid)))
end

local function prove(name, die)
  local cluster = clusters.make(name, { fsync = "on", full_page_writes = "on" })
  local store = assert(hoststore.open(cluster:url(), { policies = false }))
  local writers, happened, again, count = steady_writers.start(directory, cluster:url()), 0, 0, 0
  local ok, raised = pcall(function()
    writers:wait_for_more(BETWEEN)
    for _ = 1, DEATHS / 2 do
      die(cluster)
      happened = happened + 1
      writers:wait_for_more(BETWEEN)
    end
  end)
  local finished, problem = pcall(function()
    local acknowledged
    acknowledged, again = writers:finish()
    count = steady_writers.check(store, acknowledged)
  end)
  store:close()
  if not ok or not finished then
    report.failure("%s: %s", name, tostring(not ok and raised or problem))
  end
  report.line("PostgreSQL is " .. name .. " under its writers", happened, ok and finished and 0 or 1, "-",
    ("%d events acknowledged, %d calls made again"):format(count, again))
end

local ok, raised = pcall(function()
  prove("stopped", deaths.stopped)
  prove("killed", deaths.killed)
end)
clusters.finish()
system.remove(directory)
assert(ok, raised)
report.finish()
