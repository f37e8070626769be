--- The leases of files, applied as if each had been told of just now.
---
--- dnsmasq rewrites its file in place, so one may be read when it is empty or ends in the middle. What no file has is
--- over only when all of them are whole.
local core = require "hoststore.core"
local drain = require "hoststore.hotplug.drain"
local entry = require "hoststore.entry"
local file = require "hoststore.file"
local formats = require "hoststore.format"
local lease = require "hoststore.hotplug.lease"
local Lines = require "hoststore.lines"

-- A file's ends are whole seconds, and odhcpd reckons them anew each time it writes.
local function to_event(record, context)
  local name, foreign = lease.client_name(record.hostname)
  return { file = record, action = "old", ip = record.ip, client = record.client,
    name = name, foreign = foreign, lost = record.hostname == nil, missing = "1", about = true,
    ends = not context.expiry and core.null or record.expires_at == core.null and core.null
      or context.credible and record.expires_at or nil }
end

local function read_leases(path, format, found)
  local lines, err = Lines.open(path)
  if not lines then return nil, err end
  local before = #found.records
  local function report(line, message)
    found.errors[#found.errors + 1] = { file = path, line = line, message = message }
    found.broken = found.broken or path
  end
  local done
  done, err = file.try(function()
    for line, record, message in format.leases(lines) do
      if not record then
        report(line, message)
      elseif not lines.unended then -- or its end may be missing, and so half of an identifier
        record.line, record.source = line, path
        found.records[#found.records + 1] = record
      end
    end
    return true
  end)
  if lines.unended then report(lines.number, "the last line has no end: the file is not whole") end
  if #found.records == before then found.empty = found.empty or path end
  lines:close()
  return done, err
end

local function format_of(path, name)
  local format, err = formats.get(name or path:match "([^/]*)$":find("odhcpd", 1, true) and "odhcpd" or "leases")
  if not format then return nil, err end
  if not format.leases then
    return nil, core.error { code = "invalid", field = "format",
      message = ("'%s' is no format of leases; there are leases and odhcpd"):format(name) }
  end
  return format
end

local function read(paths, name)
  local found = { records = {}, errors = {} }
  for _, path in ipairs(paths) do
    local format, done, err
    format, err = format_of(path, name)
    if not format then return nil, err end
    done, err = read_leases(path, format, found)
    if not done then return nil, err end
  end
  return found
end

-- Leases that are hosts here and not in the file. Those without a client's tag came from elsewhere.
local function ended(store, events)
  local known, missing = {}, {}
  for _, event in ipairs(events) do
    known[event.ip .. " " .. event.client] = true
  end
  local hosts, err = store:list { origin = "dhcp" }
  if not hosts then return nil, err end
  for _, host in ipairs(hosts) do
    local client = lease.client_of(host)
    if client and not known[host.ip .. " " .. client] then
      missing[#missing + 1] = { action = "del", ip = host.ip, client = client }
    end
  end
  return missing
end

-- Why leases that no file has are not over, nil when they are; or false and an error.
local function doubt(store, found, gone, max_deletes)
  if #gone == 0 then
    return nil
  elseif found.broken then
    return found.broken .. " has lines that are no leases"
  elseif max_deletes == nil then
    return found.empty and found.empty .. " holds no lease; if they are to go, say so with max_deletes"
  end
  local total, err = store:count { origin = "dhcp" }
  if not total then return false, err end
  local limit = entry.delete_limit(max_deletes, total)
  if #gone > limit then return false, select(2, entry.too_many_deletes(#gone, limit)) end
  return nil
end

-- Takes away what is over. Returns how many were kept instead.
local function take_away(store, found, gone, options, bad)
  local reason, err = doubt(store, found, gone, options.max_deletes)
  if reason == false then return nil, err end
  if reason then
    local message = ("%d leases that are in no file were kept: %s"):format(#gone, reason)
    found.errors[#found.errors + 1] = { message = message }
    return #gone
  end
  local done
  done, err = drain.apply(store, gone, options.actor, bad)
  return done and 0, err
end

local function apply(store, found, path, options)
  local before, context, events, gone, done, err
  before, err = core.position(store)
  if not before then return nil, err end
  context, err = drain.context(store, path, options)
  if not context then return nil, err end
  events = {}
  for i, record in ipairs(found.records) do
    events[i] = to_event(record, context)
  end
  gone, err = ended(store, events)
  if not gone then return nil, err end
  local bad, count = {}, #found.errors
  local kept
  kept, err = take_away(store, found, gone, options, bad)
  if not kept then return nil, err end
  done, err = drain.apply(store, lease.order(events), options.actor, bad)
  if not done then return nil, err end
  for _, item in ipairs(bad) do
    local record = item.file or {}
    found.errors[#found.errors + 1] = { file = record.source, line = record.line, message = item.reason }
  end
  return { events = #events, written = core.position(store) - before, bad = count + #bad, kept = kept,
    errors = found.errors }
end

--- One transaction; a lease that is refused is reported, and the others go on. The files together are all the
--- leases there are.
return function(store, paths, name, spool, options)
  local found, err = read(paths, name)
  if not found then return nil, err end
  return store:transaction(function() return apply(store, found, spool, options) end)
end
