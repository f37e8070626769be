-- In the table of `publish`, an output that its checker had refused was told as reloaded, when another one shared its
-- command; and `publish FILE --dry-run` did not say that a reload was still to be run.
local command_line = require "spec.support.command_line"
local publishing = require "spec.support.publishing"
local system = require "spec.support.system"

describe("a reload", function()
  local store, path, directory, home

  before_each(function() store, path, directory, home = publishing.begin_with_host() end)
  after_each(publishing.finish)

  it("is not told as done of an output that was not published", function()
    local results = store:publish_outputs { { path = directory .. "/a", reload = { "true" } },
      { path = directory .. "/b", reload = { "true" }, check = { "false" } } }
    assert.same({ true, true }, { results[1].reloaded, results[1].written })
    assert.is_nil(results[2].reloaded)
    assert.same({ "invalid", "check" }, { results[2].error.code, results[2].error.field })
  end)

  it("that fails leaves the error of an output that was not published as it was", function()
    local results = store:publish_outputs { { path = directory .. "/a", reload = { "false" } },
      { path = directory .. "/b", reload = { "false" }, check = { "false" } } }
    assert.same({ false, "reload" }, { results[1].reloaded, results[1].error.field })
    assert.is_nil(results[2].reloaded)
    assert.equal("check", results[2].error.field)
  end)

  it("that is due is told in a dry run of one file", function()
    local function dry_run(words)
      local code, output, errors = command_line.run { "--db", home .. "/hosts.db", "publish", path, "--dry-run",
        "--reload", words }
      assert.equal(0, code)
      return output .. errors
    end
    local reload = "test -e " .. directory .. "/flag"
    store:publish(path, { reload = { "test", "-e", directory .. "/flag" } })
    assert.matches("the reload is due", dry_run(reload), 1, true)
    system.write(directory .. "/flag", "")
    assert(store:publish(path, { reload = { "test", "-e", directory .. "/flag" } }) ~= nil)
    assert.is_nil(dry_run(reload):find("is due", 1, true))
  end)
end)
