--- Four processes of spec/support/steady_writer.lua at once, whatever happens to the server:
---
---   local writers = steady_writers.start(directory, url)
---   writers:wait_for_more(20)
---   local acknowledged, again = writers:finish()
---   local count = steady_writers.check(store, acknowledged)
local system = require "spec.support.system"

local steady_writers = {}
local Writers = {}
Writers.__index = Writers

local COUNT = 4

function Writers:output(i)
  return self.directory .. "/output" .. i
end

function Writers:lines(i)
  local found = {}
  for line in io.lines(self:output(i)) do
    found[#found + 1] = line
  end
  return found
end

--- Two write to the same stream, two to one of their own.
---@param directory string  for what they say
function steady_writers.start(directory, url)
  local self = setmetatable({ directory = directory, stop = directory .. "/stop", pipes = {} }, Writers)
  for i = 1, COUNT do
    system.write(self:output(i), "")
    local writer = system.lua("spec/support/steady_writer.lua", url, i < 3 and "hot" or "s" .. i, i, self.stop)
    self.pipes[i] = system.popen(("exec %s >%s 2>&1"):format(writer, system.quote(self:output(i))), "w")
  end
  return self
end

--- Waits until each has written so many events more.
---@param count integer
function Writers:wait_for_more(count)
  local before = {}
  for i = 1, COUNT do
    before[i] = #self:lines(i)
  end
  for i = 1, COUNT do
    system.wait("writer " .. i .. " has written more", function()
      local now = self:lines(i)
      assert(not (now[#now - 1] or ""):find "^again", now[#now])
      return #now >= before[i] + count
    end)
  end
end

--- Ends them.
---@return string[][] acknowledged  the ids that each was told of
---@return integer again  how often they had to call again
function Writers:finish()
  local acknowledged, again = {}, 0
  system.write(self.stop, "")
  for i, pipe in ipairs(self.pipes) do
    pipe:close()
    local said = self:lines(i)
    assert(table.remove(said) == "done", "a writer gave up")
    again = again + tonumber(table.remove(said):match "^again (%d+)$")
    acknowledged[i] = said
  end
  os.remove(self.stop)
  return acknowledged, again
end

--- Checks that the log is sound and just what was acknowledged: each writer has stopped behind an acknowledgement.
---@param store hoststore.Store
---@return integer count  of the events
function steady_writers.check(store, acknowledged)
  local verified, nexts, versions = assert(store:verify()), {}, {}
  assert(verified.ok, tostring(verified.problems[1]))
  local events = assert(store:events())
  for position, event in ipairs(events) do
    local writer = tonumber(event.id:sub(19, 19))
    nexts[writer] = (nexts[writer] or 0) + 1
    versions[event.stream] = (versions[event.stream] or 0) + 1
    assert(event.position == position, "a position is missing")
    assert(event.version == versions[event.stream], "a version is missing")
    assert(event.id == acknowledged[writer][nexts[writer]], "an event is lost, there twice, or out of order")
  end
  for i = 1, COUNT do
    assert(nexts[i] == #acknowledged[i], "events are lost")
  end
  return #events
end

return steady_writers
