-- What has expired is left out of what is published; by a clock that cannot be believed nothing expires.

local system = require "spec.support.system"

local NOW, DAY = 1800000000, 86400

for _, backend in ipairs(require "spec.support.backends") do
  describe(backend.name .. ": hosts that expire", function()
    local store, clock, path

    before_each(function()
      clock = NOW
      store = backend.open { clock = function() return clock end, policies = false }
      path = backend.directory() .. "/published"
      assert(store:add { ip = "10.0.0.1", hostname = "nas" })
      assert(store:add { ip = "10.0.0.2", hostname = "guest", expires_at = NOW + DAY })
    end)
    after_each(backend.finish)

    -- The names in all that is made of hosts: an export, a template, a published file, which are the same; and
    -- what publishing said of the clock.
    local function names()
      local text, result = assert(store:export "hosts"), store:publish_outputs { { path = path } }[1]
      assert.is_nil(result.error)
      assert.equal(text, system.read(path))
      local rendered = assert(store:render { text = "<% for host in hosts() do %><%= host.hostname %> <% end %>" })
      local found = {}
      for name in text:gmatch "\t(%w+)" do found[#found + 1] = name end
      local list = table.concat(found, " ")
      assert.equal(list, (rendered:gsub("%s+$", "")))
      return list, result.clock
    end

    it("are left out from then on", function()
      assert.equal("nas guest", names())
      clock = NOW + DAY - 1
      assert.equal("nas guest", names())
      clock = NOW + DAY
      assert.equal("nas", names())
      clock = NOW + 300 * DAY
      assert.same({ "nas" }, { names() })
    end)

    it("do not vanish when the clock jumps ahead by years, and do so when it is right again", function()
      clock = NOW + 6 * 365 * DAY
      assert.same({ "nas guest",
        "the clock says 2033-01-13T08:00:00Z, but nothing was recorded between 2027-01-15T08:00:00Z and now" },
        { names() })
      clock = NOW + 2 * DAY
      assert.same({ "nas" }, { names() })
    end)

    it("do not come back when the clock goes back to 1970", function()
      clock = NOW + 2 * DAY
      assert(store:add { ip = "10.0.0.3", hostname = "tv" })
      assert.equal("nas tv", names())
      clock = 50
      assert.same({ "nas tv",
        "the clock says 1970-01-01T00:00:50Z, but the newest event is of 2027-01-17T08:00:00Z" }, { names() })
    end)
  end)
end
