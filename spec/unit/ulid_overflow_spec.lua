local system = require "spec.support.system"

describe("ids of one millisecond that begin with the last random number there is", function()
  local directory
  before_each(function() directory = system.directory() end)
  after_each(function() system.remove(directory) end)

  it("go on in the next millisecond, and still strictly increase when the clock gets there or goes back", function()
    system.write(directory .. "/ones", ("\255"):rep(64))
    system.write(directory .. "/ids.lua", [[
      local time
      local store = assert(require "hoststore".open("memory:", { clock = function() return time end }))
      for _, seconds in ipairs { 1700000000, 1700000000.001, 1600000000, 1700000000.003 } do
        time = seconds
        local result = assert(store:stream("s"):append { { type = "A" }, { type = "A" }, { type = "A" } })
        print(table.concat(result.ids, "\n"))
      end]])
    local output, status = system.run(system.preload(os.getenv "BUILD" .. "/last_random.so",
      "LAST_RANDOM=" .. system.quote(directory .. "/ones"), system.lua(directory .. "/ids.lua")))
    assert.equal(0, status)
    local ids = {}
    for id in output:gmatch "%S+" do
      assert.is_true(#ids == 0 or id > ids[#ids])
      ids[#ids + 1] = id
    end
    assert.equal(12, #ids)
    -- 1700000000000 milliseconds, the one behind it, and the third one.
    assert.same({ "01HF7YAT00ZZZZZZZZZZZZZZZZ", "01HF7YAT010000000000000000", "01HF7YAT010000000000000001" },
      { ids[1], ids[2], ids[3] })
    assert.same({ "01HF7YAT03ZZZZZZZZZZZZZZZZ", "01HF7YAT040000000000000000" }, { ids[10], ids[11] })
  end)
end)
