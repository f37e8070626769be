--- Runs the proof programs for spec/proof/run:
---   run.lua SCALE [NAME[/WHAT]...]
--- A program is started with the SCALE, "short" or "full". For each thing it has proved it prints the
--- line "PROOF", what was tried, how many times, how many of them failed, the seed or "-", a note, and the seconds or
--- "-" for those since the line before, with tabs between them. It exits with 1 when anything has failed.
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
  local what, count, failures, seed, note, seconds = text:match(
    "^PROOF\t([^\t]*)\t(%d+)\t(%d+)\t([^\t]*)\t([^\t]*)\t([%d.-]+)$")
  if not what then
    return { part = part, what = "says what it has proved", count = 1, failures = 1, seed = "-", note = text }
  end
  return { part = part, what = what, count = tonumber(count), failures = tonumber(failures), seed = seed, note = note,
    seconds = tonumber(seconds) }
end

local function show(line)
  print(("%-4s %-8s %-72s %8d %5d failed  %6.1f s  %s%s"):format(line.failures == 0 and "ok" or "BAD", line.part,
    line.what, line.count, line.failures, line.seconds, line.seed == "-" and "" or "seed " .. line.seed .. "  ",
    line.note))
end

-- The parts run side by side; what they say is told apart by spec/proof/frame/part.
local function start(names)
  local quoted = {}
  for i, name in ipairs(names) do
    quoted[i] = system.quote(name)
  end
  return system.popen(("printf '%%s\\n' %s | xargs -P \"$(nproc)\" -I PART spec/proof/frame/part PART %s"):format(
    table.concat(quoted, " "), scale))
end

-- One that fails stands for a program that has ended otherwise than it said.
local function check_end(part, status)
  if (status == 0) ~= (part.failed == 0) or #part.lines == 0 then
    part.add { part = part.name, what = "says what it has proved and ends so", count = 1, failures = 1, seed = "-",
      note = "status " .. (status or "unknown") }
  end
end

local function new_part(name)
  local part = { name = name, lines = {}, failed = 0, since = sys.monotonic() }
  function part.add(line)
    local now = sys.monotonic()
    line.seconds, part.since = line.seconds or now - part.since, now
    part.failed = part.failed + line.failures
    part.lines[#part.lines + 1] = line
    show(line)
  end
  return part
end

-- All lines of the parts, in the order of their names.
local function run(names)
  local parts, lines = {}, {}
  for _, name in ipairs(names) do
    parts[name] = new_part(name)
  end
  local pipe = start(names)
  for text in pipe:lines() do
    local name, said = text:match "^([^\t]*)\t(.*)$"
    local part = parts[name]
    if said == "begins" then
      part.since = sys.monotonic()
    elseif tonumber(said) then
      part.status = tonumber(said)
    else
      part.add(parse(name, said))
    end
  end
  pipe:close()
  for _, name in ipairs(names) do
    check_end(parts[name], parts[name].status)
    for _, line in ipairs(parts[name].lines) do
      lines[#lines + 1] = line
    end
  end
  return lines
end

local parts, failed = {}, 0
for i = 2, #arg do
  parts[#parts + 1] = arg[i]
end
io.stdout:setvbuf "line"
local begun = os.time()
local lines = run(#parts > 0 and parts or all_parts())
for _, line in ipairs(lines) do
  failed = failed + (line.failures > 0 and 1 or 0)
end
if scale == "full" then
  page.write("spec/proof/RESULTS.md", lines, begun, #parts == 0)
end
print(("\n%d passed, %d failed"):format(#lines - failed, failed))
os.exit(failed == 0 and #lines > 0 and 0 or 1)
