local clusters = require "spec.support.clusters"
local expect = require "spec.support.expect"
local hoststore = require "hoststore"
local system = require "spec.support.system"

-- Counts and ends what the store under test has open; a pool may hold more than one.
local SESSIONS = "FROM pg_stat_activity WHERE application_name = 'hoststore'"

local GATEWAY = { ip = "10.0.0.2", hostname = "gw", tags = { "t" } }

describe("the sessions of a PostgreSQL store", function()
  local cluster, store, nas

  setup(function()
    cluster = clusters.make "sessions"
    -- The settings of a role are what the server gives its sessions. On a busy machine they are idle for some time
    -- between two statements, too.
    cluster:psql "CREATE ROLE idle SUPERUSER LOGIN"
    cluster:psql "ALTER ROLE idle SET idle_session_timeout = '300ms'"
    cluster:psql "CREATE ROLE lazy SUPERUSER LOGIN"
    cluster:psql "ALTER ROLE lazy SET idle_in_transaction_session_timeout = '300ms'"
  end)

  teardown(clusters.finish)

  local function url_of(role)
    return (cluster:url():gsub("postgres@", role .. "@"))
  end

  before_each(function()
    cluster:psql "DROP SCHEMA public CASCADE; CREATE SCHEMA public"
    store = assert(hoststore.open(cluster:url()))
    nas = assert(store:add { ip = "10.0.0.1", hostname = "nas", tags = { "t" } })
  end)

  local function reopen(url)
    store:close()
    store = assert(hoststore.open(url))
  end

  after_each(function()
    reopen(cluster:url())
    assert.same({}, assert(store:verify()).problems)
    store:close()
  end)

  local function terminate()
    cluster:psql("SELECT pg_terminate_backend(pid, 5000) " .. SESSIONS)
  end

  local function restart(mode)
    cluster:stop(mode)
    cluster:start()
  end

  local function wait_until_gone()
    system.wait("no session is left", function() return cluster:psql("SELECT COUNT(*) " .. SESSIONS) == "0" end)
  end

  -- The first insert into host_tags ends its own session, and that one alone.
  local function kill_in_call()
    cluster:psql [[CREATE SEQUENCE deaths; CREATE FUNCTION die() RETURNS trigger LANGUAGE plpgsql AS
      'BEGIN IF nextval(''deaths'') = 1 THEN PERFORM pg_terminate_backend(pg_backend_pid()); END IF; RETURN NEW; END';
      CREATE TRIGGER dies BEFORE INSERT ON host_tags FOR EACH ROW EXECUTE FUNCTION die()]]
  end

  it("that are ended between two calls are made anew", function()
    terminate()
    assert.equal("nas", assert(store:get(nas.id)).hostname)
    terminate()
    assert(store:update(nas.id, { comment = "c" }))
    terminate()
    assert(store:transaction(function() return store:add(GATEWAY) end))
    terminate()
    assert.same({ "nas", "gw" }, expect.pluck(assert(store:list()), "hostname"))
  end)

  it("that are ended in a transaction take it with them", function()
    local function add_and_lose()
      assert(store:add(GATEWAY))
      terminate()
    end
    expect.failure("connection", store:transaction(function()
      add_and_lose()
      return true
    end))
    assert.equal(1, store:count())
    expect.failure("connection", store:transaction(function()
      add_and_lose()
      -- On a new session these would show the half that is left.
      expect.failure("connection", store:get(nas.id))
      expect.failure("connection", store:list())
      return store:add { ip = "10.0.0.3", hostname = "ap" }
    end))
    assert.equal(1, store:count())
    expect.failure("connection", store:transaction(function()
      add_and_lose()
      store:add { ip = "10.0.0.3", hostname = "ap" }
      return true
    end))
    assert.same({ 1, 1 }, { store:count(), #store:events() })
  end)

  for mode, what in pairs { fast = "a restart", immediate = "a crash" } do
    it("are made anew after " .. what .. " of the server, and a transaction it met is undone as a whole", function()
      restart(mode)
      assert(store:update(nas.id, { comment = "c" }))
      expect.failure("connection", store:transaction(function()
        assert(store:add(GATEWAY))
        restart(mode)
        expect.failure("connection", store:get(nas.id))
        return true
      end))
      assert.same({ 1, 2 }, { store:count(), #store:events() })
      assert(store:add(GATEWAY))
    end)
  end

  it("that end in a call fail it, and the same call again does its work once", function()
    kill_in_call()
    local host, err = store:add(GATEWAY)
    assert.is_nil(host)
    assert.is_truthy(err.code == "connection" or err.code == "unknown_outcome", err.code)
    assert.is_true(err.retryable)
    assert.equal(1, #store:events())
    assert(store:add(GATEWAY))
    assert.equal(2, #store:events())
  end)

  it("that end in a call within a transaction fail the transaction, also when nobody listened", function()
    kill_in_call()
    local failed
    local value, err = store:transaction(function()
      assert(store:stream("s"):append { type = "A" })
      local _, problem = store:add(GATEWAY)
      failed = problem
      return true
    end)
    expect.failure("connection", nil, failed)
    expect.failure("connection", value, err)
    assert.equal(1, #store:events())
  end)

  it("may end while an iteration goes on, which goes on", function()
    local seen = {}
    for host in store:hosts() do
      seen[#seen + 1] = host.hostname
      terminate()
    end
    assert.same({ "nas" }, seen)
  end)

  it("may be idle for longer than the server likes", function()
    reopen(url_of "idle")
    for i = 1, 3 do
      wait_until_gone()
      assert.equal("nas", assert(store:get(nas.id)).hostname)
      wait_until_gone()
      assert(store:update(nas.id, { comment = "c" .. i }))
    end
    assert.equal(4, #store:events())
  end)

  it("do not end while a transaction runs that does something, whatever it does between", function()
    reopen(url_of "idle")
    assert(store:transaction(function()
      assert(store:add(GATEWAY))
      -- Longer than idle_session_timeout, which is not for sessions in a transaction.
      assert.equal("1", cluster:psql "SELECT 1 FROM pg_sleep(0.5)")
      return store:update(nas.id, { comment = "c" })
    end))
    assert.equal(3, #store:events())
  end)

  it("that are idle in a transaction for longer than the server likes take it with them", function()
    reopen(url_of "lazy")
    for _, last in ipairs { "a call", "the commit" } do
      expect.failure("connection", store:transaction(function()
        assert(store:add(GATEWAY))
        wait_until_gone()
        if last == "a call" then
          expect.failure("connection", store:add { ip = "10.0.0.3", hostname = "ap" })
        end
        return true
      end))
      assert.same({ 1, 1 }, { store:count(), #store:events() })
    end
    assert(store:add(GATEWAY))
  end)

  it("cannot be had while the server is down, and can when it is up again", function()
    cluster:stop "fast"
    for _ = 1, 2 do
      assert.is_true(expect.failure("connection", store:get(nas.id)).retryable)
      expect.failure("connection", store:add(GATEWAY))
      expect.failure("connection", store:transaction(function() return true end))
      expect.failure("connection", hoststore.open(cluster:url()))
    end
    cluster:start()
    assert(store:add(GATEWAY))
    assert.equal(2, store:count())
  end)
end)
