--- A process that does random things to a few streams and writes down when it did what, for
--- spec/proof/consistency.lua:
---   history_client.lua URL NAME SEED COUNT FILE MODE
--- NAME, two digits, makes its values and event ids its own. FILE gets a line of JSON before and behind each
--- operation, on a clock that nobody sets. Started again with a FILE it has left when it was killed, it first
--- does once more what was under way, with the same event ids, and goes on up to operation COUNT. The last line
--- says "done", or what went wrong. MODE:
---   whole     the library as it is meant
---   steps     a bug: what should be one step is several, each a transaction of its own
---   unlocked  a bug: events are written by a function of the database that takes no lock
local hoststore = require "hoststore"
local json = require "cjson"
local commands = require "spec.model.commands"

local sys = require("hoststore.core").sys
local url, name, seed, count, path, mode = arg[1], arg[2], tonumber(arg[3]), tonumber(arg[4]), arg[5], arg[6]

local PATIENCE = 60
-- Streams are left behind for new ones, so that reading a whole one stays cheap.
local STREAMS, ROUND = 3, 40

local store

-- What it is going to do -----------------------------------------------------------------------------------------

local kinds = { "append", "append", "update", "update", "batch", "batch", "change", "change", "refuse", "rollback",
  "read", "read", "view", "view", "view" }
-- How many streams each reads, and how many it appends to.
local shapes = { append = { 0, 1 }, update = { 1, 1 }, batch = { 0, 2 }, change = { 2, 2 }, refuse = { 0, 2 },
  rollback = { 1, 2 }, read = { 1, 0 }, view = { STREAMS, 0 } }
local unlocked_kinds = { "append", "append", "read", "view" }

local function choose_streams(first, number, how_many)
  local streams = {}
  for i = 1, how_many do
    streams[i] = ("s%d-%d"):format((first + i) % STREAMS, math.floor(number / ROUND))
  end
  return streams
end

-- The same for the same number, however often the process was killed.
local function plan(number)
  local random = commands.random(seed * 1000003 + tonumber(name) * 10007 + number)
  local choices = mode == "unlocked" and unlocked_kinds or kinds
  local kind, first = choices[random(#choices)], random(STREAMS)
  local operation = { number = number, kind = kind, appends = {},
    reads = choose_streams(first, number, shapes[kind][1]) }
  -- A change also writes to what it has not read.
  if kind == "change" then first = random(STREAMS) end
  for _, stream in ipairs(choose_streams(first, number, shapes[kind][2])) do
    for _ = 1, random(2) do
      local i = #operation.appends + 1
      operation.appends[i] = { stream = stream, value = ("%s.%d.%d"):format(name, number, i),
        id = ("01ARZ3NDEKTSV4%s%07d%03d"):format(name, number, i) }
    end
  end
  return operation
end

-- Doing it ---------------------------------------------------------------------------------------------------

-- Where there is a gap between steps, others shall find it.
local function between_steps()
  sys.sleep(mode == "steps" and 0.002 or 0.0005)
end

local function read_all(streams)
  local reads = {}
  for i, stream in ipairs(streams) do
    local events, err = store:stream(stream):read()
    if not events then return nil, err end
    between_steps()
    reads[i] = { stream = stream, values = {} }
    for k, event in ipairs(events) do reads[i].values[k] = event.data end
  end
  return reads
end

-- The appends as append_batch takes them: an entry for each stream.
local function batch_of(appends)
  local batch, of = {}, {}
  for _, append in ipairs(appends) do
    local entry = of[append.stream]
    if not entry then
      entry = { stream = append.stream, events = {} }
      of[append.stream], batch[#batch + 1] = entry, entry
    end
    table.insert(entry.events, { type = "Noted", data = append.value, id = append.id })
  end
  return batch
end

-- What the writer was told: a version for each event, the position for the last one of each stream.
local function note_places(appends, batch, results)
  local places, i = {}, 0
  for k, entry in ipairs(batch) do
    for n = 1, #entry.events do
      i = i + 1
      places[i] = { value = appends[i].value, stream = appends[i].stream, version = results[k].first + n - 1,
        position = n == #entry.events and results[k].position or nil }
    end
  end
  return places
end

local ways = { whole = {} }

function ways.whole.transaction(fn, options)
  return store:transaction(fn, options)
end

function ways.whole.append(batch)
  return store:append_batch(batch)
end

ways.steps = {
  transaction = function(fn) return fn() end,
  append = function(batch)
    local results = {}
    for i, entry in ipairs(batch) do
      local result, err = store:stream(entry.stream):append(entry.events, { expected = entry.expected })
      if not result then return nil, err end
      between_steps()
      results[i] = result
    end
    return results
  end,
}

ways.unlocked = {
  transaction = ways.whole.transaction,
  append = function(batch)
    local calls = {}
    for _, entry in ipairs(batch) do
      for _, event in ipairs(entry.events) do
        calls[#calls + 1] = ("SELECT append_unlocked('%s', '%s', '%s')"):format(entry.stream, event.id,
          json.encode(event.data))
      end
    end
    for _, call in ipairs(calls) do
      require("hoststore_faulty").execute(require "hoststore.postgres", url, call)
    end
    return "untold"
  end,
}

local way = ways[mode]

local function append_all(operation)
  local batch = batch_of(operation.appends)
  if operation.kind == "update" then batch[1].expected = #operation.seen[1].values end
  if operation.kind == "refuse" then batch[#batch].expected = 1000000 end
  local results, err = way.append(batch)
  if not results then return nil, err end
  return results == "untold" and operation.appends or note_places(operation.appends, batch, results), results
end

local ROLLED_BACK = "this is rolled back"
local doing = {}

function doing.read(operation)
  local reads, err = read_all(operation.reads)
  return reads, reads and {} or err
end

function doing.view(operation)
  local reads, err = way.transaction(function() return read_all(operation.reads) end, { readonly = true })
  return reads, reads and {} or err
end

function doing.append(operation)
  local places, err = append_all(operation)
  return places and {}, places or err
end

doing.batch, doing.refuse = doing.append, doing.append

-- Once more after an unknown outcome it is the same append, whatever has been written since.
function doing.update(operation)
  local err
  if not operation.seen then operation.seen, err = read_all(operation.reads) end
  if not operation.seen then return nil, err end
  local places
  places, err = append_all(operation)
  return places and operation.seen, places or err
end

-- When it was written before, nobody knows any more what was read then.
function doing.change(operation)
  local places, results
  local reads, err = way.transaction(function()
    local seen, failure = read_all(operation.reads)
    if not seen then return nil, failure end
    places, results = append_all(operation)
    if not places then return nil, results end
    if operation.kind == "rollback" then return nil, ROLLED_BACK end
    return seen
  end)
  if not reads then return nil, err end
  return results[1].idempotent and {} or reads, places
end

doing.rollback = doing.change

-- Writing down -------------------------------------------------------------------------------------------------

local notes

local function note(line)
  assert(notes:write(json.encode(line), "\n"))
  assert(notes:flush())
end

local function is_refusal(err)
  return err == ROLLED_BACK or err.code == "conflict"
end

-- Calls again what may succeed later, with the same event ids.
local function insist(fn)
  local deadline = sys.monotonic() + PATIENCE
  while true do
    local value, other = fn()
    if value or is_refusal(other) then return value, other end
    if not other.retryable or sys.monotonic() > deadline then error(other.code .. ": " .. other.message, 0) end
    sys.sleep(0.02)
  end
end

local function perform(operation)
  local reads, places = insist(function() return doing[operation.kind](operation) end)
  if reads then
    note { number = operation.number, outcome = "ok", at = sys.monotonic(), reads = reads, appends = places }
  else
    note { number = operation.number, outcome = "fail", at = sys.monotonic() }
  end
end

local function begin(operation)
  note { number = operation.number, at = sys.monotonic(), kind = operation.kind, appends = operation.appends }
  perform(operation)
end

-- What was under way when the process was killed. What was meant to fail, and what has only read, is over.
local function finish(operation)
  if operation.kind == "refuse" or operation.kind == "rollback" or not operation.appends[1] then
    note { number = operation.number, outcome = "fail", at = sys.monotonic() }
    return
  end
  operation.kind, operation.reads = "batch", {}
  perform(operation)
end

-- How far the file has come: the number of the last operation, and whether it has ended. A line that was cut
-- short has not been written.
local function look_back()
  local file = assert(io.open(path, "a+b"))
  local number, ended = 0, true
  for line in file:lines() do
    local whole, said = pcall(json.decode, line)
    if whole and said.number then number, ended = said.number, said.outcome ~= nil end
  end
  if file:seek("end") > 0 and file:seek("end", -1) and file:read(1) ~= "\n" then file:write "\n" end
  file:close()
  return number, ended
end

local number, ended = look_back()
notes = assert(io.open(path, "ab"))
local ok, raised = pcall(function()
  store = insist(function() return hoststore.open(url) end)
  if not ended then finish(plan(number)) end
  for next_number = number + 1, count do begin(plan(next_number)) end
  store:close()
end)
note { done = true, failed = not ok and tostring(raised) or nil }
