local core = require "hoststore.core"
local hoststore = require "hoststore"
local machine_clock = require "spec.support.machine_clock"
local system = require "spec.support.system"

describe("a router that wrote a host in 2033", function()
  local DAY = 86400
  local GOOD, WRONG = 1772366400, 2000030400 -- 2026-03-01 and 2033-05-18, at noon
  local directory, path, store, time
  before_each(function()
    directory = machine_clock.begin(function() return time end)
    path = directory .. "/hosts.db"
    store = assert(hoststore.open(path))
  end)
  after_each(function()
    store:close()
    machine_clock.finish()
  end)

  -- Adds a host by a clock that says `at`.
  local function add(at, hostname, expires_at)
    local writer = assert(hoststore.open(path, { clock = function() return at end }))
    assert(writer:add { ip = "10.0.0.1", hostname = hostname, expires_at = expires_at })
    writer:close()
  end

  -- The names that are published when the clock says `at`, and whether it is believed then.
  local function publish(at)
    time = at
    local output = directory .. "/hosts"
    local result = assert(store:publish_outputs { { name = "lan", path = output, format = "hosts" } })[1]
    local names = {}
    for name in (system.read(output) or ""):gmatch "10%.0%.0%.1\t(%S+)" do names[#names + 1] = name end
    return table.concat(names, " "), result.clock == nil
  end

  local function retention_believes(at)
    time = at
    local done, err = store:apply_retention { max_age = "1d" }
    assert(done or err.code == "conflict")
    return done ~= nil
  end

  before_each(function()
    add(GOOD, "guest", GOOD + 2 * DAY)
    add(WRONG, "new")
  end)

  it("publishes what had not expired before, and believes its clock as little as retention does", function()
    assert.same({ "guest new", false }, { publish(WRONG + 60) })
    assert.is_false(retention_believes(WRONG + 60))
  end)

  it("still does so when the clock is right, until that is when it expires", function()
    assert.same({ "guest new", false }, { publish(GOOD + DAY) })
    add(GOOD + DAY, "right")
    assert.same({ "guest new right", true }, { publish(GOOD + DAY) })
    assert.same({ "new right", true }, { publish(GOOD + 3 * DAY) })
    assert.is_true(retention_believes(GOOD + 3 * DAY))
  end)

  it("does so in 1970, whatever was written in 1970, and does not bring back what had expired", function()
    add(10, "unset")
    add(20, "old", GOOD - DAY)
    assert.same({ "guest new unset", false }, { publish(50) })
  end)

  it("does not read the whole log to find that out", function()
    local events, reads = core.events, 0
    finally(function() core.events = events end)
    local many = {}
    for i = 1, 3000 do many[i] = { type = "A" } end
    local writer = assert(hoststore.open(path, { clock = function() return WRONG + 1 end }))
    assert(writer:stream("s"):append(many))
    writer:close()
    core.events = function(...)
      local found, err = events(...)
      reads = reads + #found
      return found, err
    end
    assert.same({ "guest new", false }, { publish(WRONG + 60) })
    assert.is_true(reads < 200)
  end)
end)
