--- Lines over time as SVG, without anything else to install.
local chart = {}

local WIDTH, HEIGHT, LEFT, TOP, RIGHT, BOTTOM = 900, 360, 60, 40, 130, 40
local COLOURS = { "#1b6ca8", "#d1495b", "#66a182", "#edae49", "#7768ae", "#00798c", "#8d5b4c", "#3d405b", "#a23b72" }

local function escape(text)
  return (text:gsub("[&<>\"]", { ["&"] = "&amp;", ["<"] = "&lt;", [">"] = "&gt;", ['"'] = "&quot;" }))
end

-- A step between lines across: 1, 2 or 5 of some power of ten.
local function step(most)
  local size = 10 ^ math.floor(math.log(math.max(most, 1)) / math.log(10))
  for _, part in ipairs { 0.2, 0.5, 1 } do
    if most / (size * part) <= 6 then return size * part end
  end
  return size * 2
end

local function text(x, y, words, more)
  return ('<text x="%.1f" y="%.1f"%s>%s</text>'):format(x, y, more or "", escape(words))
end

--- `series` = array of { name =, points = array of { x, y } in the order of x }; x are seconds since 1970.
function chart.lines(title, series)
  local first, last, most = math.huge, -math.huge, 1
  for _, line in ipairs(series) do
    for _, point in ipairs(line.points) do
      first, last, most = math.min(first, point[1]), math.max(last, point[1]), math.max(most, point[2])
    end
  end
  local function x(time) return LEFT + (time - first) / math.max(last - first, 1) * (WIDTH - LEFT - RIGHT) end
  local function y(value) return HEIGHT - BOTTOM - value / most * (HEIGHT - TOP - BOTTOM) end
  local out = {
    ('<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="12">')
      :format(WIDTH, HEIGHT),
    '<rect width="100%" height="100%" fill="white"/>',
    text(LEFT, TOP / 2, title, ' font-size="15"'),
  }
  for value = 0, most, step(most) do
    out[#out + 1] = ('<line x1="%d" y1="%.1f" x2="%d" y2="%.1f" stroke="#dddddd"/>'):format(LEFT, y(value),
      WIDTH - RIGHT, y(value))
    out[#out + 1] = text(LEFT - 6, y(value) + 4, ("%d"):format(value), ' text-anchor="end"')
  end
  for i = 0, 4 do
    local time = first + (last - first) * i / 4
    out[#out + 1] = text(x(time), HEIGHT - BOTTOM + 18, os.date("!%Y-%m-%d", math.floor(time)), ' text-anchor="middle"')
  end
  for i, line in ipairs(series) do
    local points = {}
    for k, point in ipairs(line.points) do points[k] = ("%.1f,%.1f"):format(x(point[1]), y(point[2])) end
    local colour = COLOURS[(i - 1) % #COLOURS + 1]
    out[#out + 1] = ('<polyline fill="none" stroke="%s" stroke-width="1.5" points="%s"/>'):format(colour,
      table.concat(points, " "))
    out[#out + 1] = text(WIDTH - RIGHT + 12, TOP + 18 * i, line.name, (' fill="%s"'):format(colour))
  end
  out[#out + 1] = "</svg>\n"
  return table.concat(out, "\n")
end

return chart
