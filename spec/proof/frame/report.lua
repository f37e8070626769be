--- What a proof program says: the lines that spec/proof/run reads, and failures for people.
local report = { failed = 0 }

--- Tells of one thing that was tried.
---@param what string
---@param count integer  how many times
---@param failures integer
---@param seed integer|string
---@param note string
---@param seconds number?  how long it took, where that is not the time since the line before
function report.line(what, count, failures, seed, note, seconds)
  report.failed = report.failed + failures
  print(table.concat({ "PROOF", what, ("%d"):format(count), ("%d"):format(failures), tostring(seed), note,
    tostring(seconds or "-") }, "\t"))
end

--- Tells of a failure, with what it takes to see it again.
function report.failure(...)
  io.stderr:write(string.format(...), "\n")
end

--- Ends the program.
function report.finish()
  os.exit(report.failed == 0 and 0 or 1)
end

io.stdout:setvbuf "line"

return report
