--- Runs spec/proof/fault/worker.lua: a process in which one call after another fails.
local lfs = require "lfs"
local system = require "spec.support.system"

local failures = {}

--- Returns how many calls were tried, and what was wrong afterwards.
---@param directory string  for its files
---@param kind string  of failing_calls.c
---@param mode "once"|"on"  each call alone, or all from it on
---@param database "persist"|"wal"|"postgres"
---@param stride integer  1: each call
---@param names string[]  of spec/proof/fault/subjects.lua
---@return integer tried, string[] problems
function failures.run(directory, kind, mode, database, stride, names)
  lfs.mkdir(directory .. "/run")
  local preload = table.concat({ os.getenv "LD_PRELOAD" or "", os.getenv "BUILD" .. "/failing_calls.so" }, " ")
  local words = { "spec/proof/fault/worker.lua", kind, mode, database, stride }
  for _, name in ipairs(names) do words[#words + 1] = name end
  local command = ("export TMPDIR=%s FAILING_CALLS_ROOT=%s HOSTSTORE_RUN=%s/run; %s 2>&1"):format(directory, directory,
    directory, system.lua_with(preload, (unpack or table.unpack)(words)))
  local pipe, problems, last, tried = system.popen(command), {}, "it did not begin", nil
  for line in pipe:lines() do
    if line:find "^problem " then
      problems[#problems + 1] = line:sub(9)
    else
      tried, last = line:match "^done\t(%d+)" or tried, line
    end
  end
  pipe:close()
  if not tried then problems[#problems + 1] = "it ended before its time: " .. last end
  return tonumber(tried or 0), problems
end

return failures
