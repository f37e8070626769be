--- The page of results: what a full run of the proof programs has shown, on which machine, and how to see it again.
local hoststore = require "hoststore"
local sys = require("hoststore.core").sys
local system = require "spec.support.system"

local page = {}

local HEAD = [[
# What has been proved

Written by `make proof`, which runs everything below; `make proof PARTS=NAME` runs one part of it and brings its lines
up to date. A part repeats itself: its seeds stand in it. `make proof SCALE=short`, which is what CI runs, tries less
of each.

]]

local function output_of(command)
  return (system.run(command):gsub("%s+$", ""))
end

local function stats_of(url)
  local store = assert(hoststore.open(url, { policies = false }))
  local stats = assert(store:stats())
  store:close()
  return stats
end

local function facts()
  local server = stats_of(os.getenv "HOSTSTORE_TEST_POSTGRES").server_version
  return {
    { "Lua", (rawget(_G, "jit") or {}).version or _VERSION },
    { "SQLite", stats_of "memory:".sqlite_version },
    { "PostgreSQL", server },
    { "System", output_of "uname -srm" .. ", " .. output_of "nproc" .. " processors" },
  }
end

local function cells(...)
  local row = { ... }
  for i, cell in ipairs(row) do
    row[i] = tostring(cell):gsub("|", "\\|")
  end
  return "| " .. table.concat(row, " | ") .. " |\n"
end

local HEADINGS = { "What", "How many", "Failures", "Seed", "Seconds", "Note", "Command", "Date", "hoststore" }
local ALIGNED = "|---|--:|--:|--:|--:|---|---|---|---|\n"

local function row_of(line, date, version)
  return cells(line.what, line.count, line.failures, line.seed, ("%.1f"):format(line.seconds), line.note,
    "`make proof PARTS=" .. line.part .. "`", date, version)
end

-- What a page says already: its rows, each under what it is about.
local function read_rows(path)
  local file, rows = io.open(path), {}
  if not file then return rows end
  for line in file:lines() do
    local what = line:match "^| (.-) | %d+ | %d+ | "
    if what then rows[#rows + 1] = { what = what, text = line .. "\n" } end
  end
  file:close()
  return rows
end

-- The row of a line takes the place of the one about the same.
local function put(rows, row)
  for i, old in ipairs(rows) do
    if old.what == row.what then
      rows[i] = row
      return
    end
  end
  rows[#rows + 1] = row
end

--- Writes the page.
---@param path string
---@param lines table[]  { part=, what=, count=, failures=, seed=, note=, seconds= }
---@param begun number  when the run began
---@param all boolean  nothing else is to be on the page; else what it says of other things stays
function page.write(path, lines, begun, all)
  local rows, failed = all and {} or read_rows(path), 0
  local date, version = os.date("!%Y-%m-%d %H:%M", begun), output_of "git describe --always --dirty"
  for _, line in ipairs(lines) do
    put(rows, { what = line.what, text = row_of(line, date, version) })
  end
  for _, row in ipairs(rows) do
    failed = failed + (row.text:find "^| .- | %d+ | 0 | " and 0 or 1)
  end
  local text = { HEAD, "| | |\n|---|---|\n",
    cells("Result", ("%d passed, %d failed, at full scale"):format(#rows - failed, failed)) }
  for _, fact in ipairs(facts()) do
    text[#text + 1] = cells(fact[1], fact[2])
  end
  text[#text + 1] = "\n" .. cells((unpack or table.unpack)(HEADINGS)) .. ALIGNED
  for _, row in ipairs(rows) do
    text[#text + 1] = row.text
  end
  local replacement = assert(sys.replace(path))
  assert(replacement:write(table.concat(text)))
  assert(replacement:commit())
end

return page
