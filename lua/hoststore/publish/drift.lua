--- Changes made by hand to what was published: found and shown.
local core = require "hoststore.core"
local neutral = require "hoststore.neutral"
local rendering = require "hoststore.publish.rendering"

local sys = core.sys
local drift = {}

-- A result shows so many lines; files longer than this are not compared line by line.
local MAX_LINES = 50
local MAX_SIZE = 16 * 1024 * 1024

---@class hoststore.Drift
---@field path string
---@field kind "changed"|"unknown"|"unmarked"  unknown: hoststore has never published it; unmarked: the lines are gone
---  that say where a block is
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
  local previous = piece.same and piece.digest or not piece.torn and piece.found or "-"
  facts[piece.key] = ("%s %s %d %s"):format(piece.digest, previous, made.position,
    neutral.format("%.6f", made.now))
end

--- Whether the facts know the piece as it is to be. Of a block they have to know, too, that it has been there:
--- one that was only going to be there when somebody pulled the plug has lost no marker lines.
function drift.is_noted(facts, piece)
  local before = remembered(facts, piece.key)
  return before ~= nil and before.digest == piece.digest
    and not (piece.content and piece.same and before.previous == "-")
end

local EMPTY = sys.digest ""

--- Why a piece must not be replaced: somebody else has made or changed what is there. Names of shards are ours,
--- so what has one is unknown only to who wants to adopt it. What has been adopted may go.
---@return "changed"|"unknown"|"unmarked"|nil kind
function drift.find(job, piece, flags)
  local before = remembered(job.facts, piece.key)
  local adopted = job.replaceable[piece.key]
  if piece.same or piece.torn or adopted and adopted == piece.found then
    return nil
  elseif piece.unmarked then
    return before and before.previous ~= "-" and "unmarked" or nil
  elseif not piece.found then
    return nil
  elseif before then
    return piece.found ~= before.digest and piece.found ~= before.previous and "changed" or nil
  end
  local ours = job.output.mode == "dir-shards" and not flags.adopt
  return not ours and piece.found ~= EMPTY and "unknown" or nil
end

local function lines_of(text)
  local lines = {}
  for line, feed in text:gmatch("([^\n]*)(\n?)") do
    lines[#lines + 1] = (line ~= "" or feed ~= "") and line or nil
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

--- What was changed by hand in a piece, for the reason that `find` gave. Called in the transaction the piece was
--- made in.
---@return table change  .added and .removed are lines; .before those that were published, nil when nobody can say,
---  .now those that are there behind .offset others, and .found their digest, .position what the log had come to
function drift.examine(job, piece, kind)
  local change = { path = piece.path, key = piece.key, kind = kind, added = {}, removed = {},
    offset = piece.offset or 0 }
  local stat = sys.stat(piece.path)
  if kind == "unmarked" then
    change.removed = piece.unmarked
    return change
  elseif not stat or stat.size > MAX_SIZE then
    change.unread = true
    return change
  end
  local before = published(job, job.facts, piece)
  if before then
    change.before, change.position = lines_of(before), remembered(job.facts, piece.key).position
  end
  local text = piece.read() or ""
  change.now, change.found = lines_of(text), sys.digest(text)
  before = change.before or lines_of(intended(piece))
  change.added, change.removed = missing(change.now, before), missing(before, change.now)
  return change
end

--- A change as results show it.
---@return hoststore.Drift
function drift.show(change)
  local shown = { path = change.path, kind = change.kind, lines = {}, more = 0,
    against = (change.before or change.kind == "unmarked") and "published" or "store" }
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

local REFUSALS = {
  changed = "%s was changed by hand since it was published: adopt the change or force the old state",
  unknown = "%s: there is a file that hoststore has not published: adopt what it holds or force another",
  unmarked = "%s: the marker lines of the block that was published are gone: put them back, or force a new block " ..
    "behind what is there",
}

--- The error for an output that is left alone because of its changes.
function drift.refusal(job, changes)
  return core.error { code = "conflict", message = REFUSALS[changes[1].kind]:format(job.output.path) }
end

return drift
