local backend = require "spec.support.backends"[3]
local expect = require "spec.support.expect"
local system = require "spec.support.system"

local WRITER = "spec/support/writer.lua"

-- The command of a writer whose output, all of it, goes to a file or stays where it goes.
local function writer(output, url, ...)
  local command = "exec timeout 60 " .. system.lua(WRITER, url, ...)
  return (output and command .. " >" .. system.quote(output) or command) .. " 2>&1"
end

describe("processes that write to one PostgreSQL", function()
  after_each(backend.finish)

  it("wait for another of their tenant, and not for one of another", function()
    local other = backend.open { tenant = "other", busy_timeout = 0 }
    local same = backend.reopen { busy_timeout = 0 }
    local patient = backend.reopen { busy_timeout = 20 }
    local gate, output = backend.directory() .. "/gate", backend.directory() .. "/output"
    assert.equal(0, select(2, system.run("mkfifo " .. system.quote(gate))))
    local holder = system.popen(writer(output, backend.url, "hold", "h", 1, gate), "w")
    local ready = assert(io.open(gate, "r"))
    assert.equal("ready", ready:read "*l")

    assert.equal(1, assert(other:stream("shared"):append { type = "A" }).position)
    assert(other:add { ip = "10.0.0.1", hostname = "nas" })
    for _, store in ipairs { same, patient } do
      local err = expect.failure("busy", store:stream("shared"):append { type = "A" })
      assert.is_true(err.retryable)
      expect.failure("busy", store:add { ip = "10.0.0.1", hostname = "nas" })
      expect.failure("busy", store:transaction(function() return store:add { ip = "10.0.0.1", hostname = "nas" } end))
      -- Readers wait for nobody, and see nothing of what is not committed.
      assert.same({}, assert(store:events()))
      assert.equal(0, store:count())
    end

    holder:write "go\n"
    holder:close()
    ready:close()
    assert.equal("done\n", system.read(output))
    assert.equal(2, assert(same:stream("shared"):append { type = "A" }).position)
    assert.equal(2, #other:events())
  end)

  it("make one schema when ten of them open a database without one", function()
    local base = backend.make():gsub("&options=.*$", "")
    local schema = "made_by_ten"
    backend.execute("DROP SCHEMA IF EXISTS " .. schema .. " CASCADE")
    local url = base .. "&schema=" .. schema
    local pipes = {}
    for i = 1, 10 do
      pipes[i] = system.popen(writer(nil, url .. "&tenant=t" .. i % 3, "adds", string.char(96 + i), 1))
    end
    for _, pipe in ipairs(pipes) do
      assert.matches("done\n$", pipe:read "*a")
      pipe:close()
    end
    backend.url = url
    local counts = {}
    for i = 0, 2 do
      local store = backend.reopen { tenant = "t" .. i }
      assert.is_true(assert(store:verify()).ok)
      counts[i + 1] = store:count()
      store:close()
    end
    assert.same({ 3, 4, 3 }, counts)
    backend.execute("DROP SCHEMA " .. schema .. " CASCADE")
  end)
end)
