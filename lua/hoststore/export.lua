--- store:export: the hosts in a format, as text, into a file or to an open one.
local clock = require "hoststore.clock"
local core = require "hoststore.core"
local file = require "hoststore.file"
local formats = require "hoststore.format"

local export = {}

--- A function that gives the hosts in that format to a sink and returns how many they were, and how
--- many it had to skip where a format cannot carry every host. All its runs mean the same moment by
--- "expired".
---@param store hoststore.Store
---@param name string
---@param filter? hoststore.Filter
---@param options? {header?: boolean, now?: number}  now: by which hosts expire, when that is known already
---@return (fun(sink: fun(text: string)): integer, integer?)? generate, hoststore.Error? err
function export.generator(store, name, filter, options)
  local format, err = formats.get(name, "write")
  if not format then
    return nil, err
  end
  local now = options and options.now
  if not now then
    now, err = clock.to_expire_by(store)
    if not now then
      return nil, err
    end
  end
  options = { header = options and options.header, now = now }
  return function(sink)
    local position, failure = core.position(store)
    if not position then
      error(failure, 0)
    end
    options.position = position
    if format.write_store then
      return format.write_store(store, filter, sink, options)
    end
    return format.write(store:hosts(filter), sink, options)
  end
end

--- Calls fn, whose reads all see the same hosts, and returns what it returns.
---@param store hoststore.Store
---@param fn fun(): any, hoststore.Error?
---@return any result, hoststore.Error? err
function export.consistently(store, fn)
  return file.try(store.transaction, store, fn, { readonly = true })
end

local function to_text(generate)
  local parts = {}
  generate(function(text)
    parts[#parts + 1] = text
  end)
  return table.concat(parts)
end

--- Writes what generate gives to its sink to an open file, and returns what generate returned.
function export.to_handle(generate, handle)
  local function check(ok, message, errno)
    if not ok then
      error(file.failure(message, errno), 0)
    end
  end
  local count = generate(function(text)
    check(handle:write(text))
  end)
  -- What the buffer still holds may be what the disk has no room for.
  if handle.flush then
    check(handle:flush())
  end
  return count
end

--- Whether a value can be written to like an open file.
function export.is_writable(target)
  return io.type(target) == "file" or type(target) == "table" and target.write ~= nil
end

--- Gives what generate makes to a target: returned as text when it is nil, written to a path (as a
--- whole or not at all) or an open file.
---@return string|integer? text or what generate returned, hoststore.Error|integer|nil err or the second thing it did
function export.deliver(store, generate, target)
  if target == nil then
    return export.consistently(store, function() return to_text(generate) end)
  end
  local skipped
  local function counting(sink)
    local count
    count, skipped = generate(sink)
    return count
  end
  local count, err = export.consistently(store, function()
    if type(target) == "string" then
      return file.replace(target, counting)
    end
    return export.to_handle(counting, target)
  end)
  if not count then
    return nil, err
  elseif skipped then
    return count, skipped
  end
  return count
end

--- The hosts in a format: as text, or written to a path (as a whole or not at all) or an open file.
---@param store hoststore.Store
---@param name "hosts"|"json"|"ndjson"|"csv"|"dnsmasq"|"unbound"|"uci"|"bind"|"bind_reverse"|"pihole"|"adguard"
---@param target? string|file*|hoststore.Filter  a filter may take its place
---@param filter? hoststore.Filter
---@return string|integer? text or the number of hosts written
---@return hoststore.Error|integer|nil err  or, with a target and a format that not all names are fit for, the
---  number of hosts that were left out for that
function core.methods.export(store, name, target, filter)
  if filter == nil and type(target) == "table" and not getmetatable(target) and not export.is_writable(target) then
    target, filter = nil, target
  end
  if target ~= nil and type(target) ~= "string" and not export.is_writable(target) then
    error("target: a path, an open file or nothing expected", 2)
  end
  local generate, err = export.generator(store, name, filter)
  if not generate then
    return nil, err
  end
  return export.deliver(store, generate, target)
end

return export
