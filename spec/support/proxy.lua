--- A way to the PostgreSQL of the specs that counts what goes over it and is cut at a COMMIT, by
--- spec/support/cutting_proxy.c.
---
---   local line = proxy.start(backend.url)
---   local store = hoststore.open(line.url)
---   line:cut "reply"                 -- or "request"; and which COMMIT from now on, if not the next
---   store:add { … }                  -- unknown_outcome
---   assert.is_true(line:was_cut())
---   local trips = line:round_trips() -- so far
---   after: line:stop()
local system = require "spec.support.system"

local proxy = {}
local Line = {}
Line.__index = Line

--- Starts one to the server of a URL.
function proxy.start(url)
  local line = setmetatable({ directory = system.directory() }, Line)
  local server = url:match "[?&]host=([^&]+)"
  line.order = line.directory .. "/order"
  line.counts = line.directory .. "/counts"
  line.url = url:gsub("([?&]host=)[^&]+", function(option) return option .. line.directory end)
  line.output = system.popen(table.concat({ "exec", system.quote(os.getenv "BUILD" .. "/cutting_proxy"),
    system.quote(line.directory .. "/.s.PGSQL.5432"), system.quote(server .. "/.s.PGSQL.5432"),
    system.quote(line.order), system.quote(line.counts) }, " "))
  assert(line.output:read "*l" == "ready")
  return line
end

---@param what "request"|"reply"  what is lost
---@param nth integer?            of which COMMIT from now on, 1
function Line:cut(what, nth)
  system.write(self.order, ("%s %d\n"):format(what, nth or 1))
end

--- Whether the COMMIT that was to be cut came by.
function Line:was_cut()
  local file = io.open(self.order)
  if file then
    file:close()
  end
  return not file
end

local function count(line, letter)
  return select(2, system.read(line.counts):gsub(letter, ""))
end

--- How often somebody has waited for the server to answer, but for logging in.
function Line:round_trips()
  return count(self, "r")
end

--- How many clients have logged in.
function Line:connections()
  return count(self, "c")
end

--- Ends it and all connections over it.
function Line:stop()
  self.output:close()
  system.remove(self.directory)
end

return proxy
