local hoststore = require "hoststore"
local system = require "spec.support.system"

local READER = "spec/support/read_store.lua"

-- Root may write what its mode forbids, unless it gives that up.
local function unprivileged()
  local directory = system.directory()
  local _, status = system.run(("chmod 500 %s; touch %s/file"):format(directory, directory))
  system.run("chmod 700 " .. directory)
  system.remove(directory)
  return status == 0 and "setpriv --bounding-set=-dac_override,-dac_read_search " or ""
end

local prefix, unshare = unprivileged(), system.namespace()

describe("a database nobody may write", function()
  local directory, path
  before_each(function()
    directory = system.directory()
    path = directory .. "/hosts.db"
  end)
  after_each(function()
    system.run("chmod -R u+w " .. directory)
    system.remove(directory)
  end)

  local function make(journal)
    local store = assert(hoststore.open(path, { journal = journal }))
    assert(store:add { ip = "10.0.0.1", hostname = "nas", comment = "c" })
    return store
  end

  local function chmod(mode, target)
    assert.equal(0, select(2, system.run(("chmod %s %s"):format(mode, target))))
  end

  local function read(how)
    return (system.run(prefix .. system.lua(READER, path, how)))
  end

  for _, journal in ipairs { "auto", "truncate", "delete", "persist", "wal" } do
    it("can be read when its file and directory are read-only (journal " .. journal .. ")", function()
      make(journal):close()
      os.remove(path .. "-journal")
      chmod("400", path)
      chmod("500", directory)
      local files, bytes = system.files(directory), system.read(path)
      assert.equal("nas\tc\nverify: true\nadd: readonly\n", read "readonly")
      assert.same(files, system.files(directory))
      assert.equal(bytes, system.read(path))
    end)

    it("can be read when it lies in a directory that is read-only (journal " .. journal .. ")", function()
      make(journal):close()
      chmod("500", directory)
      assert.equal("nas\tc\nverify: true\nadd: readonly\n", read "readonly")
    end)

    it("can be read with its name full of what a URI would take for something else (journal " .. journal .. ")",
      function()
      directory = directory .. "/a?b#c%20d"
      assert.equal(0, select(2, system.run("mkdir " .. system.quote(directory))))
      path = directory .. "/hosts.db"
      make(journal):close()
      chmod("400", system.quote(path))
      chmod("500", system.quote(directory))
      assert.equal("nas\tc\nverify: true\nadd: readonly\n", read "readonly")
      chmod("700", system.quote(directory))
      directory = directory:match("^(.*)/")
    end)

    if unshare then
      it("can be read on a file system that is read-only (journal " .. journal .. ")", function()
        make(journal):close()
        assert.equal("nas\tc\nverify: true\nadd: readonly\n", (system.run(unshare .. "sh -c " .. system.quote(
          ("mount --bind %s %s && mount -o remount,bind,ro %s && "):format(directory, directory, directory) ..
          system.lua(READER, path, "readonly")))))
      end)
    end

    it("is seen as it is while a writer has it open (journal " .. journal .. ")", function()
      local store = make(journal)
      assert.equal("nas\tc\nverify: true\nadd: readonly\n", read "readonly")
      assert(store:add { ip = "10.0.0.2", hostname = "gw", comment = "d" })
      assert.equal("nas\tc\ngw\td\nverify: true\nadd: readonly\n", read "readonly")
      store:close()
    end)

    it("says readonly to those who open it for writing (journal " .. journal .. ")", function()
      make(journal):close()
      chmod("400", path)
      chmod("500", directory)
      local output = read "writable"
      assert.is_true(output == "open: readonly\n" or output == "nas\tc\nverify: true\nadd: readonly\n", output)
    end)
  end

  it("cannot be made by opening it read-only", function()
    assert.equal("open: not_found\n", read "readonly")
    assert.same({}, system.files(directory))
  end)

  it("is readonly too when it could be written", function()
    make("auto"):close()
    local bytes = system.read(path)
    assert.equal("nas\tc\nverify: true\nadd: readonly\n", read "readonly")
    assert.equal(bytes, system.read(path))
  end)

  it("that cannot even be read is no connection", function()
    make("auto"):close()
    chmod("000", path)
    assert.matches("^open: %a+\n$", read "readonly")
    assert.matches("^open: %a+\n$", read "writable")
    chmod("600", path)
  end)

  it("is refused, not migrated, when its schema is not there yet", function()
    system.write(path, "")
    chmod("400", path)
    assert.equal("open: migration\n", read "readonly")
    assert.equal("", system.read(path))
  end)
end)
