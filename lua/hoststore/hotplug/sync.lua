--- The leases of files, applied as if each had been told of just now.
local core = require "hoststore.core"
local drain = require "hoststore.hotplug.drain"
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
  local done
  done, err = file.try(function()
    for line, record, message in format.leases(lines) do
      if record then
        record.line, record.source = line, path
        found.records[#found.records + 1] = record
      else
        found.errors[#found.errors + 1] = { file = path, line = line, message = message }
      end
    end
    return true
  end)
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
  local bad = {}
  done, err = drain.apply(store, gone, options.actor, bad)
  if done then done, err = drain.apply(store, lease.order(events), options.actor, bad) end
  if not done then return nil, err end
  for _, item in ipairs(bad) do
    found.errors[#found.errors + 1] = { file = item.file.source, line = item.file.line, message = item.reason }
  end
  return { events = #events, written = core.position(store) - before, bad = #found.errors, errors = found.errors }
end

--- One transaction; a lease that is refused is reported, and the others go on. The files together are all the
--- leases there are.
return function(store, paths, name, spool, options)
  local found, err = read(paths, name)
  if not found then return nil, err end
  return store:transaction(function() return apply(store, found, spool, options) end)
end
