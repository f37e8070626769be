--- Judges a history of what several processes did to one log at the same time: whether all of it could
--- have happened one after the other, in an order that agrees with the clock on the wall.
---
---   local findings = checker.check { log = events, operations = { … } }   -- { { name=, message= }… }
---
--- The log, as it was read at the end, is an array of { position=, stream=, version=, id=, value= }. An
--- operation is { process=, start=, finish=, outcome=, reads = { { stream=, values= }… },
--- appends = { { stream=, value=, version=, position= }… } }. It is one step for all others: first it reads
--- whole streams, then it appends. Each value is appended by one operation alone, once. Times are of a clock
--- that all processes share; an operation whose outcome is "unknown" has no finish, one that "fail"ed has done
--- nothing. The version and the position of an append are what the process was told, where it was told them.
---
--- The positions of the log say in which order the writers came. From that follow the edges of a graph: ww,
--- from a writer to the next; wr, from a writer to who read what it wrote; rw, from a reader to who wrote what
--- it did not see yet; rt, from an operation to those that began after its end. Where the edges make a
--- circle, no order explains what was seen. What is known under a name is reported under it, too.
local neutral = require "hoststore.neutral"

local checker = {}

local function time_text(time)
  return neutral.format("%.6f", time)
end

local function show(operation)
  if not operation then return "the log" end
  return ("process %s at %s"):format(tostring(operation.process), time_text(operation.start))
end

local Check = {}
Check.__index = Check

function Check:report(name, ...)
  self.findings[#self.findings + 1] = { name = name, message = name .. ": " .. string.format(...) }
end

-- Who appended a value, whether or not it came to be.
local function writers_of(operations)
  local writers = {}
  for _, operation in ipairs(operations) do
    for _, append in ipairs(operation.appends) do writers[append.value] = operation end
  end
  return writers
end

-- The log ------------------------------------------------------------------------------------------------------

local function sorted(list, key)
  local copy = {}
  for i, item in ipairs(list) do copy[i] = item end
  table.sort(copy, function(a, b) return a[key] < b[key] end)
  return copy
end

function Check:check_numbers(events, key, where)
  local last = 0
  for _, event in ipairs(events) do
    if event[key] == last then
      self:report("shared place", "two events have the %s %d of %s", key, last, where)
    elseif event[key] ~= last + 1 then
      self:report("gap", "%s %d to %d of %s are missing", key, last + 1, event[key] - 1, where)
    end
    last = event[key]
  end
end

function Check:read_log(log)
  local ids = {}
  self.log, self.events, self.streams = sorted(log, "position"), {}, {}
  self:check_numbers(self.log, "position", "the log")
  for _, event in ipairs(self.log) do
    if ids[event.id] or self.events[event.value] then
      self:report("duplicate", "event %s with the value %s was written twice", event.id, event.value)
    end
    ids[event.id], self.events[event.value] = true, event
    self.streams[event.stream] = self.streams[event.stream] or {}
    table.insert(self.streams[event.stream], event)
    local writer = self.writers[event.value]
    if not writer then
      self:report("unknown value", "nobody appended %s, which is in the log", event.value)
    elseif writer.outcome == "fail" then
      self:report("dirty read", "the log has %s, whose append by %s failed", event.value, show(writer))
    end
  end
  for name, events in pairs(self.streams) do
    self.streams[name] = sorted(events, "version")
    self:check_numbers(self.streams[name], "version", "stream " .. name)
    for i, event in ipairs(self.streams[name]) do event.index = i end
  end
end

-- Writers ------------------------------------------------------------------------------------------------------

function Check:check_append(operation, append)
  local event = self.events[append.value]
  if not event then
    self:report("lost update", "%s was told that %s was written, and it is not", show(operation), append.value)
  elseif append.version and append.version ~= event.version
    or append.position and append.position ~= event.position then
    self:report("wrong answer", "%s was told another place of %s than it has", show(operation), append.value)
  end
end

function Check:check_writer(operation)
  local there = 0
  for _, append in ipairs(operation.appends) do
    if self.events[append.value] then there = there + 1 end
    if operation.outcome == "ok" then self:check_append(operation, append) end
  end
  if there > 0 and there < #operation.appends then
    self:report("torn write", "%d of %d events of %s were written", there, #operation.appends, show(operation))
  end
  operation.happened = operation.outcome == "ok" or operation.outcome == "unknown" and there > 0
end

-- Readers ------------------------------------------------------------------------------------------------------

function Check:check_value(operation, read, i)
  local value = read.values[i]
  local writer, event = self.writers[value], (self.streams[read.stream] or {})[i]
  if not writer then
    self:report("unknown value", "%s read %s, which nobody appended", show(operation), value)
  elseif writer.outcome == "fail" then
    self:report("dirty read", "%s read %s, whose append by %s failed", show(operation), value, show(writer))
  elseif not event or event.value ~= value then
    self:report("broken prefix", "%s read %s as number %d of stream %s, which has %s there", show(operation), value, i,
      read.stream, event and event.value or "nothing")
  else
    return true
  end
end

-- Returns the last event that a read saw, and the first one it did not see.
function Check:edge_of(read)
  local events = self.streams[read.stream] or {}
  return events[#read.values], events[#read.values + 1]
end

function Check:check_read(operation, read)
  local seen = {}
  for i, value in ipairs(read.values) do
    if seen[value] then
      self:report("duplicate", "%s read %s twice", show(operation), value)
      return
    end
    seen[value] = true
    if not self:check_value(operation, read, i) then return end
  end
  local last, next_one = self:edge_of(read)
  local writer = next_one and self.writers[next_one.value]
  if writer and last and self.writers[last.value] == writer then
    self:report("intermediate read", "%s saw a part of what %s appended to %s", show(operation), show(writer),
      read.stream)
  end
  if writer and writer.finish and writer.outcome == "ok" and writer.finish < operation.start then
    self:report("stale read", "%s did not see %s, which was there since %s", show(operation), next_one.value,
      time_text(writer.finish))
  end
end

-- Reads of one operation are of one moment: all they have not seen is behind all that they saw.
function Check:check_moment(operation)
  local newest, oldest
  for _, read in ipairs(operation.reads) do
    local last, next_one = self:edge_of(read)
    if last and (not newest or last.position > newest.position) then newest = last end
    if next_one and (not oldest or next_one.position < oldest.position) then oldest = next_one end
  end
  if newest and oldest and oldest.position < newest.position and oldest.stream ~= newest.stream then
    self:report("fractured read", "%s saw %s, and not %s, which was written before", show(operation), newest.value,
      oldest.value)
  end
end

-- Who appends to what it has read appends directly behind it.
function Check:check_update(operation)
  local first = {}
  for _, append in ipairs(operation.appends) do
    local event = self.events[append.value]
    if event then first[append.stream] = math.min(first[append.stream] or event.version, event.version) end
  end
  for _, read in ipairs(operation.reads) do
    if first[read.stream] and first[read.stream] ~= #read.values + 1 then
      self:report("lost update", "%s had read %d events of %s and wrote number %d", show(operation), #read.values,
        read.stream, first[read.stream])
    end
  end
end

-- The graph ----------------------------------------------------------------------------------------------------

function Check:add_edge(from, to, kind)
  if from and to and from ~= to and from.happened and to.happened then
    self.edges[from][to] = self.edges[from][to] or kind
  end
end

function Check:add_order(events)
  for i = 2, #events do
    self:add_edge(self.writers[events[i - 1].value], self.writers[events[i].value], "ww")
  end
end

function Check:add_reads(operation)
  for _, read in ipairs(operation.reads) do
    local last, next_one = self:edge_of(read)
    self:add_edge(last and self.writers[last.value], operation, "wr")
    self:add_edge(operation, next_one and self.writers[next_one.value], "rw")
  end
end

-- A process does one thing after the other, so what each did last before a moment stands for all before.
function Check:add_real_time(operations)
  local begun, ended, latest, next_end = sorted(operations, "start"), {}, {}, 1
  for _, operation in ipairs(operations) do
    if operation.finish and operation.happened then ended[#ended + 1] = operation end
  end
  ended = sorted(ended, "finish")
  for _, operation in ipairs(begun) do
    while ended[next_end] and ended[next_end].finish < operation.start do
      latest[ended[next_end].process] = ended[next_end]
      next_end = next_end + 1
    end
    for _, before in pairs(latest) do self:add_edge(before, operation, "rt") end
  end
end

-- Takes away what nothing, or nothing that is left, leads to. In a circle is only what remains.
local function remainder(edges)
  local count, free = {}, {}
  for _, targets in pairs(edges) do
    for to in pairs(targets) do count[to] = (count[to] or 0) + 1 end
  end
  for node in pairs(edges) do
    if not count[node] then free[#free + 1] = node end
  end
  while free[1] do
    local node = table.remove(free)
    for to in pairs(edges[node]) do
      count[to] = count[to] - 1
      if count[to] == 0 then free[#free + 1], count[to] = to, nil end
    end
  end
  return count
end

-- The edges of a shortest circle through a node, as { kind=, from= } in order, or nil.
local function circle_through(edges, start, left)
  local from, queue, i = {}, { start }, 1
  while queue[i] do
    local node = queue[i]
    for to in pairs(edges[node]) do
      if left[to] and not from[to] then
        from[to] = node
        queue[#queue + 1] = to
      end
    end
    i = from[start] and #queue + 1 or i + 1
  end
  if not from[start] then return nil end
  local circle, node = {}, start
  repeat
    table.insert(circle, 1, { kind = edges[from[node]][node], from = from[node] })
    node = from[node]
  until node == start
  return circle
end

local ENOUGH = 100

function Check:find_circle()
  local left, tried, best = remainder(self.edges), 0, nil
  for node in pairs(left) do
    local circle = tried < ENOUGH and circle_through(self.edges, node, left)
    if circle and (not best or #circle < #best) then best = circle end
    tried = tried + 1
  end
  if not best then return end
  local kinds, around = {}, {}
  for i, edge in ipairs(best) do
    kinds[i], around[i] = edge.kind, ("%s -%s->"):format(show(edge.from), edge.kind)
  end
  table.sort(kinds)
  self:report("circle", "%s: %s", table.concat(kinds, " "), table.concat(around, " "))
end

---@param history { log: table[], operations: table[] }
---@return { name: string, message: string }[] findings
function checker.check(history)
  local self = setmetatable({ findings = {}, edges = {}, writers = writers_of(history.operations) }, Check)
  self:read_log(history.log)
  for _, operation in ipairs(history.operations) do
    self:check_writer(operation)
    self.edges[operation] = {}
  end
  self:add_order(self.log)
  for _, events in pairs(self.streams) do self:add_order(events) end
  for _, operation in ipairs(history.operations) do
    if operation.happened then
      for _, read in ipairs(operation.reads) do self:check_read(operation, read) end
      self:check_moment(operation)
      self:check_update(operation)
      self:add_reads(operation)
    end
  end
  self:add_real_time(history.operations)
  self:find_circle()
  return self.findings
end

return checker
