-- policy check, test, explain, apply.

local present = require "hoststore.cli.present"
local values = require "hoststore.cli.values"

local policy = {}

local DEFAULT_DIRECTORY = "/etc/hoststore/policies"

-- The directory that is named, or else that of the database.
local function directory_of(database, options)
  if options.directory then
    return options.directory
  end
  local target, err = require("hoststore.url").parse(database)
  if not target then
    return nil, err
  end
  return target.options.policies or DEFAULT_DIRECTORY
end

-- What `fn` of the policies says of their directory.
local function ask(fn, database, options)
  local directory, err = directory_of(database, options)
  if not directory then
    return nil, err
  end
  return require("hoststore.policy")[fn](directory)
end

local function error_json(err)
  return present.object("line", err.line and present.json(err.line), "message", present.json(err.message))
end

local function file_json(file)
  return present.object("file", present.json(file.name), "rules", present.json(file.rules),
    "tests", present.json(file.tests), "errors", file.errors[1] and present.array(file.errors, error_json),
    "warnings", file.warnings[1] and present.array(file.warnings, error_json))
end

local function print_file(file, out)
  if not file.errors[1] then
    out:line(("%s: rules: %d, tests: %d"):format(file.name, file.rules, file.tests))
  end
  for _, err in ipairs(file.errors) do
    out:line(err.message, "red")
  end
  for _, warning in ipairs(file.warnings) do
    out:message(warning.message .. " (on this machine)")
  end
end

function policy.policy_check(database, options, out)
  local files, err = ask("check", database, options)
  if not files then
    return nil, err
  end
  local broken = 0
  for _, file in ipairs(files) do
    broken = broken + (file.errors[1] and 1 or 0)
  end
  if out.json then
    out:value(present.object("ok", tostring(broken == 0), "files", present.array(files, file_json)))
    return broken > 0 and 1 or 0
  end
  for _, file in ipairs(files) do
    print_file(file, out)
  end
  out:line(broken > 0 and ("broken: %d of %d files"):format(broken, #files) or ("ok: files: %d"):format(#files))
  return broken > 0 and 1 or 0
end

local function result_json(result)
  return present.object("file", present.json(result.file), "line", result.line and present.json(result.line),
    "name", present.json(result.name), "ok", tostring(not result.problem),
    "problem", result.problem and present.json(result.problem))
end

function policy.policy_test(database, options, out)
  local results, err = ask("test", database, options)
  if not results then
    return nil, err
  end
  local failed = 0
  for _, result in ipairs(results) do
    failed = failed + (result.problem and 1 or 0)
  end
  if out.json then
    out:value(present.object("passed", present.json(#results - failed), "failed", present.json(failed),
      "tests", present.array(results, result_json)))
    return failed > 0 and 1 or 0
  end
  for _, result in ipairs(results) do
    if result.problem then
      out:line(("%s:%d: %s: %s"):format(result.file, result.line or 0, result.name, result.problem), "red")
    end
  end
  out:line(("%d passed, %d failed"):format(#results - failed, failed))
  return failed > 0 and 1 or 0
end

local function said(line)
  local parts = {}
  local function add(what, list)
    if list then
      parts[#parts + 1] = what .. " " .. table.concat(list, ", ")
    end
  end
  add("changes", line.changed)
  add("adds", line.added)
  add("removes", line.removed)
  if line.refused then
    parts[#parts + 1] = ("refuses %s: %s"):format(line.field, line.message)
  end
  if parts[1] then
    return table.concat(parts, "; ")
  elseif line.refused == false then
    return "accepts"
  end
  return line.matched and "matches, nothing to change" or "-"
end

local function texts_json(list)
  return list and present.array(list, present.json)
end

local function line_json(line)
  return present.object("file", present.json(line.file), "line", line.line and present.json(line.line),
    "rule", present.json(line.rule), "kind", present.json(line.kind), "matched", tostring(line.matched),
    "refused", line.refused ~= nil and tostring(line.refused) or nil, "says", present.json(said(line)),
    "changed", texts_json(line.changed), "added", texts_json(line.added), "removed", texts_json(line.removed),
    "message", line.message and present.json(line.message), "field", line.field and present.json(line.field))
end

-- The host that is meant: one that is there, or with an address, a name and tags one that is not.
local function subject(store, options)
  local host, err
  if #options.tags == 0 then
    host, err = values.host(store, options.host, options.hostname)
  elseif not options.hostname then
    return nil, { code = "usage", message = "--tag belongs to a host that is not there: give its address and its name" }
  end
  if host or err and err.code ~= "not_found" or not options.hostname then
    return host, err
  end
  return { ip = options.host, hostname = options.hostname, tags = options.tags }
end

function policy.policy_explain(store, options, out)
  local host, lines, err
  host, err = subject(store, options)
  if not host then
    return nil, err
  end
  lines, err = store:explain_policies(host)
  if not lines then
    return nil, err
  end
  return out:array(lines, {
    columns = { "FILE", "RULE", "KIND", "SAYS" },
    cells = function(line)
      return { ("%s:%d"):format(line.file, line.line or 0), line.rule, line.kind, said(line) }
    end,
    json = line_json,
  })
end

local function deeds(store, host, changes, is_meant)
  local found = {}
  for _, line in ipairs(store:explain_policies(host, changes) or {}) do
    if (line.changed or line.added or line.removed) and is_meant(line) then
      found[#found + 1] = ("%s:%d: rule '%s' %s"):format(line.file, line.line or 0, line.rule, said(line))
    end
  end
  return found
end

--- What the rules turned a change into that came to nothing: lines for a message.
---@return string[]
function policy.overrules(store, host, changes)
  return deeds(store, host, changes, function() return true end)
end

local KEY = { ip = true, hostname = true }

-- Whether a rule has changed what was refused.
local function has_a_part(line, err)
  for _, field in ipairs(line.changed or {}) do
    if err.code == "duplicate" and KEY[field]
      or err.code == "policy" and (err.field == field or err.field == "host") then
      return true
    end
  end
  return false
end

--- The refusal of a change, or of a new host, with the rules that made of it what was refused.
---@return hoststore.Error
function policy.blamed(store, err, host, changes)
  local found = deeds(store, host, changes, function(line) return has_a_part(line, err) end)
  if found[1] then
    err.message = ("%s (%s)"):format(err.message, table.concat(found, "; "))
  end
  return err
end

local COUNTERS = { "updated", "refused", "unchanged" }

local function update_json(change)
  return present.object("id", present.json(change.before.id), "ip", present.json(change.before.ip),
    "hostname", present.json(change.before.hostname), "changes", present.json(change.changes))
end

local function refused_json(item)
  return present.object("id", present.json(item.host.id), "ip", present.json(item.host.ip),
    "hostname", present.json(item.host.hostname), "message", present.json(item.message),
    "field", present.json(item.field))
end

local FIELDS = { "ip", "hostname", "aliases", "comment", "tags", "enabled", "expires_at", "origin" }

local function shown(value)
  return type(value) == "table" and table.concat(value, ",") or value ~= nil and tostring(value) or ""
end

local function changes_text(change)
  local parts = {}
  for _, field in ipairs(FIELDS) do
    local value = change.changes[field]
    if value ~= nil then
      parts[#parts + 1] = ("%s %s -> %s"):format(field, shown(change.before[field]),
        value == require("hoststore").null and "" or shown(value))
    end
  end
  return table.concat(parts, "; ")
end

local function print_plan(plan, out)
  for _, change in ipairs(plan.update) do
    out:line(("%s %s: %s"):format(change.before.ip, change.before.hostname, changes_text(change)))
  end
  for _, item in ipairs(plan.refused) do
    out:message(("%s %s would be refused today: %s"):format(item.host.ip, item.host.hostname, item.message))
  end
end

function policy.policy_apply(store, options, out)
  local plan, result, err
  plan, err = store:plan_policies()
  if not plan then
    return nil, err
  end
  result = { updated = #plan.update, refused = #plan.refused, unchanged = plan.unchanged }
  if not options.dry_run then
    result, err = plan:apply { reason = options.reason }
    if not result then
      return nil, err
    end
  end
  if out.json then
    out:value(("{%s,%s,%s}"):format(present.members(result, COUNTERS),
      '"update":' .. present.array(plan.update, update_json),
      '"refuse":' .. present.array(plan.refused, refused_json)))
    return 0
  end
  print_plan(plan, out)
  out:line((options.dry_run and "would be: " or "") .. present.counters(result, COUNTERS))
  return 0
end

return policy
