--- A piece of an output: one file of it, or one part of a file, and how the new one comes into its place.
---
---   key       what it is remembered by          path      the file
---   digest    of what it is to say              same      the file says so already
---   found     the digest of what is there, nil when there is nothing of ours
---   seen      the digest of all that the file held when it was read, nil when there was none
---   read()    what is there                     write(sink)  gives all the new file is to hold
---   in_place  the file has to stay the same one     content(sink)  what of that is ours, when not all is
---   remove    it is to go
---   torn      what is there was being written when something went wrong
---   offset    of a block: how many lines stand before it
---   unmarked  of a block: the lines that would say where it is, when the file has none of them
local core = require "hoststore.core"
local file = require "hoststore.file"

local sys = core.sys
local piece = {}

-- Under a lock, and so that what a killed process has left is known for what it is.
piece.SUFFIX = "hoststore-new"
local COPY = "hoststore-copy"

local function split(path)
  local directory, name = path:match("^(.*/)([^/]*)$")
  return directory or "", name or path
end

--- What a killed process may have left beside that path.
function piece.leftover(path)
  local directory, name = split(path)
  return ("%s.%s.%s"):format(directory, name:sub(1, 253 - #piece.SUFFIX), piece.SUFFIX)
end

-- Where the new content is kept while it is written into a file that stays the same one: beside it, or
-- where nothing can be put there, in the place.
local function copies(path, prefix)
  local directory, name = split(path)
  return { ("%s.%s.%s"):format(directory, name:sub(1, 200), COPY), prefix .. ".copy" }
end

--- The copy that is left of a writing that was cut short, if there is one.
---@return string? path
function piece.copy_left(path, prefix)
  for _, copy in ipairs(copies(path, prefix)) do
    if sys.stat(copy) then
      return copy
    end
  end
end

local function parent(path)
  local directory = split(path)
  return directory == "" and "." or directory
end

--- Takes away copies that are not needed any more.
function piece.forget_copies(path, prefix)
  for _, copy in ipairs(copies(path, prefix)) do
    if sys.stat(copy) then
      sys.unlink(copy)
      sys.sync_directory(parent(copy))
    end
  end
end

local function refuse(message, errno)
  return nil, file.failure(message, errno)
end

local function open(self, prefix)
  local there = self.in_place and sys.stat(self.path)
  if not there then
    return sys.replace(self.path, nil, piece.SUFFIX)
  end
  local replacement, message, errno
  for _, copy in ipairs(copies(self.path, prefix)) do
    replacement, message, errno = sys.replace(copy, there.mode, piece.SUFFIX)
    if replacement then
      self.copy = copy
      return replacement
    end
  end
  return nil, message, errno
end

--- Begins the new file, which nobody sees yet. Raises errors, as the sink it returns does.
---@param prefix string  of the place
---@return fun(text: string) sink
function piece.begin(self, prefix)
  local message, errno
  self.replacement, message, errno = open(self, prefix)
  if not self.replacement then
    error(file.failure(message, errno), 0)
  end
  return file.sink(self.replacement)
end

--- Brings the new file down to the disk; one that was not written while it was made is written now.
---@param prefix string  of the place
---@return true?, hoststore.Error? err
function piece.prepare(self, prefix)
  return file.try(function()
    if not self.replacement then
      self.write(piece.begin(self, prefix))
    end
    local done, message, errno = self.replacement:prepare()
    if not done then
      return refuse(message, errno)
    end
    return true
  end)
end

--- Lets the new file go.
function piece.abandon(self)
  if self.replacement then
    self.replacement:abort()
    self.replacement = nil
  end
end

-- Somebody has written into the file since it was read. Returns "moved" besides: planned again, it may do.
local function refuse_moved(self)
  return nil, core.error { code = "conflict",
    message = self.path .. ": somebody has changed it while it was being published; publish again" }, "moved"
end

-- Asked directly before the file changes: checkers take their time.
local function has_moved(self)
  return sys.file_digest(self.path) ~= self.seen
end

-- The copy comes first: whatever happens while the file is being written, all of its new content is there.
local function write_in_place(self, prefix)
  local done, message, errno = self.replacement:commit()
  if not done then
    return refuse(message, errno)
  elseif has_moved(self) then
    piece.forget_copies(self.path, prefix)
    return refuse_moved(self)
  end
  done, message, errno = sys.overwrite(self.path, self.copy)
  if not done and has_moved(self) then
    return refuse(message .. "; the file is half written, the next publish completes it", errno)
  end
  piece.forget_copies(self.path, prefix)
  if not done then
    return refuse(message, errno)
  end
  return true
end

--- Puts the new file in the place of the old one, or takes that away; not when somebody has changed that since.
---@param prefix string  of the place
---@return true?, hoststore.Error? err, "moved"? why
function piece.commit(self, prefix)
  local done, message, errno
  if self.copy then
    return write_in_place(self, prefix)
  elseif has_moved(self) then
    return refuse_moved(self)
  elseif self.remove then
    done, message, errno = sys.unlink(self.path)
    if done then
      done, message, errno = sys.sync_directory(parent(self.path))
    end
  else
    done, message, errno = self.replacement:commit()
    if errno == sys.errno.EBUSY then
      message = message .. "; it is mounted by itself and takes mode in-place, or in_place with a block"
    end
  end
  if not done then
    return refuse(message, errno)
  end
  return true
end

return piece
