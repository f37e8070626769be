-- A rule that had to be stopped for each of a few leases kept the database locked all that time: they were all tried in
-- one transaction.
local core = require "hoststore.core"
local drain = require "hoststore.hotplug.drain"
local spool = require "hoststore.hotplug.spool"
local system = require "spec.support.system"

local LOOPS = [[tag { name = "endless", when = function(host)
  while host.hostname:find "^bad" do end
end, add = "x" }]]

for _, backend in ipairs(require "spec.support.backends") do
  describe(backend.name .. ": leases on which a rule takes its time", function()
    local store, directory
    local monotonic = core.sys.monotonic

    before_each(function()
      local policies = backend.directory() .. "/policies"
      assert(core.sys.mkdir_p(policies))
      system.write(policies .. "/10-rule.lua", LOOPS)
      store = backend.open { policies = policies }
      directory = backend.directory() .. "/spool"
      -- Whatever is done takes ten seconds.
      local later = 0
      core.sys.monotonic = function()
        later = later + 10
        return monotonic() + later
      end
    end)
    after_each(function()
      core.sys.monotonic = monotonic
      backend.finish()
    end)

    local function tell(number, name)
      assert(spool.write(directory, { action = "add", client = ("aa:bb:cc:dd:ee:%02x"):format(number),
        ip = "10.0.0." .. number, name = name .. number }))
    end

    local function run()
      local result = assert(drain.run(store, directory))
      return { result.events, result.written, result.waiting, result.transactions }
    end

    it("have a transaction each, and what comes behind them is brought in by the same drainer", function()
      for number = 1, 3 do tell(number, "bad") end
      tell(4, "good")
      assert.same({ 4, 1, 3, 4 }, run())
      assert.equal(3, #assert(spool.waiting(directory)))
    end)

    it("are tried only so often, however many they are", function()
      for number = 1, 20 do tell(number, "bad") end
      assert.same({ 20, 0, 20, 8 }, run())
    end)
  end)
end
