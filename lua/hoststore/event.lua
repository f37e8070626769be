--- Events as they are read, by streams and by feeds.

local core = require "hoststore.core"
local json = require "hoststore.json"

---@class hoststore.Event: hoststore.NewEvent
---@field position integer
---@field stream string
---@field version integer
---@field actor string?
---@field reason string?
---@field recorded_at number

local event = {}

--- Makes values of the JSON that events or entries of the log have come with, in place, unless JSON is wanted. An entry
-- of a host has no data.
---@param events table[]
---@param as_json boolean?
---@return hoststore.Event[]?, hoststore.Error?
function event.decode(events, as_json)
  if as_json then return events end
  for _, read in ipairs(events) do
    if read.data then
      local data, err = json.decode(read.data)
      if err then
        return nil, core.error({ code = "corrupt", position = read.position,
          message = ("the data of the event at position %d is not JSON: %s"):format(read.position, err) })
      end
      if data == core.null then data = nil end
      read.data = data
    end
    if read.metadata then read.metadata = json.decode(read.metadata) end
  end
  return events
end

return event
