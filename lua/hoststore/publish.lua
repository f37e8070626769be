--- store:publish: a file kept in step with the hosts, written only when it would change.
local core = require "hoststore.core"
local export = require "hoststore.export"
local file = require "hoststore.file"

local defaults = { format = "hosts", header = false }

local function check_options(options)
  for key in pairs(options) do
    if key ~= "filter" and defaults[key] == nil then
      error("unknown option '" .. tostring(key) .. "'; publish has filter, format and header", 3)
    end
  end
end

local function option(options, key)
  if options[key] == nil then
    return defaults[key]
  end
  return options[key]
end

--- Brings the file at path in step with the hosts. It is compared first, and left untouched when it
--- holds the same already: whoever watches it, and the flash it lies on, is to be spared. A new one
--- comes whole, with the mode and owner of the old one; a symbolic link is followed.
---@param store hoststore.Store
---@param path string
---@param options? {filter?: hoststore.Filter, format?: string, header?: boolean}
---@return boolean? written false when the file was up to date
---@return hoststore.Error? err
function core.methods.publish(store, path, options)
  if type(path) ~= "string" then
    error("path: a string expected", 2)
  end
  options = options or {}
  check_options(options)
  local generate, err = export.generator(store, option(options, "format"), options.filter,
    { header = option(options, "header") })
  if not generate then
    return nil, err
  end
  return export.consistently(store, function()
    local same, failure = file.compare(path, generate)
    if same then
      return false
    elseif failure then
      return nil, failure
    end
    local count
    count, failure = file.replace(path, generate)
    if not count then
      return nil, failure
    end
    return true
  end)
end
