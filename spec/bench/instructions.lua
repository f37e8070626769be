--- Counts the instructions that core operations take, which does not depend on how busy the machine is, and
--- compares with the counts that are kept in spec/bench/INSTRUCTIONS.md. Judges nothing.
---   instructions.lua INTERPRETER BUILD        from the root of the tree, with the search paths set
---   instructions.lua INTERPRETER BUILD keep   writes the page anew, with an estimate for a router
--- An operation is counted as the difference between processes that do it N and 2 N times, so starting up, opening
--- and what is done only the first time do not count. Each has a database of its own with 200 hosts.
local hoststore = require "hoststore"
local report = require "spec.bench.report"
local output_of = report.output_of

local interpreter, build, task = arg[1], arg[2], arg[3]
local PAGE = "spec/bench/INSTRUCTIONS.md"
local HOSTS, TOLERANCE = 200, 10

-- -- the operations -----------------------------------------------------------------------------------

local function host(i)
  return {
    ip = ("10.0.%d.%d"):format(math.floor(i / 256), i % 256), hostname = ("host-%d.lan"):format(i),
    aliases = { "h" .. i }, comment = ("number %d of many"):format(i), tags = { "bench" },
  }
end

local function events(first, count)
  local list = {}
  for n = 1, count do
    list[n] = { type = "Measured", data = { number = first + n, unit = "kelvin", place = "attic" } }
  end
  return list
end

local function each(fn)
  return function(store, hosts, count)
    for i = 0, count - 1 do
      assert(fn(store, hosts[i % HOSTS + 1], i))
    end
  end
end

-- Each is done so many times by one process, and twice as often, at most once to each host, by another.
local operations = {
  { "add a host", 100, each(function(store, _, i) return store:add(host(HOSTS + i)) end) },
  { "update a host as it was read", 100, each(function(store, known, i)
    return store:update(known, { comment = "changed " .. i })
  end) },
  { "update a host by its id", 100, each(function(store, known, i)
    return store:update(known.id, { comment = "changed " .. i })
  end) },
  { "delete a host by its id", 100, each(function(store, known) return store:delete(known.id) end) },
  { "get a host", 200, each(function(store, known) return store:get(known.id) end) },
  { "find a host by address and name", 200, each(function(store, known)
    return store:find(known.ip, known.hostname)
  end) },
  { "look up a name", 200, each(function(store, known) return store:lookup(known.aliases[1])[1] end) },
  { "list the hosts of one address", 200, each(function(store, known) return store:list({ ip = known.ip })[1] end) },
  { "list 200 hosts", 5, each(function(store) return #store:list {} == HOSTS end) },
  { "a host as it was at a position", 200, each(function(store, known)
    return store:at({ position = HOSTS }):get(known.id)
  end) },
  { "history of a host, one event", 200, each(function(store, known) return store:history(known.id)[1] end) },
  { "append 1 event", 100, each(function(store, _, i) return store:stream("attic"):append(events(i, 1)) end) },
  { "append 10 events at once", 50, each(function(store, _, i)
    return store:stream("attic"):append(events(i, 10))
  end) },
  { "read 10 events of a stream", 100, each(function(store, _, i)
    if i == 0 then assert(store:stream("attic"):append(events(i, 10))) end
    return store:stream("attic"):read()[10]
  end) },
  { "import a line of a hosts file", 200, function(store, _, count)
    local lines = {}
    for i = HOSTS, HOSTS + count - 1 do
      lines[#lines + 1] = ("%s\thost-%d.lan h%d\n"):format(host(i).ip, i, i)
    end
    assert(assert(store:import { text = table.concat(lines) }).created == count)
  end },
  { "export a line of a hosts file", 2, function(store, _, count)
    for _ = 1, count do assert(store:export "hosts") end
  end, per = HOSTS },
}

local function run(number, count, path)
  local store = assert(hoststore.open(path, { actor = "bench", policies = false }))
  local hosts = {}
  assert(store:transaction(function()
    for i = 0, HOSTS - 1 do hosts[i + 1] = assert(store:add(host(i))) end
    return true
  end))
  operations[number][3](store, hosts, count)
  store:close()
end

if task == "run" then
  run(tonumber(arg[4]), tonumber(arg[5]), arg[6])
  os.exit(0, true)
end

-- -- counting -----------------------------------------------------------------------------------------

local directory = output_of "mktemp -d"

local function total(machine, number, count)
  local path = directory .. "/hosts.db"
  local text = output_of("rm -f '%s'*; %s spec/bench/instructions.lua %s %s run %d %d '%s' 2>&1", path,
    machine.command, interpreter, build, number, count, path)
  return assert(tonumber((text:match(machine.pattern))), text)
end

local function count(machine, number)
  local operation = operations[number]
  local times = operation[2]
  local difference = total(machine, number, 2 * times) - total(machine, number, times)
  return math.floor(difference / times / (operation.per or 1) + 0.5)
end

local HERE = {
  command = "valgrind --tool=callgrind --callgrind-out-file=/dev/null " .. interpreter,
  pattern = "Collected : (%d+)",
}

local ROUTER = {
  command = ("LUA_CPATH='build/mipsel-5.4/?.so;;' QEMU_PLUGIN=file=%s/qemu_instructions.so " ..
    "build/mipsel-5.4/bin/lua5.4"):format(build),
  pattern = "instructions (%d+)",
}

-- -- the page -----------------------------------------------------------------------------------------

-- What an instruction takes on such a processor, and how many of its cycles are in a microsecond.
local CYCLES, MEGAHERTZ = 2.5, 880

local HEAD = [[
# Instructions of core operations

Written by `make bench BENCH=instructions KEEP=yes`; `make bench BENCH=instructions` counts again and says what
has changed by more than %d %%. The counts are callgrind's, of a program on %s: what the process itself executes, in
Lua, hoststore, SQLite and the C library, without the kernel and without waiting for the disk. Each is the
difference between processes that do it N and 2 N times, on a file with %d hosts.

The time on a router is **an estimate, not a measurement**: the instructions that the same program executes
when it is built for a 32-bit MIPS processor (mipsel, hardware floating point, counted under qemu), at %d MHz
and %.1f cycles for each.
A processor without floating point needs more of them; what the flash takes to write comes on top.

| | |
|---|---|
]]

local function facts()
  local store = assert(hoststore.open "memory:")
  local sqlite = assert(store:stats()).sqlite_version
  store:close()
  return {
    { "Date", os.date "!%Y-%m-%d" },
    { "hoststore", output_of "git describe --always --dirty" },
    { "Lua", output_of("%s -v 2>&1", interpreter):match "^%S+ %S+" },
    { "SQLite", sqlite },
    { "Compiler", output_of "cc --version | head -n 1" },
    { "valgrind", output_of "valgrind --version" },
    { "qemu", output_of "qemu-mipsel --version | head -n 1" },
  }
end

local function grouped(number)
  local text = ("%d"):format(number):reverse():gsub("(%d%d%d)", "%1 "):reverse()
  return (text:gsub("^ ", ""))
end

local function write_page(here, router)
  local known = facts() -- before the page makes the tree differ from what was committed
  local file = assert(io.open(PAGE, "w"))
  file:write(HEAD:format(TOLERANCE, output_of "uname -m", HOSTS, MEGAHERTZ, CYCLES))
  for _, fact in ipairs(known) do
    file:write(("| %s | %s |\n"):format(fact[1], fact[2]))
  end
  file:write "\n| Operation | Instructions | on MIPS | about, on a router |\n|---|--:|--:|--:|\n"
  for i, operation in ipairs(operations) do
    file:write(("| %s | %s | %s | %.2f ms |\n"):format(operation[1], grouped(here[i]), grouped(router[i]),
      router[i] * CYCLES / MEGAHERTZ / 1000))
  end
  assert(file:close())
end

-- The kept counts, by operation.
local function read_page()
  local kept = {}
  local file = io.open(PAGE)
  if not file then return kept end
  for line in file:lines() do
    local name, number = line:match "^| ([^|]+) | ([%d ]+) |"
    if name then kept[name] = tonumber((number:gsub(" ", ""))) end
  end
  file:close()
  return kept
end

local function compare(here)
  local kept = read_page()
  local rows, changed = { { "", "instructions", "kept", "change", "" } }, 0
  for i, operation in ipairs(operations) do
    local before = kept[operation[1]]
    local percent = before and 100 * (here[i] - before) / before
    local far = not percent or math.abs(percent) > TOLERANCE
    changed = changed + (far and 1 or 0)
    rows[i + 1] = { operation[1], grouped(here[i]), before and grouped(before) or "none",
      percent and ("%+.1f %%"):format(percent) or "", far and "<<" or "" }
  end
  report.print(rows)
  print(("\n%d of %d have changed by more than %d %%"):format(changed, #operations, TOLERANCE))
end

local function count_all(machine)
  local counts = {}
  for number, operation in ipairs(operations) do
    counts[number] = count(machine, number)
    io.stderr:write(operation[1], "\t", counts[number], "\n")
  end
  return counts
end

local ok, err = xpcall(function()
  local here = count_all(HERE)
  compare(here)
  if task == "keep" then write_page(here, count_all(ROUTER)) end
end, debug.traceback)
output_of("rm -rf %s", directory)
if not ok then error(err, 0) end
