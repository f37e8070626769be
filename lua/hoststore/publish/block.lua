--- Mode "block": the output is what stands between two lines of a file. All other bytes of it are foreign
--- and stay as they are.
local core = require "hoststore.core"
local rendering = require "hoststore.publish.rendering"
local whole = require "hoststore.publish.whole"

local sys = core.sys
local block = { locate = whole.locate, recover = whole.recover }

local function marker(word, name)
  return ("# %s hoststore %s"):format(word, name)
end

-- "BEGIN" or "END" and the name, when the line is a marker of any block. Editors add white space behind.
local function read_marker(line)
  local word, name = line:match("^# (%u+) hoststore (.-)[ \t\r]*$")
  if word == "BEGIN" or word == "END" then
    return word, name
  end
end

local function refuse(path, number, ...)
  return nil, core.error {
    code = "invalid", line = number,
    message = ("%s:%d: %s; mend the markers by hand"):format(path, number, (...):format(select(2, ...))),
  }
end

-- What a marker means for the block of that name, of which `found` is known so far.
local function note_marker(path, found, number, word, name, wanted)
  local inside = found.begin and not found.finish
  if name ~= wanted then
    if inside then
      return refuse(path, number, "'%s' stands within the block that line %d begins", marker(word, name), found.begin)
    end
    return true
  elseif word == "BEGIN" then
    if found.begin then
      return refuse(path, number, "a second '%s', the first is line %d", marker(word, name), found.begin)
    end
    found.begin = number
  elseif not inside then
    return refuse(path, number, "'%s' without a line '%s' before it", marker(word, name), marker("BEGIN", name))
  else
    found.finish = number
  end
  return true
end

-- Where the block is in a text: the first byte behind its first marker and the last one before its second.
local function find(path, text, name)
  local found, number, position = {}, 0, 1
  while position <= #text do
    local feed = text:find("\n", position, true) or #text
    number = number + 1
    local word, of = read_marker((text:sub(position, feed):gsub("\n$", "")))
    if word then
      local good, err = note_marker(path, found, number, word, of, name)
      if not good then
        return nil, err
      end
      found.first = found.begin == number and feed + 1 or found.first
      found.last = found.finish == number and position - 1 or found.last
    end
    position = feed + 1
  end
  if found.begin and not found.finish then
    return refuse(path, found.begin, "'%s' without a line '%s' behind it", marker("BEGIN", name), marker("END", name))
  end
  return found
end

-- Text before the block, the block when there is one, text behind it. What ends without an end of line
-- gets one before a new block.
local function parts(path, text, name)
  local found, err = find(path, text, name)
  if not found then
    return nil, err
  elseif found.begin then
    return { before = text:sub(1, found.first - 1), content = text:sub(found.first, found.last),
      after = text:sub(found.last + 1) }
  end
  local gap = (text == "" or text:sub(-1) == "\n") and "" or "\n"
  return { before = text .. gap .. marker("BEGIN", name) .. "\n", after = marker("END", name) .. "\n" }
end

local function ended(text)
  return (text == "" or text:sub(-1) == "\n") and text or text .. "\n"
end

local function check_content(path, text)
  for line in text:gmatch("[^\n]+") do
    if read_marker(line) then
      return nil, core.error { code = "invalid",
        message = ("%s: the text of a block may not hold the line '%s'"):format(path, line) }
    end
  end
  return true
end

local function key(output)
  return "block " .. output.name
end

--- The one piece of it.
---@return table[]? pieces, table|hoststore.Error made
function block.pieces(job, generate)
  local path, output = job.output.path, job.output
  local made = rendering.text(generate)
  local content = ended(made.text)
  local good, err = check_content(path, content)
  if not good then
    return nil, err
  end
  local text
  text, err = whole.read(job.target)
  if err then
    return nil, err
  end
  local found
  found, err = parts(path, text or "", output.name)
  if not found then
    return nil, err
  end
  return { {
    key = key(output), path = job.target, digest = sys.digest(content), same = found.content == content,
    torn = job.torn, found = found.content and sys.digest(found.content), in_place = output.in_place,
    offset = select(2, found.before:gsub("\n", "")), seen = text and sys.digest(text),
    unmarked = text ~= nil and not found.content and { marker("BEGIN", output.name), marker("END", output.name) },
    read = function() return found.content end,
    content = function(sink) sink(content) end,
    write = function(sink)
      sink(found.before)
      sink(content)
      sink(found.after)
    end,
  } }, made
end

function block.split(job, text)
  return { [key(job.output)] = ended(text) }
end

return block
