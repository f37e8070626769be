-- Whoever drained the spool that all shared by default brought the leases of all into its own database and tenant.
local leases = require "spec.support.leases"
local system = require "spec.support.system"

describe("the spool by default", function()
  local directory
  before_each(function() directory = system.directory() end)
  after_each(function() system.remove(directory) end)

  local function name(variables, db, tenant)
    local script = directory .. "/script.lua"
    system.write(script, ("io.write(require('hoststore.hotplug.spool').directory(%s, %s))"):format(
      db and ("%q"):format(db) or "nil", tenant and ("%q"):format(tenant) or "nil"))
    return (system.run("env -u HOSTSTORE_SPOOL -u HOSTSTORE_DB -u HOSTSTORE_TENANT " .. variables .. " "
      .. system.lua(script)))
  end

  it("is another one for each database and tenant, whether options or the environment name them", function()
    local seen = {}
    for _, given in ipairs { {}, { "/a/b.db" }, { "/a_b.db" }, { "/a/b.db", "x" }, { nil, "x" }, { "/a/b.db+x" },
      { "postgres://db.lan/hosts" }, { "postgres://db.lan/hosts?tenant=x" }, { "postgres://db.lan/other" } } do
      local db, tenant = given[1], given[2]
      local path = name("", db, tenant)
      assert.is_nil(seen[path], path)
      assert.is_nil(path:find "[^%w./_%%+-]")
      seen[path] = true
      local variables = (db and "HOSTSTORE_DB=" .. system.quote(db) or "")
        .. (tenant and " HOSTSTORE_TENANT=" .. tenant or "")
      assert.equal(path, name(variables))
    end
    assert.is_true(seen["/tmp/hoststore/spool"])
    assert.equal("/tmp/hoststore/spool", name("HOSTSTORE_DB=/etc/hoststore/hoststore.db"))
  end)

  it("stays the same when a password or an option changes, and tells neither", function()
    local path = name("", "postgres://me:secret@db.lan/hosts?connect_timeout=3")
    assert.equal(path, name("", "postgres://db.lan/hosts"))
    assert.equal(path, name("", "postgres://me:p%2Fw@db.lan/hosts"))
    assert.is_nil(path:find "secret")
  end)

  it("is the one the environment names, for whatever is drained into", function()
    assert.equal("/run/spool", name("HOSTSTORE_SPOOL=/run/spool", "/a/b.db", "x"))
  end)

  -- With the spools of this spec in the place of those by default.
  it("is the one that an event with options is put into and drained from, by itself and by --drain", function()
    local script = directory .. "/script.lua"
    system.write(script, ([[
      local spool = require "hoststore.hotplug.spool"
      function spool.directory(db, tenant) return %q .. "/spool of " .. tenant end
      os.exit(require("hoststore.cli").run { "--db", %q .. "/hosts.db", unpack(arg) })]]):format(directory, directory)
      :gsub("unpack", "(table.unpack or unpack)"))
    for number, tenant in ipairs { "one", "two" } do
      local words = ("%s --tenant %s hotplug "):format(system.lua(script), tenant)
      assert.same({ "", 0 }, { system.run(words .. "add aa:bb:cc:dd:ee:01 10.0.0." .. number .. " nas") })
      leases.wait_for_all(directory .. "/spool of " .. tenant)
      assert.same({ "0 events\n", 0 }, { system.run(words .. "--drain") })
    end
    for number, tenant in ipairs { "one", "two" } do
      assert.same({ ("10.0.0.%d nas mac:aa:bb:cc:dd:ee:01"):format(number) },
        leases.hosts(("sqlite://%s/hosts.db?tenant=%s"):format(directory, tenant)))
    end
  end)
end)
