-- The data of an event that has none was nil in store:events, and cjson.null, which is true, in store:log.
local backends = require "spec.support.backends"

for _, backend in ipairs(backends) do
  describe(backend.name .. ": an event without data", function()
    after_each(backend.finish)

    it("has none in the log, as in events and read", function()
      local store = backend.open()
      local stream = store:stream "s"
      assert(stream:append { { type = "A" }, { type = "B", data = false } })
      for _, read in ipairs { store:log(), store:events(), stream:read() } do
        assert.is_nil(read[1].data)
        assert.is_false(read[2].data)
      end
    end)
  end)
end
