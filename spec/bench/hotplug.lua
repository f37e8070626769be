-- Measures how soon `hoststore hotplug` gives a lease back to who tells of it, while each sync of the disk takes
-- 30 ms longer: next to an interpreter that does nothing, as many at once; and as the process itself sees it, once
-- its interpreter is there. Prints one table; judges nothing.
--   lua hotplug.lua INTERPRETER BUILD      from the root of the tree, with the search paths set
local core = require "hoststore.core"
local hoststore = require "hoststore"
local report = require "spec.bench.report"
local spool = require "hoststore.hotplug.spool"
local output_of = report.output_of

local interpreter, build = arg[1], arg[2]
local directory = output_of "mktemp -d"
local database, path = directory .. "/hosts.db", directory .. "/spool"
local rows = { { "", "median", "longest", "processor" } }

local function swarm(count, command)
  local text = output_of("LD_PRELOAD=%s/slow_fsync.so HOSTSTORE_DB='sqlite://%s?journal=truncate' " ..
    "HOSTSTORE_SPOOL=%s %s/obj/bench_swarm %d %s", build, database, path, build, count, command)
  local median, longest, processor = text:match "^(%S+) (%S+) (%S+)$"
  assert(median, text)
  return { tonumber(median), tonumber(longest), tonumber(processor) }
end

local function row(name, times)
  local cells = { name }
  for i, time in ipairs(times) do cells[i + 1] = ("%.1f ms"):format(time) end
  cells[4] = cells[4] or ""
  rows[#rows + 1] = cells
end

-- SQLite counts the transactions that changed the file, in its header.
local function commits()
  local file = assert(io.open(database, "rb"))
  local a, b, c, d = file:read(28):byte(25, 28)
  file:close()
  return ((a * 256 + b) * 256 + c) * 256 + d
end

local function is_drained()
  local lock = core.sys.lock(path .. "/lock")
  if lock then lock:release() end
  return lock and #assert(spool.waiting(path)) == 0
end

-- Notes how long the command took once its interpreter and the module with the clock were there, and how much of that
-- it did not wait for a processor.
local WRAPPER = [[
local sys = require("hoststore.core").sys
local function waited()
  local file = io.open "/proc/self/schedstat"
  local _, time = file:read("*n", "*n")
  file:close()
  return time / 1e6
end
local begun, before, exit = sys.monotonic(), waited(), os.exit
os.exit = function(...)
  local took = (sys.monotonic() - begun) * 1000
  sys.append(%q, ("%%.1f %%.1f\n"):format(took, took - (waited() - before)))
  exit(...)
end
dofile "lua/hoststore.command"
]]

local function write_wrapper()
  local file = assert(io.open(directory .. "/wrapper.lua", "w"))
  file:write(WRAPPER:format(directory .. "/times"))
  assert(file:close())
end

-- What the processes have noted: the median and the longest, of the whole and without waiting.
local function own_times()
  local whole, running = {}, {}
  for line in io.lines(directory .. "/times") do
    local took, ran = line:match "^(%S+) (%S+)$"
    whole[#whole + 1], running[#running + 1] = tonumber(took), tonumber(ran)
  end
  os.remove(directory .. "/times")
  table.sort(whole)
  table.sort(running)
  local middle = math.floor(#whole / 2) + 1
  return { whole[middle], whole[#whole] }, { running[middle], running[#running] }
end

local function measure(count)
  local store = assert(hoststore.open(database))
  local before, hosts = commits(), assert(store:count())
  local bare = swarm(count, interpreter .. " -e ''")
  local whole = swarm(count, ("%s %s/wrapper.lua hotplug add aa:bb:%02x:%%:%% 10.0.%d.%% host%d-%%")
    :format(interpreter, directory, count, count, count))
  while not is_drained() do core.sys.sleep(0.01) end
  local most = {}
  for i, time in ipairs(whole) do most[i] = time - bare[i] end
  row(("%d at once: the interpreter"):format(count), bare)
  row("  hoststore hotplug", whole)
  row("  the difference", most)
  local whole_own, running = own_times()
  row("  in the process", whole_own)
  row("  not waiting for a processor", running)
  rows[#rows + 1] = { ("  leases lost %d, transactions %d"):format(count - (store:count() - hosts), commits() - before),
    "", "", "" }
  store:close()
end

local ok, err = xpcall(function()
  write_wrapper()
  for _, count in ipairs { 1, 10, 50, 200 } do measure(count) end
end, debug.traceback)
output_of("rm -rf %s", directory)
if not ok then error(err, 0) end
print(("\n%s, %s processors, each sync 30 ms longer\n"):format(interpreter, output_of "nproc"))
report.print(rows)
