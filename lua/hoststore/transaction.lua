--- store:transaction: all or nothing.

local core = require "hoststore.core"
local options = require "hoststore.options"

local known = options.set("readonly")

local function finish(store, good, first, ...)
  if not good then
    core.finish(store, false)
    error(first, 0)
  end
  if not first and (...) ~= nil then
    core.finish(store, false)
    return nil, (...)
  end
  local done, err = core.finish(store, true)
  if not done then return nil, err end
  if first == nil then return true end
  return first, ...
end

--- Runs fn; what it writes is committed together, or not at all: it is rolled back when fn returns
-- nil and an error, or raises. Transactions nest; an inner one is undone alone. fn cannot yield.
---@param fn fun(): ...
---@param given { readonly: boolean? }?  readonly: reads only, all of the same state
---@return any result  what fn returned, true when that was nothing
---@return hoststore.Error? err
function core.methods.transaction(store, fn, given)
  given = options.check(given, known, "the options")
  if type(fn) ~= "function" then error("transaction needs a function, not " .. type(fn), 2) end
  local begun, err = core.begin(store, not given.readonly)
  if not begun then return nil, err end
  return finish(store, core.call(fn))
end

return core.methods.transaction
