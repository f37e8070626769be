--- Random commands, the same ones for the same seed on every version of Lua.
---
---   local random = commands.random(seed)
---   local command = commands.make(random, model)   -- the model is asked what there is, and not changed
---
--- A command is plain data, so that it can be printed and run again: { "update", clock = 1000, host = 2,
--- changes = { comment = false } }. Hosts and snapshots are given by their number, 0 is no id at all, and
--- `false` stands for hoststore.null.
local random_of = require "spec.support.random"
local values = require "spec.model.values"

local commands = {}

commands.random = random_of

local function pick(random, list)
  return list[random(#list)]
end

local function chance(random, n)
  return random(n) == 1
end

local function maybe(random, n, list)
  if chance(random, n) then return pick(random, list) end
end

local function some(random, list, most)
  local chosen = {}
  for i = 1, random(most + 1) - 1 do chosen[i] = pick(random, list) end
  return chosen
end

-- -- values -----------------------------------------------------------------------------------------

local function spelling(random, list)
  local spellings = pick(random, list)
  return pick(random, spellings)
end

-- The first of a list more often than the last.
local function low(random, list)
  return list[math.min(random(#list), random(#list))]
end

local function ip(random)
  return maybe(random, 40, values.bad_ips) or pick(random, low(random, values.ips))
end

local function name(random, bad)
  return maybe(random, 40, bad or values.bad_name_list) or pick(random, low(random, values.names))
end

-- Now and then twice the same name.
local function aliases(random, bad)
  local list = {}
  for i = 1, random(3) - 1 do list[i] = name(random, bad) end
  return list
end

local function tags(random, bad)
  local list = some(random, values.tags, 3)
  if bad and chance(random, 40) then list[#list + 1] = pick(random, bad) end
  return list
end

-- Times come near each other, before and after the present, and have a fraction that is exact.
local function time(random, model)
  return model.clock + (random(41) - 21) / 4
end

local function expiry(random, model)
  if chance(random, 20) then return -5 end
  return not chance(random, 3) and time(random, model)
end

local function comment(random)
  if chance(random, 40) then return values.bad_comment end
  return not chance(random, 4) and (maybe(random, 8, { "" }) or pick(random, values.comments))
end

local function origin(random)
  return maybe(random, 30, values.bad_origins) or pick(random, values.origins)
end

local function cause(random, more)
  local options = more or {}
  options.actor = maybe(random, 4, values.actors)
  options.reason = maybe(random, 4, values.reasons)
  if chance(random, 60) then options.actor = "" end
  if chance(random, 60) then options.reason = values.bad_reason end
  return options
end

local function cause_and_metadata(random)
  local options = cause(random)
  options.metadata = maybe(random, 8, values.metadata)
  return options
end

-- Most often a live host, else any there has been, seldom none.
local function host_number(random, model)
  local live = {}
  for number = 1, model.created do
    if model.hosts[number] then live[#live + 1] = number end
  end
  if live[1] and not chance(random, 10) then return pick(random, live) end
  return random(model.created + 2) - 1
end

local function position(random, model)
  if #model.log > 0 and not chance(random, 12) then
    return chance(random, 2) and random(#model.log) or math.max(#model.log - random(6) + 1, 1)
  end
  return random(#model.log + 3) - 2
end

local function snapshot(random, model)
  if model.snapshots[1] and not chance(random, 8) then return tonumber(pick(random, model.snapshots).id:sub(2)) end
  return random(model.snapped + 2) - 1
end

local function moment(random, model)
  local kind = random(6)
  if kind == 1 and model.snapped > 0 then return { snapshot = snapshot(random, model) } end
  if kind <= 3 then return { time = time(random, model) } end
  return { position = position(random, model) }
end

local function stream(random)
  return maybe(random, 25, values.bad_streams) or pick(random, values.streams)
end

-- -- commands ---------------------------------------------------------------------------------------

local make = {}

local function new_host(random, model, given)
  given.ip = not chance(random, 60) and ip(random) or nil
  given.hostname = not chance(random, 60) and name(random) or nil
  given.aliases = chance(random, 3) and aliases(random) or nil
  if chance(random, 2) then given.comment = comment(random) end
  given.tags = chance(random, 2) and tags(random, values.bad_tags) or nil
  if chance(random, 5) then given.enabled = chance(random, 2) end
  if chance(random, 5) then given.expires_at = expiry(random, model) end
  given.origin = chance(random, 2) and origin(random) or nil
  return given
end

function make.add(random, model)
  local options = cause_and_metadata(random)
  options.event_id = maybe(random, 6, values.event_ids) or maybe(random, 60, values.bad_event_ids)
  local command = { "add", host = new_host(random, model, {}), options = options }
  -- Adding again with the same event id: half of the time the same host.
  local known = options.event_id and model.ids[options.event_id]
  if known and known.host and chance(random, 2) then
    local host = known.host
    command.host = { ip = host.ip, hostname = host.hostname, aliases = host.aliases, comment = host.comment,
      tags = host.tags, enabled = host.enabled, expires_at = host.expires_at, origin = host.origin }
  end
  return command
end

-- A host by id, or as a value that was read at a version: mostly that of now.
local function refer(random, model, command)
  command.host = host_number(random, model)
  local host = model.hosts[command.host]
  if chance(random, 3) then
    command.version = host and not chance(random, 3) and host.version or random(4)
    command.spoilt = chance(random, 6) or nil
  elseif chance(random, 4) then
    command.prefixed = true
  end
  return command
end

local changes = {
  ip = ip, hostname = name, comment = comment, expires_at = expiry, origin = origin,
  aliases = function(random) return aliases(random) end,
  tags = function(random) return tags(random, values.bad_tags) end,
  enabled = function(random) return chance(random, 2) end,
}
local changed = { "ip", "hostname", "comment", "aliases", "tags", "enabled", "expires_at", "origin" }

function make.update(random, model)
  local command = refer(random, model, { "update", changes = {}, options = cause_and_metadata(random) })
  for _ = 1, random(4) - 1 do
    local field = pick(random, changed)
    local value = changes[field](random, field == "expires_at" and model or nil)
    command.changes[field] = value
  end
  if chance(random, 8) then command.options.expected_version = random(4) end
  return command
end

function make.delete(random, model)
  local command = refer(random, model, { "delete", options = cause_and_metadata(random) })
  if chance(random, 8) then command.options.expected_version = random(4) end
  return command
end

function make.undo(random, model)
  return { "undo", position = position(random, model), options = cause_and_metadata(random) }
end

local function event(random, model)
  local made = { type = maybe(random, 60, { "" }) or pick(random, values.types) }
  if not chance(random, 3) then made.data = pick(random, values.data) end
  made.id = maybe(random, 3, values.event_ids) or maybe(random, 60, values.bad_event_ids)
  made.metadata = maybe(random, 5, values.metadata)
  made.occurred_at = chance(random, 6) and time(random, model) or nil
  return made
end

local function expected(random, model, name_of_stream)
  if chance(random, 2) then return nil end
  if chance(random, 2) then return model.versions[name_of_stream] or "none" end
  return pick(random, { "any", "none", "exists", 0, 1, 2, 3 })
end

-- The events with known ids once more, from a random one on: a replay, or part of one.
local function again(random, model, append)
  local candidates = {}
  for _, id in ipairs(values.event_ids) do
    local known = model.ids[id]
    if known and not known.host then candidates[#candidates + 1] = known end
  end
  if not candidates[1] then return append end
  local known = pick(random, candidates)
  append.stream, append.events = known.stream, {}
  for place = known.position, math.min(known.position + random(2) - 1, #model.log) do
    local old = model.log[place]
    if old.stream == known.stream and not old.id:find "^e" then
      append.events[#append.events + 1] = { type = old.type, data = old.data, id = old.id, metadata = old.metadata }
    end
  end
  if chance(random, 4) then append.events[#append.events + 1] = event(random, model) end
  return append
end

local function append(random, model, made)
  made.stream, made.events = stream(random), {}
  for i = 1, random(4) - 1 do made.events[i] = event(random, model) end
  cause(random, made)
  made.metadata = maybe(random, 6, values.metadata)
  if chance(random, 3) then again(random, model, made) end
  made.expected = expected(random, model, made.stream)
  return made
end

function make.append(random, model)
  return append(random, model, { "append" })
end

function make.append_batch(random, model)
  local command = { "append_batch", operations = {}, atomic = chance(random, 2) }
  for i = 1, random(3) do command.operations[i] = append(random, model, {}) end
  return command
end

function make.version(random, model)
  if chance(random, 2) then return { "version", host = host_number(random, model) } end
  return { "version", stream = stream(random) }
end

function make.save_state(random, model)
  local name_of_stream = stream(random)
  return { "save_state", stream = name_of_stream, version = random(model.versions[name_of_stream] or 1) - 1 +
    (chance(random, 5) and 1 or 0), state = pick(random, values.data) }
end

function make.load_state(random)
  return { "load_state", stream = stream(random) }
end

-- Lists are all there are: what is empty, one or several at once.
local function list_filter(random, model)
  local filter = {}
  local makers = {
    ip = function() return maybe(random, 12, values.bad_ranges) or pick(random, values.range_names) end,
    ip_pattern = function() return pick(random, { "10.", "2001", "DB8", "_", "%", "" }) end,
    hostname = function() return pick(random, { "NAS", "nas.", "n*", "*.lan", "?", "*", "b.lan", "x_y?1", "" }) end,
    hostname_pattern = function() return pick(random, { "NAS", "_", "%", ".lan", "", "zzz" }) end,
    text = function() return pick(random, { "rack", "É", "10.0", "iot", "_x_", "%", "lan" }) end,
    tags = function() return some(random, values.tags, 2) end,
    tags_all = function() return some(random, values.tags, 2) end,
    tags_none = function() return some(random, values.tags, 2) end,
    enabled = function() return chance(random, 2) end,
    origin = function() return pick(random, values.origins) end,
    created_since = function() return time(random, model) end,
    created_until = function() return time(random, model) end,
    updated_since = function() return time(random, model) end,
    updated_until = function() return time(random, model) end,
    order = function() return pick(random, { "ip", "ip_text", "hostname", "created", "updated" }) end,
    descending = function() return chance(random, 2) end,
    limit = function() return random(4) - 1 end,
    offset = function() return random(3) - 1 end,
    after = function() return host_number(random, model) end,
  }
  local names = { "ip", "ip_pattern", "hostname", "hostname_pattern", "text", "tags", "tags_all", "tags_none",
    "enabled", "origin", "created_since", "created_until", "updated_since", "updated_until", "order", "order", "order",
    "descending", "descending", "limit", "offset", "after", "after" }
  for _ = 1, random(5) - 1 do
    local field = pick(random, names)
    filter[field] = makers[field]()
  end
  return filter
end

function make.list(random, model)
  return { pick(random, { "list", "list", "hosts", "count" }), filter = not chance(random, 6)
    and list_filter(random, model) or nil }
end

function make.get(random, model)
  return refer(random, model, { "get" })
end

function make.find(random, model)
  local live = model.hosts[host_number(random, model)]
  if live and not chance(random, 3) then return { "find", ip = live.ip, hostname = live.hostname } end
  return { "find", ip = ip(random), hostname = name(random) }
end

function make.lookup(random)
  return { "lookup", name = maybe(random, 8, { "*", "n?s", "", "zzz", "-bad" }) or spelling(random, values.names) }
end

function make.reverse(random)
  return { "reverse", ip = ip(random) }
end

function make.at(random, model)
  local query = pick(random, { "list", "get", "find", "lookup" })
  local command = make[query](random, model)
  command.query, command[1] = command[1], "at"
  command.when = moment(random, model)
  return command
end

function make.diff(random, model)
  return { "diff", a = moment(random, model), b = moment(random, model) }
end

function make.history(random, model)
  local command = refer(random, model, { "history" })
  command.limit = chance(random, 3) and random(4) - 1 or nil
  return command
end

local event_types = { "A", "B", "HostCreated", "HostDeleted", "CommentUpdated", "TagsModified" }

local function event_filter(random, model)
  local filter = {}
  if chance(random, 2) then filter.after = math.max(position(random, model), 0) end
  if chance(random, 3) then filter.limit = random(6) - 1 end
  if chance(random, 4) then filter.types = some(random, event_types, 3) end
  if chance(random, 4) then
    filter.stream = pick(random, values.streams)
  elseif chance(random, 4) then
    filter.host = random(model.created + 1)
  end
  return filter
end

function make.log(random, model)
  local filter = event_filter(random, model)
  filter.actor = maybe(random, 5, values.actors)
  filter.since = chance(random, 5) and time(random, model) or nil
  if chance(random, 3) then filter.descending = true end
  return { "log", filter = filter }
end

function make.events(random, model)
  local filter = event_filter(random, model)
  filter.prefix = maybe(random, 5, { "order-", "host-", "host", "Ü", "_", "" })
  return { "events", filter = filter }
end

function make.read(random, model)
  local command = { "read", options = {} }
  if chance(random, 2) then
    command.host = random(model.created + 1)
  else
    command.stream = pick(random, values.streams)
  end
  local options = command.options
  if chance(random, 2) then options.from = random(5) - 1 end
  if chance(random, 3) then options.to = random(6) - 1 end
  if chance(random, 3) then options.limit = random(4) - 1 end
  if chance(random, 2) then options.direction = "backward" end
  return command
end

function make.streams(random)
  if chance(random, 4) then return { "stream_health" } end
  local filter = { limit = chance(random, 3) and random(4) - 1 or nil,
    prefix = maybe(random, 3, { "order-", "host-", "host", "Ü", "z", "" }), after = maybe(random, 3, values.streams) }
  return { "streams", filter = filter }
end

function make.snapshot(random)
  return { "snapshot", name = maybe(random, 12, { "" }) or maybe(random, 3, { "before", "ä" }),
    trigger = maybe(random, 6, { "cron" }) }
end

function make.snapshots(random, model)
  if chance(random, 2) then return { "get_snapshot", snapshot = snapshot(random, model) } end
  if chance(random, 3) then return { "delete_snapshot", snapshot = snapshot(random, model) } end
  return { "snapshots", options = { limit = chance(random, 2) and random(4) - 1 or nil,
    offset = chance(random, 2) and random(3) - 1 or nil } }
end

function make.apply_retention(random)
  return { "apply_retention", max_count = chance(random, 2) and random(6) - 1 or nil,
    max_age = maybe(random, 2, { "5s", "1m", 3, 0, "soon" }) }
end

function make.restore(random, model)
  if model.snapped == 0 then return make.snapshot(random) end
  return { "restore", snapshot = snapshot(random, model),
    options = cause(random, { dry_run = chance(random, 4) or nil }) }
end

local function hosts_line(random)
  if chance(random, 30) then return { text = pick(random, { "10.0.0.1", "nas # no name" }) } end
  return { ip = spelling(random, values.ips), hostname = name(random, values.bad_words),
    aliases = chance(random, 3) and aliases(random, values.bad_words) or nil,
    comment = maybe(random, 3, values.comments), tags = chance(random, 3) and { pick(random, values.tags) } or nil }
end

local function object_line(random, model)
  if chance(random, 30) then
    return { text = pick(random, { "{", '{"ip":"10.0.0.1","hostname":"a","color":"red"}', '{"ip":1}' }) }
  end
  local line = new_host(random, model, {})
  -- Bytes that are not UTF-8 do not come through JSON.
  if line.comment == values.bad_comment then line.comment = nil end
  if chance(random, 12) then line[pick(random, { "aliases", "tags" })] = false end
  return line
end

function make.import(random, model)
  local options = cause(random, { format = maybe(random, 2, { "ndjson" }),
    mode = maybe(random, 1, { "skip", "replace", "merge", "strict", "sync", "sync" }) })
  if chance(random, 8) then options.mode = nil end
  options.origin = chance(random, 2) and origin(random) or nil
  options.dry_run = chance(random, 8) or nil
  options.max_deletes = maybe(random, 5, { 0, 1, "50%", "33.3%" })
  local command = { "import", lines = {}, options = options }
  for i = 1, random(5) - 1 do
    command.lines[i] = options.format and object_line(random, model) or hosts_line(random)
  end
  return command
end

-- -- choosing ---------------------------------------------------------------------------------------

local weights = {
  { "add", 18 }, { "update", 18 }, { "delete", 6 }, { "undo", 12 }, { "import", 7 }, { "snapshot", 5 },
  { "restore", 5 }, { "append", 8 }, { "append_batch", 4 }, { "transaction", 5 }, { "list", 8 }, { "at", 6 },
  { "diff", 3 }, { "get", 2 }, { "find", 3 }, { "lookup", 2 }, { "reverse", 2 }, { "history", 3 },
  { "log", 3 }, { "events", 2 }, { "read", 3 }, { "version", 1 }, { "streams", 1 }, { "snapshots", 4 },
  { "apply_retention", 1 }, { "save_state", 1 }, { "load_state", 1 },
}
local total = 0
for _, weight in ipairs(weights) do total = total + weight[2] end

local function choose(random, model)
  if model.created < 3 and chance(random, 2) then return "add" end
  local rest = random(total)
  for _, weight in ipairs(weights) do
    rest = rest - weight[2]
    if rest <= 0 then return weight[1] end
  end
end

-- The clock goes on, stands still, and now and then goes back.
local function next_clock(random, clock)
  if clock == 0 then return 1700000000 end
  if chance(random, 12) then return clock - random(40) / 4 end
  return clock + (random(6) - 1) / 4
end

--- The next command for a store that is as the model says.
---@param random fun(n: integer): integer
---@param model table
---@param depth integer?  of transactions around it
---@return table command
function commands.make(random, model, depth)
  depth = depth or 0
  local kind = choose(random, model)
  if kind == "transaction" and depth > 2 then kind = "update" end
  local clock = next_clock(random, model.clock)
  if kind ~= "transaction" then
    local command = make[kind](random, model)
    command.clock = clock
    return command
  end
  local command = { "transaction", commands = {}, clock = clock, readonly = chance(random, 8) or nil,
    ending = pick(random, { "commit", "commit", "checked", "fail", "raise" }) }
  -- Each of its commands is made for what those before it left.
  local inner = model:copy()
  inner.clock = clock
  for i = 1, random(6) do
    command.commands[i] = commands.make(random, inner, depth + 1)
    inner:run(command.commands[i])
  end
  return command
end

return commands
