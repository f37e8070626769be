local backends = require "spec.support.backends"
local expect = require "spec.support.expect"
local hoststore = require "hoststore"
local system = require "spec.support.system"

describe("a wrong URL of DuckDB", function()
  it("is refused with what would be right", function()
    for url, message in pairs {
      ["duckdb://host/a.duckdb"] = "write duckdb:///absolute/path or duckdb:relative/path",
      ["duckdb:"] = "write it like duckdb:///",
      ["duckdb:a.duckdb?journal=wal"] = "journal is an option of SQLite, not of DuckDB",
      ["duckdb:a.duckdb?schema=s"] = "schema is an option of PostgreSQL, not of DuckDB",
      ["duckdb:a.duckdb?threads=9"] = "unknown option 'threads'",
    } do
      assert.matches(message, expect.failure("invalid_url", hoststore.open(url)).message, 1, true)
    end
  end)
end)

local backend = backends[4]
if not backend then
  return
end

describe("a DuckDB file", function()
  local store, held
  before_each(function() store = backend.open() end)
  after_each(function()
    if held then
      held:close()
      held = nil
    end
    backend.finish()
  end)

  local function path()
    return (backend.url:gsub("^duckdb://", ""))
  end

  -- What another process says that opens it, and keeps it until `held` is closed.
  local function hold(how)
    local said = path() .. ".said"
    system.write(said, "")
    held = system.popen(("exec %s >%s"):format(system.lua("spec/support/holder.lua", backend.url, how), said), "w")
    system.wait("the other process has opened it, or not", function() return system.read(said):find "\n" end)
    return system.read(said):match "^[^\n]*"
  end

  local function sql(text)
    return pcall(backend.faulty.execute, require "hoststore.duckdb", path(), text)
  end

  local function messages()
    return table.concat(expect.pluck(assert(store:verify()).problems, "message"), "\n")
  end

  it("is for one process: another one hears that it is busy, and who has it", function()
    assert.equal("busy", hold "writing")
    held:close()
    assert.equal("busy", hold "readonly")
    held:close()
    store:close()
    assert.equal("ready", hold "writing")
    for _, readonly in ipairs { false, true } do
      local err = expect.failure("busy", hoststore.open(backend.url, { busy_timeout = 0, readonly = readonly }))
      assert.is_true(err.retryable)
      assert.matches("is open in another process: .*lua.* %(PID %d+%)", err.message)
    end
  end)

  it("is read by several processes at once, as long as none of them writes", function()
    assert(store:add { ip = "10.0.0.1", hostname = "a" })
    store:close()
    assert.equal("ready", hold "readonly")
    local reader = backend.reopen { readonly = true, busy_timeout = 0 }
    assert.equal("a", reader:list()[1].hostname)
    assert.is_true(reader:verify().ok)
    -- DuckDB itself would not notice within one process.
    expect.failure("busy", hoststore.open(backend.url, { busy_timeout = 0 }))
    reader:close()
    expect.failure("busy", hoststore.open(backend.url, { busy_timeout = 0 }))
    held:close()
    held = nil
    assert.equal(1, backend.reopen():count())
  end)

  it("is made for its owner alone, with its log and the directories on the way, whatever the umask", function()
    for _, umask in ipairs { "000", "022", "077" } do
      local directory = ("%s/%s/new"):format(backend.directory(), umask)
      local modes, status = system.run(("umask %s; exec %s"):format(umask,
        system.lua("spec/support/modes_of_duckdb.lua", directory)))
      assert.equal(0, status, modes)
      assert.equal("-rw------- hosts.duckdb\n-rw------- hosts.duckdb.wal\ndrwx------ .\n", modes)
    end
    system.run("rm -r " .. backend.directory() .. "/[0-9][0-9][0-9]")
  end)

  it("that a group may use gets a log that it may use, too", function()
    store:close()
    system.run("chmod 0660 " .. path())
    store = backend.reopen()
    assert(store:add { ip = "10.0.0.1", hostname = "a" })
    assert.equal("660\n", (system.run("stat -c %a " .. path() .. ".wal")))
  end)

  it("beside which another user has put a log is not opened", function()
    store:close()
    system.run(("mkdir -m 1777 %s/shared"):format(backend.directory()))
    local shared = backend.directory() .. "/shared/hosts.duckdb"
    for _, name in ipairs { "", ".wal", ".wal.checkpoint", ".wal.recovery" } do
      local _, status = system.run(("touch %s%s && chown 65534 %s%s"):format(shared, name, shared, name))
      assert.equal(0, status)
      local err = expect.failure("readonly", hoststore.open("duckdb://" .. shared))
      assert.matches("belongs to another user", err.message, 1, true)
      os.remove(shared .. name)
    end
    store = backend.reopen()
    assert.matches("uses beside it", expect.failure("invalid", store:backup(path() .. ".wal")).message, 1, true)
  end)

  it("is the same under another name", function()
    system.run(("ln -s %s %s.link"):format(path(), path()))
    local other = assert(hoststore.open("duckdb://" .. path() .. ".link"))
    assert(other:add { ip = "10.0.0.1", hostname = "a" })
    assert.equal(1, store:count())
    assert(store:add { ip = "10.0.0.2", hostname = "b" })
    assert.equal(2, other:count())
    other:close()
    os.remove(path() .. ".link")
  end)

  it("keeps who would change or delete events by their name from it", function()
    assert(store:stream("s"):append { type = "A", data = 1 })
    for _, text in ipairs { "UPDATE events SET data = '2'", "DELETE FROM events", "TRUNCATE events" } do
      assert.is_false(sql(text), text)
    end
    assert.equal(1, store:events()[1].data)
  end)

  it("tells by verify when somebody has gone behind that name", function()
    assert(store:add { ip = "10.0.0.1", hostname = "a" })
    assert(store:add { ip = "10.0.0.2", hostname = "b" })
    assert(sql "UPDATE event_log SET data = replace(data, '10.0.0.2', '10.0.0.3') WHERE position = 2")
    assert.matches("10.0.0.", messages(), 1, true)
    assert(sql "UPDATE event_log SET data = replace(data, '10.0.0.3', '10.0.0.2') WHERE position = 2")
    assert.equal("", messages())
    assert(sql "CREATE TABLE lost AS SELECT * FROM event_log WHERE position = 1")
    assert(sql "DELETE FROM event_log WHERE position = 1")
    assert.not_equal("", messages())
    assert(sql "INSERT INTO event_log SELECT * FROM lost")
    assert.equal("", messages())
  end)

  it("undoes a part of a transaction, or all of it when that is very long", function()
    local big = ("x"):rep(9 * 1024 * 1024)
    for _, count in ipairs { 2, 8 } do
      local stream = store:stream("s" .. count)
      local done, err = store:transaction(function()
        for i = 1, count do
          assert(stream:append { type = "Big", data = big .. i })
        end
        expect.failure("conflict", store:transaction(function()
          assert(stream:append { type = "Undone" })
          return stream:append({ type = "Refused" }, { expected = 1 })
        end))
        return stream:append { type = "Last" }
      end)
      if count == 2 then
        assert.equal(3, done.last, tostring(err))
        assert.equal("Last", stream:read()[3].type)
        assert.equal(big .. 2, stream:read()[2].data)
      else
        expect.failure("unsupported", done, err)
        assert.matches("nothing of it was written", err.message, 1, true)
        assert.equal(0, stream:version())
      end
    end
    assert(store:stream("s8"):append { type = "After" })
  end)

  it("of another program, or of none, is left as it is", function()
    assert(sql "COMMENT ON TABLE schema_migrations IS 'of another program'")
    store:close()
    local before = system.read(path())
    expect.failure("migration", hoststore.open(backend.url))
    assert.equal(before, system.read(path()))
    system.write(path(), ("no database\n"):rep(1000))
    expect.failure("corrupt", hoststore.open(backend.url))
    assert.equal(12000, #system.read(path()))
    expect.failure("connection", hoststore.open("duckdb://" .. backend.directory()))
    backend.clear()
  end)

  it("that is damaged is said to be, and never read as something else", function()
    for i = 1, 40 do
      assert(store:add { ip = "10.0.0." .. i, hostname = "h" .. i, comment = ("%04d"):format(i):rep(500) })
    end
    store:close()
    local bytes = system.read(path())
    local place = assert(bytes:find("HostCreated", 1, true) or bytes:find("10.0.0.7", 1, true))
    for _, damaged in ipairs { bytes:sub(1, place - 1) .. "X" .. bytes:sub(place + 1), bytes:sub(1, place) } do
      system.write(path(), damaged)
      local reader, err = hoststore.open(backend.url, { readonly = true })
      if reader then
        local report
        report, err = reader:verify()
        assert.is_nil(report)
        reader:close()
      end
      assert.equal("corrupt", err.code, err.message)
    end
  end)
end)

-- It takes a mount.
local unshare = system.namespace()

if unshare then
  describe("a DuckDB file on a full disk", function()
    local directory
    before_each(function() directory = system.directory() end)
    after_each(function() system.remove(directory) end)

    -- READ is what comes of reading it.
    local function try(environment, size, room, bytes, read)
      local disk = directory .. "/disk"
      assert.equal("failed as\tfull\nagain as\tfull\nall are read\t" .. read .. "\nall are there\ttrue\n" ..
        "with room again it goes on\ttrue\n", (system.run(unshare .. "sh -c " .. system.quote(
        ("mkdir %s && mount -t tmpfs -o size=%dm none %s && exec env %s "):format(disk, size, disk, environment) ..
        system.lua("spec/support/full_duckdb.lua", disk, room, bytes)))))
    end

    it("gives full, loses nothing, is read, and goes on when there is room", function()
      try("LC_ALL=C", 6, 1, 20000, "true")
    end)

    it("gives full, too, in a program that speaks another language", function()
      system.run("localedef -c -i de_DE -f UTF-8 " .. directory .. "/de_DE.UTF-8")
      try("LOCPATH=" .. directory .. " LC_ALL=de_DE.UTF-8 LANGUAGE=de", 6, 1, 20000, "true")
    end)

    it("is full for readers, too, until it is opened again, when its log could not be merged", function()
      try("LC_ALL=C", 44, 18, 200000, "full")
    end)
  end)
end

describe("a URL of DuckDB", function()
  after_each(backend.finish)

  it("names a file, absolute or relative, or memory", function()
    local directory = backend.directory()
    for _, url in ipairs { "duckdb://" .. directory .. "/new/dir/a.duckdb", "duckdb://:memory:", "DuckDB::memory:" } do
      local store = assert(hoststore.open(url))
      assert(store:add { ip = "10.0.0.1", hostname = "a" })
      assert.equal("duckdb", store:stats().backend)
      store:close()
    end
    assert.same({ "new/dir/a.duckdb" }, system.files(directory))
  end)
end)
