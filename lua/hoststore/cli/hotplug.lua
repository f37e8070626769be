-- hotplug: events of leases, and what is done about them.

local hotplug = require "hoststore.hotplug"
local present = require "hoststore.cli.present"

local command = {}

local COUNTERS = { "events", "written", "bad", "kept" }
local DRAIN_COUNTERS = { "events", "written", "bad", "waiting" }

local function answer(result, out, counters)
  for _, err in ipairs(result.errors or {}) do
    out:message(err.file and ("%s:%d: %s"):format(err.file, err.line, err.message) or err.message)
  end
  if out.json then
    out:value("{" .. present.members(result, counters) .. "}")
  else
    out:line(present.counters(result, counters))
  end
  return result.bad + (result.waiting or 0) + (result.kept or 0) > 0 and 1 or 0
end

local function drain(options, out)
  local result, err = hotplug.drain(options)
  if result == false then
    return out:answer("another process does it", function() return '{"busy":true}' end)
  elseif not result then
    return nil, err
  end
  return answer(result, out, DRAIN_COUNTERS)
end

local function sync(options, out)
  local result, err = hotplug.sync(options.leases, options)
  if not result then
    return nil, err
  end
  return answer(result, out, COUNTERS)
end

local function misuse(message)
  return nil, { code = "usage", message = message, hint = "hoststore hotplug --help" }
end

-- Nothing that was asked for is passed over.
local function check(options)
  if options.readonly then
    return misuse "hotplug writes; leave --readonly out"
  elseif options.reason then
    return misuse "what leases change has its reason; leave --reason out"
  elseif options.event[1] and (options.drain or options.leases[1]) then
    return misuse(("'%s' is an event, and stands without --drain and --leases; give --leases before each file")
      :format(options.event[1]))
  end
  return true
end

--- Runs the command, which opens a store only for what takes one.
function command.run(options, out)
  local good, err = check(options)
  if not good then
    return nil, err
  elseif options.leases[1] then
    return sync(options, out)
  elseif options.drain then
    return drain(options, out)
  end
  local done, message, misused = hotplug.event(options.event, options)
  if misused then
    return misuse(message)
  elseif not done then
    return nil, { code = "failed", message = message }
  end
  return 0
end

return command
