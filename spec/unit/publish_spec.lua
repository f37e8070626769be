local core = require "hoststore.core"
local hoststore = require "hoststore"
local lines = require "hoststore.lines"
local publishing = require "spec.support.publishing"
local system = require "spec.support.system"

local sys = core.sys
local files, read, write = publishing.files, system.read, system.write

-- Says of a file whether it is still the same one: a replaced file has another inode.
local function identity(path)
  return (system.run("stat -c '%i %y' " .. path))
end

local PLAIN = "10.0.0.1\tnas.lan files\t# backup [storage]\n10.0.0.2\tprinter.lan\n"

describe("a store with hosts", function()
  local store, directory, path

  before_each(function()
    store = assert(hoststore.open(":memory:"))
    assert(store:add { ip = "10.0.0.1", hostname = "nas.lan", aliases = { "files" }, comment = "backup",
      tags = { "storage" } })
    assert(store:add { ip = "10.0.0.2", hostname = "printer.lan" })
    assert(store:add { ip = "10.0.0.3", hostname = "off.lan", enabled = false })
    directory = system.directory()
    path = directory .. "/hosts"
  end)

  after_each(function()
    store:close()
    system.remove(directory)
  end)

  describe("export", function()
    it("returns the text when it has no target", function()
      assert.equal(PLAIN, store:export("hosts"))
      assert.matches('^%[\n{"ip":"10.0.0.1",', (store:export("json")))
    end)

    it("writes a path and says how many hosts that were", function()
      assert.equal(2, store:export("hosts", path))
      assert.equal(PLAIN, read(path))
      assert.equal(3, store:export("ndjson", path))
      assert.same({ "hosts" }, files(directory))
    end)

    it("writes to an open file and leaves it open", function()
      local handle = assert(io.open(path, "wb"))
      assert.equal(2, store:export("hosts", handle))
      assert.equal("file", io.type(handle))
      assert.equal(PLAIN, read(path))
      handle:close()
    end)

    it("takes a filter behind the target or in its place", function()
      local _, feeds = store:export("ndjson", { tags = { "storage" } }):gsub("\n", "")
      assert.equal(1, feeds)
      assert.equal(1, store:export("ndjson", path, { tags = { "storage" } }))
      _, feeds = store:export("ndjson", nil, { tags = { "storage" } }):gsub("\n", "")
      assert.equal(1, feeds)
    end)

    it("raises on an unknown filter key, before or behind a path, and leaves no file", function()
      assert.error_matches(function() store:export("hosts", { colour = "red" }) end, "colour")
      assert.error_matches(function() store:export("hosts", path, { colour = "red" }) end, "colour")
      assert.error_matches(function() store:export("hosts", 42) end, "target")
      assert.same({}, files(directory))
    end)

    it("answers an unknown format and an unwritable target with an error", function()
      local text, err = store:export("yaml")
      assert.same({ "invalid", "format" }, { text or err.code, err.field })
      text, err = store:export("hosts", directory .. "/missing/hosts")
      assert.equal("not_found", text or err.code)
      local handle = io.open("/dev/full", "wb")
      text, err = store:export("hosts", handle)
      assert.equal("full", text or err.code)
      handle:close()
    end)

    it("brings back the same hosts in every format", function()
      assert(store:add { ip = "::1", hostname = "odd.lan", comment = [[ \040 "a", [b] ]],
        tags = { " [x]; ", [[\133\]], "#1" } })
      for _, name in ipairs { "hosts", "json", "ndjson", "csv" } do
        local again = assert(hoststore.open(":memory:"))
        local opened = assert(lines.open { text = store:export(name) })
        for _, entry, message in require("hoststore.format").get(name).read(opened, {}) do
          assert(again:add(assert(entry, message)))
        end
        assert.equal(store:export("hosts"), again:export("hosts"))
        assert.equal([[ \040 "a", [b] ]], again:find("::1", "odd.lan").comment)
        assert.same({ " [x]; ", "#1", [[\133\]] }, again:find("::1", "odd.lan").tags)
        again:close()
      end
    end)
  end)

  describe("publish", function()
    it("writes a new file with mode 0644, and nothing the second time", function()
      assert.is_true(store:publish(path))
      assert.equal(PLAIN, read(path))
      assert.equal(420, sys.stat(path).mode)
      assert.is_false(store:publish(path))
    end)

    it("begins with a stable header on request", function()
      assert.is_true(store:publish(path, { header = true }))
      local text, first = read(path), identity(path)
      assert.matches("^#[^\n]*\n10.0.0.1\t", text)
      assert.equal(PLAIN, text:sub(-#PLAIN))
      assert.equal(420, sys.stat(path).mode)
      assert.is_false(store:publish(path, { header = true }))
      assert.same({ text, first }, { read(path), identity(path) })
      assert.same({ "hosts" }, files(directory))
    end)

    it("writes again when a host has changed, and keeps the mode", function()
      assert.is_true(store:publish(path))
      assert.equal(PLAIN, read(path))
      system.run("chmod 600 " .. path)
      assert(store:add { ip = "10.0.0.4", hostname = "new.lan" })
      assert.is_true(store:publish(path))
      assert.equal(PLAIN .. "10.0.0.4\tnew.lan\n", read(path))
      assert.equal(384, sys.stat(path).mode)
    end)

    it("takes a file for different that is only longer or only shorter", function()
      for _, text in ipairs { PLAIN .. "x", PLAIN:sub(1, -2), "" } do
        write(path, text)
        assert.is_true(store:publish(path))
        assert.equal(PLAIN, read(path))
      end
    end)

    it("follows a symbolic link, one to nothing too", function()
      system.run("ln -s real " .. path)
      assert.is_true(store:publish(path))
      assert.is_false(store:publish(path))
      assert.same({ "hosts", "real" }, files(directory))
      assert.equal("real", sys.readlink(path))
    end)

    it("takes a filter and another format", function()
      assert.is_true(store:publish(path, { filter = { tags = { "storage" } }, format = "csv" }))
      local _, feeds = read(path):gsub("\r\n", "")
      assert.equal(2, feeds)
    end)

    it("publishes no hosts as an empty file", function()
      local empty = assert(hoststore.open(":memory:"))
      assert.is_true(empty:publish(path))
      assert.equal("", read(path))
      assert.is_false(empty:publish(path))
      empty:close()
    end)

    it("returns an error and leaves the old file when it cannot write", function()
      local written, err = store:publish(directory)
      assert.equal("invalid", written == nil and err.code)
      written, err = store:publish(directory .. "/missing/hosts")
      assert.equal("not_found", written == nil and err.code)
      written, err = store:publish(path, { format = "yaml" })
      assert.equal("invalid", written == nil and err.code)
    end)

    it("raises on what it does not know", function()
      assert.error_matches(function() store:publish(path, { colour = "red" }) end, "colour")
      assert.error_matches(function() store:publish(path, { filter = { colour = "red" } }) end, "colour")
      assert.error(function() store:publish() end)
      assert.same({}, files(directory))
    end)
  end)
end)
