--- What runs in the sandbox of the policies before their files, as text: the functions that declare rules,
-- and those that apply them. Every file has globals of its own; the functions below it can only call.

return [==[
local FIELDS = { "ip", "hostname", "aliases", "comment", "tags", "enabled", "expires_at", "origin" }
local EVENTS = { ip = "IpAddressChanged", hostname = "HostnameChanged", aliases = "AliasesChanged",
  comment = "CommentUpdated", tags = "TagsModified", enabled = "EnabledChanged", expires_at = "ExpiryChanged",
  origin = "OriginChanged" }

local subject = subject
_G.subject = nil
local public, rules = {}, { normalise = {}, tag = {}, on = {}, validate = {}, retention = {}, output = {}, test = {} }
local file
for name, value in pairs(_G) do public[name] = value end

--- The globals of the next file.
function begin_file(name)
  file = name
  environment = {}
  for key, value in pairs(public) do
    -- What one file does to a library, no other sees.
    if type(value) == "table" and key ~= "_G" then
      local own = {}
      for field, item in pairs(value) do own[field] = item end
      value = own
    end
    environment[key] = value
  end
  environment._G = environment
end

-- Declaring -----------------------------------------------------------------------------------------

local function is_list_of_texts(value)
  if type(value) ~= "table" then return false end
  for key, item in pairs(value) do
    if type(key) ~= "number" or type(item) ~= "string" then return false end
  end
  return true
end

local function is_texts(value)
  return type(value) == "string" or is_list_of_texts(value), "a text or a list of texts"
end

local function of_type(kind)
  return function(value) return type(value) == kind, "a " .. kind end
end

local text, flag, fn, table_ = of_type "string", of_type "boolean", of_type "function", of_type "table"

local function count(value)
  return type(value) == "number" and value >= 0 and value < math.huge and value % 1 == 0, "a whole number, not negative"
end

local function is_network(value)
  if type(value) ~= "string" then return false, "an address or a network" end
  return ip_within("0.0.0.0", value) ~= nil, "an address or a network such as 10.0.0.0/8"
end

local SECONDS = { s = 1, m = 60, h = 3600, d = 86400, w = 604800 }

local function seconds(age)
  if type(age) == "number" then return age >= 0 and age or nil end
  local count, unit = tostring(age):match "^(%d+)([smhdw])$"
  return count and tonumber(count) * SECONDS[unit]
end

local function is_age(value)
  return seconds(value) ~= nil, "seconds, or a number with s, m, h, d or w"
end

local FILTER = { ip = is_network, hostname = text, hostname_pattern = text, text = text, tags = is_texts,
  tags_all = is_texts, tags_none = is_texts, enabled = flag, origin = text }
local GFS = { hourly = count, daily = count, weekly = count, monthly = count, yearly = count }

-- What is wrong with a table whose keys are to be as KNOWN says, or nil.
local function problem_of(given, known, what)
  if type(given) ~= "table" then return what .. " must be a table, not a " .. type(given) end
  for key, value in pairs(given) do
    local is_good = known[key]
    if not is_good then return what .. " has an unknown key '" .. tostring(key) .. "'" end
    local good, wanted, problem = is_good(value)
    if not good then
      return what .. ": " .. (problem or key .. " must be " .. wanted .. ", not '" .. tostring(value) .. "'")
    end
  end
end

local function is_filter(value)
  local problem = problem_of(value, FILTER, "the filter")
  return problem == nil, nil, problem
end

local function is_gfs(value)
  local problem = problem_of(value, GFS, "gfs")
  if not problem and not pairs(value)() then problem = "gfs needs one of hourly, daily, weekly, monthly, yearly" end
  return problem == nil, nil, problem
end

local EXPIRED = { after = is_age }

local function is_expired_hosts(value)
  local wanted = '"remove" or { after = "7d" }'
  if type(value) ~= "table" then return value == "remove", wanted end
  local problem = problem_of(value, EXPIRED, "expired_hosts")
  return problem == nil and value.after ~= nil, wanted, problem
end

local KEYS = {
  tag = { name = text, filter = is_filter, when = fn, add = is_texts, remove = is_texts },
  normalise = { name = text, filter = is_filter, apply = fn },
  validate = { name = text, filter = is_filter, check = fn },
  retention = { name = text, count = count, age = is_age, trigger = text, gfs = is_gfs, keep = fn,
    expired_hosts = is_expired_hosts, filter = is_filter },
  test = { name = text, before = table_, host = table_, expect = table_, refused = is_texts },
}
local NEEDED = { normalise = "apply", validate = "check", test = "host" }

local function declare(kind, given)
  if not file then error("rules are declared when their file is loaded, not later", 3) end
  if type(given) ~= "table" then error(kind .. " takes a table: " .. kind .. " { name = ... }", 3) end
  local what = type(given.name) == "string" and ("%s '%s'"):format(kind, given.name) or kind
  local problem = KEYS[kind] and problem_of(given, KEYS[kind], what)
  if problem then error(problem, 3) end
  if kind ~= "test" and type(given.name) ~= "string" then error(kind .. " needs a name", 3) end
  if NEEDED[kind] and given[NEEDED[kind]] == nil then
    error(what .. " needs " .. NEEDED[kind], 3)
  end
  local list, rule = rules[kind], {}
  for key, value in pairs(given) do rule[key] = value end
  rule.file, rule.line = file, tonumber(where(3):match ":(%d+): $")
  -- An output is handed out as it was given.
  if kind ~= "output" then rule.label = ("%s:%d: rule '%s': "):format(file, rule.line or 0, tostring(given.name)) end
  list[#list + 1] = rule
end

local function list_of(value)
  return type(value) == "string" and { value } or value or {}
end

for _, kind in ipairs { "normalise", "validate", "test" } do
  public[kind] = function(given)
    declare(kind, given)
    return nil
  end
end

local function covers_snapshots(rule)
  return rule.count or rule.age or rule.gfs or rule.keep
end

-- What would not be heard is refused.
function public.retention(given)
  declare("retention", given)
  local rule = rules.retention[#rules.retention]
  local problem = not covers_snapshots(rule) and not rule.expired_hosts
      and "needs count, age, gfs, keep or expired_hosts"
    or rule.trigger and not covers_snapshots(rule) and "has a trigger, but says nothing of snapshots"
    or rule.filter and not rule.expired_hosts and "has a filter of hosts, but no expired_hosts"
  if problem then error("retention '" .. rule.name .. "' " .. problem, 2) end
end

function public.tag(given)
  declare("tag", given)
  local rule = rules.tag[#rules.tag]
  rule.add, rule.remove = list_of(rule.add), list_of(rule.remove)
  if #rule.add == 0 and #rule.remove == 0 then error("tag '" .. rule.name .. "' needs add or remove", 2) end
end

local function check_plain(value, what, level)
  local kind = type(value)
  if kind == "table" then
    for key, item in pairs(value) do check_plain(item, what .. "." .. tostring(key), level + 1) end
  elseif kind ~= "string" and kind ~= "number" and kind ~= "boolean" then
    error(what .. " must be plain data, not a " .. kind, level + 1)
  end
end

--- Handed out as it is, to whoever publishes.
function public.output(given)
  declare("output", given)
  check_plain(given, "output", 2)
end

local is_event = { HostCreated = true }
for _, name in pairs(EVENTS) do is_event[name] = true end

function public.on(event, handler)
  if not is_event[event] then error("there is no event '" .. tostring(event) .. "' to act on", 2) end
  if type(handler) ~= "function" then error("on takes the name of an event and a function", 2) end
  declare("on", { name = event, event = event, handler = handler })
end

function public.ip_in(address, network)
  local within = ip_within(address, network)
  if within == nil then error("'" .. tostring(network) .. "' is no address or network", 2) end
  return within
end

-- Filters --------------------------------------------------------------------------------------------

local function has(list, wanted)
  for _, item in ipairs(list) do
    if item == wanted then return true end
  end
  return false
end

local function any_name(host, matches)
  if matches(host.hostname) then return true end
  for _, alias in ipairs(host.aliases) do
    if matches(alias) then return true end
  end
  return false
end

local function contains(text_, part)
  return text_ ~= nil and text_:lower():find(part:lower(), 1, true) ~= nil
end

local function any_tag(host, wanted)
  for _, tag in ipairs(list_of(wanted)) do
    if has(host.tags, tag) then return true end
  end
  return false
end

local MATCHES = {
  ip = function(host, wanted) return ip_within(host.ip, wanted) end,
  hostname = function(host, wanted)
    local pattern = "^" .. wanted:lower():gsub("[^%w*?]", "%%%0"):gsub("%*", ".*"):gsub("%?", ".") .. "$"
    return any_name(host, function(name) return name:lower():match(pattern) ~= nil end)
  end,
  hostname_pattern = function(host, wanted)
    return any_name(host, function(name) return contains(name, wanted) end)
  end,
  text = function(host, wanted)
    if contains(host.ip, wanted) or contains(host.comment, wanted) then return true end
    for _, tag in ipairs(host.tags) do
      if contains(tag, wanted) then return true end
    end
    return any_name(host, function(name) return contains(name, wanted) end)
  end,
  tags = any_tag,
  tags_all = function(host, wanted)
    for _, tag in ipairs(list_of(wanted)) do
      if not has(host.tags, tag) then return false end
    end
    return true
  end,
  tags_none = function(host, wanted) return not any_tag(host, wanted) end,
  enabled = function(host, wanted) return host.enabled == wanted end,
  origin = function(host, wanted) return host.origin == wanted end,
}

local function conditions_of(filter)
  local conditions = {}
  for key, wanted in pairs(filter or {}) do
    conditions[#conditions + 1] = { matches = MATCHES[key], wanted = wanted }
  end
  return conditions
end

--- No rule is declared any more: their filters are made ready.
function end_files()
  file = nil
  for _, kind in ipairs { "normalise", "tag", "validate", "retention" } do
    for _, rule in ipairs(rules[kind]) do rule.conditions = conditions_of(rule.filter) end
  end
end

local function passes(rule, host)
  for _, condition in ipairs(rule.conditions) do
    if not condition.matches(host, condition.wanted) then return false end
  end
  return true
end

-- Applying --------------------------------------------------------------------------------------------

local ALL_FIELDS = { "id", "version", "position", "created_at", "updated_at" }
for _, field in ipairs(FIELDS) do ALL_FIELDS[#ALL_FIELDS + 1] = field end

local function copy(value)
  if type(value) ~= "table" then return value end
  local twin = {}
  for key, item in pairs(value) do twin[key] = copy(item) end
  return twin
end

-- The same for a host, without pairs: it sorts, and this is done for every rule that is a function.
local function copy_host(host)
  if host == nil then return nil end
  local twin, aliases, tags = {}, {}, {}
  for _, field in ipairs(ALL_FIELDS) do twin[field] = host[field] end
  for i, alias in ipairs(host.aliases) do aliases[i] = alias end
  for i, tag_ in ipairs(host.tags) do tags[i] = tag_ end
  twin.aliases, twin.tags = aliases, tags
  return twin
end

local function equal(a, b)
  if type(a) ~= "table" or type(b) ~= "table" then return a == b end
  if #a ~= #b then return false end
  for i, item in ipairs(a) do
    if item ~= b[i] then return false end
  end
  return true
end

-- What a script has raised, as a text; its place comes first, if it has one.
local function raised_text(raised)
  if type(raised) == "string" or type(raised) == "number" then return tostring(raised) end
  local ok, shown = pcall(tostring, raised)
  if ok and type(shown) == "string" and shown ~= type(raised) then return shown end
  return "it raised a " .. type(raised) .. ", where a text would say what is wrong"
end

-- Calls a function of a rule. What it raises says where, and which rule it was.
local function call(rule, f, ...)
  subject(rule.label)
  local ok, first, second, third = pcall(f, ...)
  if ok then return first, second, third end
  local message = raised_text(first)
  local place, rest = message:match "^([^\n:]*%.lua:%d+: )(.*)$"
  error(place and place .. ("rule '%s': %s"):format(rule.name, rest) or rule.label .. message, 0)
end

local function fault(rule, message)
  error(("%s:%d: rule '%s' %s"):format(rule.file, rule.line or 0, rule.name, message), 0)
end

local function list(value)
  return is_list_of_texts(value), "a list of texts"
end

local function time(value)
  return value == null or type(value) == "number" or type(value) == "string", "a time or null"
end

local function text_or_null(value)
  return value == null or type(value) == "string", "a text or null"
end

local IS_FIELD = { ip = text, hostname = text, aliases = list, comment = text_or_null, tags = list, enabled = flag,
  expires_at = time, origin = text }

local function normalise_with(rule, host, all)
  if not passes(rule, host) then return nil end
  local changes, changed = call(rule, rule.apply, copy_host(host)), {}
  if changes == nil then return nil end
  if type(changes) ~= "table" then fault(rule, "must return changes or nothing, not a " .. type(changes)) end
  for field, value in pairs(changes) do
    if not IS_FIELD[field] then fault(rule, "changes '" .. tostring(field) .. "', which is no field of a host") end
    local good, wanted = IS_FIELD[field](value)
    if not good then fault(rule, ("gives %s a %s, not %s"):format(field, type(value), wanted)) end
    local now = value
    if value == null then now = nil end
    if not equal(host[field], now) then
      host[field], all[field] = copy(now), copy(value)
      changed[#changed + 1] = field
    end
  end
  return changed[1] and { file = rule.file, line = rule.line, rule = rule.name, changed = changed }
end

-- Adds and removes tags of the host; returns those that made a difference.
local function change_tags(host, add, remove)
  local added, removed, kept = {}, {}, {}
  for _, tag in ipairs(host.tags) do
    if has(remove, tag) then removed[#removed + 1] = tag else kept[#kept + 1] = tag end
  end
  for _, tag in ipairs(add) do
    if not has(kept, tag) then
      kept[#kept + 1] = tag
      if has(removed, tag) then
        local rest = {}
        for _, other in ipairs(removed) do
          if other ~= tag then rest[#rest + 1] = other end
        end
        removed = rest
      else
        added[#added + 1] = tag
      end
    end
  end
  host.tags = kept
  return added, removed
end

local function tag_effect(rule, host, add, remove)
  local added, removed = change_tags(host, add, remove)
  if not added[1] and not removed[1] then return nil end
  return { file = rule.file, line = rule.line, rule = rule.name, added = added[1] and added,
    removed = removed[1] and removed }
end

local function is_matched(rule, host, before)
  return passes(rule, host) and (not rule.when or call(rule, rule.when, copy_host(host), copy_host(before)) and true)
end

-- The events that the change will be.
local function events_of(before, host)
  if not before then return { HostCreated = true } end
  local events = {}
  for _, field in ipairs(FIELDS) do
    if not equal(before[field], host[field]) then events[EVENTS[field]] = true end
  end
  return events
end

local function handle(rule, host, before)
  local wanted = call(rule, rule.handler, { type = rule.event, host = copy_host(host), before = copy_host(before) })
  if wanted == nil then return nil end
  if type(wanted) ~= "table" then fault(rule, "must return { add = tags, remove = tags } or nothing") end
  for key, tags in pairs(wanted) do
    if key ~= "add" and key ~= "remove" or not is_texts(tags) then
      fault(rule, "must return { add = tags, remove = tags } or nothing")
    end
  end
  return tag_effect(rule, host, list_of(wanted.add), list_of(wanted.remove))
end

local function validate_with(rule, host, before)
  if not passes(rule, host) then return nil end
  local good, message, field = call(rule, rule.check, copy_host(host), copy_host(before))
  if good == true then return nil end
  if good ~= false then fault(rule, "must return true, or false and a message") end
  if type(message) ~= "string" then message = rule.label .. "the host is refused" end
  return { message = message, field = field ~= nil and IS_FIELD[field] and field or "host", rule = rule.name,
    file = rule.file }
end

local stages = {}

function stages.normalise(before, host)
  local effects, changes = {}, {}
  for _, rule in ipairs(rules.normalise) do
    effects[#effects + 1] = normalise_with(rule, host, changes)
  end
  return { changes = effects[1] and changes, effects = effects }
end

-- Changes the tags of the host as the rules want it; appends what they did.
local function retag(before, host, effects)
  for _, rule in ipairs(rules.tag) do
    if is_matched(rule, host, before) then effects[#effects + 1] = tag_effect(rule, host, rule.add, rule.remove) end
  end
end

local function react(before, host, events, effects)
  for _, rule in ipairs(rules.on) do
    if events[rule.event] then effects[#effects + 1] = handle(rule, host, before) end
  end
end

local function judge(before, host)
  for _, rule in ipairs(rules.validate) do
    local refusal = validate_with(rule, host, before)
    if refusal then return refusal end
  end
end

-- The answer of a stage that changes tags alone.
local function answer(before, host, tags, effects)
  local refusal = judge(before, host)
  if refusal then return { refusal = refusal } end
  return { changes = not equal(tags, host.tags) and { tags = host.tags } or nil, effects = effects }
end

function stages.rules(before, host)
  local events, tags, effects = events_of(before, host), host.tags, {}
  retag(before, host, effects)
  react(before, host, events, effects)
  return answer(before, host, tags, effects)
end

--- For a host that is there, and that nobody but the rules changes: their tags are events as well.
function stages.again(before, host)
  local tags, effects = host.tags, {}
  retag(before, host, effects)
  react(before, host, events_of(before, host), effects)
  return answer(before, host, tags, effects)
end

--- For a host that gets the tags of a source: those it has, and that rules might have given it, it keeps; those
-- that the rules take from a new host, it does not get.
function stages.keep(before, host)
  local new, given, tags = copy_host(host), copy_host(host), {}
  retag(nil, new, {})
  react(nil, new, { HostCreated = true }, {})
  retag(nil, given, {})
  for _, rule in ipairs(rules.on) do handle(rule, given, rule.event ~= "HostCreated" and before or nil) end
  for _, tag in ipairs(before.tags) do
    if has(host.tags, tag) or has(given.tags, tag) then tags[#tags + 1] = tag end
  end
  for _, tag in ipairs(host.tags) do
    if not has(before.tags, tag) and has(new.tags, tag) then tags[#tags + 1] = tag end
  end
  return { changes = not equal(tags, host.tags) and { tags = tags } or nil, effects = {} }
end

--- What a stage makes of a change: { changes =, effects = } or { refusal = }.
function apply(stage, before, host)
  return stages[stage](before, host)
end

-- A list of what rules say, and the function that adds to it: nil when a rule does not match.
local function sayings()
  local lines = {}
  return lines, function(kind, rule, said)
    local did = said or {}
    lines[#lines + 1] = { file = rule.file, line = rule.line, rule = rule.name, kind = kind, matched = said ~= nil,
      changed = did.changed, added = did.added, removed = did.removed, message = did.message, field = did.field }
  end
end

local explained = {}

function explained.normalise(_, host)
  local lines, add = sayings()
  local changes = {}
  for _, rule in ipairs(rules.normalise) do add("normalise", rule, normalise_with(rule, host, changes)) end
  return { lines = lines, changes = changes }
end

function explained.rules(before, host)
  local lines, add = sayings()
  local events = events_of(before, host)
  for _, rule in ipairs(rules.tag) do
    local said
    if is_matched(rule, host, before) then said = tag_effect(rule, host, rule.add, rule.remove) or {} end
    add("tag", rule, said)
  end
  for _, rule in ipairs(rules.on) do
    add("on", rule, events[rule.event] and (handle(rule, host, before) or {}) or nil)
  end
  for _, rule in ipairs(rules.validate) do
    local refusal, matched = validate_with(rule, host, before), passes(rule, host)
    add("validate", rule, refusal or matched and {} or nil)
    if matched then lines[#lines].refused = refusal ~= nil end
  end
  return { lines = lines }
end

--- What every rule of a stage says of a change, in the order they are asked: { lines =, changes = }.
function explain(stage, before, host)
  return explained[stage](before, host)
end

--- How many rules there are of each kind, and what is only handed out.
function describe()
  local counts, tags = {}, {}
  for kind, list in pairs(rules) do counts[kind] = #list end
  for i, rule in ipairs(rules.tag) do
    tags[i] = { file = rule.file, line = rule.line, name = rule.name, add = rule.add }
  end
  return { counts = counts, outputs = rules.output, tags = tags, tests = rules.test }
end

-- Tests -------------------------------------------------------------------------------------------------

local function show(value)
  return type(value) == "table" and "{" .. table.concat(value, ", ") .. "}" or tostring(value)
end

--- What of a host is not as a test expects it, or nil.
function compare(host, expected)
  for field, wanted in pairs(expected) do
    if not IS_FIELD[field] then return ("a host has no field '%s'"):format(tostring(field)) end
    if wanted == null then wanted = nil end
    if not equal(host[field], wanted) then
      return ("%s is %s, not %s"):format(field, show(host[field]), show(wanted))
    end
  end
end

-- Retention ---------------------------------------------------------------------------------------------

local function month(day)
  -- Days since 1970 to months, by years of 365.2425 days that begin in March.
  local shifted = day + 719468
  local era = math.floor(shifted / 146097)
  local of_era = shifted - era * 146097
  local year = math.floor((of_era - math.floor(of_era / 1460) + math.floor(of_era / 36524)
    - math.floor(of_era / 146096)) / 365)
  local of_year = of_era - (365 * year + math.floor(year / 4) - math.floor(year / 100))
  local from_march = math.floor((5 * of_year + 2) / 153)
  return (year + era * 400) * 12 + from_march + 2
end

-- Numbers that are the same within an hour, a day ... of UTC; weeks begin on Monday.
local PERIODS = {
  hourly = function(time) return math.floor(time / 3600) end,
  daily = function(time) return math.floor(time / 86400) end,
  weekly = function(time) return math.floor((math.floor(time / 86400) + 3) / 7) end,
  monthly = function(time) return month(math.floor(time / 86400)) end,
  yearly = function(time) return math.floor(month(math.floor(time / 86400)) / 12) end,
}

-- The newest of each of the last so many periods that have one; snapshots come newest first.
local function pick(snapshots, gfs)
  local picked = {}
  for period, count in pairs(gfs or {}) do
    local seen, last = 0, nil
    for _, snapshot in ipairs(snapshots) do
      local number_ = PERIODS[period](snapshot.created_at)
      if number_ ~= last and seen < count then
        seen, last = seen + 1, number_
        picked[snapshot.id] = true
      end
    end
  end
  return picked
end

local function is_expired(rule, snapshot, rank, now, known)
  local created_at = snapshot.created_at
  if rule.age and created_at >= known and now - created_at > seconds(rule.age) then return true end
  if rule.count then return rank > rule.count end
  return rule.gfs ~= nil or not rule.age
end

--- The snapshots (newest first) that a rule expires, and that no rule keeps by its gfs or its function:
-- { id, file, rule }. How old those are that were made before `known` nobody knows.
function expire_snapshots(snapshots, now, known)
  local kept, expired = {}, {}
  for _, rule in ipairs(rules.retention) do
    local covered = {}
    for _, snapshot in ipairs(covers_snapshots(rule) and snapshots or {}) do
      if not rule.trigger or rule.trigger == snapshot.trigger then covered[#covered + 1] = snapshot end
    end
    local picked = pick(covered, rule.gfs)
    for rank, snapshot in ipairs(covered) do
      if picked[snapshot.id] or rule.keep and call(rule, rule.keep, copy(snapshot)) then
        kept[snapshot.id] = true
      elseif is_expired(rule, snapshot, rank, now, known) then
        expired[snapshot.id] = expired[snapshot.id] or rule
      end
    end
  end
  local list = {}
  for _, snapshot in ipairs(snapshots) do
    local rule = not kept[snapshot.id] and expired[snapshot.id]
    if rule then list[#list + 1] = { id = snapshot.id, file = rule.file, rule = rule.name } end
  end
  return list
end

--- The hosts that a rule removes because they have expired: { id, file, rule }.
function expire_hosts(hosts, now)
  local list = {}
  for _, host in ipairs(hosts) do
    for _, rule in ipairs(rules.retention) do
      local wanted = rule.expired_hosts
      local after = wanted and (wanted == "remove" and 0 or seconds(wanted.after))
      if after and host.expires_at and now - host.expires_at > after and passes(rule, host) then
        list[#list + 1] = { id = host.id, file = rule.file, rule = rule.name }
        break
      end
    end
  end
  return list
end
]==]
