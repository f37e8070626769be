local hoststore = require "hoststore"
local system = require "spec.support.system"

-- A file system on which a file cannot be mapped shared and writable, such as jffs2. Sanitised modules
-- need their runtime first.
local preload = table.concat({ os.getenv "LD_PRELOAD" or "", os.getenv "BUILD" .. "/no_shared_mmap.so" }, " ")

local TRY = [[
local hoststore = require "hoststore"
local store, err = hoststore.open(arg[1], { journal = arg[2] })
if not store then
  print(err.code, err.message)
else
  assert(store:add { ip = "10.0.0.1", hostname = "a" })
  print(store:stats().journal, store:count())
end
]]

describe("where a write-ahead log does not work", function()
  local directory, script
  before_each(function()
    directory = system.directory()
    script = os.tmpname()
    system.write(script, TRY)
  end)
  after_each(function()
    system.remove(directory)
    os.remove(script)
  end)

  local function try(journal)
    local path = directory .. "/hosts.db"
    local lua = os.getenv "LUA" or "lua5.4"
    local output = system.run(("LD_PRELOAD=%s %s %s %s %s"):format(system.quote(preload), lua, script, path, journal))
    return output, path
  end

  it("the journal is a rollback journal when hoststore may choose", function()
    assert.equal("persist\t1\n", (try "auto"))
  end)

  it("it is refused when asked for, and the file is as good as before", function()
    local output, path = try "wal"
    assert.equal(("unsupported\ta write-ahead log does not work where '%s' is; use journal=auto\n"):format(path),
      output)
    assert.same({ "hosts.db" }, system.files(directory))
    assert.equal("persist\t1\n", (try "auto"))
  end)

  it("a database that has one already says what to do, and is used again after that", function()
    local path = directory .. "/hosts.db"
    local store = assert(hoststore.open("sqlite://" .. path, { journal = "wal" }))
    assert(store:add { ip = "10.0.0.2", hostname = "b" })
    store:close()
    for _, journal in ipairs { "auto", "wal", "truncate" } do
      assert.equal(("unsupported\t'%s' has a write-ahead log, which does not work where it is; open it with "
        .. "journal=truncate on another disk, and bring it back\n"):format(path), (try(journal)))
    end
    assert(hoststore.open("sqlite://" .. path, { journal = "truncate" })):close()
    assert.equal("persist\t2\n", (try "auto"))
  end)
end)
