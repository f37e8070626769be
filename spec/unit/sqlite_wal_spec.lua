-- SQLite 3.7.0 to 3.51.2 can lose pages when two connections checkpoint while a commit begins the log anew.
local hoststore = require "hoststore"
local system = require "spec.support.system"

local sys = require("hoststore.core").sys

-- Opens and closes the file again and again, so that checkpoints come out of commits and out of closing.
local WRITER = [[
  local hoststore, path, name = require "hoststore", arg[1], arg[2]
  local rounds, adds = tonumber(arg[3]), tonumber(arg[4])
  for round = 1, rounds do
    local store = assert(hoststore.open(path, { journal = "wal", durability = "normal", policies = false }))
    for i = 1, adds do
      assert(store:stream(name):append { type = "T", data = { round = round, i = i, text = ("x"):rep(3000) } })
    end
    store:close()
  end
]]

describe("a write-ahead log", function()
  local directory, path

  before_each(function()
    directory = system.directory()
    path = directory .. "/hosts.db"
  end)

  after_each(function()
    system.remove(directory)
  end)

  local function make(journal)
    return assert(hoststore.open(path, { journal = journal, page_size = 512, policies = false }))
  end

  it("loses nothing to processes that commit and checkpoint at once", function()
    local store = make "wal"
    system.write(directory .. "/writer", WRITER)
    local writers = {}
    for i, name in ipairs { "one", "two", "three" } do
      writers[i] = system.popen(system.lua(directory .. "/writer", path, name, 4, 100) .. " 2>&1; echo $?")
    end
    for _, writer in ipairs(writers) do
      assert.equal("0\n", writer:read "*a")
      writer:close()
    end
    for _, name in ipairs { "one", "two", "three" } do
      local events = assert(store:stream(name):read())
      assert.equal(400, #events)
      assert.equal(3000, #events[400].data.text)
    end
    assert.same({}, assert(store:verify()).problems)
    store:close()
    assert.equal("ok\n", (system.sqlite(path, "PRAGMA integrity_check")))
  end)

  -- A thousand pages and what one commit adds; what is written is three times as much.
  local ENOUGH = 1100 * (512 + 24)

  -- How long the log is after many commits.
  local function grow(store)
    for i = 1, 300 do
      assert(store:stream("s"):append { type = "T", data = { i = i, text = ("x"):rep(3000) } })
    end
    return sys.stat(path .. "-wal").size
  end

  it("does not grow for ever, though SQLite is not let to checkpoint it", function()
    local store = make "wal"
    local size = grow(store)
    store:close()
    assert.is_true(size < ENOUGH, size)
  end)

  it("is checkpointed by nobody while another process does so, where SQLite has the fault", function()
    local store = make "wal"
    local has_fault = #require("hoststore.cli.upkeep").warnings(assert(store:stats())) > 0
    local lock = assert(sys.lock(path .. "-checkpoint"))
    local size = grow(store)
    lock:release()
    assert.equal(has_fault, size > ENOUGH)
    -- Then the log begins anew.
    assert.is_true(grow(store) < size + ENOUGH)
    store:close()
  end)

  local function check()
    local script = directory .. "/check"
    system.write(script, "os.exit(require('hoststore.cli').run(arg))")
    return system.run(system.lua(script, "--db", path, "check"))
  end

  it("is warned of by the command check where SQLite has the fault, and only then", function()
    local upkeep = require "hoststore.cli.upkeep"
    for version, warned in pairs { ["3.7.0"] = 1, ["3.40.1"] = 1, ["3.51.2"] = 1, ["3.51.3"] = 0, ["3.51.10"] = 0,
      ["3.52.0"] = 0, ["4.0.0"] = 0 } do
      assert.equal(warned, #upkeep.warnings { journal = "wal", sqlite_version = version, location = path }, version)
      assert.equal(0, #upkeep.warnings { journal = "truncate", sqlite_version = version, location = path })
    end
    assert.equal(0, #upkeep.warnings { server_version = "15.1" })
  end)

  it("can be left as the warning says, and then there is none", function()
    local store = make "wal"
    assert(store:add { ip = "10.0.0.1", hostname = "nas.lan" })
    local warning = require("hoststore.cli.upkeep").warnings(assert(store:stats()))[1]
    store:close()
    local output, status = check()
    assert.same({ warning and "hoststore: " .. warning .. "\nok\n" or "ok\n", 0 }, { output, status })
    if warning then
      assert.equal(0, select(2, system.run(warning:match "run (sqlite3 .*)$")))
      assert.same({ "ok\n", 0 }, { check() })
    end
  end)
end)
