--- store:follow: the log as it grows.

local core = require "hoststore.core"
local options = require "hoststore.options"

local PAGE = 100
-- Seconds to wait for a change before the log is looked at all the same.
local LONGEST_WAIT = 1
-- Seconds between two tries of what failed, the longer the longer it fails.
local FIRST_PAUSE, LONGEST_PAUSE = 0.05, 1

local follow = {}

---@class hoststore.FollowOptions
---@field after integer?
---@field timeout number?  seconds
---@field stream string?
---@field prefix string?
---@field types string[]?
---@field json boolean?  data and metadata are the JSON text that is stored

-- What may be over when the same is tried again.
local function passes(err)
  return err.retryable and (err.code == "connection" or err.code == "busy")
end

--- Calls read until it gives something; between two calls it waits until others may have written. Gives
-- nil when that takes longer than `timeout` seconds. A failure that may pass is waited for just as long,
-- any other is raised. `idle` is called before each wait, at least every second.
---@param store hoststore.Store
---@param read fun(): any, hoststore.Error?
---@param timeout number
---@param idle fun()?
---@return any
function follow.await(store, read, timeout, idle)
  local deadline, pause = core.sys.monotonic() + timeout, FIRST_PAUSE
  while true do
    local found, err = read()
    if found then return found end
    local left = deadline - core.sys.monotonic()
    if err and (left <= 0 or not passes(err)) then error(err, 0) end
    if left <= 0 then return nil end
    if idle then idle() end
    -- A wait that fails says nothing the next read will not say.
    if err or not core.wait(store, math.min(left, LONGEST_WAIT)) then
      core.sys.sleep(math.min(left, pause))
      pause = math.min(pause * 2, LONGEST_PAUSE)
    else
      pause = FIRST_PAUSE
    end
  end
end

-- A function that gives the next page of matching events behind a position, and nothing where there are
-- none. It remembers how far it has looked: what does not match is searched once.
local function pages(store, after, filter)
  local looked = false
  return function()
    local head, err = core.position(store)
    if not head then return nil, err end
    if looked and head <= after then return nil end
    local events
    events, err = store:events { after = after, limit = PAGE, stream = filter.stream, prefix = filter.prefix,
      types = filter.types, json = filter.json }
    if not events then return nil, err end
    looked = true
    if #events > 0 then after = events[#events].position end
    -- A page that is not full holds all that matches up to the head, which was read before it. What has
    -- been written since lies behind the head and is looked for the next time.
    if #events < PAGE then after = math.max(after, head) end
    return #events > 0 and events or nil
  end
end

--- store:follow; `idle` is called before each wait, at least every second.
---@param store hoststore.Store
---@param filter hoststore.FollowOptions
---@param idle fun()?
---@return fun(): hoststore.Event?
function follow.events(store, filter, idle)
  local next_page = pages(store, filter.after or 0, filter)
  local timeout = filter.timeout or math.huge
  local page, index = {}, 0
  return function()
    if index == #page then
      page, index = follow.await(store, next_page, timeout, idle) or {}, 0
      if #page == 0 then return nil end
    end
    index = index + 1
    return page[index]
  end
end

local keys = options.set("after", "timeout", "stream", "prefix", "types", "json")

--- Iterates over the events behind `after` (0: all) and waits for more; ends when none has come for
-- `timeout` seconds (nil: never; 0: at the end of the log). While the database is busy or cannot be
-- reached it tries again, until then too. Raises the error object when a read fails. Within a transaction
-- it cannot wait: there it raises at the end of the log unless the timeout is 0.
---@param given hoststore.FollowOptions?
---@return fun(): hoststore.Event?
function core.methods.follow(store, given)
  core.depth(store) -- raises when the store is closed
  given = options.check(given, keys, "the options")
  if given.after ~= nil and not options.is_count(given.after) then
    error("after must be a position, not " .. tostring(given.after), 2)
  end
  if given.timeout ~= nil and not (type(given.timeout) == "number" and given.timeout >= 0) then
    error("timeout must be a number of seconds, not " .. tostring(given.timeout), 2)
  end
  return follow.events(store, given)
end

return follow
