-- The first `hoststore publish /etc/hosts` replaced what somebody had written there, and said "written".
local command_line = require "spec.support.command_line"
local publishing = require "spec.support.publishing"
local system = require "spec.support.system"

local read, write = system.read, system.write

describe("a file that hoststore has not published", function()
  local store, path, home

  before_each(function()
    local _
    store, path, _, home = publishing.begin_with_host()
    write(path, "127.0.0.1\tlocalhost\n")
  end)
  after_each(publishing.finish)

  local function publish(flags, output)
    output = output or {}
    output.path = path
    return store:publish_outputs({ output }, flags)[1]
  end

  for _, mode in ipairs { "file", "in-place" } do
    it("is left alone, in a dry run too, until it is adopted or forced away: mode " .. mode, function()
      for _, flags in ipairs { { dry_run = true }, {} } do
        local result = publish(flags, { mode = mode })
        assert.same({ "conflict", false, "unknown" }, { result.error.code, result.written, result.drift[1].kind })
        assert.matches("there is a file that hoststore has not published", result.error.message)
        assert.same({ "-10.0.0.1\tnas.lan", "+127.0.0.1\tlocalhost" }, result.drift[1].lines)
        assert.equal("127.0.0.1\tlocalhost\n", read(path))
      end
      assert.equal(1, publish({ adopt = true }, { mode = mode }).adopted.created)
      assert.equal(store:export "hosts", read(path))
      assert.is_nil(publish(nil, { mode = mode }).error)
    end)
  end

  it("is replaced with force, and by store:publish unless that is told not to", function()
    local written, err = store:publish(path, { force = false })
    assert.equal("conflict", written == nil and err.code)
    assert.is_true(store:publish(path))
    write(path .. "2", "127.0.0.1\tlocalhost\n")
    path = path .. "2"
    assert.is_true(publish({ force = true }).written)
    assert.is_nil(publish().error)
  end)

  it("is taken as it is when it is empty, or says what would be published", function()
    write(path, "")
    assert.is_true(publish().written)
    path = path .. "2"
    write(path, store:export "hosts")
    assert.is_nil(publish().error)
    assert(store:add { ip = "10.0.0.2", hostname = "new.lan" })
    assert.is_true(publish().written)
  end)

  it("may get a block, which is left alone when it is in the file already", function()
    assert.is_true(publish(nil, { mode = "block" }).written)
    write(path, "# BEGIN hoststore lan\n10.0.0.9 mine.lan\n# END hoststore lan\n")
    assert.equal("unknown", publish(nil, { mode = "block", name = "lan" }).drift[1].kind)
  end)

  it("ends the command line with 4, which shows what it holds", function()
    local code, output, errors = command_line.run { "--db", home .. "/hosts.db", "publish", path }
    assert.same({ 4, "" }, { code, output })
    assert.equal(([[
hoststore: %s is not what hoststore has published:
hoststore:   -10.0.0.1\tnas.lan
hoststore:   +127.0.0.1\tlocalhost
hoststore: %s: there is a file that hoststore has not published: adopt what it holds or force another
]]):format(path, path), errors)
  end)
end)
