--- All of a tenant at once, as it is: store:copy_to, dump, load.
--
-- Events keep their ids, versions, positions and times, and every byte of their data; snapshots,
-- saved states and feeds come along. What was written is read back and proved before it is committed.

local core = require "hoststore.core"
local export = require "hoststore.export"
local file = require "hoststore.file"
local Lines = require "hoststore.lines"
local options = require "hoststore.options"

local copy = core.copy

local PRIVATE = 384 -- mode 0600, as of a database
-- So many lines, or bytes, are loaded at a time.
local LINES, BYTES = 500, 256 * 1024

---@class hoststore.Copied
---@field events integer
---@field snapshots integer
---@field states integer
---@field feeds integer
---@field digest string  FNV-1a 64 over every value, in hexadecimal: equal ones tell equal logs

---@class hoststore.CopyOptions
---@field progress (fun(records: integer))?  told now and then how many were dealt with

local keys = options.set("progress")

-- What tells of progress, whatever the number of records at a time.
local function counter(given)
  local done = 0
  return function(count)
    done = done + count
    if given.progress and count > 0 then given.progress(done) end
  end
end

-- What has holes could be dumped, and never loaded again: better to hear of it now.
local function check_whole(store)
  local position, counts, err
  position, err = core.position(store)
  if not position then return nil, err end
  counts, err = core.log_counts(store)
  if not counts then return nil, err end
  if counts[1].events == position then return true end
  return nil, core.error { code = "corrupt",
    message = ("the log is damaged: it has %d events up to position %d; see what verify says"):format(
      counts[1].events, position) }
end

--- Writes all of the tenant as lines of JSON: a head, a record a line, and at the end what they add up
-- to, so that a dump cut short is noticed. A path changes as a whole or not at all.
---@param target string|file*
---@param given hoststore.CopyOptions?
---@return hoststore.Copied?, hoststore.Error?
function core.methods.dump(store, target, given)
  given = options.check(given, keys, "the options")
  if type(target) ~= "string" and not export.is_writable(target) then
    error("dump needs a path or an open file, not " .. type(target), 2)
  end
  local function generate(sink)
    local records, advance = copy.records(), counter(given)
    repeat
      local text, count = copy.dump_lines(store, records)
      if not text then error(count, 0) end
      sink(text)
      advance(count)
    until text == ""
    return copy.sum(records)
  end
  return export.consistently(store, function()
    local whole, err = check_whole(store)
    if not whole then return nil, err end
    if type(target) == "string" then return file.replace(target, generate, PRIVATE) end
    return export.to_handle(generate, target)
  end)
end

-- Some more lines; none at the end.
local function next_lines(lines)
  local batch, size = {}, 0
  while #batch < LINES and size < BYTES do
    local _, line = lines:next()
    if not line then break end
    batch[#batch + 1], size = line, size + #line
  end
  return batch
end

local function load_lines(store, load, lines, advance)
  repeat
    local batch = next_lines(lines)
    local done, err, line = copy.load_lines(store, load, batch)
    if not done then return nil, err, line end
    advance(#batch)
  until #batch == 0
  return copy.whole(load)
end

local function load_all(store, lines, given)
  local load, err = copy.load(store)
  if not load then return nil, err end
  local result, done, line
  done, err, line = load_lines(store, load, lines, counter(given))
  if done then result, err, line = copy.finish(store, load) end
  if result then return result end
  -- Failures of the database are not the line's.
  if err.code == "invalid" or err.code == "unsupported" then err.line = line end
  return nil, err
end

--- Reads a dump into an empty tenant, all of it or nothing; the tenant it was made of does not matter.
-- What is refused has its `line`. A tenant that is not empty is a "conflict".
---@param source string|file*|{ text: string }
---@param given hoststore.CopyOptions?
---@return hoststore.Copied?, hoststore.Error?
function core.methods.load(store, source, given)
  given = options.check(given, keys, "the options")
  local lines, err = Lines.open(source)
  if not lines then return nil, err end
  lines.limit = math.huge
  local ok, result, failure = pcall(file.try, store.transaction, store, function()
    return load_all(store, lines, given)
  end)
  lines:close()
  if not ok then error(result, 0) end
  if not result then return nil, failure end
  return result
end

-- Without a write-ahead log the reader of an SQLite file keeps its writer from committing.
local function check_files(store, other)
  local from, to, err
  from, err = core.describe(store)
  if not from then return nil, err end
  to, err = core.describe(other)
  if not to then return nil, err end
  local a, b = from.location and core.sys.stat(from.location), to.location and core.sys.stat(to.location)
  if a and b and a.device == b.device and a.inode == b.inode and from.journal ~= "wal" then
    return nil, core.error { code = "unsupported",
      message = ("both tenants are in '%s', which is read or written, not both at once; dump one and load the other")
        :format(from.location) }
  end
  return true
end

local function copy_pages(store, other, load, given)
  local records, advance = copy.records(), counter(given)
  repeat
    local count, err = copy.page(store, records, other, load)
    if not count then return nil, err end
    advance(count)
  until count == 0
  return true
end

--- Copies all of the tenant into an empty one of another database (or another one of the same), as of
-- one moment, all or nothing.
---@param other hoststore.Store
---@param given hoststore.CopyOptions?
---@return hoststore.Copied?, hoststore.Error?
function core.methods.copy_to(store, other, given)
  given = options.check(given, keys, "the options")
  if rawequal(store, other) then error("a store cannot be copied to itself", 2) end
  local possible, err = check_files(store, other)
  if not possible then return nil, err end
  return other:transaction(function()
    local load, result, done
    load, err = copy.load(other)
    if not load then return nil, err end
    done, err = store:transaction(function() return copy_pages(store, other, load, given) end, { readonly = true })
    if done then result, err = copy.finish(other, load) end
    if result then return result end
    if err.code == "invalid" then
      err.code, err.message = "corrupt", "the log to be copied is damaged: " .. err.message
    end
    return nil, err
  end)
end

return core.methods.copy_to
