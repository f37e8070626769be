--- Changes made by hand to what was published: found, shown, and taken over into the store.
local core = require "hoststore.core"
local formats = require "hoststore.format"
local Lines = require "hoststore.lines"
local neutral = require "hoststore.neutral"
local rendering = require "hoststore.publish.rendering"

local sys = core.sys
local drift = {}

-- A result shows so many lines; files longer than this are not compared line by line.
local MAX_LINES = 50
local MAX_SIZE = 16 * 1024 * 1024

---@class hoststore.Drift
---@field path string
---@field lines string[]  what was added ("+") and taken away ("-") by hand
---@field more integer  lines that are not shown
---@field against "published"|"store"  store: what was published cannot be said any more, so it is compared with
---  the hosts as they are now

-- What is remembered of a piece: a digest, the one before it, and which hosts it was made of.
local function remembered(facts, key)
  local digest, previous, position, time = (facts[key] or ""):match("^(%x+) (%S+) (%d+) (%S+)$")
  return digest and { digest = digest, previous = previous, position = tonumber(position),
    time = neutral.number(time) }
end

--- Notes in the facts what a piece is going to be, and that it may still be what is there now.
function drift.note(facts, piece, made)
  if piece.remove then
    facts[piece.key] = nil
    return
  end
  local previous = not piece.torn and piece.found or "-"
  facts[piece.key] = ("%s %s %d %s"):format(piece.digest, previous, made.position, neutral.format("%.6f", made.now))
end

--- Whether the facts know the piece as it is to be.
function drift.is_noted(facts, piece)
  local before = remembered(facts, piece.key)
  return before ~= nil and before.digest == piece.digest
end

--- Whether somebody else has changed the piece since it was published.
function drift.is_foreign(facts, piece)
  local before = remembered(facts, piece.key)
  return before ~= nil and not piece.same and not piece.torn and piece.found ~= nil
    and piece.found ~= before.digest and piece.found ~= before.previous
end

local function lines_of(text)
  local lines = {}
  for line in text:gmatch("[^\n]+") do
    lines[#lines + 1] = line
  end
  return lines
end

-- The lines of one list that the other lacks; one that stands twice in it has to stand twice there.
local function missing(list, other)
  local count, found = {}, {}
  for _, line in ipairs(other) do
    count[line] = (count[line] or 0) + 1
  end
  for _, line in ipairs(list) do
    if (count[line] or 0) > 0 then
      count[line] = count[line] - 1
    else
      found[#found + 1] = line
    end
  end
  return found
end

-- What was published, if the store still knows it: its hosts do not forget.
local function published(job, facts, piece)
  local before = remembered(facts, piece.key)
  local text = before and rendering.as_of(job.store, job.output, before.position, before.time)
  local was = text and job.mode.split(job, text)[piece.key]
  return was and sys.digest(was) == before.digest and was or nil
end

local function intended(piece)
  local parts = {}
  if not piece.remove then
    (piece.content or piece.write)(function(text) parts[#parts + 1] = text end)
  end
  return table.concat(parts)
end

--- What was changed by hand in a piece. Called in the transaction the piece was made in.
---@return table change  .added and .removed are lines, .published whether it is known what was
function drift.examine(job, facts, piece)
  local change = { path = piece.path, added = {}, removed = {}, published = false }
  local stat = sys.stat(piece.path)
  if not stat or stat.size > MAX_SIZE then
    change.unread = true
    return change
  end
  local before = published(job, facts, piece)
  change.published = before ~= nil
  before = lines_of(before or intended(piece))
  local now = lines_of(piece.read() or "")
  change.added, change.removed, change.all = missing(now, before), missing(before, now), now
  return change
end

--- A change as results show it.
---@return hoststore.Drift
function drift.show(change)
  local shown = { path = change.path, lines = {}, more = 0, against = change.published and "published" or "store" }
  for sign, lines in pairs { ["-"] = change.removed, ["+"] = change.added } do
    for _, line in ipairs(lines) do
      shown.lines[#shown.lines + 1] = sign .. line
    end
  end
  -- By what stands behind the sign: the old and the new line of a host come together.
  table.sort(shown.lines, function(a, b)
    if a:sub(2) == b:sub(2) then
      return a < b
    end
    return a:sub(2) < b:sub(2)
  end)
  while #shown.lines > MAX_LINES do
    shown.lines[#shown.lines], shown.more = nil, shown.more + 1
  end
  return shown
end

--- The error for an output that is left alone because of its changes.
function drift.refusal(job)
  return core.error {
    code = "conflict",
    message = ("%s was changed by hand since it was published: adopt the change or force the old state"):format(
      job.output.path),
  }
end

-- -- taking over ---------------------------------------------------------------------------------------

local function read_entries(lines)
  local entries = {}
  local opened = assert(Lines.open { text = table.concat(lines, "\n") })
  for _, entry in formats.get("hosts").read(opened, {}) do
    entries[#entries + 1] = entry or nil
  end
  return entries
end

local function key(entry)
  return neutral.lower(entry.ip .. " " .. entry.hostname)
end

-- Hosts whose lines were taken away. One whose line was only changed is there under the same address and
-- name, and is brought up to date by the import.
local function delete_removed(store, change, by)
  local kept, deleted = {}, 0
  for _, entry in ipairs(read_entries(change.all)) do
    kept[key(entry)] = true
  end
  for _, entry in ipairs(read_entries(change.removed)) do
    local host = not kept[key(entry)] and store:find(entry.ip, entry.hostname)
    if host then
      local done, err = store:delete(host, by)
      if not done then
        return nil, err
      end
      deleted = deleted + 1
    end
  end
  return deleted
end

local function take_over(job, change, flags)
  local by = { actor = flags.actor, reason = flags.reason or "changed by hand in " .. job.output.path }
  local deleted, err = 0, nil
  -- Without knowing what was published, a missing line may be a host that has never been there.
  if change.published then
    deleted, err = delete_removed(job.store, change, by)
  end
  if not deleted then
    return nil, err
  end
  local result
  result, err = job.store:import({ text = table.concat(change.added, "\n") },
    { format = "hosts", mode = "replace", actor = by.actor, reason = by.reason })
  if not result then
    return nil, err
  elseif result.failed > 0 then
    return nil, core.error { code = "invalid", message = ("%s: %s; mend it or force the old state"):format(
      change.path, result.errors[1].message) }
  end
  return { created = result.created, updated = result.updated, deleted = deleted }
end

--- Brings changes made by hand into the store, all or none.
---@param job table
---@param changes table[]  what `examine` gave
---@param flags { actor: string?, reason: string? }
---@return { created: integer, updated: integer, deleted: integer }? counters, hoststore.Error? err
function drift.adopt(job, changes, flags)
  local output = job.output
  if output.template or output.format ~= "hosts" then
    return nil, core.error { code = "unsupported",
      message = ("%s: only format hosts can be adopted"):format(output.path) }
  end
  return job.store:transaction(function()
    local total = { created = 0, updated = 0, deleted = 0 }
    for _, change in ipairs(changes) do
      if change.unread then
        return nil, core.error { code = "unsupported", message = change.path .. " is too long to be adopted" }
      end
      local counters, err = take_over(job, change, flags)
      if not counters then
        return nil, err
      end
      for name, count in pairs(counters) do
        total[name] = total[name] + count
      end
    end
    return total
  end)
end

return drift
