--- store:import: hosts out of a file, in one transaction.

local core = require "hoststore.core"
local options = require "hoststore.options"
local entry = require "hoststore.entry"
local file = require "hoststore.file"
local formats = require "hoststore.format"
local Lines = require "hoststore.lines"

-- How many errors a result lists; `failed` counts all of them.
local MAX_ERRORS = 1000
local PROGRESS_EVERY = 1000

---@class hoststore.ImportOptions
---@field format "hosts"|"json"|"ndjson"|"csv"|"uci"|nil  by the name of the file, else "hosts"
---@field mode "skip"|"replace"|"merge"|"strict"|"sync"|nil  what happens to hosts that are there; "skip"
---@field origin string?  who owns the entries: hosts of another origin are not touched
---@field dry_run boolean?  counts, and changes nothing
---@field progress (fun(processed: integer))?
---@field max_deletes integer|string|nil  sync: refuse to delete more, "30%" of the origin's hosts
---@field actor string?
---@field reason string?

---@class hoststore.ImportResult
---@field processed integer
---@field created integer
---@field updated integer
---@field unchanged integer
---@field skipped integer
---@field deleted integer
---@field failed integer
---@field errors { line: integer, message: string, code: string }[]  the first 1000

local keys = options.set("format", "mode", "origin", "dry_run", "progress", "max_deletes", "actor", "reason")
local modes = options.set("skip", "replace", "merge", "strict", "sync")
local counters = { create = "created", update = "updated", unchanged = "unchanged", skip = "skipped" }

local function note_failure(result, line, err)
  result.failed = result.failed + 1
  if #result.errors < MAX_ERRORS then
    result.errors[#result.errors + 1] = { line = line, message = err.message, code = err.code }
  end
end

-- What one record of the source comes to: an action, or nil and an error. A host whose record has a
-- fault is in the source all the same: sync must not take it for missing.
local function import_record(store, import, record, message)
  if not record then return nil, core.error { code = "invalid", message = message } end
  local action, done, err
  action, err = entry.check(record)
  if action then action, err = core.import_entry(store, import, record) end
  if action or not entry.is_refusal(err) then return action, err end
  if type(record.ip) == "string" and type(record.hostname) == "string" then
    local failure
    done, failure = core.import_spare(store, import, record.ip, record.hostname)
    if not done then return nil, failure end
  end
  return nil, err
end

-- A record that cannot be read, and no end of a line behind it: the source was cut off there, and nobody can say what
-- else it held. A good line without an end is taken, as editors leave some.
local function check_whole(lines, line, problem)
  if not (lines.unended and problem.code == "invalid") then return true end
  return nil, core.error { code = "invalid", line = line,
    message = "the source breaks off: there is no end of the line behind what cannot be read: " .. problem.message }
end

local function delete_missing(store, import, given, result)
  local missing, err = core.import_missing(store, import)
  if not missing then return nil, err end
  local total
  total, err = store:count { origin = given.origin or "admin" }
  if not total then return nil, err end
  -- An empty source is what a download that failed leaves behind.
  if result.processed == 0 and #missing > 0 and given.max_deletes == nil then
    return nil, core.error { code = "invalid", message = ("the source holds no host, so nothing was deleted; if all %d "
      .. "are to go, say so with max_deletes"):format(#missing) }
  end
  local limit = entry.delete_limit(given.max_deletes, total)
  if #missing > limit then return entry.too_many_deletes(#missing, limit) end
  for _, host in ipairs(missing) do
    local done
    done, err = store:delete(host, { actor = given.actor, reason = given.reason })
    if not done then return nil, err end
  end
  result.deleted = #missing
  return true
end

local function import_all(store, lines, format, given)
  local result = { processed = 0, created = 0, updated = 0, unchanged = 0, skipped = 0, deleted = 0, failed = 0,
    errors = {} }
  local mode = given.mode or "skip"
  -- A reader that learns from its header which fields there are says so here before its first record.
  local source = { fields = format.fields }
  local import, err
  local function begin()
    import, err = core.import_begin(store, { mode = mode, origin = given.origin, fields = source.fields,
      actor = given.actor, reason = given.reason })
    return import
  end
  for line, record, message, broken in format.read(lines, source) do
    if broken then return nil, core.error { code = "invalid", line = line, message = message } end
    if not import and not begin() then return nil, err end
    result.processed = result.processed + 1
    local action, problem = import_record(store, import, record, message)
    if not action then
      local whole
      whole, err = check_whole(lines, line, problem)
      if not whole then return nil, err end
    end
    if action then
      local counter = counters[action]
      result[counter] = result[counter] + 1
    elseif mode == "strict" or not entry.is_refusal(problem) then
      problem.line = line
      return nil, problem
    else
      note_failure(result, line, problem)
    end
    if given.progress and result.processed % PROGRESS_EVERY == 0 then given.progress(result.processed) end
  end
  if not import and not begin() then return nil, err end
  -- A page that says "not found" in the place of a list must not empty the store.
  if mode == "sync" and result.failed > 0 and result.failed == result.processed then
    return nil, core.error { code = "invalid", line = result.errors[1].line,
      message = "no record of the source is a host, so nothing was deleted: " .. result.errors[1].message }
  end
  if mode == "sync" then
    local done
    done, err = delete_missing(store, import, given, result)
    if not done then return nil, err end
  end
  if given.progress then given.progress(result.processed) end
  return result
end

-- A dry run does everything and is rolled back: so its counters are those of the real one.
local function run(store, lines, format, given)
  local begun, err = core.begin(store, true)
  if not begun then return nil, err end
  local ok, result, failure = core.call(import_all, store, lines, format, given)
  local done
  done, err = core.finish(store, ok and result ~= nil and not given.dry_run)
  if not ok then error(result, 0) end
  if not result then return nil, failure end
  if not done then return nil, err end
  return result
end

--- Imports hosts from a path, an open file or `{ text = … }`, in one transaction. A record that is
-- wrong is reported with its line and the others are imported; in mode "strict" it refuses them all,
-- and so does a source that breaks off (a JSON array cut short, a last record that cannot be read and has no end of
-- the line) in every mode.
---@param source string|file*|{ text: string }
---@param given hoststore.ImportOptions?
---@return hoststore.ImportResult?, hoststore.Error?
function core.methods.import(store, source, given)
  given = options.check(given, keys, "the options")
  if given.mode ~= nil and not modes[given.mode] then
    error("mode must be skip, replace, merge, strict or sync, not '" .. tostring(given.mode) .. "'", 2)
  end
  entry.delete_limit(given.max_deletes, 0)
  local name = given.format or (type(source) == "string" and formats.guess(source)) or "hosts"
  local format, lines, err
  format, err = formats.get(name)
  if not format then return nil, err end
  lines, err = Lines.open(source)
  if not lines then return nil, err end
  local result
  result, err = file.try(run, store, lines, format, given)
  lines:close()
  if not result then return nil, err end
  return result
end

return core.methods.import
