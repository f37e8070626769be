local backends = require "spec.support.backends"
local expect = require "spec.support.expect"
local hoststore = require "hoststore"
local system = require "spec.support.system"

-- The tables of version 1.
local TABLES = { "events", "hosts", "host_aliases", "host_tags", "snapshots", "stream_states" }

local function run(command)
  local output, status = system.run(command)
  assert.equal(0, status, output)
end

-- Each makes a database of version 1 that holds what the one made last does.
local makers = {
  ["sqlite file"] = function(backend)
    local source = backend.url:gsub("^sqlite://", "")
    local path = backend.make():gsub("^sqlite://", "")
    local copy = { ("ATTACH '%s' AS source;"):format(source) }
    for _, name in ipairs(TABLES) do
      copy[#copy + 1] = ("INSERT INTO main.%s SELECT * FROM source.%s;"):format(name, name)
    end
    run("cat sql/sqlite/001_init.sql sql/views.sql | sqlite3 -batch -bail " .. system.quote(path))
    local output, status = system.sqlite(path, table.concat(copy))
    assert.equal(0, status, output)
  end,
  postgres = function(backend)
    local source = backend.url:match "search_path%%3D(%w+)"
    backend.make()
    -- The driver makes the table that tells the version.
    backend.execute "CREATE TABLE @schema_migrations (version bigint PRIMARY KEY, applied_at timestamptz DEFAULT now())"
    backend.execute "COMMENT ON TABLE @schema_migrations IS 'hoststore'"
    run("psql -Xq -v ON_ERROR_STOP=1 -f sql/postgres/001_init.sql -f sql/views.sql " .. system.quote(backend.url))
    for _, name in ipairs(TABLES) do
      backend.execute(("INSERT INTO @%s SELECT * FROM %s.%s"):format(name, source, name))
    end
  end,
}

for _, backend in ipairs(backends) do
  if makers[backend.name] then
    describe(backend.name .. ": a database of schema version 1", function()
      local wanted
      local function state(store)
        local snapshots = assert(store:snapshots())
        return { events = assert(store:events()), hosts = expect.entries(store),
          tagged = store:count { tags = { "t" } }, content = assert(store:get_snapshot(snapshots[1].id)),
          saved = assert(store:stream("s"):load_snapshot()) }
      end

      before_each(function()
        local store = backend.open { clock = function() return 1000 end }
        assert(store:stream("s"):append { { type = "A" }, { type = "B", data = { n = 1 } } })
        assert(store:stream("s"):save_snapshot(2, { sum = 1 }))
        local nas = assert(store:add { ip = "10.0.0.1", hostname = "nas", aliases = { "a" }, tags = { "t" } })
        assert(store:add { ip = "10.0.0.2", hostname = "gw" })
        assert(store:snapshot())
        assert(store:update(nas, { comment = "c" }))
        wanted = state(store)
        store:close()
        makers[backend.name](backend)
      end)
      after_each(backend.finish)

      it("is brought up to date and keeps what it holds", function()
        local store = backend.reopen()
        assert.equal(2, store:stats().schema_version)
        assert.same(wanted, state(store))
        assert.same({}, store:feeds())
        local feed = store:feed "f"
        assert.equal(5, feed:project(function() end))
        assert(store:add { ip = "10.0.0.3", hostname = "new" })
        store:close()
        store = backend.reopen()
        assert.same({ 1, 5 }, { store:feed("f"):lag(), store:feed("f"):position() })
        assert.same({}, store:verify().problems)
      end)

      it("is not changed by one who only reads, who is told what to do", function()
        for _ = 1, 2 do
          local err = expect.failure("migration", hoststore.open(backend.url, { readonly = true }))
          assert.matches("version 1.*version 2.*open it once without readonly", err.message)
        end
      end)

      it("is brought up to date once by processes that open it together", function()
        local pipes = {}
        for i = 1, 6 do
          pipes[i] = system.popen("exec timeout 60 " .. system.lua("spec/support/writer.lua", backend.url, "append",
            "A", 1) .. " 2>&1")
        end
        for _, pipe in ipairs(pipes) do
          assert.matches("done\n$", pipe:read "*a")
          pipe:close()
        end
        local store = backend.reopen()
        assert.same({ 2, 11, 2 }, { store:stats().schema_version, #store:events(), store:count() })
      end)
    end)
  end
end
