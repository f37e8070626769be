--- What a database of SQLite is like after a power cut, at any moment of its life.
---
---   local records = power_cut.record(directory, { options = "durability=full&journal=wal", seed = 1, changes = 40 })
---   local tried, problems = power_cut.try(directory, records, { seed = 1, states = 500 })
local disk = require "spec.proof.crash.disk"
local fingerprint = require "spec.proof.crash.fingerprint"
local hoststore = require "hoststore"
local random_of = require "spec.support.random"
local recorder = require "spec.proof.crash.recorder"
local system = require "spec.support.system"
local sys = require("hoststore.core").sys

local power_cut = {}

local KINDS = { "all", "synced", "torn", "scattered", "scattered" }

--- Makes random changes to a new database in a new directory, and returns the records of the log.
---@param directory string
---@param life { options: string, seed: integer, changes: integer, session: integer?, sql: string? }  options: of the
---URL; session: about how many changes from an open to the next; sql: run on each new connection
function power_cut.record(directory, life)
  local url = ("sqlite:%s/root/new/hosts.db?%s"):format(directory, life.options)
  return recorder.run(directory, life.seed, "spec/proof/crash/workload.lua", url, directory .. "/log", life.seed,
    life.changes, life.session or 25, life.sql)
end

-- -- one state -----------------------------------------------------------------------------------------

-- The fingerprint of a store that is sound and can be written, or nil and what is wrong.
local function examine(store)
  local verified, err = store:verify()
  if not verified or not verified.ok then
    return nil, "damaged: " .. tostring(err or verified.problems[1])
  end
  local found = fingerprint(store)
  local added
  added, err = store:add { ip = "192.0.2.1", hostname = "after.the.crash" }
  if not added then
    return nil, "not to be written: " .. tostring(err)
  end
  return found
end

local function find(directory, state)
  local crashed = directory .. "/crashed"
  recorder.lay_out(state, crashed)
  local store, err = hoststore.open("sqlite:" .. crashed .. "/new/hosts.db", { policies = false })
  if not store then
    return nil, "not to be opened: " .. tostring(err)
  end
  local ok, found, problem = pcall(examine, store)
  store:close()
  if not ok then
    return nil, "not to be read: " .. tostring(found)
  end
  return found, problem
end

local function key_of(state)
  local digest
  for _, file in ipairs(state) do
    digest = sys.digest(("%s %d\n%s"):format(file.path, file.text and #file.text or -1, file.text or ""), digest)
  end
  return digest or ""
end

-- -- all states ----------------------------------------------------------------------------------------

-- What is wrong with what was found at a moment of `history`; nil when nothing is.
local function judge(found, problem, history, lossy)
  if not found then
    return problem
  end
  for i = lossy and 0 or #history.passed, #history.passed do
    if found == history.passed[i] then
      return nil
    end
  end
  -- The change that was under way may be there, too.
  if found == history.all[#history.passed + 1] then
    return nil
  end
  return history.known[found] and "acknowledged changes are lost" or "a state that there never was"
end

--- The fingerprints after each acknowledgement.
---@return string[]
function power_cut.acknowledged(records)
  local list = {}
  for _, entry in ipairs(records) do
    if entry.name == "ack" then
      list[#list + 1] = entry.bytes
    end
  end
  return list
end

-- Before anything was acknowledged the database may be missing, which is as good as empty.
local function new_history(records)
  local all, known = power_cut.acknowledged(records), {}
  for _, text in ipairs(all) do
    known[text] = true
  end
  return { all = all, known = known, passed = { [0] = all[1] } }
end

--- Tries states of the disk. Each has to be sound and to take another host, and to hold all that was
--- acknowledged; or, when `lossy`, what it held at some earlier moment.
---@param how { seed: integer, states: integer, lossy: boolean? }  states: about how many
---@return integer tried, table[] problems  { moment=, kind=, problem= }
---@return integer different  how many of the states were not the same as another
function power_cut.try(directory, records, how)
  local random, now, cache, problems = random_of(how.seed), disk.new(), {}, {}
  local history = new_history(records)
  local share = how.states / (#records * #KINDS)
  local tried, different = 0, 0
  local function try(moment, kind)
    local state = now:state(kind, random)
    local key = key_of(state)
    if not cache[key] then
      cache[key] = { find(directory, state) }
      different = different + 1
    end
    tried = tried + 1
    local problem = judge(cache[key][1], cache[key][2], history, how.lossy)
    problems[#problems + 1] = problem and { moment = moment, kind = kind, problem = problem } or nil
  end
  for moment, entry in ipairs(records) do
    now:apply(entry)
    if entry.name == "ack" then
      table.insert(history.passed, entry.bytes)
    end
    for _, kind in ipairs(KINDS) do
      if random(1000000) <= share * 1000000 then
        try(moment, kind)
      end
    end
  end
  return tried, problems, different
end

--- Records a life and tries about so many states of it, in a directory of its own.
---@return integer tried, table[] problems
function power_cut.during(life, how)
  local directory = recorder.directory()
  local records = power_cut.record(directory, life)
  local tried, problems = power_cut.try(directory, records, how)
  system.remove(directory)
  return tried, problems
end

return power_cut
