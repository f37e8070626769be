-- feed list, read, ack, rm; follow.

local present = require "hoststore.cli.present"

local feeds = {}

-- An event in words: of a host, what the host is after it.
local function data_words(event)
  local host = event.stream:find "^host%-" and require("hoststore.json").decode(event.data)
  if type(host) == "table" then
    return present.host(host)
  end
  return present.stored(event.data)
end

function feeds.feed_list(store, _, out)
  local found, err = store:feeds()
  if not found then
    return nil, err
  end
  return out:array(found, {
    columns = { "NAME", "POSITION", "LAG", "EPOCH", "UPDATED" },
    cells = function(feed)
      return {
        feed.name, ("%d"):format(feed.position), ("%d"):format(feed.lag), ("%d"):format(feed.epoch),
        present.time(feed.updated_at),
      }
    end,
    json = present.feed_json,
  })
end

function feeds.feed_read(store, options, out)
  local feed = store:feed(options.name)
  local events, err = feed:read(options.limit, { json = true })
  if not events then
    return nil, err
  end
  local epoch = present.json(feed.epoch)
  if options.epoch and out.json and not out.ndjson then
    out:value(present.object("epoch", epoch, "events", present.array(events, present.event_json)))
    return 0
  elseif options.epoch then
    out:answer("epoch " .. epoch, function() return present.object("epoch", epoch) end)
  end
  return out:array(events, {
    columns = { "POSITION", "TIME", "ACTOR", "TYPE", "STREAM", "DATA" },
    cells = function(event)
      return {
        ("%d"):format(event.position), present.time(event.recorded_at), event.actor or "", event.type,
        event.stream, data_words(event),
      }
    end,
    json = present.event_json,
  })
end

function feeds.feed_ack(store, options, out)
  local done, err = store:feed(options.name, { epoch = options.epoch }):ack(options.position)
  if not done then
    return nil, err
  end
  return out:answer(("acknowledged up to position %d"):format(options.position), function()
    return present.object("position", present.json(options.position))
  end)
end

function feeds.feed_rm(store, options, out)
  local done, err = store:delete_feed(options.name)
  if not done then
    return nil, err
  end
  return out:answer("deleted feed " .. options.name, function()
    return present.object("deleted", present.json(options.name))
  end)
end

local function print_event(event, out)
  if out.json then
    out:value(present.event_json(event))
  else
    out:line(("%d  %s  %s  %s  %s  %s"):format(event.position, present.time(event.recorded_at),
      event.actor or "-", event.type, event.stream, data_words(event)))
  end
  out:flush()
end

local function follow_log(store, filter, out, idle)
  for event in require("hoststore.follow").events(store, filter, idle) do
    print_event(event, out)
  end
end

-- A feed holds all events: those that are not wanted are passed over.
local function is_wanted(event, filter)
  if filter.stream and event.stream ~= filter.stream
    or filter.prefix and event.stream:sub(1, #filter.prefix) ~= filter.prefix then
    return false
  elseif not filter.types then
    return true
  end
  for _, name in ipairs(filter.types) do
    if event.type == name then
      return true
    end
  end
  return false
end

-- What was printed is acknowledged before more is read, and not before it left our hands.
local function follow_feed(store, name, filter, out, idle)
  local feed, printed = store:feed(name), nil

  local function next_batch()
    if printed then
      local done, err = feed:ack(printed)
      if not done then
        return nil, err
      end
      printed = nil
    end
    local events, err = feed:read(nil, { json = true })
    if not events then
      return nil, err
    end
    return #events > 0 and events or nil
  end

  local events
  repeat
    events = require("hoststore.follow").await(store, next_batch, filter.timeout or math.huge, idle)
    for _, event in ipairs(events or {}) do
      if is_wanted(event, filter) then
        print_event(event, out)
      end
      printed = event.position
    end
  until not events
end

function feeds.follow(store, options, out)
  local filter = {
    after = options.after,
    timeout = options.timeout,
    stream = options.stream,
    prefix = options.prefix,
    types = #options.types > 0 and options.types or nil,
    json = true,
  }
  local function idle()
    out:check_reader()
  end
  if options.feed then
    follow_feed(store, options.feed, filter, out, idle)
  else
    follow_log(store, filter, out, idle)
  end
  return 0
end

return feeds
