--- What hoststore means, in plain tables and as simply as it can be said. The model test runs the same
--- commands on this and on the databases.
---
---   local model = Model.new()
---   local outcome = model:run(command)     -- a command of commands.lua
---
--- An outcome has `value` (a list of what the call returns), or `error`; `log`, the events that are new
--- since the last command; and, of a transaction, `inner`, the outcomes of its commands. What the
--- store makes up is named by number: the hosts h1, h2 …, snapshots s1, s2 …, and e7 is the
--- id of the event at position 7.
local values = require "spec.model.values"

local copy = values.copy

local Model = {}
Model.__index = Model

local FIELDS = { "ip", "hostname", "aliases", "comment", "tags", "enabled", "expires_at", "origin" }
local CHANGED = { ip = "IpAddressChanged", hostname = "HostnameChanged", aliases = "AliasesChanged",
  comment = "CommentUpdated", tags = "TagsModified", enabled = "EnabledChanged", expires_at = "ExpiryChanged",
  origin = "OriginChanged" }
local BLANK = { aliases = {}, tags = {}, enabled = true, origin = "admin" }

Model.fields, Model.actor = FIELDS, "tester"

--- An empty store. Another class may stand in for the model: the test of the test gives a wrong one.
function Model.new(class)
  return setmetatable({ log = {}, seen = 0, versions = {}, hosts = {}, created = 0, ids = {}, snapshots = {},
    snapped = 0, states = {}, clock = 0, depth = 0 }, { __index = class or Model })
end

local function same(a, b)
  if type(a) ~= "table" or type(b) ~= "table" then return a == b end
  for key, value in pairs(a) do
    if not same(value, b[key]) then return false end
  end
  for key in pairs(b) do
    if a[key] == nil then return false end
  end
  return true
end

local function contains(list, wanted)
  for _, item in ipairs(list) do
    if item == wanted then return true end
  end
  return false
end

local function map(list, fn)
  local mapped = {}
  for _, item in ipairs(list) do mapped[#mapped + 1] = fn(item) end
  return mapped
end

-- -- failures and what is taken back ----------------------------------------------------------------

local function fail(code, fields)
  fields = fields or {}
  fields.code, fields.retryable = code, false
  error({ failure = fields }, 0)
end

-- Tables inside are replaced and never changed, so one level is enough.
local function save(self)
  local saved = {}
  for key, value in pairs(self) do saved[key] = type(value) == "table" and copy(value) or value end
  return saved
end

local function take_back(self, saved)
  for key, value in pairs(saved) do self[key] = value end
end

-- Calls fn; when it fails, nothing of it stays and its failure is returned.
local function attempt(self, fn, ...)
  local saved = save(self)
  local result = { pcall(fn, self, ...) }
  if result[1] then return { result[2], result[3] } end
  if type(result[2]) ~= "table" then error(result[2], 0) end
  take_back(self, saved)
  return nil, result[2].failure
end

local function check_writable(self)
  if self.depth > 0 and self.readonly then fail "readonly" end
end

-- -- hosts -------------------------------------------------------------------------------------------

local function number_of(id)
  return tonumber(id:sub(2))
end

local function same_fields(a, b)
  for _, field in ipairs(FIELDS) do
    if not same(a[field], b[field]) then return false end
  end
  return true
end

local function check_name(raw, field)
  return values.name[raw] or fail("invalid", { field = field })
end

local function check_tags(tags)
  local seen, sorted = {}, {}
  for _, tag in ipairs(tags) do
    if values.is_bad_tag[tag] then fail("invalid", { field = "tags" }) end
    if not seen[tag] then sorted[#sorted + 1] = tag end
    seen[tag] = true
  end
  table.sort(sorted)
  return sorted
end

local function check_aliases(aliases)
  local checked = {}
  for _, raw in ipairs(aliases) do
    local alias = check_name(raw, "aliases")
    if contains(checked, alias) then fail("invalid", { field = "aliases" }) end
    checked[#checked + 1] = alias
  end
  return checked
end

local function check_origin(origin)
  if values.is_bad_origin[origin] then fail("invalid", { field = "origin" }) end
  return origin
end

--- The host with what is given, as anybody spells it; `false` clears a comment or an expiry.
function Model.with(host, given)
  host = copy(host)
  if given.ip ~= nil then host.ip = values.ip[given.ip] or fail("invalid", { field = "ip" }) end
  if given.hostname ~= nil then host.hostname = check_name(given.hostname, "hostname") end
  if given.aliases then host.aliases = check_aliases(given.aliases) end
  if given.comment == values.bad_comment then fail("invalid", { field = "comment" }) end
  if given.comment ~= nil then host.comment = given.comment ~= "" and given.comment or nil end
  if given.tags then host.tags = check_tags(given.tags) end
  if given.enabled ~= nil then host.enabled = given.enabled end
  if given.expires_at ~= nil then
    if given.expires_at and given.expires_at < 0 then fail("invalid", { field = "expires_at" }) end
    host.expires_at = given.expires_at or nil
  end
  if given.origin then host.origin = check_origin(given.origin) end
  if contains(host.aliases, host.hostname) then fail("invalid", { field = "aliases" }) end
  return host
end

local function new_host(self, given)
  if given.ip == nil then fail("invalid", { field = "ip" }) end
  if given.hostname == nil then fail("invalid", { field = "hostname" }) end
  return self.with(BLANK, given)
end

local function find_live(self, ip, hostname)
  for _, host in pairs(self.hosts) do
    if host.ip == ip and host.hostname == hostname then return host end
  end
end

local function check_cause(by)
  if by.reason == values.bad_reason then fail("invalid", { field = "reason" }) end
  if by.actor == "" then fail("invalid", { field = "actor" }) end
end

-- -- events ------------------------------------------------------------------------------------------

local function append_event(self, event, by)
  event.position = #self.log + 1
  event.version = (self.versions[event.stream] or 0) + 1
  event.id = event.id or "e" .. event.position
  event.actor, event.reason = by.actor or self.actor, by.reason
  if event.metadata == nil then event.metadata = by.metadata end
  event.recorded_at = self.clock
  event.occurred_at = event.occurred_at or self.clock
  self.log[event.position], self.versions[event.stream], self.ids[event.id] = event, event.version, event
  return event
end

-- One event that leaves the host as `host`.
local function host_event(self, type, host, by, id)
  local event = append_event(self, { stream = "host-" .. host.id, type = type, id = id }, by)
  event.host = copy(host)
  event.host.version, event.host.position, event.host.updated_at = event.version, event.position, event.recorded_at
  return event.host
end

-- One event for each field that changes; no host before or after: it comes or goes.
local function record(self, before, after, by, event_id)
  local host = before
  if not before then
    host = host_event(self, "HostCreated", after, by, event_id)
  elseif not after then
    host_event(self, "HostDeleted", before, by)
    host = nil
  else
    for _, field in ipairs(FIELDS) do
      if not same(host[field], after[field]) then
        host = copy(host)
        host[field] = after[field]
        host = host_event(self, CHANGED[field], host, by)
      end
    end
  end
  self.hosts[number_of((before or after).id)] = host
  return host
end

local function write(self, before, after, by, event_id)
  if after then
    local other = find_live(self, after.ip, after.hostname)
    if other and other.id ~= after.id then fail("duplicate", { current = other }) end
    if not after.id then
      after = copy(after)
      self.created = self.created + 1
      after.id, after.created_at = "h" .. self.created, self.clock
    end
  end
  return record(self, before, after, by, event_id)
end

-- -- time travel -------------------------------------------------------------------------------------

-- The hosts as of a position and a time, by number. nil is now.
local function hosts_at(self, at)
  if not at then return self.hosts end
  local hosts, newest = {}, {}
  for position = 1, at.position do
    local event = self.log[position]
    if event.host and event.recorded_at <= at.time and event.version > (newest[event.stream] or 0) then
      newest[event.stream] = event.version
      hosts[number_of(event.host.id)] = event.type ~= "HostDeleted" and event.host or nil
    end
  end
  return hosts
end

local function find_snapshot(self, number)
  for place, snapshot in ipairs(self.snapshots) do
    if snapshot.id == "s" .. number then return snapshot, place end
  end
  fail("not_found", { field = "id" })
end

local function resolve(self, when)
  if when.time then return { position = #self.log, time = when.time } end
  if when.snapshot then return { position = find_snapshot(self, when.snapshot).position, time = math.huge } end
  if when.position < 0 then fail("invalid", { field = "position" }) end
  if when.position > #self.log then fail("not_found", { field = "position" }) end
  return { position = when.position, time = math.huge }
end

local function get(self, at, number)
  return hosts_at(self, at)[number] or fail("not_found", { field = "id" })
end

-- Arrays of { before, after } in the order of ids, for what differs; and how many do not.
local function differences(self, before, after)
  local list, unchanged = {}, 0
  for number = 1, self.created do
    local a, b = before[number], after[number]
    if a and b and same_fields(a, b) then
      unchanged = unchanged + 1
    elseif a or b then
      list[#list + 1] = { before = a, after = b }
    end
  end
  return list, unchanged
end

-- -- lists -------------------------------------------------------------------------------------------

-- A pattern of names as one of Lua.
local function glob(pattern)
  pattern = pattern:lower()
  if #pattern > 1 then pattern = pattern:gsub("%.$", "") end
  pattern = pattern:gsub("[^%w*?\128-\255]", "%%%0"):gsub("%*", ".*"):gsub("%?", "[%%z\1-\127\194-\244][\128-\191]*")
  return "^" .. pattern .. "$"
end

local function any(list, fn)
  for _, item in ipairs(list) do
    if fn(item) then return true end
  end
  return false
end

local function names_of(host)
  local names = { host.hostname }
  for _, alias in ipairs(host.aliases) do names[#names + 1] = alias end
  return names
end

local function holder(text)
  return function(item) return item:lower():find(text:lower(), 1, true) ~= nil end
end

local tests = {
  ip = function(host, range)
    return contains(values.ranges[range], values.ip_order[host.ip])
  end,
  ip_pattern = function(host, text) return holder(text)(host.ip) end,
  hostname = function(host, pattern)
    pattern = glob(pattern)
    return any(names_of(host), function(name) return name:find(pattern) ~= nil end)
  end,
  hostname_pattern = function(host, text) return any(names_of(host), holder(text)) end,
  text = function(host, text)
    local has = holder(text)
    return has(host.ip) or any(names_of(host), has) or has(host.comment or "\n") or any(host.tags, has)
  end,
  tags = function(host, tags) return any(tags, function(tag) return contains(host.tags, tag) end) end,
  tags_all = function(host, tags) return not any(tags, function(tag) return not contains(host.tags, tag) end) end,
  tags_none = function(host, tags) return not any(tags, function(tag) return contains(host.tags, tag) end) end,
  enabled = function(host, enabled) return host.enabled == enabled end,
  origin = function(host, origin) return host.origin == origin end,
  created_since = function(host, time) return host.created_at >= time end,
  created_until = function(host, time) return host.created_at <= time end,
  updated_since = function(host, time) return host.updated_at >= time end,
  updated_until = function(host, time) return host.updated_at <= time end,
}

local keys = {
  ip = function(host) return values.ip_order[host.ip] end,
  ip_text = function(host) return host.ip end,
  hostname = function(host) return host.hostname end,
  created = function(host) return host.created_at end,
  updated = function(host) return host.updated_at end,
}

local function is_before(filter)
  local key = keys[filter.order or "ip"]
  return function(a, b)
    local x, y = key(a), key(b)
    if x ~= y then
      if filter.descending then return x > y end
      return x < y
    end
    if a.hostname ~= b.hostname then return a.hostname < b.hostname end
    return number_of(a.id) < number_of(b.id)
  end
end

local function matching(hosts, filter)
  local list = {}
  for _, host in pairs(hosts) do
    local good = true
    for name, test in pairs(tests) do
      good = good and (filter[name] == nil or test(host, filter[name]))
    end
    if good then list[#list + 1] = host end
  end
  table.sort(list, is_before(filter))
  return list
end

-- From behind `after`, then from offset to limit.
local function page(list, filter, after)
  local paged, skip = {}, filter.offset or 0
  for _, host in ipairs(list) do
    if #paged < (filter.limit or math.huge) and (not after or is_before(filter)(after, host)) then
      if skip <= 0 then paged[#paged + 1] = host end
      skip = skip - 1
    end
  end
  return paged
end

local reads = {}

function reads.list(self, at, command)
  local filter = command.filter or {}
  local after = filter.after and get(self, at, filter.after)
  if filter.ip and not values.ranges[filter.ip] then fail("invalid", { field = "ip" }) end
  return page(matching(hosts_at(self, at), filter), filter, after)
end

reads.hosts = reads.list

function reads.count(self, at, command)
  local filter = copy(command.filter or {})
  reads.list(self, at, command)
  filter.after = nil
  return #matching(hosts_at(self, at), filter)
end

function reads.get(self, at, command)
  return get(self, at, command.host)
end

-- A clock that went back can make two hosts of the past have the same key; the younger one is found.
function reads.find(self, at, command)
  if not values.ip[command.ip] then fail("invalid", { field = "ip" }) end
  if values.bad_names[command.hostname] then fail("invalid", { field = "hostname" }) end
  local hosts, found = hosts_at(self, at), nil
  for number = 1, self.created do
    local host = hosts[number]
    local is_it = host and host.ip == values.ip[command.ip] and host.hostname == values.name[command.hostname]
    found = is_it and host or found
  end
  return found
end

function reads.lookup(self, at, command)
  if command.name:find("[*?]") then return {} end
  return matching(hosts_at(self, at), { hostname = command.name })
end

-- -- commands ----------------------------------------------------------------------------------------

local commands = {}

for name, read in pairs(reads) do
  commands[name] = function(self, command) return read(self, nil, command) end
end

function commands.at(self, command)
  return reads[command.query](self, resolve(self, command.when), command)
end

function commands.reverse(self, command)
  local ip = values.ip[command.ip] or fail("invalid", { field = "ip" })
  local found = matching(self.hosts, {})
  return map(found, function(host) return host.ip == ip and host or nil end)
end

function commands.add(self, command)
  local options = command.options or {}
  check_cause(options)
  local host = new_host(self, command.host)
  if values.is_bad_event_id[options.event_id or ""] then fail("invalid", { field = "event_id" }) end
  check_writable(self)
  local known = self.ids[options.event_id or ""]
  if known then
    if known.host and known.type == "HostCreated" and same_fields(known.host, host) then return known.host end
    fail("id_reuse", { field = "event_id" })
  end
  return write(self, nil, host, options, options.event_id)
end

-- What is no id is refused even where nothing can be written.
local function check_change(self, command)
  if command.host == 0 then fail("not_found", { field = "id" }) end
  check_cause(command.options or {})
  check_writable(self)
end

-- The host of an update or a delete, at the version that is expected.
local function get_expected(self, command)
  local host = get(self, nil, command.host)
  local expected = command.options and command.options.expected_version or command.version
  if expected and expected ~= host.version then
    fail("conflict", { expected = expected, actual = host.version, current = host })
  end
  return host
end

function commands.update(self, command)
  local options = command.options or {}
  check_change(self, command)
  local before = get_expected(self, command)
  local host = write(self, before, self.with(before, command.changes), options)
  return host, host.position ~= before.position
end

function commands.delete(self, command)
  local options = command.options or {}
  check_change(self, command)
  write(self, get_expected(self, command), nil, options)
  return true
end

local function event_at(self, stream, version)
  for _, event in ipairs(self.log) do
    if event.stream == stream and event.version == version then return event end
  end
end

local function fail_changed(self, event, current)
  fail("conflict", { expected = event.version, actual = self.versions[event.stream], current = current })
end

-- What the host is to become; nothing: it goes.
local function undone(self, event, current)
  if event.type == "HostDeleted" then
    if current or self.versions[event.stream] ~= event.version then fail_changed(self, event, current) end
    return event.host
  end
  if event.type == "HostCreated" then
    if not current or not same_fields(current, event.host) then fail_changed(self, event, current) end
    return nil
  end
  for field, type in pairs(CHANGED) do
    if type == event.type then
      if not current or not same(current[field], event.host[field]) then fail_changed(self, event, current) end
      local host = copy(current)
      host[field] = event_at(self, event.stream, event.version - 1).host[field]
      if contains(host.aliases, host.hostname) then fail_changed(self, event, current) end
      return host
    end
  end
end

function commands.undo(self, command)
  local options = command.options or {}
  check_cause(options)
  check_writable(self)
  local event, first = self.log[command.position], #self.log
  if not event then fail("not_found", { field = "position" }) end
  if not event.host then fail("invalid", { field = "position" }) end
  local current = self.hosts[number_of(event.host.id)]
  write(self, current, undone(self, event, current), options)
  return #self.log - first
end

-- -- history -----------------------------------------------------------------------------------------

local function is_empty(value)
  return value == nil or (type(value) == "table" and next(value) == nil)
end

local function changes_of(self, event)
  local changes = {}
  if event.type == "HostCreated" then
    for _, field in ipairs(FIELDS) do
      if not is_empty(event.host[field]) then changes[field] = { new = event.host[field] } end
    end
    return changes
  end
  local before = event_at(self, event.stream, event.version - 1).host
  for _, field in ipairs(FIELDS) do
    if not same(before[field], event.host[field]) then
      changes[field] = { old = before[field], new = event.host[field] }
    end
  end
  return changes
end

local function entry_of(self, event)
  local entry = copy(event)
  entry.at = event.recorded_at
  if event.host then entry.changes = changes_of(self, event) end
  return entry
end

-- A host's body has times in microseconds.
local function body_of(host)
  local body = { created_at = host.created_at * 1000000, expires_at = host.expires_at and host.expires_at * 1000000 }
  for _, field in ipairs(FIELDS) do
    if field ~= "expires_at" then body[field] = host[field] end
  end
  return body
end

local function read_of(event)
  if not event.host then return event end
  event = copy(event)
  event.data, event.host = body_of(event.host), nil
  return event
end

local function stream_name(command)
  return command.stream or command.host and "host-h" .. command.host
end

local function select_events(self, query, test)
  local first, last, step = 1, #self.log, 1
  if query.descending then first, last, step = last, first, -1 end
  local selected = {}
  for position = first, last, step do
    local event = self.log[position]
    if #selected < (query.limit or math.huge) and position > (query.after or 0)
      and (not query.types or contains(query.types, event.type)) and test(event) then
      selected[#selected + 1] = event
    end
  end
  return selected
end

function commands.history(self, command)
  local version = self.versions["host-h" .. command.host] or fail("not_found", { field = "id" })
  local events = select_events(self, {}, function(event)
    return event.stream == stream_name(command) and event.version > version - (command.limit or version)
  end)
  return map(events, function(event) return entry_of(self, event) end)
end

function commands.log(self, command)
  local query = command.filter or {}
  local events = select_events(self, query, function(event)
    return (not query.actor or event.actor == query.actor) and (not query.since or event.recorded_at >= query.since)
      and (not stream_name(query) or event.stream == stream_name(query))
  end)
  return map(events, function(event) return entry_of(self, event) end)
end

function commands.events(self, command)
  local query = command.filter or {}
  local events = select_events(self, query, function(event)
    return (not stream_name(query) or event.stream == stream_name(query))
      and (not query.prefix or event.stream:sub(1, #query.prefix) == query.prefix)
  end)
  return map(events, read_of)
end

function commands.read(self, command)
  local given = command.options or {}
  local low, high, backward = given.from or 0, given.to or 0, given.direction == "backward"
  if backward and (high == 0 or low == 0 or low > high) then low, high = high, low end
  local events = select_events(self, { descending = backward, limit = given.limit }, function(event)
    return event.stream == stream_name(command) and event.version >= low and (high == 0 or event.version <= high)
  end)
  return map(events, read_of)
end

function commands.diff(self, command)
  local result = { added = {}, removed = {}, changed = {} }
  local list = differences(self, hosts_at(self, resolve(self, command.a)), hosts_at(self, resolve(self, command.b)))
  for _, change in ipairs(list) do
    if not change.before then
      table.insert(result.added, change.after)
    elseif not change.after then
      table.insert(result.removed, change.before)
    else
      table.insert(result.changed, change)
    end
  end
  return result
end

-- -- streams -----------------------------------------------------------------------------------------

local function check_append(append)
  if values.is_bad_stream[append.stream] then fail("invalid", { field = "stream" }) end
  check_cause(append)
  local given = {}
  for _, event in ipairs(append.events) do
    if event.type == "" then fail("invalid", { field = "type" }) end
    if event.id and (values.is_bad_event_id[event.id] or given[event.id]) then fail("invalid", { field = "id" }) end
    given[event.id or 0] = event.id
  end
end

local function metadata_of(event, append)
  if event.metadata ~= nil then return event.metadata end
  return append.metadata
end

local function is_same_event(event, append, known)
  return event.type == known.type and same(event.data, known.data)
    and same(metadata_of(event, append), known.metadata)
    and (not event.occurred_at or event.occurred_at == known.occurred_at)
end

-- The answer of the first time, if this append has happened before.
local function replayed(self, append)
  local known = map(append.events, function(event) return event.id and self.ids[event.id] end)
  for place = #known, 1, -1 do
    if not known[place] then table.remove(known, place) end
  end
  if #known == 0 then return nil end
  for _, event in ipairs(known) do
    if event.stream ~= append.stream then fail("id_reuse", { field = "id" }) end
  end
  if #known < #append.events then fail("partial_replay", { field = "id" }) end
  for place, event in ipairs(known) do
    if event.version ~= known[1].version + place - 1 or not is_same_event(append.events[place], append, event) then
      fail("id_reuse", { field = "id" })
    end
  end
  return { first = known[1].version, last = known[#known].version, position = known[#known].position,
    idempotent = true, ids = map(known, function(event) return event.id end) }
end

local function check_expected(expected, version)
  local good = expected == nil or expected == "any" or expected == version or (expected == "none" and version == 0)
    or (expected == "exists" and version > 0)
  if not good then fail("conflict", { expected = expected, actual = version }) end
end

local function append_one(self, append)
  local done = replayed(self, append)
  if done then return done end
  local version = self.versions[append.stream] or 0
  check_expected(append.expected, version)
  local result = { first = #append.events > 0 and version + 1 or version, last = version + #append.events,
    idempotent = false, ids = {} }
  for _, event in ipairs(append.events) do
    local written = append_event(self, { stream = append.stream, type = event.type, data = event.data, id = event.id,
      metadata = event.metadata, occurred_at = event.occurred_at }, append)
    table.insert(result.ids, written.id)
  end
  result.position = #self.log
  return result
end

function commands.append(self, command)
  if #command.events == 0 then fail("invalid", { field = "events" }) end
  check_writable(self)
  check_append(command)
  return append_one(self, command)
end

-- What no database is needed to refuse is refused first, in an atomic batch.
function commands.append_batch(self, command)
  check_writable(self)
  local results, failures = {}, {}
  for _, step in ipairs { function(_, operation) check_append(operation) end, append_one } do
    for index, operation in ipairs(command.operations) do
      if not failures[index] then
        results[index], failures[index] = attempt(self, step, operation)
      end
      if failures[index] and command.atomic then
        failures[index].index = index
        error({ failure = failures[index] }, 0)
      end
    end
  end
  for index in ipairs(command.operations) do
    results[index] = failures[index] and { error = failures[index] } or results[index][1]
  end
  return results
end

function commands.version(self, command)
  return self.versions[stream_name(command)] or 0
end

-- FNV-1a is taken modulo 32 at every step, where its basis is 5 and its prime 19.
local function partition_of(stream)
  local hash = 5
  for i = 1, #stream do
    local byte, xor = stream:byte(i), 0
    for bit = 0, 4 do
      local power = 2 ^ bit
      if math.floor(byte / power) % 2 ~= math.floor(hash / power) % 2 then xor = xor + power end
    end
    hash = xor * 19 % 32
  end
  return hash
end

-- Ids of hosts sort by number.
local function sortable(stream)
  return (stream:gsub("^host%-h(%d+)$", function(number) return ("host-%09d"):format(number) end))
end

local function stream_list(self)
  local list, first, last = {}, {}, {}
  for _, event in ipairs(self.log) do
    first[event.stream], last[event.stream] = first[event.stream] or event, event
  end
  for stream, event in pairs(last) do
    list[#list + 1] = { stream = stream, version = event.version, created_at = first[stream].recorded_at,
      updated_at = event.recorded_at, partition = not event.host and partition_of(stream) or nil }
  end
  table.sort(list, function(a, b) return sortable(a.stream) < sortable(b.stream) end)
  return list
end

-- The partition of a host is chance, so only generic streams are asked for by partition.
function commands.streams(self, command)
  local given, list = command.filter or {}, {}
  for _, stream in ipairs(stream_list(self)) do
    if #list < (given.limit or math.huge) and (not given.after or stream.stream > given.after)
      and (not given.prefix or stream.stream:sub(1, #given.prefix) == given.prefix) then
      list[#list + 1] = stream
    end
  end
  return list
end

-- A stream with a saved state and no events is there, too.
function commands.stream_health(self)
  local list = map(stream_list(self), function(stream)
    return { stream = stream.stream, version = stream.version, watermark = stream.version, gap_size = 0,
      status = "HEALTHY" }
  end)
  for stream in pairs(self.states) do
    if not self.versions[stream] then
      list[#list + 1] = { stream = stream, version = 0, watermark = 0, gap_size = 0, status = "EMPTY" }
    end
  end
  table.sort(list, function(a, b) return sortable(a.stream) < sortable(b.stream) end)
  return list
end

function commands.save_state(self, command)
  local actual = self.versions[command.stream] or 0
  if values.is_bad_stream[command.stream] and not command.stream:find "^host%-" then
    fail("invalid", { field = "stream" })
  end
  check_writable(self)
  if command.version > actual then fail("invalid", { field = "version" }) end
  local saved = self.states[command.stream]
  if not saved or command.version >= saved.version then
    self.states[command.stream] = { version = command.version, state = command.state }
  end
  return true
end

function commands.load_state(self, command)
  return self.states[command.stream]
end

-- -- snapshots -----------------------------------------------------------------------------------------

local function render(self)
  local lines = {}
  for _, host in ipairs(matching(self.hosts, {})) do
    if host.enabled and not (host.expires_at and host.expires_at <= self.clock) then
      local line = host.ip .. "\t" .. table.concat(names_of(host), " ")
      if host.comment or host.tags[1] then line = line .. "\t#" end
      if host.comment then line = line .. " " .. host.comment end
      if host.tags[1] then line = line .. " [" .. table.concat(host.tags, ", ") .. "]" end
      lines[#lines + 1] = line .. "\n"
    end
  end
  return table.concat(lines)
end

local function without_content(snapshot)
  snapshot = copy(snapshot)
  snapshot.hosts_content = nil
  return snapshot
end

local function take_snapshot(self, name, trigger)
  if name == "" then fail("invalid", { field = "name" }) end
  self.snapped = self.snapped + 1
  local snapshot = { id = "s" .. self.snapped, name = name, trigger = trigger, created_at = self.clock,
    position = #self.log, entry_count = #matching(self.hosts, {}), hosts_content = render(self) }
  table.insert(self.snapshots, 1, snapshot)
  return snapshot
end

function commands.snapshot(self, command)
  check_writable(self)
  return without_content(take_snapshot(self, command.name, command.trigger or "manual"))
end

function commands.snapshots(self, command)
  local list, options = {}, command.options or {}
  for place, snapshot in ipairs(self.snapshots) do
    if place > (options.offset or 0) and #list < (options.limit or math.huge) then
      list[#list + 1] = without_content(snapshot)
    end
  end
  return list
end

function commands.get_snapshot(self, command)
  return (find_snapshot(self, command.snapshot))
end

function commands.delete_snapshot(self, command)
  check_writable(self)
  local _, place = find_snapshot(self, command.snapshot)
  table.remove(self.snapshots, place)
  return true
end

function commands.apply_retention(self, command)
  local ages = { ["5s"] = 5, ["1m"] = 60 }
  local age = ages[command.max_age] or command.max_age
  if type(age) == "string" then fail("invalid", { field = "max_age" }) end
  check_writable(self)
  local kept = {}
  for rank, snapshot in ipairs(self.snapshots) do
    if not (command.max_count and rank > command.max_count or age and self.clock - snapshot.created_at > age) then
      kept[#kept + 1] = snapshot
    end
  end
  local deleted = #self.snapshots - #kept
  self.snapshots = kept
  return deleted
end

function commands.restore(self, command)
  local options = command.options or {}
  if not options.dry_run then check_writable(self) end
  local snapshot = find_snapshot(self, command.snapshot)
  local result = { added = 0, updated = 0, deleted = 0 }
  if not options.dry_run then
    result.backup = take_snapshot(self, "before restore of " .. snapshot.id, "restore").id
    check_cause(options)
  end
  local list
  list, result.unchanged = differences(self, self.hosts,
    hosts_at(self, { position = snapshot.position, time = math.huge }))
  for _, change in ipairs(list) do
    local counter = not change.before and "added" or not change.after and "deleted" or "updated"
    result[counter] = result[counter] + 1
    if not options.dry_run then record(self, change.before, change.after, options) end
  end
  return result
end

-- -- import --------------------------------------------------------------------------------------------

-- A hosts file says a name twice, which means no more than once; what is not on a line is empty.
local function entry_of_hosts_line(line)
  local entry, seen = copy(line), { [line.hostname:lower()] = true }
  entry.comment, entry.tags, entry.aliases = line.comment or false, line.tags or {}, {}
  for _, alias in ipairs(line.aliases or {}) do
    if not seen[alias:lower()] then table.insert(entry.aliases, alias) end
    seen[alias:lower()] = true
  end
  return entry
end

-- Null says that a list is empty, too.
local function entry_of_object(line)
  local entry = copy(line)
  if entry.aliases == false then entry.aliases = {} end
  if entry.tags == false then entry.tags = {} end
  return entry
end

local CARRIED = { "aliases", "comment", "tags" }

local function merged(self, host, source)
  local aliases, tags = copy(host.aliases), copy(host.tags)
  for _, alias in ipairs(source.aliases) do
    if alias ~= host.hostname and not contains(aliases, alias) then table.insert(aliases, alias) end
  end
  for _, tag in ipairs(source.tags) do table.insert(tags, tag) end
  return self.with(host, { aliases = aliases, tags = tags, comment = host.comment or source.comment })
end

local function replaced(host, source, entry, origin)
  host = copy(host)
  for _, field in ipairs(CARRIED) do host[field] = source[field] end
  for _, field in ipairs { "enabled", "expires_at", "origin" } do
    if entry[field] ~= nil and not (field == "origin" and origin) then host[field] = source[field] end
  end
  return host
end

-- Imports one line and returns the counter it belongs to.
local function import_line(self, line, options, seen)
  if line.text then fail "invalid" end
  local entry = options.format == "ndjson" and entry_of_object(line) or entry_of_hosts_line(line)
  local known = find_live(self, values.ip[entry.ip], values.name[entry.hostname])
  seen[known and known.id or 0] = true
  local source = new_host(self, entry)
  source.origin = options.origin or source.origin
  if not known then
    seen[write(self, nil, source, options).id] = true
    return "created"
  end
  if options.mode == "strict" then fail("duplicate", { current = known }) end
  if options.mode == "skip" or not options.mode or options.origin and options.origin ~= known.origin then
    return "skipped"
  end
  local host = options.mode == "merge" and merged(self, known, source)
    or replaced(known, source, entry, options.origin)
  return write(self, known, host, options).position == known.position and "unchanged" or "updated"
end

local function limit_of(max_deletes, total)
  if type(max_deletes) ~= "string" then return max_deletes or math.huge end
  return math.floor(total * tonumber((max_deletes:gsub("%%", ""))) / 100)
end

local function delete_missing(self, options, seen, processed)
  local own = matching(self.hosts, { origin = options.origin or "admin" })
  local missing = map(own, function(host) return not seen[host.id] and host or nil end)
  if processed == 0 and #missing > 0 and options.max_deletes == nil then fail("invalid") end
  local limit = limit_of(options.max_deletes, #own)
  if #missing > limit then fail("conflict", { expected = limit, actual = #missing }) end
  for _, host in ipairs(missing) do write(self, host, nil, options) end
  return #missing
end

function commands.import(self, command)
  local options, seen = command.options or {}, {}
  local result = { processed = 0, created = 0, updated = 0, unchanged = 0, skipped = 0, deleted = 0, failed = 0,
    errors = {} }
  check_writable(self)
  local saved = save(self)
  if options.origin then check_origin(options.origin) end
  check_cause(options)
  for number, line in ipairs(command.lines) do
    result.processed = number
    local counter, failure = attempt(self, import_line, line, options, seen)
    if counter then
      result[counter[1]] = result[counter[1]] + 1
    elseif options.mode == "strict" then
      failure.line = number
      error({ failure = failure }, 0)
    else
      result.failed = result.failed + 1
      table.insert(result.errors, { line = number, code = failure.code })
    end
  end
  if options.mode == "sync" then
    if result.failed > 0 and result.failed == result.processed then
      fail("invalid", { line = result.errors[1].line })
    end
    result.deleted = delete_missing(self, options, seen, result.processed)
  end
  if options.dry_run then take_back(self, saved) end
  return result
end

-- -- transactions ---------------------------------------------------------------------------------------

-- Runs the commands of a transaction; what it returns behind them is how it ends.
local function run_inner(self, command)
  for index, inner in ipairs(command.commands) do
    command.outcomes[index] = self:run(inner)
    if command.ending == "checked" and command.outcomes[index].error then return "checked" end
  end
  return command.ending ~= "checked" and command.ending or "commit"
end

-- The outcome of a transaction, which is not like those of the others.
local function transaction(self, command)
  local outcomes = {}
  local _, refusal = attempt(self, function()
    if not command.readonly then check_writable(self) end
  end)
  if refusal then return { error = refusal, inner = outcomes } end
  local saved = save(self)
  if self.depth == 0 then self.readonly = command.readonly end
  self.depth = self.depth + 1
  local ending = run_inner(self, { commands = command.commands, ending = command.ending, outcomes = outcomes })
  self.depth = self.depth - 1
  if ending ~= "commit" then
    local clock = self.clock
    take_back(self, saved)
    self.clock = clock
  end
  if ending == "raise" then return { raised = "raised", inner = outcomes } end
  if ending ~= "commit" then return { error = ending, inner = outcomes } end
  return { value = { "done" }, inner = outcomes }
end

-- What is new in the log since it was looked at last.
local function new_events(self)
  local list = {}
  for position = self.seen + 1, #self.log do list[#list + 1] = read_of(self.log[position]) end
  self.seen = #self.log
  return list
end

-- A failure may speak of a host that was taken back with what failed; it has no name then.
local function unnamed(self, failure)
  local current = failure and failure.current
  if current and number_of(current.id) > self.created then
    failure.current = copy(current)
    failure.current.id = "unknown"
  end
  return failure
end

--- A model that goes on by itself.
function Model:copy()
  return setmetatable(save(self), getmetatable(self))
end

--- Runs a command.
---@param command table
---@return { value: any[]?, error: table?, raised: string?, inner: table[]?, log: table[] } outcome
function Model:run(command)
  self.clock = command.clock
  local outcome
  if command[1] == "transaction" then
    outcome = transaction(self, command)
  else
    local value, failure = attempt(self, commands[command[1]], command)
    outcome = { value = value, error = unnamed(self, failure) }
  end
  outcome.log = new_events(self)
  return outcome
end

return Model
