local system = require "spec.support.system"

-- What an installation without the drivers for PostgreSQL and DuckDB can do, told by its last line.
local SCRIPT = [[
package.cpath = arg[1] .. "/?.so"
local hoststore = require "hoststore"
local store = assert(hoststore.open(arg[2]))
assert(store:add { ip = "10.0.0.1", hostname = "nas" })
assert(store:verify().ok)
store:close()
local none, err = hoststore.open "postgres://u:secret@localhost/d"
print(none, err.code, err.retryable, err.message)
none, err = hoststore.open("duckdb:" .. arg[2])
print(none, err.code, err.retryable, err.message)
]]

describe("hoststore without its drivers for PostgreSQL and DuckDB", function()
  local directory, modules

  before_each(function()
    directory = system.directory()
    modules = directory .. "/hoststore"
    assert.equal("", (system.run(("mkdir %s && cd $BUILD/hoststore && ln -s $PWD/core.so $PWD/sqlite.so %s")
      :format(modules, modules))))
    system.write(directory .. "/script.lua", SCRIPT)
  end)

  after_each(function() system.remove(directory) end)

  -- The message of the refusal, after SQLite has worked.
  local function refusal()
    local command = system.lua(directory .. "/script.lua", directory, directory .. "/hosts.db")
    local pipe = assert(io.popen(command .. " 2>&1"))
    local output = pipe:read "*a"
    pipe:close()
    local message, of_duckdb = output:match "^nil\tunsupported\tfalse\t([^\n]*)\nnil\tunsupported\tfalse\t([^\n]*)\n$"
    assert.is_truthy(message, output)
    assert.matches("install DuckDB's libduckdb.so (make deps-duckdb fetches it) and hoststore's driver for it, " ..
      "the module hoststore.duckdb: module 'hoststore.duckdb' not found", of_duckdb, 1, true)
    assert.matches("install libpq (Debian: libpq5) and hoststore's driver for it, the module hoststore.postgres",
      message, 1, true)
    assert.is_nil(message:find("secret", 1, true))
    return message
  end

  it("works on SQLite, and says what PostgreSQL takes", function()
    assert.matches("module 'hoststore.postgres' not found$", refusal())
  end)

  it("works on SQLite where the driver is there and libpq is not, and names the library", function()
    local driver, changed = system.read(os.getenv "BUILD" .. "/hoststore/postgres.so"):gsub("libpq%.so%.", "libno.so.")
    assert.is_true(changed > 0)
    system.write(modules .. "/postgres.so", driver)
    assert.matches("libno.so.", refusal(), 1, true)
  end)
end)
