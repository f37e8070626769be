-- A line that an admin appended to a file while the checker looked at the new one was gone behind the rename, also
-- where it stood outside of the block.
local publishing = require "spec.support.publishing"
local recorder = require "spec.proof.crash.recorder"
local system = require "spec.support.system"

describe("a file that somebody changes while it is being published", function()
  local store, path, directory

  before_each(function() store, path, directory = publishing.begin_with_host() end)
  after_each(publishing.finish)

  -- A checker during which the file at `victim` gets a line, the first time or each time.
  local function checker(victim, always)
    local line = ("echo 10.9.9.9 mine.lan >>%s"):format(victim)
    return { "sh", "-c", always and line or ("test -e %s/once || { %s; }; touch %s/once"):format(directory, line,
      directory) }
  end

  local function publish(output, flags)
    output.path = output.path or path
    return store:publish_outputs({ output }, flags)[1]
  end

  for _, in_place in ipairs { false, true } do
    it("keeps its new line, and gets the block" .. (in_place and " in place" or ""), function()
      system.write(path, "127.0.0.1 localhost\n")
      local given = { mode = "block", in_place = in_place or nil, check = checker(path) }
      local result = publish(given)
      assert.is_nil(result.error)
      assert.is_true(result.written)
      assert.equal("127.0.0.1 localhost\n10.9.9.9 mine.lan\n# BEGIN hoststore hosts\n10.0.0.1\tnas.lan\n" ..
        "# END hoststore hosts\n", system.read(path))
      assert.is_false(publish(given).changed)
    end)
  end

  it("is left alone when that happens again and again", function()
    system.write(path, "127.0.0.1 localhost\n")
    local result = publish { mode = "block", check = checker(path, true), reload = { "false" } }
    assert.same({ "conflict", false }, { result.error.code, result.written })
    assert.matches("somebody has changed it while it was being published; publish again", result.error.message, 1, true)
    assert.equal("127.0.0.1 localhost\n10.9.9.9 mine.lan\n10.9.9.9 mine.lan\n", system.read(path))
    assert.same({ "hosts" }, publishing.files(directory))
    assert.is_false(result.reload.due)
  end)

  for _, mode in ipairs { "file", "in-place" } do
    it("is a change by hand, which can be adopted: mode " .. mode, function()
      assert.is_true(publish({ mode = mode }).written)
      assert(store:add { ip = "10.0.0.2", hostname = "new.lan" })
      local result = publish { mode = mode, check = checker(path) }
      assert.same({ "conflict", false, "changed" }, { result.error.code, result.written, result.drift[1].kind })
      assert.equal("10.0.0.1\tnas.lan\n10.9.9.9 mine.lan\n", system.read(path))
      assert.same({ created = 1, updated = 0, enabled = 0, deleted = 0, dropped = 0 },
        publish({ mode = mode }, { adopt = true }).adopted)
      assert.equal("10.0.0.1\tnas.lan\n10.0.0.2\tnew.lan\n10.9.9.9\tmine.lan\n", system.read(path))
    end)
  end

  it("is a conflict, too, when it was not there before", function()
    assert.equal("conflict", publish({ check = checker(path) }).error.code)
    assert.equal("10.9.9.9 mine.lan\n", system.read(path))
  end)

  it("is left alone when it is changed behind its adoption", function()
    system.write(path, "10.9.9.8 early.lan\n")
    local result = publish({ check = checker(path) }, { adopt = true })
    assert.same({ "conflict", 1 }, { result.error.code, result.adopted.created })
    assert.equal("10.9.9.8 early.lan\n10.9.9.9 mine.lan\n", system.read(path))
  end)

  it("keeps its new line as one of several shards, while the others are written", function()
    local shards = { path = directory .. "/shards", mode = "dir-shards" }
    for i = 1, 250 do
      assert(store:add { ip = "10.1.0." .. i, hostname = ("h%d.lan"):format(i) })
    end
    assert.is_true(publish(shards).written)
    local first, second = shards.path .. "/hoststore-hosts.0", shards.path .. "/hoststore-hosts.1"
    for i = 1, 5 do
      assert(store:add { ip = "10.2.0." .. i, hostname = ("g%d.lan"):format(i) })
    end
    shards.check = checker(second)
    local result = publish(shards)
    assert.same({ "conflict", true, 1 }, { result.error.code, result.written, result.shards.written })
    assert.matches("10.9.9.9 mine.lan\n$", system.read(second))
    assert.equal(1, publish({ path = shards.path, mode = "dir-shards" }, { adopt = true }).adopted.created)
    assert.equal(257, store:count())
    assert.matches("g%d.lan", system.read(first))
  end)

  -- How often the new file was synced and renamed: nothing is synced between the last look at the old one and the
  -- rename, as that takes time.
  local function recorded(script)
    local run, syncs, renames = recorder.directory(), 0, 0
    finally(function() system.remove(run) end)
    system.write(run .. "/script.lua", script)
    local records = recorder.run(run, 1, run .. "/script.lua", run .. "/root")
    for i, record in ipairs(records) do
      if record.path == ".hosts.hoststore-new" then
        syncs = syncs + (record.name == "sync" and 1 or 0)
        renames = renames + (record.name == "rename" and 1 or 0)
        assert.is_false(record.name == "rename" and records[i - 1].path == record.path)
      end
    end
    return { syncs, renames }
  end

  it("is compared when all that takes time is done", function()
    assert.same({ 1, 1 }, recorded [[
      assert(require("spec.proof.crash.outputs").store():publish(arg[1] .. "/hosts"))]])
  end)

  it("is so, too, behind a checker, which may have written into the new one", function()
    assert.same({ 2, 1 }, recorded [[
      assert(require("spec.proof.crash.outputs").store():publish(arg[1] .. "/hosts", { check = { "true" } }))]])
  end)
end)
