--- Proves what is left when an allocation or a call on a file fails, whichever it is:
---   faults.lua short|full
--- Everything that can be done with a store, its files and the spool of leases is done again and again, and the first,
--- the second, the third … call of a kind fails, until there are no more: once, or all from there on. Afterwards it has
--- given an error that fits or has succeeded, is done as a whole or not at all, the store goes on, no transaction,
--- connection, file or memory is left, and all is there when it is opened again. The short run leaves most numbers out.
local failures = require "spec.support.failures"
local recorder = require "spec.proof.crash.recorder"
local report = require "spec.proof.frame.report"
local subjects = require "spec.proof.fault.subjects"
local system = require "spec.support.system"

local full = arg[1] == "full"

-- `strides`: of allocations there are a hundred thousand, so not each of them is tried everywhere.
local KINDS = {
  { kind = "lua", mode = "once", what = "an allocation of the interpreter fails", on = { "persist" } },
  { kind = "lua", mode = "on", what = "the interpreter has no more memory", on = { "persist" } },
  { kind = "malloc", mode = "once", what = "an allocation fails", on = { "persist", "wal", "postgres" },
    strides = { persist = 5, wal = 13, postgres = 29 }, short = 701 },
  { kind = "malloc", mode = "on", what = "there is no more memory", on = { "persist" },
    strides = { persist = 13 }, short = 701 },
  { kind = "eio", mode = "once", what = "a call on a file fails (EIO)", on = { "persist", "wal" } },
  { kind = "eio", mode = "on", what = "the disk is gone (EIO)", on = { "persist", "wal" } },
  { kind = "enospc", mode = "once", what = "no room for a moment (ENOSPC)", on = { "persist", "wal" } },
  { kind = "enospc", mode = "on", what = "no room any more (ENOSPC)", on = { "persist", "wal" } },
  { kind = "erofs", mode = "on", what = "the file system becomes read-only (EROFS)", on = { "persist", "wal" } },
  { kind = "eintr", mode = "once", what = "a call is interrupted (EINTR)", on = { "persist", "wal" } },
  { kind = "short", mode = "on", what = "reads and writes do half of it", on = { "persist", "wal" } },
}
local NAMES = { persist = "SQLite, journal persist", wal = "SQLite, journal wal", postgres = "PostgreSQL" }
-- Among how many kinds of failure the operations are shared.
local SHARES = full and 1 or 4

local directory = recorder.directory()

local parts = 0

-- Each time another share of them.
local function next_share()
  local names = {}
  parts = parts + 1
  for i, subject in ipairs(subjects) do
    if (i + parts) % SHARES == 0 then names[#names + 1] = subject.name end
  end
  return names
end

local function prove(kind, database)
  local stride = full and (kind.strides and kind.strides[database] or 1) or kind.short or 31
  local names = next_share()
  local tried, problems = failures.run(directory, kind.kind, kind.mode, database, stride, names)
  for _, problem in ipairs(problems) do
    report.failure("%s", problem)
  end
  report.line(("%s: %s"):format(kind.what, NAMES[database]), tried, #problems, "-",
    ("%d operations, %s"):format(#names, stride == 1 and "each call" or "every " .. stride .. "th call"))
end

for _, kind in ipairs(KINDS) do
  for _, database in ipairs(kind.on) do
    prove(kind, database)
  end
end
-- Where calls fail and nobody is told, this has to notice it.
local tried, problems = failures.run(directory, "lost", "once", "persist", 1, { "add", "publish",
  "put a lease into the spool", "open a new one" })
report.line("planted and noticed: a write is lost", tried, #problems > 0 and 0 or 1, "-", #problems .. " of them wrong")
system.remove(directory)
report.finish()
