local expect = require "spec.support.expect"
local hoststore = require "hoststore"
local system = require "spec.support.system"

describe("opening an SQLite store", function()
  local directory, path, opened
  before_each(function()
    directory, opened = system.directory(), {}
    path = directory .. "/hosts.db"
  end)
  after_each(function()
    for _, store in ipairs(opened) do
      store:close()
    end
    system.remove(directory)
  end)

  local function open(url, options)
    local store, err = hoststore.open(url, options)
    opened[#opened + 1] = store
    return store, err
  end

  local function exists(name)
    local file = io.open(name)
    return file ~= nil and file:close() ~= nil
  end

  local function sqlite(sql, file)
    local output, status = system.sqlite(file or path, sql)
    assert.equal(0, status, output)
    return (output:gsub("\n$", ""))
  end

  describe("takes", function()
    -- From here to the temporary directory.
    local function relative(to)
      local up = system.run("pwd"):gsub("\n$", ""):gsub("/[^/]+", "../")
      return up .. to:sub(2)
    end

    it("sqlite:///absolute, sqlite:relative and plain paths", function()
      for i, form in ipairs {
        function(file) return "sqlite://" .. file end, function(file) return "sqlite:" .. file end,
        function(file) return file end, function(file) return "sqlite:" .. relative(file) end,
        function(file) return relative(file) end, function(file) return "SQLite://" .. file end,
      } do
        local file = directory .. "/" .. i .. ".db"
        local store = assert(open(form(file)))
        assert(store:add { ip = "10.0.0.1", hostname = "a" })
        assert.is_true(exists(file))
      end
    end)

    it("memory: and sqlite://:memory:, each a database of its own", function()
      local one, two = assert(open "memory:"), assert(open "sqlite://:memory:")
      assert(one:add { ip = "10.0.0.1", hostname = "a" })
      assert.same({ 1, 0, 0 }, { one:count(), two:count(), assert(open "memory:"):count() })
    end)

    it("characters of a path as %XX", function()
      assert(open("sqlite://" .. directory .. "/a%20b%3fc.db"))
      assert.is_true(exists(directory .. "/a b?c.db"))
    end)

    it("a plain path as it is", function()
      assert(open(directory .. "/a%20b?c#d.db"))
      assert.is_true(exists(directory .. "/a%20b?c#d.db"))
    end)

    it("options behind a '?', which those of the call overrule", function()
      local url = "sqlite://" .. path .. "?page_size=1024&journal=delete&tenant=lan&actor=cron&durability=normal"
      local store = assert(open(url))
      assert(store:add { ip = "10.0.0.1", hostname = "a" })
      assert.equal("1024", sqlite "PRAGMA page_size")
      assert.equal("lan|cron", sqlite "SELECT tenant, actor FROM events")
      assert.equal(0, assert(open(url, { tenant = "other" })):count())
    end)
  end)

  describe("refuses", function()
    it("what is no URL of a store as invalid_url", function()
      for _, url in ipairs {
        "", "mysql://host/db", "http://x", "sqlite:", "sqlite://", "sqlite://host/path.db", "sqlite://" .. path ..
        "?mode=ro",
        "sqlite://" .. path .. "?page_size=1000", "sqlite://" .. path .. "?journal=off", "sqlite://" .. path ..
        "?readonly=perhaps",
        "sqlite://" .. path .. "?clock=now", "sqlite://" .. path .. "?busy_timeout=soon", "memory:x", path .. "\0",
      } do
        local err = expect.failure("invalid_url", open(url))
        assert.is_false(err.retryable)
      end
      assert.same({}, system.files(directory))
    end)

    it("unknown options and wrong types by raising", function()
      for _, options in ipairs {
        { mode = "ro" }, { readonly = "yes" }, { page_size = 1000 }, { page_size = "1024" }, { journal = "off" },
        { durability = "some" }, { tenant = 5 }, { tenant = "" }, { busy_timeout = -1 }, { names = "loose" },
        { clock = 5 },
        { actor = true }, { 5 },
      } do
        expect.misuse(hoststore.open, path, options)
      end
      expect.misuse(hoststore.open)
      expect.misuse(hoststore.open, 5)
      expect.misuse(hoststore.open, path, "readonly")
      assert.same({}, system.files(directory))
    end)

    it("a tenant or actor with control characters", function()
      expect.failure("invalid", open(path, { tenant = "a\nb" }))
      expect.failure("invalid", open(path, { actor = "a\nb" }))
    end)

    it("a database that is not there when it may not make one", function()
      expect.failure("not_found", open(path, { create = false }))
      expect.failure("not_found", open(directory .. "/no/such/hosts.db", { create = false }))
      assert.same({}, system.files(directory))
      assert(open(path)):close()
      assert(open(path, { create = false }))
    end)

    it("a directory, and a path through a file", function()
      assert.is_nil((open(directory)))
      system.write(directory .. "/file", "x")
      assert.is_nil((open(directory .. "/file/hosts.db")))
      assert.equal("x", system.read(directory .. "/file"))
    end)

    it("a newer schema, and leaves the file as it is", function()
      local store = assert(open(path))
      assert(store:add { ip = "10.0.0.1", hostname = "a" })
      store:close()
      sqlite "PRAGMA user_version = 99"
      local bytes, files = system.read(path), system.files(directory)
      for _, options in ipairs { {}, { readonly = true }, { create = false }, { tenant = "other" } } do
        local err = expect.failure("migration", open(path, options))
        assert.matches("99", err.message)
      end
      assert.equal(bytes, system.read(path))
      assert.same(files, system.files(directory))
    end)

    it("a database of another program, and leaves the file as it is", function()
      for _, sql in ipairs {
        "CREATE TABLE notes (text)", "CREATE TABLE events (x); PRAGMA user_version = 1",
        "CREATE TABLE hosts (x); PRAGMA application_id = 77", "PRAGMA application_id = 77",
      } do
        os.remove(path)
        sqlite(sql)
        local bytes = system.read(path)
        expect.failure("migration", open(path))
        expect.failure("migration", open(path, { readonly = true }))
        assert.equal(bytes, system.read(path))
      end
      assert.same({ "hosts.db" }, system.files(directory))
    end)

    it("what is no database as corrupt, and leaves the file as it is", function()
      for _, text in ipairs { "127.0.0.1 localhost\n", ("\0"):rep(4096), ("garbage "):rep(1024),
        "SQLite format 3\0" .. ("x"):rep(4000) } do
        system.write(path, text)
        expect.failure("corrupt", open(path))
        expect.failure("corrupt", open(path, { readonly = true }))
        assert.equal(text, system.read(path))
      end
      assert.same({ "hosts.db" }, system.files(directory))
    end)
  end)

  describe("makes", function()
    it("missing parent directories", function()
      local file = directory .. "/var/lib/hoststore/hosts.db"
      assert(open("sqlite://" .. file))
      assert.is_true(exists(file))
    end)

    it("a file that only its owner can read, and its journals too", function()
      for _, journal in ipairs { "delete", "truncate", "persist", "wal" } do
        local file = directory .. "/" .. journal .. ".db"
        local store = assert(open(file, { journal = journal }))
        assert(store:transaction(function()
          assert(store:add { ip = "10.0.0.1", hostname = "a" })
          local modes = system.run(("stat -c %%a %s*"):format(file))
          assert.matches("^600\n", modes)
          assert.is_nil((modes:gsub("600\n", ""):match("%d")))
          return true
        end))
      end
    end)

    it("an empty file a database, and keeps its mode", function()
      system.write(path, "")
      system.run("chmod 640 " .. path)
      assert(assert(open(path)):add { ip = "10.0.0.1", hostname = "a" })
      assert.equal("640\n640\n", (system.run(("stat -c %%a %s %s-journal"):format(path, path))))
    end)

    it("the schema once, with its version and the mark of the program", function()
      assert(open(path)):close()
      local schema = sqlite ".schema"
      assert.equal("2|1213420626",
        sqlite "SELECT user_version, application_id FROM pragma_user_version, pragma_application_id")
      assert(open(path)):close()
      assert.equal(schema, sqlite ".schema")
    end)

    it("no file beside the database that stays, but a journal, which is the reserve for a full disk", function()
      local store = assert(open(path, { page_size = 1024 }))
      for i = 1, 20 do
        assert(store:add { ip = "10.0.0." .. i, hostname = "h" .. i })
      end
      store:close()
      assert.same({ "hosts.db", "hosts.db-journal" }, system.files(directory))
      local journal = system.read(path .. "-journal")
      assert.equal(512 + 24 * (1024 + 8), #journal)
      assert.equal(("\0"):rep(28), journal:sub(1, 28))
    end)
  end)

  describe("keeps to", function()
    it("the page size of a new file, and that of one that is there", function()
      for _, size in ipairs { 512, 1024, 4096, 65536 } do
        local file = directory .. "/" .. size .. ".db"
        assert(open(file, { page_size = size })):close()
        assert.equal(tostring(size), sqlite("PRAGMA page_size", file))
      end
      local file = directory .. "/512.db"
      local store = assert(open(file, { page_size = 4096 }))
      assert.equal("512", tostring(store:stats().page_size))
      store:close()
      assert.equal("512", sqlite("PRAGMA page_size", file))
    end)

    it("the journal it is told", function()
      for _, journal in ipairs { "delete", "truncate", "persist", "memory", "wal" } do
        local file = directory .. "/" .. journal .. ".db"
        local store = assert(open(file, { journal = journal }))
        assert.equal(journal, store:stats().journal)
        assert(store:add { ip = "10.0.0.1", hostname = "a" })
        store:close()
        assert.equal(journal == "wal" and "wal" or "delete", sqlite("PRAGMA journal_mode", file))
        -- A reader does not know which rollback journal writers use.
        store = assert(open(file, { readonly = true }))
        assert.equal(journal == "wal" and "wal" or nil, store:stats().journal)
        store:close()
      end
    end)

    it("a write-ahead log only where SQLite is free of the fault that loses pages, when it may choose", function()
      local store = assert(open(path))
      local stats = assert(store:stats())
      local major, minor, patch = stats.sqlite_version:match("(%d+)%.(%d+)%.(%d+)")
      local version = major * 1000000 + minor * 1000 + patch
      assert.equal(version >= 3051003 and "wal" or "persist", stats.journal)
      store:close()
      -- A database that is in WAL mode stays in it.
      local file = directory .. "/wal.db"
      assert(open(file, { journal = "wal" })):close()
      assert.equal("wal", assert(open(file)):stats().journal)
    end)

    it("durability: each commit to the disk, or with the next checkpoint of a write-ahead log", function()
      local function synchronous(name, options)
        return tostring(assert(open(directory .. "/" .. name, options)):stats().synchronous)
      end
      assert.same({ "3", "3" }, { synchronous "hosts.db", synchronous("hosts.db", { durability = "full" }) })
      assert.equal("1", synchronous("wal.db", { journal = "wal", durability = "normal" }))
      assert.equal("1", synchronous("wal.db", { durability = "normal" }))
      assert.equal("2", synchronous("truncate.db", { journal = "truncate", durability = "normal" }))
    end)
  end)

  it("twice in one process gives two handles that see and wait for each other", function()
    for _, journal in ipairs { "truncate", "wal" } do
      local file = directory .. "/" .. journal .. ".db"
      local one, two = assert(open(file, { journal = journal })), assert(open(file))
      for i = 1, 20 do
        assert((i % 2 == 0 and one or two):add { ip = "10.0.0." .. i, hostname = "h" .. i })
      end
      assert.same({ 20, 20 }, { one:count(), two:count() })
      -- Closing a third one must not drop the locks of the others (POSIX locks would).
      assert(one:transaction(function()
        assert(one:add { ip = "10.0.1.1", hostname = "x" })
        assert(open(file, { readonly = true })):close()
        assert(open(file)):close()
        local other = system.run("sqlite3 -batch " .. file .. " 'BEGIN IMMEDIATE'")
        assert.matches("locked", other)
        return true
      end))
      assert.equal(21, two:count())
      assert.is_true(two:verify().ok)
    end
  end)

  it("and a commit that a reader blocks gives busy, which leaves no lock and nothing written", function()
    local writer = assert(open(path, { journal = "delete", busy_timeout = 0 }))
    assert(writer:add { ip = "10.0.0.1", hostname = "a" })
    local reader, other = assert(open(path, { readonly = true })), assert(open(path, { busy_timeout = 0 }))
    assert(reader:transaction(function()
      assert.equal(1, reader:count())
      local err = expect.failure("busy", writer:add { ip = "10.0.0.2", hostname = "b" })
      assert.is_true(err.retryable)
      expect.failure("busy", writer:transaction(function() return writer:add { ip = "10.0.0.2", hostname = "b" } end))
      assert.equal(1, reader:count())
      return true
    end, { readonly = true }))
    assert(other:add { ip = "10.0.0.3", hostname = "c" })
    assert(writer:add { ip = "10.0.0.2", hostname = "b" })
    assert.same({ "a", "b", "c" }, expect.pluck(reader:list(), "hostname"))
  end)

  it("and backing it up gives a store with all of it", function()
    local store = assert(open(path))
    local host = assert(store:add { ip = "10.0.0.1", hostname = "a" })
    assert.is_true(store:backup(directory .. "/copy.db"))
    local copy = assert(open(directory .. "/copy.db"))
    assert.equal("a", copy:get(host.id).hostname)
    assert.is_true(copy:verify().ok)
    assert.equal("600\n", (system.run("stat -c %a " .. directory .. "/copy.db")))
    assert.is_nil((store:backup(directory .. "/missing/copy.db")))
  end)
end)

describe("in the sqlite3 shell", function()
  local directory, path, nas
  setup(function()
    directory = system.directory()
    path = directory .. "/hosts.db"
    local time = 1000
    local store = assert(hoststore.open(path, { actor = "alice", clock = function() return time end }))
    nas = assert(store:add({ ip = "10.0.0.1", hostname = "nas", comment = "it's", tags = { "t", "a" },
      aliases = { "s" } },
      { reason = "new" }))
    time = 2000.5
    nas = assert(store:update(nas, { comment = hoststore.null, enabled = false, expires_at = 3000 }))
    assert(assert(store:add { ip = "2001:db8::1", hostname = "gw" }):delete())
    assert(store:stream("a"):append { { type = "A" }, { type = "B" } })
    assert(store:stream("unborn"):save_snapshot(0, {}))
    store:close()
  end)
  teardown(function() system.remove(directory) end)

  local function rows(sql)
    local output, status = system.sqlite(path, sql)
    assert.equal(0, status, output)
    return (output:gsub("\n$", ""))
  end

  it("events refuse UPDATE and DELETE", function()
    for _, sql in ipairs {
      "UPDATE events SET type = 'X'", "UPDATE events SET data = data", "DELETE FROM events",
      "DELETE FROM events WHERE position = 1", "UPDATE OR REPLACE events SET position = 1 WHERE position = 2",
    } do
      local output, status = system.sqlite(path, sql)
      assert.not_equal(0, status)
      assert.matches("append%-only", output)
    end
    assert.equal("8", rows "SELECT COUNT(*) FROM events")
  end)

  it("a position, a version and an id are taken once, also for INSERT OR REPLACE", function()
    local columns = "tenant, position, stream, version, partition, id, type, data, occurred_at, recorded_at"
    local known = rows "SELECT id FROM events WHERE position = 1"
    for _, verb in ipairs { "INSERT", "INSERT OR REPLACE", "REPLACE" } do
      for _, values in ipairs {
        "'default', 1, 'new', 1, 0, '01ARZ3NDEKTSV4RRFFQ69G5FAV', 'A', '{}', 0, 0",
        "'default', 99, 'a', 1, 0, '01ARZ3NDEKTSV4RRFFQ69G5FAV', 'A', '{}', 0, 0",
        "'default', 99, 'new', 1, 0, '" .. known .. "', 'A', '{}', 0, 0",
      } do
        local output, status = system.sqlite(path, ("%s INTO events (%s) VALUES (%s)"):format(verb, columns, values))
        assert.not_equal(0, status)
        assert.matches("append%-only", output)
      end
    end
    assert.equal("8", rows "SELECT COUNT(*) FROM events")
  end)

  it("host_events has the fields of the host after each event as columns", function()
    assert.equal(table.concat({
      "1|1|HostCreated|10.0.0.1|nas|[\"s\"]|it's|[\"a\",\"t\"]|1||admin|alice|new|1000000000",
      "2|2|CommentUpdated|10.0.0.1|nas|[\"s\"]||[\"a\",\"t\"]|1||admin|alice||2000500000",
      "3|3|EnabledChanged|10.0.0.1|nas|[\"s\"]||[\"a\",\"t\"]|0||admin|alice||2000500000",
      "4|4|ExpiryChanged|10.0.0.1|nas|[\"s\"]||[\"a\",\"t\"]|0|3000000000|admin|alice||2000500000",
    }, "\n"), rows("SELECT position, version, type, ip, hostname, aliases, comment, tags, enabled, expires_at, " ..
      "origin, actor, reason, recorded_at FROM host_events WHERE host = '" .. nas.id .. "' ORDER BY position"))
  end)

  it("host_entries_current has the live hosts as their newest event left them", function()
    assert.equal(nas.id .. "|4|4|10.0.0.1|nas|[\"s\"]||[\"a\",\"t\"]|0|3000000000|admin|1000000000|2000500000",
      rows("SELECT id, version, position, ip, hostname, aliases, comment, tags, enabled, expires_at, " ..
        "origin, created_at, updated_at FROM host_entries_current"))
    assert.equal(rows "SELECT id, version, position FROM hosts",
      rows "SELECT id, version, position FROM host_entries_current")
  end)

  it("host_entries_history tells each field's value before and after", function()
    assert.equal(table.concat({
      "1|HostCreated|||", "2|CommentUpdated|comment|it's|", "3|EnabledChanged|enabled|1|0",
      "4|ExpiryChanged|expires_at||3000000000", "5|HostCreated|||", "6|HostDeleted|||",
    }, "\n"), rows "SELECT position, type, field, old, new FROM host_entries_history ORDER BY position")
  end)

  it("event_streams, stream_health and partition_stats sum up the streams", function()
    assert.equal("a|2|12|2|2000500000|2000500000",
      rows "SELECT stream, version, partition, events, created_at, updated_at FROM event_streams WHERE stream = 'a'")
    assert.equal("3", rows "SELECT COUNT(*) FROM event_streams")
    assert.equal("a|2|2|0|HEALTHY\nunborn|0|0|0|EMPTY",
      rows("SELECT stream, version, watermark, gap_size, status FROM stream_health " ..
        "WHERE stream IN ('a', 'unborn') ORDER BY stream"))
    assert.equal("3|8|4", rows "SELECT SUM(streams), SUM(events), MAX(max_version) FROM partition_stats")
    assert.equal("default", rows "SELECT DISTINCT tenant FROM partition_stats")
  end)

  it("stream_health finds the gap, its size and the watermark before it", function()
    local copy = directory .. "/copy.db"
    system.write(copy, system.read(path))
    local output, status = system.sqlite(copy, "DROP TRIGGER events_refuse_delete; " ..
      "DELETE FROM events WHERE stream LIKE 'host-%' AND version IN (2, 3); " ..
      "SELECT version, watermark, gap_size, status FROM stream_health WHERE stream = 'host-" .. nas.id .. "'")
    assert.same({ 0, "4|1|2|HAS_GAPS\n" }, { status, output })
  end)
end)
