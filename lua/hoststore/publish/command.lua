--- The commands of an output: what checks a new file, what tells others of it. No shell reads them.
local core = require "hoststore.core"

local sys = core.sys
local command = {}

local QUOTED = 2000

local function shown(words)
  return table.concat(words, " ")
end

local function how_it_ended(result)
  if result.timed_out then
    return "did not end in time"
  elseif result.signal then
    return ("was ended by signal %d"):format(result.signal)
  end
  return ("ended with status %d"):format(result.status)
end

-- What it wrote, with the name that the new file is going to have: nobody finds the other one again.
local function said(result, temporary, path)
  local output = result.output:gsub("%s+$", "")
  if temporary then
    local pattern = temporary:gsub("%p", "%%%0")
    output = output:gsub(pattern, (path:gsub("%%", "%%%%")))
  end
  if output == "" then
    return ""
  end
  return ": " .. (#output > QUOTED and output:sub(1, QUOTED) .. "..." or output)
end

local function with_path(words, path)
  local filled = {}
  local replaced = path:gsub("%%", "%%%%")
  for i, word in ipairs(words) do
    filled[i] = word:gsub("{path}", replaced):gsub("%%s", replaced)
  end
  return filled
end

-- True, or nil, what went wrong and whether the command had its say.
local function run(words, timeout, temporary, path)
  local result, message = sys.spawn(temporary and with_path(words, temporary) or words, { timeout = timeout })
  if not result then
    return nil, message, false
  elseif result.status == 0 and not result.timed_out then
    return true
  end
  return nil, ("'%s' %s%s"):format(shown(words), how_it_ended(result), said(result, temporary, path)),
    result.status ~= nil and not result.timed_out
end

--- Has the checker look at a new file that is to become path.
---@return true?, hoststore.Error? err  "invalid" when it was refused
function command.check(words, temporary, path, timeout)
  local good, message, refused = run(words, timeout, temporary, path)
  if good then
    return true
  end
  return nil, core.error {
    code = refused and "invalid" or "command", field = "check",
    message = ("%s was not replaced, the checker %s: %s"):format(path, refused and "refused it" or "failed", message),
  }
end

--- Runs what tells others of a change.
---@return true?, hoststore.Error? err
function command.reload(words, timeout)
  local good, message = run(words, timeout)
  if good then
    return true
  end
  return nil, core.error {
    code = "command", field = "reload",
    message = ("the reload failed, and is tried again with the next publish: %s"):format(message),
  }
end

return command
