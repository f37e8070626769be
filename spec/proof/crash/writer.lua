--- A process that writes files, with spec/support/write_log.c preloaded:
---   writer.lua DIRECTORY LOG WAY ROUNDS
--- writes in the WAY, one of those of outputs.lua, with a host more each time and at last without any, and notes in
--- the log what is there when it has succeeded.
local outputs = require "spec.proof.crash.outputs"

local directory, log_path, way, rounds = arg[1], arg[2], arg[3], tonumber(arg[4])
local log = assert(io.open(log_path, "ab"))
local store = outputs.store()

local function acknowledge()
  local lines = {}
  for name, digest in pairs(outputs.visible(directory)) do
    lines[#lines + 1] = name .. " " .. digest .. "\n"
  end
  local text = table.concat(lines)
  log:write(("ack 0 %d -\n%s"):format(#text, text))
  log:flush()
end

outputs.start(directory, way)
acknowledge()
for round = 1, rounds do
  if round < rounds then
    outputs.add(store, 1000 + round * 7)
  else
    outputs.clear(store)
  end
  assert(outputs.ways[way](store, directory))
  acknowledge()
end
store:close()
log:close()
