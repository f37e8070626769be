--- Proves what is left when processes are killed, as kill -9 does, at any moment:
---   kills.lua short|full
--- Writers, the drainer of the spool, projectors of a feed and publishers work side by side on each database, and are
--- killed, again and again. What they acknowledged is there, once; what they left is whole.
local backends = require "spec.support.backends"
local hoststore = require "hoststore"
local killing = require "spec.proof.kill.killing"
local random_of = require "spec.support.random"
local report = require "spec.proof.frame.report"
local subjects = require "spec.proof.kill.subjects"
local system = require "spec.support.system"

local full = arg[1] == "full"
local KILLS = full and 150 or 5 -- of each subject on each database
local ROUNDS = 8                -- on one database; then it is checked, and another one begun
local PATIENCE = 50             -- rounds in which nothing was done

local databases = {
  { name = "SQLite, journal truncate", backend = backends[1], options = "?journal=truncate" },
  { name = "SQLite, journal wal", backend = backends[1], options = "?journal=wal" },
  { name = "PostgreSQL", backend = backends[3], options = "" },
}

local SEED = 1
local random = random_of(SEED)

-- How long a process may live is tried: what is killed in its first moments has not begun, and what is done before
-- was not killed.
local function adapt(pace, taken, killed, wanted)
  if killed < wanted then
    return pace * 0.8
  end
  return taken == 0 and math.min(pace * 1.25, 1) or pace
end

local function times(commands, pace)
  local seconds = {}
  for i in ipairs(commands) do
    seconds[i] = pace * (0.3 + random(1000) / 500)
  end
  return seconds
end

local function run_rounds(subject, directory, kills, counts)
  for _ = 1, ROUNDS do
    if counts.killed >= kills then
      return
    end
    local commands = subject.commands()
    local outputs, killed = killing.run(directory, commands, times(commands, counts.pace))
    local taken = subject.took(outputs)
    -- Who is killed before anything was done proves nothing.
    counts.killed, counts.taken = counts.killed + (taken > 0 and killed or 0), counts.taken + taken
    counts.idle = taken > 0 and 0 or counts.idle + 1
    assert(counts.idle < PATIENCE, "nothing is ever done")
    counts.pace = adapt(counts.pace, taken, killed, #commands)
  end
end

local function verify(store)
  local verified = assert(store:verify())
  assert(verified.ok, tostring(verified.problems[1]))
end

local function check(database, subject)
  local store = database.backend.reopen()
  verify(store)
  subject.check(store)
  assert(store:add { ip = "192.0.2.1", hostname = "after.the.kills" })
  verify(store)
end

-- A database, until it is checked.
local function live(database, make, counts, kills)
  local url = database.backend.make() .. database.options
  local directory = system.directory()
  local made, raised = pcall(function()
    assert(hoststore.open(url)):close()
    local subject = make(database.backend, url, directory)
    run_rounds(subject, directory, kills, counts)
    check(database, subject)
  end)
  system.remove(directory)
  local finished, problem = pcall(database.backend.finish)
  if not made or not finished then
    counts.problem = ("%s: %s"):format(database.name, tostring(not made and raised or problem))
  end
end

local function live_until(database, make, kills)
  local counts = { killed = 0, taken = 0, idle = 0, lives = 0, pace = 0.08 }
  while counts.killed < kills and not counts.problem do
    live(database, make, counts, kills)
    counts.lives = counts.lives + 1
  end
  return counts
end

local function prove(name, what, make)
  for _, database in ipairs(databases) do
    local counts = live_until(database, make, KILLS)
    if counts.problem then
      report.failure("%s, %s", name, counts.problem)
    end
    report.line(("kill -9: %s, %s"):format(name, database.name), counts.killed, counts.problem and 1 or 0, SEED,
      ("%d %s, %d databases"):format(counts.taken, what, counts.lives))
  end
end

prove("writers", "changes acknowledged", subjects.writers)
prove("spool and drainer", "leases in the spool", subjects.drainer)
prove("feed projector", "events to project", subjects.projector)
prove("publisher", "new files", subjects.publisher)
local counts = live_until(databases[1], subjects.early_writers, 60)
report.line("kill -9, planted and noticed: writers that say it before it is so", counts.killed,
  counts.problem and 0 or 1, SEED, ("%d changes said to be acknowledged"):format(counts.taken))
report.finish()
