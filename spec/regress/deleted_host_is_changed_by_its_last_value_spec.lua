-- The host of a deletion in the history, given to update or delete, was taken for the host as it is: an event
-- came behind its HostDeleted, and the log did not verify any more.
local backends = require "spec.support.backends"
local expect = require "spec.support.expect"

for _, backend in ipairs(backends) do
  describe(backend.name .. ": a host that is deleted", function()
    after_each(backend.finish)

    it("cannot be changed by the value of its deletion", function()
      local store = backend.open()
      local host = assert(store:add { ip = "10.0.0.1", hostname = "a" })
      assert(store:delete(host))
      local gone = assert(store:history(host.id))[2].host
      expect.failure("not_found", store:update(gone, { ip = "10.0.0.2" }))
      expect.failure("not_found", store:delete(gone))
      assert.equal(2, #store:events())
      assert.is_true(store:verify().ok)
    end)
  end)
end
