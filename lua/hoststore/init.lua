--- hoststore: an event-sourced database of host names.
--
-- What can go wrong in the world comes back as `nil, err`; a call that is wrong in itself raises.

local core = require "hoststore.core"

--- What a method returns behind nil. tostring(err) is the message.
---@class hoststore.Error
---@field code string  "invalid", "duplicate", "conflict", "not_found", "busy", "readonly", "full" …
---@field message string
---@field retryable boolean  the same call, unchanged, may succeed later
---@field field string?  the field of a host that was wrong
---@field expected any?  the version that was expected
---@field actual integer?  the version there is
---@field current hoststore.Host?  the host as it is now
---@field line integer?  the line of an imported source
---@field index integer?  the operation of a batch, from 1

---@class hoststore.OpenOptions
---@field actor string?  who writes, where a call does not say
---@field tenant string?  the log to use; "default"
---@field readonly boolean?
---@field create boolean?  make a missing database; true
---@field durability "full"|"normal"|nil  full: what was acknowledged survives a power cut
---@field journal string?  SQLite: "auto", "wal", "truncate", "delete", "persist", "memory"
---@field page_size integer?  SQLite: bytes, for a new file; 1024 spares flash
---@field busy_timeout integer?  milliseconds a writer waits for another; 30000
---@field names "strict"|"lenient"|nil  lenient: any UTF-8 without space, control character and '#'
---@field policies string|false|nil  the directory of policy scripts; /etc/hoststore/policies, if there is one
---@field on_error "refuse"|"allow"|nil  a policy that is broken: writes fail (refuse), or are as without policies
---@field clock (fun(): number)?  seconds since 1970, instead of the system's clock

local hoststore = {
  _VERSION = "hoststore 1.0.0",
  --- Clears a field: `store:update(host, { comment = hoststore.null })`. The same as cjson.null.
  null = core.null,
}

-- Methods are loaded when they are first called: a hotplug script that adds one host should not
-- read the CSV parser.
local modules = {
  at = "view", diff = "view", hosts = "view", verify = "care", check = "care", stats = "care", backup = "care",
  transaction = "transaction", history = "history", log = "history",
  stream = "stream", append_batch = "stream", events = "stream", streams = "stream",
  stream_health = "stream", partition_stats = "stream",
  snapshot = "snapshot", restore = "snapshot", apply_retention = "snapshot",
  copy_to = "copy", dump = "copy", load = "copy",
  render = "template",
  import = "import", plan = "plan", export = "export", publish = "publish", publish_outputs = "publish",
  follow = "follow", query = "query",
  outputs = "policy", explain_policies = "policy", plan_policies = "policy", apply_policy_retention = "policy",
  feed = "feed", feeds = "feed", delete_feed = "feed",
}

setmetatable(core.methods, {
  __index = function(methods, name)
    local module = modules[name]
    if not module then return nil end
    require("hoststore." .. module)
    return rawget(methods, name)
  end,
})

--- Methods of a host that was read from a store.
local host_methods = core.host_methods

local function store_of(host)
  return getmetatable(host).store
end

--- Changes the host unless somebody else has since it was read ("conflict", err.current).
---@param changes hoststore.HostChanges
---@param options hoststore.WriteOptions?
---@return hoststore.Host?, boolean|hoststore.Error changed
function host_methods:update(changes, options)
  return store_of(self):update(self, changes, options)
end

--- Deletes the host unless somebody has changed it since it was read.
---@param reason string?
---@return true?, hoststore.Error?
function host_methods:delete(reason)
  return store_of(self):delete(self, { reason = reason })
end

--- What happened to the host, oldest first.
---@return hoststore.HistoryEntry[]?, hoststore.Error?
function host_methods:history(options)
  return store_of(self):history(self.id, options)
end

--- Opens a store, and makes it when it is not there.
---@param url string  sqlite:///abs.db, sqlite:rel.db, a plain path, memory:, postgres://…, duckdb:///abs.duckdb
---@param options hoststore.OpenOptions?
---@return hoststore.Store?, hoststore.Error?
function hoststore.open(url, options)
  return require("hoststore.url").open(url, options)
end

--- Leases of DHCP, in dnsmasq's Lua scripts: `hoststore.hotplug.lease(action, given)`.
setmetatable(hoststore, {
  __index = function(module, name)
    if name == "hotplug" then
      module.hotplug = require "hoststore.hotplug"
      return module.hotplug
    end
  end,
})

return hoststore
