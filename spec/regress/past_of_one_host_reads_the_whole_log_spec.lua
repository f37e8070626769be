-- SQLite looked for a host as it was once in the index of positions, and so read all that had happened since the
-- beginning: the longer the log, the longer it took.

local hoststore = require "hoststore"
local system = require "spec.support.system"

-- A statement of sql/queries.sql by its name, with parameters as SQLite's shell takes them.
local function statement(name)
  local text = system.read "sql/queries.sql":match("%-%- name: " .. name .. " [^\n]*\n(.-)%-%- name: ")
  return (text:gsub("%-%-[^\n]*", ""):gsub("%$", "?"))
end

describe("a host as it was at a position", function()
  local directory

  before_each(function() directory = system.directory() end)
  after_each(function() system.remove(directory) end)

  it("is looked for among the events of that host alone", function()
    local path = directory .. "/hosts.db"
    local store = assert(hoststore.open(path))
    assert(store:add { ip = "10.0.0.1", hostname = "nas.lan" })
    store:close()
    local plan, status = system.sqlite(path, "EXPLAIN QUERY PLAN " .. statement "host_at")
    assert.equal(0, status, plan)
    assert.is_truthy(plan:find("tenant=? AND stream=?", 1, true), plan)
    assert.is_nil(plan:find("TEMP B-TREE", 1, true), plan)
  end)
end)
