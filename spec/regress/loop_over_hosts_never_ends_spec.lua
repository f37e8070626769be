-- A loop over hosts that changed each one did not end: what it changed moved behind its place.
local backends = require "spec.support.backends"

for _, backend in ipairs(backends) do
  describe(backend.name .. ": a loop over more hosts than a page", function()
    local store, time
    before_each(function()
      time = 1000
      store = backend.open { clock = function() return time end }
      local lines = {}
      for i = 1, 1500 do lines[i] = ("10.0.%d.%d h%d"):format(math.floor(i / 250), i % 250 + 1, i) end
      assert.equal(1500, assert(store:import { text = table.concat(lines, "\n") }).created)
    end)
    after_each(backend.finish)

    local function walk(filter, change)
      local seen, most = {}, 0
      assert(store:transaction(function()
        for host in store:hosts(filter) do
          seen[host.id] = (seen[host.id] or 0) + 1
          most = math.max(most, seen[host.id])
          assert(most <= 2, "a host is given again and again")
          change(host)
        end
        return true
      end))
      local count = 0
      for _ in pairs(seen) do count = count + 1 end
      return count, most
    end

    it("gives a host that the loop moves once more at most", function()
      assert.same({ 1500, 2 }, { walk({ order = "updated" }, function(host)
        time = time + 1
        assert(store:update(host, { comment = "at " .. time }))
      end) })
    end)

    it("does not give what the loop adds", function()
      local added = 0
      assert.same({ 1500, 1 }, { walk({}, function()
        added = added + 1
        assert(store:add { ip = ("11.0.%d.%d"):format(math.floor(added / 250), added % 250 + 1),
          hostname = "n" .. added })
      end) })
    end)

    it("goes on from where it was, whatever the loop writes into the host", function()
      assert.same({ 1500, 1 }, { walk({}, function(host) host.ip, host.hostname = "10.0.0.1", "a" end) })
    end)
  end)
end
