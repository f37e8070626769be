--- Plays the commands of the model test on a store and says what came of them as the model does.
---
---   local player = Player.new(function(clock) return hoststore.open(url, { clock = clock, … }) end)
---   local outcome = player:run(command)     -- as Model:run; its errors have messages, too
local hoststore = require "hoststore"
local json = require "hoststore.json"
local values = require "spec.model.values"

local copy = values.copy

local Player = {}
Player.__index = Player

--- A player on an empty store, which `open` opens.
---@param open fun(clock: fun(): number): hoststore.Store
function Player.new(open)
  local self = setmetatable({ time = 0, position = 0, names = {}, ids = {}, values = {},
    counts = { h = 0, s = 0 } }, Player)
  self.store = open(function() return self.time end)
  return self
end

-- -- names for what the store makes up --------------------------------------------------------------

local function give_name(self, id, kind)
  self.counts[kind] = self.counts[kind] + 1
  local name = kind .. self.counts[kind]
  self.names[id], self.ids[name] = name, id
end

-- ULIDs of the store become names in every text; other texts stay.
local function rename(self, text)
  return (text:gsub("%w+", function(word)
    if self.names[word] then return self.names[word] end
    return #word == 26 and word:find("^[0-9A-Z]+$") and not word:find("^01ARZ3") and word ~= values.unknown_id
      and "unknown" or nil
  end))
end

local function named(self, value)
  if type(value) == "string" then return rename(self, value) end
  if type(value) ~= "table" then return value end
  local renamed = {}
  for key, item in pairs(value) do renamed[key] = named(self, item) end
  -- Which partition a host is in is as random as its id.
  if type(renamed.stream) == "string" and renamed.stream:find("^host%-") then renamed.partition = nil end
  return renamed
end

-- The id of a host or snapshot by its number, whether or not there is one.
local function id_of(self, kind, number)
  if number == 0 then return values.no_id end
  return self.ids[kind .. number] or values.unknown_id
end

-- What the log has gained; each host and each event id made by the store gets its name.
local function new_events(self)
  local events = assert(self.store:events { after = self.position })
  for _, event in ipairs(events) do
    local id = event.stream:match "^host%-(.*)$"
    if id and not self.names[id] then give_name(self, id, "h") end
    if not event.id:find "^01ARZ3" then self.names[event.id] = "e" .. event.position end
    self.position = event.position
  end
  return events
end

local function save(self)
  return { position = self.position, names = copy(self.names), ids = copy(self.ids), counts = copy(self.counts) }
end

local function take_back(self, saved)
  for key, value in pairs(saved) do self[key] = value end
end

-- -- arguments ----------------------------------------------------------------------------------------

-- `false` stands for hoststore.null.
local function with_null(fields)
  fields = copy(fields)
  for _, name in ipairs { "comment", "expires_at" } do
    if fields[name] == false then fields[name] = hoststore.null end
  end
  return fields
end

-- A host by id, by the name of its stream, or as the value that was read at some version. What a script
-- writes into such a value means nothing.
local function reference(self, command)
  local id = id_of(self, "h", command.host)
  if not command.version then return command.prefixed and "host-" .. id or id end
  local value = self.values[id .. command.version]
  if not value then return { id = id, version = command.version } end
  if not command.spoilt then return value end
  value = setmetatable(copy(value), getmetatable(value))
  value.comment, value.enabled, value.tags = "spoilt", not value.enabled, { "spoilt" }
  return value
end

-- Remembers the hosts in a result. Those that were read in a transaction that was rolled back stay, as a
-- script would have them.
local function keep_values(self, value)
  if type(value) ~= "table" then return end
  if value.id and value.hostname and value.version then
    self.values[value.id .. value.version] = value
  else
    for _, item in pairs(value) do keep_values(self, item) end
  end
end

local function filter_of(self, command)
  if not command.filter then return nil end
  local filter = copy(command.filter)
  if filter.after and not filter.stream and command[1] ~= "log" and command[1] ~= "events" then
    filter.after = id_of(self, "h", filter.after)
  end
  if filter.host then
    filter.stream, filter.host = "host-" .. id_of(self, "h", filter.host), nil
  end
  return filter
end

local function stream_of(self, command)
  return self.store:stream(command.stream or "host-" .. id_of(self, "h", command.host))
end

local function moment(self, when)
  if when.time then return when.time end
  if when.snapshot then return { snapshot = id_of(self, "s", when.snapshot) } end
  return { position = when.position }
end

local function hosts_line(line)
  local words = { line.ip, line.hostname, (table.unpack or unpack)(line.aliases or {}) }
  local text = table.concat(words, " ")
  if line.comment or line.tags then text = text .. " #" end
  if line.comment then text = text .. " " .. line.comment end
  if line.tags then text = text .. " [" .. table.concat(line.tags, ", ") .. "]" end
  return text
end

local function object_line(line)
  local parts = {}
  for _, name in ipairs { "ip", "hostname", "aliases", "comment", "tags", "enabled", "expires_at", "origin" } do
    local value = line[name]
    if value == false and name ~= "enabled" then value = hoststore.null end
    if value ~= nil then
      local is_empty_list = type(value) == "table" and next(value) == nil
      parts[#parts + 1] = json.encode(name) .. ":" .. (is_empty_list and "[]" or json.encode(value))
    end
  end
  return "{" .. table.concat(parts, ",") .. "}"
end

local function source_of(command)
  local write = command.options and command.options.format == "ndjson" and object_line or hosts_line
  local lines = {}
  for number, line in ipairs(command.lines) do lines[number] = (line.text or write(line)) .. "\n" end
  return { text = table.concat(lines) }
end

local function collect(iterator)
  local list = {}
  for host in iterator do list[#list + 1] = host end
  return list
end

-- -- commands -----------------------------------------------------------------------------------------

-- What a store and a view have in common; `on` is one of them.
local reads = {}

function reads.list(self, on, command) return on:list(filter_of(self, command)) end
function reads.hosts(self, on, command) return collect(on:hosts(filter_of(self, command))) end
function reads.count(self, on, command) return on:count(filter_of(self, command)) end
function reads.get(self, on, command) return on:get(reference(self, command)) end
function reads.find(_, on, command) return on:find(command.ip, command.hostname) end
function reads.lookup(_, on, command) return on:lookup(command.name) end

local calls = {}

for name, read in pairs(reads) do
  calls[name] = function(self, store, command) return read(self, store, command) end
end

function calls.at(self, store, command)
  local view, err = store:at(moment(self, command.when))
  if not view then return nil, err end
  return reads[command.query](self, view, command)
end

function calls.diff(self, store, command) return store:diff(moment(self, command.a), moment(self, command.b)) end
function calls.reverse(_, store, command) return store:reverse(command.ip) end
function calls.add(_, store, command) return store:add(with_null(command.host), command.options) end
function calls.delete(self, store, command) return store:delete(reference(self, command), command.options) end
function calls.undo(_, store, command) return store:undo(command.position, command.options) end
function calls.log(self, store, command) return store:log(filter_of(self, command)) end
function calls.events(self, store, command) return store:events(filter_of(self, command)) end
function calls.read(self, _, command) return stream_of(self, command):read(command.options) end
function calls.version(self, _, command) return stream_of(self, command):version() end
function calls.streams(_, store, command) return store:streams(command.filter) end
function calls.stream_health(_, store) return store:stream_health() end
function calls.snapshots(_, store, command) return store:snapshots(command.options) end
function calls.load_state(self, _, command) return stream_of(self, command):load_snapshot() end
function calls.import(_, store, command) return store:import(source_of(command), command.options) end

function calls.update(self, store, command)
  return store:update(reference(self, command), with_null(command.changes), command.options)
end

function calls.history(self, store, command)
  return store:history(reference(self, command), { limit = command.limit })
end

function calls.append(_, store, command)
  return store:stream(command.stream):append(command.events, { expected = command.expected, actor = command.actor,
    reason = command.reason, metadata = command.metadata })
end

function calls.append_batch(_, store, command)
  return store:append_batch(command.operations, { atomic = command.atomic })
end

function calls.save_state(self, _, command)
  return stream_of(self, command):save_snapshot(command.version, command.state)
end

function calls.snapshot(self, store, command)
  local snapshot, err = store:snapshot { name = command.name, trigger = command.trigger }
  if snapshot then give_name(self, snapshot.id, "s") end
  return snapshot, err
end

function calls.get_snapshot(self, store, command)
  return store:get_snapshot(id_of(self, "s", command.snapshot))
end

function calls.delete_snapshot(self, store, command)
  return store:delete_snapshot(id_of(self, "s", command.snapshot))
end

function calls.apply_retention(_, store, command)
  return store:apply_retention { max_count = command.max_count, max_age = command.max_age }
end

function calls.restore(self, store, command)
  local result, err = store:restore(id_of(self, "s", command.snapshot), command.options)
  if result and result.backup then give_name(self, result.backup, "s") end
  return result, err
end

function calls.transaction(self, store, command, inner)
  return store:transaction(function()
    for index, one in ipairs(command.commands) do
      inner[index] = self:run(one)
      if command.ending == "checked" and inner[index].error then return nil, "checked" end
    end
    if command.ending == "raise" then error("raised", 0) end
    if command.ending == "fail" then return nil, "fail" end
    return "done"
  end, { readonly = command.readonly })
end

--- Runs a command.
---@param command table
---@return { value: any[]?, error: any, raised: string?, inner: table[]?, log: table[] } outcome
function Player:run(command)
  self.time = command.clock
  local inner = command[1] == "transaction" and {} or nil
  local saved = inner and save(self)
  local ok, first, second = pcall(calls[command[1]], self, self.store, command, inner)
  local outcome = { inner = inner }
  local good = ok and (first ~= nil or second == nil)
  if ok then keep_values(self, { first, second }) end
  if inner and not good then take_back(self, saved) end
  local events = new_events(self)
  if good then
    outcome.value = named(self, { first, second })
  elseif ok or type(first) == "table" then
    -- An iterator raises what the others return.
    outcome.error = named(self, ok and second or first)
  else
    outcome.raised = first
  end
  outcome.log = named(self, events)
  return outcome
end

return Player
