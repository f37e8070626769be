--- Draws what was measured as bars, in SVG.
local chart = {}

local WIDTH, LEFT, BAR, GAP, TOP = 900, 460, 14, 6, 56
-- The longest bar: three times as good as the goal, or more.
local LONGEST = 3

local function escape(text)
  return (text:gsub("[&<>]", { ["&"] = "&amp;", ["<"] = "&lt;", [">"] = "&gt;" }))
end

local function text_at(x, y, anchor, text)
  return ('<text x="%.0f" y="%.0f" text-anchor="%s">%s</text>\n'):format(x, y, anchor, escape(text))
end

--- Bars whose length is how good each row is, next to a line where the goal is reached.
---@param title string
---@param facts string[]
---@param rows table[]  each with `what` and `text`, the value and its goal
---@param score fun(row: table): number
---@return string svg
function chart.draw(title, facts, rows, score)
  local unit = (WIDTH - LEFT - 20) / LONGEST
  local bottom = TOP + #rows * (BAR + GAP)
  local height = bottom + 24 + 16 * #facts
  local parts = { ('<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" font-family="sans-serif" '
    .. 'font-size="11">\n<rect width="100%%" height="100%%" fill="white"/>\n'):format(WIDTH, height),
    ('<text x="10" y="22" font-size="16">%s</text>\n'):format(escape(title)),
    text_at(LEFT + unit, TOP - 10, "middle", "goal") }
  for i, row in ipairs(rows) do
    local y, good = TOP + (i - 1) * (BAR + GAP), score(row)
    parts[#parts + 1] = text_at(LEFT - 8, y + 11, "end", row.what)
    parts[#parts + 1] = ('<rect x="%d" y="%d" width="%.1f" height="%d" fill="%s"/>\n'):format(LEFT, y,
      math.min(good, LONGEST) * unit, BAR, good >= 1 and "#4a8c5c" or "#c0713d")
    parts[#parts + 1] = text_at(LEFT + 6, y + 11, "start", row.text)
  end
  parts[#parts + 1] = ('<line x1="%.1f" y1="%d" x2="%.1f" y2="%d" stroke="black"/>\n'):format(LEFT + unit, TOP - 6,
    LEFT + unit, bottom)
  for i, fact in ipairs(facts) do
    parts[#parts + 1] = text_at(10, bottom + 8 + 16 * i, "start", fact)
  end
  return table.concat(parts) .. "</svg>\n"
end

return chart
