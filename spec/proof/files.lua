--- Proves what a power cut leaves of the files that hoststore writes besides its database:
---   files.lua short|full
--- Files are written in each way and all that reaches the disk is written down. For each moment the states that
--- the disk may be found in are made (spec/proof/crash/disk.lua): a file is the old one or the new one, whole, and
--- the new one once that was acknowledged; and the next writing goes as if nothing had been.
local disk = require "spec.proof.crash.disk"
local outputs = require "spec.proof.crash.outputs"
local random_of = require "spec.support.random"
local recorder = require "spec.proof.crash.recorder"
local report = require "spec.proof.frame.report"
local system = require "spec.support.system"

local full = arg[1] == "full"
local STATES = full and 2000 or 150
local ROUNDS = full and 30 or 8
local KINDS = { "all", "synced", "torn", "scattered", "scattered" }
-- The place of the file in use is kept, so what is in it cannot be the old or the new at every moment.
local IN_PLACE = { ["in-place"] = true }

local directory = recorder.directory()
local root = directory .. "/root"

local function parse(text)
  local files = {}
  for name, digest in text:gmatch "(%S+) (%S+)\n" do
    files[name] = digest
  end
  return files
end

local function same(a, b)
  for name, digest in pairs(a) do
    if b[name] ~= digest then
      return false
    end
  end
  for name in pairs(b) do
    if a[name] == nil then
      return false
    end
  end
  return true
end

-- What the next writing is to leave.
local function reference(way, store)
  recorder.lay_out({}, root)
  outputs.start(root, way)
  assert(outputs.ways[way](store, root))
  return outputs.visible(root)
end

-- Whether each file is as it was, or as it is to be.
local function is_whole(found, before, after)
  for _, list in ipairs { found, before, after } do
    for name in pairs(list) do
      if found[name] ~= before[name] and found[name] ~= after[name] then
        return false, name .. " is neither the old file nor the new one"
      end
    end
  end
  return true
end

-- What is wrong with a state, or nil.
local function examine(way, state, moment, store, wanted)
  recorder.lay_out(state, root)
  local found = outputs.visible(root)
  local whole, problem = is_whole(found, moment.before, moment.after)
  if not whole and not (IN_PLACE[way] and moment.before ~= moment.after) then
    return problem
  end
  local done, err = outputs.ways[way](store, root)
  if not done then
    return "the next writing fails: " .. tostring(err)
  elseif not same(outputs.visible(root), wanted) then
    return "the next writing does not leave what it should"
  end
end

-- For each record what was acknowledged before it, nil at first, and what will be.
local function moments(records)
  local acknowledged, list, passed = {}, {}, 0
  for _, entry in ipairs(records) do
    acknowledged[#acknowledged + 1] = entry.name == "ack" and parse(entry.bytes) or nil
  end
  for i, entry in ipairs(records) do
    local is_ack = entry.name == "ack"
    passed = passed + (is_ack and 1 or 0)
    list[i] = { before = acknowledged[passed], after = acknowledged[is_ack and passed or passed + 1] }
    list[i].after = list[i].after or list[i].before
  end
  return list
end

local function try(way, records, seed)
  local random, now, store = random_of(seed), disk.new(), outputs.store()
  local wanted, list, share = reference(way, store), moments(records), STATES / (#records * #KINDS)
  local tried, problems = 0, {}
  for i, entry in ipairs(records) do
    now:apply(entry)
    for _, kind in ipairs(list[i].before and KINDS or {}) do
      if random(1000000) <= share * 1000000 then
        tried = tried + 1
        local problem = examine(way, now:state(kind, random), list[i], store, wanted)
        problems[#problems + 1] = problem and ("%s, seed %d, after record %d, %s: %s"):format(way, seed, i, kind,
          problem)
      end
    end
  end
  store:close()
  return tried, problems
end

local function record(way, seed)
  return recorder.run(directory, seed, "spec/proof/crash/writer.lua", root, directory .. "/log", way, ROUNDS)
end

local function note_of(records)
  return ("%d times, %d writes and syncs"):format(ROUNDS, #records - ROUNDS - 1)
end

for seed, way in ipairs(outputs.names) do
  local records = record(way, seed)
  local tried, problems = try(way, records, seed)
  for _, problem in ipairs(problems) do
    report.failure("%s", problem)
  end
  report.line("power cut while files are written: " .. way, tried, #problems, seed, note_of(records))
end

-- A disk that says it has synced, and has not.
local records, lying = record("file", 1), {}
for _, entry in ipairs(records) do
  lying[#lying + 1] = entry.name ~= "sync" and entry or nil
end
local tried, problems = try("file", lying, 1)
report.line("power cut while files are written, planted and noticed: no syncs", tried, #problems > 0 and 0 or 1, 1,
  ("%d of them wrong, %s"):format(#problems, note_of(records)))
system.remove(directory)
report.finish()
