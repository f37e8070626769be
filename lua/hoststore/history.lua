--- Who changed what: store:history and store:log.

local core = require "hoststore.core"
local options = require "hoststore.options"
local decode = require("hoststore.event").decode

---@class hoststore.HistoryEntry
---@field position integer
---@field version integer
---@field stream string
---@field type string
---@field at number  when it was recorded
---@field actor string?
---@field reason string?
---@field metadata any
---@field changes table<string, { old: any, new: any }>?  of a host
---@field host hoststore.Host?  after the event
---@field data any  of an event that is not a host's

local function read(store, query, as_json)
  local entries, err = store:transaction(function() return core.history(store, query) end, { readonly = true })
  if not entries then return nil, err end
  -- A host's body is in `host`.
  for _, entry in ipairs(entries) do
    if entry.host then entry.data = nil end
  end
  return decode(entries, as_json)
end

local history_keys = options.set("limit", "json")

--- What happened to one host, oldest first; with a limit, the newest so many. With `json` metadata is JSON text.
---@param id string|hoststore.Host
---@param given { limit: integer?, json: boolean? }?
---@return hoststore.HistoryEntry[]?, hoststore.Error?
function core.methods.history(store, id, given)
  given = options.check(given, history_keys, "the options")
  if type(id) == "table" then id = id.id end
  if type(id) ~= "string" then error("history needs the id of a host, not " .. type(id), 2) end
  local stream = "host-" .. id:gsub("^host%-", "")
  local version, err = core.stream_version(store, stream)
  if not version then return nil, err end
  if version == 0 then
    return nil, core.error({ code = "not_found", field = "id", message = ("there is no host '%s'"):format(id) })
  end
  if given.limit ~= nil and not options.is_count(given.limit) then
    error("limit must be a whole number, not " .. tostring(given.limit), 2)
  end
  local from = given.limit and math.max(version - given.limit + 1, 1) or 0
  if given.limit == 0 then return {} end
  return read(store, { stream = stream, by_version = true, from = from }, given.json)
end

local log_keys = options.set("after", "limit", "actor", "since", "types", "stream", "descending", "json")

--- The log in the order of positions, or the newest first, with what each event changed.
---@param given table?  after, limit: positions; actor; since: a time; types: array; stream; descending: newest first;
---  json: data and metadata are the JSON text that is stored
---@return hoststore.HistoryEntry[]?, hoststore.Error?
function core.methods.log(store, given)
  given = options.check(given, log_keys, "the filter")
  local since, err
  if given.since ~= nil then
    since, err = core.parse_time(given.since)
    if not since then return nil, err end
  end
  return read(store, { after = given.after, limit = given.limit, actor = given.actor, since = since,
    types = given.types, stream = given.stream, backward = given.descending }, given.json)
end

return read
