--- A process that publishes, for specs that kill it or run several:
---   publisher.lua DATABASE OUTPUTS [STEP]
--- OUTPUTS is JSON. With STEP it kills itself, as kill -9 does, before the STEP-th thing that it does to a
--- file; it prints a line for each result when it comes to that.
local hoststore = require "hoststore"
local json = require "hoststore.json"
local sys = require("hoststore.core").sys

local left = tonumber(arg[3])

local function killing(fn)
  return function(...)
    left = left - 1
    if left == 0 then
      local pid = assert(io.open "/proc/self/stat"):read "*n"
      os.execute("kill -9 " .. ("%d"):format(pid))
    end
    return fn(...)
  end
end

local function kill_within(functions, names)
  for _, name in ipairs(names) do
    functions[name] = killing(functions[name])
  end
end

if arg[3] then
  local replacement = assert(sys.replace(arg[1] .. ".unused"))
  kill_within(getmetatable(replacement).__index, { "write", "prepare", "commit" })
  replacement:abort()
  kill_within(sys, { "lock", "replace", "overwrite", "unlink", "sync_directory", "spawn" })
end

local store = assert(hoststore.open(arg[1], { readonly = true }))
for _, result in ipairs(assert(store:publish_outputs(assert(json.decode(arg[2]))))) do
  print(result.name, result.written and "written" or "unchanged", tostring(result.reloaded),
    result.error and result.error.code .. ": " .. result.error.message or "")
end
store:close()
