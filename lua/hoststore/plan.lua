--- store:plan: what a list of entries would change, looked at before it is applied.

local core = require "hoststore.core"
local options = require "hoststore.options"
local entry = require "hoststore.entry"

---@class hoststore.Plan
---@field add table[]  entries that would become hosts
---@field update { before: hoststore.Host, after: table }[]
---@field delete hoststore.Host[]
---@field unchanged hoststore.Host[]  hosts that are as the entry says, or that the mode leaves alone
---@field invalid { index: integer, entry: table, message: string, code: string }[]
---@field position integer  of the log the plan was made for
---@field signature string?  of the policies the plan was made with
local plan = {}
plan.__index = plan

local keys = options.set("entries", "origin", "mode", "fields")
local modes = options.set("skip", "replace", "merge", "strict", "sync")
local all_fields = { aliases = true, comment = true, tags = true }

local function decide(store, import, given, seen)
  local good, err = entry.check(given)
  if not good then return nil, err end
  local action, after, before, effects = core.import_decide(store, import, given)
  if not action then return nil, after end
  local key = after.ip .. " " .. after.hostname
  if seen[key] then
    return nil, core.error { code = "invalid",
      message = ("'%s' is entry %d already"):format(key, seen[key]) }
  end
  return action, after, before, key, effects
end

-- A store has policies only when somebody has loaded them.
local function policies()
  return package.loaded["hoststore.policy"]
end

local function add_entry(self, import, index, given, seen, strict)
  local action, after, before, key, effects = decide(self.store, import, given, seen)
  if not action then
    if strict or not entry.is_refusal(after) then
      after.index = index
      return nil, after
    end
    self.invalid[#self.invalid + 1] = { index = index, entry = given, message = after.message,
      code = after.code }
    return true
  end
  seen[key] = index
  if effects then self.effects[after] = require("hoststore.json").decode("[" .. effects .. "]") end
  if action == "create" then
    self.add[#self.add + 1] = after
  elseif action == "update" then
    self.update[#self.update + 1] = { before = before, after = after }
  else
    self.unchanged[#self.unchanged + 1] = before
  end
  return true
end

local function make(store, given)
  local mode = given.mode or "sync"
  local self = setmetatable({ store = store, add = {}, update = {}, delete = {}, unchanged = {}, invalid = {},
    origin = given.origin, mode = mode, effects = {}, signature = policies() and policies().signature(store) }, plan)
  local import, err
  self.position, err = core.position(store)
  if not self.position then return nil, err end
  import, err = core.import_begin(store, { mode = mode, origin = given.origin, fields = given.fields or all_fields })
  if not import then return nil, err end
  local seen = {}
  for index, item in ipairs(given.entries) do
    local done
    done, err = add_entry(self, import, index, item, seen, mode == "strict")
    if not done then return nil, err end
  end
  if mode == "sync" then
    self.delete, err = core.import_missing(store, import)
    if not self.delete then return nil, err end
  end
  return self
end

--- Computes what entries would change; nothing is written. Mode "sync" is the default. `fields` says which of
-- aliases, comment and tags the source can carry (all): an entry without one of these clears it.
---@param given { entries: table[], origin: string?, mode: string?, fields: table<string, boolean>? }
---@return hoststore.Plan?, hoststore.Error?
function core.methods.plan(store, given)
  given = options.check(given, keys, "the options")
  if type(given.entries) ~= "table" then error("a plan needs entries, an array of hosts", 2) end
  if given.mode ~= nil and not modes[given.mode] then
    error("mode must be skip, replace, merge, strict or sync, not '" .. tostring(given.mode) .. "'", 2)
  end
  return store:transaction(function() return make(store, given) end, { readonly = true })
end

local apply_keys = options.set("max_deletes", "force", "actor", "reason")

local function check_limits(self, given)
  if given.force then return true end
  local store = self.store
  local position, total, err
  position, err = core.position(store)
  if not position then return nil, err end
  if position ~= self.position then
    return nil, core.error { code = "conflict", expected = self.position, actual = position,
      message = ("the store is at position %d, the plan was made at %d; plan again"):format(position, self.position) }
  end
  total, err = store:count { origin = self.origin or "admin" }
  if not total then return nil, err end
  local limit = entry.delete_limit(given.max_deletes, total)
  if #self.delete > limit then return entry.too_many_deletes(#self.delete, limit) end
  return true
end

-- Every field of a host as a change: what is not set is cleared.
local function as_changes(after)
  return { aliases = after.aliases, comment = after.comment or core.null, tags = after.tags, enabled = after.enabled,
    expires_at = after.expires_at or core.null, origin = after.origin }
end

local function with_effects(self, after, by)
  return { actor = by.actor, reason = by.reason, metadata = self.effects[after] and { policy = self.effects[after] } }
end

local function write(self, by)
  local store = self.store
  for _, host in ipairs(self.delete) do
    local done, err = store:delete(host, by)
    if not done then return nil, err end
  end
  for _, change in ipairs(self.update) do
    local host, err = store:update(change.before, as_changes(change.after), with_effects(self, change.after, by))
    if not host then return nil, err end
  end
  for _, host in ipairs(self.add) do
    local added, err = store:add(host, with_effects(self, host, by))
    if not added then return nil, err end
  end
  return { created = #self.add, updated = #self.update, deleted = #self.delete, unchanged = #self.unchanged,
    failed = #self.invalid }
end

--- Applies the plan, all or nothing. "conflict" when the store has moved since, or when more hosts
-- than `max_deletes` (a number, or "30%" of the origin's hosts) would go; `force` applies it all the
-- same, but never over a host that somebody has changed.
---@param given { max_deletes: integer|string|nil, force: boolean?, actor: string?, reason: string? }?
---@return { created: integer, updated: integer, deleted: integer, unchanged: integer, failed: integer }?
---@return hoststore.Error?
function plan:apply(given)
  given = options.check(given, apply_keys, "the options")
  entry.delete_limit(given.max_deletes, 0)
  return self.store:transaction(function()
    local good, err = check_limits(self, given)
    if not good then return nil, err end
    local function run() return write(self, { actor = given.actor, reason = given.reason }) end
    if not policies() then return run() end
    -- The entries are as the rules have made them.
    return policies().settled(self.store, self.signature, given.force, run)
  end)
end

return plan
