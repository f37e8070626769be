--- Snapshots: rendered hosts files by position, restore, retention.

local core = require "hoststore.core"
local file = require "hoststore.file"
local options = require "hoststore.options"

---@class hoststore.Snapshot
---@field id string
---@field name string?
---@field trigger string  what made it: "manual", "restore" …
---@field created_at number
---@field position integer
---@field entry_count integer
---@field hosts_content string?  the rendered hosts file; only from get_snapshot

local function render(store)
  local chunks = {}
  require("hoststore.format.hosts").write_store(store, nil, function(text) chunks[#chunks + 1] = text end,
    { now = core.now(store) })
  return table.concat(chunks)
end

local snapshot_keys = options.set("name", "trigger")

--- Keeps the hosts file as it is now, and the position it belongs to.
---@param given { name: string?, trigger: string? }?  trigger is "manual" by default
---@return hoststore.Snapshot?, hoststore.Error?
function core.methods.snapshot(store, given)
  given = options.check(given, snapshot_keys, "the options")
  -- Rendering iterates, and iterators raise.
  return file.try(store.transaction, store, function()
    return core.snapshot_save(store, { name = given.name, trigger = given.trigger or "manual",
      content = render(store) })
  end)
end

local restore_keys = options.set("dry_run", "actor", "reason", "metadata")

--- Brings the hosts back to a snapshot by difference: ids are kept, only what differs gets events. A
-- snapshot of the present state is made first. With dry_run it only counts.
---@param id string
---@param given { dry_run: boolean?, actor: string?, reason: string?, metadata: any }?
---@return { added: integer, updated: integer, deleted: integer, unchanged: integer, backup: string? }?
---@return hoststore.Error?
function core.methods.restore(store, id, given)
  given = options.check(given, restore_keys, "the options")
  local dry_run = given.dry_run or false
  return store:transaction(function()
    local snapshot, backup, result, err
    snapshot, err = store:get_snapshot(id)
    if not snapshot then return nil, err end
    if not dry_run then
      backup, err = store:snapshot({ name = "before restore of " .. id, trigger = "restore" })
      if not backup then return nil, err end
    end
    result, err = core.restore(store, snapshot.position, dry_run, given)
    if not result then return nil, err end
    result.backup = backup and backup.id
    return result
  end, { readonly = dry_run })
end

-- An age in seconds out of a number or a text like "30d".
local function parse_age(age)
  if type(age) == "number" and (age < 0 or age ~= age) then error("max_age cannot be negative", 3) end
  local seconds = type(age) == "number" and age or options.duration(tostring(age))
  if seconds then return seconds end
  return nil, core.error { code = "invalid", field = "max_age",
    message = ("'%s' is not an age; write seconds, or a number with s, m, h, d or w"):format(tostring(age)) }
end

local retention_keys = options.set("max_count", "max_age", "keep", "force")

-- Snapshots come newest first, so `rank` is how many there are up to and with this one.
local function is_expired(snapshot, rank, rules)
  if rules.keep and rules.keep(snapshot) then return false end
  if not rules.max_count and not rules.max_age then return rules.keep ~= nil end
  return (rules.max_count ~= nil and rank > rules.max_count)
    or (rules.max_age ~= nil and snapshot.created_at >= rules.known
      and rules.now - snapshot.created_at > rules.max_age)
end

local function find_expired(store, rules)
  local snapshots, err = store:snapshots()
  if not snapshots then return nil, err end
  local expired = {}
  for rank, snapshot in ipairs(snapshots) do
    if is_expired(snapshot, rank, rules) then expired[#expired + 1] = snapshot end
  end
  return expired
end

--- Deletes snapshots: those beyond the newest `max_count`, those older than `max_age`, but never one
-- for which `keep` returns true. `keep` alone deletes all others; nothing given deletes nothing. With
-- `max_age` and a clock that cannot be believed (see clock.lua) nothing is deleted: "conflict", unless `force`. Of a
-- snapshot that was made before the clock was set nobody knows how old it is: `max_age` is not about it.
---@param given { max_count: integer?, max_age: number|string|nil, keep: (fun(meta: hoststore.Snapshot): boolean)?,
---  force: boolean? }?
---@return integer? deleted, hoststore.Error? err
function core.methods.apply_retention(store, given)
  given = options.check(given, retention_keys, "the options")
  local rules = { max_count = given.max_count, keep = given.keep }
  if rules.max_count ~= nil and not options.is_count(rules.max_count) then
    error("max_count must be a whole number, not " .. tostring(rules.max_count), 2)
  end
  if rules.keep ~= nil and type(rules.keep) ~= "function" then error("keep must be a function", 2) end
  if given.max_age ~= nil then
    local err
    rules.max_age, err = parse_age(given.max_age)
    if not rules.max_age then return nil, err end
  end
  local function find()
    if rules.max_age then
      rules.now, rules.known = require("hoststore.clock").to_remove_by(store, given.force)
      if not rules.now then return nil, rules.known end
    end
    return find_expired(store, rules)
  end
  return require("hoststore.retention").delete(store, find, function(deleted) return deleted end)
end

return core.methods.snapshot
