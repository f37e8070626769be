local backend = require "spec.support.backends"[3]
local expect = require "spec.support.expect"
local hoststore = require "hoststore"
local proxy = require "spec.support.proxy"

local IDS = { "01ARZ3NDEKTSV4RRFFQ69G5FA1", "01ARZ3NDEKTSV4RRFFQ69G5FA2" }
local GATEWAY = { ip = "10.0.0.2", hostname = "gw", tags = { "t" } }

local nas

-- What each command does, `events` in all; `again` looks at what it says when it is called once more
-- after it was committed.
local commands = {
  {
    name = "an append with ids",
    events = 2,
    run = function(store)
      return store:stream("s"):append { { type = "A", id = IDS[1], data = 1 }, { type = "B", id = IDS[2] } }
    end,
    again = function(result)
      assert.same({ true, 1, 2 }, { result.idempotent, result.first, result.last })
    end,
  },
  {
    name = "a batch",
    events = 2,
    run = function(store)
      return store:append_batch { { stream = "s", events = { { type = "A", id = IDS[1] } } },
        { stream = "r", events = { { type = "A", id = IDS[2] } } } }
    end,
    again = function(results)
      assert.same({ true, true }, expect.pluck(results, "idempotent"))
    end,
  },
  {
    name = "an add",
    events = 1,
    run = function(store) return store:add(GATEWAY) end,
    again = function(host, err) expect.failure("duplicate", host, err) end,
  },
  {
    name = "an add with an id",
    events = 1,
    run = function(store) return store:add(GATEWAY, { event_id = IDS[1] }) end,
    again = function(host) assert.equal("gw", host.hostname) end,
  },
  {
    name = "an update",
    events = 2,
    run = function(store) return store:update(nas.id, { comment = "c", ip = "10.0.0.3" }) end,
    again = function(host) assert.same({ "c", 3 }, { host.comment, host.version }) end,
  },
  {
    name = "a delete",
    events = 1,
    run = function(store) return store:delete(nas.id) end,
    again = function(done, err) expect.failure("not_found", done, err) end,
  },
  {
    name = "an import",
    events = 3,
    run = function(store) return store:import { text = "10.0.1.1 a\n10.0.1.2 b\n10.0.1.3 c d\n" } end,
    again = function(result) assert.same({ 0, 3 }, { result.created, result.skipped }) end,
  },
  {
    name = "a transaction",
    events = 3,
    run = function(store)
      return store:transaction(function()
        assert(store:stream("s"):append { type = "A", id = IDS[1] })
        local host = assert(store:add(GATEWAY, { event_id = IDS[2] }))
        assert(#store:list() == 2)
        return store:update(host.id, { comment = "c" })
      end)
    end,
    again = function(host) assert.same({ "gw", "c", 2 }, { host.hostname, host.comment, host.version }) end,
  },
}

describe("a PostgreSQL store whose connection is cut at the commit", function()
  local line, store, watcher

  before_each(function()
    watcher = backend.open()
    nas = assert(watcher:add { ip = "10.0.0.1", hostname = "nas", tags = { "t" } })
    line = proxy.start(backend.url)
    store = assert(hoststore.open(line.url))
  end)

  after_each(function()
    store:close()
    line:stop()
    backend.finish()
  end)

  local function written()
    return #assert(watcher:events { after = 1 })
  end

  for _, command in ipairs(commands) do
    it("says that it does not know whether " .. command.name .. " was done, and does it once", function()
      line:cut "reply"
      local err = expect.failure("unknown_outcome", command.run(store))
      assert.is_true(err.retryable)
      assert.is_true(line:was_cut())
      assert.equal(command.events, written())
      command.again(command.run(store))
      assert.equal(command.events, written())
    end)

    it("has not done " .. command.name .. " that the server was not asked to commit", function()
      line:cut "request"
      local value, err = command.run(store)
      assert.is_nil(value)
      assert.is_truthy(err.code == "connection" or err.code == "unknown_outcome", err.code)
      assert.is_true(err.retryable)
      assert.is_true(line:was_cut())
      assert.equal(0, written())
      assert(command.run(store))
      assert.equal(command.events, written())
    end)
  end

  it("goes on when it was a transaction that only reads", function()
    assert.equal("nas", store:transaction(function() return store:get(nas.id).hostname end, { readonly = true }))
    line:cut "reply"
    assert.equal(1, store:transaction(function() return store:count() end, { readonly = true }))
    assert.is_false(line:was_cut())
    expect.failure("unknown_outcome", store:add(GATEWAY))
    assert.equal(2, store:count())
  end)

  it("can be opened again wherever the making of its schema was cut", function()
    for _, what in ipairs { "request", "reply" } do
      local cuts = 0
      repeat
        store:close()
        backend.clear()
        line:cut(what, cuts + 1)
        local err
        store, err = hoststore.open(line.url)
        if err then
          assert.is_true(err.retryable, tostring(err))
          assert.is_true(line:was_cut())
          cuts = cuts + 1
          store = assert(hoststore.open(line.url))
          assert(store:add(GATEWAY))
          assert.is_true(assert(store:verify()).ok)
        end
      until not err
      assert.is_true(cuts > 0)
      assert.is_false(line:was_cut())
    end
  end)
end)
