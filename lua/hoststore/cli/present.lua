-- How hosts, events and snapshots look: to people as words, to scripts as JSON text whose
-- members stand in a fixed order.

local core = require "hoststore.core"

local present = {}

-- JSON -------------------------------------------------------------------------------------------

--- The JSON text of a value; nil is null.
function present.json(value)
  return value == nil and "null" or require("hoststore.json").encode(value)
end

--- JSON text as it is stored, on one line; nil is null. Raises "corrupt" for what somebody else has written there.
function present.stored(text)
  if text == nil then
    return "null"
  elseif not core.is_json(text) then
    error(core.error { code = "corrupt",
      message = ("the log holds what is not JSON, '%s'; hoststore verify says where"):format(text) }, 0)
  end
  return (text:gsub("[\r\n]", " "))
end

--- An object of names and JSON texts that take turns; a text that is nil leaves its name out.
function present.object(...)
  local members = {}
  for i = 1, select("#", ...), 2 do
    local name, json = select(i, ...)
    if json then
      members[#members + 1] = ('"%s":%s'):format(name, json)
    end
  end
  return "{" .. table.concat(members, ",") .. "}"
end

--- An array; `element` makes the JSON text of each item.
function present.array(list, element)
  local texts = {}
  for i, item in ipairs(list) do
    texts[i] = element(item)
  end
  return "[" .. table.concat(texts, ",") .. "]"
end

--- The named fields of a table as members of an object; none is left out.
function present.members(values, names)
  local members = {}
  for i, name in ipairs(names) do
    members[i] = ('"%s":%s'):format(name, present.json(values[name]))
  end
  return table.concat(members, ",")
end

function present.host_json(host)
  return require("hoststore.format.ndjson").encode(host)
end

--- A time as JSON.
function present.time_json(time)
  return time and '"' .. core.format_time(time) .. '"' or "null"
end

local IS_TIME = { expires_at = true, created_at = true, updated_at = true }

local function field_json(field, value)
  if type(value) == "table" then
    return present.array(value, present.json)
  end
  return IS_TIME[field] and present.time_json(value) or present.json(value)
end

-- The fields that can change, in the order they are told.
local FIELDS = { "ip", "hostname", "aliases", "comment", "tags", "enabled", "expires_at", "origin" }

local function changes_json(changes)
  local members = {}
  for _, field in ipairs(FIELDS) do
    local change = changes[field]
    if change then
      members[#members + 1] = ('"%s":%s'):format(field, present.object(
        "old", field_json(field, change.old), "new", field_json(field, change.new)))
    end
  end
  return "{" .. table.concat(members, ",") .. "}"
end

--- A line of the log or of a host's history, read with `json`.
function present.entry_json(entry)
  return present.object(
    "position", present.json(entry.position), "at", present.time_json(entry.at),
    "actor", present.json(entry.actor), "reason", present.json(entry.reason),
    "type", present.json(entry.type), "stream", entry.stream and present.json(entry.stream),
    "version", present.json(entry.version), "changes", entry.changes and changes_json(entry.changes),
    "host", entry.host and present.host_json(entry.host),
    "data", not entry.host and present.stored(entry.data),
    "metadata", entry.metadata and present.stored(entry.metadata)
  )
end

--- An event, read with `json`.
function present.event_json(event)
  return present.object(
    "position", present.json(event.position), "stream", present.json(event.stream),
    "version", present.json(event.version), "id", present.json(event.id),
    "type", present.json(event.type), "data", present.stored(event.data),
    "metadata", present.stored(event.metadata), "actor", present.json(event.actor),
    "reason", present.json(event.reason), "occurred_at", present.time_json(event.occurred_at),
    "recorded_at", present.time_json(event.recorded_at)
  )
end

function present.stream_json(stream)
  return present.object(
    "stream", present.json(stream.stream), "version", present.json(stream.version),
    "partition", present.json(stream.partition), "created_at", present.time_json(stream.created_at),
    "updated_at", present.time_json(stream.updated_at)
  )
end

function present.feed_json(feed)
  return present.object(
    "name", present.json(feed.name), "position", present.json(feed.position), "lag", present.json(feed.lag),
    "epoch", present.json(feed.epoch), "updated_at", present.time_json(feed.updated_at)
  )
end

function present.snapshot_json(snapshot)
  return present.object(
    "id", present.json(snapshot.id), "name", present.json(snapshot.name),
    "trigger", present.json(snapshot.trigger), "position", present.json(snapshot.position),
    "created_at", present.time_json(snapshot.created_at), "entry_count", present.json(snapshot.entry_count),
    "hosts_content", snapshot.hosts_content and present.json(snapshot.hosts_content)
  )
end

--- A host that is only planned: it has no id and no history yet.
function present.planned_json(host)
  local members = {}
  for i, field in ipairs(FIELDS) do
    members[i] = ('"%s":%s'):format(field, field_json(field, host[field]))
  end
  return "{" .. table.concat(members, ",") .. "}"
end

function present.planned_change_json(change)
  return present.object("before", present.host_json(change.before), "after", present.planned_json(change.after))
end

function present.change_json(change)
  return present.object("before", present.host_json(change.before), "after", present.host_json(change.after))
end

--- What went wrong, with all that is known about it.
function present.error_json(err)
  return present.object("error", present.object(
    "code", present.json(err.code), "message", present.json(err.message),
    "retryable", err.retryable and "true",
    "field", err.field and present.json(err.field), "line", err.line and present.json(err.line),
    "expected", err.expected and present.json(err.expected),
    "actual", err.actual and present.json(err.actual),
    "current", err.current and present.host_json(err.current),
    "candidates", err.candidates and present.array(err.candidates, present.host_json),
    "drift", err.drift
  ))
end

-- Words ------------------------------------------------------------------------------------------

--- A time for people, to the second.
function present.time(time)
  return time and (core.format_time(time):gsub("%.%d+Z$", "Z")) or ""
end

local function field_words(field, value)
  if value == nil or value == core.null then
    return "(none)"
  elseif type(value) == "table" then
    return #value > 0 and table.concat(value, field == "tags" and ", " or " ") or "(none)"
  elseif type(value) == "boolean" then
    return value and "yes" or "no"
  end
  return IS_TIME[field] and present.time(value) or tostring(value)
end

--- Each change as "field: old -> new".
function present.changes(changes)
  local words = {}
  for _, field in ipairs(FIELDS) do
    local change = changes[field]
    if change then
      words[#words + 1] = ("%s: %s -> %s"):format(
        field, field_words(field, change.old), field_words(field, change.new))
    end
  end
  return table.concat(words, ", ")
end

--- What differs between two states of a host, as "field: old -> new".
function present.difference(before, after)
  local changes = {}
  for _, field in ipairs(FIELDS) do
    if field_words(field, before[field]) ~= field_words(field, after[field]) then
      changes[field] = { old = before[field], new = after[field] }
    end
  end
  return present.changes(changes)
end

--- A host in one line: its address, names, tags and comment.
function present.host(host)
  local words = { host.ip, host.hostname }
  for _, alias in ipairs(host.aliases or {}) do
    words[#words + 1] = alias
  end
  if host.tags and #host.tags > 0 then
    words[#words + 1] = "[" .. table.concat(host.tags, ", ") .. "]"
  end
  if host.comment and host.comment ~= core.null then
    words[#words + 1] = "# " .. host.comment
  end
  return table.concat(words, " ")
end

--- Whether a host is published: yes, or why not.
function present.state(host)
  if not host.enabled then
    return "off"
  elseif host.expires_at and host.expires_at <= core.sys.time() then
    return "expired"
  end
  return "on"
end

--- Counters that matter, as "3 created, 1 failed"; the first is always told.
function present.counters(result, names)
  local words = {}
  for i, name in ipairs(names) do
    if i == 1 or (result[name] or 0) > 0 then
      words[#words + 1] = ("%d %s"):format(result[name] or 0, name)
    end
  end
  return table.concat(words, ", ")
end

return present
