-- Shards that root published into a directory where anybody may write were read and replaced through whatever another
-- user had put there. The other user is "nobody", by number, so this runs as root.
local expect = require "spec.support.expect"
local publishing = require "spec.support.publishing"
local system = require "spec.support.system"

local NOBODY = system.NOBODY

describe("shards in a directory for all", function()
  local store, directory, path

  local function shell(command) return system.shell(directory, command) end

  before_each(function()
    store, directory = publishing.begin()
    assert(store:add { ip = "10.0.0.1", hostname = "nas.lan" })
    shell "mkdir -m 1777 shared && mkdir real"
    path = directory .. "/shared/shards"
  end)
  after_each(publishing.finish)

  local function check_refused(reason)
    for _, dry_run in ipairs { true, false } do
      local result = store:publish_outputs({ { path = path, mode = "dir-shards" } }, { dry_run = dry_run })[1]
      local err = expect.failure("readonly", nil, result.error)
      assert.matches(reason, err.message, 1, true)
    end
    assert.same({}, system.files(directory .. "/real"))
  end

  it("are not written where a link of another user leads", function()
    shell("ln -s ../real shared/shards && chown -h " .. NOBODY .. " shared/shards")
    check_refused "belongs to another user"
    path = directory .. "/shared/shards/below"
    check_refused "belongs to another user"
  end)

  it("are not written into a directory of another user", function()
    shell("mkdir shared/shards && chown " .. NOBODY .. " shared/shards")
    check_refused "belongs to another user"
  end)

  it("are no links and files that another user has put there", function()
    path = directory .. "/shared"
    shell("ln -s ../real/x shared/hoststore-hosts && chown -h " .. NOBODY .. " shared/hoststore-hosts")
    check_refused "belongs to another user"
    shell("rm shared/hoststore-hosts && printf x >shared/hoststore-hosts && chown " .. NOBODY ..
      " shared/hoststore-hosts")
    check_refused "belongs to another user"
    assert.equal("x", system.read(directory .. "/shared/hoststore-hosts"))
    shell "rm shared/hoststore-hosts"
    assert.is_true(store:publish(path, { mode = "dir-shards" }))
  end)
end)
