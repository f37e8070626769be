--- Generic event streams: store:stream, append_batch, events, streams and their health.

local core = require "hoststore.core"
local options = require "hoststore.options"
local json = require "hoststore.json"
local decode = require("hoststore.event").decode

local FOLD_PAGE = 500

---@class hoststore.NewEvent
---@field type string
---@field data any  what JSON can carry; strings of any bytes come back as they were
---@field id string?  a ULID: appending the same events again does nothing
---@field metadata any
---@field occurred_at number|string|nil

local event_keys = options.set("type", "data", "id", "metadata", "occurred_at")

local function fail(code, field, ...)
  return nil, core.error({ code = code, field = field, message = string.format(...) })
end

-- A value as JSON text, which it may be already.
local function encode(field, value, is_json)
  if not is_json then return json.encode(value) end
  if type(value) == "string" and core.is_json(value) then return value end
  return fail("invalid", field, "%s is not JSON text: '%s'", field, tostring(value):sub(1, 100))
end

-- An event as the core takes it: data and metadata as JSON text.
local function encode_event(event, is_json, level)
  options.check(event, event_keys, "an event")
  if type(event.type) ~= "string" then error("an event needs a type, a string", level + 1) end
  local occurred_at, err
  if event.occurred_at ~= nil then
    occurred_at, err = core.parse_time(event.occurred_at)
    if not occurred_at then return nil, err end
  end
  if event.type:find("%z") then return fail("invalid", "type", "the type of an event holds a NUL byte") end
  local data, metadata = "null", nil
  if event.data ~= nil then data, err = encode("data", event.data, is_json) end
  if data and event.metadata ~= nil then metadata, err = encode("metadata", event.metadata, is_json) end
  if err then return nil, err end
  return { type = event.type, data = data, metadata = metadata, id = event.id, occurred_at = occurred_at }
end

local function encode_events(events, is_json, level)
  local encoded = {}
  for index, event in ipairs(events) do
    local err
    encoded[index], err = encode_event(event, is_json, level + 1)
    if err then return nil, err end
  end
  return encoded
end

local named_versions = { any = -1, none = 0, exists = -2 }

local function expected_version(expected, level)
  if expected == nil then return -1 end
  local version = named_versions[expected] or expected
  if type(version) ~= "number" or version % 1 ~= 0 or (version < 0 and version == expected) then
    error("expected must be 'any', 'none', 'exists' or a version, not '" .. tostring(expected) .. "'", level + 1)
  end
  return version
end

-- The error speaks of what was expected as the caller said it.
local function said_as_given(err, expected)
  if err and err.code == "conflict" then err.expected = expected end
  return err
end

local function check_stream_id(id, level)
  if type(id) ~= "string" then error("a stream is named by a string, not " .. type(id), level + 1) end
end

--- One stream: a sequence of events with versions 1, 2, 3 …
---@class hoststore.Stream
---@field id string
local stream = {}
stream.__index = stream

--- A stream, whether or not it has events yet.
---@param id string
---@return hoststore.Stream
function core.methods.stream(store, id)
  core.depth(store) -- raises when the store is closed
  check_stream_id(id, 2)
  return setmetatable({ store = store, id = id }, stream)
end

local append_keys = options.set("expected", "actor", "reason", "metadata", "json")

--- Appends one event or several, all or none. `expected` is the version the stream must be at, "none"
-- (it must not exist), "exists" or "any"; else the answer is a "conflict". With `json` the data and metadata of
-- events are JSON text, which is kept byte for byte.
---@param events hoststore.NewEvent|hoststore.NewEvent[]
---@param given { expected: integer|string|nil, actor: string?, metadata: any, json: boolean? }?
---@return { first: integer, last: integer, position: integer, idempotent: boolean, ids: string[] }?
---@return hoststore.Error?
function stream:append(events, given)
  given = options.check(given, append_keys, "the options")
  if type(events) ~= "table" then error("append needs an event or an array of events", 2) end
  if events.type == nil and next(events) == nil then
    return fail("invalid", "events", "there is no event to append to '%s'", self.id)
  end
  local expected = expected_version(given.expected, 2)
  local encoded, err = encode_events(events.type ~= nil and { events } or events, given.json, 2)
  if not encoded then return nil, err end
  if #encoded == 0 then error("append needs an event or an array of events", 2) end
  local results
  results, err = core.append(self.store, { {
    stream = self.id, expected = expected, events = encoded, actor = given.actor, reason = given.reason,
    metadata = given.metadata ~= nil and json.encode(given.metadata) or nil,
  } }, true)
  if not results then
    err.index = nil
    return nil, said_as_given(err, given.expected)
  end
  return results[1]
end

local read_keys = options.set("from", "to", "limit", "direction", "json")

--- Reads events by version. Forward: from `from` (0 or nil: the first) up to `to`. Backward: from
-- `from` (0 or nil: the last) down to `to`. With `json` data and metadata are the JSON text that is stored.
---@param given { from: integer?, to: integer?, limit: integer?, direction: "forward"|"backward"|nil, json: boolean? }?
---@return hoststore.Event[]?, hoststore.Error?
function stream:read(given)
  given = options.check(given, read_keys, "the options")
  local backward = given.direction == "backward"
  if given.direction ~= nil and given.direction ~= "forward" and not backward then
    error("direction must be 'forward' or 'backward', not '" .. tostring(given.direction) .. "'", 2)
  end
  local low, high = given.from or 0, given.to or 0
  if backward and (high == 0 or low == 0 or low > high) then low, high = high, low end
  local events, err = core.events(self.store, { stream = self.id, by_version = true, backward = backward,
    from = low, to = high, limit = given.limit })
  if not events then return nil, err end
  return decode(events, given.json)
end

--- The version of the stream: how many events it has had; 0 when it has none.
---@return integer?, hoststore.Error?
function stream:version()
  return core.stream_version(self.store, self.id)
end

--- Reads the whole stream and says what is wrong with it.
---@return { ok: boolean, version: integer, events: integer, problems: hoststore.Error[] }?, hoststore.Error?
function stream:verify()
  local result = { version = 0, events = 0, problems = {} }
  repeat
    local events, err = core.events(self.store, { stream = self.id, by_version = true,
      from = result.version + 1, limit = FOLD_PAGE })
    if not events then return nil, err end
    for _, event in ipairs(events) do
      local message
      if event.version ~= result.version + 1 then
        message = ("versions %d to %d of stream '%s' are missing"):format(result.version + 1, event.version - 1,
          self.id)
      elseif select(2, json.decode(event.data)) then
        message = ("version %d of stream '%s' holds no JSON"):format(event.version, self.id)
      end
      if message then
        result.problems[#result.problems + 1] = core.error({ code = "corrupt", message = message, stream = self.id,
          position = event.position })
      end
      result.version, result.events = event.version, result.events + 1
    end
  until #events < FOLD_PAGE
  result.ok = #result.problems == 0
  return result
end

--- Saves what folding the stream up to `version` gave. An older state never replaces a newer one.
---@param version integer
---@param state any  what JSON can carry
---@return true?, hoststore.Error?
function stream:save_snapshot(version, state)
  return core.state_save(self.store, self.id, version, json.encode(state))
end

--- The state saved last, or nil.
---@return { version: integer, state: any }?, hoststore.Error?
function stream:load_snapshot()
  local version, text = core.state_load(self.store, self.id)
  if not version then return nil, text end
  local state, err = json.decode(text)
  if err then return fail("corrupt", nil, "the saved state of stream '%s' is not JSON: %s", self.id, err) end
  return { version = version, state = state }
end

--- Folds fn over the saved state, or `init`, and the events behind it.
---@param init any
---@param fn fun(state: any, event: hoststore.Event): any
---@return any state, integer|hoststore.Error version
function stream:fold(init, fn)
  local saved, err = self:load_snapshot()
  if err then return nil, err end
  local state, version = init, 0
  if saved then state, version = saved.state, saved.version end
  repeat
    local events
    events, err = self:read({ from = version + 1, limit = FOLD_PAGE })
    if not events then return nil, err end
    for _, event in ipairs(events) do
      state, version = fn(state, event), event.version
    end
  until #events < FOLD_PAGE
  return state, version
end

local operation_keys = options.set("stream", "events", "expected", "actor", "reason", "metadata")
local batch_keys = options.set("atomic", "json")

--- Appends to several streams in one transaction. Atomic (the default): one refusal refuses all, and
-- err.index says which. Otherwise the result of a refused operation is `{ error = err }`. An operation
-- without events only checks the version of its stream. With `json` data and metadata of events are JSON text.
---@param operations { stream: string, events: hoststore.NewEvent[], expected: integer|string|nil }[]
---@param given { atomic: boolean?, json: boolean? }?
---@return table[]?, hoststore.Error?
function core.methods.append_batch(store, operations, given)
  given = options.check(given, batch_keys, "the options")
  if type(operations) ~= "table" then error("append_batch needs an array of operations", 2) end
  local atomic = given.atomic ~= false
  local encoded = {}
  for index, operation in ipairs(operations) do
    options.check(operation, operation_keys, "an operation")
    check_stream_id(operation.stream, 2)
    local given_events = operation.events or {}
    local events, err = encode_events(given_events.type ~= nil and { given_events } or given_events, given.json, 2)
    if not events then
      err.index = index
      return nil, err
    end
    encoded[index] = {
      stream = operation.stream, events = events, expected = expected_version(operation.expected, 2),
      actor = operation.actor, reason = operation.reason,
      metadata = operation.metadata ~= nil and json.encode(operation.metadata) or nil,
    }
  end
  local results, err = core.append(store, encoded, atomic)
  if not results then
    return nil, err.index and said_as_given(err, operations[err.index].expected) or err
  end
  for index, result in ipairs(results) do said_as_given(result.error, operations[index].expected) end
  return results
end

local events_keys = options.set("after", "limit", "stream", "prefix", "types", "json")

--- The log in the order of positions. With `json` data and metadata are the JSON text that is stored.
---@param given { after: integer?, limit: integer?, stream: string?, prefix: string?, types: string[]?,
---  json: boolean? }?
---@return hoststore.Event[]?, hoststore.Error?
function core.methods.events(store, given)
  given = options.check(given, events_keys, "the filter")
  local events, err = core.events(store, given)
  if not events then return nil, err end
  return decode(events, given.json)
end

local streams_keys = options.set("prefix", "partition", "limit", "after")

--- Streams that have events, in the order of their ids.
---@param given { prefix: string?, partition: integer?, limit: integer?, after: string? }?
---@return { stream: string, version: integer, partition: integer, created_at: number, updated_at: number }[]?
---@return hoststore.Error?
function core.methods.streams(store, given)
  return core.streams(store, options.check(given, streams_keys, "the filter"))
end

--- Whether each stream has all its versions.
---@return { stream: string, version: integer, watermark: integer, gap_size: integer, status: string }[]?
---@return hoststore.Error?
function core.methods.stream_health(store)
  return core.stream_health(store)
end

--- How the streams spread over the partitions.
---@return { partition: integer, streams: integer, events: integer, max_version: integer }[]?, hoststore.Error?
function core.methods.partition_stats(store)
  return core.partition_stats(store)
end

return stream
