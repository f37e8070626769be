local core = require "hoststore.core"
local file = require "hoststore.file"
local system = require "spec.support.system"

local sys = core.sys
local files, read, write = system.files, system.read, system.write

local function run(...)
  local output, status = system.run(table.concat({ ... }, " "))
  assert(status == 0, output)
end

local function saying(...)
  local texts = { ... }
  return function(sink)
    for _, text in ipairs(texts) do
      sink(text)
    end
    return #texts
  end
end

describe("file", function()
  local directory

  before_each(function()
    directory = system.directory()
    assert(sys.mkdir_p(directory .. "/a/b", 448))
  end)

  after_each(function()
    system.remove(directory)
  end)

  describe("failure", function()
    it("has the code a caller can act on", function()
      local _, message, errno = io.open("/nonexistent")
      local err = file.failure(message, errno)
      assert.same({ "not_found", message }, { err.code, tostring(err) })
      for name, code in pairs { EROFS = "readonly", EACCES = "readonly", ENOSPC = "full", EDQUOT = "full" } do
        assert.equal(code, file.failure("x", sys.errno[name]).code)
      end
      assert.equal("query", file.failure("x").code)
    end)
  end)

  describe("try", function()
    it("returns a raised error of the store and lets all else go on", function()
      assert.equal(3, file.try(function(n) return n end, 3))
      local raised = core.error { code = "busy", message = "b" }
      local result, err = file.try(error, raised)
      assert.is_nil(result)
      assert.equal(raised, err)
      assert.error_matches(function() file.try(error, "mine", 0) end, "^mine$")
    end)
  end)

  describe("resolve", function()
    it("follows symbolic links, relative, dangling and chained", function()
      run("ln -s b/file", directory .. "/a/one")
      run("ln -s", directory .. "/a/one", directory .. "/two")
      assert.equal(directory .. "/a/b/file", file.resolve(directory .. "/two"))
      assert.equal(directory .. "/a/b", file.resolve(directory .. "/a/b"))
    end)

    it("gives up on a loop", function()
      run("ln -s loop", directory .. "/loop")
      local target, err = file.resolve(directory .. "/loop")
      assert.is_nil(target)
      assert.same({ "query", directory .. "/loop: " }, { err.code, err.message:sub(1, #directory + 7) })
    end)
  end)

  describe("replace", function()
    it("makes a new file with mode 0644, whatever the umask", function()
      local path = directory .. "/new"
      assert.equal(2, file.replace(path, saying("one\n", "two\n")))
      assert.equal("one\ntwo\n", read(path))
      assert.equal(420, sys.stat(path).mode)
      assert.same({ "new" }, files(directory))
    end)

    it("keeps mode and owner of the file it replaces", function()
      local path = directory .. "/old"
      write(path, "old")
      run("chmod 2640", path)
      if system.run("id -u") == "0\n" then
        run("chown 12:34", path)
        run("chmod 2640", path)
      end
      local before = sys.stat(path)
      assert(file.replace(path, saying("new text")))
      local after = sys.stat(path)
      assert.same({ before.mode, before.uid, before.gid, 8 }, { after.mode, after.uid, after.gid, after.size })
    end)

    it("follows a symbolic link, to where nothing is yet too", function()
      run("ln -s a/b/target", directory .. "/link")
      assert(file.replace(directory .. "/link", saying("x")))
      assert.equal("a/b/target", sys.readlink(directory .. "/link"))
      assert.equal("x", read(directory .. "/a/b/target"))
      assert.same({ "target" }, files(directory .. "/a/b"))
    end)

    it("works under a dot name in the same directory, with the name as long as names can be", function()
      local name = ("n"):rep(255)
      local seen
      assert.is_true(file.replace(directory .. "/a/b/" .. name, function(sink)
        sink("x")
        seen = files(directory .. "/a/b")[1]
        return true
      end))
      assert.equal(255, #seen)
      assert.equal(".nnn", seen:sub(1, 4))
      assert.same({ name }, files(directory .. "/a/b"))
    end)

    it("leaves the old file and nothing else when its content cannot be made", function()
      local path = directory .. "/file"
      write(path, "old")
      assert.error_matches(function()
        file.replace(path, function(sink)
          sink(("x"):rep(100000))
          error("mine", 0)
        end)
      end, "^mine$")
      local failure = core.error { code = "busy", message = "b" }
      local result, err = file.replace(path, function() error(failure, 0) end)
      assert.is_nil(result)
      assert.equal(failure, err)
      assert.equal("old", read(path))
      assert.same({ "file" }, files(directory))
    end)

    it("refuses directories and devices, and says so", function()
      local result, err = file.replace(directory, saying("x"))
      assert.same({ "invalid", directory .. ": is a directory; give the path of a regular file" },
        { result or err.code, err.message })
      result, err = file.replace("/dev/null", saying("x"))
      assert.equal("invalid", result or err.code)
      assert.equal("other", sys.stat("/dev/null").type)
      result, err = file.replace(directory .. "/missing/file", saying("x"))
      assert.equal("not_found", result or err.code)
    end)

    it("reports that there is no room and leaves nothing", function()
      local script = directory .. "/fill.lua"
      write(script, [[
local result, err = require("hoststore.file").replace(arg[1], function(sink) sink(("x"):rep(200000)) end)
print(result, err.code)
]])
      -- A limit of the size of files stands for a disk without room; without the trap it would kill.
      local output = system.run("trap '' XFSZ; ulimit -f 64; " .. system.lua(script, directory .. "/a/b/file"))
      assert.equal("nil\tfull\n", output)
      assert.same({}, files(directory .. "/a/b"))
    end)
  end)

  describe("compare", function()
    it("says whether the file holds just that", function()
      local path = directory .. "/file"
      assert.is_false(file.compare(path, saying("x")))
      write(path, "one\ntwo\n")
      assert.is_true(file.compare(path, saying("one\n", "two\n")))
      assert.is_false(file.compare(path, saying("one\n")))
      assert.is_false(file.compare(path, saying("one\n", "two\n", "three\n")))
      assert.is_false(file.compare(path, saying("one\n", "twX\n")))
      assert.is_false(file.compare(path, saying()))
      write(path, "")
      assert.is_true(file.compare(path, saying()))
    end)

    it("stops at the first difference", function()
      local path, after = directory .. "/file", false
      write(path, "abc")
      file.compare(path, function(sink)
        sink("x")
        after = true
      end)
      assert.is_false(after)
    end)

    it("passes on what goes wrong while the text is made", function()
      local path = directory .. "/file"
      write(path, "abc")
      local failure = core.error { code = "corrupt", message = "c" }
      local same, err = file.compare(path, function() error(failure, 0) end)
      assert.is_nil(same)
      assert.equal(failure, err)
      assert.error_matches(function() file.compare(path, function() error("mine", 0) end) end, "^mine$")
    end)
  end)
end)

describe("sys", function()
  local directory

  before_each(function()
    directory = system.directory()
  end)

  after_each(function()
    system.remove(directory)
  end)

  it("makes missing directories and welcomes those that are there", function()
    assert.is_true(sys.mkdir_p(directory .. "/x//y/", 448))
    assert.is_true(sys.mkdir_p(directory .. "/x/y"))
    assert.same({ "directory", 448 }, { sys.stat(directory .. "/x/y").type, sys.stat(directory .. "/x").mode })
    local made, message = sys.mkdir_p("/dev/null/x")
    assert.same({ false, "/dev/null: Not a directory" }, { made or false, message })
  end)

  it("raises for a path with a NUL byte", function()
    assert.error(function() sys.stat("/tmp\0x") end)
  end)

  it("tells the time to the microsecond and sleeps", function()
    assert.is_true(math.abs(sys.time() - os.time()) < 3)
    local before = sys.monotonic()
    assert.is_true(sys.sleep(0.02))
    local slept = sys.monotonic() - before
    assert.is_true(slept >= 0.02 and slept < 2)
    assert.error(function() sys.sleep(-1) end)
    assert.error(function() sys.sleep(0 / 0) end)
  end)

  it("knows a file that is no terminal", function()
    assert.is_false(sys.isatty(-1))
  end)

  it("takes away a replacement that is aborted or forgotten, and refuses a used one", function()
    local path = directory .. "/file"
    local replacement = assert(sys.replace(path))
    assert(replacement:write("x"))
    assert.equal(1, #files(directory))
    replacement:abort()
    replacement:abort()
    assert.same({}, files(directory))
    assert.error(function() replacement:write("x") end)
    assert.error(function() replacement:commit() end)
    replacement = assert(sys.replace(path))
    assert(replacement:commit())
    assert.error(function() replacement:commit() end)
    assert.same({ "file" }, files(directory))
    replacement = assert(sys.replace(path))
    assert.equal(2, #files(directory))
    replacement = nil -- luacheck: ignore
    collectgarbage()
    collectgarbage()
    assert.same({ "file" }, files(directory))
  end)
end)
