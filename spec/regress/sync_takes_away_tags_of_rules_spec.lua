-- A tag that on("HostCreated") had given was gone at the next import of the same source: "1 updated".
local backends = require "spec.support.backends"
local system = require "spec.support.system"

local RULES = [[
tag { name = "iot", filter = { ip = "10.0.3.0/24" }, add = "iot" }
tag { name = "first", when = function(host, before) return before == nil end, add = "first" }
on("HostCreated", function(event) return { add = event.host.ip == "10.0.3.1" and "new" or "other" } end)
on("CommentUpdated", function() return { add = "commented" } end)
]]

for _, backend in ipairs(backends) do
  describe(backend.name .. ": the same source twice, where rules give tags,", function()
    local directory, store

    before_each(function()
      directory = system.directory()
      system.write(directory .. "/a.lua", RULES)
      store = backend.open { policies = directory }
    end)

    after_each(function()
      backend.finish()
      system.remove(directory)
    end)

    local function sync(text)
      local result = assert(store:import({ text = text }, { mode = "sync", origin = "import:x" }))
      return { result.created, result.updated, result.unchanged, result.deleted, result.failed }
    end

    local function tags()
      return table.concat(assert(store:lookup "a.lan")[1].tags, " ")
    end

    it("writes nothing the second time", function()
      assert.same({ 2, 0, 0, 0, 0 }, sync "10.0.3.1 a.lan\n10.0.4.1 b.lan\n")
      assert.equal("first iot new", tags())
      for _ = 1, 2 do assert.same({ 0, 0, 2, 0, 0 }, sync "10.0.3.1 a.lan\n10.0.4.1 b.lan\n") end
      assert.same({ 0, 1, 1, 0, 0 }, sync "10.0.3.1 a.lan # hello\n10.0.4.1 b.lan\n")
      assert.equal("commented first iot new", tags())
      for _ = 1, 2 do assert.same({ 0, 0, 2, 0, 0 }, sync "10.0.3.1 a.lan # hello\n10.0.4.1 b.lan\n") end
      local plan = assert(store:plan { origin = "import:x", entries = { { ip = "10.0.3.1", hostname = "a.lan",
        comment = "hello" }, { ip = "10.0.4.1", hostname = "b.lan" } } })
      assert.same({ 0, 0, 0 }, { #plan.add, #plan.update, #plan.delete })
    end)

    it("gives back nothing that a rule has taken from the new host", function()
      system.write(directory .. "/a.lua", [[
        tag { name = "never", remove = "old" }
        on("HostCreated", function() return { remove = "temporary" } end)
        on("CommentUpdated", function() return { remove = "later" } end)]])
      local source = "10.0.3.1 a.lan # x [mine, old, temporary]\n"
      assert.same({ 1, 0, 0, 0, 0 }, sync(source))
      assert.equal("mine", tags())
      for _, mode in ipairs { "sync", "replace", "merge" } do
        assert.equal(1, assert(store:import({ text = source }, { mode = mode, origin = "import:x" })).unchanged, mode)
      end
      -- What a new host would get, one that is there gets.
      assert.same({ 0, 1, 0, 0, 0 }, sync "10.0.3.1 a.lan # x [later, mine, old, temporary]\n")
      assert.equal("later mine", tags())
    end)

    it("takes away what no rule gives, and gives nothing back that an admin took away", function()
      sync "10.0.3.1 a.lan # x [mine, yours]\n"
      assert.equal("first iot mine new yours", tags())
      assert.same({ 0, 1, 0, 0, 0 }, sync "10.0.3.1 a.lan # x [mine]\n")
      assert.equal("first iot mine new", tags())
      assert(store:update(store:lookup("a.lan")[1], { tags = { "mine" } }))
      assert.equal("iot mine", tags())
      assert.same({ 0, 0, 1, 0, 0 }, sync "10.0.3.1 a.lan # x [mine]\n")
    end)
  end)
end
