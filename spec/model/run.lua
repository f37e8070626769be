--- Runs the same commands on the model and on databases, finds the first difference, and makes a
--- sequence that shows one as short as it can.
---
---   local subjects = { { name = "sqlite", open = function(clock) return store end } … }
---   local sequence = run.sequence(seed)
---   local difference = run.check(sequence, subjects)
---   if difference then print(run.report(seed, run.shrink(sequence, subjects))) end
local Model = require "spec.model.model"
local Player = require "spec.model.player"
local commands = require "spec.model.commands"
local values = require "spec.model.values"

local copy = values.copy

local run = {}

-- -- comparing --------------------------------------------------------------------------------------

local function show(value)
  if type(value) == "string" then
    return '"' .. value:gsub('[%c"\\\127-\255]', function(c) return ("\\%03d"):format(c:byte()) end) .. '"'
  elseif type(value) == "number" then
    return value % 1 == 0 and ("%.0f"):format(value) or ("%.17g"):format(value)
  elseif type(value) ~= "table" then
    return tostring(value)
  end
  local parts, names = {}, {}
  for index, item in ipairs(value) do parts[index] = show(item) end
  for name in pairs(value) do
    if type(name) == "string" then names[#names + 1] = name end
  end
  table.sort(names)
  for _, name in ipairs(names) do
    local key = name:find("^[%a_][%w_]*$") and name or "[" .. show(name) .. "]"
    parts[#parts + 1] = key .. " = " .. show(value[name])
  end
  if not parts[1] then return "{}" end
  return "{ " .. table.concat(parts, ", ") .. " }"
end

-- The first place where two values differ, with both; nil when they are the same. The model has no
-- messages, so they count between databases only.
local function difference(a, b, with_messages, path)
  if type(a) ~= "table" or type(b) ~= "table" then
    if a == b then return nil end
    return { path = path, a = a, b = b }
  end
  local names, seen = {}, {}
  for _, from in ipairs { a, b } do
    for name in pairs(from) do
      if not seen[name] and (with_messages or name ~= "message") then
        names[#names + 1] = name
      end
      seen[name] = true
    end
  end
  table.sort(names, function(x, y) return tostring(x) < tostring(y) end)
  for _, name in ipairs(names) do
    local found = difference(a[name], b[name], with_messages, path .. "." .. tostring(name))
    if found then return found end
  end
end

local function compare(outcomes, subjects)
  for place, subject in ipairs(subjects) do
    local found = difference(outcomes.model, outcomes[place], false, "outcome")
    if found then
      return ("%s: the model says %s, %s says %s"):format(found.path, show(found.a), subject.name, show(found.b))
    end
    found = place > 1 and difference(outcomes[1], outcomes[place], true, "outcome")
    if found then
      return ("%s: %s says %s, %s says %s"):format(found.path, subjects[1].name, show(found.a), subject.name,
        show(found.b))
    end
  end
end

-- -- running ----------------------------------------------------------------------------------------

-- What is asked when all commands are done: everything, and every moment of a small log.
local function questions(model)
  local list = { { "list" }, { "log" }, { "streams" }, { "stream_health" }, { "snapshots" } }
  for number = 1, model.created do list[#list + 1] = { "history", host = number } end
  for number = 1, model.snapped do list[#list + 1] = { "get_snapshot", snapshot = number } end
  local step = math.ceil((#model.log + 1) / 40)
  for position = 0, #model.log, step do
    list[#list + 1] = { "at", query = "list", when = { position = position } }
  end
  for _, question in ipairs(list) do question.clock = model.clock end
  return list
end

local function run_on_all(model, players, command)
  local outcomes = { model = model:run(command) }
  for place, player in ipairs(players) do outcomes[place] = player:run(command) end
  return outcomes
end

local function check_commands(model, players, list, subjects)
  for index, command in ipairs(list) do
    local outcomes = run_on_all(model, players, command)
    local found = compare(outcomes, subjects)
    if found then return { index = index, command = command, text = found } end
  end
end

local function verify(players, subjects)
  for place, player in ipairs(players) do
    local report = assert(player.store:verify())
    if not report.ok then
      local problem = report.problems[1]
      return { text = ("%s does not verify: %s"):format(subjects[place].name, problem and problem.message or "?") }
    end
  end
end

--- Runs commands on an empty model and on empty stores, then looks at all there is.
---@param list table[]  commands
---@param subjects { name: string, open: fun(clock: fun(): number): hoststore.Store }[]
---@param class table?  another model
---@return { text: string, index: integer?, command: table? }? difference
function run.check(list, subjects, class)
  local model, players = Model.new(class), {}
  for place, subject in ipairs(subjects) do players[place] = Player.new(subject.open) end
  local found = check_commands(model, players, list, subjects)
  if not found then
    found = check_commands(model, players, questions(model), subjects)
    if found then found.index = nil end
  end
  found = found or verify(players, subjects)
  for _, player in ipairs(players) do player.store:close() end
  return found
end

local function count(counts, command, outcome)
  counts.commands = counts.commands + 1
  local code = outcome.raised or outcome.error and (outcome.error.code or outcome.error)
  for _, name in ipairs { command[1], code and command[1] .. " " .. code } do
    counts[name] = (counts[name] or 0) + 1
  end
  local first = outcome.value and outcome.value[1]
  if type(first) == "table" and first.idempotent then
    counts[command[1] .. " replayed"] = (counts[command[1] .. " replayed"] or 0) + 1
  end
  for index, inner in ipairs(outcome.inner or {}) do count(counts, command.commands[index], inner) end
end

--- The commands of a seed. `counts`, when given, gains how often each command and each of its failures
--- occurs; counts.commands is their number, those within transactions too.
---@param seed integer
---@param counts table?
---@param class table?  another model
---@return table[] commands
function run.sequence(seed, counts, class)
  local random, model, list = commands.random(seed), Model.new(class), {}
  counts = counts or { commands = 0 }
  for index = 1, 20 + random(40) do
    list[index] = commands.make(random, model)
    count(counts, list[index], model:run(list[index]))
  end
  return list
end

-- -- shrinking --------------------------------------------------------------------------------------

local function without(list, first, last)
  local rest = {}
  for index, item in ipairs(list) do
    if index < first or index > last then rest[#rest + 1] = item end
  end
  return rest
end

-- Where a list of commands leads: the length of the log, and how many hosts and snapshots were made.
local function reach(list, last, class)
  local model = Model.new(class)
  for index = 1, last do model:run(list[index]) end
  return { position = #model.log, host = model.created, snapshot = model.snapped }
end

-- A command as it has to be when what led from `before` to `after` is gone.
local function renumbered(value, before, after)
  if type(value) ~= "table" then return value end
  local copied = {}
  for key, item in pairs(value) do
    local is_behind = type(item) == "number" and after[key] and item > after[key]
    copied[key] = is_behind and item - after[key] + before[key] or renumbered(item, before, after)
  end
  return copied
end

-- The list without some of its commands, whose positions and numbers are no longer there.
local function closed_up(list, first, last, class)
  local before, after = reach(list, first - 1, class), reach(list, last, class)
  local rest = {}
  for index, command in ipairs(list) do
    if index < first then
      rest[index] = command
    elseif index > last then
      rest[#rest + 1] = renumbered(command, before, after)
    end
  end
  return rest
end

-- The list without all that is not needed for fails(list): first halves, then ever smaller parts of it.
local function reduce(list, fails, shorten)
  local size = math.ceil(#list / 2)
  while #list > 0 do
    local first, removed = 1, false
    while first <= #list do
      local last = math.min(first + size - 1, #list)
      local shorter, other = without(list, first, last), shorten and shorten(list, first, last)
      if fails(shorter) then
        list, removed = shorter, true
      elseif other and fails(other) then
        list, removed = other, true
      else
        first = first + size
      end
    end
    if size > 1 then
      size = math.ceil(size / 2)
    elseif not removed then
      break
    end
  end
  return list
end

local function replaced(list, index, item)
  list = copy(list)
  list[index] = item
  return list
end

local LISTS = { "commands", "lines", "operations", "events" }
local OPTIONS = { "options", "filter", "changes", "host" }

local shrink_list

-- The fields of the table COMMAND[NAME] that are needed.
local function shrink_options(command, name, fails)
  if type(command[name]) ~= "table" then return command end
  for key in pairs(copy(command[name])) do
    local fewer = copy(command[name])
    fewer[key] = nil
    local smaller = replaced(command, name, fewer)
    if fails(smaller) then command = smaller end
  end
  return command
end

local function shrink_command(command, fails)
  for _, name in ipairs(LISTS) do
    if command[name] then
      local list = shrink_list(command[name], function(shorter) return fails(replaced(command, name, shorter)) end)
      command = replaced(command, name, list)
    end
  end
  for _, name in ipairs(OPTIONS) do command = shrink_options(command, name, fails) end
  return command
end

function shrink_list(list, fails, shorten)
  list = reduce(list, fails, shorten)
  for index in ipairs(list) do
    list = replaced(list, index, shrink_command(list[index], function(smaller)
      return fails(replaced(list, index, smaller))
    end))
  end
  return list
end

--- Drops what is not needed for a difference, until nothing is left that could go.
---@param list table[]  commands that show a difference
---@param subjects table[]
---@param class table?
---@return table[] commands, table difference  the one that the shrunk commands show
function run.shrink(list, subjects, class)
  local found = assert(run.check(list, subjects, class), "there is nothing to shrink: all agree")
  if found.index then list = without(list, found.index + 1, #list) end
  local length
  repeat
    length = #show(list)
    list = shrink_list(list, function(shorter) return run.check(shorter, subjects, class) ~= nil end,
      function(commands_now, first, last) return closed_up(commands_now, first, last, class) end)
  until #show(list) == length
  return list, run.check(list, subjects, class)
end

--- Commands as Lua that makes them again, a command a line.
---@param list table[]
---@return string
function run.print(list)
  local lines = {}
  for index, command in ipairs(list) do lines[index] = "  " .. show(command) .. "," end
  return "return {\n" .. table.concat(lines, "\n") .. "\n}"
end

--- What a person wants to know about a difference.
---@param list table[]
---@param found { text: string, index: integer?, command: table? }
---@return string
function run.report(list, found)
  local where = found.index and ("command %d, %s"):format(found.index, found.command[1])
    or found.command and "when asked behind all commands: " .. show(found.command) or "behind all commands"
  return ("%s: %s\n%s"):format(where, found.text, run.print(list))
end

return run
