local recorder = require "spec.proof.crash.recorder"
local system = require "spec.support.system"

describe("a process that runs out of memory while it tries a write-ahead log", function()
  local directory
  before_each(function() directory = recorder.directory() end)
  after_each(function() system.remove(directory) end)

  it("leaves no scratch file beside the database", function()
    local preload = (os.getenv "LD_PRELOAD" or "") .. " " .. os.getenv "BUILD" .. "/failing_calls.so"
    local output = system.run("FAILING_CALLS_ROOT=" .. directory .. " "
      .. system.lua_with(preload, "spec/support/open_without_memory.lua", directory, "wal"))
    -- A sanitizer has an allocator of its own, which cannot be made to fail.
    local calls = tonumber(output)
    assert.is_true(calls and (calls >= 1000 or os.getenv "LD_PRELOAD" ~= nil), output)
  end)
end)
