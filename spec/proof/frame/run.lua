--- Runs the proof programs for spec/proof/run:
---   run.lua SCALE [NAME...]
--- A program is started with the SCALE, "short" or "full". For each thing it has proved it prints the
--- line "PROOF", what was tried, how many times, how many of them failed, the seed or "-", and a note, with
--- tabs between them. It exits with 1 when anything has failed.
local page = require "spec.proof.frame.page"
local sys = require("hoststore.core").sys
local system = require "spec.support.system"

local scale = arg[1]
if scale ~= "short" and scale ~= "full" then
  io.stderr:write("usage: run short|full [NAME...]\n")
  os.exit(2)
end

local function all_parts()
  local names = {}
  for _, file in ipairs(sys.list "spec/proof") do
    names[#names + 1] = file:match "^(.+)%.lua$"
  end
  table.sort(names)
  return names
end

local function parse(part, text)
  local what, count, failures, seed, note = text:match "^PROOF\t([^\t]*)\t(%d+)\t(%d+)\t([^\t]*)\t([^\t]*)$"
  if not what then
    return { part = part, what = "says what it has proved", count = 1, failures = 1, seed = "-", note = text }
  end
  return { part = part, what = what, count = tonumber(count), failures = tonumber(failures), seed = seed, note = note }
end

local function show(line)
  print(("%-4s %-8s %-72s %8d %5d failed  %6.1f s  %s%s"):format(line.failures == 0 and "ok" or "BAD", line.part,
    line.what, line.count, line.failures, line.seconds, line.seed == "-" and "" or "seed " .. line.seed .. "  ",
    line.note))
end

-- Its lines; one that fails stands for a program that has ended otherwise than it said.
local function run(part, lines)
  local since, failed, last = sys.monotonic(), 0, lines[#lines]
  local function add(line)
    local now = sys.monotonic()
    line.seconds, since = now - since, now
    failed = failed + line.failures
    lines[#lines + 1] = line
    show(line)
  end
  local pipe = system.popen(system.lua("spec/proof/" .. part .. ".lua", scale) .. "; echo $?")
  local status
  for text in pipe:lines() do
    status = tonumber(text)
    if not status then add(parse(part, text)) end
  end
  pipe:close()
  if (status == 0) ~= (failed == 0) or lines[#lines] == last then
    add { part = part, what = "says what it has proved and ends so", count = 1, failures = 1, seed = "-",
      note = "status " .. status }
  end
end

local parts, lines, failed = {}, {}, 0
for i = 2, #arg do
  parts[#parts + 1] = arg[i]
end
io.stdout:setvbuf "line"
local begun = os.time()
for _, part in ipairs(#parts > 0 and parts or all_parts()) do
  run(part, lines)
end
for _, line in ipairs(lines) do
  failed = failed + (line.failures > 0 and 1 or 0)
end
if scale == "full" and #parts == 0 then
  page.write("spec/proof/RESULTS.md", lines, begun)
end
print(("\n%d passed, %d failed"):format(#lines - failed, failed))
os.exit(failed == 0 and #lines > 0 and 0 or 1)
