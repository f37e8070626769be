local backends = require "spec.support.backends"
local clusters = require "spec.support.clusters"
local expect = require "spec.support.expect"
local hoststore = require "hoststore"
local system = require "spec.support.system"

local backend = backends[3]

describe("the pool of PostgreSQL connections", function()
  local url

  before_each(function() url = backend.make() .. "&application_name=pool" end)
  after_each(backend.finish)

  local function psql(sql)
    local output, status = system.run("psql -XAqtc " .. system.quote(sql) .. " " .. system.quote(backend.url))
    assert.equal(0, status, output)
    return (output:gsub("\n$", ""))
  end

  local function count()
    return tonumber(psql "SELECT COUNT(*) FROM pg_stat_activity WHERE application_name = 'pool'")
  end

  -- A server notices that a client has gone a moment later.
  local function wait_for(connections)
    system.wait(connections .. " connections are open", function() return count() == connections end)
  end

  local function open(options)
    return assert(hoststore.open(url, options))
  end

  it("gives all stores of one URL the same connection, whatever their tenants", function()
    local stores = {}
    for i = 1, 20 do
      stores[i] = open { tenant = "t" .. i % 3 }
      assert(stores[i]:add { ip = "10.0.0." .. i, hostname = "h" })
    end
    assert.equal(1, count())
    assert.equal(7, stores[1]:count())
    for _, store in ipairs(stores) do
      assert.equal(1, count())
      store:close()
    end
    wait_for(0)
  end)

  it("keeps stores apart that want something else of a connection", function()
    local durable, quick, reader = open(), open { durability = "normal" }, open { readonly = true }
    assert.same({ "on", "off" }, { durable:stats().synchronous_commit, quick:stats().synchronous_commit })
    assert(durable:add { ip = "10.0.0.1", hostname = "h" })
    expect.failure("readonly", reader:add { ip = "10.0.0.2", hostname = "h" })
    assert.equal(1, reader:count())
    assert.equal(3, count())
    for _, store in ipairs { durable, quick, reader } do
      store:close()
    end
  end)

  it("opens min_connections at once and keeps them", function()
    url = url .. "&min_connections=3&idle_timeout=0"
    local store = open()
    assert.equal(3, count())
    assert(store:add { ip = "10.0.0.1", hostname = "h" })
    assert.equal(3, count())
    store:close()
    wait_for(0)
  end)

  it("closes what has been idle for idle_timeout", function()
    url = url .. "&min_connections=0&idle_timeout=0"
    local store = open()
    wait_for(0)
    assert(store:transaction(function()
      assert(store:add { ip = "10.0.0.1", hostname = "h" })
      assert.equal(1, count())
    end))
    wait_for(0)
    assert.equal(1, store:count())
    store:close()
  end)

  it("never has more than max_connections, and says so at once", function()
    url = url .. "&max_connections=2&acquire_timeout=1000"
    local a, b, c = open { tenant = "a" }, open { tenant = "b" }, open { tenant = "c" }
    assert(a:transaction(function()
      assert(b:transaction(function()
        local err = expect.failure("busy", c:get("01ARZ3NDEKTSV4RRFFQ69G5FAV"))
        assert.is_true(err.retryable)
        assert.matches("max_connections", err.message)
        assert.equal(2, count())
      end))
      assert.equal(0, c:count())
    end))
    assert.equal(2, count())
    for _, store in ipairs { a, b, c } do
      store:close()
    end
  end)

  it("leaves the parent's connection to the parent when a forked child collects or uses the store", function()
    local store = open()
    assert(store:add { ip = "10.0.0.1", hostname = "h" })
    local pid = psql "SELECT pid FROM pg_stat_activity WHERE application_name = 'pool'"
    assert.equal(0, backend.faulty.forked(function() store:close() end))
    assert.equal(0, backend.faulty.forked(function()
      assert(store:add { ip = "10.0.0.2", hostname = "child" })
      store:close()
    end))
    assert.equal(2, store:count())
    assert(store:transaction(function()
      assert.equal(0, backend.faulty.forked(function()
        expect.failure("connection", store:add { ip = "10.0.0.3", hostname = "child" })
      end))
      assert(store:add { ip = "10.0.0.3", hostname = "parent" })
    end))
    assert.equal(3, store:count())
    assert.equal(pid, psql "SELECT pid FROM pg_stat_activity WHERE application_name = 'pool'")
    store:close()
  end)

  it("holds what is prepared on a connection apart from what is not", function()
    url = url .. "&max_connections=2"
    local a, b = open { tenant = "a" }, open { tenant = "b" }
    for i = 1, 30 do
      -- Composed statements, more of them than a connection keeps.
      local filter = { limit = i, order = i % 2 == 0 and "hostname" or "ip", tags = {} }
      for k = 1, i do
        filter.tags[k] = "t" .. k
      end
      assert(a:transaction(function()
        assert.same({}, assert(b:list(filter)))
        assert.same({}, assert(a:list(filter)))
      end))
    end
    a:close()
    b:close()
  end)

  it("has its connections back while and after somebody follows the log", function()
    url = url .. "&max_connections=1&notify=true"
    local store, other = open(), open { tenant = "other" }
    assert(store:stream("s"):append { { type = "A" }, { type = "B" } })
    local seen = {}
    for event in store:follow { timeout = 0.3 } do
      assert(other:stream("seen"):append { type = event.type })
      seen[#seen + 1] = event.type
    end
    assert.same({ "A", "B" }, seen)
    assert.same({ 2, 2 }, { other:stream("seen"):version(), store:stream("s"):version() })
    assert.equal(1, count())
    store:close()
    other:close()
  end)

  it("tells who listens of each transaction once, where notify is on", function()
    local quiet, loud = open { tenant = "a" }, open { tenant = "a", notify = true }
    local output = backend.directory() .. "/heard"
    local listener = system.popen("psql -XAqt " .. system.quote(backend.url) .. " >" .. system.quote(output), "w")
    local function say(sql)
      listener:write(sql .. "\n")
      listener:flush()
    end
    -- The hash of the tenant's name; psql tells what it has heard after each statement.
    say "LISTEN hoststore_af63dc4c8601ec8c; SELECT 'listening';"
    system.wait("psql listens", function()
      return select(2, system.run("grep -q listening " .. system.quote(output))) == 0
    end)
    assert(quiet:add { ip = "10.0.0.1", hostname = "h" })
    assert(loud:transaction(function()
      for i = 2, 9 do
        assert(loud:add { ip = "10.0.0." .. i, hostname = "h" })
      end
    end))
    assert(loud:stream("s"):append { { type = "A" }, { type = "B" } })
    assert.equal(9, loud:count())
    say "SELECT 'heard';"
    listener:close()
    local _, heard = system.read(output):gsub("hoststore_af63dc4c8601ec8c", "")
    assert.equal(2, heard)
    quiet:close()
    loud:close()
  end)
end)

describe("a PostgreSQL server that is starting up", function()
  local primary, standby

  setup(function()
    primary = clusters.make("early")
    assert(hoststore.open(primary:url())):close()
    -- As long as it may not be read, it answers like a server that recovers.
    standby = clusters.copy("late", primary, { hot_standby = "off" })
  end)

  teardown(clusters.finish)

  it("is waited for, but not for longer than acquire_timeout", function()
    expect.failure("connection", hoststore.open(standby:url "acquire_timeout=0"))
    local open = ("local store = assert(require 'hoststore'.open(%q)) print(store:count()) store:close()")
      :format(standby:url "acquire_timeout=60")
    local script = os.tmpname()
    system.write(script, "print 'opening' io.stdout:flush() " .. open)
    local pipe = system.popen(system.lua(script) .. " 2>&1")
    assert.equal("opening", pipe:read "*l")
    standby:promote()
    assert.equal("0", pipe:read "*l")
    pipe:close()
    os.remove(script)
  end)
end)
