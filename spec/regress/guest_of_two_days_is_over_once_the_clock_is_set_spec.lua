local command_line = require "spec.support.command_line"
local core = require "hoststore.core"
local hoststore = require "hoststore"
local json = require "hoststore.json"
local machine_clock = require "spec.support.machine_clock"

describe("a host that is to expire in two days", function()
  local DAY, NOW = 86400, 1772366400 -- 2026-03-01, at noon
  local directory, time
  before_each(function() directory = machine_clock.begin(function() return time end) end)
  after_each(machine_clock.finish)

  local function run(...)
    local code, output, errors = command_line.run { "--db", directory .. "/hosts.db", ... }
    return code, output .. errors
  end

  local function expiry()
    return assert(json.decode(select(2, run("show", "guest", "--json")))).expires_at
  end

  local UNSET = "hoststore: the clock says 1970-01-01T00:00:50Z: it is not set; give a date, or set the clock\n"

  it("is not added by a clock that is not set, as it would be over when that is set", function()
    time = 50
    assert.same({ 4, UNSET }, { run("add", "10.0.0.1", "guest", "--expires", "2d") })
    assert.same({ 4, UNSET }, { run("add", "10.0.0.1", "guest", "--expires", "now") })
    assert.equal(3, (run("show", "guest")))
    assert.equal(0, (run("add", "10.0.0.1", "guest", "--expires", "2026-03-03")))
    assert.equal("2026-03-03T00:00:00Z", expiry())
  end)

  it("is not changed by such a clock either, but to a date or to never", function()
    time = 50
    assert.equal(0, (run("add", "10.0.0.1", "guest", "--expires", "2026-03-03")))
    assert.same({ 4, UNSET }, { run("set", "guest", "expires_at=2d") })
    assert.equal(0, (run("set", "guest", "expires_at=2026-03-04")))
    assert.equal("2026-03-04T00:00:00Z", expiry())
    assert.equal(0, (run("set", "guest", "expires_at=never")))
    assert.equal(core.null, expiry())
  end)

  it("is not added by a clock that is behind the log, but is after a silent year", function()
    local store = assert(hoststore.open(directory .. "/hosts.db", { clock = function() return NOW end }))
    assert(store:add { ip = "10.0.0.2", hostname = "nas" })
    store:close()
    time = NOW - 5 * DAY
    local status, text = run("add", "10.0.0.1", "guest", "--expires", "2d")
    assert.equal(4, status)
    assert.matches("but the newest event is of 2026-03-01T12:00:00Z; give a date, or set the clock", text, 1, true)
    time = NOW + 400 * DAY
    assert.equal(0, (run("add", "10.0.0.1", "guest", "--expires", "2d")))
    assert.equal(core.format_time(time + 2 * DAY), expiry())
  end)
end)
