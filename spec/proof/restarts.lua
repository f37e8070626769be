--- Proves what is left when a PostgreSQL server dies under its writers, and starts again:
---   restarts.lua short|full
--- It is stopped without a word (pg_ctl stop -m immediate), or one of its processes is killed, upon which it throws out
--- all others and recovers by itself. The writers call again with the same ids until they are answered.
local clusters = require "spec.support.clusters"
local hoststore = require "hoststore"
local report = require "spec.proof.frame.report"
local system = require "spec.support.system"

local full = arg[1] == "full"
local DEATHS = full and 60 or 4
local WRITERS = 4
local BETWEEN = 10 -- events of each writer from one death to the next

local directory = system.directory()
local stop = directory .. "/stop"

local function output(i)
  return directory .. "/output" .. i
end

-- Two write to the same stream, two to one of their own.
local function start_writers(url)
  local pipes = {}
  for i = 1, WRITERS do
    system.write(output(i), "")
    local writer = system.lua("spec/support/steady_writer.lua", url, i < 3 and "hot" or "s" .. i, i, stop)
    pipes[i] = system.popen(("exec %s >%s 2>&1"):format(writer, system.quote(output(i))), "w")
  end
  return pipes
end

local function lines(i)
  local found = {}
  for line in io.lines(output(i)) do
    found[#found + 1] = line
  end
  return found
end

local function wait_for_more()
  for i = 1, WRITERS do
    local before = #lines(i)
    system.wait("writer " .. i .. " has written more", function()
      local now = lines(i)
      assert(not (now[#now - 1] or ""):find "^again", now[#now])
      return #now >= before + BETWEEN
    end)
  end
end

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

-- Ends the writers, and returns what each was told, and how often they had to call again.
local function finish_writers(pipes)
  local acknowledged, again = {}, 0
  system.write(stop, "")
  for i, pipe in ipairs(pipes) do
    pipe:close()
    local said = lines(i)
    assert(table.remove(said) == "done", "a writer gave up")
    again = again + tonumber(table.remove(said):match "^again (%d+)$")
    acknowledged[i] = said
  end
  os.remove(stop)
  return acknowledged, again
end

-- Each writer has stopped behind an acknowledgement, so the log is just what was acknowledged.
local function check(store, acknowledged)
  local verified, nexts, count = assert(store:verify()), {}, 0
  assert(verified.ok, tostring(verified.problems[1]))
  for position, event in ipairs(assert(store:events())) do
    local writer = tonumber(event.id:sub(19, 19))
    nexts[writer] = (nexts[writer] or 0) + 1
    assert(event.position == position, "a position is missing")
    assert(event.id == acknowledged[writer][nexts[writer]], "an event is lost, there twice, or out of order")
    count = count + 1
  end
  for i = 1, WRITERS do
    assert(nexts[i] == #acknowledged[i], "events are lost")
  end
  return count
end

local function prove(name, die)
  local cluster = clusters.make(name, { fsync = "on", full_page_writes = "on" })
  local store = assert(hoststore.open(cluster:url(), { policies = false }))
  local pipes, happened, again, count = start_writers(cluster:url()), 0, 0, 0
  local ok, raised = pcall(function()
    wait_for_more()
    for _ = 1, DEATHS / 2 do
      die(cluster)
      happened = happened + 1
      wait_for_more()
    end
  end)
  local finished, problem = pcall(function()
    local acknowledged
    acknowledged, again = finish_writers(pipes)
    count = check(store, acknowledged)
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
