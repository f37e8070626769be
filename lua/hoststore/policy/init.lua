--- Policies: the administrator's rules, scripts in a directory that run in a sandbox.
--
-- The files of a directory are compiled when something is written first, and again only when one of them
-- has changed. Rules get copies and return values: they cannot reach the store.

local core = require "hoststore.core"
local expiry = require "hoststore.expiry"
local neutral = require "hoststore.neutral"
local options = require "hoststore.options"

local MEMORY = 16 * 1024 * 1024
local INSTRUCTIONS = 2 * 1000 * 1000
local SECONDS = 5

local policy = {}

-- Files ----------------------------------------------------------------------------------------------

local function failure(format, ...)
  return core.error { code = "policy", message = format:format(...) }
end

-- The names of the files in the order in which they are loaded, and a text that changes when they do.
local function look(directory)
  local all, message = core.sys.list(directory)
  if not all then return nil, failure("the policies cannot be read: %s", message) end
  local names, facts = {}, {}
  for _, name in ipairs(all) do
    if name:find "^[^.].*%.lua$" then names[#names + 1] = name end
  end
  table.sort(names, neutral.is_before)
  for i, name in ipairs(names) do
    local stat
    stat, message = core.sys.stat(directory .. "/" .. name)
    if not stat then return nil, failure("the policies cannot be read: %s", message) end
    facts[i] = ("%s %d %d %.9f"):format(name, stat.inode, stat.size, stat.mtime)
  end
  return names, table.concat(facts, "\n")
end

local function read(path)
  local file, message = io.open(path, "rb")
  local text
  if file then
    text, message = file:read "*a"
    file:close()
  end
  if not text then return nil, failure("the policies cannot be read: %s: %s", path, tostring(message)) end
  return text
end

local function fill(box, directory, names)
  assert(box:set("ip_within", core.ip_within))
  assert(box:load("rules", (require "hoststore.policy.rules")))
  for _, name in ipairs(names) do
    local text, err = read(directory .. "/" .. name)
    if not text then return nil, err end
    local ok
    box:call("begin_file", name)
    ok, err = box:load(name, text, "environment")
    if not ok then return nil, err end
  end
  box:call "end_files"
  return box:call "describe"
end

---@class hoststore.PolicySet  the compiled files of a directory
---@field box hoststore.Sandbox
---@field names string[]
---@field about table?  counts of rules, outputs and tests; nil when a file is broken
---@field err hoststore.Error?  why it is
---@field stopped boolean  a rule has hit a limit, and the box was closed

local function open_box(set)
  set.box = require("hoststore.policy.sandbox").new { memory = MEMORY * set.scale,
    instructions = INSTRUCTIONS * set.scale, seconds = SECONDS * set.scale }
  set.about, set.err = fill(set.box, set.directory, set.names)
  if not set.about then set.box:close() end
  set.stopped = false
  return set
end

local function compile(directory, names, scale)
  return open_box { directory = directory, names = names, scale = scale }
end

-- What this process has compiled, by directory.
local compiled = {}

--- The rules of a directory. `fresh` looks whether a file has changed.
---@param directory string
---@param fresh boolean
---@return hoststore.PolicySet
function policy.get(directory, fresh)
  local known = compiled[directory]
  if known and not fresh then return known.set end
  local names, signature = look(directory)
  if not names then
    compiled[directory] = nil
    return { names = {}, err = signature }
  end
  if not known or known.signature ~= signature then
    if known and known.set.box then known.set.box:close() end
    known = { signature = signature, set = compile(directory, names, 1) }
    compiled[directory] = known
  end
  return known.set
end

local function render_nothing(store, given)
  local output, generate, err
  output, err = require("hoststore.publish.output").new(given)
  if not output then error(err, 0) end
  generate, err = require("hoststore.publish.rendering").generator(store, output)
  if not generate then error(err, 0) end
  generate(function() end)
end

-- What publishing would say of the output: it is tried on a store without hosts.
local function judge_output(given)
  local store, err = require("hoststore").open("memory:", { policies = false })
  if not store then return err end
  local ok, raised = pcall(render_nothing, store, given)
  store:close()
  if ok then return nil end
  -- What is raised as a text begins with the place in our code that did.
  local message = tostring(raised):gsub("^[^\n]-hoststore/[%w_/]+%.lua:%d+: ", "")
  err = failure("%s:%d: output '%s': %s", given.file, given.line or 0, given.name, message)
  err.line = given.line
  return err
end

-- What one file holds, or what is wrong with it. Files share nothing, so it can be looked at alone.
local function check_file(directory, name)
  local set = compile(directory, { name }, 1)
  local about = set.about or { counts = {}, outputs = {}, tests = {} }
  local found = { name = name, rules = 0, tests = #about.tests, errors = { set.err } }
  for kind, count in pairs(about.counts) do
    if kind ~= "test" then found.rules = found.rules + count end
  end
  for _, output in ipairs(about.outputs) do
    found.errors[#found.errors + 1] = judge_output(output)
  end
  set.box:close()
  return found
end

--- Looks at each file of a directory: also behind one that is broken, and at outputs, which break no write.
---@param directory string
---@return { name: string, rules: integer, tests: integer, errors: hoststore.Error[] }[]?, hoststore.Error?
function policy.check(directory)
  local names, err = look(directory)
  if not names then return nil, err end
  local files, good = {}, true
  for i, name in ipairs(names) do
    files[i] = check_file(directory, name)
    good = good and not files[i].errors[1]
  end
  -- Together they may need more than there is.
  local set = policy.get(directory, true)
  if good and set.err then return nil, set.err end
  return files
end

-- Calls a function of the rules. Where one has to be stopped, it has met a host like no other, which stays
-- without an answer; the next question is put to scripts started afresh.
local function ask(set, name, ...)
  if set.stopped then open_box(set) end
  if set.err then return nil, set.err end
  local result, err = set.box:call(name, ...)
  if result == nil and err then
    set.stopped = not set.box:load("check", "")
    return nil, err
  end
  return result
end

-- The question of the core ---------------------------------------------------------------------------

local function encode_all(effects)
  local encode, texts = require("hoststore.json").encode, {}
  for i, effect in ipairs(effects) do texts[i] = encode(effect) end
  return texts[1] and table.concat(texts, ",")
end

local STAGE_RULES = { normalise = { "normalise" }, rules = { "tag", "on", "validate" } }

local function concerns(set, stage)
  for _, kind in ipairs(STAGE_RULES[stage]) do
    if set.about.counts[kind] > 0 then return true end
  end
  return false
end

-- The answer when it is the rules that are wrong.
local function answer_fault(on_error, message, field)
  if on_error == "allow" then return nil, nil, encode_all { { error = message } } end
  return false, { message = message, field = field }
end

local function has_touched(effect, field)
  for _, changed in ipairs(effect.changed or {}) do
    if changed == field then return true end
  end
  return field == "tags" and effect.added ~= nil
end

-- A message about a value that rules gave, with the rule that gave it last.
local function blame(effects, message, field)
  for i = #effects, 1, -1 do
    local effect = effects[i]
    if has_touched(effect, field) then return ("%s: rule '%s': %s"):format(effect.file, effect.rule, message) end
  end
  return message
end

--- The function that the core asks before it writes a host.
---@param directory string
---@param on_error "refuse"|"allow"
function policy.asker(directory, on_error)
  return function(first, stage, before, host)
    local set = policy.get(directory, first)
    if not set.err and not concerns(set, stage) then return true end
    local result, err = ask(set, "apply", stage, before, host)
    if not result then
      return answer_fault(on_error, err.message)
    elseif result.refusal then
      return false, { message = result.refusal.message, field = result.refusal.field }
    end
    return true, result.changes, encode_all(result.effects), result.changes and function(message, field)
      return answer_fault(on_error, blame(result.effects, message, field), field)
    end
  end
end

-- The policies of a store ------------------------------------------------------------------------------

local directories = setmetatable({}, { __mode = "k" })

--- Notes which directory a store has its policies in; false when it has none.
function policy.attach(store, directory)
  directories[store] = directory
end

local function set_of(store)
  local directory = directories[store]
  if not directory then return { names = {}, about = { counts = {}, outputs = {}, tests = {} } }, nil end
  local set = policy.get(directory, true)
  return not set.err and set or nil, set.err
end

--- Why every write is refused now: the rules of the store cannot be used. Nil when they can.
---@return hoststore.Error?
function policy.fault(store)
  local set, err = set_of(store)
  return not set and err or nil
end

--- The `output` rules of the policies: what is to be published, as tables. Each has name and file.
---@return table[]?, hoststore.Error?
function core.methods.outputs(store)
  local set, err = set_of(store)
  if not set then return nil, err end
  local outputs = {}
  for i, output in ipairs(set.about.outputs) do
    outputs[i] = {}
    for key, value in pairs(output) do outputs[i][key] = value end
  end
  return outputs
end

local function plain(host)
  local copy = {}
  for key, value in pairs(host) do copy[key] = value end
  return copy
end

--- What each rule says of a host as it is, or would say of it if it were added now.
---@param host table  a host of the store, or one that is not there yet
---@return { file: string, line: integer, rule: string, kind: string, matched: boolean, added: string[]?,
---  removed: string[]?, changed: string[]?, message: string?, field: string? }[]?, hoststore.Error?
function core.methods.explain_policies(store, host)
  local set, err = set_of(store)
  if not set then return nil, err end
  if not set.box then return {} end
  host = plain(host)
  host.aliases, host.tags = host.aliases or {}, host.tags or {}
  if host.enabled == nil then host.enabled = true end
  host.origin = host.origin or "admin"
  return ask(set, "explain", host.id and host or nil, host)
end

-- Applying them to what is there ----------------------------------------------------------------------------------

---@class hoststore.PolicyPlan
---@field update { before: hoststore.Host, changes: hoststore.HostChanges, effects: table[] }[]
---@field refused { host: hoststore.Host, message: string, field: string }[]  hosts that the rules would refuse today
---@field unchanged integer
local plan = {}
plan.__index = plan

--- What the `normalise` and `tag` rules would change of the hosts that are there. Nothing is written.
---@param filter table?  which hosts; all
---@return hoststore.PolicyPlan?, hoststore.Error?
function core.methods.plan_policies(store, filter)
  local set, err = set_of(store)
  if not set then return nil, err end
  local self = setmetatable({ store = store, update = {}, refused = {}, unchanged = 0 }, plan)
  if not set.box then return self end
  return require("hoststore.file").try(function()
    for host in store:hosts(filter) do
      local result, failed = ask(set, "reapply", host)
      if not result then return nil, failed end
      if result.refusal then
        self.refused[#self.refused + 1] = { host = host, message = result.refusal.message,
          field = result.refusal.field }
      elseif result.changes then
        self.update[#self.update + 1] = { before = host, changes = result.changes, effects = result.effects }
      else
        self.unchanged = self.unchanged + 1
      end
    end
    return self
  end)
end

local apply_keys = options.set("actor", "reason")

--- Writes the plan, all or nothing; "conflict" when somebody has changed one of the hosts since.
---@param given { actor: string?, reason: string? }?
---@return { updated: integer, refused: integer, unchanged: integer }?, hoststore.Error?
function plan:apply(given)
  given = options.check(given, apply_keys, "the options")
  return self.store:transaction(function()
    for _, change in ipairs(self.update) do
      local host, err = self.store:update(change.before, change.changes, { actor = given.actor,
        reason = given.reason or "policy", metadata = { policy = change.effects } })
      if not host then return nil, err end
    end
    return { updated = #self.update, refused = #self.refused, unchanged = self.unchanged }
  end)
end

-- Retention ---------------------------------------------------------------------------------------------

local BATCH = 500
-- Retention looks at thousands of snapshots in one call, in a sandbox of its own.
local RETENTION_SCALE = 8

-- The time, unless the clock cannot be believed: what is old by such a one is not to be deleted.
local function credible_time(store)
  local time, clock = expiry.now(store)
  if not time then return nil, clock end
  if clock then
    return nil, core.error { code = "conflict", message = ("the clock says %s, but the newest event is of %s: " ..
      "nothing is removed"):format(core.format_time(clock), core.format_time(time)) }
  end
  return time
end

-- The expired hosts that a rule removes. They are asked about some at a time: there may be many.
local function find_expired(store, set, now)
  local found, batch = {}, {}
  local function ask_about_batch()
    local expired, err = ask(set, "expire_hosts", batch, now)
    for _, item in ipairs(expired or {}) do found[#found + 1] = item end
    batch = {}
    return expired, err
  end
  for host in store:hosts() do
    if host.expires_at and host.expires_at < now then batch[#batch + 1] = host end
    if #batch == BATCH then
      local asked, err = ask_about_batch()
      if not asked then return nil, err end
    end
  end
  local asked, err = ask_about_batch()
  return asked and found, err
end

local function remove_hosts(store, set, now, given)
  local expired, err = find_expired(store, set, now)
  if not expired then return nil, err end
  for _, item in ipairs(given.dry_run and {} or expired) do
    local done
    done, err = store:delete(item.id, { reason = "expired", actor = given.actor,
      metadata = { policy = { { file = item.file, rule = item.rule } } } })
    if not done then return nil, err end
  end
  return #expired
end

local function remove_snapshots(store, set, now, given)
  local snapshots, expired, err
  snapshots, err = store:snapshots()
  if not snapshots then return nil, err end
  expired, err = ask(set, "expire_snapshots", snapshots, now)
  if not expired then return nil, err end
  for _, item in ipairs(given.dry_run and {} or expired) do
    local done
    done, err = store:delete_snapshot(item.id)
    if not done then return nil, err end
  end
  return #expired
end

local retention_keys = options.set("dry_run", "actor")

--- Does what the `retention` rules say: deletes snapshots, removes hosts that have expired. Refuses with
-- "conflict" when the clock cannot be believed.
---@param given { dry_run: boolean?, actor: string? }?
---@return { snapshots: integer, hosts: integer }?, hoststore.Error?
function core.methods.apply_policy_retention(store, given)
  given = options.check(given, retention_keys, "the options")
  local set, err = set_of(store)
  if not set then return nil, err end
  if not set.box or set.about.counts.retention == 0 then return { snapshots = 0, hosts = 0 } end
  local own = compile(directories[store], set.names, RETENTION_SCALE)
  local result
  result, err = require("hoststore.file").try(store.transaction, store, function()
    local now, snapshots, hosts, failed
    now, failed = credible_time(store)
    if not now then return nil, failed end
    snapshots, failed = remove_snapshots(store, own, now, given)
    if not snapshots then return nil, failed end
    hosts, failed = remove_hosts(store, own, now, given)
    if not hosts then return nil, failed end
    return { snapshots = snapshots, hosts = hosts }
  end, { readonly = given.dry_run or false })
  own.box:close()
  return result, err
end

-- Tests of the scripts themselves ---------------------------------------------------------------------------

-- What is wrong, or nil.
local function judge(set, case, host, err)
  if case.refused then
    local wanted = type(case.refused) == "string" and case.refused or case.refused[1] or ""
    if host then return "it was not refused" end
    if not err.message:find(wanted, 1, true) then return ("it was refused with: %s"):format(err.message) end
    return nil
  end
  if not host then return err.message end
  local problem
  problem, err = ask(set, "compare", plain(host), case.expect or {})
  return problem or err and err.message
end

local function run_case(set, store, case)
  local host, err
  if not case.before then return judge(set, case, store:add(case.host)) end
  host, err = store:add(case.before)
  if not host then return "its host before: " .. err.message end
  host, err = store:update(host, case.host)
  return judge(set, case, host, err)
end

--- Runs the `test` cases of the files in a directory, each on an empty store.
---@param directory string
---@return { name: string, file: string, line: integer, problem: string? }[]?, hoststore.Error?
function policy.test(directory)
  local set = policy.get(directory, true)
  if set.err then return nil, set.err end
  local results = {}
  for i, case in ipairs(set.about.tests) do
    local store, err = require("hoststore").open("memory:", { policies = directory, actor = "policy test" })
    if not store then return nil, err end
    local ok, problem = pcall(run_case, set, store, case)
    store:close()
    results[i] = { name = case.name or ("test %d"):format(i), file = case.file, line = case.line,
      problem = problem and (ok and problem or tostring(problem)) or nil }
  end
  return results
end

return policy
