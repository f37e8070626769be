--- One trial: a call, or all from there on, fails while something is done with a store; then all is looked at.
local failing = require "failing_calls"
local file = require "hoststore.file"
local operations = require "spec.support.operations"
local system = require "spec.support.system"

local trial = {}

-- -- what the failure has to look like --------------------------------------------------------------------

-- Lua's own message, perhaps behind where it was, and an error that tells of it.
local function is_memory(raised, err)
  if raised then return type(raised) == "string" and raised:find "not enough memory$" end
  return type(err) == "table" and err.code ~= "corrupt" and err.message:lower():find("memory", 1, true)
end

local function expect_memory(raised, err)
  return not is_memory(raised, err) and (raised or err)
end

-- To SQLite a page that cannot be read is damaged. Where a write-ahead log cannot be tried, there is none.
local IO = { query = true, connection = true, corrupt = true, policy = true, unsupported = true,
  message = true }

-- What SQLite cannot open or make it tries to open for reading, and tells of that.
local SECOND = { readonly = true, busy = true, connection = true, unsupported = true }

-- Each says what is wrong with an error: (raised, err, call).
local expectations = {
  lua = expect_memory,
  malloc = expect_memory,
  eio = function(raised, err, call)
    return raised or not IO[err.code] and not (call == "open" and SECOND[err.code]) and err
  end,
  enospc = function(raised, err, call)
    local fits = err and (err.code == "full" or err.code == "message" or call == "open" and SECOND[err.code])
    return raised or not fits and err
  end,
  erofs = function(raised, err, call)
    local fits = err and (err.code == "readonly" or err.code == "message" or call == "open" and SECOND[err.code])
    return raised or not fits and err
  end,
  eintr = function(raised, err) return raised or err end,
  short = function(raised, err) return raised or err end,
  lost = function() return false end,
}

-- -- what there is -------------------------------------------------------------------------------------------

local function serialise(value, into)
  if type(value) ~= "table" then
    into[#into + 1] = tostring(value) .. "\n"
    return
  end
  local keys = {}
  for key in pairs(value) do keys[#keys + 1] = key end
  table.sort(keys, function(a, b) return tostring(a) < tostring(b) end)
  for _, key in ipairs(keys) do
    into[#into + 1] = tostring(key) .. "="
    serialise(value[key], into)
  end
  into[#into + 1] = "end\n"
end

-- All of it as a text, and how much there is of it.
local function look(store)
  local state, into = operations.state(store), {}
  serialise(state, into)
  return table.concat(into), ("%d events, %d hosts, %d snapshots, %d feeds, %s"):format(#state.events, #state.hosts,
    #state.snapshots, #state.feeds, state.saved.state)
end

-- -- the checks -----------------------------------------------------------------------------------------------

local function check_verified(store)
  local verified = assert(store:verify())
  assert(verified.ok, tostring(verified.problems[1]))
end

-- Writes, and takes it back.
local function check_usable(store)
  local added
  local done, err = store:transaction(function()
    added = assert(store:add { ip = "10.9.9.9", hostname = "afterwards" })
    return nil, "taken back"
  end)
  assert(not done and err == "taken back" and added, tostring(err))
end

local function check_others(at)
  local other = assert(at.database.open())
  check_usable(other)
  other:close()
end

-- Who cannot take a file away leaves it. What publishing remembers is beside the output where there is no other place,
-- and what was begun in the spool is swept when it is drained.
local function is_left(path)
  return path:match "[^/]*$":find "^%." and not path:find "hoststore%-%x+%.%a+$" and not path:find "^spool/"
end

-- These say when they were made.
local DATED = { backup = true, ["spool/clock"] = true }

-- What publishing remembers of a file tells, too, what was there before: the same, for who has to do it again.
local function comparable(path, text)
  return path:find "%.state$" and text:gsub("\t(%x+) %S+ ", "\t%1 ") or text
end

local function check_files(at, call)
  at.changed = at.changed or call == "unlink"
  for _, path in ipairs(system.files(at.database.files)) do
    assert(call == "unlink" or not is_left(path), "a file is left: " .. path)
    local expected = at.reference.files and at.reference.files[path]
    if expected and not DATED[path] then
      local found = file.read(at.database.files .. "/" .. path)
      assert(found and comparable(path, found) == comparable(path, expected), path .. " is not whole")
    end
  end
end

local function read_files(directory)
  local found = {}
  for _, path in ipairs(system.files(directory)) do
    found[path] = system.read(directory .. "/" .. path)
  end
  return found
end

-- Nothing is left, or the whole of it.
local function check_state(at, done, partly)
  local state, shape = look(at.store)
  at.changed = at.changed or state ~= at.before
  if at.reference.shape and not partly then
    assert(shape == at.reference.shape or not done and state == at.before,
      ("%s: there were %s, there are %s"):format(done and "done" or "refused", at.shape, shape))
  end
  return shape
end

local function check(at, subject, value, err, call)
  assert(at.database.faulty.connections() == 1, "a connection is open")
  assert(select(2, at.database.faulty.connections()) == 0, "a transaction is open")
  -- Where all at once does not fit, retention goes on in parts.
  local shape = check_state(at, value ~= nil, subject.name:find "retention" and err == nil)
  check_verified(at.store)
  check_usable(at.store)
  check_others(at)
  check_files(at, call)
  if subject.check then subject.check(at, value) end
  return shape
end

-- lua-cjson leaves its buffer, in two blocks, when the interpreter has no memory.
local LOSS = setmetatable({ lua = 2 }, { __index = function() return 0 end })

-- -- the trial -------------------------------------------------------------------------------------------------

local function begin(at, subject)
  if at.changed then
    at.database.reset()
    at.changed, at.before = false, nil
  end
  at.store = assert(at.database.open())
  at.nas = assert(at.store:find("10.0.0.1", "nas"))
  at.snapshot = assert(at.store:snapshots())[1]
  if subject.prepare then subject.prepare(at) end
  local before, shape = look(at.store)
  assert(not at.before or before == at.before, "it is not there any more when it is opened again")
  at.before, at.shape = before, shape
end

local function finish(at)
  local ok, raised = pcall(at.store.close, at.store)
  at.store, at.nas, at.snapshot = nil, nil, nil
  if at.database.faulty.connections() > 0 then at.changed = true end
  collectgarbage()
  collectgarbage()
  return ok, raised
end

-- What holds a store or a sandbox is collected before what it holds.
local function collect(limit)
  for _ = 1, 5 do
    if failing.live() <= limit then return end
    collectgarbage()
  end
end

local function check_memory(at, subject, how)
  -- A sandbox collects when it likes.
  if subject.name:find "polic" then return end
  local before = at.live or math.huge
  collect(how.first == math.huge and 0 or before)
  at.live = failing.live()
  if how.first ~= math.huge and at.live > before + LOSS[how.kind] then
    return ("%d blocks of memory are left"):format(at.live - before)
  end
end

local function run(at, subject, how)
  return pcall(function()
    failing.arm(how.kind, how.first, how.last)
    return subject.run(at)
  end)
end

local function judge(at, subject, how, ok, value, err, call)
  local raised = not ok and value or nil
  if not ok then value = nil end
  collectgarbage()
  if call and value == nil then
    local wrong = expectations[how.kind](raised, err, call)
    assert(not wrong, "the error is " .. tostring(wrong))
  elseif not call then
    assert(value ~= nil, tostring(raised or err))
  end
  return check(at, subject, value, not ok and raised or err, call)
end

--- Does something while the calls of a kind from first to last fail. Returns whether as many calls were made, and what
--- is wrong afterwards, or nil.
---@param at table  { database=, reference= }; it is kept for the next trial
---@param how { kind: string, first: number, last: number }
---@return boolean reached, string? problem
function trial.run(at, subject, how)
  begin(at, subject)
  local ok, value, err = run(at, subject, how)
  local calls, call = failing.disarm()
  local good, shape = pcall(judge, at, subject, how, ok, value, err, call)
  if good and calls < how.first then
    at.reference.shape, at.reference.files = shape, read_files(at.database.files)
  end
  local closed, raised = finish(at)
  local problem = not good and shape or not closed and raised or nil
  if not problem then problem = check_memory(at, subject, how) end
  if problem then at.changed = true end
  return calls >= how.first, problem and ("%s (%s)"):format(problem, call or "no call failed")
end

return trial
