--- What Lua's own functions do as the language of the process says, done the same in all of them: a program
--- that we run in may have called setlocale.
local byte, format, gsub = string.byte, string.format, string.gsub

local neutral = {}

local lower = {}
for code = 65, 90 do
  lower[string.char(code)] = string.char(code + 32)
end

--- Lower case of ASCII's letters alone: in Turkish that of I is none of them.
---@param text string
---@return string
function neutral.lower(text)
  return (gsub(text, "[A-Z]", lower))
end

--- Whether a comes before b by their bytes: `<` sorts as dictionaries do.
---@param a string
---@param b string
---@return boolean
function neutral.is_before(a, b)
  for i = 1, #a do
    local x, y = byte(a, i), byte(b, i)
    if x ~= y then
      return y ~= nil and x < y
    end
  end
  return #a < #b
end

--- A number as text, with a point where German has a comma.
---@param conversion string  as for string.format: "%.6f"
---@param number number
---@return string
function neutral.format(conversion, number)
  local text = gsub(format(conversion, number), "^(%-?%d+)[^%de]+", "%1.")
  return text
end

--- The number that a text such as "12.5" says, or nil.
---@param text string
---@return number?
function neutral.number(text)
  return tonumber((gsub(text, "%.", format("%.1f", 0.5):sub(2, -2))))
end

return neutral
