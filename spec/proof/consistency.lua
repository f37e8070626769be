--- Whether what many processes do at the same time could have happened one after the other, whatever befalls
--- them, on both databases; and whether the checker that says so finds a bug where there is one.
---   consistency.lua short|full
--- Needs spec/support/with_postgres. The seed, SEED or 1, chooses what the processes do and what befalls them;
--- their timing is the machine's. The histories of a run that failed are kept.
local hoststore = require "hoststore"
local checker = require "spec.support.checker"
local clients = require "spec.support.clients"
local clusters = require "spec.support.clusters"
local commands = require "spec.model.commands"
local planted = require "spec.support.planted"
local report = require "spec.proof.frame.report"
local system = require "spec.support.system"

local scales = {
  short = { sqlite = { count = 4, operations = 400 }, postgres = { count = 16, operations = 120 } },
  full = { sqlite = { count = 8, operations = 2500 }, postgres = { count = 16, operations = 1500 } },
}
local BROKEN = { count = 4, operations = 60 }

local scale = scales[arg[1]]
if not scale then
  io.stderr:write "usage: consistency.lua short|full\n"
  os.exit(2)
end
local seed = tonumber(os.getenv "SEED" or "1")

local function complain(what, messages, directory)
  for i = 1, math.min(#messages, 20) do report.failure("%s: %s", what, messages[i]) end
  if directory then report.failure("%s: seed %d, the histories are in %s", what, seed, directory) end
end

-- Names and how often each, for the note.
local function tally(counts)
  local names = {}
  for name, count in pairs(counts) do names[#names + 1] = ("%s %d"):format(name, count) end
  table.sort(names)
  return table.concat(names, ", ")
end

local function count_by(list, key)
  local counts = {}
  for _, item in ipairs(list) do counts[item[key]] = (counts[item[key]] or 0) + 1 end
  return counts
end

-- The planted bugs -----------------------------------------------------------------------------------------------

local function names_of(story)
  return count_by(checker.check(planted.parse(story)), "name")
end

local function try_planted()
  local missed = {}
  for _, story in ipairs(planted.bugs) do
    if not names_of(story)[story.bug] then missed[#missed + 1] = story.bug .. " not found: " .. story.what end
  end
  for _, story in ipairs(planted.sound) do
    if next(names_of(story)) then missed[#missed + 1] = "found in a sound history: " .. story.what end
  end
  complain("planted", missed)
  report.line("planted bugs are found under their names, and none in sound histories",
    #planted.bugs + #planted.sound, #missed, "-", ("%d bugs, %d sound"):format(#planted.bugs, #planted.sound))
end

-- Real runs ------------------------------------------------------------------------------------------------------

-- Runs a crowd to its end. Returns it, its history, what was found, and what else went wrong.
local function observe(given, blows)
  local crowd = clients.start { url = given.url, directory = given.directory, count = given.count, seed = seed,
    operations = given.operations, mode = given.mode or "whole", clocks = #blows > 0 }
  local ended, raised = pcall(crowd.run, crowd, commands.random(seed), blows)
  crowd:stop()
  local store = assert(hoststore.open(given.url))
  local history, problems = crowd:history(store)
  if not ended then problems[#problems + 1] = tostring(raised) end
  local findings, verified = checker.check(history), assert(store:verify())
  store:close()
  for _, problem in ipairs(given.mode and {} or verified.problems) do problems[#problems + 1] = problem.message end
  return crowd, history, findings, problems
end

local function messages_of(findings, problems)
  local messages = {}
  for _, problem in ipairs(problems) do messages[#messages + 1] = problem end
  for _, finding in ipairs(findings) do messages[#messages + 1] = finding.message end
  return messages
end

local function try_whole(what, given, blows)
  local crowd, history, findings, problems = observe(given, blows)
  local messages = messages_of(findings, problems)
  complain(what, messages, messages[1] and given.directory)
  local note = ("%d events; outcomes: %s; %s"):format(#history.log, tally(count_by(history.operations, "outcome")),
    tally(crowd.counts))
  report.line(("%s: %d processes are strictly serializable"):format(what, given.count), #history.operations,
    #messages, seed, note)
  return messages[1] == nil
end

local function try_broken(what, given, wanted)
  local _, history, findings, problems = observe(given, {})
  local names = count_by(findings, "name")
  local caught = names[wanted] and not problems[1]
  if not caught then complain(what, messages_of(findings, problems), given.directory) end
  report.line(what .. ": caught", #history.operations, caught and 0 or 1, seed, "found: " .. tally(names))
  return caught
end

local function in_directory(fn)
  local directory = system.directory()
  if fn(directory) then system.remove(directory) end
end

local kill, pause, jump = { "kills", clients.kill }, { "pauses", clients.pause }, { "clock jumps", clients.jump }

local function try_sqlite()
  in_directory(function(directory)
    local given = scale.sqlite
    given.directory, given.url = directory, "sqlite://" .. directory .. "/hosts.db"
    return try_whole("sqlite", given, { kill, kill, pause, jump, jump })
  end)
  in_directory(function(directory)
    return try_broken("sqlite, each step a transaction of its own", { url = "sqlite://" .. directory .. "/hosts.db",
      directory = directory, count = BROKEN.count, operations = BROKEN.operations, mode = "steps" }, "dirty read")
  end)
end

local UNLOCKED = [[
  ALTER TABLE unlocked.events DROP CONSTRAINT events_tenant_position_key;
  ALTER TABLE unlocked.events DROP CONSTRAINT events_tenant_stream_version_key;
  CREATE FUNCTION unlocked.append_unlocked(text, text, text) RETURNS void LANGUAGE plpgsql AS $$
  DECLARE
    last_version bigint;
    last_position bigint;
  BEGIN
    SELECT COALESCE(MAX(version) FILTER (WHERE stream = $1), 0), COALESCE(MAX(position), 0)
    INTO last_version, last_position FROM events;
    PERFORM pg_sleep(0.001);
    INSERT INTO events (tenant, position, stream, version, partition, id, type, data, occurred_at, recorded_at)
    VALUES ('default', last_position + 1, $1, last_version + 1, 0, $2, 'Noted', $3, 0, 0);
  END $$;
]]

local function try_postgres()
  local cluster = clusters.make("consistency", { max_connections = 60 })
  local terminate = { "connections terminated", function()
    cluster:psql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity " ..
      "WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() ORDER BY random() LIMIT 1")
  end }
  local restart = { "server restarts", function()
    cluster:stop "immediate"
    cluster:start()
  end }
  in_directory(function(directory)
    local given = scale.postgres
    given.directory, given.url = directory, cluster:url()
    return try_whole("postgres", given, { kill, kill, pause, jump, jump, terminate, terminate, terminate, restart })
  end)
  cluster:psql "CREATE SCHEMA unlocked"
  in_directory(function(directory)
    local url = cluster:url "options=-csearch_path%3Dunlocked"
    assert(hoststore.open(url)):close()
    cluster:psql(UNLOCKED)
    return try_broken("postgres, append without the writer's lock", { url = url, directory = directory,
      count = BROKEN.count, operations = BROKEN.operations, mode = "unlocked" }, "shared place")
  end)
end

try_planted()
local ok, raised = pcall(function()
  try_sqlite()
  try_postgres()
end)
clusters.finish()
if not ok then error(raised, 0) end
report.finish()
