-- Text for a terminal: what stored data may show there, and how wide it is.

local text = {}

-- The code point at `first` and its last byte, or nil where the bytes are no valid UTF-8.
local function decode(s, first)
  local lead = s:byte(first)
  if lead < 0x80 then
    return lead, first
  end
  local more = lead < 0xC2 and -1 or lead < 0xE0 and 1 or lead < 0xF0 and 2 or lead < 0xF5 and 3 or -1
  if more < 0 then
    return nil
  end
  local code = lead % 2 ^ (6 - more)
  for i = first + 1, first + more do
    local byte = s:byte(i)
    if not byte or byte < 0x80 or byte > 0xBF then
      return nil
    end
    code = code * 64 + byte - 0x80
  end
  local shortest = more == 1 and 0x80 or more == 2 and 0x800 or 0x10000
  if code < shortest or code > 0x10FFFF or (code >= 0xD800 and code <= 0xDFFF) then
    return nil
  end
  return code, first + more
end

-- C1 controls act like escape sequences; the others reorder or hide what stands around them.
local function is_harmful(code)
  return code >= 0x80 and code <= 0x9F
    or code >= 0x200B and code <= 0x200F
    or code >= 0x2028 and code <= 0x202E
    or code >= 0x2060 and code <= 0x206F
    or code == 0xFEFF
end

local NAMED = { ["\n"] = "\\n", ["\r"] = "\\r", ["\t"] = "\\t" }

local function escape_byte(byte)
  return NAMED[byte] or ("\\x%02x"):format(byte:byte())
end

local function escape_run(s)
  local out, i = {}, 1
  while i <= #s do
    local code, last = decode(s, i)
    if not code then
      last = i
      out[#out + 1] = escape_byte(s:sub(i, i))
    elseif is_harmful(code) then
      out[#out + 1] = ("\\u{%x}"):format(code)
    else
      out[#out + 1] = s:sub(i, last)
    end
    i = last + 1
  end
  return table.concat(out)
end

--- Makes any text fit for one line of a terminal: control characters, bytes that are no UTF-8
--- and characters that reorder a line become visible escapes.
---@param s string
---@return string
function text.visible(s)
  if not s:find "[^ -~]" then
    return s
  end
  return (s:gsub("[^ -~\128-\255]", escape_byte):gsub("[\128-\255]+", escape_run))
end

local function char_width(char)
  if #char == 1 then
    return 1
  end
  local code = decode(char, 1) or 0
  if code >= 0x300 and code <= 0x36F or code >= 0xFE00 and code <= 0xFE0F then
    return 0
  end
  local wide = code >= 0x1100 and code <= 0x115F
    or code >= 0x2E80 and code <= 0xA4CF
    or code >= 0xAC00 and code <= 0xD7A3
    or code >= 0xF900 and code <= 0xFAFF
    or code >= 0xFE30 and code <= 0xFE6F
    or code >= 0xFF00 and code <= 0xFF60
    or code >= 0xFFE0 and code <= 0xFFE6
    or code >= 0x1F300 and code <= 0x1F64F
    or code >= 0x1F900 and code <= 0x1F9FF
    or code >= 0x20000 and code <= 0x3FFFD
  return wide and 2 or 1
end

--- The columns a visible text takes on a terminal.
---@param s string
---@return integer
function text.width(s)
  if not s:find("[\128-\255]") then
    return #s
  end
  local width = 0
  for char in s:gmatch("[^\128-\191][\128-\191]*") do
    width = width + char_width(char)
  end
  return width
end

return text
