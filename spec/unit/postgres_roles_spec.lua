local backend = require "spec.support.backends"[3]
local expect = require "spec.support.expect"
local hoststore = require "hoststore"
local system = require "spec.support.system"

local function psql(url, sql)
  local output, status = system.run("psql -XAqt -v VERBOSITY=sqlstate -c " .. system.quote(sql) .. " "
    .. system.quote(url))
  return (output:gsub("\n$", "")), status
end

local function grant(url, schema)
  local output, status = system.run(("psql -Xq -v schema=%s -v writer=%s -v reader=%s -f sql/postgres/roles.sql %s")
    :format(schema, "a_writer", "a_reader", system.quote(url)))
  assert.equal(0, status, output)
end

local function url_of(role)
  return (backend.url:gsub("postgres@", role .. "@"))
end

describe("the roles of sql/postgres/roles.sql", function()
  local owner, opened, nas, snapshot

  setup(function()
    psql(os.getenv "HOSTSTORE_TEST_POSTGRES", "CREATE ROLE a_writer LOGIN; CREATE ROLE a_reader LOGIN")
  end)

  teardown(function()
    local output, status = psql(os.getenv "HOSTSTORE_TEST_POSTGRES", "DROP ROLE a_writer, a_reader")
    assert.equal(0, status, output)
  end)

  before_each(function()
    owner = backend.open { actor = "owner" }
    nas = assert(owner:add { ip = "10.0.0.1", hostname = "nas", aliases = { "store" }, tags = { "t" } })
    assert(owner:stream("s"):append { type = "A" })
    assert(owner:stream("s"):save_snapshot(1, { n = 1 }))
    snapshot = assert(owner:snapshot())
    grant(backend.url, owner:stats().schema)
    opened = nil
  end)

  after_each(function()
    if opened then
      opened:close()
    end
    backend.finish()
  end)

  local function open(role, options)
    opened = assert(hoststore.open(url_of(role), options))
    return opened
  end

  it("let a writer do all that the API can", function()
    local store = open "a_writer"
    local gateway = assert(store:add({ ip = "10.0.0.2", hostname = "gw", aliases = { "a" }, tags = { "b" } }))
    assert(store:update(gateway, { aliases = { "c" }, tags = { "d" }, ip = "10.0.0.3" }))
    assert(store:delete(nas.id))
    assert(store:undo(#store:events()))
    assert(store:append_batch { { stream = "s", events = { { type = "B" } } }, { stream = "r", events = { { type = "C" }
    } } })
    assert(store:stream("s"):save_snapshot(2, { n = 2 }))
    assert.equal(2, store:stream("s"):load_snapshot().state.n)
    assert(store:import { text = "10.0.1.1 a\n10.0.1.2 b\n" })
    assert(store:plan({ entries = { { ip = "10.0.1.3", hostname = "p" } }, mode = "merge" }):apply())
    assert(store:restore(snapshot.id))
    assert(store:delete_snapshot(snapshot.id))
    assert.equal(1, store:apply_retention { max_count = 0 })
    assert(store:transaction(function()
      assert(store:add { ip = "10.0.2.1", hostname = "t" })
      return store:delete(store:find("10.0.2.1", "t"))
    end))
    assert(store:check())
    assert.same({}, assert(store:verify()).problems)
    assert.equal("nas", assert(store:list())[1].hostname)
  end)

  it("let a writer and a reader name in the URL a schema that they could not make", function()
    local function named(role)
      return (url_of(role):gsub("options=%-csearch_path%%3D", "schema="))
    end
    local store = assert(hoststore.open(named "a_writer"))
    assert(store:add { ip = "10.0.0.2", hostname = "gw" })
    store:close()
    store = assert(hoststore.open(named "a_reader", { readonly = true }))
    assert.equal(2, store:count())
    store:close()
  end)

  it("let nobody but the owner change what is in the log, or what guards it", function()
    for _, role in ipairs { "a_writer", "a_reader" } do
      for _, sql in ipairs {
        "UPDATE events SET actor = 'x'", "DELETE FROM events", "TRUNCATE events", "DROP TABLE events",
        "ALTER TABLE events DISABLE TRIGGER events_refuse_change", "DROP TRIGGER events_refuse_change ON events",
        "CREATE OR REPLACE FUNCTION events_refuse() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'",
        "SET session_replication_role = replica", "TRUNCATE hosts", "CREATE TABLE more (id integer)",
        "CREATE TRIGGER t BEFORE INSERT ON events EXECUTE FUNCTION events_refuse()",
        "INSERT INTO schema_migrations (version) VALUES (99)", "DELETE FROM schema_migrations",
        "ALTER TABLE events OWNER TO " .. role, "ALTER TABLE events RENAME TO gone", "DROP TABLE hosts",
        "ALTER TABLE events ADD COLUMN more text", "DROP INDEX hosts_by_hostname", "DROP VIEW host_events",
        "CREATE OR REPLACE RULE r AS ON INSERT TO events DO INSTEAD NOTHING",
        "CREATE POLICY p ON events USING (false)", "BEGIN; LOCK TABLE schema_migrations IN ACCESS EXCLUSIVE MODE",
        "SET ROLE postgres", "COPY events TO PROGRAM 'true'", "COPY events TO '/tmp/hoststore-stolen'",
        "DO 'BEGIN EXECUTE ''DROP SCHEMA '' || current_schema() || '' CASCADE''; END'",
        "DO 'BEGIN EXECUTE ''ALTER SCHEMA '' || current_schema() || '' RENAME TO gone''; END'",
      } do
        local output, status = psql(url_of(role), sql)
        assert.same({ "ERROR:  42501", 1 }, { output, status }, sql)
      end
    end
    assert.equal(2, #owner:events())
  end)

  it("let a writer give itself no right, and change no event by way of another table", function()
    psql(url_of "a_writer", "GRANT ALL ON events TO a_writer")
    psql(url_of "a_writer", "GRANT ALL ON events TO PUBLIC")
    local rights = "SELECT string_agg(privilege_type, ' ' ORDER BY privilege_type)"
      .. " FROM information_schema.role_table_grants"
      .. " WHERE table_schema = current_schema() AND table_name = 'events' AND grantee IN ('a_writer', 'PUBLIC')"
    assert.equal("INSERT SELECT", (psql(url_of "a_writer", rights)))
    assert.not_equal(0, select(2, psql(url_of "a_writer",
      "INSERT INTO events SELECT * FROM events ON CONFLICT (tenant, position) DO UPDATE SET actor = 'x'")))
    assert.equal("0", (psql(url_of "a_writer",
      "SELECT COUNT(*) FROM pg_constraint WHERE confrelid = 'events'::regclass AND confdeltype <> 'a'")))
    assert.equal(2, #owner:events())
  end)

  it("let a reader write to no table, by any statement", function()
    local tables = psql(url_of "a_reader", "SELECT tablename FROM pg_tables WHERE schemaname = current_schema()")
    local count = 0
    for name in tables:gmatch "[^\n]+" do
      local column = psql(url_of "a_reader", ("SELECT column_name FROM information_schema.columns WHERE table_schema = "
        .. "current_schema() AND table_name = '%s' ORDER BY ordinal_position LIMIT 1"):format(name))
      for _, sql in ipairs { "INSERT INTO %s DEFAULT VALUES", "UPDATE %s SET " .. column .. " = " .. column,
        "DELETE FROM %s", "TRUNCATE %s", "BEGIN; LOCK TABLE %s IN EXCLUSIVE MODE", "SELECT * FROM %s FOR UPDATE",
        "DROP TABLE %s", "ALTER TABLE %s RENAME TO gone" } do
        local output, status = psql(url_of "a_reader", sql:format(name))
        assert.same({ "ERROR:  42501", 1 }, { output, status }, sql:format(name))
      end
      count = count + 1
    end
    assert.is_true(count >= 6, count .. " tables")
  end)

  it("let a reader read all there is", function()
    local store = open("a_reader", { readonly = true })
    assert.equal("nas", assert(store:get(nas.id)).hostname)
    assert.equal(1, #assert(store:lookup "store"))
    assert.equal(1, #assert(store:list { tags = { "t" } }))
    assert.equal(1, #assert(store:history(nas.id)))
    assert.equal(2, #assert(store:log()))
    assert.equal(1, assert(store:at { position = 1 }):count())
    assert.equal(1, #assert(store:diff({ position = 0 }, { position = 1 })).added)
    assert.equal("10.0.0.1\tnas store\t# [t]\n", assert(store:get_snapshot(snapshot.id)).hosts_content)
    assert.equal(1, #assert(store:snapshots()))
    assert.equal(2, #assert(store:events()))
    assert.equal(1, assert(store:stream("s"):load_snapshot()).state.n)
    assert.equal(2, #assert(store:streams()))
    assert.equal(2, #assert(store:stream_health()))
    local streams = 0 -- both may be in one partition
    for _, partition in ipairs(assert(store:partition_stats())) do streams = streams + partition.streams end
    assert.equal(2, streams)
    assert(store:check())
    assert.same({}, assert(store:verify()).problems)
    for _, view in ipairs { "host_events", "host_entries_current", "host_entries_history" } do
      assert.equal("1", (psql(url_of "a_reader", "SELECT COUNT(*) FROM " .. view)))
    end
  end)

  it("let a reader write nothing, whatever it says when it opens the store", function()
    for _, options in ipairs { { readonly = true }, {} } do
      local store = open("a_reader", options)
      expect.failure("readonly", store:add { ip = "10.0.0.2", hostname = "gw" })
      expect.failure("readonly", store:update(nas.id, { comment = "c" }))
      expect.failure("readonly", store:delete(nas.id))
      expect.failure("readonly", store:stream("s"):append { type = "B" })
      expect.failure("readonly", store:stream("s"):save_snapshot(1, {}))
      expect.failure("readonly", store:snapshot())
      expect.failure("readonly", store:import { text = "10.0.1.1 a\n" })
      store:close()
    end
    opened = nil
    assert.equal(2, #owner:events())
  end)

  it("take back what was granted by hand, and go for tables that come later", function()
    backend.execute "GRANT ALL ON @events, @schema_migrations TO a_writer, a_reader"
    backend.execute "CREATE TABLE @later (id integer)"
    assert.equal("0", (psql(url_of "a_reader", "SELECT COUNT(*) FROM later")))
    assert.same({ "", 0 }, { psql(url_of "a_writer", "INSERT INTO later VALUES (1); UPDATE later SET id = 2;"
      .. "DELETE FROM later") })
    assert.equal("ERROR:  42501", (psql(url_of "a_reader", "INSERT INTO later VALUES (1)")))
    grant(backend.url, owner:stats().schema)
    assert.equal("ERROR:  42501", (psql(url_of "a_writer", "TRUNCATE events")))
    assert.equal("ERROR:  42501", (psql(url_of "a_reader", "INSERT INTO schema_migrations (version) VALUES (99)")))
    assert.same({ "", 0 }, { psql(url_of "a_writer", "INSERT INTO later VALUES (1)") })
    backend.execute "DROP TABLE @later"
  end)

  it("leave the making of the tables to the owner", function()
    local url = backend.make()
    psql(url, "GRANT USAGE ON SCHEMA " .. psql(url, "SELECT current_schema()") .. " TO a_writer")
    local err = expect.failure("readonly", hoststore.open(url_of "a_writer"))
    assert.matches("permission denied for schema", err.message)
  end)
end)
