--- What the specs of publishing have in common: a store, and a directory to publish into.
---   before_each(function() store, directory, home = publishing.begin() end)
---   after_each(publishing.finish)
--- or, with a host and the path of a file that is not there yet:
---   before_each(function() store, path, directory, home = publishing.begin_with_host() end)
local hoststore = require "hoststore"
local json = require "hoststore.json"
local system = require "spec.support.system"

local publishing = {}
local store, home, directory

--- A store, an empty directory, and the one that has the store as hosts.db.
---@return hoststore.Store, string, string
function publishing.begin()
  home, directory = system.directory(), system.directory()
  store = assert(hoststore.open(home .. "/hosts.db"))
  return store, directory, home
end

--- The same with a host, and the path of a file in the empty directory.
---@return hoststore.Store, string, string, string
function publishing.begin_with_host()
  publishing.begin()
  assert(store:add { ip = "10.0.0.1", hostname = "nas.lan" })
  return store, directory .. "/hosts", directory, home
end

function publishing.finish()
  store:close()
  system.remove(home)
  system.remove(directory)
end

--- The files below a directory as system.files gives them, without what is remembered of those in it.
---@param path string
---@return string[]
function publishing.files(path)
  local found = {}
  for _, name in ipairs(system.files(path)) do
    found[#found + 1] = not name:find "%.hoststore%-%x+%.state$" and name or nil
  end
  return found
end

--- Changes one place of a file by hand.
---@param path string
---@param pattern string
---@param text string
function publishing.edit(path, pattern, text)
  local edited, count = system.read(path):gsub(pattern, text)
  assert(count == 1, pattern)
  system.write(path, edited)
end

--- The command of a process that publishes an output, and kills itself before the step-th thing that it does.
---@param output table
---@param step integer?
---@return string
function publishing.process(output, step)
  return system.lua("spec/support/publisher.lua", home .. "/hosts.db", json.encode { output }, step)
end

return publishing
