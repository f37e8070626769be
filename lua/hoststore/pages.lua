--- Hosts page by page, each of which begins behind the last host seen, so that no statement stays open between two
--- steps, whatever is done meanwhile.
local options = require "hoststore.options"

local PAGE = 1000

local pages = {}

--- A function that reads the next page when it is called, and returns what `read` did; nothing behind the last one.
---@param filter hoststore.Filter?
---@param read fun(filter: hoststore.Filter): any, integer, table?  gets the filter of a page; returns the page, how
---  many hosts are listed in it and the last of them. It raises when it fails.
---@param level integer  of the caller to blame for a filter that is none
---@return fun(): any
function pages.reader(filter, read, level)
  local page_filter = {}
  if filter ~= nil and type(filter) ~= "table" then
    error("the filter must be a table, not " .. type(filter), level + 1)
  end
  for name, value in pairs(filter or {}) do page_filter[name] = value end
  local left = page_filter.limit or math.huge
  if left ~= math.huge and not options.is_count(left) then
    error("limit must be a whole number, not " .. tostring(left), level + 1)
  end
  local ended = false
  return function()
    if ended then return nil end
    local wanted = math.min(left, PAGE)
    page_filter.limit = wanted
    local page, count, last = read(page_filter)
    left, page_filter.offset = left - count, nil
    -- A copy: who reads may write into the host it is given.
    page_filter.after = last and { id = last.id, ip = last.ip, hostname = last.hostname,
      created_at = last.created_at, updated_at = last.updated_at }
    ended = count < wanted or left == 0
    return page
  end
end

return pages
