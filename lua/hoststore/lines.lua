--- A source of text, read in pieces of bounded size: lines, or chunks as they come.
local file = require "hoststore.file"

local byte, find, sub = string.byte, string.find, string.sub

local CHUNK = 32 * 1024
local LIMIT = 256 * 1024
local BYTE_ORDER_MARK = "\239\187\191"

---@class hoststore.Lines
---@field keep_cr? boolean leave the CR of CR LF in the line: for formats in which it may be content
---@field limit? integer bytes of the longest line; 256 KiB
---@field unended? boolean the line that next() gave has no end, as the last of a source that was cut off
local Lines = {}
Lines.__index = Lines

-- Appends a chunk of the source to the unread rest of the buffer; false at the end. A source that
-- cannot be read any further raises: half of it must not pass for all of it.
local function more(self)
  if not self.file then
    return false
  end
  -- As much as there is already: or a long line would be copied once for each of its chunks.
  local chunk, message, errno = self.file:read(math.max(CHUNK, #self.buffer - self.position + 1))
  if chunk then
    self.buffer = sub(self.buffer, self.position) .. chunk
    self.position = 1
    return true
  elseif message then
    error(file.failure(message, errno), 0)
  end
  return false
end

local function skip_line(self, feed)
  while not feed do
    self.position = #self.buffer + 1
    if not more(self) then
      return
    end
    feed = find(self.buffer, "\n", self.position, true)
  end
  self.position = feed + 1
end

--- The next line without its end (LF, CR LF or the end of the source), nil behind the last. A line
--- longer than 256 KiB is passed over and reported.
---@return integer? number, string? line, string? message
function Lines:next()
  local feed, limit = find(self.buffer, "\n", self.position, true), self.limit or LIMIT
  while not feed and #self.buffer - self.position < limit and more(self) do
    feed = find(self.buffer, "\n", self.position, true)
  end
  local first, last = self.position, (feed or #self.buffer + 1) - 1
  if not feed and first > last then
    return nil
  end
  self.number, self.unended = self.number + 1, not feed
  if last - first >= limit then
    skip_line(self, feed)
    return self.number, nil, "the line is longer than 256 KiB"
  end
  self.position = last + 2
  if not self.keep_cr and byte(self.buffer, last) == 13 and last >= first then
    last = last - 1
  end
  return self.number, sub(self.buffer, first, last)
end

--- Some more of the text, for readers that care little for lines; nil at the end.
---@return string? text
function Lines:chunk()
  if self.position > #self.buffer and not more(self) then
    return nil
  end
  local text = sub(self.buffer, self.position)
  self.position = #self.buffer + 1
  return text
end

--- Closes the file if open() opened it.
function Lines:close()
  if self.owned then
    self.file:close()
  end
  self.file, self.owned, self.buffer, self.position = nil, nil, "", 1
end

local lines = {}

--- Opens a path, an open file or { text = … } for reading. A byte order mark is passed over.
---@param source string|file*|{text: string}
---@return hoststore.Lines? lines, hoststore.Error? err
function lines.open(source)
  local self = setmetatable({ buffer = "", position = 1, number = 0 }, Lines)
  if type(source) == "string" then
    local handle, message, errno = io.open(source, "rb")
    if not handle then
      return nil, file.failure(message, errno)
    end
    self.file, self.owned = handle, true
  elseif io.type(source) == "file" then
    self.file = source
  elseif type(source) == "table" and type(source.text) == "string" then
    self.buffer = source.text
  else
    error("source: a path, an open file or { text = … } expected", 2)
  end
  -- The first read says whether it can be read at all: a directory can be opened.
  local _, err = file.try(more, self)
  if err then
    self:close()
    return nil, err
  end
  if sub(self.buffer, 1, 3) == BYTE_ORDER_MARK then
    self.position = 4
  end
  return self
end

return lines
