--- Every call to the database fails once: the n-th of an operation, for n = 1, 2, 3 … until the
--- operation succeeds. Whatever fails, nothing is half done and the store goes on.
local core = require "hoststore.core"
local expect = require "spec.support.expect"
local file = require "hoststore.file"
local hoststore = require "hoststore"
local lfs = require "lfs"
local system = require "spec.support.system"

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

-- Iterators raise what others return.
local function collect(iterate)
  return file.try(function()
    local found = {}
    for item in iterate() do found[#found + 1] = item end
    return found
  end)
end

-- A store in memory, for what takes another one.
local function with_target(fn)
  local target, err = hoststore.open "memory:"
  if not target then
    return nil, err
  end
  local result
  result, err = fn(target)
  target:close()
  return result, err
end

-- Where operations write files, removed with the test.
local directory

local function published(results, err)
  if not results then
    return nil, err
  end
  return not results[1].error and results[1] or nil, results[1].error
end

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
  apply_policy_retention = function(store) return store:apply_policy_retention() end,
  ["host update"] = function(_, nas) return nas:update { comment = "by itself", tags = { "x" } } end,
  ["host delete"] = function(_, nas) return nas:delete "gone" end,
  load = function(store)
    local path = directory .. "/dump"
    local dumped, err = store:dump(path)
    if not dumped then
      return nil, err
    end
    return with_target(function(target) return target:load(path) end)
  end,
  copy_to = function(store) return with_target(function(target) return store:copy_to(target) end) end,
  backup = function(store) return store:backup(directory .. "/backup") end,
  ["publish"] = function(store)
    os.remove(directory .. "/hosts")
    return store:publish(directory .. "/hosts")
  end,
  publish_outputs = function(store)
    os.remove(directory .. "/hosts")
    return published(store:publish_outputs { { path = directory .. "/hosts" } })
  end,
  ["publish_outputs as shards"] = function(store)
    return published(store:publish_outputs { { path = directory .. "/shards", mode = "shards" } })
  end,
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
  ["at and the rest"] = function(store)
    local view, found, err
    view, err = store:at { position = 2 }
    if not view then
      return nil, err
    end
    found, err = view:find("10.0.0.1", "nas")
    if not found then
      return nil, err
    end
    found, err = view:lookup "nas"
    if not found then
      return nil, err
    end
    found, err = view:count()
    if not found then
      return nil, err
    end
    return collect(function() return view:hosts() end)
  end,
  hosts = function(store) return collect(function() return store:hosts() end) end,
  follow = function(store) return collect(function() return store:follow { timeout = 0 } end) end,
  ["host history"] = function(_, nas) return nas:history() end,
  render = function(store)
    return store:render { text = "<% for host in hosts() do %><%= host.ip %>\n<% end %>" }
  end,
  dump = function(store) return store:dump(directory .. "/dump") end,
  ["export to a file"] = function(store) return store:export("hosts", directory .. "/exported") end,
  plan_policies = function(store) return store:plan_policies() end,
  ["policy retention as a dry run"] = function(store) return store:apply_policy_retention { dry_run = true } end,
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

-- What a store and its handles can do, by name: "store:add".
local function public_methods()
  for name in lfs.dir "lua/hoststore" do
    local path = "lua/hoststore/" .. name
    path = lfs.attributes(path, "mode") == "directory" and path .. "/init.lua" or path
    local text = file.read(path)
    if text and text:find("core.methods", 1, true) then
      require("hoststore." .. name:gsub("%.lua$", ""))
    end
  end
  return { store = core.methods, host = core.host_methods, stream = require "hoststore.stream",
    feed = require "hoststore.feed", plan = require "hoststore.plan", view = require "hoststore.view" }
end

-- These ask the database nothing.
local QUIET = { ["store:close"] = true, ["store:feed"] = true, ["store:stream"] = true, ["store:outputs"] = true,
  ["store:explain_policies"] = true }

-- Has called(name) called for each method that fn calls, but not for those that these call.
local function spy(handles, called, fn)
  local depth, originals = 0, {}
  local function leave(...)
    depth = depth - 1
    return ...
  end
  for handle, methods in pairs(handles) do
    originals[handle] = {}
    for name, method in pairs(methods) do
      originals[handle][name] = type(method) == "function" and method or nil
    end
    for name, method in pairs(originals[handle]) do
      methods[name] = function(...)
        if depth == 0 then called(handle .. ":" .. name) end
        depth = depth + 1
        return leave(method(...))
      end
    end
  end
  local ok, raised = pcall(fn)
  for handle, methods in pairs(originals) do
    for name, method in pairs(methods) do handles[handle][name] = method end
  end
  assert(ok, raised)
end

local POLICIES = 'retention { name = "r", count = 0, expired_hosts = "remove" }'

for _, backend in ipairs(require "spec.support.backends") do
  describe(backend.name .. ": whichever call to the database fails", function()
    local faulty = backend.faulty
    local store, nas, snapshot
    -- Positions: 1 s, 2 nas, 3 its comment, 4 gw, 5 printer, 6 printer is gone.
    local function make()
      directory = backend.directory()
      assert(core.sys.mkdir_p(directory .. "/policies"))
      system.write(directory .. "/policies/10.lua", POLICIES)
      store = backend.open { clock = function() return 1000 end, policies = directory .. "/policies" }
      assert(store:stream("s"):append { type = "A", id = "01ARZ3NDEKTSV4RRFFQ69G5FAV" })
      assert(store:stream("s"):save_snapshot(1, "state"))
      nas = assert(store:add { ip = "10.0.0.1", hostname = "nas", aliases = { "a" }, tags = { "t" } })
      snapshot = assert(store:snapshot { name = "before" })
      nas = assert(store:update(nas, { comment = "c" }))
      assert(store:add { ip = "10.0.0.2", hostname = "gw" })
      assert(assert(store:add { ip = "10.0.0.3", hostname = "printer", aliases = { "p" } }):delete())
      assert(store:feed("f"):ack(1))
    end
    before_each(make)
    after_each(backend.finish)

    if backend.name == "sqlite memory" then
      it("every method of a store and its handles is among those that are tried", function()
        local handles, tried, untried = public_methods(), {}, {}
        for _, operations in ipairs { writes, reads } do
          for name, operation in pairs(operations) do
            backend.finish()
            make()
            spy(handles, function(method) tried[method] = true end, function()
              local value, err = operation(store, nas, snapshot)
              assert(value ~= nil, name .. ": " .. tostring(err))
            end)
          end
        end
        for handle, methods in pairs(handles) do
          for name, method in pairs(methods) do
            local full = handle .. ":" .. name
            if type(method) == "function" and not name:find "^__" and not tried[full] and not QUIET[full] then
              untried[#untried + 1] = full
            end
          end
        end
        table.sort(untried)
        assert.equal("", table.concat(untried, " "))
      end)
    end

    it("what asks the database nothing does not fail", function()
      faulty.fail_at(1, "query", MOST)
      store:stream "s"
      store:feed "f"
      assert(store:outputs())
      assert(store:explain_policies { ip = "10.0.0.1", hostname = "nas" })
      store:close()
      assert.equal(0, faulty.calls())
    end)

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
          end, name:find "retention" and how == "full")
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
