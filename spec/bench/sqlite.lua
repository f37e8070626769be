--- Measures hoststore on SQLite and, in the same run, what it is held against: programs that do the same with bare
--- SQLite calls (sqlite.c), by hand in Lua (by_hand.lua), or hoststore itself on a smaller database. Prints one table
--- and keeps it in build/bench, with KEEP=yes in spec/bench, too.
---   sqlite.lua INTERPRETER BUILD [WORD...]    from the root of the tree, with the search paths set
--- HOSTS=N is the size of the large database, 100000; of an import and a log ten times as much. With WORDs only those
--- parts are measured.
local core = require "hoststore.core"
local hoststore = require "hoststore"
local report = require "spec.bench.report"
local spool = require "hoststore.hotplug.spool"
local sys = core.sys
local unpack = table.unpack or unpack
local output_of = report.output_of

local interpreter, build = arg[1], arg[2]
local HOSTS = tonumber(os.getenv "HOSTS") or 100000
local LOG = HOSTS * 10
local SMALL = 1000
local MIB = 1024 * 1024

local directory = output_of "mktemp -d"
local facts = {}

-- -- databases ----------------------------------------------------------------------------------------

local function database(name)
  return directory .. "/" .. name .. ".db"
end

local function learn_facts()
  local store = assert(hoststore.open(database "facts"))
  facts = assert(core.describe(store))
  store:close()
end

-- The C program, under the journal, durability and page size that hoststore chose.
local function c_command(name, ...)
  return ("%s/obj/bench_sqlite %s %s %s %s %s"):format(build, database(name), facts.journal, facts.synchronous,
    facts.page_size, table.concat({ ... }, " "))
end

-- A database of that many hosts and versions of each, made when it is first asked for.
local made = {}
local function filled(hosts, versions, deep)
  local name = ("filled-%d-%d-%d"):format(hosts, versions or 1, deep or 0)
  if not made[name] then
    output_of("%s", c_command(name, "write", hosts, versions or 1, deep or 0))
    made[name] = true
  end
  return name
end

-- One that may be written to.
local function copy_of(name, purpose)
  output_of("cp %s %s", database(name), database(purpose))
  return purpose
end

local function hosts_file(count)
  local path = ("%s/%d.hosts"):format(directory, count)
  if not made[path] then
    local file = assert(io.open(path, "w"))
    for i = 0, count - 1 do
      file:write(("10.%d.%d.%d\thost-%d.example.lan h%d\t# number %d of many, version 1 [%s]\n")
        :format(math.floor(i / 65536), math.floor(i / 256) % 256, i % 256, i, i, i, i < 10 and "rare" or "bench"))
    end
    assert(file:close())
    made[path] = true
  end
  return path
end

-- -- contestants ----------------------------------------------------------------------------------------
-- One has a `command`, given the number of the round, which prints seconds and perhaps bytes; `per` is how many
-- things it does. `fresh` is a file that must not be there; `rounds`, how many it takes part in, where not in all.

local function fill_in(words, round)
  local texts = {}
  for i, word in ipairs(words) do
    texts[i] = tostring(type(word) == "function" and word(round) or word)
  end
  return unpack(texts)
end

local function ours(per, name, ...)
  local words = { ... }
  return { per = per, label = "hoststore", command = function(round)
    return ("%s spec/bench/work.lua %s %s"):format(interpreter, database(name), table.concat({ fill_in(words, round) },
      " "))
  end }
end

local function in_c(per, name, ...)
  local words = { ... }
  return { per = per, label = "C", command = function(round) return c_command(name, fill_in(words, round)) end }
end

local function by_hand(per, name, ...)
  local words = { ... }
  return { per = per, label = "luasql", command = function(round)
    return ("%s spec/bench/by_hand.lua %s %s %s %s"):format(interpreter, database(name), facts.journal,
      facts.synchronous, table.concat({ fill_in(words, round) }, " "))
  end }
end

local function fresh(name, contestant)
  contestant.fresh = database(name)
  return contestant
end

-- A process from its start to its end: the seconds are those of the clock, or of the processor.
local function process(label, command, processor)
  return { per = 1, label = label, command = function()
    return ("%s/obj/bench_swarm 1 %s"):format(build, command)
  end, take = function(text)
    local clock, _, used = text:match "(%S+) (%S+) (%S+)%s*$"
    return tonumber(processor and used or clock) / 1000
  end }
end

local function script(name, text)
  local path = ("%s/%s.lua"):format(directory, name)
  local file = assert(io.open(path, "w"))
  file:write(text)
  assert(file:close())
  return interpreter .. " " .. path
end

-- -- what is measured -----------------------------------------------------------------------------------
-- A group is contestants that take turns, and rows about them: what, the contestant, the other one, the goal. The
-- kind of a row is how the two are compared:
--   speed    how many times as fast as the other one, at least
--   time     how many times as long as the other one takes, at most
--   excess   how many seconds longer, at most
--   memory   how many bytes more the process held at most than before

local groups = {}

local function group(rounds, contestants, rows)
  groups[#groups + 1] = { rounds = rounds, contestants = contestants, rows = rows }
end

-- The numbers that are free in a round.
local function from(first, count)
  return function(round) return first + (round - 1) * count end
end

local function add()
  local count = 200
  local name = filled(HOSTS)
  group(5, {
    ours = ours(count, copy_of(name, "add-ours"), "add", count, from(HOSTS, count)),
    c = in_c(count, copy_of(name, "add-c"), "add", count, from(HOSTS, count)),
    hand = by_hand(count, copy_of(name, "add-hand"), count, from(HOSTS, count)),
  }, {
    { "add of a host, a transaction each", "ours", "c", "speed", 0.85 },
    { "add of a host, a transaction each", "ours", "hand", "speed", 1.5 },
  })
end

local function append_some(size, goal)
  local count = size == 100 and 40 or 100
  local name = filled(SMALL)
  group(5, {
    ours = ours(count, copy_of(name, "append-ours-" .. size), "append", count, size),
    c = in_c(count, copy_of(name, "append-c-" .. size), "append", count, size),
  }, { { ("append of %d event%s in a call"):format(size, size > 1 and "s" or ""), "ours", "c", "speed", goal } })
end

local function append()
  append_some(1, 0.85)
  append_some(10, 0.75)
  append_some(100, 0.65)
end

local function import()
  local function at_size(count)
    return fresh("import-ours", ours(count, "import-ours", "import", hosts_file(count), count)),
      fresh("import-c", in_c(count, "import-c", "write", count))
  end
  local ours_many, c_many = at_size(HOSTS)
  local ours_most, c_most = at_size(LOG)
  ours_many.label = ("%d lines"):format(HOSTS)
  ours_most.rounds, c_most.rounds = 2, 2
  group(3, { ours = ours_many, c = c_many, ours_most = ours_most, c_most = c_most }, {
    { ("import of %d lines"):format(HOSTS), "ours", "c", "speed", 0.6 },
    { ("import of %d lines"):format(LOG), "ours_most", "c_most", "speed", 0.6 },
    { ("time for a line, of %d lines"):format(LOG), "ours_most", "ours", "time", 1.15 },
    { ("memory of an import of %d lines"):format(HOSTS), "ours", nil, "memory", 32 * MIB },
    { ("memory of an import of %d lines"):format(LOG), "ours_most", nil, "memory", 32 * MIB },
  })
end

local function list()
  local few, many = filled(math.floor(HOSTS / 10), 5), filled(HOSTS)
  group(5, { ours = ours(1, few, "list"), c = in_c(1, few, "list") }, {
    { ("list of %d hosts of 5 events each"):format(HOSTS / 10), "ours", "c", "time", 2 } })
  group(5, { ours = ours(1, many, "walk"), c = in_c(1, many, "list") }, {
    { ("a loop over %d hosts"):format(HOSTS), "ours", "c", "time", 2 },
    { ("memory of a loop over %d hosts"):format(HOSTS), "ours", nil, "memory", 16 * MIB } })
end

local function look_up()
  local few, many = filled(SMALL), filled(HOSTS)
  local function both(task, count, goal, others)
    local contestants = { few = ours(count, few, task, count, SMALL), many = ours(count, many, task, count, HOSTS) }
    local rows = { { ("%s, of %d hosts"):format(task, HOSTS), "many", "few", "time", goal } }
    contestants.few.label = ("%d hosts"):format(SMALL)
    for _, other in ipairs(others or {}) do
      contestants[other.label] = other
      rows[#rows + 1] = { rows[1][1], "many", other.label, "time", other.goal }
    end
    group(5, contestants, rows)
  end
  local function compared(goal, contestant)
    contestant.goal = goal
    return contestant
  end
  both("get", 2000, 1.3, { compared(3, in_c(2000, many, "get", 2000, HOSTS)) })
  both("find", 2000, 1.3, { compared(3, in_c(2000, many, "find", 2000, HOSTS)) })
  both("lookup", 2000, 1.3)
  both("reverse", 2000, 1.3)
  -- Ten hosts are found in both: what grows is the depth of the index.
  both("tag", 500, 3)
  both("cidr", 500, 3)
  -- One scan of the read model, in C, is all that a pattern may cost.
  group(5, { ours = ours(1, many, "glob", 1, HOSTS), c = in_c(1, many, "scan") }, {
    { ("glob, of %d hosts"):format(HOSTS), "ours", "c", "time", 2 } })
end

local function past()
  local hosts = math.floor(HOSTS / 5)
  local name = filled(hosts, 5, 1000)
  local half, whole = 3 * hosts, 5 * hosts
  group(5, { ours = ours(1, name, "at", half), c = in_c(1, name, "at", half) }, {
    { ("hosts as they were, of %d events"):format(whole), "ours", "c", "time", 1.5 } })
  group(5, { ours = ours(1, name, "diff", half, whole), c = in_c(1, name, "diff", half, whole) }, {
    { ("difference, of %d events"):format(whole), "ours", "c", "time", 1.5 } })
  local small = filled(100, 5, 1000)
  local contestants = { ours = ours(1, name, "history", 1005), c = in_c(1, name, "history"),
    small = ours(1, small, "history", 1005) }
  contestants.small.label = "500 events"
  group(9, contestants, {
    { "history of a host, 1005 events", "ours", "c", "time", 1.5 },
    { ("history of a host, of %d events"):format(whole), "ours", "small", "time", 1.3 },
  })
end

local function past_of_one()
  local contestants = { large = ours(500, filled(HOSTS, 10), "get_then", 500),
    small = ours(500, filled(100, 10), "get_then", 500) }
  contestants.small.label = "1000 events"
  group(5, contestants, {
    { ("a host as it was, of %d events"):format(LOG), "large", "small", "time", 1.3 } })
end

local function publish()
  local name, file = filled(HOSTS), directory .. "/published"
  local function new(round) return ("%s-%d"):format(file, round) end
  group(5, { ours = ours(1, name, "publish", new), c = in_c(1, name, "publish", file .. "-c"),
    unchanged = ours(1, name, "publish_unchanged", file) }, {
    { ("publish of %d hosts"):format(HOSTS), "ours", "c", "time", 3 },
    { ("publish of %d hosts, unchanged"):format(HOSTS), "unchanged", "c", "time", 3 },
  })
end

local function catch_up()
  local name = filled(HOSTS, 10)
  local function named(round) return "feed-" .. round end
  group(3, { ours = ours(LOG, copy_of(name, "feed-ours"), "feed", 1000, named),
    follow = ours(LOG, name, "follow"), c = in_c(LOG, name, "log", 1000) }, {
    { ("feed over %d events, pages of 1000"):format(LOG), "ours", "c", "speed", 0.7 },
    { ("follow over %d events"):format(LOG), "follow", "c", "speed", 0.7 },
    { ("memory of a feed over %d events"):format(LOG), "ours", nil, "memory", 16 * MIB },
  })
end

local function start()
  local path = database(filled(SMALL))
  local cli = interpreter .. " lua/hoststore.command --db " .. database(filled(100)) .. " list"
  local id = "01KA0000000000000A00000007"
  group(21, {
    ours = process("hoststore", script("ours", ([[
      assert(assert(require("hoststore").open("%s", { policies = false })):get("%s"))]]):format(path, id))),
    hand = process("luasql", script("hand", ([[
      local c = assert(require("luasql.sqlite3").sqlite3():connect("%s"))
      assert(assert(c:execute("SELECT * FROM hosts WHERE tenant = 'default' AND id = '%s'")):fetch({}, "a"))]])
      :format(path, id))),
    list = process("hoststore list", cli, true),
    lua = process(interpreter, script("nothing", ""), true),
  }, {
    { "a new process that opens and gets", "ours", "hand", "time", 1.5 },
    { "hoststore list of 100 hosts, processor", "list", "lua", "excess", 0.03 },
  })
end

-- Until the process in the background has brought the lease into the database.
local function drained(path)
  return function()
    local lock
    repeat
      if lock then lock:release() end
      sys.sleep(0.002)
      lock = sys.lock(path .. "/lock")
    until lock and #assert(spool.waiting(path)) == 0
    lock:release()
  end
end

local function hotplug()
  local path = directory .. "/spool"
  local database_of_leases = database(copy_of(filled(100), "leases"))
  local event = process("hoststore hotplug", ("env HOSTSTORE_DB=%s HOSTSTORE_SPOOL=%s %s lua/hoststore.command " ..
    "hotplug add aa:bb:cc:dd:ee:ff 10.0.0.9 laptop"):format(database_of_leases, path, interpreter))
  event.settle = drained(path)
  group(21, { ours = event, lua = process(interpreter, "env " .. script("nothing", "")) }, {
    { "hotplug, from the start to the spool", "ours", "lua", "time", 1.2 } })
end

-- -- measuring ------------------------------------------------------------------------------------------

local function measure_once(contestant, round)
  if contestant.fresh then output_of("rm -f %s*", contestant.fresh) end
  local text = output_of("%s", contestant.command(round))
  local seconds, bytes = text:match "^(%S+) ?(%S*)$"
  seconds = contestant.take and contestant.take(text) or tonumber(seconds)
  assert(seconds, contestant.command(round))
  table.insert(contestant.seconds, seconds / contestant.per)
  table.insert(contestant.bytes, tonumber(bytes) or 0)
  if contestant.settle then contestant.settle() end
end

-- The contestants take turns, each round begun by another, so that what slows the machine slows all.
local function measure(entry)
  local names = {}
  for name, contestant in pairs(entry.contestants) do
    names[#names + 1] = name
    contestant.seconds, contestant.bytes = {}, {}
  end
  table.sort(names)
  for round = 1, entry.rounds do
    for turn = 1, #names do
      local contestant = entry.contestants[names[(turn + round) % #names + 1]]
      if round <= (contestant.rounds or entry.rounds) then measure_once(contestant, round) end
    end
  end
  for _, contestant in pairs(entry.contestants) do
    contestant.time, contestant.memory = report.median(contestant.seconds), report.median(contestant.bytes)
  end
end

local function time_text(seconds)
  if seconds < 0.001 then
    return ("%.1f us"):format(seconds * 1e6)
  elseif seconds < 1 then
    return ("%.2f ms"):format(seconds * 1e3)
  end
  return ("%.2f s"):format(seconds)
end

local kinds = {
  speed = { at_least = true, value = function(a, b) return b.time / a.time end, format = "%.2f" },
  time = { value = function(a, b) return a.time / b.time end, format = "%.2f" },
  excess = { value = function(a, b) return a.time - b.time end, format = "%.3f s" },
  memory = { value = function(a) return a.memory / MIB end, format = "%.1f MiB", unit = MIB },
}

local function result_of(entry, row)
  local what, a, b, kind = row[1], entry.contestants[row[2]], entry.contestants[row[3]], kinds[row[4]]
  local result = { what = what .. (b and ", next to " .. b.label or ""), at_least = kind.at_least or false,
    value = kind.value(a, b), goal = row[5] / (kind.unit or 1), ours = a.time, other = b and b.time }
  result.text = ("%s, goal %s %s"):format(kind.format, kind.at_least and ">=" or "<=", kind.format)
    :format(result.value, result.goal)
  return result
end

local parts = { { "add", add }, { "append", append }, { "import", import }, { "list", list }, { "find", look_up },
  { "past", past }, { "past_of_one", past_of_one }, { "publish", publish }, { "feed", catch_up }, { "start", start },
  { "hotplug", hotplug } }

local function is_wanted(name)
  for i = 3, #arg do
    if arg[i] == name then return true end
  end
  return #arg < 3
end

local function print_head()
  local SYNCHRONOUS = { ["0"] = "off", ["1"] = "normal", ["2"] = "full", ["3"] = "extra" }
  local lines = {
    report.machine(),
    ("%s, SQLite %s, hoststore %s, %s"):format(interpreter, facts.sqlite_version,
      output_of "git describe --always --dirty", os.date "!%Y-%m-%d"),
    ("durability full: journal %s, synchronous %s, page size %s; medians of rounds in turn"):format(facts.journal,
      SYNCHRONOUS[tostring(facts.synchronous)] or facts.synchronous, facts.page_size),
  }
  print("\n" .. table.concat(lines, "\n") .. "\n")
  return lines
end

-- The cells of a result in the table.
local function cells_of(result)
  return { result.what, time_text(result.ours), result.other and time_text(result.other) or "",
    result.text:match "^(.-), goal", result.text:match "goal (.*)$", report.score(result) < 1 and "missed" or "" }
end

local function main()
  learn_facts()
  for _, part in ipairs(parts) do
    if is_wanted(part[1]) then part[2]() end
  end
  local results, rows = {}, { { "", "hoststore", "the other", "ratio", "goal", "" } }
  for _, entry in ipairs(groups) do
    measure(entry)
    for _, row in ipairs(entry.rows) do
      local result = result_of(entry, row)
      results[#results + 1], rows[#rows + 1] = result, cells_of(result)
      io.stderr:write(table.concat(rows[#rows], "  "), "\n")
    end
  end
  local head = print_head()
  report.print(rows)
  report.keep("sqlite", head, results)
end

local ok, err = xpcall(main, debug.traceback)
output_of("rm -rf %s", directory)
if not ok then error(err, 0) end
