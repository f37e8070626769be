-- When a rule gave a value that no host can have, the write was refused though the admin had chosen
-- on_error=allow, and the message named no rule.

local core = require "hoststore.core"
local expect = require "spec.support.expect"
local system = require "spec.support.system"

for _, backend in ipairs(require "spec.support.backends") do
  describe(backend.name .. ": on_error=allow, when a rule gives what no host can have,", function()
    after_each(backend.finish)

    local function open(scripts, options)
      options = options or {}
      options.policies = backend.directory() .. "/policies"
      assert(core.sys.mkdir_p(options.policies))
      system.write(options.policies .. "/10-test.lua", scripts)
      return backend.open(options)
    end

    local function refused(result, err)
      assert.is_nil(result)
      assert.equal("policy", err.code)
      return err
    end

    it("lets the host through as it was given, on every way", function()
      local scripts = [[
        normalise { name = "domain", apply = function(host)
          if not host.hostname:find(".", 1, true) then return { hostname = host.hostname .. ".lan" } end
        end }
        tag { name = "bad", filter = { hostname_pattern = "tag" }, add = "a,b" }
        normalise { name = "ip", filter = { hostname_pattern = "ip" }, apply = function() return { ip = "x" } end }
        normalise { name = "alias", filter = { hostname_pattern = "alias" }, apply = function(host)
          return { aliases = { host.hostname } } end }
        on("CommentUpdated", function() return { add = ("x"):rep(129) } end)]]
      local store = open(scripts, { on_error = "allow" })
      local blames = { tag = "rule 'bad': .*tag", ip = "rule 'ip': 'x'", alias = "rule 'alias': .*alias" }
      for name, message in pairs(blames) do
        local host = assert(store:add { ip = "10.0.0.1", hostname = name, comment = "y" })
        assert.same({ name, "10.0.0.1", {}, {} }, { host.hostname, host.ip, host.tags, host.aliases })
        local noted = store:history(host.id)[1].metadata.policy
        assert.equal(1, #noted)
        assert.matches("^10%-test%.lua:%d: " .. message, noted[1].error)
      end
      -- On the ways of update, import and plan, too.
      local host = assert(store:add { ip = "10.0.0.9", hostname = "a.b" })
      host = assert(host:update { comment = "z" })
      assert.same({ "z", {} }, { host.comment, host.tags })
      assert.equal(2, assert(store:import { text = "10.0.0.2 tag\n10.0.0.2 ip\n" }).created)
      local plan = assert(store:plan { mode = "merge", entries = { { ip = "10.0.0.3", hostname = "tag" } } })
      assert.equal(1, assert(plan:apply()).created)
      -- Each of these seven events says so once.
      assert(store:dump(backend.directory() .. "/dump"))
      assert.equal(7, select(2, system.read(backend.directory() .. "/dump"):gsub("policy", "")))
      assert.same({ "ip", "tag", "tag" }, expect.pluck(store:list { ip = "10.0.0.2/31" }, "hostname"))
      -- The same rules, when a fault is to refuse.
      store = open(scripts)
      for name, message in pairs(blames) do
        local err = refused(store:add { ip = "10.0.0.1", hostname = name })
        assert.matches("^10%-test%.lua:%d: " .. message, err.message)
      end
      local result = assert(store:import { text = "10.0.0.2 tag\n10.0.0.2 good\n" })
      assert.same({ 1, 1 }, { result.created, result.failed })
    end)
  end)
end
