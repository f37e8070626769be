-- A busted output handler: the plain terminal's, which also notes each result in the file
-- HOSTSTORE_RESULTS as it comes, so that a crash later on loses none.

return function(options)
  local busted = require "busted"
  local handler = require "busted.outputHandlers.plainTerminal"(options)
  local results = assert(io.open(os.getenv "HOSTSTORE_RESULTS", "a"))
  results:setvbuf "line"

  local function note(result)
    results:write(result, "\n")
    return nil, true
  end

  busted.subscribe({ "test", "end" }, function(_, _, status) return note(status) end)
  -- What fails outside of a test, such as a file that does not load.
  for _, kind in ipairs { "error", "failure" } do
    busted.subscribe({ kind }, function(element)
      if element.descriptor ~= "it" then note "error" end
      return nil, true
    end)
  end
  busted.subscribe({ "exit" }, function() return note "end" end)
  return handler
end
