local publishing = require "spec.support.publishing"
local sys = require("hoststore.core").sys
local system = require "spec.support.system"

local files, read = publishing.files, system.read
local unshare = system.namespace()

describe("publishing a file", function()
  local store, path, directory, home

  before_each(function() store, path, directory, home = publishing.begin_with_host() end)

  after_each(publishing.finish)

  it("killed at any step shows the old file or the new one, and keeps nobody from publishing", function()
    assert(store:publish(path))
    local finished, steps = false, 0
    while not finished do
      steps = steps + 1
      assert(store:add { ip = "10.0.1." .. steps, hostname = "h" .. steps })
      local old, new = read(path), store:export "hosts"
      finished = system.run(publishing.process({ path = path }, steps)):find "written"
      local now = read(path)
      assert.is_true(now == old or now == new)
      -- Neither of them is taken for a change by hand.
      assert(store:add { ip = "10.0.2." .. steps, hostname = "g" .. steps })
      local result = store:publish_outputs({ { path = path } })[1]
      assert.is_nil(result.error)
      assert.is_true(result.written)
      assert.equal(store:export "hosts", read(path))
      assert.same({ "hosts" }, files(directory))
    end
    assert.is_true(steps > 6)
  end)

  it("killed at any moment shows a whole file each time", function()
    -- Enough to be written for a while.
    assert(store:transaction(function()
      for i = 1, 200 do
        assert(store:add { ip = "10.1.0." .. i, hostname = "big" .. i, comment = ("x"):rep(8000) })
      end
    end))
    assert(store:publish(path))
    for round = 1, 20 do
      local old = read(path)
      assert(store:add { ip = "10.0.1." .. round, hostname = "h" .. round })
      local new = store:export "hosts"
      system.run(("%s & pid=$!; sleep 0.%02d; kill -9 $pid; wait $pid"):format(publishing.process { path = path },
        round * 2))
      local now = read(path)
      assert.is_true(now == old or now == new)
      assert.is_nil(store:publish_outputs({ { path = path } })[1].error)
      assert.equal(new, read(path))
      assert.same({ "hosts" }, files(directory))
    end
  end)

  it("removes what a killed one has left, though nothing is to be written, and nothing else", function()
    local shards = directory .. "/shards"
    local function publish()
      return store:publish_outputs { { path = path }, { path = shards, mode = "dir-shards" } }
    end
    publish()
    for _, name in ipairs { "/.hosts.hoststore-new", "/shards/.hoststore-hosts.01.hoststore-new", "/.hosts.backup" } do
      system.write(directory .. name, "half")
    end
    local results = publish()
    assert.same({ false, false }, { results[1].written, results[2].written })
    assert.same({ ".hosts.backup", "hosts", "shards/hoststore-hosts" }, files(directory))
  end)

  it("by many at once ends with the newest hosts, and each reader meanwhile sees a whole file", function()
    assert(store:publish(path))
    local pipes = {}
    for i = 1, 8 do
      assert(store:add { ip = "10.0.1." .. i, hostname = "h" .. i })
      pipes[i] = system.popen(publishing.process { path = path })
      assert.equal("\n", read(path):sub(-1))
    end
    for i = 1, 8 do
      assert.is_truthy(pipes[i]:read "*a":find "\t\n$")
      pipes[i]:close()
    end
    assert.equal(store:export "hosts", read(path))
    assert.same({ "hosts" }, files(directory))
  end)

  it("by many at once is followed by one reload a change at most, the last of which reads the last change", function()
    -- What a name server does: it reads the file, and each time takes a line of the log.
    local log, served = home .. "/log", home .. "/served"
    local output = { path = path, reload = system.words(("echo >>%s; cat %s >%s"):format(log, path, served)) }
    local function reloads()
      return select(2, read(log):gsub("\n", ""))
    end
    for round = 1, 3 do
      local pipes, written = {}, 0
      system.write(log, "")
      for i = 1, 8 do
        assert(store:add { ip = ("10.%d.1.%d"):format(round, i), hostname = ("h%d-%d"):format(round, i) })
        pipes[i] = system.popen(publishing.process(output))
      end
      for i = 1, 8 do
        local line = pipes[i]:read "*a"
        pipes[i]:close()
        assert.is_truthy(line:find "\t\n$", line)
        written = written + (line:find "written" and 1 or 0)
      end
      assert.equal(store:export "hosts", read(path))
      assert.equal(store:export "hosts", read(served))
      assert.is_true(written >= 1 and reloads() >= 1 and reloads() <= written, ("%d writes, %d reloads"):format(written,
        reloads()))
      local result = store:publish_outputs({ output })[1]
      assert.same({ false, nil, false }, { result.changed, result.reloaded, result.reload.due })
    end
  end)

  if unshare then
    for what, case in pairs {
      ["mode file"] = { mode = "file" }, ["mode in-place"] = { mode = "in-place" }, ["mode block"] = { mode = "block" },
      ["mode dir-shards"] = { mode = "dir-shards" },
      ["mode file, more than is kept in memory"] = { mode = "file", size = "8m", hosts = 700 },
      ["mode in-place, more than is kept in memory"] = { mode = "in-place", size = "8m", hosts = 700 },
    } do
      it("on a full disk gives full, keeps the old file, and leaves nothing (" .. what .. ")", function()
        local output = system.run(unshare .. "sh -c " .. system.quote(("mount -t tmpfs -o size=%s none %s && exec %s")
          :format(case.size or "200k", directory, system.lua("spec/support/full_publish.lua", directory, case.mode,
            case.hosts or 40))))
        assert.equal([[
publishing failed as: full
written: false
the old file is there: true
something is left: false
reloaded: false
with room again it is written: true
and reloaded: true
a third time nothing is: false
]], output)
      end)
    end
  end

  it("keeps the owner of the file it replaces, and follows a link in every mode", function()
    for _, mode in ipairs { "file", "in-place", "block" } do
      local real, link = directory .. "/real-" .. mode, directory .. "/link-" .. mode
      system.write(real, "old\n")
      system.run("chmod 640 " .. real .. "; ln -s real-" .. mode .. " " .. link)
      if system.run "id -u" == "0\n" then
        system.run("chown 12:34 " .. real)
      end
      local before = sys.stat(real)
      assert.is_true(store:publish(link, { mode = mode }))
      local after = sys.stat(real)
      assert.same({ before.mode, before.uid, before.gid }, { after.mode, after.uid, after.gid })
      assert.equal("real-" .. mode, sys.readlink(link))
      assert.truthy(read(real):find("nas.lan", 1, true))
      assert.is_false(store:publish(real, { mode = mode }))
    end
  end)
end)
