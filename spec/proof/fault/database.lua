--- The database that everything is tried on, filled as spec/support/operations.lua says; reset() makes it that again.
local backends = require "spec.support.backends"
local hoststore = require "hoststore"
local lfs = require "lfs"
local operations = require "spec.support.operations"
local system = require "spec.support.system"

local database = {}

local KINDS = {
  persist = { backend = backends[1], options = "?journal=persist&page_size=1024" },
  wal = { backend = backends[1], options = "?journal=wal&page_size=1024" },
  postgres = { backend = backends[3], options = "" },
}

local function fill(url, options)
  local store = assert(hoststore.open(url, options))
  operations.fill(store)
  store:close()
end

local function clear(directory)
  system.remove(directory)
  assert(lfs.mkdir(directory))
end

--- "persist" and "wal" are files of SQLite with that journal; "postgres".
function database.make(kind)
  local self = { faulty = backends[1].faulty, name = kind }
  local backend = KINDS[kind].backend
  self.url = backend.make() .. KINDS[kind].options
  self.directory = backend.directory()
  self.files = self.directory .. "/files"
  local options = operations.options(self.directory)
  local path = self.url:match "^sqlite://([^?]*)"
  options.busy_timeout = path and 0 or nil
  operations.directory = self.files

  local template
  function self.reset()
    clear(self.files)
    clear(os.getenv "HOSTSTORE_RUN") -- what publishing remembers
    if not path then
      backend.clear()
      fill(self.url, options)
      return
    end
    for _, suffix in ipairs { "", "-journal", "-wal", "-shm" } do
      os.remove(path .. suffix)
    end
    if template then
      system.write(path, template)
    else
      fill(self.url, options)
      template = system.read(path)
    end
  end

  --- Opens it; the caller closes it.
  function self.open()
    return hoststore.open(self.url, options)
  end

  self.options, self.path, self.finish = options, path, backend.finish
  self.reset()
  return self
end

return database
