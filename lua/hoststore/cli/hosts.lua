-- add, list, show, set, rm.

local present = require "hoststore.cli.present"
local values = require "hoststore.cli.values"

local hosts = {}

-- Filters and lists, which `at` and `export` share ----------------------------------------------

local FILTER_KEYS = {
  "ip", "ip_pattern", "hostname", "hostname_pattern", "text", "origin", "created_since",
  "created_until", "updated_since", "updated_until", "order", "descending", "limit", "offset",
}

local function list_if_any(list)
  return list and #list > 0 and list or nil
end

--- The filter that the options of `list` ask for.
function hosts.filter(options)
  local filter = {
    tags = list_if_any(options.tags),
    tags_all = options.tags_all and list_if_any(values.words(options.tags_all)),
    tags_none = list_if_any(options.tags_none),
  }
  for _, key in ipairs(FILTER_KEYS) do
    filter[key] = options[key]
  end
  if options.enabled or options.disabled then
    filter.enabled = options.enabled or false
  end
  return filter
end

local function short_cells(host)
  return {
    host.ip, host.hostname, table.concat(host.aliases, " "), present.state(host),
    table.concat(host.tags, ", "), host.comment or "",
  }
end

local function long_cells(host)
  local cells = { host.id, ("%d"):format(host.version) }
  for _, cell in ipairs(short_cells(host)) do
    cells[#cells + 1] = cell
  end
  table.insert(cells, 7, host.origin)
  table.insert(cells, 8, present.time(host.updated_at))
  return cells
end

local SHORT = { "IP", "HOSTNAME", "ALIASES", "STATE", "TAGS", "COMMENT" }
local LONG = { "ID", "VERSION", "IP", "HOSTNAME", "ALIASES", "STATE", "ORIGIN", "UPDATED", "TAGS", "COMMENT" }

--- Lists the hosts of a store or a view.
function hosts.print_list(source, options, out)
  local filter = hosts.filter(options)
  if options.count then
    local count, err = source:count(filter)
    if not count then
      return nil, err
    end
    out:value(present.json(count))
    return 0
  end
  local list = out:list {
    columns = options.long and LONG or SHORT,
    cells = options.long and long_cells or short_cells,
    style = function(host) return present.state(host) ~= "on" and "dim" end,
    json = present.host_json,
  }
  for host in source:hosts(filter) do
    list:add(host)
  end
  return list:finish()
end

-- Commands ----------------------------------------------------------------------------------------

local function describe(verb, host)
  return ("%s %s %s (%s)"):format(verb, host.ip, host.hostname, host.id)
end

local function rules()
  return require "hoststore.cli.policy"
end

function hosts.add(store, options, out)
  local expires_at, failure = values.due(store, options.expires)
  if failure then
    return nil, failure
  end
  local given = {
    ip = options.ip,
    hostname = options.hostname,
    aliases = options.aliases,
    comment = options.comment,
    tags = options.tags,
    enabled = not options.disabled,
    expires_at = expires_at,
    origin = options.origin,
  }
  local host, err = store:add(given, { reason = options.reason })
  if not host then
    return nil, rules().blamed(store, err, given)
  end
  return out:answer(describe("added", host), function()
    return present.host_json(host)
  end)
end

function hosts.list(store, options, out)
  return hosts.print_list(store, options, out)
end

function hosts.show(store, options, out)
  local host, err = values.host(store, options.host, options.hostname)
  if not host then
    return nil, err
  elseif out.json then
    out:value(present.host_json(host))
    return 0
  end
  out:details {
    { "id", host.id },
    { "version", host.version },
    { "ip", host.ip },
    { "hostname", host.hostname },
    { "aliases", table.concat(host.aliases, " ") },
    { "comment", host.comment },
    { "tags", table.concat(host.tags, ", ") },
    { "state", present.state(host) },
    { "expires", present.time(host.expires_at) },
    { "origin", host.origin },
    { "created", present.time(host.created_at) },
    { "updated", present.time(host.updated_at) },
    { "position", host.position },
  }
  return 0
end

-- A change made out of what was read must not overwrite what came in between; a plain one may.
local function expected_version(options, host, depends)
  return options.expected or depends and host.version or nil
end

function hosts.set(store, options, out)
  local words = options.changes
  local hostname = not words[1]:find("=", 1, true) and table.remove(words, 1) or nil
  local changes_to, depends = values.assignments(words)
  if not changes_to then
    return nil, depends
  end
  local host, err = values.host(store, options.host, hostname)
  if not host then
    return nil, err
  end
  local changes = changes_to(host)
  changes.expires_at, err = values.due(store, changes.expires_at)
  if err then
    return nil, err
  end
  local updated, changed = store:update(host.id, changes, {
    reason = options.reason,
    expected_version = expected_version(options, host, depends),
  })
  if not updated then
    return nil, rules().blamed(store, changed, host, changes)
  end
  local overrules = changed and {} or rules().overrules(store, updated, changes)
  for _, line in ipairs(out.json and {} or overrules) do
    out:message(line)
  end
  return out:answer(describe(changed and "changed" or "unchanged", updated), function()
    return present.object("changed", present.json(changed), "host", present.host_json(updated),
      "rules", overrules[1] and present.array(overrules, present.json))
  end)
end

function hosts.rm(store, options, out)
  local host, err = values.host(store, options.host, options.hostname)
  if not host then
    return nil, err
  end
  local ok
  ok, err = store:delete(host.id, { reason = options.reason, expected_version = options.expected })
  if not ok then
    return nil, err
  end
  return out:answer(describe("deleted", host), function()
    return present.host_json(host)
  end)
end

return hosts
