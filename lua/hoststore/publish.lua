--- store:publish and store:publish_outputs: files kept in step with the hosts, written only when they would
--- change, checked before they take their place, and told about behind it.
local adopt = require "hoststore.publish.adopt"
local clock = require "hoststore.clock"
local command = require "hoststore.publish.command"
local core = require "hoststore.core"
local drift = require "hoststore.publish.drift"
local entry = require "hoststore.entry"
local export = require "hoststore.export"
local file = require "hoststore.file"
local options = require "hoststore.options"
local outputs = require "hoststore.publish.output"
local pieces = require "hoststore.publish.piece"
local place = require "hoststore.publish.place"
local reload = require "hoststore.publish.reload"
local rendering = require "hoststore.publish.rendering"

local sys = core.sys

---@class hoststore.PublishResult
---@field name string
---@field path string
---@field mode string?
---@field changed boolean  what is there differs from what was to be published
---@field written boolean
---@field shards { total: integer, written: integer, removed: integer }?  with mode "dir-shards"
---@field skipped integer?  hosts that the format cannot carry
---@field clock string?  why the clock is not believed; meanwhile nothing expires
---@field checked boolean?  the checker has accepted what was written
---@field reloaded boolean|"pending"|nil  pending: another process, which is at it, will do it again
---@field reload hoststore.Reload?  how its reload went before, and goes now
---@field drift hoststore.Drift[]?  what was changed by hand since it was published
---@field adopted hoststore.Adopted?
---@field error hoststore.Error?

-- -- one output ----------------------------------------------------------------------------------------

-- Holds the lock of the output: another process that publishes it waits, and then sees newer hosts.
local function open_job(store, output, flags)
  local job = { store = store, output = output, mode = outputs.mode_of(output),
    only_looks = flags.dry_run or flags.adopt }
  local err
  job.target, job.directory = job.mode.locate(output, flags.dry_run)
  if not job.target then
    return nil, job.directory
  end
  job.key = sys.digest(outputs.identity(output, job.target))
  if not flags.dry_run then
    job.lock, err = place.lock(job.directory, job.key)
    if not job.lock then
      return nil, err
    end
    job.prefix = err
    job.mode.recover(job)
  end
  job.facts = place.recall(job.directory, job.key)
  return job
end

local function note_drift(job, plan, flags)
  for _, piece in ipairs(plan.pieces) do
    local kind = drift.find(job, piece, flags)
    plan.drift[#plan.drift + 1] = kind and drift.examine(job, piece, kind)
  end
end

-- Calls fn with each piece that gets a new file, until that fails.
local function each_new(plan, fn)
  for _, piece in ipairs(plan.changed) do
    if not piece.remove then
      local done, err = fn(piece)
      if not done then
        return nil, err
      end
    end
  end
  return true
end

-- What is to happen, and all that can be done before anybody sees it. In a transaction: all that is read
-- is of one moment.
local function make_plan(job, flags)
  local generate, made, now, err, doubt
  now, err, doubt = clock.to_expire_by(job.store)
  if not now then
    return nil, err
  end
  generate, err = rendering.generator(job.store, job.output, now)
  if not generate then
    return nil, err
  end
  local plan = { pieces = {}, changed = {}, drift = {} }
  plan.pieces, made = job.mode.pieces(job, generate)
  if not plan.pieces then
    return nil, made
  end
  plan.made, made.now, made.doubt = made, now, doubt
  made.position, err = core.position(job.store)
  if not made.position then
    return nil, err
  end
  for _, piece in ipairs(plan.pieces) do
    plan.changed[#plan.changed + 1] = not piece.same and piece or nil
  end
  note_drift(job, plan, flags)
  job.plan = plan
  if job.only_looks or #plan.drift > 0 and not flags.force then
    return plan
  end
  local done
  done, err = each_new(plan, function(piece) return pieces.prepare(piece, job.prefix) end)
  if not done then
    return nil, err
  end
  return plan
end

local function check(job, plan)
  return each_new(plan, function(piece)
    local good, err = command.check(job.output.check, piece.replacement:temporary(), piece.path, job.output.timeout)
    if not good then
      return nil, err
    end
    return pieces.prepare(piece, job.prefix) -- the checker may have written into it
  end)
end

-- The fact that a change has been shown, or is just about to be, of which the reload was not asked for yet.
local OWED = "reload"

local function remember(job, plan, changed)
  for _, piece in ipairs(plan.pieces) do
    if not drift.is_noted(job.facts, piece) then
      drift.note(job.facts, piece, plan.made)
      changed = true
    end
  end
  if not changed then
    return true
  end
  return place.keep(job.directory, job.key, job.facts)
end

-- Behind the change: asked for before it, a reload by another process could come too early.
local function ask_for_reload(job)
  local done, err = reload.request(job.directory, job.output.reload)
  if not done then
    return nil, err
  end
  job.facts[OWED] = nil
  return place.keep(job.directory, job.key, job.facts)
end

local function commit(job, plan, result)
  for _, piece in ipairs(plan.changed) do
    local done, err, why = pieces.commit(piece, job.prefix)
    if not done then
      job.moved = why == "moved"
      return nil, err
    end
    result.written, piece.same = true, true
    if result.shards then
      local counter = piece.remove and "removed" or "written"
      result.shards[counter] = result.shards[counter] + 1
    end
  end
  return true
end

-- Of what did not come to be shown, as the file had moved, is known what was known before.
local function forget_unshown(job, plan, before, result)
  for _, piece in ipairs(plan.changed) do
    if not piece.same then
      job.facts[piece.key] = before[piece.key]
    end
  end
  job.facts[OWED] = result.written and job.facts[OWED] or before[OWED]
  place.keep(job.directory, job.key, job.facts)
end

local function copy_of(facts)
  local copy = {}
  for name, value in pairs(facts) do
    copy[name] = value
  end
  return copy
end

-- Check, then remember what it is going to be and that a reload is owed, and only then show it: killed
-- anywhere, the next publish knows what is left to do. A block is remembered once more when it is there.
local function carry_out(job, plan, result)
  local done, err
  if job.output.check then
    done, err = check(job, plan)
    if not done then
      return nil, err
    end
    result.checked = true
  end
  local before = copy_of(job.facts)
  job.facts[OWED] = job.output.reload and "owed" or job.facts[OWED]
  done, err = remember(job, plan, job.output.reload ~= nil)
  if not done then
    return nil, err
  end
  done, err = commit(job, plan, result)
  if done then
    done, err = remember(job, plan)
  elseif job.moved then
    forget_unshown(job, plan, before, result)
  end
  if job.output.reload and result.written then
    local asked, failure = ask_for_reload(job)
    if done and not asked then
      return nil, failure
    end
  end
  return done, err
end

local function describe(job, plan, result)
  result.changed = result.changed or #plan.changed > 0
  result.skipped = plan.made.skipped
  result.clock = plan.made.doubt
  if job.output.mode == "dir-shards" then
    result.shards = result.shards or { written = 0, removed = 0 }
    result.shards.total = 0
    for _, piece in ipairs(plan.pieces) do
      result.shards.total = result.shards.total + (piece.remove and 0 or 1)
    end
  end
  result.drift = plan.drift[1] and {} or result.drift
  for i, change in ipairs(plan.drift) do
    result.drift[i] = drift.show(change)
  end
end

local function run_plan(job, flags)
  local plan, err = export.consistently(job.store, function() return make_plan(job, flags) end)
  return plan, err
end

-- Lets go of what was made for the plan and is not used.
local function abandon_plan(job)
  for _, piece in ipairs(job.plan and job.plan.changed or {}) do
    pieces.abandon(piece)
  end
end

-- Adopts what was changed by hand, and publishes nothing. Then the store says what the files said, but for their
-- comments and the order of their lines, and they may be replaced; what somebody has changed in them meanwhile is
-- drift again.
local function adopt_job(job, flags, result)
  local plan, err = run_plan(job, flags)
  if not plan then
    return nil, err
  end
  describe(job, plan, result)
  if #plan.drift == 0 then
    return true
  end
  result.adopted, err = adopt.run(job, plan.drift, flags)
  for _, change in ipairs(plan.drift) do
    result.replaceable[change.key] = change.found
  end
  return result.adopted ~= nil or nil, err
end

local function publish_job(job, flags, result)
  local plan, err = run_plan(job, flags)
  if not plan then
    return nil, err
  end
  describe(job, plan, result)
  if #plan.drift > 0 and not flags.force then
    return nil, drift.refusal(job, plan.drift)
  elseif flags.dry_run then
    return true
  elseif #plan.changed > 0 then
    return carry_out(job, plan, result)
  end
  if job.torn then
    pieces.forget_copies(job.target, job.prefix)
  end
  local done
  done, err = remember(job, plan)
  if done and job.output.reload and job.facts[OWED] then
    return ask_for_reload(job)
  end
  return done, err
end

-- What somebody has written into a file meanwhile is not lost: it belongs to what is planned again, or is drift.
local function publish_steadily(job, flags, result)
  local done, err = publish_job(job, flags, result)
  if done or not job.moved then
    return done, err
  end
  abandon_plan(job)
  job.moved, job.torn = false, false
  return publish_job(job, flags, result)
end

local function close_job(job)
  abandon_plan(job)
  if job.lock then
    job.lock:release()
  end
end

local function publish_one(store, output, flags, result)
  -- An unknown format or a filter that is none is told before anything is made.
  local generate, err = rendering.generator(store, output)
  if not generate then
    return nil, err
  end
  local job
  job, err = open_job(store, output, flags)
  if not job then
    return nil, err
  end
  result.directory, job.replaceable = job.directory, result.replaceable
  local ok, done, failure = pcall(flags.adopt and adopt_job or publish_steadily, job, flags, result)
  result.owed = job.facts[OWED] ~= nil
  close_job(job)
  if not ok then
    return file.try(error, done, 0)
  end
  return done, failure
end

-- -- reloads -------------------------------------------------------------------------------------------

-- Which results wait for which command; one that failed before is run again though nothing has changed.
local function by_command(list, results)
  local groups, found = {}, {}
  for i, output in ipairs(list) do
    local key = output.reload and results[i].directory and reload.key(output.reload)
    if key and not found[key] then
      found[key] = { words = output.reload, directory = results[i].directory, delay = 0, timeout = 0, results = {} }
      groups[#groups + 1] = found[key]
    end
    if key then
      local group = found[key]
      group.delay, group.timeout = math.max(group.delay, output.reload_delay), math.max(group.timeout, output.timeout)
      group.results[#group.results + 1] = results[i]
    end
  end
  return groups
end

local function run_reloads(groups)
  for _, group in ipairs(groups) do
    if reload.due(group.directory, group.words) then
      local done, err = reload.run(group.directory, group.words, group)
      for _, result in ipairs(group.results) do
        -- Of one that was not published nobody was told.
        if result.written or not result.error then
          result.reloaded = done or false
          result.error = result.error or err
        end
      end
    end
  end
end

local function tell_of_reloads(groups)
  for _, group in ipairs(groups) do
    for _, result in ipairs(group.results) do
      result.reload = reload.known(group.directory, group.words)
      result.reload.due = result.reload.due or result.owed
    end
  end
end

-- -- the methods ---------------------------------------------------------------------------------------

-- As publish_one, but a wrong filter or template among many outputs is the failure of one.
local function attempt(store, output, flags, result)
  local ok, done, err = pcall(publish_one, store, output, flags, result)
  if ok then
    return done, err
  end
  return nil, outputs.invalid(("%s: %s"):format(output.label, tostring(done)))
end

local function publish_all(store, list, flags, publish)
  local results = {}
  for i, output in ipairs(list) do
    results[i] = { name = output.label, path = output.path, mode = output.mode, changed = false, written = false,
      replaceable = {} }
  end
  local function each(wanted)
    for i, output in ipairs(list) do
      if not results[i].error then
        local _, err = publish(store, output, wanted, results[i])
        results[i].error = err
      end
    end
  end
  -- All are adopted before one is published: the hosts of the last belong into the first, too.
  if flags.adopt then
    each(flags)
  end
  if not (flags.adopt and flags.dry_run) then
    each { force = flags.force and not flags.adopt, dry_run = flags.dry_run }
  end
  local groups = by_command(list, results)
  if not flags.dry_run then
    run_reloads(groups)
  end
  tell_of_reloads(groups)
  for _, result in ipairs(results) do
    result.directory, result.owed, result.replaceable = nil, nil, nil
  end
  return results
end

local function where(output, index)
  if type(output.file) == "string" then
    return ("%s:%s: "):format(output.file, tostring(output.line or 0))
  end
  return ("output %d: "):format(index)
end

local flags_known = options.set("force", "adopt", "max_deletes", "dry_run", "actor", "reason")

-- Hosts that a transaction may yet take back are nothing to show.
local function refuse_in_transaction(store)
  if core.depth(store) > 0 then
    error("hosts cannot be published within a transaction", 3)
  end
end

--- Brings a list of outputs in step with the hosts, one behind the other. What goes wrong with one is in its
--- result and does not keep the others. Each is compared first and left untouched when it says the same already;
--- a reload is run once behind all of them, and only when something it stands for has changed, or when it failed
--- the last time. What was changed by hand since it was published is reported and left alone ("conflict"), unless
--- `force` overwrites it or `adopt` brings it into the store first.
--- Of what was made or removed by hand no more is deleted than `max_deletes` (a number, or "30%" of the hosts that
--- were published); without it, 3 hosts or 30 % of a file, and none of one in which no host is left.
---@param list hoststore.Output[]
---@param flags { force: boolean?, adopt: boolean?, max_deletes: integer|string|nil, dry_run: boolean?, actor: string?,
---  reason: string? }?
---@return hoststore.PublishResult[]
function core.methods.publish_outputs(store, list, flags)
  flags = options.check(flags, flags_known, "the options")
  if type(list) ~= "table" then
    error("publish_outputs needs an array of outputs, not " .. type(list), 2)
  end
  refuse_in_transaction(store)
  entry.delete_limit(flags.max_deletes, 0)
  local results, good, places, taken = {}, {}, {}, {}
  for i, given in ipairs(list) do
    local output, message = outputs.new(given)
    if output then
      output, message = outputs.claim(taken, output)
    end
    if output then
      good[#good + 1], places[#places + 1] = output, i
    else
      local named = type(given) == "table" and given or {}
      results[i] = { name = tostring(named.name or named.path or i), path = tostring(named.path or ""), changed = false,
        written = false, error = outputs.invalid(where(named, i) .. message) }
    end
  end
  for i, result in ipairs(publish_all(store, good, flags, attempt)) do
    results[places[i]] = result
  end
  return results
end

local function as_output(path, given)
  local output = { path = path }
  for key, value in pairs(given) do
    if key ~= "force" and key ~= "path" then
      output[key] = value
    end
  end
  return output
end

--- Brings the file at path in step with the hosts. It is compared first, and left untouched when it
--- holds the same already: whoever watches it, and the flash it lies on, is to be spared. A new one
--- comes whole, with the mode and owner of the old one; a symbolic link is followed. The options are those of
--- an output; changes made by hand are overwritten unless `force` is false.
---@param store hoststore.Store
---@param path string
---@param given? hoststore.Output|{force: boolean?}
---@return boolean? written false when the file was up to date
---@return hoststore.Error? err
function core.methods.publish(store, path, given)
  if type(path) ~= "string" then
    error("path: a string expected", 2)
  end
  refuse_in_transaction(store)
  given = given or {}
  local output, message = outputs.new(as_output(path, given))
  if not output then
    error(message .. "; publish has the options of an output", 2)
  end
  if output.filter then
    rendering.try_filter(store, output.filter)
  end
  local result = publish_all(store, { output }, { force = given.force ~= false }, publish_one)[1]
  if result.error then
    return nil, result.error
  end
  return result.written
end
