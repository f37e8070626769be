--- Whether the clock of the wall can be believed. A router without a clock of its own boots in 1970,
--- or in the year of its firmware, sometimes in 2033; then it jumps. While that may be so, no lease
--- gets an end.
---
--- The file `clock` of the spool holds a moment at which wall and boot clock were seen together: since
--- the boot it names, the two must have moved on alike.
local neutral = require "hoststore.neutral"
local spool = require "hoststore.hotplug.spool"
local sys = require("hoststore.core").sys

local clock = {}

local DAY = 86400
-- Before this hoststore was not there, so no clock that is set says so: 2025-01-01.
clock.FLOOR = 1735689600
local SLACK = 60

local function boot_id()
  local file = io.open("/proc/sys/kernel/random/boot_id", "rb")
  local id = file and file:read "*l"
  if file then file:close() end
  return id or "unknown"
end

local function read_seen(path)
  local text = sys.read_own(path .. "/clock", 1024)
  local boot, wall, since_boot, source = (text or ""):match "^(%S+) (%S+) (%S+) (%S+)\n$"
  if boot ~= boot_id() then return nil end
  return { wall = neutral.number(wall), since_boot = neutral.number(since_boot), source = source }
end

local function write_seen(path, wall, since_boot, source)
  spool.replace(path, "clock", table.concat({ boot_id(), neutral.format("%.6f", wall),
    neutral.format("%.6f", since_boot), source }, " ") .. "\n")
end

-- The newest change of a host: the clock has been there once, rightly or wrongly.
local function newest(store)
  local hosts, err = store:list { order = "updated", descending = true, limit = 1 }
  if not hosts then return nil, err end
  return hosts[1] and hosts[1].updated_at or 0
end

--- ntpd says that the time is right, and said so when the wall clock showed `wall`.
---@param path string  the spool
---@param wall number
---@param since_boot number
function clock.trust(path, wall, since_boot)
  write_seen(path, wall, since_boot, "ntp")
end

--- Whether the clock may decide when a lease ends.
---@param path string  the spool
---@param store hoststore.Store
---@param now { wall: number, since_boot: number }
---@return boolean? credible, hoststore.Error? err
function clock.is_credible(path, store, now)
  local seen = read_seen(path)
  if seen then
    local drift = (now.wall - seen.wall) - (now.since_boot - seen.since_boot)
    if math.abs(drift) > DAY then return false end
    if seen.source == "ntp" then return true end
  end
  local latest, err = newest(store)
  if not latest then return nil, err end
  if now.wall < clock.FLOOR or now.wall < latest - SLACK then return false end
  -- Without ntpd's word a long silence and a clock that is far ahead look the same. The change that is
  -- made now ends the silence.
  if not seen and latest > 0 and now.wall > latest + 30 * DAY then return false end
  if not seen then write_seen(path, now.wall, now.since_boot, "seen") end
  return true
end

--- What the clocks show.
function clock.now()
  return { wall = sys.time(), since_boot = sys.monotonic() }
end

return clock
