--- Proves that nothing in what a parser is given makes it crash, hang, leak or read what is not there:
---   fuzz.lua short|full
--- Each target of `make fuzz`, which is sanitised, for a minute or an hour; FUZZ_SECONDS says otherwise. As many at
--- once as there are processors, or FUZZ_JOBS.
local report = require "spec.proof.frame.report"
local system = require "spec.support.system"

local seconds = os.getenv "FUZZ_SECONDS" or (arg[1] == "full" and "3600" or "60")
local jobs = os.getenv "FUZZ_JOBS"
local note = seconds .. " s" .. (jobs and ", " .. jobs .. " targets at once" or "")

-- make is not to hear of the options of the make that runs the proof.
local pipe = system.popen("unset MAKEFLAGS MAKELEVEL; make fuzz FUZZ_SECONDS=" .. system.quote(seconds) .. " 2>&1")
local said, told = {}, 0
for line in pipe:lines() do
  local target, runs = line:match "^(%S+) +(%d+) runs in "
  local failed = line:match "^(%S+) +FAILED$"
  said[#said + 1] = line
  if target or failed then
    report.line("inputs made for " .. (target or failed), tonumber(runs) or 1, failed and 1 or 0, "-", note,
      seconds)
    told = told + 1
  end
end
pipe:close()
if told == 0 then report.line("the fuzzers run", 1, 1, "-", "") end
if report.failed > 0 then report.failure("%s", table.concat(said, "\n")) end
report.finish()
