--- Policies: the administrator's rules, scripts in a directory that run in a sandbox.
--
-- The files of a directory are compiled when something is written first, and again only when one of them
-- has changed. Rules get copies and return values: they cannot reach the store.

local core = require "hoststore.core"
local neutral = require "hoststore.neutral"
local options = require "hoststore.options"

local MEMORY = 16 * 1024 * 1024
local INSTRUCTIONS = 2 * 1000 * 1000
local SECONDS = 5
local LONGEST = 1024 * 1024 -- bytes of a file

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
    facts[i] = ("%s %d %d %d %.9f"):format(name, stat.inode, stat.mode, stat.size, stat.mtime)
  end
  return names, table.concat(facts, "\n")
end

-- Whoever may write to a policy has commands run by who publishes.
local function check_writers(directory, names)
  local safe, message = core.sys.guard(directory, true)
  for i = 1, safe and #names or 0 do
    safe, message = core.sys.guard(directory .. "/" .. names[i], true)
    if not safe then break end
  end
  if safe then return true end
  return nil, failure("the policies are not used: %s", message)
end

-- The text of a script. What editors and kernels want in front of it is no Lua.
local function read(path)
  local text, message = core.sys.read(path, LONGEST)
  if not text then return nil, failure("the policies cannot be read: %s", message) end
  return (text:gsub("^\239\187\191", ""):gsub("^#[^\n]*", ""))
end

local function fill(box, directory, names)
  assert(box:set("ip_within", core.ip_within))
  assert(box:load("=rules", (require "hoststore.policy.rules")))
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
---@field signature string?  another when a file has changed
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
    -- Not to be remembered: what mends it need not show in the signature.
    compiled[directory] = nil
    local safe, unsafe = check_writers(directory, names)
    if not safe then return { names = {}, err = unsafe } end
    known = { signature = signature, set = compile(directory, names, 1) }
    known.set.signature = signature
    compiled[directory] = known
  end
  return known.set
end

local function raise(err) error(err, 0) end

local function render_nothing(store, given)
  local output, generate, err
  output, err = require("hoststore.publish.output").new(given)
  if not output then raise(err) end
  generate, err = require("hoststore.publish.rendering").generator(store, output)
  if not generate then raise(err) end
  generate(function() end)
  return output
end

-- An error at the place where a rule or an output was said.
local function fault_at(given, kind, message)
  local err = failure("%s:%d: %s '%s': %s", given.file, given.line or 0, kind, given.name, message)
  err.line = given.line
  return err
end

local function is_executable(path)
  local stat = core.sys.stat(path)
  return stat ~= nil and stat.type == "file" and ("%03o"):format(stat.mode):sub(-3):find "[1357]" ~= nil
end

-- Whether a command would be found: as a path, or where programs are looked for.
local function is_program(word)
  if word:find("/", 1, true) then return is_executable(word) end
  for place in (os.getenv "PATH" or ""):gmatch "[^:]+" do
    if is_executable(place .. "/" .. word) then return true end
  end
  return false
end

-- What this machine lacks of what publishing needs; another one may have it.
local function note_lacks(given, output, warnings)
  local target, err = require("hoststore.publish.output").mode_of(output).locate(output, true)
  if not target then warnings[#warnings + 1] = fault_at(given, "output", err.message) end
  for _, key in ipairs { "check", "reload" } do
    if output[key] and not is_program(output[key][1]) then
      warnings[#warnings + 1] = fault_at(given, "output", ("%s: there is no program '%s'"):format(key, output[key][1]))
    end
  end
end

-- What publishing would say of the output: it is tried on a store without hosts.
local function judge_output(store, given, found, seen)
  local ok, output = pcall(render_nothing, store, given)
  if not ok then
    -- What is raised as a text begins with the place in our code that did.
    return fault_at(given, "output", (tostring(output):gsub("^[^\n]-hoststore/[%w_/]+%.lua:%d+: ", "")))
  end
  local claimed, message = require("hoststore.publish.output").claim(seen.paths, output)
  if not claimed then return fault_at(given, "output", message) end
  local other = seen.names[output.name]
  if other then
    return fault_at(given, "output",
      ("%s:%d has one of this name; give it another"):format(other.file, other.line or 0))
  end
  seen.names[output.name] = given
  note_lacks(given, output, found.warnings)
end

-- What a store would say of the tags that a rule adds to every host it is for.
local function judge_tags(store, rule)
  local good, err = core.check_host(store, { ip = "192.0.2.1", hostname = "host", tags = rule.add })
  return not good and fault_at(rule, "tag", err.message) or nil
end

-- What one file holds, or what is wrong with it. But for what outputs write, files share nothing, so it can be
-- looked at alone.
local function check_file(store, directory, name, seen)
  local set = compile(directory, { name }, 1)
  local about = set.about or { counts = {}, outputs = {}, tags = {}, tests = {} }
  local found = { name = name, rules = 0, tests = #about.tests, errors = { set.err }, warnings = {} }
  for kind, count in pairs(about.counts) do
    if kind ~= "test" then found.rules = found.rules + count end
  end
  for _, rule in ipairs(about.tags) do found.errors[#found.errors + 1] = judge_tags(store, rule) end
  for _, output in ipairs(about.outputs) do
    found.errors[#found.errors + 1] = judge_output(store, output, found, seen)
  end
  set.box:close()
  return found
end

--- Looks at each file of a directory: also behind one that is broken, and at outputs, which break no write. Warnings
-- are about what this machine lacks.
---@param directory string
---@return { name: string, rules: integer, tests: integer, errors: hoststore.Error[], warnings: hoststore.Error[] }[]?
---@return hoststore.Error?
function policy.check(directory)
  local names, err = look(directory)
  if not names then return nil, err end
  local safe, store
  safe, err = check_writers(directory, names)
  if not safe then return nil, err end
  store, err = require("hoststore").open("memory:", { policies = false })
  if not store then return nil, err end
  local files, good, seen = {}, true, { paths = {}, names = {} }
  for i, name in ipairs(names) do
    files[i] = check_file(store, directory, name, seen)
    good = good and not files[i].errors[1]
  end
  store:close()
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

-- An effect as events have it: lines of scripts are soon other ones.
local function as_noted(effect)
  return { file = effect.file, rule = effect.rule, changed = effect.changed, added = effect.added,
    removed = effect.removed, error = effect.error }
end

local function encode_all(effects)
  local encode, texts = require("hoststore.json").encode, {}
  for i, effect in ipairs(effects) do texts[i] = encode(as_noted(effect)) end
  return texts[1] and table.concat(texts, ",")
end

local STAGE_RULES = { normalise = { "normalise" }, keep = { "tag", "on" }, rules = { "tag", "on", "validate" } }

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
    if has_touched(effect, field) then
      return ("%s:%d: rule '%s': %s"):format(effect.file, effect.line or 0, effect.rule, message)
    end
  end
  return message
end

-- The askers of stores that write what the rules have made already.
local silent = setmetatable({}, { __mode = "k" })

--- The function that the core asks before it writes a host.
---@param directory string
---@param on_error "refuse"|"allow"
function policy.asker(directory, on_error)
  local function asker(first, stage, before, host)
    if silent[asker] then return true end
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
  return asker
end

-- The policies of a store ------------------------------------------------------------------------------

local directories = setmetatable({}, { __mode = "k" })
local askers = setmetatable({}, { __mode = "k" })

--- Notes which directory a store has its policies in, and who asks them for it.
function policy.attach(store, directory, asker)
  directories[store], askers[store] = directory, asker
end

--- A text that is another when the rules of the store are others.
---@return string?
function policy.signature(store)
  return directories[store] and policy.get(directories[store], true).signature
end

--- Runs fn, which writes what the rules have made of hosts: they are not asked once more. Unless `force`,
-- they have to be those that have made it.
---@param store hoststore.Store
---@param signature string?  of the rules at that time
---@param force boolean?
---@param fn fun(): any, hoststore.Error?
---@return any result, hoststore.Error? err
function policy.settled(store, signature, force, fn)
  local asker = askers[store]
  if not asker then return fn() end
  if not force and policy.signature(store) ~= signature then
    return nil, core.error { code = "conflict",
      message = "the policies have changed since the plan was made; plan again" }
  end
  silent[asker] = true
  local ok, result, err = pcall(fn)
  silent[asker] = nil
  if not ok then error(result, 0) end
  return result, err
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

-- The host with the changes of rules, checked as if it were written.
local function amend(store, host, changes, effects)
  local after, err = core.amended(store, host, changes)
  if not after then return nil, failure("%s", blame(effects, err.message, err.field)) end
  return after
end

--- What each rule says of a host as it is, or would say of it if it were changed, or added, now.
---@param host table  a host of the store, or one that is not there yet
---@param changes hoststore.HostChanges?
---@return { file: string, line: integer, rule: string, kind: string, matched: boolean, refused: boolean?,
---  added: string[]?, removed: string[]?, changed: string[]?, message: string?, field: string? }[]?, hoststore.Error?
function core.methods.explain_policies(store, host, changes)
  local set, err = set_of(store)
  if not set then return nil, err end
  if not set.box then return {} end
  local before = host.id and plain(host) or nil
  host, err = core.amended(store, before, before and (changes or {}) or host)
  if not host then return nil, err end
  local first, second
  first, err = ask(set, "explain", "normalise", before, host)
  if not first then return nil, err end
  host, err = amend(store, host, first.changes, first.lines)
  if not host then return nil, err end
  second, err = ask(set, "explain", "rules", before, host)
  if not second then return nil, err end
  for _, line in ipairs(second.lines) do first.lines[#first.lines + 1] = line end
  return first.lines
end

-- Applying them to what is there ----------------------------------------------------------------------------------

---@class hoststore.PolicyPlan
---@field update { before: hoststore.Host, changes: hoststore.HostChanges, effects: table[] }[]
---@field refused { host: hoststore.Host, message: string, field: string }[]  hosts that the rules would refuse today
---@field unchanged integer
local plan = {}
plan.__index = plan

local FIELDS = { "ip", "hostname", "aliases", "comment", "tags", "enabled", "expires_at", "origin" }

local function is_same(a, b)
  if type(a) ~= "table" or type(b) ~= "table" then return a == b end
  return table.concat(a, "\0") == table.concat(b, "\0")
end

-- What one host has to be given to become the other, or nil.
local function changes_between(before, after)
  local changes
  for _, field in ipairs(FIELDS) do
    if not is_same(before[field], after[field]) then
      changes = changes or {}
      changes[field] = after[field] == nil and core.null or after[field]
    end
  end
  return changes
end

-- What a stage makes of `after`, checked as if it were written; appends what rules did to `effects`.
local function advance(store, set, stage, before, after, effects)
  local result, err = ask(set, "apply", stage, before, after)
  if not result then return nil, err end
  for _, effect in ipairs(result.effects or {}) do effects[#effects + 1] = effect end
  if not result.changes then return after, result.refusal end
  return amend(store, after, result.changes, effects)
end

-- Why a host cannot be what it is to become: its address and name are those of another, or will be.
local function find_taken(self, before, after)
  local key = after.ip .. " " .. after.hostname
  if key == before.ip .. " " .. before.hostname then return nil end
  local other, err = self.store:find(after.ip, after.hostname)
  if err then return nil, err end
  if other or self.taken[key] then
    return { message = ("'%s' is another host already"):format(key), field = "hostname" }
  end
  self.taken[key] = true
end

local function plan_host(self, set, host)
  local effects = {}
  local after, refusal = advance(self.store, set, "normalise", host, host, effects)
  if after then after, refusal = advance(self.store, set, "again", host, after, effects) end
  if not after then return nil, refusal end
  local changes, err = changes_between(host, after), nil
  if not refusal then refusal, err = find_taken(self, host, after) end
  if err then return nil, err end
  if refusal then
    self.refused[#self.refused + 1] = { host = host, message = refusal.message, field = refusal.field }
  elseif changes then
    for i, effect in ipairs(effects) do effects[i] = as_noted(effect) end
    self.update[#self.update + 1] = { before = host, changes = changes, effects = effects }
  else
    self.unchanged = self.unchanged + 1
  end
  return true
end

--- What the `normalise`, `tag` and `on` rules would change of the hosts that are there. Nothing is written.
---@param filter table?  which hosts; all
---@return hoststore.PolicyPlan?, hoststore.Error?
function core.methods.plan_policies(store, filter)
  local set, err = set_of(store)
  if not set then return nil, err end
  local self = setmetatable({ store = store, update = {}, refused = {}, unchanged = 0, taken = {},
    signature = set.signature }, plan)
  if not set.box then return self end
  return require("hoststore.file").try(function()
    for host in store:hosts(filter) do
      local done, failed = plan_host(self, set, host)
      if not done then return nil, failed end
    end
    return self
  end)
end

local apply_keys = options.set("actor", "reason")

local function write(self, given)
  for _, change in ipairs(self.update) do
    local host, err = self.store:update(change.before, change.changes, { actor = given.actor,
      reason = given.reason or "policy", metadata = { policy = change.effects } })
    if not host then return nil, err end
  end
  return { updated = #self.update, refused = #self.refused, unchanged = self.unchanged }
end

--- Writes what the plan shows, all or nothing; "conflict" when somebody has changed one of the hosts or the
-- rules since.
---@param given { actor: string?, reason: string? }?
---@return { updated: integer, refused: integer, unchanged: integer }?, hoststore.Error?
function plan:apply(given)
  given = options.check(given, apply_keys, "the options")
  return self.store:transaction(function()
    return policy.settled(self.store, self.signature, false, function() return write(self, given) end)
  end)
end

-- Retention ---------------------------------------------------------------------------------------------

local BATCH = 500
-- Retention looks at thousands of snapshots in one call, in a sandbox of its own.
local RETENTION_SCALE = 8

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

local function find_snapshots(store, set, now, known)
  local snapshots, err = store:snapshots()
  if not snapshots then return nil, err end
  return ask(set, "expire_snapshots", snapshots, now, known)
end

local retention_keys = options.set("dry_run", "actor", "force")

--- Does what the `retention` rules say: deletes snapshots, removes hosts that have expired. Refuses with
-- "conflict" when the clock cannot be believed (see clock.lua), unless `force`.
---@param given { dry_run: boolean?, actor: string?, force: boolean? }?
---@return { snapshots: integer, hosts: integer }?, hoststore.Error?
function core.methods.apply_policy_retention(store, given)
  given = options.check(given, retention_keys, "the options")
  local set, err = set_of(store)
  if not set then return nil, err end
  if not set.box or set.about.counts.retention == 0 then return { snapshots = 0, hosts = 0 } end
  local own, now = compile(directories[store], set.names, RETENTION_SCALE), nil
  local function snapshots()
    local known
    now, known = require("hoststore.clock").to_remove_by(store, given.force)
    if not now then return nil, known end
    return find_snapshots(store, own, now, known)
  end
  local function rest(deleted)
    local hosts, failed = remove_hosts(store, own, now, given)
    if not hosts then return nil, failed end
    return { snapshots = deleted, hosts = hosts }
  end
  local function count()
    local found, failed = snapshots()
    if not found then return nil, failed end
    return rest(#found)
  end
  local result
  result, err = require("hoststore.file").try(function()
    if given.dry_run then return store:transaction(count, { readonly = true }) end
    return require("hoststore.retention").delete(store, snapshots, rest)
  end)
  own.box:close()
  if not result then return nil, err end
  return result
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
