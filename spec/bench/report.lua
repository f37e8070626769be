-- What the benchmarks share: the output of a command, and a table of texts.
local report = {}

function report.output_of(command, ...)
  local pipe = assert(io.popen(command:format(...)))
  local text = pipe:read "*a"
  pipe:close()
  return (text:gsub("%s+$", ""))
end

--- Prints rows of texts as columns: the first from the left, the others from the right.
---@param rows string[][]  each as long as the first
function report.print(rows)
  local widths = {}
  for _, cells in ipairs(rows) do
    for i, cell in ipairs(cells) do
      widths[i] = math.max(widths[i] or 0, #cell)
    end
  end
  for _, cells in ipairs(rows) do
    local line = {}
    for i, cell in ipairs(cells) do
      local space = (" "):rep(widths[i] - #cell)
      line[i] = i == 1 and cell .. space or space .. cell
    end
    print((table.concat(line, "  "):gsub("%s+$", "")))
  end
end

return report
