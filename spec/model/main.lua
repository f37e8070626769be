--- The model test at any length, as `make model` runs it:
---   main.lua SEED COUNT [STORES] [FILE]
--- runs sequences of the seeds SEED, SEED + 1 … until COUNT commands are done, on the STORES (some
--- of "sqlite,postgres,duckdb", all by default). With a FILE that holds commands as a failure prints them, just these.
local backends = require "spec.support.backends"
local run = require "spec.model.run"
local stores = require "spec.model.stores"

local seed, wanted = tonumber(arg[1]), tonumber(arg[2])
if not seed or not wanted then
  io.stderr:write("usage: main.lua SEED COUNT [STORES] [FILE]\n")
  os.exit(2)
end
local named, subjects = pcall(stores.open, arg[3] ~= "" and arg[3] or nil)
if not named then
  io.stderr:write(tostring(subjects), "\n")
  os.exit(2)
end

local function fail(list, what)
  io.write(what, " shows a difference; shrinking\n")
  io.flush()
  io.write(run.report(run.shrink(list, subjects)), "\n")
  backends[1].finish()
  os.exit(1)
end

if arg[4] and arg[4] ~= "" then
  local list = assert(loadfile(arg[4]))()
  if run.check(list, subjects) then fail(list, arg[4]) end
  print("no difference")
  backends[1].finish()
  os.exit(0)
end

local counts, first = { commands = 0 }, seed
while counts.commands < wanted do
  local list = run.sequence(seed, counts)
  if run.check(list, subjects) then fail(list, "seed " .. seed) end
  seed = seed + 1
end

local names = {}
for name in pairs(counts) do names[#names + 1] = name end
table.sort(names)
for _, name in ipairs(names) do print(("%8d  %s"):format(counts[name], name)) end
print(("seeds %d to %d: no difference"):format(first, seed - 1))
backends[1].finish()
