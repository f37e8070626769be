-- import, export, plan, backup.

local hosts = require "hoststore.cli.hosts"
local present = require "hoststore.cli.present"

local files = {}

local COUNTERS = { "processed", "created", "updated", "unchanged", "skipped", "deleted", "failed" }

local function source(options, out)
  return options.file == "-" and out.stdin or options.file
end

local function print_errors(errors, options, out)
  local name = options.file == "-" and "stdin" or options.file
  for _, err in ipairs(errors) do
    out:message(err.line and ("%s:%d: %s"):format(name, err.line, err.message) or err.message)
  end
end

local function error_json(err)
  return present.object("line", err.line and present.json(err.line), "message", present.json(err.message),
    "code", present.json(err.code or "invalid"))
end

local function result_json(result)
  return ('{%s,"errors":%s}'):format(present.members(result, COUNTERS), present.array(result.errors, error_json))
end

function files.import(store, options, out)
  local result, err = store:import(source(options, out), {
    format = options.format,
    mode = options.mode,
    origin = options.origin,
    dry_run = options.dry_run,
    max_deletes = options.max_deletes,
    reason = options.reason,
    progress = function(processed)
      out:progress(("%d processed"):format(processed))
    end,
  })
  out:clear_progress()
  if not result then
    return nil, err
  end
  if out.json then
    out:value(result_json(result))
  else
    print_errors(result.errors, options, out)
    out:line((options.dry_run and "would be: " or "") .. present.counters(result, COUNTERS))
  end
  return result.failed > 0 and 1 or 0
end

-- The entries of a file with the line each begins in, the fields such a file carries, and what could
-- not be read.
local function read_entries(options, out)
  local formats, Lines = require "hoststore.format", require "hoststore.lines"
  local format, err = formats.get(options.format or formats.guess(options.file))
  if not format then
    return nil, err
  end
  local lines
  lines, err = Lines.open(source(options, out))
  if not lines then
    return nil, err
  end
  local found = { entries = {}, lines = {}, errors = {}, fields = format.fields }
  for line, entry, message in format.read(lines, found) do
    if entry then
      found.entries[#found.entries + 1], found.lines[#found.lines + 1] = entry, line
    else
      found.errors[#found.errors + 1] = { line = line, message = message }
    end
  end
  lines:close()
  return found
end

local function plan_json(plan, errors)
  return present.object(
    "add", present.array(plan.add, present.planned_json),
    "update", present.array(plan.update, present.planned_change_json),
    "delete", present.array(plan.delete, present.host_json),
    "unchanged", present.json(#plan.unchanged),
    "errors", present.array(errors, error_json)
  )
end

function files.plan(store, options, out)
  local found, plan, err
  found, err = read_entries(options, out)
  if not found then
    return nil, err
  end
  plan, err = store:plan { entries = found.entries, fields = found.fields, origin = options.origin,
    mode = options.mode or "skip" }
  if not plan then
    err.line = found.lines[err.index]
    return nil, err
  end
  local errors = found.errors
  for _, invalid in ipairs(plan.invalid) do
    errors[#errors + 1] = { line = found.lines[invalid.index], message = invalid.message, code = invalid.code }
  end
  if out.json then
    out:value(plan_json(plan, errors))
  else
    print_errors(errors, options, out)
    require("hoststore.cli.history").print_changes(plan.add, plan.delete, plan.update, out)
    out:message(("%d to add, %d to update, %d to delete, %d unchanged, %d failed"):format(
      #plan.add, #plan.update, #plan.delete, #plan.unchanged, #errors))
  end
  return #errors > 0 and 1 or 0
end

function files.export(store, options, out)
  -- Through the writer that knows a reader who went away from a full disk.
  local target = options.file or {
    write = function(_, text)
      out:write(text)
      return true
    end,
  }
  local count, skipped = store:export(options.format, target, hosts.filter(options))
  if not count then
    return nil, skipped
  elseif options.file then
    out:message(("hosts written to %s: %d"):format(options.file, count))
  end
  if skipped and skipped > 0 then
    out:message(("hosts left out, as their names cannot stand in %s: %d"):format(options.format, skipped))
  end
  return 0
end

function files.backup(store, options, out)
  local ok, err = store:backup(options.file)
  if not ok then
    return nil, err
  end
  return out:answer("backed up to " .. options.file, function()
    return present.object("file", present.json(options.file))
  end)
end

return files
