--- Does a million operations on one store and says what of the memory they have taken is still held at the end, by
--- Lua, by all that asks malloc, and by the process. Prints one table; judges nothing. OPERATIONS=N does so many.
---   memory.lua INTERPRETER BUILD      from the root of the tree, with the search paths set
local churn_of = require "spec.support.churn"
local core = require "hoststore.core"
local faulty = require "hoststore_faulty"
local hoststore = require "hoststore"
local report = require "spec.bench.report"

local interpreter, build, url = arg[1], arg[2], arg[3]
local OPERATIONS = tonumber(os.getenv "OPERATIONS") or 1000000

-- Bytes held now, and those of the database itself, where that is in memory.
local function measure(store)
  collectgarbage()
  collectgarbage()
  local facts = core.describe(store)
  return { collectgarbage "count" * 1024, faulty.allocated(), report.memory "VmRSS", facts.pages * facts.page_size }
end

local function print_numbers(numbers)
  for i, number in ipairs(numbers) do numbers[i] = ("%.0f"):format(number) end
  print(table.concat(numbers, " "))
end

-- In a process of its own: what is held after a tenth of the operations, which fills the caches, and at the end.
if url then
  local store = assert(hoststore.open(url, { actor = "bench", policies = false }))
  local churn = churn_of(store)
  for i = 1, OPERATIONS do
    churn(i)
    if i == math.floor(OPERATIONS / 10) then print_numbers(measure(store)) end
  end
  print_numbers(measure(store))
  store:close()
  os.exit(0, true)
end

local directory = report.output_of "mktemp -d"
local rows = { { "", "early", "at the end", "an operation" } }

local function text_of(bytes)
  return ("%.1f KiB"):format(bytes / 1024)
end

local function add_rows(name, place, in_memory)
  local text = report.output_of("%s spec/bench/memory.lua %s %s '%s'", interpreter, interpreter, build, place)
  local numbers = {}
  for number in text:gmatch "%d+" do numbers[#numbers + 1] = tonumber(number) end
  assert(#numbers == 8, "the process failed")
  for i, kind in ipairs { "Lua", "malloc", "the process", "the database" } do
    local early, late = numbers[i], numbers[i + 4]
    rows[#rows + 1] = { ("%s: %s"):format(name, kind), text_of(early), text_of(late),
      ("%.3f B"):format((late - early) / (OPERATIONS * 0.9)) }
  end
  if in_memory then
    local growth = (numbers[6] - numbers[2]) / (numbers[8] - numbers[4])
    rows[#rows + 1] = { name .. ": malloc's growth for each byte of the database's", "", "", ("%.3f"):format(growth) }
  end
end

local ok, err = xpcall(function()
  add_rows("a file, durability normal", ("sqlite://%s/hosts.db?journal=wal&durability=normal"):format(directory))
  add_rows("in memory", "memory:", true)
end, debug.traceback)
report.output_of("rm -rf %s", directory)
if not ok then error(err, 0) end
print(("\n%d operations: hosts added, changed, deleted, found, listed, refused and rolled back, events appended and"
  .. "\nread; early is after a tenth of them\n"):format(OPERATIONS))
report.print(rows)
