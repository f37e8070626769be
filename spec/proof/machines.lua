--- Proves that hoststore works on machines unlike the one it is made on:
---   machines.lua short|full [memory|integers|mmap|languages|musl|s390x]
--- One with little memory, with a Lua whose integers are small, of the other byte order, with another library
--- of C, with a file system that cannot share memory, with a language that has letters and numbers of its own.
--- What is built for them, and where that comes to be, is said in spec/proof/machines/build.
local report = require "spec.proof.frame.report"
local sys = require("hoststore.core").sys
local system = require "spec.support.system"

local full = arg[1] == "full"
local root = assert(sys.realpath ".")
local build = os.getenv "BUILD"
local TURNS = 20

-- -- specs -----------------------------------------------------------------------------------------

-- Those that need another database.
local NEEDS_OTHERS = { driver_missing = true, examples = true, model = true, url_secrets = true,
  question_that_speaks_of_a_full_disk_finds_it_full = true }

local function specs_in(directory)
  local found = {}
  for _, file in ipairs(assert(sys.list(directory))) do
    local name = file:match "^(.+)_spec%.lua$"
    if name and not NEEDS_OTHERS[name] and not name:find "^postgres" then
      found[#found + 1] = directory .. "/" .. file
    end
  end
  table.sort(found)
  return found
end

local function join(...)
  local all = {}
  for _, list in ipairs { ... } do
    for _, item in ipairs(list) do
      all[#all + 1] = item
    end
  end
  return all
end

local function filter(list, keep)
  local kept = {}
  for _, item in ipairs(list) do
    if keep(item) then kept[#kept + 1] = item end
  end
  return kept
end

local CONFORMANCE, REGRESS, UNIT = specs_in "spec/conformance", specs_in "spec/regress", specs_in "spec/unit"
local ALL = join(CONFORMANCE, REGRESS, UNIT)
-- What CI has the time for.
local SOME = join({ "--filter='sqlite memory'" }, CONFORMANCE)

-- How many specs passed, how many did not, and what was said. The machine is words of the shell that go before.
local function run_specs(machine, modules, specs)
  local output, status = system.run(("PATH=%s/%s/bin:$PATH HOSTSTORE_TEST_BACKENDS=sqlite; export PATH "
    .. "HOSTSTORE_TEST_BACKENDS; %s spec/support/run_divided %s -- %s"):format(system.quote(root), modules, machine,
    modules, table.concat(specs, " ")))
  local passed, failed = output:match "(%d+) passed, (%d+) failed%s*$"
  passed, failed = tonumber(passed) or 0, tonumber(failed) or 1
  if status ~= 0 and failed == 0 then failed = 1 end
  return passed, failed, output
end

local function prove(what, machine, modules, specs, note)
  local passed, failed, output = run_specs(machine, modules, specs)
  if failed > 0 then report.failure("%s:\n%s", what, output) end
  report.line(what, passed + failed, failed, "-", note)
end

-- -- a machine with little memory -------------------------------------------------------------------

local MIB = 1024 -- as ulimit counts

-- What a step of spec/proof/machines/large.lua needs, in KiB, or nil when it failed.
local function step(directory, limit, hosts, name)
  local output = system.run(("ulimit -v %d; HOSTSTORE_RUN=%s exec %s"):format(limit, system.quote(directory),
    system.lua("spec/proof/machines/large.lua", directory, hosts, name)))
  local needed = tonumber(output:match "^needed (%d+)\n$")
  if not needed then report.failure("%d hosts in %d MiB: %s: %s", hosts, limit / MIB, name, output) end
  return needed
end

-- Each step is a process of its own, as scripts are.
local function prove_steps(what, limit, hosts, names)
  local directory, failed, most, which = system.directory(), 0, 0, nil
  for _, name in ipairs(names) do
    local needed = step(directory, limit, hosts, name)
    failed = failed + (needed and 0 or 1)
    if needed and needed > most then most, which = needed, name end
  end
  system.remove(directory)
  report.line(("%d hosts in %d MiB of addresses: %s"):format(hosts, limit / MIB, what), #names, failed, "-",
    ("most takes %s, %.1f MiB"):format(which or "nothing", most / MIB))
end

-- Specs that have thousands of hosts themselves, or texts of megabytes, or thousands of tests that busted keeps; and
-- one that needs another program which does.
local function is_large(file)
  return file:find "/copy_" or file:find "/faults_" or file:find "/list_" or file:find "/policy_spec"
    or file:find "/loop_over_hosts"
end

local function is_small(file)
  return not is_large(file) and not file:find "turkish"
end

-- A text of 64 MiB and its copies fit into neither.
local NOT_LONGEST = "--filter-out='too much for a small machine'"

-- busted keeps what it has run, so each file is run by itself.
local function prove_specs(limit, specs)
  local passed, failed = 0, 0
  for _, file in ipairs(specs) do
    local good, bad, output = run_specs(("ulimit -v %d;"):format(limit), build, { NOT_LONGEST, file })
    if bad > 0 then report.failure("%s in %d MiB:\n%s", file, limit / MIB, output) end
    passed, failed = passed + good, failed + bad
  end
  report.line(("specs in %d MiB of addresses"):format(limit / MIB), passed + failed, failed, "-",
    #specs .. " files of conformance and regress, but for a spec with 64 MiB of text")
end

local function little_memory()
  prove_steps("import, publish and what else is done daily", 20 * MIB, full and 100000 or 30000, { "begin", "add",
    "import", "sync", "list", "publish", "export", "read", "dump" })
  -- These have all hosts in memory.
  prove_steps("what is done now and then", 32 * MIB, full and 12000 or 4000, { "begin", "import", "verify", "dump",
    "load", "snapshot", "diff" })
  if full then
    prove_specs(32 * MIB, filter(join(CONFORMANCE, REGRESS), is_small))
    prove_specs(128 * MIB, filter(join(CONFORMANCE, REGRESS), is_large))
  end
end

-- -- machines that are built for ----------------------------------------------------------------------

-- The condition is one of Lua, and holds on no other machine.
local function prove_built(what, name, modules, condition, specs, note)
  local check = ("%s/bin/lua%s -e %s"):format(modules, modules:match "[^-]*$", system.quote(("assert(%s)"):format(
    condition)))
  local output, status = system.run("spec/proof/machines/build " .. name .. " && " .. check)
  if status ~= 0 then
    report.failure("%s:\n%s", name, output)
    return report.line(what, 0, 1, "-", "it cannot be built")
  end
  -- What busted needs in C is not built.
  local init = ("package.path = '%s/spec/proof/machines/modules/?.lua;' .. package.path"):format(root)
  prove(what, "LUA_INIT=" .. system.quote(init), modules, specs, note)
end

local function narrow_integers()
  prove_built("Lua 5.1 whose lua_Integer has 32 bits, as on OpenWrt", "narrow", "build/narrow-5.1",
    "('abc'):sub(2^32 + 2) ~= ''", ALL, "Debian's source")
end

-- What loads a library before Lua: one that makes calls fail, records them, or tells what is random.
local PRELOADING = { "spec.support.failures", "crash.recorder", "power_cut", "last_random" }

local function preloads(file)
  local text = system.read(file)
  for _, name in ipairs(PRELOADING) do
    if text:find(name, 1, true) then return true end
  end
end

-- Programs of this machine cannot load what was built for another one: dnsmasq, with the Lua in it, and the shell
-- before such a Lua. Languages are made for glibc.
local function is_alone(file)
  return not file:find "dnsmasq" and not file:find "turkish" and not preloads(file)
end

local WITHOUT = "without libraries loaded before Lua, dnsmasq and languages"
local ALONE = join({ "--filter-out='while the flash is slow'" }, filter(ALL, is_alone))

local function musl()
  prove_built("musl", "musl", "build/musl-5.4", "not io.open('/proc/self/maps'):read('a'):find('/libc.so.6', 1, true)",
    ALONE, "and the newest SQLite of npm; " .. WITHOUT)
end

-- Each finds what the other one has left, to the last byte.
local function take_turns(journal)
  local directory, left, failed = system.directory(), nil, 0
  local machines = {
    system.lua("spec/proof/machines/turn.lua", directory, journal),
    ("LUA_PATH=%s LUA_CPATH=%s build/s390x-5.4/bin/lua5.4 spec/proof/machines/turn.lua %s %s"):format(
      system.quote(os.getenv "LUA_PATH"), system.quote(root .. "/build/s390x-5.4/?.so;;"), directory, journal),
  }
  for i = 1, TURNS do
    local output = system.run(machines[i % 2 + 1])
    local before, after = output:match "^(%x+)%s+(%x+)%s*$"
    if not after or left and before ~= left then
      report.failure("turn %d, journal %s, %s: %s", i, journal, left or "nothing", output)
      failed = failed + 1
    end
    left = after
  end
  system.remove(directory)
  report.line("a database that x86-64 and s390x write in turns, journal " .. journal, TURNS, failed, "-",
    "verified each time, and of the same digest")
end

local function big_endian()
  prove_built("s390x, a big-endian machine, under qemu", "s390x", "build/s390x-5.4",
    "string.pack('=I2', 1) == '\\0\\1'", filter(join(CONFORMANCE, REGRESS), is_alone),
    "conformance and regress, with Debian's libraries; " .. WITHOUT)
  for _, journal in ipairs { "truncate", "wal" } do
    take_turns(journal)
  end
end

-- -- other surroundings -------------------------------------------------------------------------------

-- There is no write-ahead log on such a disk: who asks for one is told so.
local function is_without_log(file)
  return not system.read(file):find "wal"
end

local function no_shared_memory()
  local specs = full and filter(ALL, is_without_log) or { "--filter='sqlite file'", "spec/conformance/hosts_spec.lua",
    "spec/conformance/copy_spec.lua", "spec/conformance/snapshots_spec.lua" }
  prove("files that cannot be mapped shared and writable, as on jffs2", "RUNNER="
    .. system.quote("env LD_PRELOAD=" .. root .. "/" .. build .. "/no_shared_mmap.so"), build, specs,
    "without files about write-ahead logs")
end

local function languages()
  local directory = system.directory()
  -- In the first of them letters and numbers differ most from ours.
  for i, language in ipairs { "tr_TR.ISO-8859-9", "tr_TR.UTF-8", "de_DE.UTF-8" } do
    if i > 1 and not full then break end
    local name, charset = language:match "^(.-)%.(.+)$"
    system.run(("localedef -c -i %s -f %s %s/%s"):format(name, charset, directory, language))
    -- The messages of the system are not ours; specs expect them in English.
    prove("the language " .. language, ("LOCPATH=%s LC_ALL=%s LANGUAGE=en LUA_INIT=%s"):format(directory, language,
      system.quote "assert(os.setlocale '')"), build, full and language == "tr_TR.UTF-8" and ALL or SOME, "")
  end
  system.remove(directory)
end

local machines = {
  { "memory", little_memory, short = true },
  -- Its Lua has to be fetched and built.
  { "integers", narrow_integers },
  { "mmap", no_shared_memory, short = true },
  { "languages", languages, short = true },
  { "musl", musl },
  { "s390x", big_endian },
}

for _, machine in ipairs(machines) do
  if arg[2] == machine[1] or not arg[2] and (full or machine.short) then
    machine[2]()
  end
end
report.finish()
