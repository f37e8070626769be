--- Hosts one after the other, and hosts as they were: store:hosts, store:at, store:diff.

local core = require "hoststore.core"
local options = require "hoststore.options"
local pages = require "hoststore.pages"

-- What the loop changes may move behind its place: such a host is given once more at most, and one that is new since
-- the start is passed over, so that every loop ends.
local function iterate(store, filter)
  local start, err = core.position(store)
  if not start then error(err, 0) end
  local turn = pages.reader(filter, function(page_filter)
    local page, failure = store:list(page_filter)
    if not page then error(failure, 0) end
    return page, #page, page[#page]
  end, 3)
  local page, index = turn(), 0
  local changed = {}

  local function is_due(host)
    if host.position <= start then return true end
    if host.version == 1 or changed[host.id] then return false end
    changed[host.id] = true
    return true
  end

  return function()
    repeat
      index = index + 1
      if page and page[index] == nil then page, index = turn(), 1 end
    until not page or page[index] == nil or is_due(page[index])
    return page and page[index]
  end
end

--- Iterates over hosts in bounded memory; raises the error object when a read fails.
---@param filter hoststore.Filter?
---@return fun(): hoststore.Host?
function core.methods.hosts(store, filter)
  return iterate(store, filter)
end

--- The hosts as they were at one moment. Read-only.
---@class hoststore.View
---@field position integer  events behind it are not seen
---@field time number?  nor are events recorded after it
local view = {}
view.__index = view

function view:get(id)
  return core.view_get(self.store, self.position, self.time, id)
end

function view:find(ip, hostname)
  return core.view_find(self.store, self.position, self.time, ip, hostname)
end

function view:lookup(name)
  return core.view_lookup(self.store, self.position, self.time, name)
end

function view:list(filter)
  return core.view_list(self.store, self.position, self.time, filter)
end

function view:count(filter)
  return core.view_count(self.store, self.position, self.time, filter)
end

function view:hosts(filter)
  local hosts, err = self:list(filter)
  if not hosts then error(err, 0) end
  local index = 0
  return function()
    index = index + 1
    return hosts[index]
  end
end

local function check_position(position, last)
  if type(position) ~= "number" or position % 1 ~= 0 then
    error("position must be a whole number, not " .. tostring(position), 4)
  end
  if position < 0 then
    return nil, core.error({ code = "invalid", field = "position",
      message = ("position %d is no place in the log; it begins at 1"):format(position) })
  end
  if position > last then
    return nil, core.error({ code = "not_found", field = "position",
      message = ("there is no position %d; the log ends at %d"):format(position, last) })
  end
  return position
end

local moment_keys = options.set("position", "snapshot")

-- The position and the time that `when` means.
local function resolve(store, when)
  local last, err = core.position(store)
  if not last then return nil, err end
  if type(when) == "number" or type(when) == "string" then
    local time
    time, err = core.parse_time(when)
    if not time then return nil, err end
    return last, time
  end
  if type(when) ~= "table" then
    error("a moment is a time, { position = n } or { snapshot = id }, not " .. type(when), 4)
  end
  options.check(when, moment_keys, "the moment")
  if when.snapshot ~= nil and when.position ~= nil then error("a moment has a position or a snapshot, not both", 4) end
  if when.snapshot ~= nil then
    local snapshot
    snapshot, err = store:get_snapshot(when.snapshot)
    if not snapshot then return nil, err end
    return snapshot.position
  end
  local position
  position, err = check_position(when.position, last)
  if not position then return nil, err end
  return position
end

--- The hosts as of a time (seconds or ISO 8601), `{ position = n }` or `{ snapshot = id }`. By time,
-- each host is what its highest version recorded at or before that time made it.
---@param when number|string|table
---@return hoststore.View?, hoststore.Error?
function core.methods.at(store, when)
  local position, time = resolve(store, when)
  if not position then return nil, time end
  return setmetatable({ store = store, position = position, time = time }, view)
end

--- What changed between two moments, given as for `at`.
---@return { added: hoststore.Host[], removed: hoststore.Host[], changed: table[] }?  changed: { before, after }
---@return hoststore.Error?
function core.methods.diff(store, a, b)
  return store:transaction(function()
    local before, after, err
    before, err = store:at(a)
    if not before then return nil, err end
    after, err = store:at(b)
    if not after then return nil, err end
    return core.diff(store, before.position, before.time, after.position, after.time)
  end, { readonly = true })
end

return view
