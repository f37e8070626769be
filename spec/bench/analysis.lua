--- Measures what a log is asked for when it is analysed, on each database, in one run: the same log, made by
--- examples/analysis/generate.lua, copied from SQLite to the others. Prints one table; judges nothing.
---   lua analysis.lua INTERPRETER [EVENTS [FILE]]   from the root of the tree, with the search paths set;
--- FILE is such a log that is there already. PostgreSQL is the one of HOSTSTORE_TEST_POSTGRES, if that is set;
--- DuckDB takes part where its driver is built.
local hoststore = require "hoststore"
local questions = dofile "examples/analysis/questions.lua"
local report = require "spec.bench.report"
local sys = require("hoststore.core").sys

local interpreter, events, made = arg[1], tonumber(arg[2] or 1000000), arg[3]
local PATIENCE = 3600 -- seconds for one question
-- A flap a day makes so many events of these hosts and days.
local HOSTS, DAYS, EVENTS_OF_A_FLAP = 300, 365, 187000

local function seconds(fn)
  collectgarbage()
  local start = sys.monotonic()
  fn()
  return sys.monotonic() - start
end

-- What is short is measured more than once.
local function best(fn)
  local least = seconds(fn)
  for _ = 2, least < 5 and 3 or 1 do least = math.min(least, seconds(fn)) end
  return least
end

local directory = report.output_of "mktemp -d"
if not made then
  made = directory .. "/hosts.db"
  io.stderr:write(report.output_of("%s examples/analysis/generate.lua %s %d %d %.3f", interpreter, made, HOSTS, DAYS,
    events / EVENTS_OF_A_FLAP), "\n")
end

local source = assert(hoststore.open(made, { readonly = true }))
local subjects = { { name = "SQLite", store = source, empty = directory .. "/empty.db" } }

-- `empty` is the URL of another database.
local function take_part(name, url, empty)
  local store, err = hoststore.open(url)
  if store then
    subjects[#subjects + 1] = { name = name, store = store, empty = empty }
  elseif err.code ~= "unsupported" then
    error(tostring(err), 0)
  end
end

take_part("DuckDB", "duckdb://" .. directory .. "/hosts.duckdb", "duckdb://" .. directory .. "/empty.duckdb")
local postgres = os.getenv "HOSTSTORE_TEST_POSTGRES"
if postgres then
  take_part("PostgreSQL", postgres .. "&schema=bench_analysis", postgres .. "&schema=bench_empty")
end

local rows = { { ("%d events, seconds"):format(assert(source:stats()).events) } }
for _, subject in ipairs(subjects) do table.insert(rows[1], subject.name) end

-- A row of the table: what `work` takes on each database.
local function measure(what, work)
  local row = { what }
  for i, subject in ipairs(subjects) do
    row[i + 1] = ("%.3f"):format(best(function() return work(subject.store) end))
    io.stderr:write(what, " ", subject.name, " ", row[i + 1], "\n")
  end
  rows[#rows + 1] = row
end

local lines = {}
for i = 1, 2000 do lines[i] = ("10.0.%d.%d\thost-%d.lan # [bench]"):format(math.floor(i / 250), i % 250, i) end

local row = { ("%d hosts imported from a hosts file"):format(#lines) }
for i, subject in ipairs(subjects) do
  local store = assert(hoststore.open(subject.empty))
  row[i + 1] = ("%.3f"):format(seconds(function() assert(store:import { text = table.concat(lines, "\n") }) end))
  store:close()
end
rows[#rows + 1] = row

row = { "copied from SQLite, read back and verified", "-" }
for i = 2, #subjects do
  row[i + 1] = ("%.1f"):format(seconds(function() assert(source:copy_to(subjects[i].store)) end))
  io.stderr:write(row[1], " ", subjects[i].name, " ", row[i + 1], "\n")
end
rows[#rows + 1] = row
if postgres then -- as its autovacuum would have done by and by
  report.output_of("psql -q %q -c 'ANALYZE'", postgres)
end

local middle = assert(source:log { limit = 1 })[1].at + DAYS / 2 * 86400
local restless = assert(source:list { hostname = "guest-*", limit = 1 })[1]
measure("list of all hosts", function(store) assert(#store:list() > 0) end)
measure("hosts in the middle of the year", function(store) assert(#assert(store:at(middle)):list() > 0) end)
measure("history of one host", function(store) assert(#store:history(restless.id) > 0) end)
measure("a window over every event", function(store)
  assert(store:query("SELECT COUNT(old) AS n FROM host_entries_history", nil, { timeout = PATIENCE }))
end)
for _, question in ipairs(questions.list) do
  measure(question.title, function(store) assert(questions.ask(store, question, PATIENCE)) end)
end
report.print(rows)
for _, subject in ipairs(subjects) do subject.store:close() end
os.execute("rm -rf " .. directory)
