--- What clocks that are wrong, jump or go back do to a store, on both databases: nothing to its order and its
--- ids, and nothing is removed by them.
---   clocks.lua short|full
--- Needs spec/support/with_postgres. The clocks are libfaketime's; nothing here is left to chance but the timing.
local hoststore = require "hoststore"
local core = require "hoststore.core"
local clusters = require "spec.support.clusters"
local faketime = require "spec.support.faketime"
local report = require "spec.proof.frame.report"
local system = require "spec.support.system"

local ROUNDS = ({ short = 12, full = 400 })[arg[1]]
if not ROUNDS then
  io.stderr:write "usage: clocks.lua short|full\n"
  os.exit(2)
end

local PROCESS = "spec/support/clock_process.lua"
-- Boots in 1970, is set, jumps to 2033 and back, by an hour, by a second, and stands where it was.
local TIMES = { "@1970-01-01 00:00:10", "@2026-03-01 12:00:00", "@2033-05-18 03:33:20", "@2026-03-01 12:00:01",
  "@2026-03-01 11:00:01", "@2026-03-01 11:00:00", "@2026-03-01 11:00:00", "@1970-01-01 00:00:00" }

local function say(what, count, problems, note)
  for i = 1, math.min(#problems, 20) do report.failure("%s: %s", what, problems[i]) end
  report.line(what, count, #problems, "-", note)
end

-- The lines that a process prints, all of them as its pipe is closed.
local function finish(pipe, name, problems)
  local lines = {}
  for line in pipe:lines() do lines[#lines + 1] = line end
  pipe:close()
  if table.remove(lines) ~= "done" then
    problems[#problems + 1] = "process " .. name .. " did not end well: " .. table.concat(lines, " ")
  end
  return lines
end

-- Order and ids --------------------------------------------------------------------------------------------------

local function start(url, directory, name, first)
  local path, times = directory .. "/" .. name .. ".clock", {}
  for i = 1, #TIMES do times[i] = TIMES[(first + i - 2) % #TIMES + 1] end
  faketime.set(path, times[1])
  return system.popen(faketime.by(path, system.lua(PROCESS, url, name, "ids", ROUNDS, path,
    (unpack or table.unpack)(times))) .. " 2>&1") -- luacheck: compat
end

local function check_increasing(ids, name, problems)
  for i = 2, #ids do
    if ids[i] <= ids[i - 1] then
      problems[#problems + 1] = ("process %s made %s behind %s"):format(name, ids[i], ids[i - 1])
    end
  end
end

local function check_order(store, problems)
  local versions, ids, times = {}, {}, {}
  for i, event in ipairs(assert(store:events())) do
    versions[event.stream] = (versions[event.stream] or 0) + 1
    if event.position ~= i or event.version ~= versions[event.stream] or ids[event.id] then
      problems[#problems + 1] = ("event %s has position %d and version %d"):format(event.id, event.position,
        event.version)
    end
    ids[event.id], times[event.recorded_at] = true, true
  end
  for _, problem in ipairs(assert(store:verify()).problems) do problems[#problems + 1] = problem.message end
  return times
end

-- Per host the highest version recorded at or before a time, by the log alone.
local function hosts_of_log(events, time)
  local of, lines = {}, {}
  for _, event in ipairs(events) do
    local id = event.stream:match "^host%-(.*)$"
    if id and event.recorded_at <= time then of[id] = event end
  end
  for id, event in pairs(of) do
    if event.type ~= "HostDeleted" then
      lines[#lines + 1] = ("%s %d %s"):format(id, event.version, event.data.hostname)
    end
  end
  table.sort(lines)
  return table.concat(lines, "\n")
end

local function hosts_at(store, time)
  local lines = {}
  for i, host in ipairs(assert(store:at(time):list())) do
    lines[i] = ("%s %d %s"):format(host.id, host.version, host.hostname)
  end
  table.sort(lines)
  return table.concat(lines, "\n")
end

local MOMENTS = 200

local function check_moments(store, times, problems)
  local events, count = assert(store:events()), 0
  for time in pairs(times) do
    for _, moment in ipairs { time, time - 0.000001 } do
      if count < MOMENTS and moment >= 0 then
        count = count + 1
        if hosts_at(store, moment) ~= hosts_of_log(events, moment) then
          problems[#problems + 1] = "at " .. core.format_time(moment) .. " differs from the log"
        end
      end
    end
  end
  return count
end

local function try_order(title, url, directory)
  local problems, pipes, made = {}, {}, 0
  for i = 1, 2 do pipes[i] = start(url, directory, "p" .. i, i * 3 - 2) end
  for i, pipe in ipairs(pipes) do
    local ids = finish(pipe, i, problems)
    made = made + #ids
    check_increasing(ids, i, problems)
  end
  local store = assert(hoststore.open(url))
  local times = check_order(store, problems)
  say(title .. ": two processes whose clocks jump between 1970 and 2033 make versions, positions and ids that increase",
    made, problems, ("%d events"):format(#assert(store:events())))
  problems = {}
  local count = check_moments(store, times, problems)
  store:close()
  say(title .. ": the hosts at a time are, of each, the highest version recorded by then", count, problems, "moments")
end

-- One after the other for the clock stands still, and the first random number was the last there is.
local function try_overflow(title, url, directory)
  local problems = {}
  system.write(directory .. "/ones", ("\255"):rep(64))
  local command = faketime.at("2026-03-01 12:00:00", system.lua(PROCESS, url, "p", "flood", ROUNDS))
  local ids = finish(system.popen(system.preload(os.getenv "BUILD" .. "/last_random.so",
    "LAST_RANDOM=" .. system.quote(directory .. "/ones"), command) .. " 2>&1"), "p", problems)
  check_increasing(ids, "p", problems)
  if not (ids[1] or ""):find("Z" .. ("Z"):rep(15) .. "$") then problems[#problems + 1] = "the first id is another" end
  say(title .. ": ids of one millisecond increase when its random numbers are used up", #ids, problems, "ids")
end

-- What would be removed ------------------------------------------------------------------------------------------

-- Steps of a process each: when, what it does, and what it is to print.
local REFUSED = "conflict conflict conflict"
local FIRST = { "2026-03-01 12:00:00", "write" }
local stories = {
  { "before the clock is set nothing is removed or expires, no lease ends, and they say so", FIRST,
    { "1970-01-01 00:00:10", "retain", REFUSED },
    { "1970-01-01 00:00:15", "publish", "1, nothing expires" },
    { "1970-01-01 00:00:20", "lease", "no end" } },
  { "in 2033 nothing is removed or expires, no lease ends, and they say so", FIRST,
    { "2033-05-18 03:33:20", "retain", REFUSED },
    { "2033-05-18 03:33:20", "publish", "1, nothing expires" },
    { "2033-05-18 03:33:21", "lease", "no end" } },
  { "nothing is removed, and no lease ends, when something was written in 2033", FIRST,
    { "2033-05-18 03:33:20", "write" },
    { "2033-05-18 03:33:21", "retain", REFUSED },
    { "2033-05-18 03:33:22", "lease", "no end" } },
  { "the same back from 2033, until something was written; and nothing expires before its time", FIRST,
    { "2033-05-18 03:33:20", "write" },
    { "2026-03-02 12:00:00", "retain", REFUSED },
    { "2026-03-02 12:00:00", "publish", "2, nothing expires" },
    { "2026-03-02 12:00:01", "lease", "no end" },
    { "2026-03-02 12:00:02", "write" },
    { "2026-03-02 12:00:03", "retain", "0 and 3 0 0 and 3" },
    { "2026-03-02 12:00:04", "lease", "an end" } },
  { "retention, expiry and leases go by a clock that is right", FIRST,
    { "2026-03-01 12:10:00", "publish", "1" },
    { "2026-03-01 12:40:00", "publish", "0" },
    { "2026-03-20 12:00:00", "write" },
    { "2026-04-15 12:00:00", "retain", "1 and 2 1 0 and 2" },
    { "2026-04-15 12:00:01", "lease", "an end" } },
}

local function step(url, directory, number, time, mode)
  local place = ("%s/%s%d"):format(directory, mode, number)
  if mode == "retain" then
    assert(core.sys.mkdir_p(place))
    system.write(place .. "/a.lua", 'retention { name = "old", age = "30d", expired_hosts = "remove" }')
  end
  local command = faketime.at("@" .. time, system.lua(PROCESS, url, "n" .. number, mode, place))
  local problems = {}
  local pipe = system.popen(("export HOSTSTORE_SPOOL=%s; %s 2>&1"):format(system.quote(directory .. "/spool" .. number),
    command))
  local lines = finish(pipe, number, problems)
  return problems[1] or table.concat(lines, " ")
end

local function try_removal(title, url_of, directory)
  for i, story in ipairs(stories) do
    local problems, place = {}, ("%s/story%d"):format(directory, i)
    assert(core.sys.mkdir_p(place))
    for k = 2, #story do
      local time, mode, wanted = story[k][1], story[k][2], story[k][3]
      local output = step(url_of(i, place), place, k, time, mode)
      if output ~= (wanted or "") then
        problems[#problems + 1] = ("%s at %s: '%s' instead of '%s'"):format(mode, time, output, wanted or "")
      end
    end
    say(("%s: %s"):format(title, story[1]), #story - 1, problems, "steps")
  end
end

local function in_directory(fn)
  local directory = system.directory()
  fn(directory)
  system.remove(directory)
end

local ok, raised = pcall(function()
  in_directory(function(directory)
    try_order("sqlite", "sqlite://" .. directory .. "/order.db", directory)
    try_overflow("sqlite", "sqlite://" .. directory .. "/overflow.db", directory)
    try_removal("sqlite", function(_, place) return "sqlite://" .. place .. "/hosts.db" end, directory)
  end)
  in_directory(function(directory)
    local cluster = clusters.make "clocks"
    try_order("postgres", cluster:url(), directory)
    try_overflow("postgres", cluster:url "schema=overflow", directory)
    try_removal("postgres", function(i) return cluster:url("schema=story" .. i) end, directory)
  end)
end)
clusters.finish()
if not ok then error(raised, 0) end
report.finish()
