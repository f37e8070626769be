local backends = require "spec.support.backends"
local expect = require "spec.support.expect"
local hoststore = require "hoststore"
local system = require "spec.support.system"

local backend = backends[3]

-- Waits until they are gone: the server only signals them.
local TERMINATE = [[SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
  WHERE application_name = 'hoststore' AND pid <> pg_backend_pid()]]

local function psql(sql)
  local output, status = system.run("psql -XAtc " .. system.quote(sql) .. " " .. system.quote(backend.url))
  assert.equal(0, status, output)
  return (output:gsub("\n$", ""))
end

describe("opening a PostgreSQL store", function()
  after_each(backend.finish)

  local function refused(code, url, options)
    local err = expect.failure(code, hoststore.open(url, options))
    assert.is_nil(err.message:find("secret", 1, true), err.message)
    return err
  end

  it("takes its own options out of the URL and leaves the rest to libpq", function()
    local url = backend.make():gsub("%?", "?tenant=a%%20b&actor=anna&", 1)
    local store = assert(hoststore.open(url .. "&durability=normal&application_name=x&busy_timeout=50"))
    assert.equal("anna", assert(store:stream("s"):append { type = "A" }) and store:events()[1].actor)
    local stats = assert(store:stats())
    assert.same({ "postgres", "a b", "off", "t1", 2 }, { stats.backend, stats.tenant, stats.synchronous_commit,
      stats.schema, stats.schema_version })
    assert.equal("x", psql "SELECT application_name FROM pg_stat_activity WHERE application_name = 'x'")
    store:close()
    assert.equal("on", assert(backend.reopen()):stats().synchronous_commit)
  end)

  it("refuses a wrong URL and shows no password", function()
    for _, rest in ipairs {
      "//u:secret@h/d?page_size=1024", "//u:secret@h/d?journal=wal", "//u:secret@h/d?min_connections=many",
      "//u:secret@h/d?max_connections=0", "//u:secret@h/d?min_connections=11", "//u:secret@h/d?acquire_timeout=soon",
      "//u:secret@h/d?idle_timeout=-1", "//u:secret@h/d?schema=", "//u:secret@h/d?notify=perhaps",
      "//u:secret@h/d?busy_timeout=soon", "//u:secret@h/d?readonly=perhaps", "//u:secret%zz@h/d", "//u:secret%00@h/d",
      "//u:secret@[h/d", "//u:secret@h/d?sslmod=require", "h/d", "//u:secret@h/d?clock=1",
    } do
      refused("invalid_url", "postgres:" .. rest)
      refused("invalid_url", "postgresql:" .. rest)
    end
    refused("invalid_url", "sqlite:x.db?schema=s")
  end)

  it("refuses the options of SQLite", function()
    assert.matches("page_size", refused("unsupported", backend.make(), { page_size = 1024 }).message)
    assert.matches("journal", refused("unsupported", backend.url, { journal = "auto" }).message)
  end)

  it("says when there is no server, and names no password", function()
    local err = refused("connection", "postgres://u:secret@/d?host=" .. backend.directory())
    assert.is_true(err.retryable)
    assert.is_nil(err.message:find "%c")
  end)

  it("refuses a schema that is not its own", function()
    backend.make()
    backend.execute "CREATE TABLE @schema_migrations (version varchar)"
    refused("migration", backend.url)
    backend.execute "DROP TABLE @schema_migrations"
    backend.execute "CREATE TABLE @hosts (id integer)"
    refused("migration", backend.url)
    backend.execute "DROP TABLE @hosts"
    assert(backend.reopen():add { ip = "10.0.0.1", hostname = "a" })
    backend.execute "UPDATE @schema_migrations SET version = 99 WHERE version = 2"
    refused("migration", backend.url)
    backend.execute "UPDATE @schema_migrations SET version = 2 WHERE version = 99"
    refused("migration", backend.url .. "_absent")
  end)

  it("refuses a database that is not UTF-8", function()
    local url = backend.make():gsub("/postgres%?", "/ascii?")
    pcall(backend.execute, "CREATE DATABASE ascii ENCODING 'SQL_ASCII' TEMPLATE template0")
    assert.matches("SQL_ASCII", refused("unsupported", url).message)
  end)

  it("of ten processes at once makes one schema", function()
    local pipes = {}
    backend.make()
    for i = 1, 10 do
      local writer = system.lua("spec/support/writer.lua", backend.url .. "&tenant=t" .. i % 3,
        "adds", string.char(96 + i), 1)
      pipes[i] = system.popen("exec timeout 60 " .. writer .. " 2>&1")
    end
    for _, pipe in ipairs(pipes) do
      assert.matches("done\n$", pipe:read "*a")
      pipe:close()
    end
    assert.equal("1,2", psql "SELECT string_agg(version::text, ',' ORDER BY version) FROM schema_migrations")
    assert.equal(3, backend.reopen({ tenant = "t0" }):count())
  end)
end)

describe("a PostgreSQL store", function()
  local store, nas
  before_each(function()
    store = backend.open { actor = "anna" }
    nas = assert(store:add { ip = "10.0.0.1", hostname = "nas", tags = { "t" } })
  end)
  after_each(backend.finish)

  it("connects again when the server ended the session", function()
    for _ = 1, 2 do
      backend.execute(TERMINATE)
      assert.equal("nas", store:get(nas.id).hostname)
      backend.execute(TERMINATE)
      nas = assert(store:update(nas.id, { comment = ("%d"):format(nas.version) }))
    end
    backend.execute(TERMINATE)
    assert.equal(1, #store:list { tags = { "t" } })
    assert.equal("anna", store:events()[3].actor)
  end)

  it("fails a transaction whose session was ended, as a whole", function()
    for _, last in ipairs { "a call", "the commit" } do
      local value, err = store:transaction(function()
        assert(store:add { ip = "10.0.0.2", hostname = "gw" })
        backend.execute(TERMINATE)
        if last == "a call" then
          local host, problem = store:add { ip = "10.0.0.3", hostname = "ap" }
          expect.failure("connection", host, problem)
          assert.is_nil((store:get(nas.id)))
          return nil, problem
        end
        return true
      end)
      expect.failure("connection", value, err)
      assert.equal(1, store:count())
    end
    local value, err = store:transaction(function()
      backend.execute(TERMINATE)
      store:add { ip = "10.0.0.3", hostname = "ap" }
      return true
    end)
    assert.is_nil(value)
    assert.is_string(err.message)
    assert.equal(1, #store:events())
  end)

  it("does not know what came of a commit when the session ends in it", function()
    backend.execute [[CREATE FUNCTION @die() RETURNS trigger LANGUAGE plpgsql AS
      'BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NULL; END']]
    backend.execute [[CREATE CONSTRAINT TRIGGER dies AFTER INSERT ON @events DEFERRABLE INITIALLY DEFERRED
      FOR EACH ROW EXECUTE FUNCTION @die()]]
    local id = "01ARZ3NDEKTSV4RRFFQ69G5FAV"
    expect.failure("unknown_outcome", store:stream("s"):append { type = "A", id = id })
    backend.execute "DROP TRIGGER dies ON @events"
    assert(store:stream("s"):append { type = "A", id = id })
    assert.equal(1, store:stream("s"):version())
  end)

  it("tells failures apart by their SQLSTATE", function()
    for state, code in pairs {
      ["53100"] = "full", ["25006"] = "readonly", ["42501"] = "readonly", ["40P01"] = "busy", ["57014"] = "busy",
      ["XX001"] = "corrupt", ["22012"] = "query", ["23505"] = "duplicate", ["40003"] = "unknown_outcome",
    } do
      backend.execute(([[CREATE OR REPLACE FUNCTION @raise() RETURNS trigger LANGUAGE plpgsql AS
        'BEGIN RAISE EXCEPTION ''no words'' USING ERRCODE = ''%s''; END']]):format(state))
      backend.execute [[CREATE OR REPLACE TRIGGER raises BEFORE INSERT ON @host_tags
        FOR EACH ROW EXECUTE FUNCTION @raise()]]
      expect.failure(code, store:add { ip = "10.0.0.2", hostname = "gw", tags = { "t" } })
      assert(store:transaction(function()
        expect.failure(code, store:add { ip = "10.0.0.2", hostname = "gw", tags = { "t" } })
        return store:update(nas.id, { comment = state })
      end))
    end
    assert.equal(1, store:count())
  end)

  it("commits nothing when a statement has failed and nobody listened", function()
    backend.execute "ALTER TABLE @stream_states RENAME TO gone"
    expect.failure("query", store:transaction(function()
      assert(store:add { ip = "10.0.0.2", hostname = "gw" })
      expect.failure("query", store:stream("s"):load_snapshot())
      return true
    end))
    backend.execute "ALTER TABLE @gone RENAME TO stream_states"
    assert.equal(1, store:count())
  end)

  it("does not let writers of another tenant wait", function()
    local other = backend.reopen { tenant = "other", busy_timeout = 0 }
    local same = backend.reopen { busy_timeout = 0 }
    assert(store:transaction(function()
      assert(store:add { ip = "10.0.0.2", hostname = "gw" })
      assert(other:add { ip = "10.0.0.2", hostname = "gw" })
      expect.failure("busy", same:add { ip = "10.0.0.3", hostname = "ap" })
      return true
    end))
  end)

  it("refuses to change, delete or truncate an event", function()
    for _, sql in ipairs { "UPDATE @events SET actor = 'x'", "DELETE FROM @events", "TRUNCATE @events" } do
      local done, raised = pcall(backend.execute, sql)
      assert.is_false(done)
      assert.matches("append%-only", raised)
    end
    backend.execute "ALTER TABLE @events DISABLE TRIGGER events_refuse_change"
    assert.matches("can be changed", store:verify().problems[1].message)
    backend.execute "ALTER TABLE @events ENABLE TRIGGER events_refuse_change"
  end)

  it("finds bodies that are not JSON", function()
    backend.execute [[INSERT INTO @events (tenant, position, stream, version, partition, id, type, data, occurred_at,
      recorded_at) VALUES ('default', 2, 's', 1, 2, '01ARZ3NDEKTSV4RRFFQ69G5FAV', 'A', '{', 0, 0)]]
    local report = assert(store:verify())
    assert.same({ false, 2 }, { report.ok, report.problems[1].position })
    store:close()
  end)

  it("shows hosts, changes and streams as views", function()
    nas = assert(store:update(nas, { ip = "10.0.0.2", comment = "c", enabled = false, expires_at = 2000000000.000001,
      aliases = { "a", "b" } }))
    assert(store:stream("s"):save_snapshot(0, "x"))
    assert.equal("10.0.0.2|nas|[\"a\",\"b\"]|c|f|2000000000000001|6",
      psql "SELECT ip, hostname, aliases, comment, enabled, expires_at, version FROM host_entries_current")
    assert.equal(table.concat({ "|||", "ip|10.0.0.1|10.0.0.2|anna", 'aliases|[]|["a","b"]|anna', "comment||c|anna",
      "enabled|true|false|anna", "expires_at||2000000000000001|anna" }, "\n"):gsub("^|||", "|||anna", 1),
      (psql "SELECT field, old, new, actor FROM host_entries_history ORDER BY position"))
    assert.equal("host-" .. nas.id .. "|6|6|0|HEALTHY\ns|0|0|0|EMPTY",
      psql "SELECT stream, version, watermark, gap_size, status FROM stream_health ORDER BY stream")
    assert.equal("6|6", psql "SELECT version, events FROM event_streams")
    assert.equal("1|6|6", psql "SELECT streams, events, max_version FROM partition_stats")
  end)

  it("makes its backups with SQLite, and says what to install where that is not", function()
    local loaded = package.loaded["hoststore.sqlite"]
    package.loaded["hoststore.sqlite"] = nil
    package.preload["hoststore.sqlite"] = function() error("libsqlite3.so.0: cannot open shared object file", 0) end
    local done, err = store:backup(backend.directory() .. "/copy")
    package.preload["hoststore.sqlite"], package.loaded["hoststore.sqlite"] = nil, loaded
    assert.matches("install SQLite (Debian: libsqlite3-0)", expect.failure("unsupported", done, err).message,
      1, true)
    assert.same({}, system.files(backend.directory()))
    assert.is_true(store:backup(backend.directory() .. "/copy"))
    assert.same({ "copy" }, system.files(backend.directory()))
  end)

  it("leaves other tenants out of a backup", function()
    local other = backend.reopen { tenant = "other" }
    assert(other:add { ip = "10.0.0.2", hostname = "theirs" })
    assert(other:backup(backend.directory() .. "/copy"))
    local copies = {}
    for i, tenant in ipairs { "other", "default" } do
      local copy = assert(hoststore.open(backend.directory() .. "/copy", { tenant = tenant, readonly = true }))
      copies[i] = #copy:events()
      copy:close()
    end
    assert.same({ 1, 0 }, copies)
  end)
end)
