local core = require "hoststore.core"
local drain = require "hoststore.hotplug.drain"
local expect = require "spec.support.expect"
local hoststore = require "hoststore"
local spool = require "hoststore.hotplug.spool"
local sync = require "hoststore.hotplug.sync"
local system = require "spec.support.system"

local MAC1, MAC2 = "aa:bb:cc:dd:ee:01", "aa:bb:cc:dd:ee:02"
local DUID1, DUID2 = "00:01:00:01:2c:00:00:01", "00:01:00:01:2c:00:00:02"
local HOUR = 3600

for _, backend in ipairs(require "spec.support.backends") do
  describe(backend.name .. ": leases", function()
    local store, directory

    before_each(function()
      store = backend.open()
      directory = backend.directory() .. "/spool"
    end)
    after_each(backend.finish)

    local function tell(event)
      local texts = {}
      for key, value in pairs(event) do
        texts[key] = tostring(value)
      end
      return assert(spool.write(directory, texts))
    end

    local function run(options)
      local result = assert(drain.run(store, directory, options))
      assert.same({}, assert(spool.waiting(directory)))
      return result
    end

    local function lease(action, client, ip, name, more)
      local event = { action = action, client = client, ip = ip, name = name }
      for key, value in pairs(more or {}) do
        event[key] = value
      end
      tell(event)
    end

    -- One event, drained by itself; the number of events it wrote.
    local function one(...)
      lease(...)
      return run().written
    end

    -- Who has what: "address name client", sorted by address.
    local function hosts()
      local lines = {}
      for i, host in ipairs(assert(store:list())) do
        lines[i] = ("%s %s %s"):format(host.ip, host.hostname, host.tags[1] or host.origin)
      end
      return lines
    end

    local function types(host)
      return expect.pluck(assert(store:history(host)), "type")
    end

    it("are hosts of their own origin, with the client and the end of the lease", function()
      local ends = math.floor(core.sys.time()) + HOUR
      assert.equal(1, one("add", "AA:BB:CC:DD:EE:01", "10.0.0.5", "Laptop", { expires = ends, remaining = HOUR }))
      local host = assert(store:list())[1]
      assert.same({ "10.0.0.5", "laptop", "dhcp", { "mac:" .. MAC1 }, ends },
        { host.ip, host.hostname, host.origin, host.tags, host.expires_at })
      local entry = assert(store:history(host))[1]
      assert.same({ "dhcp", "lease began" }, { entry.actor, entry.reason })
    end)

    it("of IPv6 are the DUID's and the IAID's", function()
      one("add", DUID1, "fd00::5", "laptop", { iaid = "T77" })
      assert.same({ "fd00::5 laptop duid:" .. DUID1 .. "/77" }, hosts())
      one("del", DUID1, "fd00::5", nil, { iaid = "78" })
      assert.equal(1, #hosts())
      one("del", DUID1, "fd00::5", nil, { iaid = "77" })
      assert.same({}, hosts())
    end)

    it("write nothing when they are told of once more", function()
      local ends = math.floor(core.sys.time()) + HOUR
      one("add", MAC1, "10.0.0.5", "laptop", { expires = ends })
      assert.equal(0, one("old", MAC1, "10.0.0.5", "laptop", { expires = ends, missing = 1 }))
      assert.equal(0, one("add", MAC1, "10.0.0.5", "laptop", { expires = ends }))
      assert.equal(0, one("old", MAC1, "10.0.0.5", nil, { expires = ends }))
    end)

    it("change their end when they are renewed, but not for a second that was reckoned otherwise", function()
      one("add", MAC1, "10.0.0.5", "laptop", { remaining = HOUR })
      assert.equal(0, one("old", MAC1, "10.0.0.5", "laptop", { remaining = HOUR + 30 }))
      assert.equal(1, one("old", MAC1, "10.0.0.5", "laptop", { remaining = 3 * HOUR }))
      assert.equal(1, one("old", MAC1, "10.0.0.5", "laptop", { expires = 0 }))
      assert.is_nil(assert(store:list())[1].expires_at)
    end)

    it("get no end when the admin wants none", function()
      lease("add", MAC1, "10.0.0.5", "laptop", { remaining = HOUR })
      run { expiry = false }
      assert.is_nil(assert(store:list())[1].expires_at)
    end)

    it("keep the end they had when dnsmasq reckoned with a clock that was wrong", function()
      one("add", MAC1, "10.0.0.5", "laptop", { expires = 43200, remaining = HOUR })
      local host = assert(store:list())[1]
      assert.is_true(math.abs(host.expires_at - core.sys.time() - HOUR) < 60)
      assert.equal(0, one("old", MAC1, "10.0.0.5", "laptop", { expires = 43200 }))
    end)

    it("show a new name as one change, though dnsmasq first says that the old one is gone", function()
      one("add", MAC1, "10.0.0.5", "laptop")
      local host = assert(store:list())[1]
      assert.equal(0, one("old", MAC1, "10.0.0.5", nil))
      assert.equal(1, one("old", MAC1, "10.0.0.5", "desktop"))
      assert.equal(0, one("old", MAC1, "10.0.0.5", nil, { lost = "desktop" }))
      assert.equal(1, one("old", MAC1, "10.0.0.5", "tower"))
      assert.same({ "HostCreated", "HostnameChanged", "HostnameChanged" }, types(host))
    end)

    it("end, and a name that is told of without one is no host", function()
      one("add", MAC1, "10.0.0.5", "laptop")
      assert.equal(1, one("del", MAC1, "10.0.0.5", nil))
      assert.equal(0, one("del", MAC1, "10.0.0.5", nil))
      assert.equal(0, one("add", MAC1, "10.0.0.5", nil))
      assert.same({}, hosts())
    end)

    it("pass an address on: the host of the old client ends, that of the new one begins", function()
      one("add", MAC1, "10.0.0.5", "laptop")
      local old = assert(store:list())[1]
      assert.equal(2, one("add", MAC2, "10.0.0.5", "phone"))
      assert.same({ "10.0.0.5 phone mac:" .. MAC2 }, hosts())
      assert.same({ "HostCreated", "HostDeleted" }, types(old.id))
      assert.equal("the address was leased to another client", assert(store:history(old.id))[2].reason)
    end)

    it("are not ended by a late word about the client before", function()
      one("add", MAC2, "10.0.0.5", "phone")
      assert.equal(0, one("del", MAC1, "10.0.0.5", "laptop"))
      assert.same({ "10.0.0.5 phone mac:" .. MAC2 }, hosts())
    end)

    it("are not ended by a late word about the client's own lease before", function()
      local now = math.floor(core.sys.time())
      one("add", MAC1, "10.0.0.5", "laptop", { expires = now + HOUR })
      assert.equal(0, one("del", MAC1, "10.0.0.5", nil, { expires = now + HOUR - 10 }))
      assert.equal(1, one("del", MAC1, "10.0.0.5", nil, { expires = now + HOUR }))
    end)

    it("give their name to who claims it, as dnsmasq does", function()
      one("add", MAC1, "10.0.0.5", "laptop")
      one("old", MAC1, "10.0.0.5", nil)
      one("add", MAC2, "10.0.0.6", "laptop")
      assert.same({ "10.0.0.6 laptop mac:" .. MAC2 }, hosts())
    end)

    it("give their name to who has it now, though dnsmasq says that it only repeats itself", function()
      one("add", MAC1, "10.0.0.5", "laptop")
      one("add", MAC2, "10.0.0.6", "phone")
      lease("old", MAC1, "10.0.0.5", nil, { lost = "laptop", missing = 1 })
      lease("old", MAC2, "10.0.0.6", nil, { lost = "phone", missing = 1 })
      lease("old", MAC2, "10.0.0.6", "laptop", { missing = 1 })
      assert.equal(2, run().written)
      assert.same({ "10.0.0.6 laptop mac:" .. MAC2 }, hosts())
      lease("add", "aa:bb:cc:dd:ee:03", "10.0.0.7", "tv")
      lease("old", "aa:bb:cc:dd:ee:03", "10.0.0.7", nil, { lost = "tv", missing = 1 })
      lease("old", MAC2, "10.0.0.6", "tv", { missing = 1 })
      assert.equal(1, run().written)
      assert.same({ "10.0.0.6 tv mac:" .. MAC2 }, hosts())
    end)

    it("keep a name that two servers gave out, however often both repeat what they know", function()
      one("add", MAC1, "10.0.0.5", "laptop")
      one("old", MAC2, "10.1.0.6", "laptop", { missing = 1 })
      local position = assert(core.position(store))
      for _ = 1, 2 do
        one("old", MAC1, "10.0.0.5", "laptop", { missing = 1 })
        one("old", MAC2, "10.1.0.6", "laptop", { missing = 1 })
      end
      assert.equal(position, core.position(store))
      lease("old", MAC1, "10.0.0.5", "desktop", { missing = 1 })
      lease("old", MAC2, "10.1.0.6", "desktop", { missing = 1 })
      assert.equal(2, run().written)
      assert.same({ "10.0.0.5 desktop mac:" .. MAC1, "10.1.0.6 desktop mac:" .. MAC2 }, hosts())
    end)

    it("of one machine share a name over IPv4 and IPv6", function()
      one("add", MAC1, "10.0.0.5", "laptop")
      one("add", DUID1, "fd00::5", "laptop", { iaid = 1 })
      one("add", DUID1, "fd00::6", "laptop", { iaid = 2 })
      assert.equal(3, #hosts())
      one("add", DUID2, "fd00::7", "laptop", { iaid = 1 })
      assert.same({ "10.0.0.5 laptop mac:" .. MAC1, "fd00::7 laptop duid:" .. DUID2 .. "/1" }, hosts())
    end)

    it("keep the tags that others gave them", function()
      one("add", MAC1, "10.0.0.5", "laptop")
      local host = assert(store:list())[1]
      assert(host:update { tags = { host.tags[1], "kids" } })
      assert.equal(1, one("old", MAC1, "10.0.0.5", "desktop"))
      assert.same({ "kids", "mac:" .. MAC1 }, assert(store:list())[1].tags)
    end)

    describe("and hosts of an admin:", function()
      it("an address of an admin's is no lease's", function()
        assert(store:add { ip = "10.0.0.5", hostname = "nas.lan" })
        assert.equal(0, one("add", MAC1, "10.0.0.5", "laptop"))
        assert.equal(0, one("del", MAC1, "10.0.0.5", "nas"))
        assert.same({ "10.0.0.5 nas.lan admin" }, hosts())
      end)

      it("a name of an admin's, its alias, or it with the domain, is no lease's", function()
        assert(store:add { ip = "10.0.0.5", hostname = "nas.lan", aliases = { "files" } })
        assert.equal(0, one("add", MAC1, "10.0.0.6", "nas.lan"))
        assert.equal(0, one("add", MAC1, "10.0.0.6", "files"))
        assert.equal(0, one("add", MAC1, "10.0.0.6", "nas", { domain = "lan" }))
        assert.equal(0, one("add", DUID1, "fd00::6", "files", { iaid = 1 }))
      end)

      it("a lease keeps its name when the new one is an admin's", function()
        assert(store:add { ip = "10.0.0.5", hostname = "nas" })
        one("add", MAC1, "10.0.0.6", "laptop")
        assert.equal(0, one("old", MAC1, "10.0.0.6", "nas"))
        assert.same({ "10.0.0.5 nas admin", "10.0.0.6 laptop mac:" .. MAC1 }, hosts())
      end)

      it("a lease gives way to a host that an admin adds later", function()
        one("add", MAC1, "10.0.0.6", "laptop")
        assert(store:add { ip = "10.0.0.7", hostname = "laptop" })
        assert.equal(1, one("old", MAC1, "10.0.0.6", "laptop"))
        assert.same({ "10.0.0.7 laptop admin" }, hosts())
      end)
    end)

    describe("and policies:", function()
      local DOMAIN = [[normalise { name = "domain", apply = function(host)
        if not host.hostname:find(".", 1, true) then return { hostname = host.hostname .. ".lan" } end
      end }]] .. "\n"
      local IOT = [[tag { name = "iot", filter = { ip = "10.0.3.0/24", origin = "dhcp" }, add = "iot" }]] .. "\n"
      local NO_GAMES = [[validate { name = "games", check = function(host)
        return not host.hostname:find "^game", "no games here", "hostname"
      end }]] .. "\n"

      local function policies(text)
        assert(core.sys.mkdir_p(backend.directory() .. "/policies"))
        system.write(backend.directory() .. "/policies/10-test.lua", text)
      end

      -- A store with these rules in the place of the one without.
      local function with_policies(text, options)
        policies(text)
        options = options or {}
        options.policies = backend.directory() .. "/policies"
        store = backend.open(options)
      end

      it("rules tag and name the hosts of leases, and the events say which did", function()
        with_policies(DOMAIN .. IOT)
        assert.equal(1, one("add", MAC1, "10.0.3.5", "lamp"))
        local host = assert(store:list())[1]
        assert.same({ "lamp.lan", "dhcp", { "iot", "mac:" .. MAC1 } }, { host.hostname, host.origin, host.tags })
        local entry = assert(store:history(host))[1]
        assert.same({ "lease began", { policy = { { file = "10-test.lua", rule = "domain", changed = { "hostname" } },
          { file = "10-test.lua", rule = "iot", added = { "iot" } } } } }, { entry.reason, entry.metadata })
      end)

      it("a lease that is told of again writes nothing, though rules have changed its name and tags", function()
        with_policies(DOMAIN .. IOT .. 'normalise { name = "tv", apply = function(host)\n' ..
          'if host.hostname == "tv.lan" then return { hostname = "television.lan" } end end }')
        one("add", MAC1, "10.0.3.5", "lamp")
        one("add", MAC2, "10.0.3.6", "tv")
        local before = core.position(store)
        for _, name in ipairs { "lamp", "lamp.lan" } do
          assert.equal(0, one("old", MAC1, "10.0.3.5", name, { domain = "lan" }))
        end
        assert.equal(0, one("old", MAC2, "10.0.3.6", "tv"))
        assert.equal(0, one("old", MAC2, "10.0.3.6", "tv", { missing = 1 }))
        assert.same({ before, 2 }, { core.position(store), #hosts() })
        -- A new name is one change, of which rules make theirs.
        assert.equal(1, one("old", MAC1, "10.0.3.5", "bulb"))
        assert.is_truthy(store:find("10.0.3.5", "bulb.lan"))
        assert.equal(1, one("del", MAC1, "10.0.3.5"))
      end)

      it("a name that a rule completes to an admin's is no lease's", function()
        with_policies(DOMAIN)
        assert(store:add { ip = "10.0.0.5", hostname = "nas.lan" })
        assert.equal(0, one("add", MAC1, "10.0.0.6", "nas"))
        assert.same({ "10.0.0.5 nas.lan admin" }, hosts())
      end)

      it("a lease that is refused is put aside with the reason, keeps its host, and stops no other", function()
        with_policies(NO_GAMES)
        one("add", MAC1, "10.0.0.5", "desk")
        lease("old", MAC1, "10.0.0.5", "gamer")
        lease("add", MAC2, "10.0.0.6", "phone")
        local result = run()
        assert.same({ 1, 1, 1 }, { result.bad, result.written, result.transactions })
        assert.same({ "10.0.0.5 desk mac:" .. MAC1, "10.0.0.6 phone mac:" .. MAC2 }, hosts())
        local bad = system.files(directory .. "/bad")
        assert.equal("no games here\n", system.read(directory .. "/bad/" .. bad[2]))
      end)

      it("an address that goes to a client whose name is refused is nobody's half", function()
        with_policies(NO_GAMES)
        one("add", MAC1, "10.0.0.5", "desk")
        one("add", MAC2, "10.0.0.5", "game")
        assert.same({ "10.0.0.5 desk mac:" .. MAC1 }, hosts())
      end)

      it("a rule that fails, or never ends, for one client takes no lease from the others", function()
        with_policies [[tag { name = "slow", when = function(host)
          if host.hostname == "evil" then while true do end end
          return host.hostname ~= "bad" or host.x.y
        end, add = "seen" }]]
        lease("add", MAC1, "10.0.0.5", "evil")
        lease("add", MAC2, "10.0.0.6", "bad")
        lease("add", "aa:bb:cc:dd:ee:03", "10.0.0.7", "phone")
        local result = assert(drain.run(store, directory))
        assert.same({ 2, 1 }, { result.waiting, result.written })
        assert.same({ "10.0.0.7 phone mac:aa:bb:cc:dd:ee:03" }, hosts())
      end)

      it("leases are let through as they are while a file is broken, when the admin chose so", function()
        with_policies("tag { name = = }", { on_error = "allow" })
        assert.equal(1, one("add", MAC1, "10.0.3.5", "lamp"))
        assert.same({ "10.0.3.5 lamp mac:" .. MAC1 }, hosts())
        local noted = assert(store:history(store:list()[1]))[1].metadata.policy
        assert.matches("^10%-test%.lua:1: ", noted[1].error)
      end)

      it("rules see the leases that a server's file brings in", function()
        with_policies(DOMAIN .. IOT .. NO_GAMES)
        local path = backend.directory() .. "/dhcp.leases"
        system.write(path, ("0 %s 10.0.3.5 lamp *\n0 %s 10.0.3.6 gamer *\n"):format(MAC1, MAC2))
        local result = assert(sync(store, { path }, nil, directory, { actor = "dhcp", expiry = true }))
        assert.same({ 1, "no games here", 2 }, { result.written, result.errors[1].message, result.errors[1].line })
        local host = assert(store:list())[1]
        assert.same({ "lamp.lan", { "iot", "mac:" .. MAC1 } }, { host.hostname, host.tags })
        local position = core.position(store)
        assert.equal(0, assert(sync(store, { path }, nil, directory, { actor = "dhcp", expiry = true })).written)
        assert.equal(position, core.position(store))
      end)
    end)

    it("write nothing when names that were published come back as names of clients", function()
      assert(store:add { ip = "10.0.0.5", hostname = "nas.lan" })
      one("add", MAC1, "10.0.0.6", "laptop")
      local host = assert(store:find("10.0.0.6", "laptop"))
      assert(host:update { hostname = "books.lan", aliases = { "laptop" } })
      for _, name in ipairs { "books", "books.lan", "laptop" } do
        assert.equal(0, one("old", MAC1, "10.0.0.6", name, { domain = "lan" }))
      end
      assert.is_nil(core.sys.stat(directory .. "/bad"))
      assert.equal(0, one("old", MAC2, "10.0.0.5", "nas", { domain = "lan" }))
    end)

    local HOSTILE = { "$(reboot);x", "a b", "a\nb 10.0.0.1", "#", "%s%n", "'", '"', "-a", "a..b", "\195\164", "\255",
      "10.0.0.1", "*", "localhost", "wpad", "wpad.lan", ("x"):rep(10000), ("x"):rep(64) .. ".lan", "`id`", "a\0b" }

    it("take no name that is none, or that would make others trust the client", function()
      for _, name in ipairs(HOSTILE) do
        lease("add", MAC1, "10.0.0.5", name, { domain = name, expires = name, remaining = name, iaid = name })
        assert.same({ 0, 0 }, { run().written, #hosts() }, name)
      end
      for _, text in ipairs(HOSTILE) do
        lease("add", text, "10.0.0.5", "laptop")
        lease("add", MAC1, text, "laptop")
        assert.equal(text == "10.0.0.1" and 1 or 0, run().written, text)
      end
      one("del", MAC1, "10.0.0.1")
      assert.equal(1, one("add", MAC1, "10.0.0.5", "good"))
    end)

    it("that nobody can have are put aside with the reason, and stop no other", function()
      lease("add", MAC1, "10.0.0.5", "laptop")
      local bad = tell { action = "add", client = "no mac", ip = "10.0.0.6", name = "a" }
      local worse = tell { action = "add", client = MAC2, ip = "10.0.0.256", name = "b" }
      system.write(directory .. "/0-worst", "what is this\n")
      lease("add", MAC2, "10.0.0.7", "phone")
      local result = run()
      assert.same({ 5, 3, 2 }, { result.events, result.bad, result.written })
      assert.equal("the client's MAC address or DUID is none\n", system.read(directory .. "/bad/" .. bad .. ".reason"))
      assert.is_truthy(system.read(directory .. "/bad/" .. worse .. ".reason"):find "10.0.0.256")
      assert.is_truthy(system.read(directory .. "/bad/0-worst.reason"):find "no event")
      assert.equal("what is this\n", system.read(directory .. "/bad/0-worst"))
    end)

    it("that were refused do not fill the spool: the newest are kept", function()
      local last
      for _ = 1, 150 do
        last = tell { action = "add", client = "no mac", ip = "10.0.0.6" }
      end
      assert.equal(150, run().bad)
      local kept = assert(core.sys.list(directory .. "/bad"))
      assert.is_true(#kept <= 202, #kept .. " files")
      assert.is_truthy(io.open(directory .. "/bad/" .. last .. ".reason"))
    end)

    it("of a swarm are one transaction, of which only the outcome is written", function()
      for i = 1, 200 do
        lease("add", ("aa:bb:cc:dd:ee:%02x"):format(i), "10.0.0." .. i, "h" .. i)
        lease("old", ("aa:bb:cc:dd:ee:%02x"):format(i), "10.0.0." .. i, nil)
        lease("old", ("aa:bb:cc:dd:ee:%02x"):format(i), "10.0.0." .. i, "new" .. i)
      end
      lease("del", "aa:bb:cc:dd:ee:07", "10.0.0.7")
      local result = run()
      assert.same({ 601, 199, 1 }, { result.events, result.written, result.transactions })
      assert.is_nil((store:find("10.0.0.7", "new7")))
      assert.is_truthy(store:find("10.0.0.8", "new8"))
    end)

    it("that are told of just before the drainer lets go of its lock are brought in, too", function()
      lease("add", MAC1, "10.0.0.5", "laptop")
      local lock = assert(core.sys.lock(directory .. "/lock"))
      local told = { release = function()
        -- Whoever tells of a lease now finds the lock taken, and leaves it to us.
        lease("add", MAC2, "10.0.0.6", "phone")
        lock:release()
      end }
      local result = assert(drain.run(store, directory, {}, told))
      assert.same({ 2, 2 }, { result.events, result.written })
      assert.same({}, spool.waiting(directory))
    end)

    describe("applied once more, as after a crash before their files are gone,", function()
      local remove = spool.remove
      after_each(function() spool.remove = remove end)

      -- Drains with the files left in place, and then as ever.
      local function crash()
        spool.remove = function() error "crash" end
        assert.is_false((pcall(drain.run, store, directory)))
        spool.remove = remove
      end

      local function expect_nothing_more()
        crash()
        local before, there = core.position(store), hosts()
        local again = run()
        assert.same({ 0, before }, { again.written, core.position(store) })
        assert.same(there, hosts())
      end

      it("they write nothing: what began and ended", function()
        lease("add", MAC1, "10.0.0.5", "laptop")
        lease("del", MAC1, "10.0.0.5")
        lease("add", MAC2, "10.0.0.6", "phone")
        expect_nothing_more()
        assert.same({ "10.0.0.6 phone mac:" .. MAC2 }, hosts())
      end)

      it("they write nothing: an address that went from one to another and back", function()
        lease("add", MAC1, "10.0.0.5", "laptop")
        lease("add", MAC2, "10.0.0.5", "phone")
        lease("add", MAC1, "10.0.0.5", "laptop")
        expect_nothing_more()
        assert.same({ "10.0.0.5 laptop mac:" .. MAC1 }, hosts())
      end)

      it("they write nothing: a name that was taken over", function()
        lease("add", MAC1, "10.0.0.5", "laptop")
        lease("old", MAC1, "10.0.0.5")
        lease("add", MAC2, "10.0.0.6", "laptop")
        expect_nothing_more()
        assert.same({ "10.0.0.6 laptop mac:" .. MAC2 }, hosts())
      end)

      it("they write nothing: an address taken over from a host of before, and given up", function()
        one("add", MAC1, "10.0.0.5", "laptop")
        lease("add", MAC2, "10.0.0.5", "phone")
        lease("del", MAC2, "10.0.0.5")
        expect_nothing_more()
        assert.same({}, hosts())
      end)
    end)

    it("wait in the spool while the store cannot be written", function()
      local name = tell { action = "add", client = MAC1, ip = "10.0.0.5", name = "laptop" }
      local transaction = store.transaction
      core.methods.transaction = function() return nil, core.error { code = "busy", message = "busy" } end
      local result, err = drain.run(store, directory)
      core.methods.transaction = transaction
      assert.same({ nil, "busy" }, { result, err.code })
      assert.same({ name }, spool.waiting(directory))
      assert.equal(1, run().written)
    end)

    describe("while the clock cannot be believed", function()
      local time, monotonic = core.sys.time, core.sys.monotonic
      after_each(function() core.sys.time, core.sys.monotonic = time, monotonic end)

      local function set_clock(wall)
        core.sys.time = function() return wall end
      end

      local function ends()
        return assert(store:list())[1].expires_at
      end

      it("get no end: before anything was written", function()
        set_clock(50)
        one("add", MAC1, "10.0.0.5", "laptop", { expires = 43250, remaining = 43200 })
        assert.is_nil(ends())
        assert.matches("leases get no end: the clock says 1970-01-01T00:00:50Z: it is not set",
          system.read(directory .. "/log"), 1, true)
      end)

      it("get no end, and keep what they had: before the newest change", function()
        local real = math.floor(time())
        one("add", MAC1, "10.0.0.5", "laptop", { expires = real + HOUR })
        os.remove(directory .. "/clock")
        set_clock(real - HOUR)
        assert.equal(0, one("old", MAC1, "10.0.0.5", "laptop", { expires = real + 2 * HOUR }))
        assert.equal(real + HOUR, ends())
      end)

      it("get no end: after a jump of days, until ntpd says that the time is right", function()
        local real = math.floor(time())
        one("add", MAC1, "10.0.0.5", "laptop", { expires = real + HOUR })
        set_clock(real + 3 * 86400)
        assert.equal(0, one("old", MAC1, "10.0.0.5", "laptop", { expires = real + 4 * 86400 }))
        tell { action = "ntp", at = real + 3 * 86400 }
        assert.equal(1, one("old", MAC1, "10.0.0.5", "laptop", { expires = real + 4 * 86400 }))
        assert.equal(real + 4 * 86400, ends())
      end)

      it("get no end: far ahead of the newest change, with no word from ntpd", function()
        one("add", MAC1, "10.0.0.5", "laptop")
        os.remove(directory .. "/clock")
        set_clock(math.floor(time()) + 365 * 86400)
        assert.equal(0, one("old", MAC1, "10.0.0.5", "laptop", { remaining = HOUR }))
        tell { action = "ntp", at = core.sys.time() }
        assert.equal(1, one("old", MAC1, "10.0.0.5", "laptop", { remaining = HOUR }))
      end)

      it("have ends again with ntpd's word, though something was written by a clock that was ahead", function()
        local real = math.floor(time())
        one("add", MAC1, "10.0.0.5", "laptop", { expires = real + HOUR })
        set_clock(real - 2 * 86400)
        assert.equal(0, one("old", MAC1, "10.0.0.5", "laptop", { remaining = HOUR }))
        tell { action = "ntp", at = real - 2 * 86400 }
        assert.equal(1, one("old", MAC1, "10.0.0.5", "laptop", { remaining = HOUR }))
      end)
    end)

    describe("of a file", function()
      local path

      before_each(function()
        assert(spool.prepare(directory))
        path = backend.directory() .. "/leases"
      end)

      local function bring_in(text, format)
        system.write(path, text)
        return assert(sync(store, { path }, format, directory, { actor = "dhcp", expiry = true }))
      end

      it("are what is leased: others begin or end, by the same rules as events", function()
        local ends = math.floor(core.sys.time()) + HOUR
        assert(store:add { ip = "10.0.0.9", hostname = "nas" })
        one("add", MAC1, "10.0.0.5", "laptop", { expires = ends })
        one("add", MAC2, "10.0.0.6", "phone")
        assert(store:add { ip = "10.0.0.8", hostname = "pinned", origin = "dhcp" })
        local text = ("%d %s 10.0.0.5 laptop *\n%d aa:bb:cc:dd:ee:03 10.0.0.7 nas *\n" ..
          "%d aa:bb:cc:dd:ee:04 10.0.0.4 tv *\n0 aa:bb:cc:dd:ee:05 10.0.0.3 * *\n"):format(ends, MAC1, ends, ends)
        local result = bring_in(text)
        assert.same({ 4, 2, 0 }, { result.events, result.written, result.bad })
        assert.same({ "10.0.0.4 tv mac:aa:bb:cc:dd:ee:04", "10.0.0.5 laptop mac:" .. MAC1, "10.0.0.8 pinned dhcp",
          "10.0.0.9 nas admin" }, hosts())
        assert.equal(0, bring_in(text).written)
      end)

      it("make no host of what is no name", function()
        for _, name in ipairs(HOSTILE) do
          -- Put together without format, which ends a text at NUL in Lua 5.1.
          local text = "0 " .. MAC1 .. " 10.0.0.5 " .. name .. " *\n"
          system.write(path, text)
          assert.equal(0, assert(store:import(path, { format = "leases", origin = "dhcp" })).created, name)
          system.write(path, "# lan aabbccddee01 ipv4 " .. name .. " -1 a000005 32 10.0.0.5/32\n")
          assert.equal(0, assert(store:import(path, { format = "odhcpd", origin = "dhcp" })).created, name)
          assert.equal(0, bring_in(text).written, name)
        end
      end)

      it("give a name to who has it there", function()
        one("add", MAC1, "10.0.0.5", "laptop")
        bring_in(("0 %s 10.0.0.5 * *\n0 %s 10.0.0.6 laptop *\n"):format(MAC1, MAC2))
        assert.same({ "10.0.0.6 laptop mac:" .. MAC2 }, hosts())
      end)

      it("are imported as dhcp's", function()
        local text = ("4102444800 %s 10.0.0.5 laptop 01:%s\n4102444800 %s 10.0.0.6 * *\nduid %s\n" ..
          "0 77 fd00::5 laptop %s\nwhat is this\n"):format(MAC1, MAC1, MAC2, DUID2, DUID1)
        system.write(path, text)
        assert(store:add { ip = "10.0.0.7", hostname = "gone", origin = "dhcp" })
        local options = { format = "leases", mode = "sync", origin = "dhcp" }
        local result = assert(store:import(path, options))
        assert.same({ 3, 2, 1, 1, 5 },
          { result.processed, result.created, result.deleted, result.failed, result.errors[1].line })
        assert.same({ "10.0.0.5 laptop mac:" .. MAC1, "fd00::5 laptop duid:" .. DUID1 .. "/77" }, hosts())
        assert.same({ 4102444800, nil },
          { assert(store:find("10.0.0.5", "laptop")).expires_at, assert(store:find("fd00::5", "laptop")).expires_at })
        assert.equal(2, assert(store:import(path, options)).unchanged)
        assert.same({ written = 0 }, { written = bring_in(text).written })
      end)

      it("of odhcpd are read from its state file", function()
        local text = "# br-lan 000100012c000001 4d laptop 4102444801 1a 128 fd00::5/128 fd01::5/128\n" ..
          "fd00::5\tlaptop.lan\tlaptop\n" ..
          "# br-lan 000100012c000001 4e - 4102444801 2 62 fd00:0:0:4::/62\n" ..
          "# br-lan 000100012c000002 1 broken\\x20we$ird 4102444801 2 128 fd00::6/128\n" ..
          "# br-lan aabbccddee01 ipv4 laptop -1 a000005 32 10.0.0.5/32\n10.0.0.5\tlaptop\n" ..
          "# br-lan aabbccddee02 ipv4 phone 0 a000006 32 10.0.0.6/32\n"
        system.write(path, text)
        local result = assert(store:import(path, { format = "odhcpd", mode = "sync", origin = "dhcp" }))
        assert.same({ 3, 3, 0 }, { result.processed, result.created, result.failed })
        local duid = "duid:00:01:00:01:2c:00:00:01/77"
        assert.same({ "10.0.0.5 laptop mac:" .. MAC1, "fd00::5 laptop " .. duid, "fd01::5 laptop " .. duid }, hosts())
        assert.equal(4102444860, assert(store:find("fd00::5", "laptop")).expires_at)
        assert.equal(0, bring_in(text, "odhcpd").written)
      end)

      it("are neither of a format that holds none", function()
        system.write(path, "10.0.0.1 a\n")
        expect.invalid("format", sync(store, { path }, "hosts", directory, {}))
      end)
    end)

    it("are not exported in the formats they came in", function()
      expect.invalid("format", store:export "leases")
      assert.equal("hotplug", hoststore.hotplug and "hotplug")
    end)
  end)
end
