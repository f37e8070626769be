--- Looking after a store: check, verify, stats, backup.

local core = require "hoststore.core"
local file = require "hoststore.file"
local options = require "hoststore.options"

-- What the database says as text.
local NUMBERS = options.set("page_size", "pages", "free_pages", "schema_version")
local PRIVATE = 384 -- mode 0600, as of the database itself

--- Whether the database can be read. `verify` is the thorough one.
---@return true?, hoststore.Error?
function core.methods.check(store)
  local position, err = core.position(store)
  if not position then return nil, err end
  return true
end

--- Proves that positions and versions have no gaps, that each host event follows from the one before,
-- and that the read model is what the log says; `problems` says exactly where that is not so.
---@return { ok: boolean, problems: hoststore.Error[], events: integer, hosts: integer, streams: integer }?
---@return hoststore.Error?
function core.methods.verify(store)
  local result, err = core.verify(store)
  if not result then return nil, err end
  result.ok = #result.problems == 0
  return result
end

--- How much there is, and how the database works.
---@return table<string, any>?, hoststore.Error?
function core.methods.stats(store)
  return store:transaction(function()
    local stats, counts, snapshots, err
    stats, err = core.describe(store)
    if not stats then return nil, err end
    for name, value in pairs(stats) do stats[name] = NUMBERS[name] and tonumber(value) or value end
    counts, err = core.log_counts(store)
    if not counts then return nil, err end
    snapshots, err = store:snapshots()
    if not snapshots then return nil, err end
    stats.events, stats.streams, stats.snapshots = counts[1].events, counts[1].streams, #snapshots
    stats.position, err = core.position(store)
    if not stats.position then return nil, err end
    stats.hosts, err = store:count()
    if not stats.hosts then return nil, err end
    return stats
  end, { readonly = true })
end

local function refuse(...)
  return nil, core.error { code = "invalid", field = "path", message = string.format(...) }
end

-- Whether a file beside a database holds pages for it. A journal that is kept for the next transaction
-- begins with zeros.
local function is_journal(path)
  local found = io.open(path, "rb")
  if not found then return false end
  local first = found:read(1)
  found:close()
  return first ~= nil and first ~= "\0"
end

-- The file beside which SQLite or DuckDB makes one of that name as it needs it, whether it is there now or not.
local function owner_of(path)
  local owner = path:match "^(.+)%-journal$" or path:match "^(.+)%-wal$" or path:match "^(.+)%-shm$"
    or path:match "^(.+)%.wal$"
  return owner and core.sys.stat(owner) and owner
end

-- A database that is in use must not be replaced: who has it open would go on writing to the old file,
-- and a journal beside it would be played into the new one.
local function backup_target(store, path)
  local target, facts, err
  target, err = file.target(path)
  if not target then return nil, err end
  facts, err = core.describe(store)
  if not facts then return nil, err end
  local own, there = facts.location and core.sys.stat(facts.location), core.sys.stat(target)
  if own and there and own.device == there.device and own.inode == there.inode then
    return refuse("'%s' is the database itself; give another path", path)
  end
  local database = owner_of(target)
  if database then
    return refuse("'%s' is a name the database '%s' uses beside it; give another path", path, database)
  end
  for _, suffix in ipairs { "-journal", "-wal", ".wal" } do
    if is_journal(target .. suffix) then
      return refuse("'%s' is a database in use, or one that was not closed: there is a '%s'; give another path",
        path, target .. suffix)
    end
  end
  return target, facts
end

-- A file of SQLite with this tenant's log. It becomes what it is to be by a rename, so that a journal
-- beside it would serve nobody.
local function copy_into(store, tenant, path)
  local location = path:gsub("[^%w/._-]", function(char) return ("%%%02X"):format(char:byte()) end)
  local copy, done, err
  copy, err = require("hoststore.url").open((path:find("^/") and "sqlite://" or "sqlite:") .. location,
    { tenant = tenant, journal = "memory", durability = "normal" })
  if not copy then return nil, err end
  done, err = store:copy_to(copy)
  copy:close()
  return done, err
end

--- Writes a consistent copy of the database while it is in use: on SQLite the file as it is, else a file
-- of SQLite with this tenant's log. An older copy is replaced, and only when the new one is whole; a
-- database in use is not.
---@param path string
---@return true?, hoststore.Error?
function core.methods.backup(store, path)
  if type(path) ~= "string" then error("backup needs a path, not " .. type(path), 2) end
  if core.depth(store) > 0 then error("a backup cannot be made within a transaction", 2) end
  local target, facts = backup_target(store, path)
  if not target then return nil, facts end
  local copy, message, errno = core.sys.replace(target, PRIVATE)
  if not copy then return nil, file.failure(message, errno) end
  local done, err = core.backup(store, copy:temporary())
  if not done and err.code == "unsupported" then
    done, err = copy_into(store, facts.tenant, copy:temporary())
  end
  if not done then
    copy:abort()
    return nil, err
  end
  done, message, errno = copy:commit()
  if not done then return nil, file.failure(message, errno) end
  return true
end

return core.methods.verify
