--- Proves what a power cut may do to a database of SQLite, and what it may not:
---   crash.lua short|full
--- Random changes are made and all that reaches the disk is written down. For each moment the states that the
--- disk may be found in are made (spec/proof/crash/disk.lua) and opened: each has to be sound, and to hold all
--- that was acknowledged (durability=full), or what it held at some earlier moment (normal).
local power_cut = require "spec.proof.crash.power_cut"
local recorder = require "spec.proof.crash.recorder"
local report = require "spec.proof.frame.report"
local system = require "spec.support.system"

local full = arg[1] == "full"
local STATES = full and 2000 or 60
local CHANGES = full and 120 or 40

local directory = recorder.directory()

local function note_of(records, different)
  local acknowledged = #power_cut.acknowledged(records)
  return ("%d different, %d changes, %d writes and syncs"):format(different, acknowledged, #records - acknowledged)
end

local function prove(life)
  local what = ("durability=%s&journal=%s&page_size=%d"):format(life.durability, life.journal, life.page_size)
  life.options, life.changes = what, life.changes or CHANGES
  local records = power_cut.record(directory, life)
  local tried, problems, different = power_cut.try(directory, records, { seed = life.seed,
    states = life.states or STATES, lossy = life.durability == "normal" })
  local note = note_of(records, different)
  if life.planted then
    report.line("power cut, planted and noticed: " .. life.planted, tried, #problems > 0 and 0 or 1, life.seed,
      ("%d of them wrong, %s"):format(#problems, note))
    return
  end
  for _, found in ipairs(problems) do
    report.failure("%s, seed %d, after record %d, %s: %s", what, life.seed, found.moment, found.kind, found.problem)
  end
  report.line(("power cut: durability %s, journal %s, pages of %d"):format(life.durability, life.journal,
    life.page_size) .. (life.about or ""), tried, #problems, life.seed, note)
end

local seed = 0
for _, durability in ipairs { "full", "normal" } do
  for _, journal in ipairs { "truncate", "wal", "delete", "persist" } do
    for _, page_size in ipairs { 1024, 4096 } do
      seed = seed + 1
      prove { durability = durability, journal = journal, page_size = page_size, seed = seed }
    end
  end
  -- Long enough for the log to be written back into the database while it is in use.
  prove { durability = durability, journal = "wal", page_size = 1024, seed = 20 + seed, changes = 120, session = 1e6,
    about = ", checkpoints" }
end
-- Where the promise does not hold this has to notice it.
prove { durability = "full", journal = "truncate", page_size = 1024, seed = 1, states = 150, planted = "no syncs",
  sql = "PRAGMA synchronous = OFF" }
prove { durability = "normal", journal = "truncate", page_size = 1024, seed = 2, states = 400,
  planted = "too few syncs", sql = "PRAGMA synchronous = NORMAL" }
prove { durability = "full", journal = "memory", page_size = 1024, seed = 3, states = 150,
  planted = "a journal in memory" }
system.remove(directory)
report.finish()
