-- A host that expires after the year 2112 was not what the log said: the body of its event held only
-- 15 digits of the time.
local backends = require "spec.support.backends"

for _, backend in ipairs(backends) do
  describe(backend.name .. ": a time far away", function()
    after_each(backend.finish)

    it("is the same in the log and in the read model", function()
      local store = backend.open()
      local host = assert(store:add { ip = "10.0.0.1", hostname = "a", expires_at = "2153-10-18T10:13:20.000001Z" })
      assert.equal(host.expires_at, store:at { position = 1 }:get(host.id).expires_at)
      assert.is_true(store:verify().ok)
    end)

    it("from 2255 on is kept to the second", function()
      local store = backend.open()
      local host = assert(store:add { ip = "10.0.0.1", hostname = "a", expires_at = "9999-12-31T23:59:59.999999Z" })
      assert.equal(253402300799, host.expires_at)
      assert.is_true(store:verify().ok)
    end)
  end)
end
