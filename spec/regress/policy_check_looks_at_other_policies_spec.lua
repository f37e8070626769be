-- `hoststore policy check` looked at /etc/hoststore/policies when the database, and with it the directory of
-- the policies, was named by HOSTSTORE_DB; and a wrong URL was no error.

local system = require "spec.support.system"

describe("hoststore policy check", function()
  it("looks at the policies of the database that HOSTSTORE_DB names", function()
    local directory = system.directory()
    system.write(directory .. "/10-mine.lua", "tag { name = 'mine', add = 'mine' }\n")
    local command = system.lua "lua/hoststore.command"
    local function run(url, words)
      return system.run(("HOSTSTORE_DB=%s %s policy %s"):format(system.quote(url), command, words))
    end
    assert.same({ "10-mine.lua: rules: 1, tests: 0\nok: files: 1\n", 0 },
      { run(("sqlite://%s/x.db?policies=%s"):format(directory, directory), "check") })
    assert.same({ "0 passed, 0 failed\n", 0 },
      { run(("sqlite://%s/x.db?policies=%s"):format(directory, directory), "test") })
    local output, status = run("sqlite:x.db?polices=/nowhere", "check")
    assert.matches("polices", output)
    assert.equal(1, status)
    system.remove(directory)
  end)
end)
