--- Deleting snapshots by the rules of somebody else.

local core = require "hoststore.core"

local retention = {}

-- One that is gone by now was to go. Outside a transaction each is deleted in one of its own.
local function delete_each(store, snapshots)
  local deleted = 0
  for _, snapshot in ipairs(snapshots) do
    local done, err = store:delete_snapshot(snapshot.id)
    if not done and err.code ~= "not_found" then return nil, err end
    deleted = deleted + (done and 1 or 0)
  end
  return deleted
end

--- Deletes the snapshots that find() gives and calls rest(deleted), all in one transaction, of which rest
-- gives the result. On a full disk there may be no room to journal so many changes at once: then the
-- snapshots go one after another, and rest has a transaction of its own.
---@param find fun(): hoststore.Snapshot[]?, hoststore.Error?
---@param rest fun(deleted: integer): any, any
---@return any result, hoststore.Error? err
function retention.delete(store, find, rest)
  local found, deleted
  local result, err = store:transaction(function()
    local failed
    found, failed = find()
    if not found then return nil, failed end
    deleted, failed = delete_each(store, found)
    if not deleted then return nil, failed end
    return rest(deleted)
  end)
  if result ~= nil then return result end
  if not found or err.code ~= "full" or core.depth(store) > 0 then return nil, err end
  deleted, err = delete_each(store, found)
  if not deleted then return nil, err end
  return store:transaction(function() return rest(deleted) end)
end

return retention
