-- Measures hoststore and, in the same run, a C program that writes and reads the same rows with
-- bare SQLite calls (sqlite.c). Prints one table; judges nothing.
--   lua sqlite.lua INTERPRETER BUILD      from the root of the tree, with the search paths set
local hoststore = require "hoststore"
local core = require "hoststore.core"
local report = require "spec.bench.report"
local sys = core.sys
local output_of = report.output_of

local interpreter, build, task = arg[1], arg[2], arg[3]

local MIB = 1024 * 1024

-- -- pieces --------------------------------------------------------------------------------------

local function seconds(fn, ...)
  collectgarbage()
  local start = sys.monotonic()
  fn(...)
  return sys.monotonic() - start
end

local function best(times, fn)
  local least = math.huge
  for _ = 1, times do
    least = math.min(least, seconds(fn))
  end
  return least
end

-- Bytes of memory the process holds, at most since `forget_peak`.
local function peak()
  for line in io.lines "/proc/self/status" do
    local kib = line:match "^VmHWM:%s*(%d+)"
    if kib then return kib * 1024 end
  end
end

local function forget_peak()
  collectgarbage()
  local file = assert(io.open("/proc/self/clear_refs", "w"))
  file:write "5"
  file:close()
end

-- The same host for the same number as in sqlite.c.
local function address(i)
  return ("10.%d.%d.%d"):format(math.floor(i / 65536), math.floor(i / 256) % 256, i % 256)
end

local function hostname(i)
  return ("host-%d.example.lan"):format(i)
end

local function write_hosts_file(path, count)
  local file = assert(io.open(path, "w"))
  for i = 0, count - 1 do
    file:write(("%s\t%s h%d\t# number %d of many [bench]\n"):format(address(i), hostname(i), i, i))
  end
  assert(file:close())
end

-- -- tasks of their own process, so that nothing else is in their memory or start-up ---------------

-- How much more memory it takes to walk over all hosts.
local function walk(path)
  local store = assert(hoststore.open(path, { readonly = true }))
  assert(store:list { limit = 10 })
  forget_peak()
  local before, count = peak(), 0
  for _ in store:hosts {} do
    count = count + 1
  end
  print(count, peak() - before)
end

local function import_growth(path, source)
  local store = assert(hoststore.open(path))
  forget_peak()
  local before = peak()
  assert(store:import(source))
  print(peak() - before)
end

if task then
  local tasks = { walk = walk, import_growth = import_growth }
  tasks[task](arg[4], arg[5])
  os.exit(0, true)
end

-- -- the table -------------------------------------------------------------------------------------

local rows = {}

local function row(what, ours, theirs, ratio)
  rows[#rows + 1] = { what, ours, theirs or "", ratio and ("%.2f"):format(ratio) or "" }
  io.stderr:write(what, "\n")
end

local function time_text(time)
  if time < 0.001 then
    return ("%.1f us"):format(time * 1e6)
  elseif time < 1 then
    return ("%.2f ms"):format(time * 1e3)
  end
  return ("%.2f s"):format(time)
end

local function rate_text(count, time)
  return ("%s, %.0f rows/s"):format(time_text(time), count / time)
end

local directory = output_of "mktemp -d"
local facts = {}

local function database(name)
  return directory .. "/" .. name .. ".db"
end

local function lua_task(...)
  return output_of("%s spec/bench/sqlite.lua %s %s %s", interpreter, interpreter, build, table.concat({ ... }, " "))
end

-- The C program, under the journal, durability and page size that hoststore chose.
local function reference(name, command, ...)
  local words = { ... }
  local text = output_of("%s/obj/bench_sqlite %s %s %s %s %s %s", build, database(name), facts.journal,
    facts.synchronous, facts.page_size, command, table.concat(words, " "))
  return (assert(tonumber(text), "sqlite.c failed"))
end

local function learn_facts()
  local store = assert(hoststore.open(database "facts"))
  facts = assert(core.describe(store))
  store:close()
end

local function import(name, count)
  local source = directory .. "/" .. name .. ".hosts"
  write_hosts_file(source, count)
  local store = assert(hoststore.open(database(name)))
  local result
  local time = seconds(function() result = assert(store:import(source)) end)
  assert(result.created == count, "the import created " .. tostring(result.created))
  return store, time, source
end

-- -- what is measured --------------------------------------------------------------------------------

local function bench_import()
  local times = {}
  for _, count in ipairs { 100000, 200000 } do
    local store, time = import(("import-%d"):format(count), count)
    store:close()
    times[count] = time
    local theirs = reference(("c-%d"):format(count), "write", count)
    row(("import %d lines"):format(count), rate_text(count, time), rate_text(count, theirs), time / theirs)
  end
  row("import, 200000 over 100000 lines", "", "", times[200000] / times[100000])
  local growth = lua_task("import_growth", database "growth", directory .. "/import-100000.hosts")
  row("import 100000 lines, memory growth", ("%.1f MiB"):format(growth / MIB))
  local count, grown = lua_task("walk", database "import-100000"):match "(%d+)%s+(%d+)"
  row(("walk over %d hosts, memory growth"):format(count), ("%.1f MiB"):format(grown / MIB))
end

-- Seconds for one of `count` calls of fn(number of a host).
local function per_call(count, hosts, fn)
  local time = best(3, function()
    for n = 0, count - 1 do
      fn(n * 7919 % hosts)
    end
  end)
  return time / count
end

local function calls(store, hosts)
  local ids = {}
  for n = 0, 999 do
    local i = n * 7919 % hosts
    ids[i] = assert(store:find(address(i), hostname(i))).id
  end
  local added = hosts
  local function add()
    assert(store:add {
      ip = address(added), hostname = hostname(added), aliases = { "h" .. added },
      comment = ("number %d of many"):format(added), tags = { "bench" },
    })
    added = added + 1
  end
  return {
    { "find", 1000, function(i) assert(store:find(address(i), hostname(i))) end },
    { "get", 1000, function(i) assert(store:get(ids[i])) end },
    { "lookup by alias", 1000, function(i) assert(store:lookup("h" .. i)[1]) end },
    { "add, a transaction each", 100, add, "add" },
    { "add, 1000 in a transaction", 1, function()
      assert(store:transaction(function()
        for _ = 1, 1000 do add() end
        return true
      end))
    end, per = 1000 },
  }
end

local function bench_calls()
  local small, large = import("calls-1000", 1000), assert(hoststore.open(database "import-100000"))
  reference("c-1000", "write", 1000)
  local few, many = calls(small, 1000), calls(large, 100000)
  for i, call in ipairs(few) do
    local what, count = call[1], call[2]
    local times, theirs = {}, {}
    for hosts, fn in pairs { [1000] = call[3], [100000] = many[i][3] } do
      times[hosts] = per_call(count, hosts, fn) / (call.per or 1)
      if what == "find" then
        theirs[hosts] = reference("c-" .. hosts, "find", count, hosts) / count
      elseif what == "add, a transaction each" then
        theirs[hosts] = reference("c-" .. hosts, "add", count, hosts) / count
      end
    end
    for _, hosts in ipairs { 1000, 100000 } do
      local other = theirs[hosts]
      row(("%s, %d hosts"):format(what, hosts), time_text(times[hosts]), other and time_text(other),
        other and times[hosts] / other)
    end
    row(what .. ", 100000 over 1000 hosts", "", "", times[100000] / times[1000])
  end
  small:close()
  large:close()
end

local function bench_list()
  local store = import("list", 10000)
  assert(store:transaction(function()
    for round = 1, 4 do
      for _, host in ipairs(assert(store:list {})) do
        assert(store:update(host.id, { comment = ("round %d of %s"):format(round, host.hostname) }))
      end
    end
    return true
  end))
  local time = best(5, function() assert(#store:list {} == 10000) end)
  store:close()
  local theirs = math.huge
  for _ = 1, 5 do
    theirs = math.min(theirs, reference("list", "list"))
  end
  row("list 10000 hosts of 5 events each", time_text(time), time_text(theirs), time / theirs)
end

-- Opens a database and reads one host, in processes of their own; the same through luasql.
local function bench_start()
  local store = assert(hoststore.open(database "list"))
  local id = assert(store:list { limit = 1 })[1].id
  store:close()
  local ours = ([[assert(assert(require("hoststore").open("%s")):get("%s"))]]):format(database "list", id)
  local theirs = ([[local c = assert(require("luasql.sqlite3").sqlite3():connect("%s"))
    assert(assert(c:execute("SELECT * FROM hosts WHERE tenant = 'default' AND id = '%s'")):fetch({}, "a"))]])
    :format(database "list", id)
  local function process(code)
    local script = directory .. "/start.lua"
    local file = assert(io.open(script, "w"))
    file:write(code)
    file:close()
    local rounds = 20
    return best(3, function()
      for _ = 1, rounds do
        local status = os.execute(interpreter .. " " .. script)
        assert(status == true or status == 0, "a process failed")
      end
    end) / rounds
  end
  local a, b = process(ours), process(theirs)
  row("new process: require, open, get; by luasql.sqlite3", time_text(a), time_text(b), a / b)
end

local function bench_size()
  local total = 0
  for _, module in ipairs { "core", "sqlite" } do
    output_of("strip -o %s/%s.so %s/hoststore/%s.so", directory, module, build, module)
    total = total + assert(sys.stat(directory .. "/" .. module .. ".so")).size
  end
  row("core.so + sqlite.so, stripped", ("%.1f kB"):format(total / 1000))
end

learn_facts()
rows[1] = { "", "hoststore", "reference", "ratio" }
local ok, err = xpcall(function()
  bench_import()
  bench_calls()
  bench_list()
  bench_start()
  bench_size()
end, debug.traceback)
output_of("rm -rf %s", directory)
if not ok then
  error(err, 0)
end
local SYNCHRONOUS = { ["0"] = "off", ["1"] = "normal", ["2"] = "full", ["3"] = "extra" }
print(("\n%s, SQLite %s, journal %s, synchronous %s, page size %s\n"):format(interpreter,
  facts.sqlite_version, facts.journal, SYNCHRONOUS[tostring(facts.synchronous)] or facts.synchronous,
  facts.page_size))
report.print(rows)
