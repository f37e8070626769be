local expect = require "spec.support.expect"
local system = require "spec.support.system"

local WRITER = "spec/support/writer.lua"

for _, backend in ipairs(require "spec.support.backends") do
  if backend.shared then
    describe(backend.name .. ": processes that work at the same time", function()
      local store
      before_each(function() store = backend.open() end)
      after_each(backend.finish)

      -- Runs one process for each { mode, name, count }, all at once. Returns the lines of each.
      local function run(jobs)
        local directory = backend.directory()
        local gate = directory .. "/gate"
        local _, status = system.run("mkfifo " .. system.quote(gate))
        assert.equal(0, status)
        local pipes = {}
        for i, job in ipairs(jobs) do
          local writer = system.lua(WRITER, backend.url, job[1], job[2], job[3], gate)
          local output = system.quote(directory .. "/output" .. i)
          pipes[i] = system.popen("exec timeout 120 " .. writer .. " >" .. output .. " 2>&1", "w")
        end
        local ready = assert(io.open(gate, "r"))
        for _ = 1, #jobs do
          assert.equal("ready", ready:read("*l"))
        end
        for _, pipe in ipairs(pipes) do
          pipe:write("go\n")
          pipe:flush()
        end
        local outputs = {}
        for i, pipe in ipairs(pipes) do
          pipe:close()
          outputs[i] = {}
          for line in io.lines(directory .. "/output" .. i) do
            outputs[i][#outputs[i] + 1] = line
          end
          assert.equal("done", table.remove(outputs[i]))
        end
        ready:close()
        os.remove(gate)
        return outputs
      end

      local function check_gapless(count)
        local events = assert(store:events())
        assert.equal(count, #events)
        for i, event in ipairs(events) do
          assert.equal(i, event.position)
        end
        return events
      end

      it("each add 200 hosts, and none is lost", function()
        local outputs = run { { "adds", "a", 200 }, { "adds", "b", 200 } }
        assert.same({ 200, 200 }, { #outputs[1], #outputs[2] })
        local ids = {}
        for _, event in ipairs(check_gapless(400)) do
          assert.equal(1, event.version)
          ids[event.stream] = true
        end
        for _, output in ipairs(outputs) do
          for _, id in ipairs(output) do
            assert.is_true(ids["host-" .. id])
            assert.is_truthy(store:get(id))
          end
        end
        assert.same({ 400, 200, 200 }, { store:count(), store:count { tags = { "a" } },
          store:count { tags = { "b" } } })
      end)

      it("append to one stream, whose versions have no gap and no order but one", function()
        local outputs = run { { "append", "a", 200 }, { "append", "b", 200 } }
        local events = check_gapless(400)
        local nexts = { a = 0, b = 0 }
        local positions = { a = {}, b = {} }
        for i, event in ipairs(events) do
          assert.equal(i, event.version)
          assert.equal(nexts[event.type], event.data)
          nexts[event.type] = nexts[event.type] + 1
          table.insert(positions[event.type], ("%d"):format(event.position))
        end
        assert.same({ outputs[1], outputs[2] }, { positions.a, positions.b })
        assert.is_true(store:stream("shared"):verify().ok)
      end)

      it("add the same hosts, and each is there once", function()
        local outputs = run { { "same", "a", 100 }, { "same", "b", 100 } }
        assert.equal(100, #outputs[1] + #outputs[2])
        check_gapless(100)
        assert.equal(100, store:count())
      end)

      it("are followed by a reader that misses nothing and sees nothing twice", function()
        local outputs = run { { "append", "a", 100 }, { "append", "b", 100 }, { "read", "r", 200 } }
        local wanted = {}
        for i = 1, 200 do
          wanted[i] = tostring(i)
        end
        assert.same(wanted, outputs[3])
      end)

      it("append to a hot stream and 100 others: a reader of pages misses nothing and sees each once", function()
        local each = 24
        local jobs = { { "pages", "r", 16 * each } }
        for i = 1, 16 do
          jobs[#jobs + 1] = { "spread", string.char(96 + i), each }
        end
        local outputs = run(jobs)
        local wanted = {}
        for i = 2, #outputs do
          assert.equal(each, #outputs[i])
          local previous = 0
          for _, line in ipairs(outputs[i]) do
            local position = tonumber(line:match("^%d+"))
            -- What a writer was told is in the order it wrote, and no two were told the same.
            assert.is_true(position > previous)
            assert.is_nil(wanted[position])
            wanted[position], previous = line, position
          end
        end
        assert.equal(16 * each, #wanted)
        assert.same(wanted, outputs[1])
        local versions = {}
        for _, line in ipairs(outputs[1]) do
          local stream, version = line:match(" (.*) (%d+)$")
          versions[stream] = (versions[stream] or 0) + 1
          assert.equal(versions[stream], tonumber(version))
        end
        assert.equal(8 * each, versions.shared)
        assert.equal(101, #store:streams())
        check_gapless(16 * each)
      end)
    end)
  end

  if backend.reopen then
    describe(backend.name .. ": processes that may have to wait for each other", function()
      local store
      before_each(function() store = backend.open() end)
      after_each(backend.finish)

      it("open a new database together, and both find it ready", function()
        store:close()
        for i = 1, 3 do
          backend.clear()
          local pipes = {}
          for k, name in ipairs { "a", "b" } do
            local writer = system.lua(WRITER, backend.url, "adds", name, 1)
            pipes[k] = system.popen("exec timeout 60 " .. writer .. " 2>&1")
          end
          for _, pipe in ipairs(pipes) do
            assert.matches("done\n$", pipe:read("*a"))
            pipe:close()
          end
          store = backend.reopen()
          assert.equal(2, store:count(), "in round " .. i)
          assert.is_true(store:verify().ok)
          store:close()
        end
      end)

      it("keep what was acknowledged when one of them is killed", function()
        local acknowledged = {}
        for round = 1, 6 do
          local name = string.char(96 + round)
          if not backend.shared then
            store:close()
          end
          local pipe = system.popen("echo $$; exec " .. system.lua(WRITER, backend.url, "adds", name, 0))
          local pid = pipe:read("*l")
          for _ = 1, round * 7 do
            acknowledged[#acknowledged + 1] = assert(pipe:read("*l"))
          end
          assert.equal(0, select(2, system.run("kill -9 " .. tonumber(pid))))
          for line in pipe:lines() do
            -- The last line may be cut short, but not by our buffering: each is written whole.
            acknowledged[#acknowledged + 1] = line
          end
          pipe:close()
          store = backend.reopen()
          local report = assert(store:verify())
          assert.same({}, expect.pluck(report.problems, "message"))
          for _, id in ipairs(acknowledged) do
            assert.is_truthy(store:get(id), "host " .. id .. " is lost")
          end
          -- At most the add that was under way came through unacknowledged.
          assert.is_true(store:count() - #acknowledged <= round)
          assert(store:add { ip = "10.0.0." .. round, hostname = "after" })
          acknowledged[#acknowledged + 1] = store:find("10.0.0." .. round, "after").id
        end
      end)
    end)
  end
end
