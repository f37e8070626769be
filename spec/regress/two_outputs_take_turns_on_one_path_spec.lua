-- Two outputs with one path overwrote each other at every publish, and each told the server to reload.
local publishing = require "spec.support.publishing"
local system = require "spec.support.system"

describe("two outputs with one path", function()
  local store, path, directory

  before_each(function() store, path, directory = publishing.begin_with_host() end)
  after_each(publishing.finish)

  local function codes(list, flags)
    local found = {}
    for i, result in ipairs(store:publish_outputs(list, flags)) do
      found[i] = result.error and result.error.code or "ok"
    end
    return table.concat(found, " ")
  end

  it("are one too many: the second is refused, and both are named", function()
    assert(os.execute(("ln -s hosts %s/link"):format(directory)))
    local list = { { name = "lan", path = path },
      { name = "guests", path = directory .. "/../" .. directory:match "[^/]+$" .. "/link",
        filter = { tags = { "guest" } } },
      { name = "other", path = directory .. "/other" } }
    assert.equal("ok invalid ok", codes(list, { dry_run = true }))
    assert.equal("ok invalid ok", codes(list))
    local results = store:publish_outputs(list)
    assert.matches("output 2: 'lan' and 'guests' would both write .*/link; give each a path of its own",
      results[2].error.message)
    assert.same({ false, "guests" }, { results[1].changed, results[2].name })
    assert.equal(store:export "hosts", system.read(path))
  end)

  it("are refused in whatever mode, but for blocks and shards of two names", function()
    assert.equal("ok ok invalid invalid", codes {
      { path = path, mode = "block", name = "a" }, { path = path, mode = "block", name = "b" },
      { path = path, mode = "block", name = "a" }, { path = path } })
    assert.equal("ok ok invalid", codes { { path = directory .. "/d", mode = "dir-shards", name = "a" },
      { path = directory .. "/d", mode = "dir-shards", name = "b" },
      { path = directory .. "/d/", mode = "dir-shards", name = "a" } })
  end)
end)
