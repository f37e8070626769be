--- A process that projects a feed, for spec/conformance/feeds_spec.lua:
---   projector.lua URL FEED STREAM COUNT
--- For each event of the stream "shared" it appends its position to STREAM, until there are COUNT of
--- them. Ends with a line that says how many it appended itself, or with what went wrong.
local hoststore = require "hoststore"

local url, name, counted, count = arg[1], arg[2], arg[3], tonumber(arg[4])
local store = assert(hoststore.open(url))
local stream = store:stream(counted)
local appended, written = 0, 0

local function project(event)
  if event.stream ~= "shared" then
    return true
  end
  appended = appended + 1
  return stream:append { type = "Counted", data = event.position }
end

local feed = store:feed(name)
for _ in store:follow { timeout = 60 } do
  repeat
    appended = 0
    local projected, err = feed:project(project, { limit = 7 })
    if projected then
      written = written + appended
    elseif err.code == "conflict" then
      feed = store:feed(name)
    else
      error(tostring(err), 0)
    end
  until projected == 0
  if assert(stream:version()) == count then
    break
  end
end
store:close()
print(written)
