-- `publish --adopt` said what was wrong with a line that somebody had written, and not where it stood.
local publishing = require "spec.support.publishing"
local system = require "spec.support.system"

describe("a bad line of a file that is to be adopted", function()
  local store, path

  before_each(function() store, path = publishing.begin_with_host() end)
  after_each(publishing.finish)

  local function adopt(mode, number)
    local err = store:publish_outputs({ { path = path, mode = mode } }, { adopt = true })[1].error
    assert.same({ "invalid", number }, { err.code, err.line })
    assert.equal(1, (err.message:find(("%s:%d: "):format(path, number), 1, true)))
  end

  it("is named by the number it has in the file", function()
    system.write(path, "# ours\n10.0.0.1 nas.lan\n10.0.0.2 good.lan\n10.0.0.3\n10.0.0.4\n")
    adopt("file", 4)
    system.write(path, "# ours\n10.0.0.1 nas.lan\nno.address bad.lan\n")
    adopt("file", 3)
  end)

  it("is named by the number it has in the file, also within a block", function()
    system.write(path, "127.0.0.1 localhost\n\n")
    assert.is_true(store:publish(path, { mode = "block" }))
    publishing.edit(path, "# END", "10.0.0.3\n%0")
    adopt("block", 5)
  end)
end)
