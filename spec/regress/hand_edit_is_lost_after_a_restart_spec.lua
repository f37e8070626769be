-- What publishing knew of a file was in /var/run, which a restart empties; the next publish then overwrote what
-- somebody had changed in the file by hand, without a word.
local publishing = require "spec.support.publishing"
local sys = require("hoststore.core").sys
local system = require "spec.support.system"

local read, write = system.read, system.write

describe("a file that was changed by hand before a restart", function()
  local store, path, directory, home

  before_each(function() store, path, directory, home = publishing.begin_with_host() end)
  after_each(publishing.finish)

  local function run_directory()
    return os.getenv "HOSTSTORE_RUN"
  end

  local function restart()
    system.run("rm -rf " .. run_directory() .. "/*")
  end

  local function facts_beside()
    return (system.run("ls -A " .. directory):match "(%.hoststore%-%x+%.state)\n")
  end

  for _, mode in ipairs { "file", "in-place", "block" } do
    it("is left alone behind it, in mode " .. mode, function()
      local function publish() return store:publish_outputs({ { path = path, mode = mode } })[1] end
      publish()
      restart()
      assert.is_false(publish().changed)
      publishing.edit(path, "nas.lan\n", "nas.lan # by hand\n")
      local changed = read(path)
      assert(store:add { ip = "10.0.0.2", hostname = "new.lan" })
      restart()
      local result = publish()
      assert.equal("conflict", result.error and result.error.code)
      assert.same({ changed, "changed", "published" }, { read(path), result.drift[1].kind, result.drift[1].against })
    end)
  end

  it("is one of the shards and left alone", function()
    local function publish() return store:publish_outputs({ { path = directory, mode = "dir-shards" } })[1] end
    publish()
    write(directory .. "/hoststore-hosts", "10.0.0.9 mine.lan\n")
    restart()
    assert.equal("conflict", publish().error.code)
  end)

  it("is known by what an older release has kept in that directory, until that is kept beside it", function()
    local function publish() return store:publish_outputs({ { path = path } })[1] end
    publish()
    local name = facts_beside()
    local old = run_directory() .. "/" .. name:match "%-(.*)$"
    write(old, read(directory .. "/" .. name))
    assert(os.remove(directory .. "/" .. name))
    local before = read(path)
    write(path, before .. "10.0.0.9 mine.lan\n")
    assert.equal("changed", publish().drift[1].kind)
    write(path, before)
    assert(store:add { ip = "10.0.0.2", hostname = "new.lan" })
    assert.is_true(publish().written)
    assert.same({ name }, { facts_beside() })
    assert.is_nil(sys.stat(old))
  end)

  local unshare = system.namespace()
  if unshare then
    it("is known by what is kept in that directory where nothing can be kept beside it", function()
      write(home .. "/hosts", "")
      write(path, "")
      write(home .. "/script.lua", ([[
local hoststore = require "hoststore"
local store = assert(hoststore.open(%q))
local function publish() return store:publish_outputs({ { path = %q, mode = "in-place" } })[1] end
print(publish().written, publish().changed)
local file = io.open(%q, "a")
file:write("10.0.0.9 mine.lan\n")
file:close()
print(publish().error.code)
]]):format(home .. "/hosts.db", path, path))
      local script = ("mount --bind %s %s && mount -o remount,bind,ro %s && mount --bind %s/hosts %s && exec %s")
        :format(directory, directory, directory, home, path, system.lua(home .. "/script.lua"))
      assert.equal("true\tfalse\nconflict\n", (system.run(unshare .. "sh -c " .. system.quote(script))))
      assert.is_nil(facts_beside())
    end)
  end
end)
