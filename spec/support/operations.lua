--- What can be done with a store and its handles, for those who make each of it fail: operations by name, called
--- with the store that fill() has filled, a host of it and a snapshot. Each gives what succeeds twice in a row, or
--- undoes itself, or else nil and an error. `directory` is where they write files.
local file = require "hoststore.file"
local hoststore = require "hoststore"
local sys = require("hoststore.core").sys
local system = require "spec.support.system"

local operations = {}

--- All that a store holds, to compare.
function operations.state(store)
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

local function published(results, err)
  if not results then
    return nil, err
  end
  return not results[1].error and results[1] or nil, results[1].error
end

local readers = setmetatable({}, { __mode = "k" })

--- Those that write, or claim a feed.
operations.writes = {
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
    local path = operations.directory .. "/dump"
    local dumped, err = store:dump(path)
    if not dumped then
      return nil, err
    end
    return with_target(function(target) return target:load(path) end)
  end,
  copy_to = function(store) return with_target(function(target) return store:copy_to(target) end) end,
  backup = function(store) return store:backup(operations.directory .. "/backup") end,
  ["publish"] = function(store)
    os.remove(operations.directory .. "/hosts")
    return store:publish(operations.directory .. "/hosts")
  end,
  publish_outputs = function(store)
    os.remove(operations.directory .. "/hosts")
    return published(store:publish_outputs { { path = operations.directory .. "/hosts" } })
  end,
  ["publish_outputs as shards"] = function(store)
    return published(store:publish_outputs { { path = operations.directory .. "/shards", mode = "dir-shards" } })
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

--- Those that only read.
operations.reads = {
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
  query = function(store) return store:query "SELECT COUNT(*) AS n FROM hosts" end,
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
  dump = function(store) return store:dump(operations.directory .. "/dump") end,
  ["export to a file"] = function(store) return store:export("hosts", operations.directory .. "/exported") end,
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

--- Their names, sorted.
function operations.names(of)
  local names = {}
  for name in pairs(of) do
    names[#names + 1] = name
  end
  table.sort(names)
  return names
end

local POLICIES = 'retention { name = "r", count = 0, expired_hosts = "remove" }'

--- How to open a store for them.
function operations.options(directory)
  operations.directory = directory
  assert(sys.mkdir_p(directory .. "/policies"))
  system.write(directory .. "/policies/10.lua", POLICIES)
  return { clock = function() return 1000 end, policies = directory .. "/policies" }
end

--- Puts into a store what they work on. Positions: 1 s, 2 nas, 3 its comment, 4 gw, 5 printer, 6 printer is gone.
---@return hoststore.Host nas, hoststore.Snapshot snapshot
function operations.fill(store)
  assert(store:stream("s"):append { type = "A", id = "01ARZ3NDEKTSV4RRFFQ69G5FAV" })
  assert(store:stream("s"):save_snapshot(1, "state"))
  local nas = assert(store:add { ip = "10.0.0.1", hostname = "nas", aliases = { "a" }, tags = { "t" } })
  local snapshot = assert(store:snapshot { name = "before" })
  nas = assert(store:update(nas, { comment = "c" }))
  assert(store:add { ip = "10.0.0.2", hostname = "gw" })
  assert(assert(store:add { ip = "10.0.0.3", hostname = "printer", aliases = { "p" } }):delete())
  assert(store:feed("f"):ack(1))
  return nas, snapshot
end

return operations
