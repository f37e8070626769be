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

--- Runs the command, which opens a store only for what takes one.
function command.run(options, out)
  if options.leases[1] then
    return sync(options, out)
  elseif options.drain then
    return drain(options, out)
  end
  local done, message = hotplug.event(options.event)
  if not done then
    return nil, { code = "failed", message = message }
  end
  return 0
end

return command
