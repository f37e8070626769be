-- hoststore hotplug as a process: what it takes from the system, and that it loses nothing.

local core = require "hoststore.core"
local hotplug = require "hoststore.hotplug"
local leases = require "spec.support.leases"
local spool = require "hoststore.hotplug.spool"
local system = require "spec.support.system"

local preload = table.concat({ os.getenv "LD_PRELOAD" or "", os.getenv "BUILD" .. "/slow_fsync.so" }, " ")
local COMMAND = system.lua "lua/hoststore.command"

describe("hoststore hotplug", function()
  local directory, path

  before_each(function() directory, path = leases.begin() end)
  after_each(leases.finish)

  local function environment(variables)
    local words = { "env HOSTSTORE_DB=" .. directory .. "/hosts.db HOSTSTORE_SPOOL=" .. path }
    for name, value in pairs(variables or {}) do
      words[#words + 1] = system.quote(name .. "=" .. value)
    end
    return table.concat(words, " ") .. " " .. COMMAND .. " hotplug "
  end

  local function run(words, variables)
    return system.run(environment(variables) .. words)
  end

  -- The process alone, with nobody to drain behind it.
  local function run_alone(words, variables)
    assert(spool.prepare(path))
    local lock = assert(core.sys.lock(path .. "/lock"))
    local output, status = run(words, variables)
    lock:release()
    assert.same({ "", 0 }, { output, status })
    local names = assert(spool.waiting(path))
    assert.is_true(#names <= 1)
    local event = names[1] and assert(spool.read(path, names[1]))
    if event then
      event.since_boot = nil
      spool.remove(path, names[1])
    end
    return event
  end

  local function with_store(fn)
    return leases.with_store(directory .. "/hosts.db", fn)
  end

  local function hosts()
    local lines = leases.hosts(directory .. "/hosts.db")
    for i, line in ipairs(lines) do
      lines[i] = line:match "^%S+ %S+"
    end
    return lines
  end

  -- SQLite counts the transactions that changed the file, in its header.
  local function commits()
    local a, b, c, d = system.read(directory .. "/hosts.db"):byte(25, 28)
    return ((a * 256 + b) * 256 + c) * 256 + d
  end

  it("takes the arguments of dnsmasq's --dhcp-script", function()
    assert.same({ action = "add", client = "aa:bb:cc:dd:ee:01", ip = "10.0.0.5", name = "laptop", expires = "17",
      remaining = "60", domain = "lan" }, run_alone("add aa:bb:cc:dd:ee:01 10.0.0.5 laptop",
      { DNSMASQ_LEASE_EXPIRES = "17", DNSMASQ_TIME_REMAINING = "60", DNSMASQ_DOMAIN = "lan",
        DNSMASQ_SUPPLIED_HOSTNAME = "$(reboot)" }))
    assert.same({ action = "old", client = "00:01:aa", ip = "fd00::5", iaid = "77", missing = "1" },
      run_alone("old 00:01:aa fd00::5", { DNSMASQ_IAID = "77", DNSMASQ_DATA_MISSING = "1" }))
    assert.same({ action = "del", client = "aa", ip = "10.0.0.5", lost = "a" },
      run_alone("del aa 10.0.0.5 ''", { DNSMASQ_DATA_MISSING = "1", DNSMASQ_OLD_HOSTNAME = "a" }))
    assert.same({ action = "add", client = "aa", ip = "10.0.0.5", remaining = "3600" },
      run_alone("add aa 10.0.0.5", { DNSMASQ_LEASE_LENGTH = "3600" }))
  end)

  it("takes the environment of OpenWrt's hotplug.d", function()
    local lease = { MACADDR = "aa", IPADDR = "10.0.0.5", HOSTNAME = "laptop", ACTION = "update" }
    local event = { action = "old", client = "aa", ip = "10.0.0.5", name = "laptop" }
    assert.same(event, run_alone("dhcp", lease))
    assert.same(event, run_alone("", lease))
    lease.ACTION, lease.HOSTNAME, event.action, event.name = "remove", "", "del", nil
    assert.same(event, run_alone("dhcp", lease))
    assert.equal("ntp", run_alone("ntp", { ACTION = "stratum", stratum = "3" }).action)
    assert.is_nil(run_alone("ntp", { ACTION = "unsync", stratum = "16" }))
  end)

  it("passes over what says nothing about a lease", function()
    for _, words in ipairs { "init", "tftp 12 10.0.0.5 file", "arp-add aa 10.0.0.5", "relay-snoop a b", "button",
      "add", "add aa", "iface", "neigh" } do
      assert.is_nil(run_alone(words, { ACTION = "add", MACADDR = "aa", IPADDR = "10.0.0.5" }), words)
    end
  end)

  it("carries any byte a client may send, as one value", function()
    local bytes = {}
    for code = 1, 255 do
      bytes[code] = string.char(code)
    end
    local name = table.concat(bytes) .. "\n\naction del\nend\n"
    assert.equal(name, run_alone("dhcp", { ACTION = "add", MACADDR = "aa", IPADDR = "10.0.0.5", HOSTNAME = name }).name)
    name = ("x"):rep(10000)
    assert.equal(("x"):rep(1024),
      run_alone("dhcp", { ACTION = "add", MACADDR = "aa", IPADDR = "10.0.0.5", HOSTNAME = name }).name)
  end)

  it("loads neither argparse nor JSON nor a database before it returns", function()
    assert(spool.prepare(path))
    local lock = assert(core.sys.lock(path .. "/lock"))
    local script = directory .. "/script.lua"
    system.write(script, [[
      local status = require("hoststore.cli").run { "hotplug", "add", "aa", "10.0.0.5", "laptop" }
      local loaded = {}
      for name in pairs(package.loaded) do
        if name:find "hoststore" or name:find "cjson" or name:find "argparse" then loaded[#loaded + 1] = name end
      end
      table.sort(loaded)
      io.write(status, " ", table.concat(loaded, " "))]])
    local output = system.run(("HOSTSTORE_SPOOL=%s %s"):format(path, system.lua(script)))
    lock:release()
    assert.equal("0 hoststore.cli hoststore.core hoststore.hotplug hoststore.hotplug.event hoststore.hotplug.spool",
      output)
  end)

  it("brings a lease into the database in the background, and runs what the admin wants then", function()
    local program = directory .. "/it's changed"
    system.write(program, "#!/bin/sh\necho changed >>" .. directory .. "/changes\n")
    system.run("chmod +x " .. system.quote(program))
    local variables = { HOSTSTORE_ON_CHANGE = program }
    assert.same({ "", 0 }, { run("add aa:bb:cc:dd:ee:01 10.0.0.5 laptop", variables) })
    leases.wait_for_all(path)
    assert.same({ "10.0.0.5 laptop" }, hosts())
    system.wait("the program has run", function() return io.open(directory .. "/changes") end)
    assert.same({ "", 0 }, { run("old aa:bb:cc:dd:ee:01 10.0.0.5 laptop", variables) })
    leases.wait_for_all(path)
    run("del aa:bb:cc:dd:ee:01 10.0.0.5", variables)
    leases.wait_for_all(path)
    assert.same({}, hosts())
    system.wait("the program has run again", function()
      return system.read(directory .. "/changes") == "changed\nchanged\n"
    end)
  end)

  it("keeps what it cannot bring in yet, says why in a log, and brings it in later", function()
    assert(core.sys.mkdir_p(directory .. "/hosts.db"))
    run "add aa:bb:cc:dd:ee:01 10.0.0.5 laptop"
    system.wait("the log says why", function()
      local log = io.open(path .. "/log")
      local text = log and log:read "*a"
      if log then log:close() end
      return text and text:find "the leases wait: "
    end)
    assert.equal(1, #assert(spool.waiting(path)))
    leases.wait_for_drainer(path)
    assert.equal(1, select(2, run "--drain"))
    assert(os.remove(directory .. "/hosts.db"))
    assert.same({ "1 events, 1 written\n", 0 }, { run "--drain" })
    assert.same({ "10.0.0.5 laptop" }, hosts())
    assert.same({ '{"events":0,"written":0,"bad":0,"waiting":0}\n', 0 }, { run "--drain --json" })
  end)

  it("tries what had to wait again when an interface comes up", function()
    assert(spool.write(path, { action = "add", client = "aa:bb:cc:dd:ee:01", ip = "10.0.0.5", name = "laptop" }))
    assert.same({ "", 0 }, { run("iface", { ACTION = "ifup", INTERFACE = "lan" }) })
    leases.wait_for_all(path)
    assert.same({ "10.0.0.5 laptop" }, hosts())
  end)

  it("leaves the spool to a drainer that is at work", function()
    assert(spool.prepare(path))
    local lock = assert(core.sys.lock(path .. "/lock"))
    assert.same({ "another process does it\n", 0 }, { run "--drain" })
    lock:release()
  end)

  it("brings in files of leases, and names the lines that are none", function()
    system.write(directory .. "/leases", "0 aa:bb:cc:dd:ee:01 10.0.0.5 laptop *\nnonsense\n")
    assert.same({ ("hoststore: %s/leases:2: the line is no lease of dnsmasq\n1 events, 1 written, 1 bad\n")
      :format(directory), 1 }, { run("--leases " .. directory .. "/leases") })
    system.write(directory .. "/odhcpd.leases", "# lan aabbccddee02 ipv4 phone -1 a000006 32 10.0.0.6/32\n")
    run(("--leases %s/odhcpd.leases --leases %s/leases"):format(directory, directory))
    assert.same({ "10.0.0.5 laptop", "10.0.0.6 phone" }, hosts())
    run("--format odhcpd --leases " .. directory .. "/odhcpd.leases")
    assert.same({ "10.0.0.6 phone" }, hosts())
    assert.equal(3, select(2, run(("--leases %s/odhcpd.leases --leases missing"):format(directory))))
    assert.equal(2, select(2, run "--format hosts --leases x"))
    assert.equal(3, select(2, run("--leases " .. directory .. "/missing")))
  end)

  describe("refuses a spool that others could write to:", function()
    local function refused()
      local output, status = run "add aa:bb:cc:dd:ee:01 10.0.0.5 laptop"
      assert.equal(1, status)
      return output
    end

    it("by its mode", function()
      system.run("mkdir -m 0770 " .. path)
      assert.is_truthy(refused():find("others may write to it", 1, true))
    end)

    it("by the mode of the directory it is in", function()
      system.run("mkdir -m 0777 " .. directory .. "/open")
      path = directory .. "/open/spool"
      assert.is_truthy(refused():find("others may write to it", 1, true))
      system.run("chmod +t " .. directory .. "/open")
      assert.same({ "", 0 }, { run "add aa:bb:cc:dd:ee:01 10.0.0.5 laptop" })
      leases.wait_for_all(path)
    end)

    it("by a symbolic link in its place", function()
      system.run(("mkdir -m 0700 %s/real; ln -s real %s"):format(directory, path))
      assert.is_truthy(refused():find("no directory of its own", 1, true))
    end)
  end)

  it("loses none of 200 that come at once while the flash is slow, and commits them in few transactions", function()
    with_store(function() end)
    local before = commits()
    local swarm = directory .. "/swarm"
    system.write(swarm, ([[
      export HOSTSTORE_DB=sqlite://%s/hosts.db?journal=truncate HOSTSTORE_SPOOL=%s LD_PRELOAD='%s'
      i=0
      while [ $i -lt 200 ]; do
        i=$((i + 1))
        %s hotplug add aa:bb:cc:dd:ee:$(printf %%02x $i) 10.0.0.$i host$i &
      done
      wait]]):format(directory, path, preload, COMMAND))
    assert.same({ "", 0 }, { system.run("sh " .. swarm) })
    leases.wait_for_all(path)
    with_store(function(store)
      assert.equal(200, store:count())
      assert.equal(200, #assert(store:log()))
      assert.is_true(store:verify().ok)
    end)
    local made = commits() - before
    assert.is_true(made <= 10, made .. " transactions")
  end)

  it("never raises in dnsmasq's interpreter, and counts what went wrong", function()
    local before = hotplug.failures
    local script = directory .. "/script.lua"
    system.run("mkdir -m 0777 " .. path)
    system.write(script, [[
      local lease = require("hoststore").hotplug.lease
      local hotplug = require "hoststore.hotplug"
      local event = { mac_address = "aa:bb:cc:dd:ee:01", ip_address = "10.0.0.5", lease_expires = 17.0 }
      print(lease("add", event), hotplug.failures, hotplug.last_failure:match "others")
      print(lease("add", nil), lease(nil, {}),
        lease("add", { mac_address = {}, ip_address = 7 }))
      print(lease("add", setmetatable({}, { __index = error })), hotplug.failures)]])
    assert.equal("false\t1\tothers\ntrue\ttrue\ttrue\nfalse\t2\n",
      (system.run(("HOSTSTORE_SPOOL=%s %s"):format(path, system.lua(script)))))
    assert.equal(before, hotplug.failures)
  end)
end)
