local disk = require "spec.proof.crash.disk"
local recorder = require "spec.proof.crash.recorder"
local system = require "spec.support.system"

describe("shards of hosts that are all deleted", function()
  it("are gone when that was published, also after a power cut", function()
    local directory = recorder.directory()
    local records = recorder.run(directory, 1, "spec/proof/crash/writer.lua", directory .. "/root", directory .. "/log",
      "dir-shards", 2)
    system.remove(directory)
    local now, shards = disk.new(), 0
    for _, record in ipairs(records) do
      now:apply(record)
      shards = shards + (record.name == "rename" and record.bytes:find "/hoststore%-hosts" and 1 or 0)
    end
    assert.is_true(shards > 0)
    for _, file in ipairs(now:state "synced") do
      assert.is_nil(file.path:find "/hoststore%-hosts", file.path)
    end
  end)
end)
