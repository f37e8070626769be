--- Files that are written whole or not at all, and failures of the system as errors of the store.
local core = require "hoststore.core"

local sys = core.sys
local file = {}

local BLOCK = 32 * 1024

local codes = {
  [sys.errno.ENOENT] = "not_found",
  [sys.errno.EROFS] = "readonly",
  [sys.errno.EACCES] = "readonly",
  [sys.errno.EPERM] = "readonly",
  [sys.errno.ENOSPC] = "full",
  [sys.errno.EDQUOT] = "full",
  [sys.errno.EFBIG] = "full",
}

--- The error for a message and errno, as io functions and core.sys return them.
---@param message string
---@param errno? integer
---@return hoststore.Error
function file.failure(message, errno)
  return core.error { code = codes[errno] or "query", message = message }
end

local function settle(ok, result, ...)
  if ok then
    return result, ...
  elseif core.is_error(result) then
    return nil, result
  end
  error(result, 0)
end

--- Calls fn and returns what it returns. An error of the store that it raises, as iterators do,
--- is returned as nil, err instead; any other goes on.
---@param fn fun(...): any
---@return any result, hoststore.Error? err
function file.try(fn, ...)
  return settle(pcall(fn, ...))
end

--- What path means once symbolic links are followed; what the last of them points to need not exist.
---@param path string
---@return string? target, hoststore.Error? err
function file.resolve(path)
  -- The system keeps links of other users in /tmp from being followed, but not for who follows them by hand.
  local safe, message, errno = sys.guard(path)
  if not safe then
    return nil, file.failure(message, errno)
  end
  local target, link = path, sys.readlink(path)
  while link do
    target = link:find("^/") and link or (target:match("^.*/") or "") .. link
    link = sys.readlink(target)
  end
  return target
end

--- The file that stands for path, or nil and why nothing can be written there: a rename would put
--- a file in the place of a device or pipe.
---@param path string
---@return string? target, hoststore.Error? err
function file.target(path)
  local target, err = file.resolve(path)
  if not target then
    return nil, err
  end
  local found = sys.stat(target)
  if found and found.type ~= "file" then
    return nil, core.error {
      code = "invalid",
      message = ("%s: is %s; give the path of a regular file"):format(path,
        found.type == "directory" and "a directory" or "no regular file"),
    }
  end
  return target
end

local DATABASE = "SQLite format 3\0"

--- As target, for a text: a database would be lost under it.
---@param path string
---@return string? target, hoststore.Error? err
function file.text_target(path)
  local target, err = file.target(path)
  local handle = target and io.open(target, "rb")
  if handle then
    local head = handle:read(#DATABASE)
    handle:close()
    if head == DATABASE then
      return nil, core.error { code = "invalid", message = path .. ": is a database; give another path" }
    end
  end
  return target, err
end

--- The text of the file at path.
---@param path string
---@return string? text, hoststore.Error? err
function file.read(path)
  local handle, message, errno = io.open(path, "rb")
  if not handle then
    return nil, file.failure(message, errno)
  end
  local text
  text, message, errno = handle:read("*a")
  handle:close()
  if not text then
    return nil, file.failure(message or path .. " cannot be read", errno)
  end
  return text
end

--- As read, of a file whose text is acted on: one that another user may have put there is refused, and with strict,
--- as where it names commands, one that anybody may write to.
---@param path string
---@param strict boolean?
---@return string? text, hoststore.Error? err
function file.read_trusted(path, strict)
  local safe, message, errno = sys.guard(path, strict)
  if not safe then
    return nil, file.failure(message, errno)
  end
  return file.read(path)
end

--- Whether the file at path holds just what generate gives to its sink. Reads as it goes.
---@param path string
---@param generate fun(sink: fun(text: string))
---@return boolean? same, hoststore.Error? err
function file.compare(path, generate)
  local target, err = file.target(path)
  if not target then
    return nil, err
  end
  local handle, message, errno = io.open(target, "rb")
  if not handle then
    if errno == sys.errno.ENOENT then
      return false
    end
    return nil, file.failure(message, errno)
  end
  local difference = {}
  local ok, raised = pcall(generate, function(text)
    if handle:read(#text) ~= text then
      error(difference, 0)
    end
  end)
  local same = ok and handle:read(1) == nil
  handle:close()
  if not ok and raised ~= difference then
    return file.try(error, raised, 0)
  end
  return same
end

--- Gathers what generate gives to its sink into pieces worth a system call, and gives those to take.
---@param generate fun(sink: fun(text: string)): any, any
---@param take fun(text: string)
---@return any, any  what generate returned
function file.in_blocks(generate, take)
  local pending, size = {}, 0
  local function flush()
    if size > 0 then
      take(table.concat(pending))
    end
    pending, size = {}, 0
  end
  local first, second = generate(function(text)
    pending[#pending + 1] = text
    size = size + #text
    if size >= BLOCK then
      flush()
    end
  end)
  flush()
  return first, second
end

--- A sink that writes to a replacement and raises what goes wrong.
---@return fun(text: string)
function file.sink(replacement)
  return function(text)
    local written, message, errno = replacement:write(text)
    if not written then
      error(file.failure(message, errno), 0)
    end
  end
end

--- Writes what generate gives to its sink in the place of the file at path, which changes as a
--- whole or not at all, and keeps its mode and owner. A symbolic link is followed.
---@param path string
---@param generate fun(sink: fun(text: string)): any
---@param mode? integer  of a file that is not there yet; 0644
---@return any result what generate returned
---@return hoststore.Error? err
function file.replace(path, generate, mode)
  local target, err = file.text_target(path)
  if not target then
    return nil, err
  end
  local replacement, message, errno = sys.replace(target, mode)
  if not replacement then
    return nil, file.failure(message, errno)
  end
  local ok, result = pcall(file.in_blocks, generate, file.sink(replacement))
  if not ok then
    replacement:abort()
    return file.try(error, result, 0)
  end
  ok, message, errno = replacement:commit()
  if not ok then
    return nil, file.failure(message, errno)
  end
  return result
end

return file
