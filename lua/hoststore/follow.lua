--- store:follow: the log as it grows.

local core = require "hoststore.core"
local options = require "hoststore.options"

local PAGE = 100
-- Seconds between two looks at the log, the longer the longer nothing has come.
local FIRST_WAIT, LONGEST_WAIT = 0.01, 0.5

local keys = options.set("after", "timeout", "stream", "prefix", "types")

--- Iterates over the events behind `after` (0: all) and waits for more; ends when none has come for
-- `timeout` seconds (nil: never; 0: at the end of the log). Raises the error object when a read fails.
---@param given { after: integer?, timeout: number?, stream: string?, prefix: string?, types: string[]? }?
---@return fun(): hoststore.Event?
function core.methods.follow(store, given)
  given = options.check(given, keys, "the options")
  local after, timeout = given.after or 0, given.timeout or math.huge
  local page, index = {}, 0

  local function read()
    local err
    page, err = store:events { after = after, limit = PAGE, stream = given.stream, prefix = given.prefix,
      types = given.types }
    if not page then error(err, 0) end
    index = 0
    return #page > 0
  end

  local function wait()
    local deadline, pause = core.sys.monotonic() + timeout, FIRST_WAIT
    while not read() do
      local left = deadline - core.sys.monotonic()
      if left <= 0 then return false end
      core.sys.sleep(math.min(pause, left))
      pause = math.min(pause * 2, LONGEST_WAIT)
    end
    return true
  end

  return function()
    if index == #page and not wait() then return nil end
    index = index + 1
    after = page[index].position
    return page[index]
  end
end

return core.methods.follow
