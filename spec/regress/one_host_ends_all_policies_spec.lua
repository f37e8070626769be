-- A host for which a script had to be stopped left the process without rules: with on_error = "allow" what
-- a rule forbids went through, else nothing could be written any more.
local backends = require "spec.support.backends"
local expect = require "spec.support.expect"
local system = require "spec.support.system"

local SCRIPT = [[
normalise { name = "slow", apply = function(host)
  if host.hostname:find "boom" then while true do end end
  return { comment = "seen" }
end }
validate { name = "ban", check = function(host) return host.hostname ~= "banned.lan", "banned" end }
]]

for _, backend in ipairs(backends) do
  describe(backend.name .. ": after a host for which a policy had to be stopped", function()
    local directory

    before_each(function()
      directory = system.directory()
      local file = assert(io.open(directory .. "/a.lua", "w"))
      file:write(SCRIPT)
      file:close()
    end)

    after_each(function()
      backend.finish()
      system.remove(directory)
    end)

    it("the rules hold for the next, where errors let through", function()
      local store = backend.open { policies = directory, on_error = "allow" }
      local host = assert(store:add { ip = "10.0.0.1", hostname = "boom.lan" })
      assert.is_nil(host.comment)
      assert.equal("seen", assert(store:add { ip = "10.0.0.2", hostname = "ok.lan" }).comment)
      expect.failure("policy", store:add { ip = "10.0.0.3", hostname = "banned.lan" })
      local result = assert(store:import { text = "10.1.0.1 boom2.lan\n10.1.0.2 banned.lan\n10.1.0.3 fine.lan\n" })
      assert.same({ 2, 1 }, { result.created, result.failed })
    end)

    it("the next is written, where errors refuse, and in another store too", function()
      local store = backend.open { policies = directory }
      for i = 1, 12 do
        local err = expect.failure("policy", store:add { ip = "10.0.0.1", hostname = "boom.lan" })
        assert.matches("a.lua:2: rule 'slow': the script was stopped after 2000000 instructions", err.message, 1, true)
        assert(store:add { ip = "10.0.1." .. i, hostname = "ok.lan" })
      end
      local other = backend.open { policies = directory }
      assert.equal("seen", assert(other:add { ip = "10.0.0.3", hostname = "a.lan" }).comment)
    end)
  end)
end
