-- What the benchmarks share: the output of a command, the median, tables of texts, and what is kept of a run.
local chart = require "spec.bench.chart"
local json = require "hoststore.json"

local report = {}

function report.output_of(command, ...)
  local pipe = assert(io.popen(command:format(...)))
  local text = pipe:read "*a"
  pipe:close()
  return (text:gsub("%s+$", ""))
end

--- Bytes of this process's memory.
---@param what string  "VmRSS" of now, "VmHWM" at most: see proc(5)
---@return integer
function report.memory(what)
  for line in io.lines "/proc/self/status" do
    local kib = line:match("^" .. what .. ":%s*(%d+)")
    if kib then return kib * 1024 end
  end
end

--- The middle of some numbers, which are put in order.
---@param numbers number[]
---@return number
function report.median(numbers)
  table.sort(numbers)
  return numbers[math.floor((#numbers + 1) / 2)]
end

--- What a machine is: its processor, how many there are, its system, and how busy it is.
---@return string
function report.machine()
  local model = report.output_of "sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1"
  return ("%s cores of %s, %s, load %s"):format(report.output_of "nproc", model ~= "" and model or "unknown make",
    report.output_of "uname -srm", report.output_of "cut -d ' ' -f 1 /proc/loadavg")
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

--- Of what was measured, how often it is as good as its goal: 1 is just as good, 2 twice as good.
---@param row table  with value, goal and at_least
---@return number
function report.score(row)
  local score = row.at_least and row.value / row.goal or row.goal / row.value
  return math.min(score, 1e6)
end

local function write(path, text)
  local file = assert(io.open(path, "w"))
  file:write(text)
  assert(file:close())
end

--- Keeps a run as JSON and as a chart, in build/bench; and in spec/bench if KEEP is set.
---@param name string  of the database
---@param facts string[]  what it was measured with
---@param rows { what: string, value: number, goal: number, at_least: boolean, text: string }[]
function report.keep(name, facts, rows)
  local directories = { "build/bench" }
  if (os.getenv "KEEP" or "") ~= "" then directories[2] = "spec/bench" end
  for _, directory in ipairs(directories) do
    report.output_of("mkdir -p %s", directory)
    write(("%s/%s.json"):format(directory, name), json.encode { facts = facts, rows = rows } .. "\n")
    write(("%s/%s.svg"):format(directory, name), chart.draw("hoststore on " .. name, facts, rows, report.score))
    print(("\nkept as %s/%s.json and .svg"):format(directory, name))
  end
end

return report
