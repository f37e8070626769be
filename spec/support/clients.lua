--- Several processes of spec/support/history_client.lua at once, and what befalls them: they are killed and
--- started again, stopped for a moment, and the clock of every other one jumps.
---
---   local crowd = clients.start { url =, directory =, count =, operations =, seed =, mode = "whole" }
---   crowd:run(random, { { "kills", clients.kill }… })     until all have done their operations
---   local history = crowd:history(store)                  for spec/support/checker.lua
local faketime = require "spec.support.faketime"
local json = require "cjson"
local system = require "spec.support.system"

local sys = require("hoststore.core").sys
local clients = {}
local Crowd = {}
Crowd.__index = Crowd

local LIMIT = 1800
-- Between one thing that befalls them and the next, in seconds.
local CALM = 0.08
local CLOCKS = { "+0", "-120d", "+400d", "@1970-01-01 00:00:10", "@2033-05-18 03:33:20", "-1", "+1h" }

-- Whoever waits for the process notes its end in a file, which is less to ask for than the process.
function Crowd:launch(client)
  local command = system.lua("spec/support/history_client.lua", self.url, client.name, self.seed, self.operations,
    client.path, self.mode)
  if client.clock then command = faketime.by(client.clock, command) end
  os.remove(client.path .. ".end")
  client.pipe = system.popen(("exec 2>&1; %s </dev/null & echo $!; wait $! 2>/dev/null; : >%s"):format(command,
    system.quote(client.path .. ".end")))
  client.pid = assert(client.pipe:read "*n")
end

---@param given { url: string, directory: string, count: integer, operations: integer, seed: integer, mode: string,
---  clocks: boolean? }
function clients.start(given)
  local self = setmetatable({ members = {}, counts = {}, failures = {} }, Crowd)
  for name, value in pairs(given) do self[name] = value end
  for i = 1, given.count do
    local client = { name = ("%02d"):format(i), path = ("%s/%02d"):format(given.directory, i) }
    if given.clocks and i % 2 == 0 then
      client.clock = client.path .. ".clock"
      faketime.set(client.clock, CLOCKS[1])
    end
    self.members[i] = client
    self:launch(client)
  end
  return self
end

local function last_line(path)
  local file = io.open(path, "rb")
  if not file then return "" end
  file:seek("set", math.max(0, file:seek "end" - 2000))
  local line = file:read("*a"):match "([^\n]*)\n$"
  file:close()
  return line or ""
end

local function send(client, signal)
  system.run(("kill -%s %d"):format(signal, client.pid))
end

function Crowd:look(client)
  if not sys.stat(client.path .. ".end") then return end
  local output = client.pipe:read "*a"
  client.pipe:close()
  client.ended = true
  if not last_line(client.path):match '"done":true' then
    self.failures[#self.failures + 1] = "process " .. client.name .. " died: " .. output
  end
end

function Crowd:working()
  local list = {}
  for _, client in ipairs(self.members) do
    if not client.ended then self:look(client) end
    if not client.ended then list[#list + 1] = client end
  end
  return list
end

--- What may befall a process.
function clients.kill(self, client)
  send(client, "KILL")
  client.pipe:read "*a"
  client.pipe:close()
  client.stopped = nil
  self:launch(client)
end

function clients.pause(_, client)
  send(client, "STOP")
  client.stopped = sys.monotonic()
end

function clients.jump(_, client, random)
  if client.clock then faketime.set(client.clock, CLOCKS[random(#CLOCKS)]) end
end

local function wake_up(working)
  for _, client in ipairs(working) do
    if client.stopped and sys.monotonic() - client.stopped > 2 * CALM then
      send(client, "CONT")
      client.stopped = nil
    end
  end
end

function Crowd:stop()
  for _, client in ipairs(self:working()) do
    send(client, "KILL")
    client.pipe:close()
    client.ended = true
  end
end

--- Lets things befall them until all have ended: each of `blows` is { name, fn(crowd, client, random) }.
function Crowd:run(random, blows)
  local deadline = sys.monotonic() + LIMIT
  local working = self:working()
  while working[1] do
    if sys.monotonic() > deadline then
      self:stop()
      error("the processes did not end within " .. LIMIT .. " seconds", 0)
    end
    sys.sleep(CALM)
    wake_up(working)
    working = self:working()
    local blow = blows[1] and working[1] and blows[random(#blows)]
    if blow then
      self.counts[blow[1]] = (self.counts[blow[1]] or 0) + 1
      blow[2](self, working[random(#working)], random)
    end
    working = self:working()
  end
end

-- What a process has written down, as operations. What it has said of itself that is no operation is a failure.
local function read_notes(client, operations, failures)
  local of = {}
  for line in io.lines(client.path) do
    local whole, said = pcall(json.decode, line)
    if whole and said.kind then
      of[said.number] = { process = client.name, start = said.at, outcome = "unknown", reads = {},
        appends = said.appends, number = said.number, kind = said.kind }
      operations[#operations + 1] = of[said.number]
    elseif whole and said.outcome then
      local operation = of[said.number]
      operation.outcome, operation.finish = said.outcome, said.at
      operation.reads, operation.appends = said.reads or {}, said.appends or operation.appends
    elseif whole and said.failed then
      failures[#failures + 1] = ("process %s: %s"):format(client.name, said.failed)
    end
  end
end

--- What happened, and what the processes complained of.
---@param store hoststore.Store
---@return { log: table[], operations: table[] }, string[] failures
function Crowd:history(store)
  local history, failures = { log = {}, operations = {} }, self.failures
  for _, client in ipairs(self.members) do read_notes(client, history.operations, failures) end
  for i, event in ipairs(assert(store:events())) do
    history.log[i] = { position = event.position, stream = event.stream, version = event.version, id = event.id,
      value = event.data }
  end
  return history, failures
end

return clients
