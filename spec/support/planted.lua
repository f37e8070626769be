--- Histories for the checker to judge: each has one bug, planted under the name it must be found by, and those
--- without a name have none. As text, they read like this:
---
---   log = "a1 b1"              the events in the order of the log: their values; the letter is the stream.
---                              a1@3/2 has position 3 and version 2 instead of the next ones, a1#x the id x
---   "1 0-5 ok a=a1,a2 +b1"     process 1, from 0 to 5 o'clock: reads a, which is a1 and a2, and appends b1 to b.
---                              +b1@3/2 was told that it has position 3 and version 2
---   "1 0- unknown +a1"         nobody knows what came of it
local planted = {}

local function parse_place(word)
  local value, place, id = word:match "^(%a%d+)(@?[%d/]*)#?(%w*)$"
  local position, version = (place or ""):match "^@(%d+)/(%d+)$"
  return { value = value, stream = value:sub(1, 1), position = tonumber(position), version = tonumber(version),
    id = id ~= "" and id or value }
end

local function parse_log(text)
  local events, versions = {}, {}
  for word in text:gmatch "%S+" do
    local event = parse_place(word)
    event.position = event.position or #events + 1
    event.version = event.version or (versions[event.stream] or 0) + 1
    versions[event.stream] = event.version
    events[#events + 1] = event
  end
  return events
end

local function parse_operation(text)
  local process, start, finish, outcome, steps = text:match "^(%d+) ([%d.]+)%-([%d.]*) (%l+)(.*)$"
  local operation = { process = process, start = tonumber(start), finish = tonumber(finish), outcome = outcome,
    reads = {}, appends = {} }
  for stream, values in steps:gmatch " (%a)=(%S*)" do
    local read = { stream = stream, values = {} }
    for value in values:gmatch "[^,]+" do table.insert(read.values, value) end
    table.insert(operation.reads, read)
  end
  for word in steps:gmatch " %+(%S+)" do table.insert(operation.appends, parse_place(word)) end
  return operation
end

--- A history as checker.check takes it.
---@param story table
function planted.parse(story)
  local history = { log = parse_log(story.log), operations = {} }
  for i, text in ipairs(story) do history.operations[i] = parse_operation(text) end
  return history
end

planted.sound = {
  { what = "nothing happens", log = "" },
  { what = "one process writes and reads", log = "a1 a2",
    "1 0-1 ok a= +a1@1/1", "1 2-3 ok a=a1 +a2@2/2", "1 4-5 ok a=a1,a2" },
  { what = "two write at once, and readers see the one or both", log = "b1 a1",
    "1 0-5 ok +a1", "2 0-5 ok +b1", "3 1-2 ok a= b=", "4 2-3 ok a= b=b1", "3 4-6 ok a=a1 b=b1" },
  { what = "a write whose outcome nobody knows is there", log = "a1", "1 0- unknown +a1", "2 5-6 ok a=a1" },
  { what = "a write whose outcome nobody knows is not there", log = "", "1 0- unknown +a1 +b1", "2 5-6 ok a= b=" },
  { what = "a write comes through long after its process was killed", log = "a1",
    "1 0- unknown +a1", "2 5-6 ok a=", "2 7-8 ok a=a1" },
  { what = "a refused write is nowhere", log = "a1", "1 0-1 ok +a1", "2 0-2 fail a= +a2 +b2", "3 3-4 ok a=a1 b=" },
  { what = "what a failed operation has read does not matter", log = "a1", "1 0-1 ok +a1", "2 2-3 fail a=" },
}

planted.bugs = {
  { bug = "lost update", what = "an acknowledged append is not there", log = "a1",
    "1 0-1 ok +a1", "2 2-3 ok +a2" },
  { bug = "lost update", what = "two read the same version and both write behind it", log = "a1 a2 a3",
    "1 0-1 ok +a1", "1 2-5 ok a=a1 +a2", "2 2-5 ok a=a1 +a3" },
  { bug = "shared place", what = "two events are version 2 of one stream", log = "a1 a2 a3@3/2",
    "1 0-1 ok +a1", "1 2-5 ok +a2", "2 2-5 ok +a3" },
  { bug = "shared place", what = "two events have one position", log = "a1 b1@1/1", "1 0-1 ok +a1", "2 0-1 ok +b1" },
  { bug = "gap", what = "a position is missing", log = "a1 a2@3/2", "1 0-1 ok +a1", "1 2-3 ok +a2" },
  { bug = "gap", what = "a version is missing", log = "a1 a2@2/3", "1 0-1 ok +a1", "1 2-3 ok +a2" },
  { bug = "gap", what = "the log does not begin at 1", log = "a1@2/1", "1 0-1 ok +a1" },
  { bug = "duplicate", what = "a retry writes the same event once more", log = "a1 a1@2/2", "1 0-9 ok +a1" },
  { bug = "duplicate", what = "two events have one id", log = "a1#x a2#x", "1 0-1 ok +a1", "1 2-3 ok +a2" },
  { bug = "duplicate", what = "a reader is given an event twice", log = "a1", "1 0-1 ok +a1", "2 2-3 ok a=a1,a1" },
  { bug = "dirty read", what = "a reader sees what is then rolled back", log = "", "1 0-5 fail +a1", "2 2-3 ok a=a1" },
  { bug = "dirty read", what = "a refused append is in the log", log = "a1", "1 0-5 fail +a1" },
  { bug = "intermediate read", what = "a reader sees the first of two events of one append", log = "a1 a2",
    "1 0-5 ok +a1 +a2", "2 2-3 ok a=a1" },
  { bug = "stale read", what = "a reader misses what was acknowledged before it began", log = "a1 a2",
    "1 0-1 ok +a1", "1 2-3 ok +a2", "2 4-5 ok a=a1" },
  { bug = "stale read", what = "a process does not see its own write", log = "a1", "1 0-1 ok +a1", "1 2-3 ok a=" },
  { bug = "fractured read", what = "a reader sees half of a batch over two streams", log = "a1 b1",
    "1 0-5 ok +a1 +b1", "2 2-3 ok a= b=b1" },
  { bug = "fractured read", what = "a reader sees a later event and not an earlier one", log = "a1 b1",
    "1 0-5 ok +a1", "2 0-5 ok +b1", "3 1-4 ok a= b=b1" },
  { bug = "broken prefix", what = "a reader misses an event in the middle", log = "a1 a2 a3",
    "1 0-1 ok +a1", "1 2-3 ok +a2", "1 4-5 ok +a3", "2 6-7 ok a=a1,a3" },
  { bug = "broken prefix", what = "a reader sees two events in the other order", log = "a1 a2",
    "1 0-5 ok +a1", "2 0-5 ok +a2", "3 6-7 ok a=a2,a1" },
  { bug = "broken prefix", what = "a reader sees what is gone later", log = "a1",
    "1 0-1 ok +a1", "1 0- unknown +a2", "2 2-3 ok a=a1,a2" },
  { bug = "unknown value", what = "a reader sees what nobody wrote", log = "a1", "1 0-1 ok +a1", "2 2-3 ok a=a1,a9" },
  { bug = "unknown value", what = "the log has what nobody wrote", log = "a1 b9", "1 0-1 ok +a1" },
  { bug = "torn write", what = "half of an atomic batch is written, and its process is killed", log = "a1",
    "1 0- unknown +a1 +b1" },
  { bug = "wrong answer", what = "a writer is told a version that another event has", log = "a1 a2",
    "1 0-5 ok +a1@1/1", "2 0-5 ok +a2@2/3" },
  { bug = "wrong answer", what = "a writer is told a position that another event has", log = "a1 b1",
    "1 0-5 ok +a1@2/1", "2 0-5 ok +b1@1/1" },
  { bug = "circle", kinds = "rt ww", what = "a later writer comes before an earlier one in the log", log = "a1 b1",
    "1 0-1 ok +b1", "2 2-3 ok +a1" },
  { bug = "circle", kinds = "ww ww", what = "the events of two batches stand between each other", log = "a1 b2 b1",
    "1 0-5 ok +a1 +b1", "2 0-5 ok +b2" },
  { bug = "circle", kinds = "rw ww", what = "a writer does not see what stands before its own event elsewhere",
    log = "a1 b1", "1 0-9 ok +a1", "2 0-9 ok a= +b1" },
  { bug = "circle", kinds = "wr ww", what = "a writer has read what comes behind it", log = "a1 b1",
    "1 0-9 ok b=b1 +a1", "2 0-9 ok +b1" },
  { bug = "circle", kinds = "rt rw wr", what = "a reader sees an event, and a later one does not", log = "a1",
    "1 0-9 ok +a1", "2 1-2 ok a=a1", "3 3-4 ok a=" },
}

return planted
