-- What was published last was in the file, but the name server did not answer it: another process had met the
-- request for a reload in between asking for it and the file's taking its place.
local hoststore = require "hoststore"
local json = require "hoststore.json"
local pieces = require "hoststore.publish.piece"
local system = require "spec.support.system"

describe("a reload that another process runs while a file is about to be replaced", function()
  local home, commit

  before_each(function()
    home, commit = system.directory(), pieces.commit
  end)
  after_each(function()
    pieces.commit = commit
    system.remove(home)
  end)

  it("is not the one that was asked for: that comes behind the change", function()
    local store = assert(hoststore.open(home .. "/hosts.db"))
    local path, served = home .. "/hosts", home .. "/served"
    local reload = system.words(("cat %s >%s"):format(path, served))
    assert(store:add { ip = "10.0.0.1", hostname = "nas.lan" })
    assert.is_true(store:publish_outputs({ { path = path, reload = reload } })[1].reloaded)
    assert(store:add { ip = "10.0.0.2", hostname = "last.lan" })
    local other
    function pieces.commit(...)
      other = system.run(system.lua("spec/support/publisher.lua", home .. "/hosts.db",
        json.encode { { path = home .. "/other", reload = reload } }))
      return commit(...)
    end
    local result = store:publish_outputs({ { path = path, reload = reload } })[1]
    assert.equal(home .. "/other\twritten\ttrue\t\n", other)
    assert.same({ true, true, false }, { result.written, result.reloaded, result.reload.due })
    assert.equal(store:export "hosts", system.read(served))
    store:close()
  end)
end)
