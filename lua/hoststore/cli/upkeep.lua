-- verify, stats, check.

local present = require "hoststore.cli.present"

local upkeep = {}

local function problem_json(problem)
  return present.object(
    "kind", present.json(problem.kind), "stream", present.json(problem.stream),
    "position", present.json(problem.position), "message", present.json(problem.message)
  )
end

--- What a verification found, and what it counted; 0 when all is well.
function upkeep.print_verified(result, counted, out)
  if out.json then
    out:value(('{"ok":%s,%s,"problems":%s}'):format(tostring(result.ok), present.members(result, counted),
      present.array(result.problems, problem_json)))
  elseif result.ok then
    out:line("ok: " .. present.counters(result, counted))
  else
    for _, problem in ipairs(result.problems) do
      out:line(problem.message, "red")
    end
    out:message(("problems found: %d"):format(#result.problems))
  end
  return result.ok and 0 or 1
end

function upkeep.verify(store, _, out)
  local result, err = store:verify()
  if not result then
    return nil, err
  end
  return upkeep.print_verified(result, { "events", "streams", "hosts" }, out)
end

function upkeep.stats(store, _, out)
  local stats, err = store:stats()
  if not stats then
    return nil, err
  end
  local names, details = {}, {}
  for name in pairs(stats) do
    names[#names + 1] = name
  end
  table.sort(names)
  if out.json then
    out:value("{" .. present.members(stats, names) .. "}")
    return 0
  end
  for i, name in ipairs(names) do
    details[i] = { name, stats[name] }
  end
  out:details(details)
  return 0
end

function upkeep.check(store, _, out)
  local ok, err = store:check()
  if not ok then
    return nil, err
  end
  return out:answer("ok", function() return present.object("ok", "true") end)
end

return upkeep
