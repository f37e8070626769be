--- Asks a log what is worth knowing about its year, and draws a chart of it.
---   analysis.lua DATABASE [CHART.svg]      from any directory, with hoststore installed
local here = arg[0]:match "^(.*/)" or "./"
package.path = here .. "?.lua;" .. package.path
local chart = require "chart"
local hoststore = require "hoststore"
local questions = require "questions"

local url = arg[1] or error("usage: analysis.lua DATABASE [CHART.svg]", 0)
local store = assert(hoststore.open(url, { readonly = true }))

local function days(microseconds) return ("%.1f days"):format(microseconds / 86400e6) end
local function minutes(microseconds) return ("%.1f min"):format(microseconds / 60e6) end
local function date(microseconds) return os.date("!%Y-%m-%d", math.floor(microseconds / 1e6)) end
local FORMATS = { lived = days, shortest = minutes, longest = minutes, first = date, last = date, week = date }

local function print_rows(rows)
  print(table.concat(rows.columns, "\t"))
  for _, row in ipairs(rows) do
    local cells = {}
    for i, name in ipairs(rows.columns) do
      local value, format = row[name], FORMATS[name]
      cells[i] = value == nil and "-" or format and format(value) or tostring(value)
    end
    print(table.concat(cells, "\t"))
  end
end

-- A line for each tag that has as many changes as it takes to be seen.
local function series(rows)
  local lines, by_name = {}, {}
  for _, row in ipairs(rows) do
    local line = by_name[row.tag]
    if not line then
      line = { name = row.tag, points = {}, total = 0 }
      by_name[row.tag], lines[#lines + 1] = line, line
    end
    line.points[#line.points + 1] = { row.week / 1e6, row.changes }
    line.total = line.total + row.changes
  end
  table.sort(lines, function(a, b) return a.total > b.total end)
  return lines
end

for _, question in ipairs(questions.list) do
  local rows = assert(questions.ask(store, question))
  if question.name == "churn" then
    if arg[2] then
      local file = assert(io.open(arg[2], "w"))
      assert(file:write(chart.lines(question.title, series(rows))))
      assert(file:close())
    end
  else
    print("\n" .. question.title)
    print_rows(rows)
  end
end
store:close()
