local expect = require "spec.support.expect"
local hoststore = require "hoststore"

for _, backend in ipairs(require "spec.support.backends") do
  describe(backend.name .. ": a transaction", function()
    local store
    before_each(function() store = backend.open() end)
    after_each(backend.finish)

    local function add(name, ip)
      return store:add { ip = ip or "10.0.0.1", hostname = name }
    end

    local function names()
      return expect.pluck(store:list { order = "hostname" }, "hostname")
    end

    it("commits what its function wrote and returns what it returned", function()
      local host, extra, third = store:transaction(function()
        assert(add "a")
        return assert(add "b"), "extra", nil
      end)
      assert.same({ "b", "extra" }, { host.hostname, extra })
      assert.is_nil(third)
      assert.same({ "a", "b" }, names())
    end)

    it("commits when its function returns nothing", function()
      assert.is_truthy(store:transaction(function() assert(add "a") end))
      assert.same({ "a" }, names())
    end)

    it("rolls back and returns nil, err when its function does", function()
      local value, err = store:transaction(function()
        assert(add "a")
        return add("b", "10.0.0.300")
      end)
      expect.invalid("ip", value, err)
      assert.same({}, names())
      assert.same({}, store:events())
    end)

    it("returns any second value as the error", function()
      local value, err = store:transaction(function()
        assert(add "a")
        return nil, "changed my mind"
      end)
      assert.is_nil(value)
      assert.equal("changed my mind", err)
      assert.same({}, names())
    end)

    it("rolls back and raises the same value when its function raises", function()
      local value = { mine = true }
      local ok, raised = pcall(store.transaction, store, function()
        assert(add "a")
        error(value)
      end)
      assert.is_false(ok)
      assert.equal(value, raised)
      assert.same({}, names())
      assert(add "c")
      assert.same({ "c" }, names())
      assert.equal(1, store:events()[1].position)
    end)

    it("sees its own writes, in every read", function()
      assert(store:transaction(function()
        local host = assert(add "a")
        assert.equal("a", store:get(host.id).hostname)
        assert.same({ "a" }, names())
        assert.equal(1, #store:events())
        assert.equal("a", store:at({ position = 1 }):get(host.id).hostname)
        host = assert(store:update(host, { comment = "c" }))
        return store:update(host, { comment = "d" })
      end))
      assert.equal(3, store:list()[1].version)
    end)

    it("goes on after a refused write", function()
      assert(store:transaction(function()
        assert(add "a")
        expect.failure("duplicate", add "a")
        expect.invalid("hostname", add "b b")
        return add "c"
      end))
      assert.same({ "a", "c" }, names())
    end)

    it("holds appends and hosts alike", function()
      expect.failure("conflict", store:transaction(function()
        assert(add "a")
        assert(store:stream("s"):append { type = "A" })
        assert(store:stream("s"):save_snapshot(1, "state"))
        assert(store:snapshot { name = "n" })
        return store:stream("s"):append({ type = "B" }, { expected = "none" })
      end))
      assert.same({}, store:events())
      assert.same({}, store:snapshots())
      assert.is_nil(store:stream("s"):load_snapshot())
    end)

    it("within another is undone alone", function()
      assert(store:transaction(function()
        assert(add "a")
        local value, err = store:transaction(function()
          assert(add "b")
          return nil, "no"
        end)
        assert.same({ nil, "no" }, { value, err })
        local ok = pcall(store.transaction, store, function()
          assert(add "c")
          store:transaction(function() assert(add "d") end)
          error("no")
        end)
        assert.is_false(ok)
        assert.same({ "a" }, names())
        return store:transaction(function() return add "e" end)
      end))
      assert.same({ "a", "e" }, names())
      assert.same({ 1, 2 }, expect.pluck(store:events(), "position"))
    end)

    it("takes the inner ones back with it", function()
      pcall(store.transaction, store, function()
        assert(store:transaction(function() return add "a" end))
        assert.same({ "a" }, names())
        error("no")
      end)
      assert.same({}, names())
    end)

    it("hands its arguments of failure through both levels", function()
      local value, err = store:transaction(function()
        return store:transaction(function() return nil, "inner" end)
      end)
      assert.same({ nil, "inner" }, { value, err })
    end)

    it("keeps ids and versions without gaps after a rollback", function()
      local nas = assert(add "nas")
      pcall(store.transaction, store, function()
        assert(store:update(nas, { comment = "x" }))
        error("no")
      end)
      local host = assert(store:update(nas, { comment = "y" }))
      assert.same({ 2, 2 }, { host.version, host.position })
    end)

    it("can be closed over within", function()
      local ok = pcall(store.transaction, store, function()
        assert(add "a")
        store:close()
      end)
      assert.is_false(ok)
      if backend.reopen then
        assert.same({}, backend.reopen():list())
      end
    end)

    it("raises for what is no function", function()
      expect.misuse(store.transaction, store)
      expect.misuse(store.transaction, store, "fn")
      expect.misuse(store.transaction, store, { ip = "10.0.0.1" })
    end)

    if backend.reopen then
      it("is seen by others as a whole or not at all", function()
        local other = backend.reopen()
        assert(store:transaction(function()
          assert(add "a")
          assert.same({}, other:list())
          return add "b"
        end))
        assert.equal(2, other:count())
      end)

      it("makes other writers wait, and give up as busy", function()
        local other = backend.reopen { busy_timeout = 0 }
        assert(store:transaction(function()
          assert(add "a")
          local err = expect.failure("busy", other:add { ip = "10.0.0.2", hostname = "b" })
          assert.is_true(err.retryable)
          assert.same({}, other:list())
          return true
        end))
        assert(other:add { ip = "10.0.0.2", hostname = "b" })
        assert.same({ "a", "b" }, names())
      end)
    end
  end)

  describe(backend.name .. ": close", function()
    after_each(backend.finish)

    it("can be called again, and everything else raises then", function()
      local store = backend.open()
      local host = assert(store:add { ip = "10.0.0.1", hostname = "a" })
      local stream = store:stream("s")
      local view = assert(store:at { position = 1 })
      local snapshot = assert(store:snapshot())
      local plan = assert(store:plan { entries = {}, origin = "dhcp" })
      store:close()
      store:close()
      for _, call in ipairs {
        function() store:add { ip = "10.0.0.2", hostname = "b" } end,
        function() store:get(host.id) end, function() store:find("10.0.0.1", "a") end, function() store:lookup("a") end,
        function() store:reverse("10.0.0.1") end, function() store:update(host, {}) end,
        function() store:delete(host) end,
        function() store:list() end, function() store:count() end, function() store:hosts() end,
        function() store:transaction(function() end) end, function() store:events() end, function() store:streams() end,
        function() store:stream_health() end, function() store:partition_stats() end,
        function() store:append_batch { { stream = "s", events = { { type = "A" } } } } end,
        function() store:at { position = 1 } end, function() store:diff({ position = 0 }, { position = 1 }) end,
        function() store:history(host.id) end, function() store:log() end, function() store:undo(1) end,
        function() store:snapshot() end, function() store:snapshots() end,
        function() store:get_snapshot(snapshot.id) end,
        function() store:delete_snapshot(snapshot.id) end, function() store:restore(snapshot.id) end,
        function() store:apply_retention { max_count = 1 } end, function() store:verify() end,
        function() store:check() end,
        function() store:stats() end, function() store:import { text = "10.0.0.2 b" } end,
        function() store:export("json") end, function() store:plan { entries = {} } end, function() plan:apply() end,
        function() stream:append { type = "A" } end, function() stream:read() end, function() stream:version() end,
        function() stream:verify() end, function() stream:fold(0, function() end) end,
        function() stream:save_snapshot(0, 1) end, function() stream:load_snapshot() end,
        function() store:stream("s") end, function() store:feed("f") end, function() store:follow() end,
        function() view:get(host.id) end, function() view:list() end, function() view:count() end,
        function() view:find("10.0.0.1", "a") end, function() view:lookup("a") end,
        function() host:update {} end, function() host:delete() end, function() host:history() end,
        function() store:backup(backend.directory() .. "/copy.db") end,
      } do
        local raised = expect.misuse(call)
        assert.matches("closed", raised)
      end
    end)

    it("happens when the store is collected", function()
      assert(hoststore.open(backend.make()))
      collectgarbage()
      collectgarbage()
      assert.equal(0, (backend.faulty.connections()))
    end)

    if _VERSION == "Lua 5.4" then
      it("happens at the end of the scope of a <close> variable", function()
        local scope = assert(load [[
          local open = ...
          local store <close> = open()
          assert(store:add { ip = "10.0.0.1", hostname = "a" })
          return store
        ]])
        expect.misuse(function() scope(backend.open):list() end)
      end)
    end
  end)
end
