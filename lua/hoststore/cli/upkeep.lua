-- verify, stats, check.

local present = require "hoststore.cli.present"
local sys = require("hoststore.core").sys

local upkeep = {}

local function problem_json(problem)
  return present.object(
    "kind", present.json(problem.kind), "stream", present.json(problem.stream),
    "position", present.json(problem.position), "message", present.json(problem.message)
  )
end

--- What a verification found, and what it counted; 0 when all is well.
function upkeep.print_verified(result, counted, out)
  if out.json then
    out:value(('{"ok":%s,%s,"problems":%s}'):format(tostring(result.ok), present.members(result, counted),
      present.array(result.problems, problem_json)))
  elseif result.ok then
    out:line("ok: " .. present.counters(result, counted))
  else
    for _, problem in ipairs(result.problems) do
      out:line(problem.message, "red")
    end
    out:message(("problems found: %d"):format(#result.problems))
  end
  return result.ok and 0 or 1
end

function upkeep.verify(store, _, out)
  local result, err = store:verify()
  if not result then
    return nil, err
  end
  return upkeep.print_verified(result, { "events", "streams", "hosts" }, out)
end

function upkeep.stats(store, _, out)
  local stats, err = store:stats()
  if not stats then
    return nil, err
  end
  local names, details = {}, {}
  for name in pairs(stats) do
    names[#names + 1] = name
  end
  table.sort(names)
  if out.json then
    out:value("{" .. present.members(stats, names) .. "}")
    return 0
  end
  for i, name in ipairs(names) do
    details[i] = { name, stats[name] }
  end
  out:details(details)
  return 0
end

-- SQLite that can lose pages of a write-ahead log when two connections checkpoint it at once.
local WAL_FAULT_BELOW = { 3, 51, 3 }

local function has_wal_fault(version)
  local place = 0
  for number in version:gmatch "%d+" do
    place = place + 1
    local limit = WAL_FAULT_BELOW[place]
    if limit and tonumber(number) ~= limit then
      return tonumber(number) < limit
    end
  end
  return false
end

-- Others could put a journal beside a database when there is none, and SQLite would believe it.
local function is_for_all(location)
  local directory = sys.stat(location:match "^(.*/)" or ".")
  return directory and math.floor(directory.mode / 2) % 2 == 1 -- 0002
end

--- What is not wrong yet, and should be known.
---@param stats table  of a store
---@return string[]
function upkeep.warnings(stats)
  local warnings = {}
  if stats.journal == "wal" and has_wal_fault(stats.sqlite_version) then
    warnings[1] = ("warning: '%s' has a write-ahead log, and SQLite %s can lose pages of one (mended in 3.51.3). "
      .. "hoststore keeps its own processes from it, but no other program: bring SQLite up to date or, while nobody "
      .. "uses it, run sqlite3 '%s' 'PRAGMA journal_mode = TRUNCATE'"):format(stats.location, stats.sqlite_version,
      (stats.location:gsub("'", "'\\''")))
  end
  if stats.location and is_for_all(stats.location) then
    warnings[#warnings + 1] = ("warning: anybody may write to the directory of '%s', and could put a journal there "
      .. "that is played into it: move the database to a directory of its own"):format(stats.location)
  end
  return warnings
end

function upkeep.check(store, _, out)
  local ok, err = store:check()
  if not ok then
    return nil, err
  end
  local stats
  stats, err = store:stats()
  if not stats then
    return nil, err
  end
  for _, warning in ipairs(upkeep.warnings(stats)) do
    out:message(warning)
  end
  return out:answer("ok", function() return present.object("ok", "true") end)
end

return upkeep
