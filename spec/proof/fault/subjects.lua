--- What is tried. run(at) gives something or nil and an error; check(at, value) raises when afterwards something
--- beyond the database is not so as it has to be, value being nil when it has failed. `at` is { database=, store=,
--- nas=, snapshot= }.
local hoststore = require "hoststore"
local operations = require "spec.support.operations"
local spool = require "hoststore.hotplug.spool"
local system = require "spec.support.system"

local subjects = {}

-- -- operations on a store ----------------------------------------------------------------------------------

for _, set in ipairs { operations.writes, operations.reads } do
  for _, name in ipairs(operations.names(set)) do
    subjects[#subjects + 1] = { name = name, run = function(at) return set[name](at.store, at.nas, at.snapshot) end }
  end
end

subjects[#subjects + 1] = { name = "roll back", run = function(at)
  local _, err = at.store:transaction(function()
    local added, problem = at.store:add { ip = "10.0.0.9", hostname = "added" }
    return nil, added and "it was all right" or problem
  end)
  if err == "it was all right" then return true end
  return nil, err
end }

-- -- opening -------------------------------------------------------------------------------------------------

subjects[#subjects + 1] = { name = "open", run = function(at)
  local store, err = at.database.open()
  if not store then return nil, err end
  return store:close()
end }

local function fresh_url(at)
  return at.database.path and at.database.url:gsub("[^/]*%.db", "files/fresh.db") or at.database.url .. "&tenant=fresh"
end

subjects[#subjects + 1] = { name = "open a new one", run = function(at)
  local store, err = hoststore.open(fresh_url(at), at.database.options)
  if not store then return nil, err end
  return store:close()
end, check = function(at)
  local store = assert(hoststore.open(fresh_url(at), at.database.options))
  assert(store:add { ip = "10.0.0.1", hostname = "nas" })
  assert(assert(store:verify()).ok)
  store:close()
  at.changed = at.changed or not at.database.path
  for _, suffix in ipairs { "", "-journal" } do
    os.remove(at.database.files .. "/fresh.db" .. suffix)
  end
end }

-- -- files that are read -----------------------------------------------------------------------------------------

subjects[#subjects + 1] = { name = "import from a file", run = function(at)
  return at.store:import(at.database.files .. "/source", { format = "hosts", mode = "sync", max_deletes = 10 })
end, prepare = function(at)
  system.write(at.database.files .. "/source", ("10.0.0.7 new1 n # c [t]\n"):rep(2) .. "10.0.0.8 new2\n")
end }

-- -- leases --------------------------------------------------------------------------------------------------------

local LEASES = {
  { action = "add", client = "02:00:00:00:00:01", ip = "10.0.0.11", name = "phone" },
  { action = "add", client = "02:00:00:00:00:02", ip = "10.0.0.12", name = "tv" },
}

local function spool_of(at)
  return at.database.files .. "/spool"
end

local function drain(at)
  return hoststore.hotplug.drain { db = at.database.url, spool = spool_of(at) }
end

subjects[#subjects + 1] = { name = "put a lease into the spool", run = function(at)
  local name, message = spool.write(spool_of(at), LEASES[1])
  return name, not name and { code = "message", message = message } or nil
end, prepare = function(at)
  assert(spool.prepare(spool_of(at)))
end, check = function(at, name)
  local names = assert(spool.waiting(spool_of(at)))
  assert(not name or #names == 1 and names[1] == name, "the lease is not in the spool")
  for _, waiting in ipairs(names) do
    assert(assert(spool.read(spool_of(at), waiting)).ip == LEASES[1].ip)
    spool.remove(spool_of(at), waiting)
  end
end }

subjects[#subjects + 1] = { name = "drain the spool", run = drain, prepare = function(at)
  assert(spool.prepare(spool_of(at)))
  for _, lease in ipairs(LEASES) do
    assert(spool.write(spool_of(at), lease))
  end
end, check = function(at)
  assert(drain(at))
  assert(#assert(spool.waiting(spool_of(at))) == 0, "a lease still waits")
  for _, lease in ipairs(LEASES) do
    assert(at.store:find(lease.ip, lease.name), lease.name .. " is lost")
  end
  at.changed = true
end }

return subjects
