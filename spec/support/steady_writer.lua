--- A process that appends events, each until it is acknowledged, whatever happens to the server, for
--- spec/support/steady_writers.lua:
---   steady_writer.lua URL STREAM NUMBER STOP
--- It prints the id of each acknowledged event, and how often it had to call again. It ends with "done"
--- once the file STOP is there, or with what went wrong. NUMBER, from 0 to 9, makes its ids its own.
local hoststore = require "hoststore"
local sys = require("hoststore.core").sys

local url, stream, number, stop = arg[1], arg[2], arg[3], arg[4]
io.stdout:setvbuf "line"

local again = 0

local function is_there(path)
  local file = io.open(path)
  return file and file:close()
end

-- Repeats what may succeed later, as it is.
local function insist(call)
  local deadline = sys.monotonic() + 30
  local value, err = call()
  while not value do
    assert(err.retryable and sys.monotonic() < deadline, tostring(err))
    again = again + 1
    sys.sleep(0.01)
    value, err = call()
  end
  return value
end

local ok, raised = pcall(function()
  local store = insist(function() return hoststore.open(url) end)
  local log = store:stream(stream)
  local i = 0
  repeat
    i = i + 1
    local id = ("01ARZ3NDEKTSV4RRFF%s%07d"):format(number, i)
    insist(function() return log:append { type = "A", id = id, data = i } end)
    print(id)
  until is_there(stop)
  store:close()
end)
print("again " .. again)
print(ok and "done" or tostring(raised))
