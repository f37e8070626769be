--- The databases the conformance specs run on, and the harness that looks for leftovers.
---
---   for _, backend in ipairs(require "spec.support.backends") do
---     describe(backend.name .. ": hosts", function()
---       local store
---       before_each(function() store = backend.open() end)
---       after_each(backend.finish)
---
--- make() makes room for a database and returns its `url`; open(options) does so and opens it.
--- reopen(options) opens the one made last once more, and clear() removes it while nobody has it
--- open; backends without them have a database that only one handle can see. shared: other processes
--- can open it meanwhile. slow: a change takes some milliseconds. finish() closes what
--- the test opened and fails it when something is left: a store that does not verify, an open
--- transaction or connection, a temporary file. directory() is the test's own, removed at its end.
---
--- HOSTSTORE_TEST_BACKENDS=sqlite leaves PostgreSQL and DuckDB out, for machines without libpq.
local faulty = require "hoststore_faulty"
local hoststore = require "hoststore"
local system = require "spec.support.system"

local with_postgres = os.getenv "HOSTSTORE_TEST_BACKENDS" ~= "sqlite"

-- Every handle goes through the test driver, which knows what is open.
local postgres_driver = with_postgres and require "hoststore.postgres"
package.loaded["hoststore.sqlite"] = faulty.wrap(require "hoststore.sqlite")
package.loaded["hoststore.postgres"] = with_postgres and faulty.wrap(postgres_driver) or nil

-- Where the driver was not built, for want of DuckDB's library, its databases are none.
local has_duckdb, duckdb_driver = pcall(require, "hoststore.duckdb")
if has_duckdb then
  package.loaded["hoststore.duckdb"] = faulty.wrap(duckdb_driver)
  has_duckdb = not os.getenv "HOSTSTORE_WITHOUT_DUCKDB"
elseif not duckdb_driver:find("module 'hoststore.duckdb' not found", 1, true) then
  error(duckdb_driver, 0)
end

local directory, made
local handles = {}

local function test_directory()
  directory = directory or system.directory()
  return directory
end

local function open(url, options)
  local store = assert(hoststore.open(url, options))
  handles[#handles + 1] = store
  return store
end

local function check_handle(store, problems)
  local ok, report, err = pcall(store.verify, store)
  if not ok then
    if not tostring(report):find("closed", 1, true) then
      problems[#problems + 1] = "verify raised: " .. tostring(report)
    end
    return
  end
  if not report then
    problems[#problems + 1] = "verify failed: " .. tostring(err)
    return
  end
  for _, problem in ipairs(report.problems) do
    problems[#problems + 1] = "verify: " .. (type(problem) == "table" and problem.message or tostring(problem))
  end
  if not report.ok and #report.problems == 0 then
    problems[#problems + 1] = "verify is not ok but names no problem"
  end
end

local function is_leftover(path)
  local name = path:match("[^/]*$")
  if name:find("%-journal$") then
    -- A journal that is kept for the next transaction is empty or begins with zeros.
    return (system.read(directory .. "/" .. path):byte() or 0) ~= 0
  end
  -- What publishing remembers of a file is beside it as long as that is.
  local remembered = name:find("^%.hoststore%-%x+%.state$")
  return name:find("^%.") and not remembered or name:find("%-wal$") or name:find("%-shm$") or name:find("tmp")
end

-- A reader that is the last to close leaves the write-ahead log to the next writer.
local function write_back(path)
  local database = path:match("^(.*)%-wal$")
  if database then
    assert(hoststore.open(directory .. "/" .. database, { policies = false })):close()
  end
end

local function check_leftovers(problems)
  local _, transactions = faulty.connections()
  if transactions > 0 then
    problems[#problems + 1] = transactions .. " transactions are open"
  end
  -- Whoever may write is the first to have opened, and clears up when it is the last to close.
  for i = #handles, 1, -1 do
    handles[i]:close()
  end
  local connections = faulty.connections()
  if connections > 0 then
    problems[#problems + 1] = connections .. " connections are open after close"
  end
  for _, path in ipairs(directory and system.files(directory) or {}) do
    write_back(path)
  end
  for _, path in ipairs(directory and system.files(directory) or {}) do
    if is_leftover(path) then
      problems[#problems + 1] = "a file is left: " .. path
    end
  end
end

-- A database of PostgreSQL is a schema of its own.
local schemas = {}

local function postgres_url()
  return os.getenv "HOSTSTORE_TEST_POSTGRES"
    or error("HOSTSTORE_TEST_POSTGRES is not set: run spec/support/with_postgres, as make test does", 0)
end

local function execute(sql)
  faulty.execute(postgres_driver, postgres_url(), sql)
end

local function finish()
  local problems = {}
  faulty.off()
  faulty.at_open(nil)
  local ok, raised = pcall(function()
    for _, store in ipairs(handles) do
      check_handle(store, problems)
    end
    check_leftovers(problems)
  end)
  if directory then
    system.remove(directory)
  end
  for _, schema in ipairs(schemas) do
    execute("DROP SCHEMA IF EXISTS " .. schema .. " CASCADE")
  end
  handles, directory, made, schemas = {}, nil, nil, {}
  if not ok then
    error(raised, 0)
  elseif #problems > 0 then
    error("the test left this behind:\n" .. table.concat(problems, "\n"), 0)
  end
end

-- The databases of a driver that keeps them in files.
local function file_backend(scheme)
  local file = { name = scheme .. " file" }
  function file.make()
    made = made and made + 1 or 1
    file.url = scheme .. "://" .. test_directory() .. "/" .. made .. ".db"
    return file.url
  end
  function file.clear()
    assert(os.remove((file.url:gsub("^%w+://", ""))))
  end
  return file
end

local function memory_backend(scheme, url)
  return { name = scheme .. " memory", make = function() return url end }
end

local postgres = { name = "postgres" }

function postgres.make()
  local schema = "t" .. #schemas + 1
  postgres.url = postgres_url() .. "&options=-csearch_path%3D" .. schema
  schemas[#schemas + 1] = schema
  postgres.clear()
  return postgres.url
end

function postgres.clear()
  execute("DROP SCHEMA IF EXISTS " .. schemas[#schemas] .. " CASCADE")
  execute("CREATE SCHEMA " .. schemas[#schemas])
end

--- Runs one statement of SQL as the superuser; "@" before a name is the schema of the database.
function postgres.execute(sql)
  execute((sql:gsub("@", schemas[#schemas] .. ".")))
end

local backends = { file_backend "sqlite", memory_backend("sqlite", "memory:"), with_postgres and postgres or nil }
if has_duckdb and with_postgres then
  backends[4], backends[5] = file_backend "duckdb", memory_backend("duckdb", "duckdb://:memory:")
  backends[4].slow, backends[5].slow = true, true
end
-- Of these, other processes can open a database too while it is open here.
backends[1].shared, postgres.shared = true, true

for _, backend in ipairs(backends) do
  backend.faulty, backend.finish, backend.directory = faulty, finish, test_directory
  function backend.open(options)
    return open(backend.make(), options)
  end
  if backend.clear then
    function backend.reopen(options)
      return open(backend.url, options)
    end
  end
end

return backends
