-- `hoststore publish --outputs /tmp/outputs.json` ran the commands that another user had written there, and templates
-- were read from wherever another user's link led. The other user is "nobody", by number, so this runs as root.
local command_line = require "spec.support.command_line"
local publishing = require "spec.support.publishing"
local system = require "spec.support.system"

local NOBODY = system.NOBODY

describe("what is read to be acted on, in a directory for all:", function()
  local store, target, directory, home

  local function shell(command) return system.shell(directory, command) end

  local function run(...)
    local code, output, errors = command_line.run { "--db", home .. "/hosts.db", ... }
    return code, output .. errors
  end

  before_each(function()
    store, target, directory, home = publishing.begin_with_host()
    shell "mkdir -m 1777 shared"
    system.write(directory .. "/shared/outputs", ('[{"path":"%s","reload":["touch","%s/ran"]}]'):format(target,
      directory))
    system.write(directory .. "/shared/template", "a template")
  end)
  after_each(publishing.finish)

  local function check_refused(reason, ...)
    local code, said = run(...)
    assert.equal(1, code)
    assert.matches(reason, said, 1, true)
    assert.equal("", (system.run(("find %s -name hosts -o -name ran"):format(directory))))
  end

  it("outputs of another user, or that anybody may write to, are not used", function()
    local path = directory .. "/shared/outputs"
    shell("chown " .. NOBODY .. " shared/outputs")
    check_refused("it belongs to another user, in a directory that anybody may write to; chown it if you trust what it",
      "publish", "--outputs", path)
    shell "chown 0 shared/outputs && chmod o+w shared/outputs"
    check_refused("anybody may write to it; take that away with chmod o-w", "publish", "--outputs", path)
    shell "chmod o-w shared/outputs && chmod -t shared"
    check_refused("take that away with chmod o-w", "publish", "--outputs", path)
    shell "chmod +t shared"
    assert.equal(0, (run("publish", "--outputs", path)))
  end)

  it("a template of another user is not read, by an output or to be rendered", function()
    local path = directory .. "/shared/template"
    shell("chown " .. NOBODY .. " shared/template")
    check_refused("it belongs to another user", "render", path)
    local result = store:publish_outputs({ { path = target, template = { path = path } } })[1]
    assert.matches("it belongs to another user", result.error.message, 1, true)
    shell "chown 0 shared/template"
    assert.same({ 0, "a template" }, { run("render", path) })
  end)
end)
