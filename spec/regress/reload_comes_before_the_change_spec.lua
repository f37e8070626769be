-- What was published last was in the file, but the name server did not answer it: another process had met the
-- request for a reload in between asking for it and the file's taking its place.
local pieces = require "hoststore.publish.piece"
local publishing = require "spec.support.publishing"
local system = require "spec.support.system"

describe("a reload that another process runs while a file is about to be replaced", function()
  local store, directory, commit

  before_each(function()
    store, directory = publishing.begin()
    commit = pieces.commit
  end)
  after_each(function()
    pieces.commit = commit
    publishing.finish()
  end)

  it("is not the one that was asked for: that comes behind the change", function()
    local path, served = directory .. "/hosts", directory .. "/served"
    local reload = system.words(("cat %s >%s"):format(path, served))
    assert(store:add { ip = "10.0.0.1", hostname = "nas.lan" })
    assert.is_true(store:publish_outputs({ { path = path, reload = reload } })[1].reloaded)
    assert(store:add { ip = "10.0.0.2", hostname = "last.lan" })
    local other
    function pieces.commit(...)
      other = system.run(publishing.process { path = directory .. "/other", reload = reload })
      return commit(...)
    end
    local result = store:publish_outputs({ { path = path, reload = reload } })[1]
    assert.equal(directory .. "/other\twritten\ttrue\t\n", other)
    assert.same({ true, true, false }, { result.written, result.reloaded, result.reload.due })
    assert.equal(store:export "hosts", system.read(served))
  end)
end)
