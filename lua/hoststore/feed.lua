--- Feeds: named durable cursors over the log, each with one reader at a time.

local core = require "hoststore.core"
local options = require "hoststore.options"
local decode = require("hoststore.event").decode

local BATCH = 100

--- A reader of a feed. Its first read, ack or projection claims the feed; whoever had it before is fenced:
-- its read and ack give a "conflict" from then on.
---@class hoststore.Feed
---@field name string
---@field epoch integer?  how often the feed has been claimed, by this reader the last time
local feed = {}
feed.__index = feed

local feed_keys = options.set("epoch")

--- Names a feed, and writes nothing. A feed begins before the first event. With `epoch` the handle goes
-- on as the reader that claimed the feed then, in another process perhaps, as long as none has since.
---@param name string
---@param given { epoch: integer? }?
---@return hoststore.Feed
function core.methods.feed(store, name, given)
  core.depth(store) -- raises when the store is closed
  given = options.check(given, feed_keys, "the options")
  if type(name) ~= "string" then error("a feed is named by a string, not " .. type(name), 2) end
  if given.epoch ~= nil and not (options.is_count(given.epoch) and given.epoch > 0) then
    error("epoch must be a whole number from 1, not " .. tostring(given.epoch), 2)
  end
  return setmetatable({ store = store, name = name, epoch = given.epoch }, feed)
end

local function check_limit(limit, level)
  if limit == nil then return BATCH end
  if not options.is_count(limit) then error("limit must be a whole number, not " .. tostring(limit), level + 1) end
  return limit
end

local read_keys = options.set("json")

--- The events behind the cursor, the oldest first: the same ones until they are acknowledged. With `json` data and
-- metadata are the JSON text that is stored.
---@param limit integer?  100 by default
---@param given { json: boolean? }?
---@return hoststore.Event[]?, hoststore.Error?
function feed:read(limit, given)
  given = options.check(given, read_keys, "the options")
  local events, err = core.feed_read(self.store, self, check_limit(limit, 2))
  if not events then return nil, err end
  return decode(events, given.json)
end

--- Moves the cursor on to a position: the events up to it are done with. A cursor never goes back: a
-- position it has passed is acknowledged already.
---@param position integer
---@return true?, hoststore.Error?
function feed:ack(position)
  if not options.is_count(position) then error("an ack needs a position, not " .. tostring(position), 2) end
  return core.feed_ack(self.store, self, position)
end

--- The position of the last event that was acknowledged; 0 when none was.
---@return integer?, hoststore.Error?
function feed:position()
  local position, head = core.feed_progress(self.store, self.name)
  if not position then return nil, head end
  return position
end

--- How many events are behind the cursor.
---@return integer?, hoststore.Error?
function feed:lag()
  local position, head = core.feed_progress(self.store, self.name)
  if not position then return nil, head end
  return head - position
end

local project_keys = options.set("limit")

--- Calls fn with each of the next events and acknowledges them, all in one transaction of the store: what
-- fn writes to the store is written exactly once. When fn returns nil and an error, or raises, nothing of
-- it is kept and the feed stays where it is, as with store:transaction.
---@param fn fun(event: hoststore.Event): any, any
---@param given { limit: integer? }?  100 events at most by default
---@return integer? count  how many events fn was called with
---@return any err
function feed:project(fn, given)
  given = options.check(given, project_keys, "the options")
  local limit = check_limit(given.limit, 2)
  if type(fn) ~= "function" then error("project needs a function, not " .. type(fn), 2) end
  return self.store:transaction(function()
    local events, err = self:read(limit)
    if not events then return nil, err end
    for _, event in ipairs(events) do
      local done, failure = fn(event)
      if not done and failure ~= nil then return nil, failure end
    end
    local last = events[#events]
    if last then
      local acked
      acked, err = self:ack(last.position)
      if not acked then return nil, err end
    end
    return #events
  end)
end

--- All feeds, by name.
---@return { name: string, position: integer, lag: integer, epoch: integer, updated_at: number }[]?
---@return hoststore.Error?
function core.methods.feeds(store)
  local feeds, err = core.feeds(store)
  if not feeds then return nil, err end
  for _, row in ipairs(feeds) do row.updated_at = row.updated_at / 1e6 end
  return feeds
end

--- Deletes a feed and fences its reader. A new reader of this name begins before the first event.
---@param name string
---@return true?, hoststore.Error?
function core.methods.delete_feed(store, name)
  if type(name) ~= "string" then error("a feed is named by a string, not " .. type(name), 2) end
  return core.feed_delete(store, name)
end

return feed
