-- `publish --adopt` with several outputs published the ones before the adopted one without its hosts.
local publishing = require "spec.support.publishing"
local system = require "spec.support.system"

describe("a line adopted from one of several outputs", function()
  local store, directory, list

  before_each(function()
    store, directory = publishing.begin()
    assert(store:add { ip = "10.0.0.1", hostname = "nas.lan" })
    list = { { path = directory .. "/a", mode = "dir-shards" }, { path = directory .. "/b" },
      { path = directory .. "/c", mode = "block" } }
    store:publish_outputs(list)
    system.write(directory .. "/b", "10.0.0.1 nas.lan\n10.0.0.2 new.lan\n")
  end)
  after_each(publishing.finish)

  it("is in all of them, which are written once each", function()
    for _, output in ipairs(list) do
      output.check = { "sh", "-c", "echo >>" .. directory .. "/checks" }
    end
    local results = store:publish_outputs(list, { adopt = true })
    for i, result in ipairs(results) do
      assert.is_nil(result.error)
      assert.is_true(result.written)
      assert.equal(i == 2 and 1 or nil, result.adopted and result.adopted.created)
      assert.equal(i == 2, result.drift ~= nil)
      assert.is_nil(result.replaceable)
    end
    assert.equal("\n\n\n", system.read(directory .. "/checks"))
    for _, name in ipairs { "a/hoststore-hosts", "b", "c" } do
      assert.matches("10.0.0.2\tnew.lan\n", system.read(directory .. "/" .. name), 1, true)
    end
    for _, result in ipairs(store:publish_outputs(list)) do
      assert.is_false(result.changed)
    end
  end)

  it("comes into the others also when one of them cannot be adopted", function()
    system.write(directory .. "/c", "nothing of ours\n")
    local results = store:publish_outputs(list, { adopt = true })
    assert.same({ true, true, false }, { results[1].written, results[2].written, results[3].written })
    assert.equal("conflict", results[3].error.code)
    assert.equal("nothing of ours\n", system.read(directory .. "/c"))
    assert.matches("10.0.0.2\tnew.lan\n", system.read(directory .. "/a/hoststore-hosts"), 1, true)
  end)

  it("is only shown in a dry run", function()
    local results = store:publish_outputs(list, { adopt = true, dry_run = true })
    assert.same({ 1, false }, { results[2].adopted.created, results[2].written })
    assert.equal(1, store:count())
    assert.equal("10.0.0.1 nas.lan\n10.0.0.2 new.lan\n", system.read(directory .. "/b"))
  end)
end)
