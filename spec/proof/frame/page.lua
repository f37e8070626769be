--- The page of results: what a full run of the proof programs has shown, on which machine, and how to see it again.
local hoststore = require "hoststore"
local sys = require("hoststore.core").sys
local system = require "spec.support.system"

local page = {}

local HEAD = [[
# What has been proved

Written by `make proof`, which runs everything below; `make proof PARTS=NAME` runs one part of it. A part
repeats itself: its seeds stand in it. `make proof SCALE=short`, which is what CI runs, tries less of each.

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

local function result_of(lines)
  local failed = 0
  for _, line in ipairs(lines) do
    failed = failed + (line.failures > 0 and 1 or 0)
  end
  return ("%d passed, %d failed, at full scale"):format(#lines - failed, failed)
end

local function facts(lines, begun)
  local server = stats_of(os.getenv "HOSTSTORE_TEST_POSTGRES").server_version
  return {
    { "Result", result_of(lines) },
    { "Date", os.date("!%Y-%m-%d %H:%M UTC", begun) .. (", %.0f minutes"):format((os.time() - begun) / 60) },
    { "hoststore", output_of "git describe --always --dirty" },
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

--- Writes the page.
---@param path string
---@param lines table[]  { part=, what=, count=, failures=, seed=, note=, seconds= }
---@param begun number  when the run began
function page.write(path, lines, begun)
  local text = { HEAD, "| | |\n|---|---|\n" }
  for _, fact in ipairs(facts(lines, begun)) do
    text[#text + 1] = cells(fact[1], fact[2])
  end
  text[#text + 1] = "\n" .. cells("What", "How many", "Failures", "Seed", "Seconds", "Note", "Command")
    .. "|---|--:|--:|--:|--:|---|---|\n"
  for _, line in ipairs(lines) do
    text[#text + 1] = cells(line.what, line.count, line.failures, line.seed, ("%.1f"):format(line.seconds), line.note,
      "`make proof PARTS=" .. line.part .. "`")
  end
  local replacement = assert(sys.replace(path))
  assert(replacement:write(table.concat(text)))
  assert(replacement:commit())
end

return page
