local command_line = require "spec.support.command_line"
local hoststore = require "hoststore"
local machine_clock = require "spec.support.machine_clock"

describe("a router that boots in 2033", function()
  local GOOD, WRONG = 1772366400, 2000030400 -- 2026-03-01 and 2033-05-18, at noon
  local directory, time
  before_each(function() directory = machine_clock.begin(function() return time end) end)
  after_each(machine_clock.finish)

  local function write(at, fn)
    time = at
    local store = assert(hoststore.open(directory .. "/hosts.db", { clock = function() return time end }))
    assert(fn(store))
    store:close()
  end

  local function retention(...)
    local code, output, errors = command_line.run { "--db", directory .. "/hosts.db", "retention", "--max-age", "30d",
      ... }
    return code, output .. errors
  end

  it("keeps its snapshots, though it has made one more since, until somebody says that the clock is right", function()
    write(GOOD, function(store) return store:snapshot { name = "good" } end)
    write(WRONG, function(store) return store:add { ip = "10.0.0.1", hostname = "a" } end)
    write(WRONG + 1, function(store) return store:snapshot() end)
    assert.same({ 4, "hoststore: the clock says 2033-05-18T12:00:01Z, but nothing was recorded between " ..
      "2026-03-01T12:00:00Z and 2033-05-18T12:00:00Z; nothing is removed, unless you force it because the clock is " ..
      "right\n" }, { retention() })
    assert.same({ 0, "snapshots deleted: 1\n" }, { retention "--force" })
  end)

  it("keeps them before its clock is set, too", function()
    write(GOOD, function(store) return store:snapshot() end)
    time = 10
    local status, text = retention()
    assert.equal(4, status)
    assert.matches("it is not set; nothing is removed", text, 1, true)
  end)
end)
