--- Whether the clock may decide that something is over: that a snapshot is too old, a host has expired, a
--- lease ends. A router without a clock of its own boots in 1970, or in the year of its firmware, sometimes in
--- 2033; then it jumps. What is written then is in order all the same, but nothing may be removed by it.
---
--- Such a clock shows a time before hoststore was there, or before the newest event; or what was recorded in the
--- 30 days up to now has a hole of more than eleven months behind it: a long silence or a jump, nobody can tell. So
--- an event or a snapshot that was made on this side of the hole does not close it. ntpd's word is better than all
--- that: the file `clock` of the spool holds a moment at which wall and boot clock were seen together, and since the
--- boot it names, the two must have moved on alike.
---
--- A clock that a script gave to hoststore.open is judged by the log alone.
local core = require "hoststore.core"
local neutral = require "hoststore.neutral"
local spool = require "hoststore.hotplug.spool"

local sys = core.sys
local clock = {}

local DAY = 86400
-- Before this hoststore was not there, so no clock that is set says so: 2025-01-01.
clock.FLOOR = 1735689600
-- Machines that share a log differ by so much.
local SLACK = 60
-- A year that was set wrongly is a hole.
local HOLE, SETTLED = 330 * DAY, 30 * DAY
-- Whoever has recorded so much by a clock believes it.
local MANY = 10000

-- Stores that were opened with a clock of their own.
local given = setmetatable({}, { __mode = "k" })

--- Notes that a store has a clock that a script gave it.
function clock.give(store)
  given[store] = true
end

-- Times before this one were written by a clock that was not set.
local function floor_of(store)
  return given[store] and 0 or clock.FLOOR
end

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

--- ntpd says that the time is right, and said so when the wall clock showed `wall`.
---@param path string  the spool
---@param wall number
---@param since_boot number
function clock.trust(path, wall, since_boot)
  write_seen(path, wall, since_boot, "ntp")
end

local function disbelieve(format, ...)
  return nil, core.error { code = "conflict", message = format:format(...) }
end

local show = core.format_time

-- When the first event behind a position was written, by whatever clock; false when there is none.
local function time_behind(store, position)
  local events, err = core.events(store, { after = position, limit = 1 })
  if not events then return nil, err end
  return events[1] and events[1].recorded_at or false
end

-- Searches the newest events, in steps that grow, for one of a time from `floor` up to but not with `border`, and
-- then for the place where such a one is followed by another: some twenty reads at most, however long the log is.
-- Returns the times of both, false for what there is not, and whether there were too many events to find the
-- first. The times of a log need not rise: then what is found may be older than the newest such event.
local function search(store, floor, border)
  local right, err = core.position(store)
  if not right then return nil, err end
  local oldest, left, step, before, after = math.max(0, right - MANY), right, 1, false, false
  local function look(position)
    local time, failure = time_behind(store, position)
    if time == nil then
      err = failure
    elseif time and time >= floor and time < border then
      left, before = position, time
    else
      right, after = position, time
    end
    return time ~= nil
  end
  while not before and right > oldest do
    if not look(math.max(oldest, right - step)) then return nil, err end
    step = step * 4
  end
  while before and right - left > 1 do
    if not look(math.floor((left + right) / 2)) then return nil, err end
  end
  return before, after, not before and right > 0
end

-- When the newest event was written; false when there is none. Once the clock is set right, what is written next
-- heals the log.
local function newest_time(store)
  local position, err = core.position(store)
  if not position then return nil, err end
  return time_behind(store, math.max(0, position - 1))
end

local function check_newest(store, now)
  local newest, err = newest_time(store)
  if newest == nil then return nil, err end
  if newest and now < newest - SLACK then
    return disbelieve("the clock says %s, but the newest event is of %s", show(now), show(newest))
  end
  return true
end

-- What was recorded around the time from which the clock has settled: when the last was before it, and when the
-- first up to now since it.
local function around(store, now, floor)
  local border = now - SETTLED
  local before, after, many = search(store, floor, border)
  if before == nil then return nil, after end
  after = after and after >= border and after <= now and after or now
  if many or before and after - before <= HOLE then return before, after end
  local snapshots, err = store:snapshots()
  if not snapshots then return nil, err end
  for _, snapshot in ipairs(snapshots) do
    local time = snapshot.created_at
    if time >= floor and time < border then
      before = math.max(before or time, time)
    elseif time >= border and time <= now then
      after = math.min(after, time)
    end
  end
  return before, after
end

-- The hole that a time lies behind: its beginning and end; false when there is none.
local function find_hole(store, time, floor)
  local before, after = around(store, time, floor)
  if before == nil then return nil, after end
  if before and after - before > HOLE then return before, after end
  return false
end

local function check_holes(store, now, floor)
  local from, to = find_hole(store, now, floor)
  if from == nil then return nil, to end
  if not from then return true end
  return disbelieve("the clock says %s, but nothing was recorded between %s and %s", show(now), show(from),
    to == now and "now" or show(to))
end

-- The newest time of an event that can be believed; false when there is none.
local function believed_time(store, floor)
  local newest, err = search(store, floor, math.huge)
  if not newest then return newest, err end
  local from, to = find_hole(store, newest, floor)
  if from == nil then return nil, to end
  return from or newest
end

local function check_drift(seen, now)
  local drift = (now.wall - seen.wall) - (now.since_boot - seen.since_boot)
  if math.abs(drift) > DAY then
    return disbelieve("the clock says %s, but it was moved by %.0f days since it was seen last", show(now.wall),
      drift / DAY)
  end
  return true
end

--- What the clocks show.
---@return { wall: number, since_boot: number }
function clock.now()
  return { wall = sys.time(), since_boot = sys.monotonic() }
end

-- Whether a clock can be believed; else "conflict", and why not. That of the system is the one with a path, of the
-- spool. With `behind` it may be ahead after a hole, as nothing is over too early that is reckoned from it.
local function check(store, now, path, behind)
  local seen, floor = path and read_seen(path), path and clock.FLOOR or 0
  if seen then
    local good, err = check_drift(seen, now)
    if not good or seen.source == "ntp" then return good, err end
  end
  if now.wall < floor then return disbelieve("the clock says %s: it is not set", show(now.wall)) end
  local good, err = check_newest(store, now.wall)
  if not good or seen or behind then return good, err end
  return check_holes(store, now.wall, floor)
end

--- Whether the system's clock may say when a lease ends; else "conflict", and why not. A clock that can be believed is
--- remembered until the next boot, so that the log need not be read again.
---@param store hoststore.Store
---@param now { wall: number, since_boot: number }
---@param path string  the spool
---@return true?, hoststore.Error?
function clock.check_and_note(store, now, path)
  local good, err = check(store, now, path)
  if good and not read_seen(path) then write_seen(path, now.wall, now.since_boot, "seen") end
  return good, err
end

local function spool_of(store)
  return not given[store] and spool.directory() or nil
end

-- What the store's clock says, and whether that can be believed.
local function judge(store, behind)
  local now = core.now(store)
  return now, check(store, { wall = now, since_boot = sys.monotonic() }, spool_of(store), behind)
end

--- The time for who leaves out what has expired: that of the clock or, while it cannot be believed, the newest that
--- an event has and that can be. So nothing expires before its time.
---@param store hoststore.Store
---@return number? now, hoststore.Error? err, string? doubt  why the clock is not believed
function clock.to_expire_by(store)
  local now, good, err = judge(store)
  if good then return now end
  if err.code ~= "conflict" then return nil, err end
  local believed, failure = believed_time(store, floor_of(store))
  if believed == nil then return nil, failure end
  return believed or math.min(now, clock.FLOOR), nil, err.message
end

--- The time of the store's clock for who wants to remove what is older, or "conflict" when it cannot be
--- believed, unless `force` says that it is right. Nobody knows how old is what was made before `known`.
---@param store hoststore.Store
---@param force boolean?
---@return number? now, number|hoststore.Error known
function clock.to_remove_by(store, force)
  if force then return core.now(store), floor_of(store) end
  local now, good, err = judge(store)
  if good then return now, floor_of(store) end
  if err.code == "conflict" then
    err.message = err.message .. "; nothing is removed, unless you force it because the clock is right"
  end
  return nil, err
end

--- The time of the store's clock for who reckons from it when something will be over, or "conflict" when it is not
--- set, or behind the log.
---@param store hoststore.Store
---@return number? now, hoststore.Error? err
function clock.to_reckon_from(store)
  local now, good, err = judge(store, true)
  if good then return now end
  if err.code == "conflict" then err.message = err.message .. "; give a date, or set the clock" end
  return nil, err
end

return clock
