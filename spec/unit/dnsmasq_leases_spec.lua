-- dnsmasq as it runs, with clients that ask it for addresses: in a network of its own, where one may have
-- that. What dnsmasq says to a script is tested without it in conformance/hotplug_spec.lua.

local core = require "hoststore.core"
local expect = require "spec.support.expect"
local leases = require "spec.support.leases"
local system = require "spec.support.system"

local COMMAND = system.lua "lua/hoststore.command"
local enter, join = system.network()

-- dnsmasq has an interpreter of its own, which is not sanitised.
local has_lua = _VERSION == "Lua 5.4" and not os.getenv "LD_PRELOAD"

-- Sanitised processes take their time.
local ROUNDS = os.getenv "LD_PRELOAD" and 2 or 10

if enter then
  describe("dnsmasq", function()
    local directory, path, pid

    before_each(function() directory, path = leases.begin() end)

    local function stop()
      if pid then
        system.run("kill " .. pid)
        system.wait("dnsmasq has ended", function() return select(2, system.run("kill -0 " .. pid)) ~= 0 end)
        pid = nil
      end
    end

    after_each(function()
      stop()
      leases.finish()
    end)

    local function read_log()
      local file = io.open(directory .. "/log", "rb")
      local text = file and file:read "*a" or ""
      if file then file:close() end
      return text
    end

    local function start(options, database)
      local command = ("%s sh -c %s"):format(enter, system.quote(("ip addr add 192.168.55.1/24 dev lo; " ..
        "HOSTSTORE_DB=%s HOSTSTORE_SPOOL=%s exec dnsmasq --no-daemon --conf-file=/dev/null --no-resolv " ..
        "--no-hosts --port=16753 --interface=lo --user=root --dhcp-authoritative --no-ping --pid-file= " ..
        "--dhcp-alternate-port=16700,16800 --dhcp-range=192.168.55.10,192.168.55.250,2h " ..
        "--dhcp-leasefile=%s/leases %s"):format(database or directory .. "/hosts.db", path, directory, options)))
      system.run(("%s >%s/log 2>&1 & echo $! >%s/pid"):format(command, directory, directory))
      pid = system.read(directory .. "/pid"):match "%d+"
      system.wait("dnsmasq serves", function() return read_log():find "DHCP, IP range" end)
    end

    local function script()
      local name = directory .. "/script"
      system.write(name, ("#!/bin/sh\necho \"$3 $4\" >>%s/runs\nexec %s hotplug -- \"$@\"\n")
        :format(directory, COMMAND))
      system.run("chmod +x " .. name)
      return "--dhcp-script=" .. name
    end

    local function send(...)
      local words = {}
      for i, word in ipairs { "192.168.55.1", "16700", "192.168.55.1", ... } do
        words[i] = system.quote(word)
      end
      local client = join(pid) .. os.getenv "BUILD" .. "/dhcp_client "
      assert.same({ "", 0 }, { system.run(client .. table.concat(words, " ")) })
    end

    local function with_store(fn)
      return leases.with_store(directory .. "/hosts.db", fn)
    end

    local function hosts()
      return table.concat(leases.hosts(directory .. "/hosts.db"), "\n")
    end

    local function wait_for(what)
      local now
      local ok = pcall(system.wait, "the leases are there", function()
        now = hosts()
        return now == what
      end)
      assert.equal(what, now)
      return ok
    end

    local MAC1, MAC2 = "aa:bb:cc:dd:ee:01", "aa:bb:cc:dd:ee:02"

    -- What clients do, and what comes of it.
    local function exchange()
      send("request", MAC1, "192.168.55.20", "laptop")
      wait_for("192.168.55.20 laptop mac:" .. MAC1)
      local id = with_store(function(store)
        local host = assert(store:list())[1]
        assert.is_true(math.abs(host.expires_at - core.sys.time() - 7200) < 60)
        return host.id
      end)

      send("request", MAC1, "192.168.55.20", "desktop")
      wait_for("192.168.55.20 desktop mac:" .. MAC1)
      with_store(function(store)
        local types = expect.pluck(assert(store:history(id)), "type")
        assert.same({ "HostCreated", "HostnameChanged" }, { types[1], types[2] })
        assert.is_nil(types[4])
      end)

      -- The name goes to another machine, and with it the host.
      send("request", MAC2, "192.168.55.21", "desktop")
      wait_for("192.168.55.21 desktop mac:" .. MAC2)

      -- Released, and the address is given to the other one.
      send("release", MAC2, "192.168.55.21")
      wait_for("")
      send("release", MAC1, "192.168.55.20")
      send("request", MAC1, "192.168.55.21", "laptop")
      wait_for("192.168.55.21 laptop mac:" .. MAC1)

      send("request", MAC2, "192.168.55.22", "$(reboot)")
      send("request", MAC2, "192.168.55.22", "wpad")
      send("request", MAC2, "192.168.55.22", "phone")
      wait_for("192.168.55.21 laptop mac:" .. MAC1 .. "\n192.168.55.22 phone mac:" .. MAC2)
      with_store(function(store)
        local last = assert(store:history(id))
        assert.equal("HostDeleted", last[#last].type)
        assert.is_true(assert(store:verify()).ok)
      end)
    end

    it("tells a script of leases: begun, renamed, taken over and released", function()
      start(script())
      exchange()
    end)

    if has_lua then
      local function lua_script(more)
        local name = directory .. "/script.lua"
        system.write(name, ("package.path, package.cpath = %q, %q\n"):format(package.path, package.cpath) ..
          "local hotplug = require('hoststore').hotplug\n" .. (more or "") ..
          "function lease(action, given) hotplug.lease(action, given) end\n")
        return "--dhcp-luascript=" .. name
      end

      it("tells its own Lua of leases: begun, renamed, taken over and released", function()
        start(lua_script())
        exchange()
      end)

      it("goes on telling its Lua after failures of the database", function()
        assert(core.sys.mkdir_p(directory .. "/hosts.db"))
        start(lua_script())
        send("request", MAC1, "192.168.55.20", "laptop")
        system.wait("the failure is noted", function() return core.sys.stat(path .. "/log") end)
        assert(os.remove(directory .. "/hosts.db"))
        send("request", MAC2, "192.168.55.21", "phone")
        wait_for("192.168.55.20 laptop mac:" .. MAC1 .. "\n192.168.55.21 phone mac:" .. MAC2)
        assert.is_nil(read_log():find "PANIC")
      end)

      it("goes on telling its Lua after an error in what is told", function()
        start(lua_script [[
          local real, broken = hotplug.lease, true
          local event = require "hoststore.hotplug.event"
          local of_call = event.of_call
          function event.of_call(action, given)
            if broken then broken = false; error "broken" end
            return of_call(action, given)
          end
        ]])
        send("request", MAC1, "192.168.55.20", "laptop")
        send("request", MAC2, "192.168.55.21", "phone")
        wait_for("192.168.55.21 phone mac:" .. MAC2)
        assert.is_nil(read_log():find "PANIC")
      end)

      -- The example, with what is to be found before it, and without modules that it does not need.
      local function example(more)
        local name = directory .. "/leases.lua"
        system.write(name, ("package.path, package.cpath = %q, %q\n"):format(package.path, package.cpath) ..
          "for _, name in ipairs { 'cjson', 'argparse' } do\n" ..
          "  package.preload[name] = function() error(name .. ' is not installed') end\nend\n" .. (more or "") ..
          system.read "examples/dnsmasq-luascript/leases.lua")
        return "--host-record=alive.lan,10.9.9.9 --dhcp-luascript=" .. name
      end

      local function helper()
        return system.read(("/proc/%s/task/%s/children"):format(pid, pid))
      end

      local function assert_alive(since)
        assert.equal(since, helper())
        assert.equal("10.9.9.9\n", (system.run(join(pid) .. "dig @127.0.0.1 -p 16753 +short alive.lan")))
        assert.is_nil(read_log():find "PANIC")
      end

      it("goes on telling its Lua while policies fail; what they refuse is in the log, what they broke on comes later",
        function()
          local policies = directory .. "/policies"
          assert(core.sys.mkdir_p(policies))
          system.write(policies .. "/10-rule.lua", "validate { name = 'x',")
          start(example(), ("sqlite://%s/hosts.db?policies=%s"):format(directory, policies))
          local since = helper()
          assert.is_truthy(since:find "^%d+ $")

          local function log_says(text)
            system.wait("the log says " .. text, function()
              return core.sys.stat(path .. "/log") and system.read(path .. "/log"):find(text, 1, true)
            end)
          end

          send("request", MAC1, "192.168.55.20", "laptop")
          log_says "10-rule.lua:1: "
          assert.equal("", hosts())
          assert_alive(since)

          system.write(policies .. "/10-rule.lua", [[
            tag { name = "all", filter = {}, add = "lease" }
            validate { name = "no-bad", check = function(host)
              return host.hostname ~= "bad", "nobody is called bad", "hostname"
            end }]])
          send("request", MAC2, "192.168.55.21", "phone")
          wait_for("192.168.55.20 laptop lease\n192.168.55.21 phone lease")
          send("request", "aa:bb:cc:dd:ee:03", "192.168.55.22", "bad")
          log_says "refused: nobody is called bad"
          assert_alive(since)

          send("request", "aa:bb:cc:dd:ee:04", "192.168.55.23", "late")
          wait_for("192.168.55.20 laptop lease\n192.168.55.21 phone lease\n192.168.55.23 late lease")
          leases.wait_for_all(path)
          assert.equal(2, #core.sys.list(path .. "/bad"))
          assert_alive(since)
        end)

      it("goes on without hoststore where that is not installed", function()
        start(example "package.path, package.cpath = '', ''\n")
        local since = helper()
        for i = 1, 3 do
          send("request", "aa:bb:cc:dd:ee:0" .. i, "192.168.55.2" .. i, "laptop" .. i)
        end
        system.wait("the leases are there", function()
          return core.sys.stat(directory .. "/leases") and system.read(directory .. "/leases"):find "laptop3"
        end)
        assert.is_truthy(read_log():find("leases are not recorded", 1, true))
        assert_alive(since)
      end)
    end

    it("tells of 200 leases on each SIGHUP, with names we have published, and nothing is written", function()
      local published = directory .. "/hosts"
      local lines = {}
      with_store(function(store)
        assert(store:add { ip = "192.168.55.15", hostname = "nas.lan" })
        assert(store:publish(published))
      end)
      local ends = math.floor(core.sys.time()) + 7200
      for i = 1, 200 do
        lines[i] = ("%d aa:bb:cc:dd:ee:%02x 192.168.55.%d host%d *\n"):format(ends, i, i + 10, i)
      end
      system.write(directory .. "/leases", table.concat(lines))
      start(script() .. " --domain=lan --addn-hosts=" .. published)
      system.wait("all leases are hosts", function()
        return with_store(function(store) return store:count() end) == 200
      end)
      leases.wait_for_all(path)
      with_store(function(store)
        local host = assert(store:find("192.168.55.20", "host10"))
        assert(host:update { hostname = "books.lan", aliases = { "host10" } })
        assert.is_true(store:publish(published))
      end)
      -- The names that dnsmasq finds there are now those of the clients.
      system.run("kill -HUP " .. pid)
      system.wait("the file is read again", function()
        return select(2, read_log():gsub("read " .. published, "")) == 2
      end)
      send("request", "aa:bb:cc:dd:ee:05", "192.168.55.15", "host5")
      send("request", "aa:bb:cc:dd:ee:0a", "192.168.55.20", "host10")
      system.wait("published names come back", function()
        local told = system.read(directory .. "/runs")
        return told:find "%.15 nas\n" and told:find "%.20 books\n"
      end)
      leases.wait_for_all(path)
      with_store(function(store)
        assert.equal("books.lan", assert(store:reverse "192.168.55.20")[1].hostname)
      end)
      local position = with_store(core.position)
      local database = system.read(directory .. "/hosts.db")
      local function runs()
        return select(2, system.read(directory .. "/runs"):gsub("\n", ""))
      end
      for _ = 1, ROUNDS do
        local before = runs()
        system.run("kill -HUP " .. pid)
        system.wait("all leases are told of", function() return runs() >= before + 200 end)
      end
      leases.wait_for_all(path)
      assert.equal(position, with_store(core.position))
      assert.is_true(database == system.read(directory .. "/hosts.db"))
      assert.is_false(with_store(function(store) return store:publish(published) end))
    end)
  end)
end
