--- Templates in LuCI's syntax made into Lua, line for line: an error in line 7 of the chunk is one in line
--- 7 of the template.
---
---   <% code %>    <%= value %>    <%# comment %>    <%- and -%> take the white space beside them away
local core = require "hoststore.core"

local byte, find, format, gsub, match, rep, sub = string.byte, string.find, string.format, string.gsub, string.match,
  string.rep, string.sub

-- Spelled out: %s depends on the locale.
local SPACE = "[\t-\r ]"

local function fail(name, line, message)
  error(core.error { code = "policy", line = line, message = ("%s:%d: %s"):format(name, line, message) }, 0)
end

local function count_lines(text)
  return select(2, gsub(text, "\n", "\n"))
end

-- Where the text that begins at `position` with a quote or long bracket ends; nil when it does not.
local function behind_string(code, position)
  local quote = sub(code, position, position)
  if quote == "[" then
    local level = match(code, "^%[(=*)%[", position)
    local _, last = find(code, "]" .. level .. "]", position, true)
    return last and last + 1
  end
  repeat
    position = find(code, "[\\" .. quote .. "]", position + 1)
    if not position or byte(code, position) == byte(quote) then
      return position and position + 1
    end
    position = position + 1
  until false
end

-- The code without a comment that ends with it: what follows in the same line is not part of that.
local function without_last_comment(code)
  local position = 1
  while true do
    position = find(code, "[\"'%[%-]", position)
    if not position then
      return code
    end
    local is_comment = sub(code, position, position + 1) == "--"
    local start = is_comment and position + 2 or position
    if find(code, "^%[=*%[", start) or not is_comment and find(code, "^[\"']", start) then
      position = behind_string(code, start)
      if not position then
        return code
      end
    elseif is_comment then
      local feed = find(code, "\n", position, true)
      if not feed then
        return sub(code, 1, position - 1)
      end
      position = feed
    else
      position = position + 1
    end
  end
end

-- A piece of text: a literal in one line, and behind it the line ends that are in it.
local function write_text(text)
  if text == "" then
    return ""
  end
  local literal = gsub(text, '[%c"\\]', function(c) return format("\\%03d", byte(c)) end)
  return '__write("' .. literal .. '");' .. rep("\n", count_lines(text))
end

local writers = {}

writers["#"] = function(code)
  return rep("\n", count_lines(code))
end

writers["="] = function(code)
  return " __write_value(" .. without_last_comment(code) .. ");"
end

local function write_code(code)
  return " " .. without_last_comment(code) .. " "
end

local function refuse(name, line, sign)
  fail(name, line, ("'<%%%s' of LuCI is not known here; there are <%% code %%>, <%%= value %%> and <%%# comment %%>")
    :format(sign))
end

--- The Lua of a template, which calls __write(text) and __write_value(value). Raises an error of the
--- store for what is no template.
---@param text string
---@param name string  for messages
---@return string chunk
return function(text, name)
  -- The mark that some editors put in front of a text is none of it.
  text = gsub(text, "^\239\187\191", "")
  local pieces, position, line, skip_space = {}, 1, 1, false
  while true do
    local open, code_start = find(text, "<%", position, true)
    local plain = sub(text, position, (open or #text + 1) - 1)
    local shown = skip_space and gsub(plain, "^" .. SPACE .. "+", "") or plain
    local trims = open and sub(text, code_start + 1, code_start + 1) == "-"
    if trims then
      shown = match(shown, "^(.*[^\t-\r ])") or ""
    end
    -- Line ends that are not shown are lines of the template all the same.
    pieces[#pieces + 1] = write_text(shown) .. rep("\n", count_lines(plain) - count_lines(shown))
    line = line + count_lines(plain)
    if not open then
      return table.concat(pieces)
    end
    code_start = code_start + (trims and 2 or 1)
    local close, close_end = find(text, "%>", code_start, true)
    if not close then
      fail(name, line, "'<%' is not closed by '%>'")
    end
    skip_space = close > code_start and byte(text, close - 1) == 45
    local code = sub(text, code_start, skip_space and close - 2 or close - 1)
    code = trims and gsub(code, "^[ \t]+", "") or code
    local sign = sub(code, 1, 1)
    if find(sign, "[+:_]") then
      refuse(name, line, sign)
    end
    local writer = writers[sign]
    pieces[#pieces + 1] = writer and writer(sub(code, 2)) or write_code(code)
    line = line + count_lines(code)
    position = close_end + 1
  end
end
