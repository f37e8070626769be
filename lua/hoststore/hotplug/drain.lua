--- The drainer: brings the events of the spool into the store, many in one transaction.
---
--- Whoever holds the lock drains. A file is removed only after the commit: a crash in between leaves
--- it to be applied once more, which changes nothing.
---
--- What is refused for what it says is put aside, and the others go on. What may succeed later waits: all events
--- while the store cannot be written, and one alone where a script of the policies fails on it.
local core = require "hoststore.core"
local apply = require "hoststore.hotplug.apply"
local clock = require "hoststore.clock"
local file = require "hoststore.file"
local lease = require "hoststore.hotplug.lease"
local neutral = require "hoststore.neutral"
local spool = require "hoststore.hotplug.spool"

local sys = core.sys
local drain = {}

-- Events come in swarms: a moment's patience makes one commit of many, and spares the flash.
local PAUSE, PATIENCE = 0.1, 2

-- About one event, not about the store: the others can go on.
local REFUSALS = { invalid = true, duplicate = true, conflict = true, not_found = true, policy = true }
-- When scripts fail on so many events, the rest is left to the next drainer: a script that never ends takes its time to
-- be stopped, and begins anew only so often. When one took longer than this, the rest is left to the next transaction,
-- so that others can write in between.
local FAILURES, HOLD = 8, 1

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
    return expires > (event.action == "del" and clock.FLOOR or context.now.wall) and expires or nil
  end
  return left and math.floor(left + 0.5), true
end

-- A file of the spool as a lease, or nil and why it is none.
local function to_lease(event, context)
  if not event.client or not event.ip then return nil, "the event has no client or no address" end
  local client = lease.client(event.client, event.ip, event.iaid)
  if not client then return nil, "the client's MAC address or DUID is none" end
  local domain = lease.name(event.domain)
  local name, foreign = lease.client_name(event.name, domain)
  local made = { file = event.file, action = event.action, ip = event.ip, client = client, domain = domain,
    name = name, foreign = foreign, lost = lease.client_name(event.lost, domain),
    missing = event.missing, actor = event.actor, tries = spool.tries(event.file) }
  made.said, made.version = made.name, tonumber(event.expires or "")
  if made.version == 0 then made.version = nil end
  made.ends, made.about = reckon_end(event, context)
  return made
end

-- Reads the files; what is no event is refused. What ntpd said is heeded at once, and those files are no more
-- needed. When one cannot be read all wait, so that they keep their order.
local function read_all(path, names, refused)
  local events, heeded = {}, {}
  for _, name in ipairs(names) do
    local event, message, passing = spool.read(path, name)
    if passing then
      return nil, core.error { code = "query", message = message }
    elseif event == nil then
      refused[#refused + 1] = { file = name, reason = message }
    elseif event and event.action == "ntp" then
      clock.trust(path, event.at and neutral.number(event.at) or 0, event.since_boot)
      heeded[#heeded + 1] = { file = name }
    elseif event then
      event.file = name
      events[#events + 1] = event
    end
  end
  return events, heeded
end

local function to_leases(events, context, refused)
  local leases = {}
  for _, event in ipairs(events) do
    local made, message = to_lease(event, context)
    if made then
      leases[#leases + 1] = made
    else
      refused[#refused + 1] = { file = event.file, reason = message }
    end
  end
  return leases
end

-- One event alone: what it has written is undone when it is refused, whatever raised. Want of memory is
-- nothing the event can be blamed for.
local function apply_one(store, event, by)
  local ok, done, err = pcall(store.transaction, store, function() return apply.event(store, event, by) end)
  if ok then return done, err end
  if tostring(done):find("not enough memory", 1, true) then error(done, 0) end
  return nil, core.is_error(done) and done or core.error { code = "invalid", message = tostring(done) }
end

-- A script of the policies that failed, and not one that refused the host: that would name a field.
local function is_failed_script(err)
  return err.code == "policy" and err.field == nil
end

-- Whether an event was refused, and the others can go on: true, or "waits" when a script failed on it, which
-- will be mended. When no script can be used at all, or the store cannot be written, all wait.
local function judge(store, err)
  if not is_failed_script(err) then return REFUSALS[err.code] end
  return not require("hoststore.policy").fault(store) and "waits"
end

--- Applies leases in the transaction of the caller. Those that are not are added to `refused`, with what they are
--- about and the reason; `waits` says that they may succeed later, `is_tried` that it was seen, `is_next` that they
--- are for the next transaction. That is for who has a tally of failures, over all transactions that belong together.
---@return true?, hoststore.Error?
function drain.apply(store, leases, by, refused, tally)
  local begun, is_long = sys.monotonic(), false
  local failed = tally or { failures = 0 }
  local function refuse(event, reason, waits, is_tried)
    refused[#refused + 1] = { file = event.file, event = event, reason = reason, waits = waits, is_tried = is_tried,
      is_next = waits and not is_tried and failed.failures < FAILURES }
  end
  for _, event in ipairs(leases) do
    if is_long or failed.failures == FAILURES then
      refuse(event, "scripts of the policies fail on others", true, false)
    else
      local done, err = apply_one(store, event, event.actor or by)
      local refusal = done or judge(store, err)
      if not refusal then return nil, err end
      if not done then refuse(event, err.message, refusal == "waits", true) end
      if refusal == "waits" then
        failed.failures = failed.failures + 1
        is_long = tally ~= nil and sys.monotonic() - begun > HOLD
      end
    end
  end
  return true
end

--- What decides when leases end: the clocks, and whether the one on the wall may have a say.
---@return { now: table, credible: boolean, expiry: boolean }?, hoststore.Error?
function drain.context(store, path, options)
  local now, expiry = clock.now(), options.expiry ~= false
  local good, err = clock.check_and_note(store, now, path)
  if not good then
    if err.code ~= "conflict" then return nil, err end
    if expiry then spool.log(path, "leases get no end: " .. err.message) end
  end
  return { now = now, credible = good == true, expiry = expiry }
end

-- Returns how many events were written, and the leases that were told of.
local function apply_all(store, path, events, options, refused, tally)
  local leases
  local written, err = store:transaction(function()
    local before, context, done, err
    before, err = core.position(store)
    if not before then return nil, err end
    context, err = drain.context(store, path, options)
    if not context then return nil, err end
    leases = to_leases(events, context, refused)
    done, err = drain.apply(store, lease.reduce(leases), options.actor or "dhcp", refused, tally)
    if not done then return nil, err end
    return core.position(store) - before
  end)
  return written, written and leases or err
end

-- The files of events that stay: those that wait, and what has to be told of together with them.
local function files_that_stay(leases, refused)
  local waiting, files = {}, {}
  for _, item in ipairs(refused) do
    if item.waits then waiting[item.event] = true end
  end
  for event in pairs(next(waiting) and lease.related(leases, waiting) or {}) do
    files[event.file] = true
  end
  return files
end

-- Clears away what is done and what was refused. Returns how many were put aside, the names of what waits, and how many
-- are left to the next transaction, those that are `known` to wait not among them.
local function clear(path, names, leases, refused, known)
  local stay, gone, bad, left = files_that_stay(leases, refused), {}, 0, 0
  for _, item in ipairs(refused) do
    if not item.waits then
      spool.put_aside(path, item.file, item.reason)
      spool.log(path, ("event %s refused: %s"):format(item.file, item.reason))
      gone[item.file], stay[item.file], bad = true, nil, bad + 1
    elseif item.is_tried then
      spool.log(path, ("event %s waits: %s"):format(item.file, item.reason))
      gone[item.file], stay[item.file] = true, nil
      stay[spool.keep(path, item.file)] = true
    elseif item.is_next and not known[item.file] then
      gone[item.file], stay[item.file], left = true, nil, left + 1
    end
  end
  for _, name in ipairs(names) do
    if not (gone[name] or stay[name]) then spool.remove(path, name) end
  end
  return bad, stay, left
end

-- Waits until no more come, but not for ever.
local function settle(path, names)
  local deadline = sys.monotonic() + PATIENCE
  while #names > 0 and sys.monotonic() < deadline do
    sys.sleep(PAUSE)
    local later = spool.waiting(path) or names
    if #later == #names then return later end
    names = later
  end
  return names
end

local function has_other(names, known)
  for _, name in ipairs(names) do
    if not known[name] then return true end
  end
  return false
end

local function count(set)
  local n = 0
  for _ in pairs(set) do n = n + 1 end
  return n
end

-- `result.stay` has the names of what this drainer has tried already.
local function drain_locked(store, path, options, result)
  local tally, left = nil, 0
  spool.sweep(path)
  while true do
    tally = left > 0 and tally or { failures = 0 }
    local names, message = spool.waiting(path)
    if not names then return nil, core.error { code = "query", message = message } end
    if not has_other(names, result.stay) then return true end
    names = options.patient and settle(path, names) or names
    local refused = {}
    local events, err = read_all(path, names, refused)
    if not events then return nil, err end
    local written, leases = apply_all(store, path, events, options, refused, tally)
    if not written then return nil, leases end
    local bad, stay, next_left = clear(path, names, leases, refused, result.stay)
    result.events, left = result.events + #names - count(result.stay) - next_left, next_left
    result.bad, result.stay, result.waiting = result.bad + bad, stay, count(stay)
    result.written = result.written + written
    result.transactions = result.transactions + 1
    if left > 0 then sys.sleep(PAUSE) end -- or who waits for the lock, and looks now and then, would hardly get it
  end
end

--- Removes events that say nothing any more, since later ones say something else: what waits for a store that
--- cannot be written does not grow with every renewal. For who has the lock.
---@param path string
function drain.thin(path)
  local events, heeded = read_all(path, spool.waiting(path) or {}, {})
  if not events then return end
  local _, idle = lease.reduce(to_leases(events, { expiry = false }, {}))
  for _, list in ipairs { heeded, idle } do
    for _, event in ipairs(list) do spool.remove(path, event.file) end
  end
end

-- Who finds the lock taken leaves its event to us, even when we have looked for the last time already:
-- so after letting go of the lock, look again.
local function drain_all(store, path, options, lock, result)
  while lock do
    local ok, done, err = pcall(drain_locked, store, path, options, result)
    -- Whatever becomes of that: others need the lock.
    if not (ok and done) then pcall(drain.thin, path) end
    lock:release()
    if not ok then error(done, 0) end
    if not done then return nil, err end
    local names = spool.waiting(path)
    if not names or not has_other(names, result.stay) then return true end
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
---@return { events: integer, written: integer, bad: integer, waiting: integer, transactions: integer }|false|nil result
---  false: another process drains
---@return hoststore.Error?
function drain.run(store, path, options, lock)
  local result = { events = 0, written = 0, bad = 0, waiting = 0, transactions = 0, stay = {} }
  if not lock then
    local ready, message = spool.prepare(path)
    if not ready then return nil, core.error { code = "readonly", message = message } end
    local errno
    lock, message, errno = sys.lock(path .. "/lock")
    if lock == nil then return nil, file.failure(message, errno) end
    if not lock then return false end
  end
  local done, err = drain_all(store, path, options or {}, lock, result)
  if not done then return nil, err end
  result.stay = nil
  return result
end

return drain
