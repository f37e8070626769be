--- Every call to the database fails once: the n-th of an operation, for n = 1, 2, 3 … until the
--- operation succeeds. Whatever fails, nothing is half done and the store goes on.
local core = require "hoststore.core"
local expect = require "spec.support.expect"
local file = require "hoststore.file"
local lfs = require "lfs"
local operations = require "spec.support.operations"

local MOST = 400
local state, reads, writes = operations.state, operations.reads, operations.writes

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

for _, backend in ipairs(require "spec.support.backends") do
  describe(backend.name .. ": whichever call to the database fails", function()
    local faulty = backend.faulty
    local store, nas, snapshot
    local function make()
      store = backend.open(operations.options(backend.directory()))
      nas, snapshot = operations.fill(store)
    end
    before_each(make)
    after_each(backend.finish)

    if backend.name == "sqlite memory" then
      it("every method of a store and its handles is among those that are tried", function()
        local handles, tried, untried = public_methods(), {}, {}
        for _, set in ipairs { writes, reads } do
          for name, operation in pairs(set) do
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

    local kinds = {
      { "a statement is refused", "query" }, { "the disk is full", "full" },
      { "every statement is refused from there on", "query", MOST }, { "the disk stays full", "full", MOST },
    }
    for i = 1, backend.slow and 2 or #kinds do
      local kind = kinds[i]
      local what, how, last = kind[1], kind[2], kind[3]
      for _, name in ipairs(operations.names(writes)) do
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

    for _, name in ipairs(operations.names(reads)) do
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
