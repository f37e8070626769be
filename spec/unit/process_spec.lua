local core = require "hoststore.core"
local neutral = require "hoststore.neutral"
local system = require "spec.support.system"

local sys = core.sys
local words = system.words

describe("spawn", function()
  it("says how a program ended and what it wrote, to stderr too", function()
    local result = assert(sys.spawn(words "echo out; echo err >&2; exit 3"))
    assert.same({ status = 3, timed_out = false, output = "out\nerr\n" }, result)
    result = assert(sys.spawn(words "kill -9 $$"))
    assert.same({ nil, 9, "" }, { result.status, result.signal, result.output })
  end)

  it("runs the words as they are: no shell reads them", function()
    local result = assert(sys.spawn { "env", "-u", "LD_PRELOAD", "printf", "%s|", "$(id)", "a b", "*", "" })
    assert.equal("$(id)|a b|*||", result.output)
  end)

  it("gives it nothing to read", function()
    assert.equal("0\n", assert(sys.spawn(words "wc -c")).output)
  end)

  it("says why a program cannot be run", function()
    local result, message, errno = sys.spawn { "/nonexistent/program" }
    assert.is_nil(result)
    assert.same({ "cannot run /nonexistent/program: No such file or directory", sys.errno.ENOENT }, { message, errno })
  end)

  it("ends one that takes too long, and what it has started, even when it does not listen", function()
    local directory = system.directory()
    local script = "trap '' TERM; sleep 1000 & echo $! >" .. directory .. "/pid; while :; do sleep 1000; done"
    local result = assert(sys.spawn(words(script), { timeout = 0.2 }))
    assert.same({ true, 9 }, { result.timed_out, result.signal })
    local pid = system.read(directory .. "/pid"):match "%d+"
    system.wait("the child is gone", function()
      return select(2, system.run("kill -0 " .. pid)) ~= 0 or system.run("ps -o stat= -p " .. pid):find "^Z" ~= nil
    end)
    system.remove(directory)
  end)

  it("keeps no more of the output than the limit, and is not stopped by a flood", function()
    local result = assert(sys.spawn(words "yes | head -c 1000000; echo end >&2", { limit = 10 }))
    assert.same({ 0, "y\ny\ny\ny\ny\n" }, { result.status, result.output })
    assert.is_true(assert(sys.spawn(words "exec yes", { timeout = 0.1 })).timed_out)
  end)

  it("does not wait for a daemon that was left behind with its output open", function()
    local result = assert(sys.spawn(words "sleep 1000 & echo $!", { timeout = 100 }))
    local _, running = system.run("kill " .. result.output)
    assert.same({ 0, 0 }, { result.status, running })
  end)

  it("keeps the locks of this process from what it starts", function()
    local path = os.tmpname()
    local lock = assert(sys.lock(path))
    local pid = assert(sys.spawn(words "sleep 1000 & echo $!")).output
    lock:release()
    local again, message = sys.lock(path)
    system.run("kill " .. pid)
    os.remove(path)
    assert(again, message):release()
  end)

  it("raises for what are no words", function()
    assert.error(function() sys.spawn {} end)
    assert.error(function() sys.spawn { "echo", 1 } end)
    assert.error(function() sys.spawn { "echo", "a\0b" } end)
    assert.error(function() sys.spawn "echo" end)
  end)
end)

describe("sys", function()
  local directory

  before_each(function() directory = system.directory() end)
  after_each(function() system.remove(directory) end)

  it("gives a lock to one at a time, and lets go of it when its process is killed", function()
    local path = directory .. "/lock"
    local lock = assert(sys.lock(path))
    assert.is_false(sys.lock(path))
    lock:release()
    lock:release()
    local script = directory .. "/hold.lua"
    system.write(script, ('local lock = assert(require("hoststore.core").sys.lock(%q))\n'):format(path) ..
      'io.write(io.open("/proc/self/stat"):read "*n", "\\n") io.flush() while true do end\n')
    local pipe = system.popen("exec " .. system.lua(script))
    local pid = ("%d"):format(pipe:read "*n")
    assert.is_false(sys.lock(path))
    system.run("kill -9 " .. pid)
    pipe:close()
    system.wait("the lock is free", function()
      lock = sys.lock(path)
      return lock
    end)
    lock:release()
  end)

  it("does not follow a link to make a lock", function()
    system.run("ln -s elsewhere " .. directory .. "/lock")
    assert.is_nil((sys.lock(directory .. "/lock")))
    assert.same({ "lock" }, system.files(directory))
  end)

  it("knows the digest of a text, of its parts and of a file: FNV-1a 64", function()
    assert.same({ "cbf29ce484222325", "af63dc4c8601ec8c", "85944171f73967e8" },
      { sys.digest "", sys.digest "a", sys.digest "foobar" })
    assert.equal(sys.digest "foobar", sys.digest("bar", sys.digest "foo"))
    system.write(directory .. "/file", ("x\0"):rep(20000))
    assert.same({ sys.digest(("x\0"):rep(20000)), 40000 }, { sys.file_digest(directory .. "/file") })
    assert.is_nil((sys.file_digest(directory .. "/missing")))
    assert.is_nil((sys.file_digest(directory)))
  end)

  it("lists the names in a directory", function()
    system.write(directory .. "/.dot", "")
    system.write(directory .. "/a", "")
    local names = assert(sys.list(directory))
    table.sort(names, neutral.is_before)
    assert.same({ ".dot", "a" }, names)
    assert.is_nil((sys.list(directory .. "/missing")))
  end)

  it("overwrites a file that stays the same one, with longer and shorter text", function()
    local path, source = directory .. "/file", directory .. "/source"
    system.write(path, "old")
    local inode = sys.stat(path).inode
    for _, text in ipairs { ("long"):rep(10000), "", "x" } do
      system.write(source, text)
      assert.is_true(sys.overwrite(path, source))
      assert.equal(text, system.read(path))
      assert.equal(inode, sys.stat(path).inode)
    end
    assert.is_nil((sys.overwrite(directory .. "/missing", source)))
    assert.is_nil((sys.overwrite(path, directory .. "/missing")))
    assert.equal("x", system.read(path))
  end)

  local unshare = system.namespace()
  if unshare then
    it("leaves a file as it was when there is no room to overwrite it", function()
      local mount = directory .. "/mount"
      assert(sys.mkdir_p(mount))
      system.write(directory .. "/source", ("x"):rep(200000))
      system.write(directory .. "/overwrite.lua", [[
local sys = require("hoststore.core").sys
local path = arg[1] .. "/mount/file"
local file = assert(io.open(path, "w"))
file:write(("old\n"):rep(5000))
file:close()
local done, _, errno = sys.overwrite(path, arg[1] .. "/source")
print(done, errno == sys.errno.ENOSPC, io.open(path):read "*a" == ("old\n"):rep(5000))
]])
      assert.equal("nil\ttrue\ttrue\n", (system.run(unshare .. "sh -c " .. system.quote(
        ("mount -t tmpfs -o size=100k none %s && exec %s"):format(mount,
          system.lua(directory .. "/overwrite.lua", directory))))))
    end)
  end

  it("makes a new file under a known name, over what has been left there", function()
    local path = directory .. "/file"
    system.write(directory .. "/.file.new", "left")
    local replacement = assert(sys.replace(path, 416, "new"))
    assert.equal(directory .. "/.file.new", replacement:temporary())
    assert(replacement:write "text")
    assert(replacement:prepare())
    assert.same({ ".file.new" }, system.files(directory))
    assert(replacement:commit())
    assert.same({ "file" }, system.files(directory))
    assert.same({ "text", 416 }, { system.read(path), sys.stat(path).mode })
    local long = ("n"):rep(255)
    replacement = assert(sys.replace(directory .. "/" .. long, nil, "hoststore-new"))
    assert.equal(255, #system.files(directory)[1])
    assert(replacement:commit())
    assert.error(function() sys.replace(path, nil, "a/b") end)
  end)
end)
