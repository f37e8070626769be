local publishing = require "spec.support.publishing"
local system = require "spec.support.system"

local sys = require("hoststore.core").sys
local files, read, write, words = publishing.files, system.read, system.write, system.words

describe("publish_outputs", function()
  local store, path, directory, log

  before_each(function()
    store, path, directory = publishing.begin_with_host()
    log = directory .. "/log"
  end)

  after_each(publishing.finish)

  local function add(number)
    assert(store:add { ip = "10.0.1." .. number, hostname = "h" .. number })
  end

  -- Publishes one output and returns its result.
  local function publish(output, flags)
    output.path = output.path or path
    return store:publish_outputs({ output }, flags)[1]
  end

  local function count_lines(file)
    local _, count = (sys.stat(file) and read(file) or ""):gsub("\n", "")
    return count
  end

  it("publishes all, though one fails, and says how each went", function()
    local results = store:publish_outputs {
      { name = "a", path = directory .. "/a" },
      { name = "b", path = directory .. "/missing/b" },
      { path = directory .. "/c", format = "csv", filter = { hostname = "other" } },
      { path = directory .. "/d", colour = "red" },
      "no output",
      { path = directory .. "/e", filter = { colour = "red" } },
      { path = directory .. "/f", format = "yaml" },
      { name = "g", path = directory .. "/g" },
    }
    local found = {}
    for i, result in ipairs(results) do
      found[i] = ("%s %s %s"):format(result.name:gsub("^.*/", ""), tostring(result.written),
        result.error and result.error.code or "ok")
    end
    assert.same({ "a true ok", "b false not_found", "c true ok", "d false invalid", "5 false invalid",
      "e false invalid", "f false invalid", "g true ok" }, found)
    assert.matches("output 4: unknown option 'colour'", results[4].error.message)
    assert.matches("colour", results[6].error.message)
    assert.equal("10.0.0.1\tnas.lan\n", read(directory .. "/g"))
    assert.same({ "a", "c", "g" }, files(directory))
  end)

  it("leaves what says the same already, and its file, alone", function()
    assert.is_true(publish({}).written)
    local before = sys.stat(path)
    assert.same({ name = path, path = path, mode = "file", changed = false, written = false }, publish {})
    assert.equal(before.inode, sys.stat(path).inode)
  end)

  it("says what a wrong output should have been", function()
    for message, output in pairs {
      ["mode 'x'"] = { mode = "x" }, ["check is a table"] = { check = "dnsmasq --test" },
      ["words of a command"] = { reload = {} }, ["shards hold format hosts"] = { mode = "dir-shards", format = "csv" },
      ["in_place belongs"] = { in_place = true }, ["letters, digits"] = { mode = "dir-shards", name = "a.b" },
      ["text or path"] = { template = {} }, ["p.lua:3: unknown option 'x'"] = { x = 1, file = "p.lua", line = 3 },
      ["on one line"] = { name = "a\nb" }, ["seconds"] = { timeout = -1 }, ["all of them strings"] = { check = { 1 } },
    } do
      local err = publish(output).error
      assert.equal("invalid", err.code)
      assert.truthy(err.message:find(message, 1, true), err.message)
    end
    assert.error(function() store:publish_outputs "hosts" end)
    assert.error(function() store:publish_outputs({}, { colour = "red" }) end)
    assert.error(function() store:publish(path, { mode = "x" }) end)
  end)

  it("renders a template, given as text or in a file, and keeps the file when it fails", function()
    local body = "<% for host in hosts() do %><%= host.hostname %>|<%= format %>\n<% end %>"
    assert(store:add { ip = "10.0.0.2", hostname = "tv.lan", tags = { "iot" } })
    assert.is_true(publish({ template = body, filter = { tags = { "iot" } } }).written)
    assert.equal("tv.lan|text\n", read(path))
    write(directory .. "/template", body)
    local output = { template = { path = directory .. "/template", format = "bind" } }
    assert.is_true(publish(output).written)
    assert.equal("nas.lan|bind\ntv.lan|bind\n", read(path))
    assert.is_false(publish(output).changed)
    write(directory .. "/template", "one\n<%= wrong %>")
    local err = publish(output).error
    assert.equal("policy", err.code)
    assert.truthy(err.message:find(directory .. "/template:2:", 1, true), err.message)
    assert.equal("nas.lan|bind\ntv.lan|bind\n", read(path))
    assert.equal("not_found", publish({ template = { path = directory .. "/missing" } }).error.code)
    assert.same({ "hosts", "template" }, files(directory))
  end)

  it("writes a text of many megabytes whole, wherever it differs, and leaves nothing when it fails", function()
    assert(store:transaction(function()
      for i = 1, 150 do
        assert(store:add { ip = "10.1.0." .. i, hostname = "big" .. i, comment = ("x"):rep(16000) })
      end
    end))
    local body = "<% for host in hosts() do %><%= host.ip %> <%= host.comment %>\n<% end %>"
    for _, output in ipairs { {}, { mode = "in-place" }, { template = body },
      { template = body, mode = "in-place" } } do
      local function expected()
        return output.template and store:render { text = body } or store:export "hosts"
      end
      os.remove(path)
      assert.is_true(publish(output).written)
      assert.is_true(read(path) == expected())
      assert.is_false(publish(output).changed)
      -- The last line is behind the first megabyte.
      local last = assert(store:add { ip = "10.9.0.1", hostname = "last" })
      assert.is_true(publish(output).written)
      assert.is_true(read(path) == expected())
      assert(store:delete(last))
      assert.is_true(publish(output).written)
      assert.is_true(read(path) == expected())
    end
    local whole = read(path)
    local result = publish { template = body .. "<% error 'no more' %>" }
    assert.equal("policy", result.error.code)
    assert.is_true(read(path) == whole)
    assert.same({ "hosts" }, files(directory))
  end)

  it("says in a dry run what would be written, and makes nothing", function()
    assert.same({ true, false }, { publish({}, { dry_run = true }).changed, sys.stat(path) ~= nil })
    local result = publish({ path = directory .. "/d", mode = "dir-shards" }, { dry_run = true })
    assert.same({ true, { total = 1, written = 0, removed = 0 } }, { result.changed, result.shards })
    assert.same({}, files(directory))
    publish {}
    add(1)
    local before = read(path)
    local reload = words("echo >>" .. log)
    result = publish({ reload = reload, check = { "false" } }, { dry_run = true })
    assert.same({ true, false }, { result.changed, result.written })
    assert.same({ before, false }, { read(path), sys.stat(log) ~= nil })
    assert.same({ "hosts" }, files(directory))
  end)

  describe("with a checker", function()
    it("shows it the new file while the old one is in place", function()
      publish {}
      local old = read(path)
      add(1)
      local result = publish { check = { "env", "-u", "LD_PRELOAD", "sh", "-c",
        'cat "$1" >"$2.seen"; cat "$2" >"$2.old"; test "$1" = "$3"', "sh", "{path}", path, "%s" } }
      assert.same({ true, true }, { result.checked, result.written })
      assert.same({ read(path), old }, { read(path .. ".seen"), read(path .. ".old") })
    end)

    it("keeps the last good file when it is refused, and quotes the reason with the name people know", function()
      publish {}
      local old = read(path)
      add(1)
      local result = publish { check = { "env", "-u", "LD_PRELOAD", "sh", "-c", 'echo "bad line 2 of $1"; exit 4', "sh",
        "{path}" }, reload = words("echo >>" .. log) }
      assert.same({ "invalid", "check", false }, { result.error.code, result.error.field, result.written })
      assert.truthy(result.error.message:find("ended with status 4: bad line 2 of " .. path, 1, true),
        result.error.message)
      assert.equal(old, read(path))
      assert.is_nil(sys.stat(log))
      assert.same({ "hosts" }, files(directory))
      result = publish { check = { "true" } }
      assert.same({ true, true }, { result.checked, result.written })
    end)

    it("is not asked about what does not change", function()
      publish {}
      assert.is_nil(publish({ check = { "false" } }).error)
    end)

    it("keeps the file too when it cannot be run or does not end", function()
      local result = publish { check = { "/nonexistent/checker" } }
      assert.same({ "command", false }, { result.error.code, result.written })
      assert.matches("/nonexistent/checker: No such file", result.error.message)
      result = publish { check = words "sleep 1000", timeout = 0.05 }
      assert.same({ "command", false }, { result.error.code, result.written })
      assert.matches("did not end in time", result.error.message)
      assert.same({}, files(directory))
    end)
  end)

  describe("with a reload", function()
    local function reload(script)
      return words(("echo >>%s; %s"):format(log, script or ":"))
    end

    it("runs it once behind all outputs that name it, and only when one was written", function()
      local function outputs()
        return store:publish_outputs {
          { path = directory .. "/a", reload = words(("cat %s/a %s/b >>%s"):format(directory, directory, log)) },
          { path = directory .. "/b", reload = words(("cat %s/a %s/b >>%s"):format(directory, directory, log)) },
          { path = directory .. "/c" },
        }
      end
      local results = outputs()
      assert.same({ true, true }, { results[1].reloaded, results[2].reloaded })
      assert.is_nil(results[3].reloaded)
      assert.equal(2, count_lines(log))
      results = outputs()
      assert.is_nil(results[1].reloaded)
      assert.equal(2, count_lines(log))
      os.remove(directory .. "/a")
      assert.is_true(outputs()[2].reloaded)
      assert.equal(4, count_lines(log))
    end)

    it("that fails is reported, and tried again though nothing has changed, until it succeeds", function()
      local flag = directory .. "/flag"
      local command = reload(("echo no luck; test -e %s"):format(flag))
      local result = publish { reload = command }
      assert.same({ true, false, "command" }, { result.written, result.reloaded, result.error.code })
      assert.truthy(result.error.message:find("status 1: no luck", 1, true), result.error.message)
      result = publish { reload = command }
      assert.same({ false, false, "command" }, { result.written, result.reloaded, result.error.code })
      assert.equal(2, count_lines(log))
      write(flag, "")
      result = publish { reload = command }
      assert.same({ false, true }, { result.written, result.reloaded })
      assert.is_nil(result.error)
      assert.is_nil(publish({ reload = command }).reloaded)
      assert.equal(3, count_lines(log))
    end)

    it("that has failed is found later by whoever looks, also when it has been made up for since", function()
      local flag = directory .. "/flag"
      local output = { path = path, reload = reload(("echo no luck; test -e %s"):format(flag)) }
      local start = sys.time()
      assert.same({ due = false }, publish(output, { dry_run = true }).reload)
      -- As cron does it, in the night, where nobody reads a message.
      system.run(publishing.process(output))
      local night = publish(output, { dry_run = true }).reload
      assert.same({ true, nil }, { night.due, night.succeeded_at })
      assert.is_true(night.failed_at >= start and night.failed_at <= sys.time())
      assert.truthy(night.failure:find("status 1: no luck", 1, true), night.failure)
      write(flag, "")
      system.run(publishing.process(output))
      local morning = publish(output).reload
      assert.same({ false, night.failed_at, night.failure }, { morning.due, morning.failed_at, morning.failure })
      assert.is_true(morning.succeeded_at >= night.failed_at)
    end)

    it("is left to another process that is at it, which does it once more", function()
      local started, go = directory .. "/started", directory .. "/go"
      -- The first run waits for the second change; a limit keeps a failure from hanging.
      local script = ("echo >>%s; n=0; while [ ! -e %s ] && [ $n -lt 1000 ]; do sleep 0.02; n=$((n+1)); done")
        :format(started, go)
      local output = { path = path, reload = words(script) }
      local pipe = system.popen(publishing.process(output))
      system.wait("the other one reloads", function() return count_lines(started) == 1 end)
      for i = 1, 3 do
        add(i)
        local result = publish { reload = words(script) }
        assert.same({ true, "pending" }, { result.written, result.reloaded })
      end
      write(go, "")
      assert.equal(path .. "\twritten\ttrue\t\n", pipe:read "*a")
      pipe:close()
      assert.equal(2, count_lines(started))
      assert.is_nil(publish({ reload = words(script) }).reloaded)
    end)

    it("is not forgotten when the process is killed between the change and the reload", function()
      local command = reload()
      -- Sixteen steps are more than one publish takes: one of them is the reload itself.
      local killed = 0
      for step = 1, 40 do
        add(step)
        local before = count_lines(log)
        local output = system.run(publishing.process({ path = path, reload = command }, step))
        if output:find "written" then
          break
        end
        killed = killed + 1
        local changed = sys.stat(path) ~= nil and read(path) == store:export "hosts"
        local result = publish({ reload = command }, { dry_run = true })
        assert.is_true(result.changed or result.reload.due or count_lines(log) > before)
        result = publish { reload = command }
        assert.is_nil(result.error)
        assert.equal(store:export "hosts", read(path))
        assert.is_true(count_lines(log) > before, ("step %d, changed before: %s"):format(step, tostring(changed)))
        assert.same({ "hosts", count_lines(log) > 0 and "log" or nil }, files(directory))
      end
      assert.is_true(killed > 8)
    end)

    it("waits for more changes when it is told to, and another picks it up when that one is killed", function()
      local pipe = system.popen("echo $$; exec " .. publishing.process { path = path, reload = reload(),
        reload_delay = 600 })
      local pid = pipe:read "*l"
      -- Looked for without touching the lock, which would send the other one away.
      local lock = os.getenv "HOSTSTORE_RUN" .. "/" .. require("hoststore.publish.reload").key(reload()) .. "-run.lock"
      system.wait("the other one waits", function()
        local stat = sys.stat(lock)
        return stat and read("/proc/locks"):find((":%d "):format(stat.inode), 1, true)
      end)
      add(1)
      assert.equal("pending", publish({ reload = reload() }).reloaded)
      assert.equal(0, count_lines(log))
      system.run("kill -9 " .. pid)
      pipe:close()
      assert.same({ false, true }, { publish({ reload = reload() }).written, count_lines(log) == 1 })
    end)
  end)

  describe("where nothing can be kept in a directory for it", function()
    it("keeps lock and facts beside the file, under names with a dot, and does the same", function()
      local script = directory .. "/publish.sh"
      local output = { path = directory .. "/out/hosts", reload = words("echo >>" .. log) }
      write(script, "export HOSTSTORE_RUN=/dev/null/run; exec " .. publishing.process(output))
      assert(sys.mkdir_p(directory .. "/out"))
      local function run()
        return (system.run("sh " .. script):match "\t(.*)\n$")
      end
      assert.equal("written\ttrue\t", run())
      assert.equal("unchanged\tnil\t", run())
      for _, name in ipairs(files(directory .. "/out")) do
        assert.is_true(name == "hosts" or name:find "^%.hoststore%-" ~= nil, name)
      end
      write(directory .. "/out/hosts", "10.9.9.9\tmine\n")
      assert.matches("conflict", run())
    end)
  end)
end)
