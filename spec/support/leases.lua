--- What other processes bring into a database by way of a spool, for specs.
---   before_each(function() directory, path = leases.begin() end)
---   after_each(leases.finish)
local core = require "hoststore.core"
local hoststore = require "hoststore"
local spool = require "hoststore.hotplug.spool"
local system = require "spec.support.system"

local leases = {}
local directory

--- Calls fn with a store that is open for as long; returns what it returns.
function leases.with_store(url, fn)
  local store = assert(hoststore.open(url))
  local ok, result = pcall(fn, store)
  store:close()
  if not ok then error(result, 0) end
  return result
end

--- The hosts of a database as lines "address name owner", where the owner of a lease is its client's tag.
function leases.hosts(url)
  return leases.with_store(url, function(store)
    local lines = {}
    for i, host in ipairs(assert(store:list())) do
      lines[i] = ("%s %s %s"):format(host.ip, host.hostname, host.tags[1] or host.origin)
    end
    return lines
  end)
end

--- Whether nobody drains the spool.
function leases.is_idle(path)
  local lock = core.sys.lock(path .. "/lock")
  if lock then lock:release() end
  return lock or not core.sys.stat(path .. "/lock")
end

--- Waits until nobody drains the spool.
function leases.wait_for_drainer(path)
  system.wait("nobody drains", function() return leases.is_idle(path) end)
end

--- Waits until nothing is in the spool, and nobody drains it.
function leases.wait_for_all(path)
  system.wait("the spool is drained", function()
    return leases.is_idle(path) and #(spool.waiting(path) or {}) == 0
  end)
end

--- An empty directory, and the path in it of a spool that is not there yet.
---@return string directory, string path
function leases.begin()
  directory = system.directory()
  return directory, directory .. "/spool"
end

function leases.finish()
  leases.wait_for_drainer(directory .. "/spool")
  system.remove(directory)
end

return leases
