--- A process that opens new databases in a directory, failing_calls.so preloaded:
---   open_without_memory.lua DIRECTORY JOURNAL
--- The first allocation fails, then the second of the next one, and so on: a scratch file is tried, and removed, within
--- the first thousand. It prints what is left that begins with a dot, and at last how many allocations were made.
local failing = require "failing_calls"
local hoststore = require "hoststore"
local lfs = require "lfs"

local directory, journal = arg[1], arg[2]
local calls

for n = 1, 1000 do
  failing.arm("malloc", n, n)
  local ok, store = pcall(hoststore.open, ("sqlite://%s/%d.db"):format(directory, n), { journal = journal })
  calls = failing.disarm()
  if ok and store then store:close() end
end

for name in lfs.dir(directory) do
  if name:find "^%.[^.]" then print(name) end
end
print(calls)
