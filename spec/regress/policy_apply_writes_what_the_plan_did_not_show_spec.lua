-- The rules ran once for the plan and once more over what they had made of the hosts: a dry run showed "a+", and
-- "a++" was written. A plan of entries did the same.
local backends = require "spec.support.backends"
local expect = require "spec.support.expect"
local system = require "spec.support.system"

local PLUS = 'normalise { name = "plus", apply = function(h) return { comment = (h.comment or "") .. "+" } end }\n'
local PREFIX = 'normalise { name = "prefix", apply = function(h) return { hostname = "X" .. h.hostname } end }\n'
local MOVE = [[
  tag { name = "first", filter = { tags_none = "x" }, add = "y" }
  on("TagsModified", function() return { add = "x", remove = "y" } end)
]]

for _, backend in ipairs(backends) do
  describe(backend.name .. ": a plan with rules that change what they have changed", function()
    local directory, store

    before_each(function()
      directory = system.directory()
      store = backend.open { policies = directory }
    end)

    after_each(function()
      backend.finish()
      system.remove(directory)
    end)

    local function write(text) system.write(directory .. "/a.lua", text) end

    local function fields(host)
      return { host.ip, host.hostname, host.comment, host.tags }
    end

    it("of the policies writes what it shows", function()
      local id = assert(store:add { ip = "10.0.0.1", hostname = "a.lan", comment = "c" }).id
      write(PLUS .. PREFIX .. MOVE)
      local plan = assert(store:plan_policies())
      assert.same({ hostname = "xa.lan", comment = "c+", tags = { "x" } }, plan.update[1].changes)
      assert.same({ updated = 1, refused = 0, unchanged = 0 }, assert(plan:apply()))
      assert.same({ "10.0.0.1", "xa.lan", "c+", { "x" } }, fields(assert(store:get(id))))
      -- Whoever writes afterwards is asked about as ever.
      assert.equal("d+", assert(store:update(id, { comment = "d" })).comment)
    end)

    it("of the policies leaves alone, and names, whom another host stands in the way of", function()
      for _, name in ipairs { "a", "a.lan", "b", "c", "d" } do
        assert(store:add { ip = name:match "[cd]" and "10.0.0.3" or "10.0.0.1", hostname = name })
      end
      write [[
        normalise { name = "domain", apply = function(h)
          if h.ip == "10.0.0.3" then return { hostname = "same.lan" } end
          if not h.hostname:find "%." then return { hostname = h.hostname .. ".lan" } end
        end }]]
      local plan = assert(store:plan_policies())
      local refused = {}
      for i, item in ipairs(plan.refused) do refused[i] = { item.host.hostname, item.message, item.field } end
      assert.same({ { "a", "'10.0.0.1 a.lan' is another host already", "hostname" },
        { "d", "'10.0.0.3 same.lan' is another host already", "hostname" } }, refused)
      assert.same({ updated = 2, refused = 2, unchanged = 1 }, assert(plan:apply()))
      assert.same({ "a", "a.lan", "b.lan", "d", "same.lan" }, expect.pluck(assert(store:list()), "hostname"))
    end)

    it("of the policies has nothing to do when rules undo each other", function()
      assert(store:add { ip = "10.0.0.1", hostname = "a.lan", tags = { "x" } })
      write(MOVE .. 'tag { name = "second", add = "y" }')
      local plan = assert(store:plan_policies())
      assert.same({ 0, 1 }, { #plan.update, plan.unchanged })
    end)

    it("of the policies shows a value as it will stand there, and names the rule of one that cannot", function()
      assert(store:add { ip = "10.0.0.1", hostname = "a.lan" })
      write 'normalise { name = "same", apply = function() return { hostname = "A.LAN." } end }'
      assert.equal(1, assert(store:plan_policies()).unchanged)
      write '\nnormalise { name = "bad", apply = function() return { ip = "999.1.1.1" } end }'
      local err = expect.failure("policy", store:plan_policies())
      assert.matches("a.lua:2: rule 'bad': '999.1.1.1' is not an IP address", err.message, 1, true)
    end)

    it("of entries writes what it shows, and says once which rules did it", function()
      write(PLUS .. PREFIX)
      local plan = assert(store:plan { entries = { { ip = "10.0.0.1", hostname = "a.lan" } } })
      assert.same({ "xa.lan", "+" }, { plan.add[1].hostname, plan.add[1].comment })
      assert(plan:apply())
      local host = assert(store:list())[1]
      assert.same({ "10.0.0.1", "xa.lan", "+", {} }, fields(host))
      assert.same({ "plus", "prefix" }, expect.pluck(assert(store:log())[1].metadata.policy, "rule"))
    end)

    it("is a conflict when the rules are others by then", function()
      assert(store:add { ip = "10.0.0.1", hostname = "a.lan" })
      write(PLUS)
      local one = assert(store:plan_policies())
      local two = assert(store:plan { mode = "merge", entries = { { ip = "10.0.0.2", hostname = "b" } } })
      write(PLUS .. "-- another\n")
      expect.failure("conflict", one:apply())
      expect.failure("conflict", two:apply())
      assert.is_nil(store:list()[1].comment)
      assert.equal(1, assert(two:apply { force = true }).created)
    end)
  end)
end
