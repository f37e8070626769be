--- What time it is for what expires. Routers boot in 1970 and sometimes in 2033: by such a clock nothing expires
--- that has not yet, and nothing that has comes back.
local core = require "hoststore.core"

local expiry = {}

local MAX_JUMP = 400 * 86400

--- The time of the clock; while that cannot be believed, the time of the newest event.
---@param store hoststore.Store
---@return number? time  nil: the error is the second value
---@return number|hoststore.Error|nil clock  what the clock says, when it cannot be believed
function expiry.now(store)
  local now = core.now(store)
  local newest, err = core.events(store, { backward = true, limit = 1 })
  if not newest then return nil, err end
  local last = newest[1] and newest[1].recorded_at
  if last and (now < last - 1 or now > last + MAX_JUMP) then return last, now end
  return now
end

return expiry
