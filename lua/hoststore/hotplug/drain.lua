--- The drainer: brings the events of the spool into the store, many in one transaction.
---
--- Whoever holds the lock drains. A file is removed only after the commit: a crash in between leaves
--- it to be applied once more, which changes nothing.
local core = require "hoststore.core"
local apply = require "hoststore.hotplug.apply"
local clock = require "hoststore.hotplug.clock"
local lease = require "hoststore.hotplug.lease"
local spool = require "hoststore.hotplug.spool"

local sys = core.sys
local drain = {}

local BATCH = 1000
-- Events come in swarms: a moment's patience makes one commit of many, and spares the flash.
local PAUSE, PATIENCE = 0.1, 2

-- About one event, not about the store: the others can go on.
local REFUSALS = { invalid = true, duplicate = true, conflict = true, not_found = true }

-- When the lease ends: a time, null for never, nil when nobody knows or the clock is not credible.
-- `about`: reckoned, so a little different each time.
local function reckon_end(event, context)
  local expires, remaining = tonumber(event.expires or ""), tonumber(event.remaining or "")
  if not context.expiry then return core.null end
  if expires == 0 then return core.null end
  if not context.credible then return nil end
  local left = remaining and context.now.wall + remaining - (context.now.since_boot - event.since_boot)
  -- dnsmasq may have reckoned with a clock that was set since.
  if expires and (not left or math.abs(expires - left) <= 60) then
    return (event.action == "del" or expires > context.now.wall) and expires or nil
  end
  return left and math.floor(left + 0.5), true
end

-- A file of the spool as a lease, or nil and why it is none.
local function to_lease(event, context)
  if not event.client or not event.ip then return nil, "the event has no client or no address" end
  local client = lease.client(event.client, event.ip, event.iaid)
  if not client then return nil, "the client's MAC address or DUID is none" end
  local made = { file = event.file, action = event.action, ip = event.ip, client = client,
    name = lease.name(event.name), lost = lease.name(event.lost), domain = lease.name(event.domain),
    missing = event.missing }
  made.ends, made.about = reckon_end(event, context)
  return made
end

-- Reads the files; what is no event goes to `bad`, what ntpd said is heeded at once.
local function read_batch(path, names, bad)
  local events = {}
  for _, name in ipairs(names) do
    local event, message = spool.read(path, name)
    if not event then
      bad[#bad + 1] = { file = name, reason = message }
    elseif event.action == "ntp" then
      clock.trust(path, tonumber(event.at) or 0, event.since_boot)
    else
      event.file = name
      events[#events + 1] = event
    end
  end
  return events
end

local function to_leases(events, context, bad)
  local leases = {}
  for _, event in ipairs(events) do
    local made, message = to_lease(event, context)
    if made then
      leases[#leases + 1] = made
    else
      bad[#bad + 1] = { file = event.file, reason = message }
    end
  end
  return lease.reduce(leases)
end

-- One event alone: what it has written is undone when it is refused, whatever raised.
local function apply_one(store, event, by)
  local ok, done, err = pcall(store.transaction, store, function() return apply.event(store, event, by) end)
  if ok then return done, err end
  return nil, core.is_error(done) and done or core.error { code = "policy", message = tostring(done) }
end

-- A rule that refuses or fails does so for one host. When the rules cannot be used at all, the leases wait.
local function is_refusal(store, err)
  if err.code ~= "policy" then return REFUSALS[err.code] end
  return not require("hoststore.policy").fault(store)
end

--- Applies leases in the transaction of the caller. Refused ones are added to `bad`.
---@return true?, hoststore.Error?
function drain.apply(store, leases, by, bad)
  for _, event in ipairs(leases) do
    local done, err = apply_one(store, event, by)
    if not done then
      if not is_refusal(store, err) then return nil, err end
      bad[#bad + 1] = { file = event.file, reason = err.message }
    end
  end
  return true
end

local function context_of(store, path, options)
  local now = clock.now()
  local credible, err = clock.is_credible(path, store, now)
  if credible == nil then return nil, err end
  return { now = now, credible = credible, expiry = options.expiry ~= false }
end

local function apply_batch(store, path, events, options, bad)
  return store:transaction(function()
    local before, context, done, err
    before, err = core.position(store)
    if not before then return nil, err end
    context, err = context_of(store, path, options)
    if not context then return nil, err end
    done, err = drain.apply(store, to_leases(events, context, bad), options.actor or "dhcp", bad)
    if not done then return nil, err end
    return core.position(store) - before
  end)
end

local function clear(path, names, bad)
  local refused = {}
  for _, item in ipairs(bad) do
    refused[item.file] = true
    spool.put_aside(path, item.file, item.reason)
    spool.log(path, ("event %s refused: %s"):format(item.file, item.reason))
  end
  for _, name in ipairs(names) do
    if not refused[name] then spool.remove(path, name) end
  end
end

local function first(names, count)
  local part = {}
  for i = 1, math.min(#names, count) do
    part[i] = names[i]
  end
  return part
end

-- Waits until no more come, but not for ever.
local function settle(path, names)
  local deadline = sys.monotonic() + PATIENCE
  while #names > 0 and #names < BATCH and sys.monotonic() < deadline do
    sys.sleep(PAUSE)
    local later = spool.waiting(path) or names
    if #later == #names then return later end
    names = later
  end
  return names
end

local function drain_locked(store, path, options, result)
  while true do
    local names, message = spool.waiting(path)
    if not names then return nil, core.error { code = "query", message = message } end
    if #names == 0 then return true end
    names = first(options.patient and settle(path, names) or names, BATCH)
    local bad = {}
    local written, err = apply_batch(store, path, read_batch(path, names, bad), options, bad)
    if not written then return nil, err end
    clear(path, names, bad)
    result.events = result.events + #names
    result.bad = result.bad + #bad
    result.written = result.written + written
    result.transactions = result.transactions + 1
  end
end

-- Who finds the lock taken leaves its event to us, even when we have looked for the last time already:
-- so after letting go of the lock, look again.
local function drain_all(store, path, options, lock, result)
  while lock do
    local ok, done, err = pcall(drain_locked, store, path, options, result)
    lock:release()
    if not ok then error(done, 0) end
    if not done then return nil, err end
    local names = spool.waiting(path)
    if not names or #names == 0 then return true end
    lock = sys.lock(path .. "/lock")
  end
  return true
end

--- Drains the spool into the store.
---@param store hoststore.Store
---@param path string
---@param options { actor: string?, expiry: boolean?, patient: boolean? }?  expiry=false: leases get no end; patient:
---wait for more of a swarm
---@param lock table?  the lock of the spool; else it is taken here
---@return { events: integer, written: integer, bad: integer, transactions: integer }|false|nil result  false: another
---process drains
---@return hoststore.Error?
function drain.run(store, path, options, lock)
  local result = { events = 0, written = 0, bad = 0, transactions = 0 }
  if not lock then
    local ready, message = spool.prepare(path)
    if not ready then return nil, core.error { code = "readonly", message = message } end
    lock, message = sys.lock(path .. "/lock")
    if lock == nil then return nil, core.error { code = "query", message = message } end
    if not lock then return false end
  end
  local done, err = drain_all(store, path, options or {}, lock, result)
  if not done then return nil, err end
  return result
end

return drain
