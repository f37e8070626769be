local publishing = require "spec.support.publishing"
local sys = require("hoststore.core").sys
local system = require "spec.support.system"

local files, read, write = publishing.files, system.read, system.write
local unshare = system.namespace()

describe("publishing in place", function()
  local store, path, directory, home

  before_each(function() store, path, directory, home = publishing.begin_with_host() end)

  after_each(publishing.finish)

  local function publish(flags)
    return store:publish_outputs({ { path = path, mode = "in-place" } }, flags)[1]
  end

  it("writes into the same file, which keeps its mode, whether it grows or shrinks", function()
    write(path, ("x"):rep(100000))
    system.run("chmod 640 " .. path)
    local inode = sys.stat(path).inode
    assert.is_true(publish({ force = true }).written)
    assert.equal("10.0.0.1\tnas.lan\n", read(path))
    for i = 2, 9 do
      assert(store:add { ip = "10.0.0." .. i, hostname = "h" .. i, comment = ("c"):rep(i * 1000) })
    end
    assert.is_true(publish().written)
    assert.equal(store:export "hosts", read(path))
    assert.same({ inode, 416 }, { sys.stat(path).inode, sys.stat(path).mode })
    assert.is_false(publish().changed)
    assert.same({ "hosts" }, files(directory))
  end)

  it("makes a file that is not there", function()
    assert.is_true(publish().written)
    assert.same({ "hosts" }, files(directory))
    assert.equal(store:export "hosts", read(path))
  end)

  it("notices a file whose writing was cut short, and completes it without taking it for a change by hand", function()
    publish()
    assert(store:add { ip = "10.0.0.2", hostname = "new.lan" })
    local new = store:export "hosts"
    -- What a power cut leaves: the whole copy, and some of both in the file.
    write(directory .. "/.hosts.hoststore-copy", new)
    write(path, new:sub(1, 20))
    local result = publish()
    assert.is_nil(result.error)
    assert.is_true(result.written)
    assert.equal(new, read(path))
    assert.same({ "hosts" }, files(directory))
    -- Without the copy that is what it looks like.
    write(path, new:sub(1, 20))
    assert.equal("conflict", publish().error.code)
  end)

  it("forgets the copy of a writing that had come to its end", function()
    publish()
    write(directory .. "/.hosts.hoststore-copy", read(path))
    assert.is_false(publish().written)
    assert.same({ "hosts" }, files(directory))
  end)

  it("has a checker look at the new text before the file is touched", function()
    write(path, "old\n")
    local output = { path = path, mode = "in-place", check = { "false" } }
    local result = store:publish_outputs({ output }, { force = true })[1]
    assert.same({ "invalid", "old\n" }, { result.error.code, read(path) })
    assert.same({ "hosts" }, files(directory))
  end)

  it("shows what was changed by hand, and takes it over", function()
    publish()
    write(path, "10.0.0.7 seven.lan\n")
    local inode, result = sys.stat(path).inode, publish()
    assert.equal("conflict", result.error.code)
    assert.same({ { path = path, kind = "changed", against = "published", more = 0,
      lines = { "-10.0.0.1\tnas.lan", "+10.0.0.7 seven.lan" } } }, result.drift)
    assert.same({ created = 1, updated = 0, enabled = 0, deleted = 1, dropped = 0 }, publish({ adopt = true }).adopted)
    assert.same({ "10.0.0.7\tseven.lan\n", inode }, { read(path), sys.stat(path).inode })
  end)

  it("loses no file, whatever step it is killed at: the next publish completes what was begun", function()
    publish()
    local output, finished = { path = path, mode = "in-place" }, false
    local inode, steps = sys.stat(path).inode, 0
    while not finished do
      steps = steps + 1
      assert(store:add { ip = "10.0.1." .. steps, hostname = "h" .. steps })
      local old, new = read(path), store:export "hosts"
      finished = system.run(publishing.process(output, steps)):find "written"
      assert.is_true(read(path) == old or read(path) == new)
      local result = publish()
      assert.is_nil(result.error)
      assert.equal(new, read(path))
      assert.same({ "hosts" }, files(directory))
    end
    assert.equal(inode, sys.stat(path).inode)
    assert.is_true(steps > 8)
  end)

  if unshare then
    -- A directory as a jail sees it: the file in it is mounted by itself.
    local function in_jail(script)
      write(directory .. "/real", "old\n")
      write(path, "")
      write(home .. "/script.lua", ([[
local hoststore = require "hoststore"
local store = assert(hoststore.open(%q))
local path, real = %q, %q
local function read(name) return (io.open(name):read "*a") end
]]):format(home .. "/hosts.db", path, directory .. "/real") .. script)
      return (system.run(unshare .. "sh -c " .. system.quote(("mount --bind %s/real %s && exec %s"):format(directory,
        path, system.lua(home .. "/script.lua")))))
    end

    it("reaches a file that is bind-mounted, and everybody who has it mounted", function()
      assert.equal("true\n10.0.0.1\tnas.lan\n10.0.0.1\tnas.lan\nfalse\n", in_jail [[
local function publish() return store:publish_outputs({ { path = path, mode = "in-place" } }, { force = true })[1] end
print(publish().written)
io.write(read(path), read(real))
print(publish().changed)
]])
      assert.same({ "hosts", "real" }, files(directory))
    end)

    it("is what a file that is mounted asks for, and a block in it can have too", function()
      local output = in_jail [[
local result = store:publish_outputs({ { path = path } }, { force = true })[1]
print(result.error.code, result.error.message)
io.write(read(path))
print(store:publish_outputs({ { path = path, mode = "block" } })[1].error.code)
print(store:publish_outputs({ { path = path, mode = "block", in_place = true } })[1].written)
io.write(read(real))
]]
      -- What the system calls it is the library's.
      assert.equal("query\t" .. path .. [[
: busy; it is mounted by itself and takes mode in-place, or in_place with a block
old
query
true
old
# BEGIN hoststore hosts
10.0.0.1	nas.lan
# END hoststore hosts
]], (output:gsub(": [^;\n]*busy;", ": busy;")))
      assert.same({ "hosts", "real" }, files(directory))
    end)
  end
end)
