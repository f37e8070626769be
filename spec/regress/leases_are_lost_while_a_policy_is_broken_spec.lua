-- While a policy file was broken, the drainer put every lease aside as refused: it was not brought in when the
-- file was mended.

local core = require "hoststore.core"
local drain = require "hoststore.hotplug.drain"
local spool = require "hoststore.hotplug.spool"
local system = require "spec.support.system"

for _, backend in ipairs(require "spec.support.backends") do
  describe(backend.name .. ": leases, while a policy is broken", function()
    after_each(backend.finish)

    it("wait in the spool, and come in when it is mended", function()
      local policies, directory = backend.directory() .. "/policies", backend.directory() .. "/spool"
      local function write(text)
        system.write(policies .. "/10-test.lua", text)
      end
      local function tell(action, client, ip, name)
        assert(spool.write(directory, { action = action, client = client, ip = ip, name = name }))
      end
      assert(core.sys.mkdir_p(policies))
      local store = backend.open { policies = policies }
      write 'tag { name = "iot", filter = { ip = "10.0.3.0/24" }, add = "iot" }'
      tell("add", "aa:bb:cc:dd:ee:01", "10.0.3.5", "lamp")
      assert.equal(1, assert(drain.run(store, directory)).written)
      write "tag { name = = }"
      tell("add", "aa:bb:cc:dd:ee:02", "10.0.3.6", "phone")
      tell("del", "aa:bb:cc:dd:ee:01", "10.0.3.5")
      local result, err = drain.run(store, directory)
      assert.same({ nil, "policy" }, { result, err.code })
      assert.matches("^10%-test%.lua:1: ", err.message)
      assert.same({ 2, 1 }, { #assert(spool.waiting(directory)), store:count() })
      write 'tag { name = "lan", filter = { ip = "10.0.3.0/24" }, add = "lan" }'
      assert.equal(2, assert(drain.run(store, directory)).written)
      assert.same({}, assert(spool.waiting(directory)))
      assert.same({ "lan", "mac:aa:bb:cc:dd:ee:02" }, assert(store:list())[1].tags)
    end)
  end)
end
