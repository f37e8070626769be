local expect = require "spec.support.expect"
local hoststore = require "hoststore"

for _, backend in ipairs(require "spec.support.backends") do
  describe(backend.name .. ": a question in SQL", function()
    local store
    before_each(function()
      store = backend.open { clock = function() return 1000 end }
      assert(store:add { ip = "10.0.0.1", hostname = "nas", tags = { "a", "b" }, comment = "it's" })
      assert(store:add { ip = "10.0.0.2", hostname = "tv", enabled = false })
    end)
    after_each(backend.finish)

    local is_sqlite = backend.name:find "^sqlite" ~= nil

    local function row(sql, parameters)
      local rows = assert(store:query(sql, parameters))
      assert.equal(1, #rows)
      return rows[1], rows
    end

    local function refused(sql)
      local value, err = store:query(sql)
      assert.is_nil(value, sql)
      assert.is_truthy(err.code == "readonly" or err.code == "query", sql .. ": " .. tostring(err))
      assert.is_false(err.retryable)
    end

    it("is answered with rows, by the names of their columns", function()
      local rows = assert(store:query("SELECT ip, hostname, version FROM hosts ORDER BY ip_key;\n"))
      assert.same({ "ip", "hostname", "version" }, rows.columns)
      assert.is_false(rows.more)
      assert.same({ { ip = "10.0.0.1", hostname = "nas", version = 1 },
        { ip = "10.0.0.2", hostname = "tv", version = 1 } }, { rows[1], rows[2] })
      assert.equal(2, #rows)
      local none = assert(store:query "SELECT id, type FROM events WHERE position > 99")
      assert.same({ 0, { "id", "type" } }, { #none, none.columns })
    end)

    it("sees the documented views, with the same columns everywhere", function()
      local views = {
        host_events = "tenant position stream host version id type ip hostname aliases comment tags enabled expires_at "
          .. "origin created_at actor reason occurred_at recorded_at",
        host_entries_current = "tenant id version position ip hostname aliases comment tags enabled expires_at origin "
          .. "created_at updated_at",
        host_entries_history = "tenant position stream host hostname version type field old new actor reason "
          .. "recorded_at",
        event_streams = "tenant stream version partition events created_at updated_at",
        stream_health = "tenant stream version watermark gap_size status",
        partition_stats = "tenant partition streams events max_version",
      }
      for view, columns in pairs(views) do
        assert.equal(columns, table.concat(assert(store:query("SELECT * FROM " .. view)).columns, " "), view)
      end
      assert.equal("tv", row("SELECT hostname FROM host_entries_current WHERE NOT enabled").hostname)
      assert.equal("nas", row("SELECT hostname FROM host_entries_current WHERE comment = $1", { "it's" }).hostname)
      local item = is_sqlite and "json_each(host_events.tags) AS tag" or backend.name == "postgres"
        and "json_array_elements_text(host_events.tags) AS tag (value)"
        or [[UNNEST(from_json(host_events.tags, '["VARCHAR"]')) AS tag (value)]]
      assert.equal(2, #store:query("SELECT tag.value FROM host_events CROSS JOIN " .. item))
      assert.same({ "HEALTHY", 2 }, { store:query("SELECT status FROM stream_health")[1].status,
        #store:query "SELECT status FROM stream_health" })
    end)

    it("gets values of the types that Lua has, and texts of all others", function()
      local values, rows = row [[SELECT 7 AS whole, -9007199254740991 AS large, CAST(0.25 AS DOUBLE PRECISION) AS real,
        'x' AS text, NULL AS missing, '' AS empty, 1 = 1 AS yes, 1 = 2 AS no, COUNT(*) AS counted,
        SUM(position) AS summed FROM events]]
      assert.same({ "whole", "large", "real", "text", "missing", "empty", "yes", "no", "counted", "summed" },
        rows.columns)
      assert.same({ 7, -9007199254740991, 0.25, "x", "", 2, 3 }, { values.whole, values.large, values.real,
        values.text, values.empty, values.counted, values.summed })
      assert.is_nil(values.missing)
      assert.same(is_sqlite and { 1, 0 } or { true, false }, { values.yes, values.no })
      if not is_sqlite then
        values = row [[SELECT CAST('12.50' AS NUMERIC(10, 2)) AS price, CAST(12 AS NUMERIC(10, 0)) AS whole,
          CAST('2026-01-31' AS DATE) AS day, CAST('2026-01-31 12:00:00' AS TIMESTAMP) AS at, CAST(3 AS SMALLINT) AS few,
          CAST('1234567890123456789012' AS NUMERIC(30, 0)) AS huge, CAST(0.5 AS REAL) AS single]]
        assert.same({ price = "12.50", whole = 12, day = "2026-01-31", at = "2026-01-31 12:00:00", few = 3,
          huge = "1234567890123456789012", single = 0.5 }, values)
      end
    end)

    it("takes parameters, whatever they hold", function()
      local evil = "'; DELETE FROM hosts; --"
      local values = row("SELECT CAST($1 AS TEXT) AS a, CAST($2 AS BIGINT) AS b, CAST($3 AS DOUBLE PRECISION) AS c, "
        .. "CAST($4 AS TEXT) AS d, CAST($1 AS TEXT) AS e, '$1' AS f", { evil, 2 ^ 53, 0.125, hoststore.null })
      assert.same({ a = evil, b = 2 ^ 53, c = 0.125, e = evil, f = "$1" }, values)
      assert.equal("tv", row("SELECT hostname FROM hosts WHERE position = $1 AND enabled = $2", { 2, false }).hostname)
      assert.equal(2, row("SELECT COUNT(*) AS n FROM hosts WHERE comment = $1 OR CAST($2 AS TEXT) IS NULL",
        { "no", n = 2 }).n)
      for _, given in ipairs { {}, { "one" }, { "one", "two", "three" } } do
        local err = expect.failure("query", store:query("SELECT CAST($1 AS TEXT) AS a, CAST($2 AS TEXT) AS b", given))
        assert.is_false(err.retryable)
      end
      expect.failure("query", store:query("SELECT 1", { "one" }))
      expect.invalid("parameters", store:query("SELECT CAST($1 AS TEXT)", { "\255" }))
    end)

    it("may name a column twice, and the second gets a number", function()
      local values, rows = row "SELECT 1 AS id, 2 AS id, 3 AS id"
      assert.same({ "id", "id_2", "id_3" }, rows.columns)
      assert.same({ id = 1, id_2 = 2, id_3 = 3 }, values)
    end)

    it("is answered up to the limit, and told that there is more", function()
      local rows = assert(store:query("SELECT position FROM events ORDER BY position DESC", nil, { limit = 1 }))
      assert.same({ 1, 2, true }, { #rows, rows[1].position, rows.more })
      rows = assert(store:query("SELECT position FROM events", nil, { limit = 2 }))
      assert.same({ 2, false }, { #rows, rows.more })
      assert.same({ 0, true }, { #assert(store:query("SELECT 1", nil, { limit = 0 })),
        store:query("SELECT 1", nil, { limit = 0 }).more })
    end)

    it("that takes too long is ended, and the next one answered", function()
      local endless = [[WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i > 0)
        SELECT COUNT(*) FROM n]]
      local crossed = [[WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000)
        SELECT COUNT(*) FROM n AS a CROSS JOIN n AS b CROSS JOIN n AS c WHERE a.i + b.i <> c.i]]
      local sorted = [[WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n ORDER BY i DESC]]
      for _, sql in ipairs { endless, crossed, sorted } do
        local err = expect.failure("query", store:query(sql, nil, { timeout = 0.1 }))
        assert.matches("timeout", err.message, 1, true)
      end
      assert.equal(2, row("SELECT COUNT(*) AS n FROM hosts").n)
      assert(store:add { ip = "10.0.0.3", hostname = "c" })
    end)

    it("that is more than a question is refused, and changes nothing", function()
      local before = store:export "json"
      for _, sql in ipairs {
        "INSERT INTO hosts SELECT * FROM hosts", "UPDATE hosts SET hostname = 'x'", "DELETE FROM hosts",
        "DROP TABLE hosts", "CREATE TABLE t (a INTEGER)", "CREATE TEMP TABLE t AS SELECT 1", "BEGIN", "COMMIT",
        "ATTACH '/tmp/other.db' AS other", "PRAGMA journal_mode", "PRAGMA query_only = OFF", "SET threads = 1",
        "VACUUM", "EXPLAIN ANALYZE DELETE FROM hosts", "COPY hosts TO '/tmp/hosts.csv'",
        "SELECT 1; DELETE FROM hosts", "SELECT 1; SELECT 2", "SELECT 1) AS a; DELETE FROM hosts; --",
        "WITH gone AS (DELETE FROM hosts RETURNING id) SELECT * FROM gone", "", "  -- nothing",
        "SELECT 1 INTO t", "(DELETE FROM hosts)", "/* SELECT */ DELETE FROM hosts", "SELECT 1 /*",
      } do
        refused(sql)
      end
      assert.equal(before, store:export "json")
      assert.equal(2, #store:events())
    end)

    it("reaches nothing outside the database", function()
      for _, sql in ipairs {
        "SELECT load_extension('/tmp/x.so')",
        is_sqlite and "SELECT * FROM pragma_database_list" or "SELECT system('id')", "SELECT readfile('/etc/passwd')",
        "SELECT writefile('/tmp/hoststore-spec', 'x')", "SELECT pg_read_file('/etc/passwd')",
        "SELECT pg_catalog.\"pg_read_file\"('/etc/passwd')", "SELECT U&\"pg\\005fread\\005ffile\"('/etc/passwd')",
        "SELECT * FROM pg_ls_dir('/')", "SELECT lo_import('/etc/passwd')", "SELECT set_config('role', 'none', false)",
        "SELECT pg_advisory_lock(1)", "SELECT rolpassword FROM pg_authid", "SELECT * FROM pg_hba_file_rules",
        "SELECT query_to_xml('SELECT 1', true, true, '')", "SELECT * FROM read_csv('/etc/passwd')",
        "SELECT * FROM read_text('/etc/passwd')", "SELECT * FROM '/etc/passwd'", "SELECT * FROM glob('/*')",
        "SELECT * FROM read_blob('/etc/passwd')", "SELECT * FROM parquet_scan('/tmp/x')",
        "SELECT * FROM sniff_csv('/etc/passwd')", "SELECT getenv('HOME')", "SELECT fts3_tokenizer('simple')",
        "SELECT lo_export(1, '/tmp/x')", "SELECT * FROM fsdir('/')", "SELECT edit('x')",
        "SELECT * FROM read_duckdb('/tmp/x')", "SELECT dblink('host=127.0.0.1', 'SELECT 1')",
        "SELECT * FROM arrow_scan(CAST(1 AS POINTER), CAST(1 AS POINTER), CAST(1 AS POINTER))",
        "SELECT pg_ls_dir('.'), $$pg_read_file$$", "SELECT * FROM pg_file_settings",
      } do
        refused(sql)
      end
    end)

    it("calls nothing that leaves a lock, a message, a setting or a log behind, nor runs a text as SQL", function()
      for _, sql in ipairs {
        "SELECT nextval('events_position')", "SELECT setval('s', 1)", "SELECT pg_advisory_xact_lock(1)",
        "SELECT pg_try_advisory_lock_shared(1)", "SELECT pg_notify('hoststore', 'x')", "SELECT pg_export_snapshot()",
        "SELECT pg_logical_emit_message(true, 'a', 'b')", "SELECT pg_terminate_backend(0)", "SELECT pg_reload_conf()",
        "SELECT pg_stat_reset()", "SELECT pg_create_restore_point('x')", "SELECT setseed(0.5)",
        "SELECT ts_rewrite('a'::tsquery, 'SELECT 1')", "SELECT * FROM crosstab('SELECT 1')",
        "SELECT * FROM ts_stat('SELECT to_tsvector(set_' || 'config(''role'', ''none'', false))')",
        "SELECT cursor_to_xml('c', 1, true, true, '')", "SELECT * FROM checkpoint()",
        "SELECT * FROM force_checkpoint()",
        "SELECT * FROM enable_logging('QueryLog')", "SELECT * FROM \"Enable_Logging\"()",
        "SELECT EXISTS(FROM system.main.enable_logging())",
        "WITH a AS (SELECT * FROM disable_logging()) SELECT * FROM a",
        "SELECT * FROM enable_logging('QueryLog', storage = 'file', storage_path = '/tmp/hoststore-spec')",
        "SELECT * FROM enable_profiling(save_location := '/tmp/hoststore-spec')",
        "SELECT * FROM truncate_duckdb_logs()",
        "SELECT * FROM query('SELECT 1')", "SELECT * FROM query_table('hosts')", "SELECT write_log('x')",
        "SELECT * FROM json_execute_serialized_sql(json_serialize_sql('SELECT 1'))", "SELECT * FROM hosts FOR UPDATE",
        "SELECT * FROM disable_peg_parser()", "SELECT * FROM (DELETE FROM hosts RETURNING id) AS gone",
      } do
        refused(sql)
      end
      assert.equal(2, row("SELECT COUNT(*) AS n FROM hosts").n)
      assert(store:add { ip = "10.0.0.3", hostname = "c" })
    end)

    it("may hold the words of what is refused, where they are no names", function()
      assert.equal("system", row("SELECT CAST($1 AS TEXT) AS a", { "system" }).a)
      assert.equal("a $1; checkpoint('x') --", row("SELECT 'a $1; checkpoint(''x'') --' AS a; ").a)
    end)

    it("with an answer that is too much for a small machine is ended", function()
      local much = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 200) SELECT i, "
        .. (is_sqlite and "hex(zeroblob(250000))" or "repeat('x', 500000)") .. " AS x FROM n"
      assert.matches("more than 64 MiB", expect.failure("query", store:query(much)).message, 1, true)
      assert.equal(100, #assert(store:query(much, nil, { limit = 100 })))
      if is_sqlite then -- which is not interrupted within a function
        for _, sql in ipairs { "SELECT length(zeroblob(100000000))", "SELECT hex(zeroblob(1000000))",
          "SELECT '' LIKE '%" .. ("x"):rep(2000) .. "'" } do
          expect.failure("query", store:query(sql))
        end
        assert(store:stream("s"):append { type = "Long", data = ("x"):rep(3000000) })
        assert.equal(3000000, #store:stream("s"):read()[1].data)
      end
    end)

    it("is not asked within a transaction, nor wrongly", function()
      expect.misuse(store.query, store)
      expect.misuse(store.query, store, "SELECT 1", "x")
      expect.misuse(store.query, store, "SELECT 1", { {} })
      expect.misuse(store.query, store, "SELECT 1", nil, { rows = 1 })
      expect.misuse(store.query, store, "SELECT 1", nil, { limit = -1 })
      expect.misuse(store.query, store, "SELECT 1", nil, { timeout = 0 })
      expect.misuse(store.transaction, store, function() store:query "SELECT 1" end)
      store:close()
      expect.misuse(store.query, store, "SELECT 1")
    end)

    it("can be asked of a store that only reads", function()
      if backend.reopen then
        local reader = backend.reopen { readonly = true }
        assert.equal(2, assert(reader:query "SELECT COUNT(*) AS n FROM hosts")[1].n)
        expect.failure("readonly", reader:query "DELETE FROM hosts")
        assert.equal(2, store:count())
      end
    end)
  end)
end
