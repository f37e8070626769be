--- The databases of the model test. Each sequence has a store of its own: in memory on SQLite and DuckDB, and as a
--- tenant of one database on PostgreSQL and in a file of DuckDB, which is faster than a database for each.
local backends = require "spec.support.backends"
local Model = require "spec.model.model"

local stores = {}

local function in_memory(backend)
  return function()
    return function(clock)
      return backend.open { clock = clock, actor = Model.actor }
    end
  end
end

local function as_tenant(backend)
  return function()
    local tenants = 0
    backend.make()
    return function(clock)
      tenants = tenants + 1
      return backend.reopen { clock = clock, actor = Model.actor, tenant = "model " .. tenants }
    end
  end
end

local opens, all = { sqlite = in_memory(backends[2]), postgres = as_tenant(backends[3]) }, "sqlite,postgres"
if backends[5] then
  opens.duckdb, opens["duckdb-file"] = in_memory(backends[5]), as_tenant(backends[4])
  all = all .. ",duckdb,duckdb-file"
end

--- The stores of these names, as run.check takes them.
---@param names string?  "sqlite,postgres,duckdb,duckdb-file" by default
---@return { name: string, open: fun(clock: fun(): number): hoststore.Store }[]
function stores.open(names)
  local subjects = {}
  for name in (names or all):gmatch "[^,]+" do
    local open = opens[name] or error("there is no store '" .. name .. "'", 0)
    subjects[#subjects + 1] = { name = name, open = open() }
  end
  return subjects
end

return stores
