--- The process in which calls fail, with failing_calls.so preloaded, for spec/proof/faults.lua:
---   worker.lua KIND once|on DATABASE STRIDE SUBJECT...
--- Of each subject the n-th call fails, or all from it on, for n = 1, 1 + STRIDE, … until there
--- is no n-th. It prints what it is about to try, "try NAME<tab>n", what is wrong, "problem …", and how many it has
--- tried, "done<tab>n".
-- What is compiled now and then is no leak, nor what libgcc keeps of it when an error is raised first.
if rawget(_G, "jit") then require("jit").off() end

local database = require "spec.proof.fault.database"
local subjects = require "spec.proof.fault.subjects"
local trial = require "spec.proof.fault.trial"

local kind, mode, on, stride = arg[1], arg[2], arg[3], tonumber(arg[4])
local wanted = {}
for i = 5, #arg do wanted[arg[i]] = true end

io.stdout:setvbuf "line"

local at, tried = { database = database.make(on) }, 0

local function attempt(subject, first, last)
  print(("try %s\t%.0f"):format(subject.name, first == math.huge and 0 or first))
  local reached, problem = trial.run(at, subject, { kind = kind, first = first, last = last })
  if problem then
    print(("problem %s: %s, %s from the %.0fth of %s: %s"):format(subject.name, on, mode, first, kind,
      (problem:gsub("%s*\n%s*", " | "))))
  end
  return reached
end

for _, subject in ipairs(subjects) do
  if wanted[subject.name] then
    -- Once to see what it does, once to see what stays allocated.
    at.reference, at.changed = {}, true
    attempt(subject, math.huge, math.huge)
    attempt(subject, math.huge, math.huge)
    local n = 1
    while attempt(subject, n, mode == "once" and n or math.huge) do
      n, tried = n + stride, tried + 1
    end
  end
end
pcall(at.database.finish)
print("done\t" .. tried)
