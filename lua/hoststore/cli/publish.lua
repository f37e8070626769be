-- publish: one file, or all outputs that the policies or a file of outputs name.

local present = require "hoststore.cli.present"

local publish = {}

local COUNTERS = { "created", "updated", "enabled", "deleted" }
local ADOPTED = { "created", "updated", "enabled", "deleted", "dropped" }

local function usage_error(message)
  return nil, { code = "usage", message = message, hint = "hoststore publish --help" }
end

-- What to publish ---------------------------------------------------------------------------------

local function words(line)
  local list = {}
  for word in (line or ""):gmatch "%S+" do
    list[#list + 1] = word
  end
  return list[1] and list
end

local function one_output(options)
  return { {
    path = options.file, name = options.name, mode = options.mode, header = options.header,
    check = words(options.check), reload = words(options.reload), reload_delay = options.reload_delay,
  } }
end

local function read_outputs(path)
  local text, failure = require("hoststore.file").read_trusted(path, true)
  if not text then
    return nil, failure
  end
  local list, err = require("hoststore.json").decode(text)
  if type(list) ~= "table" or list[1] == nil and next(list) ~= nil then
    return nil, { code = "invalid",
      message = ("%s is no JSON array of outputs%s"):format(path, err and ": " .. tostring(err) or "") }
  end
  return list
end

local function all_outputs(store, options)
  if options.outputs then
    return read_outputs(options.outputs)
  elseif store.outputs then
    return store:outputs()
  end
  return usage_error "give the file to write, or --outputs"
end

-- How it went -------------------------------------------------------------------------------------

local function drift_json(drift)
  return present.object("path", present.json(drift.path), "kind", present.json(drift.kind),
    "against", present.json(drift.against), "lines", present.array(drift.lines, present.json),
    "more", present.json(drift.more))
end

local function error_json(err)
  return present.object("code", present.json(err.code), "message", present.json(err.message),
    "field", err.field and present.json(err.field), "line", err.line and present.json(err.line))
end

local function reload_json(reload)
  return present.object("due", present.json(reload.due), "succeeded_at", present.time_json(reload.succeeded_at),
    "failed_at", present.time_json(reload.failed_at), "failure", present.json(reload.failure))
end

local function result_json(result)
  return present.object(
    "name", present.json(result.name), "path", present.json(result.path), "mode", present.json(result.mode),
    "changed", present.json(result.changed), "written", present.json(result.written),
    "shards", result.shards and "{" .. present.members(result.shards, { "total", "written", "removed" }) .. "}",
    "skipped", result.skipped and present.json(result.skipped),
    "clock", result.clock and present.json(result.clock),
    "checked", result.checked ~= nil and present.json(result.checked),
    "reloaded", result.reloaded ~= nil and present.json(result.reloaded),
    "reload", result.reload and reload_json(result.reload),
    "adopted", result.adopted and "{" .. present.members(result.adopted, ADOPTED) .. "}",
    "drift", result.drift and present.array(result.drift, drift_json),
    "error", result.error and error_json(result.error)
  )
end

local function state(result, options)
  if result.error and not result.written then
    return "failed"
  elseif options.dry_run and (result.changed or result.adopted) then
    return result.adopted and "would be adopted" or "would be written"
  end
  return result.written and "written" or "unchanged"
end

local RELOADED = { [true] = "yes", [false] = "failed", pending = "by another" }

local function is_due(result, options)
  return options.dry_run and result.reload and result.reload.due
end

local function cells(result, options)
  return { result.name, result.path, state(result, options), result.checked and "yes" or "",
    is_due(result, options) and "due" or RELOADED[result.reloaded] or "" }
end

-- A reload that failed in the night, for who looks in the morning.
local function explain_reload(result, out)
  local reload = result.reload
  if reload and reload.failed_at then
    out:message(("%s: at %s %s%s"):format(result.name, present.time(reload.failed_at), reload.failure,
      reload.due and "" or "; it succeeded at " .. present.time(reload.succeeded_at)))
  end
end

-- The clock is the same for all of them.
local function explain_clock(results, out)
  for _, result in ipairs(results) do
    if result.clock then
      out:message(result.clock .. "; nothing expires meanwhile")
      return
    end
  end
end

local DRIFT = {
  changed = "%s was changed by hand:",
  unknown = "%s is not what hoststore has published:",
  unmarked = "%s has lost the lines its block was between:",
}

local function explain_adopted(adopted, out, dry_run)
  out:message((dry_run and "would be adopted: " or "adopted: ") .. present.counters(adopted, COUNTERS))
  if adopted.dropped > 0 then
    out:message(("%d line%s of comment or blank %s dropped: hoststore keeps hosts alone"):format(adopted.dropped,
      adopted.dropped == 1 and "" or "s", dry_run and "would be" or adopted.dropped == 1 and "was" or "were"))
  end
end

-- What people have to know besides: what was changed by hand, what became of it, what went wrong.
local function explain(result, options, out)
  if options.dry_run then
    explain_reload(result, out)
  end
  for _, drift in ipairs(result.drift or {}) do
    out:message(DRIFT[drift.kind]:format(drift.path))
    for _, line in ipairs(drift.lines) do
      out:message("  " .. line)
    end
    if drift.more > 0 then
      out:message(("  and %d more lines"):format(drift.more))
    end
  end
  if result.adopted then
    explain_adopted(result.adopted, out, options.dry_run)
  end
end

local function answer_one(result, options, out)
  if not out.json then
    explain_clock({ result }, out)
    explain(result, options, out)
    if is_due(result, options) then
      out:message "the reload is due: it has not succeeded since the last change"
    end
  end
  if result.error then
    result.error.drift = result.drift and present.array(result.drift, drift_json)
    return nil, result.error
  end
  return out:answer(("%s: %s"):format(state(result, options), options.file), function()
    return result_json(result)
  end)
end

-- A conflict only when nothing worse has happened.
local function exit_code(results)
  local code = 0
  for _, result in ipairs(results) do
    local err = result.error
    code = err and (err.code == "conflict" and code ~= 1 and 4 or 1) or code
  end
  return code
end

local function answer_all(results, options, out)
  if #results == 0 then
    out:message "there is no output to publish"
  end
  out:array(results, {
    columns = { "NAME", "PATH", "STATE", "CHECKED", "RELOADED" },
    cells = function(result) return cells(result, options) end,
    style = function(result) return result.error and "red" end,
    json = result_json,
  })
  if not out.json then
    explain_clock(results, out)
  end
  for _, result in ipairs(results) do
    if not out.json then
      explain(result, options, out)
      if result.error then
        out:message(result.name .. ": " .. result.error.message)
      end
    end
  end
  return exit_code(results)
end

function publish.publish(store, options, out)
  if options.file and options.outputs then
    return usage_error "give the file to write or --outputs, not both"
  end
  local list, err
  if options.file then
    list = one_output(options)
  else
    list, err = all_outputs(store, options)
  end
  if not list then
    return nil, err
  end
  local results = store:publish_outputs(list, { force = options.force, adopt = options.adopt,
    max_deletes = options.max_deletes, dry_run = options.dry_run, reason = options.reason })
  if options.file then
    return answer_one(results[1], options, out)
  end
  return answer_all(results, options, out)
end

return publish
