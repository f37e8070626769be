--- Leases of DHCP as hosts: events of dnsmasq and of OpenWrt's hotplug.d.
---
--- An event is put into a spool in a moment, without the database; a process in the background, one at
--- a time, brings what is there into the store. The settings are the environment's: HOSTSTORE_SPOOL, HOSTSTORE_DB,
--- HOSTSTORE_TENANT, HOSTSTORE_ACTOR, HOSTSTORE_LEASE_EXPIRY ("no": leases get no end) and HOSTSTORE_ON_CHANGE
--- (a program to run when hosts have changed).
local core = require "hoststore.core"
local spool = require "hoststore.hotplug.spool"

local sys = core.sys
local hotplug = { failures = 0 }

local function setting(name)
  local value = os.getenv(name)
  return value ~= "" and value or nil
end

local function settings(given)
  return {
    db = given.db or setting "HOSTSTORE_DB" or "/etc/hoststore/hoststore.db",
    tenant = given.tenant or setting "HOSTSTORE_TENANT",
    actor = given.actor or setting "HOSTSTORE_ACTOR" or "dhcp",
    expiry = setting "HOSTSTORE_LEASE_EXPIRY" ~= "no",
    on_change = setting "HOSTSTORE_ON_CHANGE",
  }
end

-- The program gets no word that came from a client.
local function announce(chosen)
  if chosen.on_change then
    os.execute("'" .. chosen.on_change:gsub("'", "'\\''") .. "'")
  end
end

local function with_store(chosen, fn)
  local store, err = require("hoststore").open(chosen.db, { tenant = chosen.tenant, actor = chosen.actor })
  if not store then return nil, err end
  local ok, result, failure = pcall(fn, store)
  store:close()
  if not ok then error(result, 0) end
  if result and result.written > 0 then announce(chosen) end
  return result, failure
end

-- What was given, with the spool it is about.
local function with_spool(given)
  given = given or {}
  return { db = given.db, tenant = given.tenant, actor = given.actor,
    spool = given.spool or spool.directory(given.db, given.tenant) }
end

--- Brings the events of the spool into the store: by hand, from cron, and in the background.
---@param given { db: string?, tenant: string?, actor: string?, spool: string? }?
---@param lock table?  the lock of the spool, when the caller has it
---@return { events: integer, written: integer, bad: integer, waiting: integer, transactions: integer }|false|nil result
---  bad: were put aside; waiting: will be tried again, as scripts of the policies fail on them; false: another process
---  drains
---@return hoststore.Error?
function hotplug.drain(given, lock)
  local chosen = settings(given or {})
  local path = with_spool(given).spool
  local drain, is_open = require "hoststore.hotplug.drain", false
  chosen.patient = lock ~= nil
  local result, err = with_store(chosen, function(store)
    is_open = true
    return drain.run(store, path, chosen, lock)
  end)
  if lock and not is_open then drain.thin(path) end
  return result, err
end

--- Brings the hosts of origin "dhcp" in step with files of leases, by the same rules as events: what servers
--- have written down when they send no events, or some were lost. What no file has is over, so give all of them;
--- but while one has a line that is no lease, or none at all, nothing is taken away.
---@param files string|string[]
---@param given { format: "leases"|"odhcpd"|nil, max_deletes: integer|string|nil, db: string?, tenant: string?,
---  actor: string?, spool: string? }?
---  format: by the name of each file, "odhcpd" in it or not; max_deletes: refuse to delete more, a number or "30%",
---  and delete as many when a file holds no lease
---@return { events: integer, written: integer, bad: integer, kept: integer, errors: table[] }?
---  errors: { file=, line=, message= }; kept: leases that are in no file, and stay as one of the files is not whole
---@return hoststore.Error?
function hotplug.sync(files, given)
  given = given or {}
  if type(files) == "string" then files = { files } end
  require("hoststore.entry").delete_limit(given.max_deletes, 0)
  local chosen, path = settings(given), with_spool(given).spool
  chosen.max_deletes = given.max_deletes
  -- It says what is known of the clock.
  local ready, message = spool.prepare(path)
  if not ready then return nil, core.error { code = "readonly", message = message } end
  return with_store(chosen, function(store)
    return require("hoststore.hotplug.sync")(store, files, given.format, path, chosen)
  end)
end

-- `given` as of hotplug.event, with the spool.
local function drain_alone(given, lock)
  local path = given.spool
  local ok, result, err = pcall(hotplug.drain, given, lock)
  if not ok or result == nil then
    spool.log(path, "the leases wait: " .. tostring(ok and err or result))
  end
  lock:release()
end

-- In a spool that was checked just now.
local function start_drainer(given)
  local lock, message = sys.lock(given.spool .. "/lock")
  if lock == nil then return nil, message end
  if not lock then return true end
  local begun, problem = sys.background(lock, function() drain_alone(given, lock) end)
  lock:release()
  return begun, problem
end

local function wake(given)
  local ready, message = spool.prepare(given.spool)
  if not ready then return nil, message end
  return start_drainer(given)
end

--- Starts a drainer in the background, unless there is one.
---@param path string?  the spool
---@return true?, string? message
function hotplug.wake(path)
  return wake(with_spool { spool = path })
end

-- Another drainer may be at work, so who is to have made the change is said with the event.
local function take(event, given)
  event.actor = given.actor
  local name, message = spool.write(given.spool, event)
  if name then
    start_drainer(given)
    return true
  end
  -- There may be no room in it any more while the database is back.
  wake(given)
  return nil, message
end

--- Takes the event that this process was started for.
---@param words string[]  dnsmasq's arguments, or the subsystem of hotplug.d
---@param given { db: string?, tenant: string?, actor: string?, spool: string? }?  in place of the environment's
---@return true?, string? message, boolean? misused  the words are no event
function hotplug.event(words, given)
  local of_process = require "hoststore.hotplug.event".of_process
  given = with_spool(given)
  local event, message = of_process(words)
  if message then return nil, message, true end
  if event then return take(event, given) end
  -- An interface that comes up is an occasion to try again what had to wait.
  if words[1] == "iface" and #(spool.waiting(given.spool) or {}) > 0 then wake(given) end
  return true
end

local function lease(action, given)
  local event = type(given) == "table" and require("hoststore.hotplug.event").of_call(action, given)
  if not event then return true end
  return take(event, with_spool())
end

--- For dnsmasq's --dhcp-luascript: `function lease(action, given) hoststore.hotplug.lease(action, given) end`. Never
--- raises, since an error would end all scripts of dnsmasq; `hotplug.failures` counts what went wrong and
--- `hotplug.last_failure` says what.
---@param action string
---@param given table
---@return boolean taken
function hotplug.lease(action, given)
  local ok, done, message = pcall(lease, action, given)
  if ok and done then return true end
  hotplug.failures = hotplug.failures + 1
  hotplug.last_failure = tostring(ok and message or done)
  return false
end

return hotplug
