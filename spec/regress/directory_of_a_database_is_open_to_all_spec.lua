-- The database was for its owner alone, but the directory that was made for it was open to everybody, against what the
-- README said.
local hoststore = require "hoststore"
local system = require "spec.support.system"

describe("the directory that is made for a database", function()
  it("is for its owner alone, with all on the way to it", function()
    local directory = system.directory()
    finally(function() system.remove(directory) end)
    assert(hoststore.open(directory .. "/a/b/hosts.db")):close()
    assert.equal("700 700 600", (system.run(("cd %s && stat -c %%a a a/b a/b/hosts.db | xargs echo"):format(directory))
      :gsub("%s+$", "")))
  end)

  it("stays as it is when it is there", function()
    local directory = system.directory()
    finally(function() system.remove(directory) end)
    system.run("mkdir -m 0755 " .. directory .. "/a")
    assert(hoststore.open(directory .. "/a/hosts.db")):close()
    assert.equal("755", (system.run(("stat -c %%a %s/a"):format(directory)):gsub("%s+$", "")))
  end)
end)
