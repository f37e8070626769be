-- dnsmasq rewrites its lease file in place: who read it while it was empty or ended in the middle deleted the hosts
-- that were not there yet.
local expect = require "spec.support.expect"
local hoststore = require "hoststore"
local leases = require "spec.support.leases"
local system = require "spec.support.system"

local COMMAND = system.lua "lua/hoststore.command"

local WHOLE = "0 aa:bb:cc:dd:ee:01 10.0.0.5 laptop *\n0 aa:bb:cc:dd:ee:02 10.0.0.6 phone *\n" ..
  "0 aa:bb:cc:dd:ee:03 10.0.0.7 tablet *\n"

describe("a file of leases", function()
  local directory, path, db

  before_each(function()
    directory = system.directory()
    path, db = directory .. "/leases", directory .. "/hosts.db"
    system.write(path, WHOLE)
    assert.equal(3, assert(hoststore.hotplug.sync(path, { db = db, spool = directory .. "/spool" })).written)
  end)
  after_each(function() system.remove(directory) end)

  local function sync(text, max_deletes)
    system.write(path, text)
    return hoststore.hotplug.sync(path, { db = db, spool = directory .. "/spool", max_deletes = max_deletes })
  end

  local function count()
    return #leases.hosts(db)
  end

  local function assert_kept(text, kept, max_deletes)
    local result = assert(sync(text, max_deletes))
    assert.same({ 0, kept, 3 }, { result.written, result.kept, count() })
    assert.truthy(result.errors[#result.errors].message:find("in no file were kept", 1, true))
  end

  it("that ends anywhere but behind a line deletes nothing, and its last line is not believed", function()
    for length = 1, #WHOLE - 1 do
      if WHOLE:sub(length, length) ~= "\n" then
        local found = select(2, WHOLE:sub(1, length):gsub("\n", ""))
        assert_kept(WHOLE:sub(1, length), 3 - found, "100%")
      end
    end
  end)

  it("with garbage deletes nothing, and what is new in it becomes a host", function()
    assert_kept(("\0"):rep(100), 3, "100%")
    local result = assert(sync("0 aa:bb:cc:dd:ee:04 10.0.0.8 printer *\n<html>\n"))
    assert.same({ 1, 3, 4 }, { result.written, result.kept, count() })
  end)

  it("without a lease deletes nothing, unless max_deletes says so", function()
    assert_kept("", 3)
    assert_kept("duid 00:01:00:01:2a\n", 3)
    local err = expect.failure("conflict", sync("", 2))
    assert.same({ 2, 3 }, { err.expected, err.actual })
    assert.equal(3, count())
    assert.equal(3, assert(sync("", "100%")).written)
    assert.equal(0, count())
  end)

  it("that is empty deletes nothing though another is not", function()
    system.write(directory .. "/other", "0 aa:bb:cc:dd:ee:01 10.0.0.5 laptop *\n")
    system.write(path, "")
    local result = assert(hoststore.hotplug.sync({ directory .. "/other", path }, { db = db,
      spool = directory .. "/spool" }))
    assert.same({ 0, 2, 3 }, { result.written, result.kept, count() })
  end)

  it("that is whole takes away what is over", function()
    local result = assert(sync("0 aa:bb:cc:dd:ee:01 10.0.0.5 laptop *\n"))
    assert.same({ 2, 0, 1 }, { result.written, result.kept, count() })
  end)

  it("is reported on the command line, which fails", function()
    local command = ("%s --db %s hotplug --spool %s/spool --leases %s"):format(COMMAND, db, directory, path)
    system.write(path, "")
    assert.same({ ("hoststore: 3 leases that are in no file were kept: %s holds no lease; if they are to go, say so "
      .. "with max_deletes\n0 events, 3 kept\n"):format(path), 1 }, { system.run(command) })
    assert.same({ "0 events, 3 written\n", 0 }, { system.run(command .. " --max-deletes 100%") })
    system.write(path, "0 aa:bb:cc:dd:ee:01 10.0.0.5 lap")
    assert.equal(1, select(2, system.run(command)))
  end)
end)
