--- Reloads: once for however many changes, by one process at a time, and again when it has failed.
---
--- For each command there is a number of requests and the number up to which they have been met. Who has changed
--- an output asks for one.
local place = require "hoststore.publish.place"
local command = require "hoststore.publish.command"
local core = require "hoststore.core"
local neutral = require "hoststore.neutral"

local sys = core.sys
local reload = {}

--- What a reload is known by: two outputs with the same command share it.
---@param words string[]
---@return string key
function reload.key(words)
  return "reload-" .. sys.digest(table.concat(words, "\0"))
end

local function numbers(facts)
  return tonumber(facts.requested) or 0, tonumber(facts.done) or 0
end

local function time(fact)
  return fact and neutral.number(fact)
end

-- Nobody holds this lock for longer than the few lines here.
local function change(directory, words, fn)
  local lock, prefix = place.lock(directory, reload.key(words))
  if not lock then
    return nil, prefix
  end
  local facts = place.read(prefix)
  fn(facts, numbers(facts))
  local done, err = place.write(prefix, facts)
  lock:release()
  return done, err
end

--- Asks for a reload.
---@return true?, hoststore.Error? err
function reload.request(directory, words)
  return change(directory, words, function(facts, requested)
    facts.requested = ("%d"):format(requested + 1)
  end)
end

--- The number of the last request that has not been met, nil when all have.
function reload.due(directory, words)
  local requested, done = numbers(place.read(place.find(directory, reload.key(words))))
  return requested > done and requested or nil
end

---@class hoststore.Reload
---@field due boolean  it is still to be run: it has failed, or its process has been killed before
---@field succeeded_at number?  when it did the last time
---@field failed_at number?
---@field failure string?  what went wrong then; success does not make it forgotten

--- What is known of a reload, by whoever it was run.
---@return hoststore.Reload
function reload.known(directory, words)
  local facts = place.read(place.find(directory, reload.key(words)))
  local requested, done = numbers(facts)
  return { due = requested > done, succeeded_at = time(facts.succeeded_at),
    failed_at = time(facts.failed_at), failure = facts.failure }
end

local function wait(seconds)
  local deadline = sys.monotonic() + seconds
  while sys.monotonic() < deadline do
    sys.sleep(math.max(0, deadline - sys.monotonic()))
  end
end

local function run_once(directory, words, given)
  wait(given.delay)
  -- Looked at before it runs: what is asked for while it does may come too late for it.
  local requested = reload.due(directory, words)
  local good, err = command.reload(words, given.timeout)
  local noted, failure = change(directory, words, function(facts, _, done)
    if good then
      facts.done = ("%d"):format(math.max(done, requested or done))
    end
    local now = neutral.format("%.6f", sys.time())
    if good then
      facts.succeeded_at = now
    else
      facts.failed_at, facts.failure = now, err.message
    end
  end)
  if not good then
    return nil, err
  end
  return noted, failure
end

--- Runs it until all requests are met. Where another process is at it already, that one will look again.
---@param given { delay: number, timeout: number }
---@return true|"pending"|nil reloaded, hoststore.Error? err
function reload.run(directory, words, given)
  repeat
    local runner, err = place.lock(directory, reload.key(words) .. "-run", 0)
    if not runner then
      if err.code == "busy" then
        return "pending"
      end
      return nil, err
    end
    local done = true
    if reload.due(directory, words) then
      done, err = run_once(directory, words, given)
    end
    runner:release()
    if not done then
      return nil, err
    end
  until not reload.due(directory, words) -- asked for while it ran, by one who found the lock taken
  return true
end

return reload
