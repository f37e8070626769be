-- Events of leases that the store does not take: those that wait, and those that are put aside.

local core = require "hoststore.core"
local drain = require "hoststore.hotplug.drain"
local expect = require "spec.support.expect"
local spool = require "hoststore.hotplug.spool"
local system = require "spec.support.system"

local function mac(number)
  return ("aa:bb:cc:dd:ee:%02x"):format(number)
end

-- Rules that are broken for hosts of some names alone.
local REFUSES = [[validate { name = "no-bad", check = function(host)
  return not host.hostname:find "^bad", "nobody is called bad", "hostname"
end }]]
local RAISES = [[tag { name = "careless", when = function(host)
  return host.hostname:find "^bad" and #host.comment > 0
end, add = "x" }]]
local LOOPS = [[tag { name = "endless", when = function(host)
  while host.hostname:find "^bad" do end
end, add = "x" }]]
local BROKEN = "tag { name = 'x',"

for _, backend in ipairs(require "spec.support.backends") do
  describe(backend.name .. ": leases that the store does not take", function()
    local store, directory, policies

    before_each(function()
      policies = backend.directory() .. "/policies"
      assert(core.sys.mkdir_p(policies))
      store = backend.open { policies = policies }
      directory = backend.directory() .. "/spool"
    end)
    after_each(backend.finish)

    local function rule(text)
      system.write(policies .. "/10-rule.lua", text)
    end

    local function tell(action, client, ip, name, more)
      local event = { action = action, client = mac(client), ip = "10.0.0." .. ip, name = name }
      for key, value in pairs(more or {}) do
        event[key] = tostring(value)
      end
      return assert(spool.write(directory, event))
    end

    local function run()
      return assert(drain.run(store, directory))
    end

    -- What the counters are that are worth a word.
    local function outcome(result)
      return { result.events, result.written, result.bad, result.waiting }
    end

    local function hosts()
      local lines = {}
      for i, host in ipairs(assert(store:list())) do
        lines[i] = ("%s %s"):format(host.ip:match "%d+$", host.hostname)
      end
      return table.concat(lines, ", ")
    end

    local function waiting()
      return #assert(spool.waiting(directory))
    end

    it("are put aside with the reason when a rule refuses them, and the others go on", function()
      rule(REFUSES)
      tell("add", 1, 1, "a")
      local bad = tell("add", 2, 2, "bad")
      tell("add", 3, 3, "c")
      assert.same({ 3, 2, 1, 0 }, outcome(run()))
      assert.equal("1 a, 3 c", hosts())
      assert.equal("nobody is called bad\n", system.read(directory .. "/bad/" .. bad .. ".reason"))
      assert.is_truthy(system.read(directory .. "/log"):find("refused: nobody is called bad", 1, true))
      assert.equal(0, waiting())
    end)

    it("wait while a file of the policies is broken, and are all brought in when it is mended", function()
      rule(BROKEN)
      for i = 1, 20 do tell("add", i, i, "h" .. i) end
      expect.failure("policy", drain.run(store, directory))
      tell("old", 1, 1, "renamed")
      tell("del", 2, 2)
      assert.matches("10%-rule%.lua:1:", expect.failure("policy", drain.run(store, directory)).message)
      assert.equal("", hosts())
      rule(REFUSES)
      assert.equal(19, run().written)
      assert.equal(0, waiting())
      assert.equal("1 renamed, 3 h3,", hosts():match "^[^,]*,[^,]*,")
      assert.is_nil(core.sys.stat(directory .. "/bad"))
    end)

    it("are put aside when a rule gives them a name that none can have", function()
      rule [[normalise { name = "long", apply = function(host)
        return { hostname = host.hostname .. ("-x"):rep(30) }
      end }]]
      tell("add", 1, 1, "a")
      local bad = tell("add", 2, 2, "android-1234")
      assert.same({ 2, 1, 1, 0 }, outcome(run()))
      assert.matches("^10%-rule%.lua:1: rule 'long': ", system.read(directory .. "/bad/" .. bad .. ".reason"))
    end)

    it("wait alone when a script fails on them, and come in when it is mended", function()
      rule(RAISES)
      tell("add", 1, 1, "a")
      tell("add", 2, 2, "bad")
      tell("add", 3, 3, "c")
      assert.same({ 3, 2, 0, 1 }, outcome(run()))
      assert.equal("1 a, 3 c", hosts())
      tell("add", 4, 4, "d")
      assert.same({ 2, 1, 0, 1 }, outcome(run()))
      assert.equal("1 a, 3 c, 4 d", hosts())
      rule ""
      assert.same({ 1, 1, 0, 0 }, outcome(run()))
      assert.equal("1 a, 2 bad, 3 c, 4 d", hosts())
      assert.equal(0, waiting())
    end)

    it("do not come back when something else was said of their address or name meanwhile", function()
      rule(RAISES)
      tell("add", 1, 1, "bad1")
      tell("add", 2, 2, "bad2")
      tell("add", 3, 3, "bad3")
      run()
      tell("add", 4, 1, "d") -- has the address of the first
      tell("del", 2, 2)
      tell("old", 3, 3, "e")
      assert.equal(2, run().written)
      rule ""
      assert.equal(0, run().written)
      assert.equal("1 d, 3 e", hosts())
      assert.equal(0, waiting())
    end)

    describe("while another client gets the name,", function()
      before_each(function()
        tell("add", 1, 1, "tablet")
        run()
        rule [[tag { name = "careless", when = function(host)
          return host.ip == "10.0.0.1" and #host.comment > 0
        end, add = "x" }]]
        tell("old", 1, 1, "laptop", { remaining = 3600 })
        run()
        tell("add", 2, 2, "laptop")
        tell("add", 3, 3, "c")
        assert.equal(2, run().written)
        assert.equal("1 tablet, 2 laptop, 3 c", hosts())
      end)

      it("do not take it back", function()
        rule ""
        assert.equal(1, run().written)
        assert.equal("1 tablet, 2 laptop, 3 c", hosts())
        assert.equal(0, waiting())
      end)

      it("do not make what that client says later be forgotten", function()
        tell("old", 2, 2, "phone")
        assert.equal(1, run().written)
        tell("add", 4, 4, "d")
        assert.equal(1, run().written)
        assert.equal("1 tablet, 2 phone, 3 c, 4 d", hosts())
      end)
    end)

    it("keep the name that they have from an event before", function()
      rule(RAISES)
      tell("add", 1, 1, "bad")
      tell("old", 1, 1)
      assert.same({ 2, 0, 0, 2 }, outcome(run()))
      rule ""
      assert.equal(1, run().written)
      assert.equal("1 bad", hosts())
    end)

    it("keep no other waiting, though a script that they never let end has to be stopped for each of them", function()
      rule(LOOPS)
      tell("add", 1, 1, "bad1")
      tell("add", 2, 2, "bad2")
      tell("add", 3, 3, "c")
      assert.same({ 3, 1, 0, 2 }, outcome(run()))
      assert.equal("3 c", hosts())
    end)

    it("keep no other waiting for long, however many they are", function()
      rule(RAISES)
      for i = 1, 30 do tell("add", i, i, "bad" .. i) end
      tell("add", 31, 31, "good")
      local times = 0
      repeat
        assert.equal(0, run().bad)
        times = times + 1
      until hosts() == "31 good" or times == 5
      assert.equal("31 good", hosts())
      assert.equal(30, waiting())
      tell("add", 32, 32, "late")
      run()
      assert.equal("31 good, 32 late", hosts())
    end)

    it("all wait, in order, while nothing can be written", function()
      local transaction = store.transaction
      tell("add", 1, 1, "a")
      for _, code in ipairs { "busy", "full", "connection", "readonly", "corrupt", "unknown_outcome" } do
        core.methods.transaction = function() return nil, core.error { code = code, message = code } end
        local result, err = drain.run(store, directory)
        core.methods.transaction = transaction
        expect.failure(code, result, err)
        tell("old", 1, 1, code)
        tell("add", 2, 2, "b")
      end
      assert.equal(4, waiting()) -- the last two, and what they have made needless
      assert.equal(2, run().written)
      assert.equal("1 unknown_outcome, 2 b", hosts())
    end)

    it("all wait when memory runs out", function()
      tell("add", 1, 1, "a")
      local add = store.add
      core.methods.add = function() error("not enough memory", 0) end
      local ok, message = pcall(drain.run, store, directory)
      core.methods.add = add
      assert.same({ false, "not enough memory" }, { ok, message })
      assert.equal(1, waiting())
      assert.equal(1, run().written)
    end)

    it("are put aside when they make the program itself fail, and the others go on", function()
      tell("add", 1, 1, "a")
      tell("add", 2, 2, "b")
      local add = store.add
      core.methods.add = function(self, host, ...)
        if host.hostname == "a" then error "a mistake of ours" end
        return add(self, host, ...)
      end
      local ok, result = pcall(run)
      core.methods.add = add
      assert.same({ true, { 2, 1, 1, 0 } }, { ok, outcome(result) })
    end)

    it("are counted once by a drainer that tries them more than once", function()
      rule(RAISES)
      tell("add", 1, 1, "bad")
      local lock = assert(core.sys.lock(directory .. "/lock"))
      local result = assert(drain.run(store, directory, {}, { release = function()
        if waiting() == 1 then tell("add", 2, 2, "b") end
        lock:release()
      end }))
      assert.same({ 2, 1, 0, 1 }, outcome(result))
      assert.equal(2, result.transactions)
    end)
  end)
end

describe("what waits while the store cannot be written", function()
  local directory

  before_each(function() directory = system.directory() .. "/spool" end)
  after_each(function() system.remove((directory:gsub("/spool$", ""))) end)

  local function tell(event)
    return assert(spool.write(directory, event))
  end

  local function left()
    drain.thin(directory)
    return assert(spool.waiting(directory))
  end

  it("does not grow with what says the same again", function()
    tell { action = "add", client = mac(1), ip = "10.0.0.1", name = "a" }
    local other = tell { action = "add", client = mac(2), ip = "10.0.0.2", name = "b" }
    local last
    for _ = 1, 50 do
      last = tell { action = "old", client = mac(1), ip = "10.0.0.1", name = "a" }
      tell { action = "ntp", at = "1" }
    end
    assert.same({ other, last }, left())
  end)

  it("keeps what a later event leaves to be said: a name, or that the address is free", function()
    local named = tell { action = "add", client = mac(1), ip = "10.0.0.1", name = "a" }
    local nameless = tell { action = "old", client = mac(1), ip = "10.0.0.1" }
    local begun = tell { action = "add", client = mac(2), ip = "10.0.0.2", name = "b" }
    local ended = tell { action = "del", client = mac(2), ip = "10.0.0.2" }
    assert.same({ named, nameless, begun, ended }, left())
  end)
end)
