--- Hosts as one JSON array of objects. Reading takes it apart into its elements without holding
--- more of it than one.
local ndjson = require "hoststore.format.ndjson"

local byte, find, gsub, sub = string.byte, string.find, string.gsub, string.sub

local json = { fields = ndjson.fields }

local LIMIT = 256 * 1024
local NOT_CLOSED = "the JSON array does not end with ']'"

-- -- where an element ends ------------------------------------------------------------------------

---@class hoststore.Splitter the unread text of the source, and the line it begins in
local Splitter = {}
Splitter.__index = Splitter

local function new_splitter(lines)
  return setmetatable({ lines = lines, text = "", position = 1, line = 1 }, Splitter)
end

-- Drops the text before `position` and appends a chunk of the source; false at its end.
function Splitter:more()
  local chunk = self.lines:chunk()
  if chunk then
    self.text = sub(self.text, self.position) .. chunk
    self.position = 1
  end
  return chunk ~= nil
end

-- Moves on to `position`, counting the lines on the way.
function Splitter:move(position)
  local _, feeds = gsub(sub(self.text, self.position, position - 1), "\n", "\n")
  self.line = self.line + feeds
  self.position = position
end

-- The next character that is no white space, not yet consumed; nil at the end.
function Splitter:peek()
  local position = find(self.text, "[^\t\n\r ]", self.position)
  while not position do
    self:move(#self.text + 1)
    if not self:more() then
      return nil
    end
    position = find(self.text, "[^\t\n\r ]")
  end
  self:move(position)
  return sub(self.text, position, position)
end

-- The last position of the element that begins here: all up to a ',' or ']' outside of strings and
-- brackets. Nil at the end of the source, or, with true, when it is too long. Looks at no character
-- twice, however often it has to ask for more text.
function Splitter:find_end()
  local depth, in_string, offset = 0, false, 0
  while offset <= LIMIT do
    local at = find(self.text, in_string and '["\\]' or '["%[%]{},]', self.position + offset)
    if at then
      local c = byte(self.text, at)
      offset = at + 1 - self.position
      if c == 92 then          -- '\', which takes the next character with it
        offset = offset + 1
      elseif c == 34 then      -- '"'
        in_string = not in_string
      elseif c == 91 or c == 123 then
        depth = depth + 1
      elseif depth == 0 then
        return at - 1
      elseif c ~= 44 then      -- ']' or '}'
        depth = depth - 1
      end
    else
      offset = math.max(offset, #self.text + 1 - self.position)
      if not self:more() then
        return nil
      end
    end
  end
  return nil, true
end

-- -- reading and writing ----------------------------------------------------------------------------

---@param lines hoststore.Lines
---@return fun(): integer?, table?, string?, boolean?
function json.read(lines)
  local splitter = new_splitter(lines)
  local expected, done = "[", false

  local function stop(message)
    done = true
    return splitter.line, nil, message, true
  end

  local function finish()
    splitter:move(splitter.position + 1)
    if splitter:peek() then
      return stop("there is more text behind the end of the JSON array")
    end
    done = true
  end

  return function()
    if done then
      return nil
    end
    local c = splitter:peek()
    if expected == "[" and c ~= "[" then
      return stop("not a JSON array: it must begin with '['")
    elseif expected == "," and c == "]" then
      return finish()
    elseif c ~= expected then
      return stop(c and "',' or ']' must follow an element of the JSON array" or NOT_CLOSED)
    end
    splitter:move(splitter.position + 1)
    if splitter:peek() == "]" and expected == "[" then
      return finish()
    end
    expected = ","
    local line = splitter.line
    local last, too_long = splitter:find_end()
    if not last then
      return stop(too_long and "the JSON object is longer than 256 KiB" or NOT_CLOSED)
    end
    local text = sub(splitter.text, splitter.position, last)
    splitter:move(last + 1)
    return line, ndjson.decode(text)
  end
end

---@param iterator fun(): hoststore.Host?
---@param sink fun(text: string)
---@return integer count
function json.write(iterator, sink)
  local count = 0
  for host in iterator do
    sink((count == 0 and "[\n" or ",\n") .. ndjson.encode(host))
    count = count + 1
  end
  sink(count == 0 and "[]\n" or "\n]\n")
  return count
end

return json
