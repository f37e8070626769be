--- Every call to the database fails once: the n-th of an operation, for n = 1, 2, 3 … until the
--- operation succeeds. Whatever fails, nothing is half done and the store goes on.
local expect = require "spec.support.expect"

local MOST = 400

-- All that a store holds, to compare.
local function state(store)
  local snapshots = {}
  for i, snapshot in ipairs(assert(store:snapshots())) do
    snapshots[i] = assert(store:get_snapshot(snapshot.id))
  end
  local hosts = {}
  for i, host in ipairs(assert(store:list())) do
    hosts[i] = {}
    for name, value in pairs(host) do
      hosts[i][name] = value
    end
  end
  return { events = assert(store:events()), hosts = hosts, snapshots = snapshots, feeds = assert(store:feeds()),
    saved = assert(store:stream("s"):load_snapshot()) }
end

local SOURCE = "10.0.0.1 nas # imported [x]\n10.0.0.7 new1 n # c [t]\nbad\n10.0.0.8 new2\n"

local readers = setmetatable({}, { __mode = "k" })

-- Each gives what succeeds twice in a row, or undoes itself: it runs again on the same store.
local writes = {
  append = function(store) return store:stream("s"):append { { type = "B" }, { type = "C" } } end,
  ["append with known ids"] = function(store)
    return store:stream("s"):append({ type = "A", id = "01ARZ3NDEKTSV4RRFFQ69G5FAV" }, { expected = "none" })
  end,
  append_batch = function(store)
    return store:append_batch { { stream = "s", events = { { type = "B" } } }, { stream = "t",
      events = { { type = "C" } } } }
  end,
  ["append_batch that is not atomic"] = function(store)
    return store:append_batch({ { stream = "s", events = { { type = "B" } }, expected = "none" },
      { stream = "t", events = { { type = "C" } } } }, { atomic = false })
  end,
  save_snapshot = function(store) return store:stream("s"):save_snapshot(1, "newer") end,
  add = function(store) return store:add { ip = "10.0.0.9", hostname = "added", aliases = { "x", "y" }, tags = { "t",
    "u" } } end,
  update = function(store, nas)
    return store:update(nas.id, { ip = "10.0.0.99", aliases = { "q" }, comment = "new", tags = { "v" },
      enabled = false })
  end,
  delete = function(store, nas) return store:delete(nas.id) end,
  undo = function(store) return store:undo(3) end,
  ["undo of a deletion"] = function(store) return store:undo(6) end,
  import = function(store) return store:import({ text = SOURCE }, { mode = "replace" }) end,
  ["import as sync"] = function(store) return store:import({ text = SOURCE }, { mode = "sync" }) end,
  ["import as a dry run"] = function(store) return store:import({ text = SOURCE }, { mode = "sync",
  dry_run = true }) end,
  ["plan and apply"] = function(store)
    local plan, err = store:plan { entries = { { ip = "10.0.0.1", hostname = "nas", comment = "p" },
      { ip = "10.0.0.7", hostname = "new" } } }
    if not plan then
      return nil, err
    end
    return plan:apply()
  end,
  snapshot = function(store) return store:snapshot { name = "another" } end,
  delete_snapshot = function(store, _, snapshot) return store:delete_snapshot(snapshot.id) end,
  restore = function(store, _, snapshot) return store:restore(snapshot.id) end,
  ["restore as a dry run"] = function(store, _, snapshot) return store:restore(snapshot.id, { dry_run = true }) end,
  ["feed read"] = function(store) return store:feed("f"):read() end,
  ["feed ack"] = function(store) return store:feed("f"):ack(3) end,
  ["feed read and ack"] = function(store)
    local feed = store:feed "new"
    return store:transaction(function()
      local events, err = feed:read(2)
      if not events then
        return nil, err
      end
      return feed:ack(events[2].position)
    end)
  end,
  ["feed project"] = function(store)
    return store:feed("f"):project(function(event)
      return store:stream("t"):append { type = "Seen", data = event.position }
    end, { limit = 3 })
  end,
  ["feed project, each time by the same reader"] = function(store)
    readers[store] = readers[store] or store:feed "f"
    return readers[store]:project(function() return store:stream("t"):append { type = "Seen" } end, { limit = 2 })
  end,
  delete_feed = function(store) return store:delete_feed "f" end,
  apply_retention = function(store) return store:apply_retention { max_count = 0 } end,
  transaction = function(store, nas)
    return store:transaction(function()
      local host, err = store:add { ip = "10.0.0.9", hostname = "added" }
      if not host then
        return nil, err
      end
      local done
      done, err = store:transaction(function() return store:update(nas.id, { comment = "inner" }) end)
      if not done then
        return nil, err
      end
      return store:stream("s"):append { type = "B" }
    end)
  end,
}

local reads = {
  get = function(store, nas) return store:get(nas.id) end,
  find = function(store) return store:find("10.0.0.1", "nas") end,
  list = function(store) return store:list { tags = { "t" }, text = "nas" } end,
  lookup = function(store) return store:lookup("nas") end,
  reverse = function(store) return store:reverse("10.0.0.1") end,
  count = function(store) return store:count() end,
  events = function(store) return store:events() end,
  streams = function(store) return store:streams() end,
  stream_health = function(store) return store:stream_health() end,
  partition_stats = function(store) return store:partition_stats() end,
  ["stream read"] = function(store) return store:stream("s"):read() end,
  ["stream version"] = function(store) return store:stream("s"):version() end,
  ["stream verify"] = function(store) return store:stream("s"):verify() end,
  fold = function(store) return store:stream("s"):fold(0, function(n) return n end) end,
  load_snapshot = function(store) return store:stream("s"):load_snapshot() end,
  history = function(store, nas) return store:history(nas.id) end,
  log = function(store) return store:log() end,
  ["at and get"] = function(store, nas)
    local view, err = store:at { position = 2 }
    if not view then
      return nil, err
    end
    return view:get(nas.id)
  end,
  ["at and list"] = function(store, _, snapshot)
    local view, err = store:at { snapshot = snapshot.id }
    if not view then
      return nil, err
    end
    return view:list()
  end,
  diff = function(store) return store:diff({ position = 1 }, { position = 5 }) end,
  snapshots = function(store) return store:snapshots() end,
  get_snapshot = function(store, _, snapshot) return store:get_snapshot(snapshot.id) end,
  verify = function(store) return store:verify() end,
  check = function(store) return store:check() end,
  stats = function(store) return store:stats() end,
  export = function(store) return store:export "json" end,
  plan = function(store) return store:plan { entries = { { ip = "10.0.0.1", hostname = "nas" } } } end,
  feeds = function(store) return store:feeds() end,
  ["feed lag"] = function(store) return store:feed("f"):lag() end,
  ["feed position"] = function(store) return store:feed("f"):position() end,
  ["feed read under a known epoch"] = function(store) return store:feed("f", { epoch = 1 }):read() end,
}

local function names_of(operations)
  local names = {}
  for name in pairs(operations) do
    names[#names + 1] = name
  end
  table.sort(names)
  return names
end

for _, backend in ipairs(require "spec.support.backends") do
  describe(backend.name .. ": whichever call to the database fails", function()
    local faulty = backend.faulty
    local store, nas, snapshot
    -- Positions: 1 s, 2 nas, 3 its comment, 4 gw, 5 printer, 6 printer is gone.
    before_each(function()
      store = backend.open { clock = function() return 1000 end }
      assert(store:stream("s"):append { type = "A", id = "01ARZ3NDEKTSV4RRFFQ69G5FAV" })
      assert(store:stream("s"):save_snapshot(1, "state"))
      nas = assert(store:add { ip = "10.0.0.1", hostname = "nas", aliases = { "a" }, tags = { "t" } })
      snapshot = assert(store:snapshot { name = "before" })
      nas = assert(store:update(nas, { comment = "c" }))
      assert(store:add { ip = "10.0.0.2", hostname = "gw" })
      assert(assert(store:add { ip = "10.0.0.3", hostname = "printer", aliases = { "p" } }):delete())
      assert(store:feed("f"):ack(1))
    end)
    after_each(backend.finish)

    -- Fails the n-th call of an operation, or all from there on, for each n until it succeeds, which it may
    -- do in spite of the failure if it `copes`; check(n) after each failure.
    local function fail_each(operation, how, last, check, copes)
      for n = 1, MOST do
        faulty.fail_at(n, how, last or n)
        local value, err = operation(store, nas, snapshot)
        local calls = faulty.calls()
        faulty.off()
        local _, transactions = faulty.connections()
        assert.equal(0, transactions, "a transaction is open after call " .. n)
        if value ~= nil then
          -- It succeeded because it made no n-th call.
          assert.is_nil(err ~= nil and type(err) == "table" and err.code or nil)
          assert.is_true(calls < n or copes, "the failure of call " .. n .. " went unnoticed")
          assert.is_true(n > 1, "it made no call at all")
          return
        end
        expect.failure(how, value, err)
        check(n)
      end
      error("it does not end")
    end

    for _, kind in ipairs {
      { "a statement is refused", "query" }, { "the disk is full", "full" },
      { "every statement is refused from there on", "query", MOST }, { "the disk stays full", "full", MOST },
    } do
      local what, how, last = kind[1], kind[2], kind[3]
      for _, name in ipairs(names_of(writes)) do
        it(name .. " is done as a whole or not at all, and can be done again: " .. what, function()
          local before = state(store)
          fail_each(writes[name], how, last, function(n)
            assert.same(before, state(store), "something is left of it after call " .. n)
            assert.is_true(store:verify().ok)
            -- Where a disk is full for all at once, retention deletes one snapshot after another.
          end, name == "apply_retention" and how == "full")
          assert.is_true(store:verify().ok)
        end)
      end
    end

    for _, name in ipairs(names_of(reads)) do
      it(name .. " fails with an error, and works again", function()
        local wanted = reads[name](store, nas, snapshot)
        fail_each(reads[name], "query", nil, function() end)
        local again = reads[name](store, nas, snapshot)
        assert.equal(type(wanted), type(again))
      end)
    end

    -- The careless function fails where call n and the next more fail.
    local function go_on(how, more)
      local before = state(store)
      for n = 2, MOST do
        faulty.fail_at(n, how, n + more)
        local ok, value, err = pcall(store.transaction, store, function()
          local failure
          for i = 1, 3 do
            local _, problem = store:add { ip = "10.0.1." .. i, hostname = "h" .. i }
            failure = failure or problem
          end
          assert.is_truthy(failure or faulty.calls() < n)
          return true
        end)
        local calls = faulty.calls()
        faulty.off()
        if calls < n then
          assert.is_true(value)
          assert.equal(3, store:count { ip = "10.0.1.0/24" })
          return
        end
        assert.is_true(ok, tostring(value))
        if value == nil then
          assert.is_true(err.code == "full" or err.code == "query")
          assert.same(before, state(store), "a part is left after call " .. n)
        else
          -- A refused add was undone alone; the others are there, whole.
          assert.equal("query", how)
          assert.is_true(store:verify().ok)
          for _, host in ipairs(store:list { ip = "10.0.1.0/24" }) do
            assert(store:delete(host))
          end
          before = state(store)
        end
      end
    end

    it("a transaction whose function goes on is not kept when the database has ended it", function()
      go_on("full", 0)
    end)

    it("a transaction whose function goes on is not kept when its parts cannot be undone", function()
      for more = 0, 3 do
        local fresh = backend.open()
        assert(fresh:stream("s"):append { type = "A" })
        assert(fresh:stream("s"):save_snapshot(1, "state"))
        store = fresh
        go_on("query", more)
      end
    end)

    it("a refused statement within a transaction is undone alone", function()
      assert(store:transaction(function()
        local h1 = assert(store:add { ip = "10.0.1.1", hostname = "h1" })
        faulty.fail_at(5, "query")
        expect.failure("query", store:update(h1, { ip = "10.0.1.2", tags = { "x" } }))
        faulty.off()
        return store:add { ip = "10.0.1.3", hostname = "h3" }
      end))
      assert.same({ "10.0.1.1", "10.0.1.3" }, expect.pluck(store:list { ip = "10.0.1.0/24" }, "ip"))
      assert.equal(8, #store:events())
    end)

    it("opening fails with an error, leaves no connection, and works again", function()
      local connections = faulty.connections()
      for n = 1, MOST do
        faulty.fail_at(n, "full")
        local ok, opened = pcall(backend.open)
        local calls = faulty.calls()
        faulty.off()
        if ok then
          assert.is_true(calls < n and n > 1)
          assert(opened:add { ip = "10.0.0.1", hostname = "a" })
          return
        end
        assert.equal(connections, (faulty.connections()))
        if backend.reopen then
          -- What the failure left of the file can be opened.
          backend.reopen():close()
        end
      end
    end)
  end)
end
