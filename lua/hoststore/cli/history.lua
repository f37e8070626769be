-- history, log, at, diff, undo.

local hosts = require "hoststore.cli.hosts"
local present = require "hoststore.cli.present"
local values = require "hoststore.cli.values"

local history = {}

-- As many changes as `log` shows unless told otherwise.

local NEWEST = 50

local function change_words(entry)
  if not entry.host then
    return present.stored(entry.data)
  elseif entry.type == "HostCreated" or entry.type == "HostDeleted" then
    return present.host(entry.host)
  end
  return present.changes(entry.changes)
end

function history.history(store, options, out)
  local id, err = values.host_id(store, options.host, options.hostname)
  if not id then
    return nil, err
  end
  local entries
  entries, err = store:history(id, { limit = options.limit, json = true })
  if not entries then
    return nil, err
  end
  return out:array(entries, {
    columns = { "VERSION", "POSITION", "TIME", "ACTOR", "TYPE", "CHANGE", "REASON" },
    cells = function(entry)
      return {
        ("%d"):format(entry.version), ("%d"):format(entry.position), present.time(entry.at),
        entry.actor or "", entry.type, change_words(entry), entry.reason or "",
      }
    end,
    json = present.entry_json,
  })
end

-- The position the log ends at: what a view by time stops at, whatever the time.
local function end_of_log(store)
  local view, err = store:at(0)
  return view and view.position, err
end

local function reversed(list)
  local turned = {}
  for i = #list, 1, -1 do
    turned[#turned + 1] = list[i]
  end
  return turned
end

-- The newest entries, the oldest of them first; behind a position, those that follow it.
local function read_log(store, options)
  local limit = options.limit or NEWEST
  local filter = {
    since = options.since,
    actor = options.by,
    types = #options.types > 0 and options.types or nil,
    stream = options.stream,
    json = true,
  }
  filter.limit, filter.after, filter.descending = limit, options.after, options.after == nil
  local entries, err = store:log(filter)
  if not entries then
    return nil, err
  end
  return filter.descending and reversed(entries) or entries
end

function history.log(store, options, out)
  local entries, err = read_log(store, options)
  if not entries then
    return nil, err
  end
  return out:array(entries, {
    columns = { "POSITION", "TIME", "ACTOR", "TYPE", "HOST", "CHANGE", "REASON" },
    cells = function(entry)
      return {
        ("%d"):format(entry.position), present.time(entry.at), entry.actor or "", entry.type,
        entry.host and entry.host.hostname or entry.stream, change_words(entry), entry.reason or "",
      }
    end,
    json = present.entry_json,
  })
end

local function moment(options)
  if options.position then
    return { position = options.position }
  elseif options.snapshot then
    return { snapshot = options.snapshot }
  end
  return options.time
end

function history.at(store, options, out)
  local when = moment(options)
  if not when then
    return nil, { code = "usage", message = "at which moment? Give a time, --position or --snapshot" }
  end
  local view, err = store:at(when)
  if not view then
    return nil, err
  end
  return hosts.print_list(view, options, out)
end

local function print_hosts(mark, style, list, out)
  for _, host in ipairs(list) do
    out:line(mark .. " " .. present.host(host), style)
  end
end

--- The lines of a difference: hosts that came, went, and changed.
function history.print_changes(added, removed, changed, out)
  print_hosts("+", "green", added, out)
  print_hosts("-", "red", removed, out)
  for _, change in ipairs(changed) do
    local host = change.before
    out:line(("~ %s %s  %s"):format(host.ip, host.hostname, present.difference(host, change.after)), "yellow")
  end
end

function history.diff(store, options, out)
  local last, diff, err
  last, err = end_of_log(store)
  if not last then
    return nil, err
  end
  diff, err = store:diff(options.from, options.to or { position = last })
  if not diff then
    return nil, err
  elseif out.json then
    out:value(present.object(
      "added", present.array(diff.added, present.host_json),
      "removed", present.array(diff.removed, present.host_json),
      "changed", present.array(diff.changed, present.change_json)
    ))
    return 0
  end
  history.print_changes(diff.added, diff.removed, diff.changed, out)
  return 0
end

function history.undo(store, options, out)
  local written, err = store:undo(options.position, { reason = options.reason })
  if not written then
    return nil, err
  end
  return out:answer(("undone; events written: %d"):format(written), function()
    return present.object("events", present.json(written))
  end)
end

return history
