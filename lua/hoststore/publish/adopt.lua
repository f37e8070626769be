--- Changes made by hand to what was published, brought into the store: for each host and field a merge of the line
--- as it was published, the line as it is now, and the host as it is now.
---
--- Only what was changed by hand is written. What was changed in the store meanwhile, too, to something else is a
--- conflict, and then nothing is written at all. A change made so is an admin's, as `set` and `rm` make them: a host
--- keeps its origin, and a machine that owns it may change it, or bring it back, when it comes by again.
---
--- Where nobody can say what was published, all that is known is what stands there: then nothing is deleted, and
--- what a line does not say is left as it is.
local clock = require "hoststore.clock"
local core = require "hoststore.core"
local entries = require "hoststore.entry"
local formats = require "hoststore.format"
local Lines = require "hoststore.lines"

local adopt = {}

---@class hoststore.Adopted
---@field created integer
---@field updated integer
---@field enabled integer  were there, but disabled or expired
---@field deleted integer
---@field dropped integer  lines of comment and blank ones, which a store of hosts cannot keep

local FIELDS = { "ip", "hostname", "aliases", "comment", "tags" }
local NOTHING = { aliases = {}, tags = {} } -- what a host says of which nothing is known
local FEW, PART = 3, "30%" -- more than both of them are not deleted unasked
local SHOWN = 10 -- conflicts that a message names

-- -- lines as hosts ------------------------------------------------------------------------------------

local function key_of(host)
  return host.ip .. " " .. host.hostname
end

-- The hosts that lines say, and the error about the first line that says none, with its number.
local function read(store, lines)
  local found, failure = {}, nil
  local source = assert(Lines.open { text = table.concat(lines, "\n") })
  for number, given, message in formats.get("hosts").read(source, {}) do
    local host, err = nil, message and core.error { code = "invalid", message = message }
    if given then
      host, err = core.check_host(store, given)
    end
    if err and not failure then
      failure, err.line = err, number
    end
    found[#found + 1] = host
  end
  return found, failure
end

-- What a published line would say of a host.
local function as_line(store, host)
  local shown, parts = { enabled = true }, {}
  for _, field in ipairs(FIELDS) do
    shown[field] = host[field]
  end
  local given = { shown }
  formats.get("hosts").write(function() return table.remove(given) end, function(text) parts[#parts + 1] = text end)
  local found, err = read(store, parts)
  return found[1] or error(err, 0)
end

local function is_same(a, b)
  if type(a) == "table" and type(b) == "table" then
    return table.concat(a, ",") == table.concat(b, ",")
  end
  return a == b
end

local function say_the_same(a, b)
  for _, field in ipairs(FIELDS) do
    if not is_same(a[field], b[field]) then
      return false
    end
  end
  return true
end

local function has_expired(merge, host)
  return host.expires_at ~= nil and host.expires_at <= merge.time
end

local function is_published(merge, host)
  return host.enabled and not has_expired(merge, host)
end

local function count_remarks(lines)
  local count = 0
  for _, line in ipairs(lines) do
    count = count + (line:find "^[\t-\r ]*#" and 1 or line:find "^[\t-\r ]*$" and 1 or 0)
  end
  return count
end

-- -- what was changed ----------------------------------------------------------------------------------

-- The hosts of some lines by address and name, and as a list; refused where one is said twice in two ways.
local function by_key(store, change, lines)
  local known, kept = {}, {}
  for _, host in ipairs((read(store, lines))) do
    local before = known[key_of(host)]
    if before and not say_the_same(before, host) then
      return nil, core.error { code = "invalid",
        message = ("%s: '%s' stands there twice; make one line of the two"):format(change.path, key_of(host)) }
    elseif not before then
      kept[#kept + 1], known[key_of(host)] = host, host
    end
  end
  return known, kept
end

-- Which line of its file says this.
local function number_of(change, text)
  for i, line in ipairs(change.now) do
    if line == text then
      return change.offset + i
    end
  end
end

-- What is wrong with a line is told of those made by hand alone: the store may take less than it once did.
local function check_added(store, change)
  local _, err = read(store, change.added)
  if err then
    local number = number_of(change, change.added[err.line])
    return nil, core.error { code = "invalid", line = number,
      message = ("%s:%d: %s; mend it or force the old state"):format(change.path, number, err.message) }
  end
  return true
end

-- The hosts of the store as they were when something was published.
local function index_at(merge, position)
  if not merge.at[position] then
    local known = {}
    for host in assert(merge.store:at { position = position }):hosts() do
      known[key_of(host)] = host
    end
    merge.at[position] = known
  end
  return merge.at[position]
end

-- Sorts the lines of a file into those that were changed, those that are gone and those that are new.
local function sort_out(merge, change, before, old, now, new)
  local hosts = change.before and index_at(merge, change.position) or {}
  for _, line in ipairs(old) do
    local after = now[key_of(line)]
    local edit = { before = line, after = after, host = hosts[key_of(line)], change = change }
    if not after then
      merge.gone[#merge.gone + 1] = edit
    elseif not say_the_same(line, after) then
      merge.edited[#merge.edited + 1] = edit
    end
  end
  for _, line in ipairs(new) do
    if not before[key_of(line)] then
      merge.new[#merge.new + 1] = { after = line, host = hosts[key_of(line)], change = change }
    end
  end
  change.total, change.emptied = #old, #new == 0
end

local function compare(merge, change)
  local store = merge.store
  local good, err = check_added(store, change)
  if not good then
    return nil, err
  end
  local now, new = by_key(store, change, change.before and change.now or change.added)
  if not now then
    return nil, new
  end
  local before, old = by_key(store, change, change.before or {})
  sort_out(merge, change, before, old, now, new)
  return true
end

-- What a line and the one that took its place have in common, the surest sign first.
local SIGNS = {
  function(edit) return edit.ours and edit.ours.id or not edit.after and edit.host.id end,
  function(edit, line) return not edit.ours and line.hostname .. (line.ip:find ":" and " 6" or " 4") end,
  function(edit, line) return not edit.ours and line.hostname end,
  function(edit, line) return not edit.ours and line.ip end,
}

-- The edits that have a mark of their own, by that; false where several have it.
local function by_mark(edits, sign)
  local found = {}
  for _, edit in ipairs(edits) do
    local mark = sign(edit, edit.after or edit.before)
    if mark then
      found[mark] = found[mark] == nil and edit
    end
  end
  return found
end

local function without(edits, taken)
  local rest = {}
  for _, edit in ipairs(edits) do
    rest[#rest + 1] = not taken[edit] and edit or nil
  end
  return rest
end

-- One line gone and one new that share a name, or an address, are one host with another address or name.
local function pair(merge)
  for _, sign in ipairs(SIGNS) do
    local new, gone, taken = by_mark(merge.new, sign), by_mark(merge.gone, sign), {}
    for _, edit in ipairs(merge.gone) do
      local mark = sign(edit, edit.before)
      local partner = gone[mark] == edit and new[mark]
      if partner then
        edit.after, taken[edit], taken[partner] = partner.after, true, true
        merge.edited[#merge.edited + 1] = edit
      end
    end
    merge.gone, merge.new = without(merge.gone, taken), without(merge.new, taken)
  end
end

-- -- what is to be done --------------------------------------------------------------------------------

local function add_conflict(merge, line, field, format, ...)
  local text = ("%s: %s"):format(key_of(line), format:format(...))
  merge.conflicts[#merge.conflicts + 1] = { field = field, message = text }
end

local function add_step(merge, kind, edit, host, changes)
  merge.steps[kind][#merge.steps[kind] + 1] = { edit = edit, host = host, changes = changes }
end

-- Notes in changes what was changed by hand in a field.
local function merge_field(merge, line, field, states, changes)
  local before, after, ours = states.before[field], states.after[field], states.ours[field]
  if is_same(before, after) or is_same(after, ours) then
    return
  elseif not is_same(before, ours) then
    add_conflict(merge, line, field, "%s was changed by hand, and in the store to something else", field)
    return
  end
  changes[field] = after == nil and core.null or after
end

local function decide_edited(merge, edit)
  local host, err = merge.store:get(edit.host.id)
  if not host then
    if err.code ~= "not_found" then
      return nil, err
    end
    add_conflict(merge, edit.before, "hostname", "its line was changed by hand, and the host deleted in the store")
    return true
  end
  local changes = {}
  local states = { before = edit.before, after = edit.after, ours = as_line(merge.store, host) }
  for _, field in ipairs(FIELDS) do
    merge_field(merge, edit.before, field, states, changes)
  end
  if next(changes) then
    add_step(merge, "updated", edit, host, changes)
  end
  return true
end

local function decide_gone(merge, edit)
  local host, err = merge.store:get(edit.host.id)
  if not host then
    return err.code == "not_found" or nil, err
  elseif not is_published(merge, host) then
    return true -- who disabled it meant the same, and has kept it for later
  elseif not say_the_same(edit.before, as_line(merge.store, host)) then
    add_conflict(merge, edit.before, "hostname", "its line was removed by hand, and the host changed in the store")
    return true
  end
  add_step(merge, "deleted", edit, host)
  return true
end

local function decide_new(merge, edit)
  local host = edit.ours
  if not host then
    add_step(merge, "created", edit)
    return true
  end
  local store, changes = merge.store, {}
  local was = edit.host and edit.host.id == host.id and as_line(store, edit.host) or NOTHING
  local states = { before = was, after = edit.after, ours = as_line(store, host) }
  for _, field in ipairs { "aliases", "comment", "tags" } do
    if edit.after[field] and not is_same(edit.after[field], NOTHING[field]) then
      merge_field(merge, edit.after, field, states, changes)
    end
  end
  local hidden = not is_published(merge, host)
  if hidden then
    changes.enabled = true
    changes.expires_at = has_expired(merge, host) and core.null or nil
  end
  if next(changes) then
    add_step(merge, hidden and "enabled" or "updated", edit, host, changes)
  end
  return true
end

local DECIDE = { gone = decide_gone, edited = decide_edited, new = decide_new }

local function decide(merge)
  for _, edit in ipairs(merge.new) do
    local err
    edit.ours, err = merge.store:find(edit.after.ip, edit.after.hostname)
    if err then
      return nil, err
    end
  end
  pair(merge)
  for _, kind in ipairs { "gone", "edited", "new" } do
    for _, edit in ipairs(merge[kind]) do
      local done, err = DECIDE[kind](merge, edit)
      if not done then
        return nil, err
      end
    end
  end
  return true
end

-- -- all or none ---------------------------------------------------------------------------------------

local function check_conflicts(job, merge)
  local conflicts, told = merge.conflicts, {}
  if not conflicts[1] then
    return true
  end
  for i = 1, math.min(#conflicts, SHOWN) do
    told[i] = conflicts[i].message
  end
  if #conflicts > SHOWN then
    told[#told + 1] = ("and %d more"):format(#conflicts - SHOWN)
  end
  return nil, core.error { code = "conflict", field = conflicts[1].field,
    message = ("%s: %s. Nothing was adopted; let both say the same, or force the state of the store"):format(
      job.output.path, table.concat(told, "; ")) }
end

-- A file that was emptied or cut short is hardly meant to empty the store.
local function check_unasked(change, deletes)
  if deletes > 0 and change.emptied then
    return nil, core.error { code = "conflict", expected = 0, actual = deletes,
      message = ("%s: no host is left in it; if %d are to be deleted, say so with max_deletes"):format(change.path,
        deletes) }
  end
  local limit = math.max(FEW, entries.delete_limit(PART, change.total))
  if deletes > limit then
    return entries.too_many_deletes(deletes, limit)
  end
  return true
end

local function check_deletes(merge, changes, max_deletes)
  local deletes, total, of = #merge.steps.deleted, 0, {}
  for _, step in ipairs(merge.steps.deleted) do
    of[step.edit.change] = (of[step.edit.change] or 0) + 1
  end
  for _, change in ipairs(changes) do
    total = total + change.total
    local good, err = true, nil
    if max_deletes == nil then
      good, err = check_unasked(change, of[change] or 0)
    end
    if not good then
      return nil, err
    end
  end
  if deletes > entries.delete_limit(max_deletes, total) then
    return entries.too_many_deletes(deletes, entries.delete_limit(max_deletes, total))
  end
  return true
end

local function create(store, edit, by)
  local line = edit.after
  return store:add({ ip = line.ip, hostname = line.hostname, aliases = line.aliases, comment = line.comment,
    tags = line.tags }, by)
end

-- What goes makes room for what comes.
local function write(store, steps, by)
  for _, kind in ipairs { "deleted", "updated", "enabled", "created" } do
    for _, step in ipairs(steps[kind]) do
      local done, err
      if kind == "deleted" then
        done, err = store:delete(step.host, by)
      elseif kind == "created" then
        done, err = create(store, step.edit, by)
      else
        done, err = store:update(step.host, step.changes, by)
      end
      if not done then
        return nil, err
      end
    end
  end
  return { created = #steps.created, updated = #steps.updated, enabled = #steps.enabled, deleted = #steps.deleted }
end

local function check_changes(job, changes)
  if job.output.template or job.output.format ~= "hosts" then
    return nil, core.error { code = "unsupported",
      message = ("%s: only format hosts can be adopted"):format(job.output.path) }
  end
  for _, change in ipairs(changes) do
    if change.kind == "unmarked" then
      return nil, core.error { code = "conflict",
        message = ("%s: nobody can say which lines were the block: put its marker lines back"):format(change.path) }
    elseif change.unread then
      return nil, core.error { code = "unsupported", message = change.path .. " is too long to be adopted" }
    end
  end
  return true
end

local function run(job, changes, flags)
  local merge = { store = job.store, at = {}, gone = {}, edited = {}, new = {}, conflicts = {},
    steps = { created = {}, updated = {}, enabled = {}, deleted = {} } }
  local done, err
  merge.time, err = clock.to_expire_by(job.store)
  if not merge.time then
    return nil, err
  end
  for _, change in ipairs(changes) do
    done, err = compare(merge, change)
    if not done then
      return nil, err
    end
  end
  done, err = decide(merge)
  if done then
    done, err = check_conflicts(job, merge)
  end
  if done then
    done, err = check_deletes(merge, changes, flags.max_deletes)
  end
  if not done then
    return nil, err
  end
  return write(job.store, merge.steps,
    { actor = flags.actor, reason = flags.reason or "changed by hand in " .. job.output.path })
end

--- Brings changes made by hand into the store, all or none; in a dry run it does so, and takes them back.
---@param job table
---@param changes table[]  what drift.examine gave
---@param flags { actor: string?, reason: string?, max_deletes: integer|string|nil, dry_run: boolean? }
---@return hoststore.Adopted? counters, hoststore.Error? err
function adopt.run(job, changes, flags)
  local good, refusal = check_changes(job, changes)
  if not good then
    return nil, refusal
  end
  local counters, err
  local done, failure = job.store:transaction(function()
    counters, err = run(job, changes, flags)
    if not counters or flags.dry_run then
      return nil, err or "a dry run"
    end
    return true
  end)
  if not counters or not done and not flags.dry_run then
    return nil, err or failure
  end
  counters.dropped = 0
  for _, change in ipairs(changes) do
    counters.dropped = counters.dropped + count_remarks(change.added)
  end
  return counters
end

return adopt
