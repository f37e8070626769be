local backend = require "spec.support.backends"[3]
local hoststore = require "hoststore"
local proxy = require "spec.support.proxy"

local IMPORTED = 50
-- To look at the log before the first, and to commit.
local AROUND = 3

-- Each is run once before it is counted, with another number.
local commands = {
  { name = "an add", run = function(store, n)
    return store:add { ip = "10.0.1." .. n, hostname = "h" .. n, aliases = { "a" .. n }, tags = { "t", "u" } }
  end },
  { name = "an append", run = function(store, n)
    return store:stream("s" .. n):append { type = "A", data = { n = n } }
  end },
  { name = "an append at a version", run = function(store, n)
    return store:stream("s"):append({ type = "A" }, { expected = n - 1 })
  end },
  { name = "an append of ten events", run = function(store, n)
    local events = {}
    for i = 1, 10 do
      events[i] = { type = "A", data = { n = i } }
    end
    return store:stream("s" .. n):append(events)
  end },
  { name = "a change of a host value", run = function(store, n, hosts)
    return store:update(hosts[n], { ip = "10.0.2." .. n, comment = "c", tags = { "v" } })
  end },
  { name = "a deletion of a host value", run = function(store, n, hosts)
    return store:delete(hosts[n])
  end },
  { name = "reading a host", run = function(store, n, hosts)
    return store:get(hosts[n].id)
  end },
  -- It has to be read first.
  { name = "a change of a host by its id", trips = 2, run = function(store, n, hosts)
    return store:update(hosts[n].id, { comment = "c" })
  end },
}

describe("a PostgreSQL store, in round trips to the server,", function()
  local line, store, hosts, stores

  local function open(options)
    stores[#stores + 1] = assert(hoststore.open(line.url, options))
    return stores[#stores]
  end

  before_each(function()
    backend.make()
    line = proxy.start(backend.url)
    hosts, stores = {}, {}
    store = open()
    for i = 1, 2 do
      hosts[i] = assert(store:add { ip = "10.0.0." .. i, hostname = "nas" .. i, tags = { "t" } })
    end
  end)

  after_each(function()
    for _, opened in ipairs(stores) do
      opened:close()
    end
    line:stop()
    backend.finish()
  end)

  local function trips_of(fn)
    local before = line:round_trips()
    assert(fn())
    return line:round_trips() - before
  end

  for _, command in ipairs(commands) do
    local trips = command.trips or 1
    it(("needs %d for %s"):format(trips, command.name), function()
      assert(command.run(store, 1, hosts))
      assert.equal(trips, trips_of(function() return command.run(store, 2, hosts) end))
    end)
  end

  it("needs about one for each host of an import", function()
    local lines = {}
    for i = 1, IMPORTED do
      lines[i] = ("10.1.0.%d imported%d"):format(i, i)
    end
    assert(store:import { text = "10.2.0.1 one\n" })
    local trips = trips_of(function() return store:import { text = table.concat(lines, "\n") } end)
    assert.is_true(trips <= IMPORTED + AROUND, trips .. " round trips")
    assert.equal(IMPORTED + 3, store:count())
  end)

  it("needs no other connection for another store of the same URL", function()
    assert.equal(1, line:connections())
    assert(open():add { ip = "10.0.1.1", hostname = "a" })
    assert(open({ tenant = "other" }):add { ip = "10.0.1.1", hostname = "a" })
    assert.equal(3, store:count())
    assert.equal(1, line:connections())
    open { busy_timeout = 50 }
    assert.equal(2, line:connections())
  end)
end)
