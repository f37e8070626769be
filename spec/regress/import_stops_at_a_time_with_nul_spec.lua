-- An import was given up by an error that Lua raised, for one record whose time held NUL.
local hoststore = require "hoststore"

describe("an import of a record whose time holds NUL", function()
  it("reports it as any other bad record, and goes on", function()
    local store = assert(hoststore.open(":memory:"))
    local result = assert(store:import({ text = [[
{"ip":"10.0.0.1","hostname":"bad.lan","expires_at":"2030-01-01T00:00:00Z\u0000"}
{"ip":"10.0.0.2","hostname":"good.lan","expires_at":"2030-01-01T00:00:00Z"}
]] }, { format = "ndjson" }))
    assert.same({ 1, 1, 1 }, { result.created, result.failed, result.errors[1].line })
    assert.matches("expires_at", result.errors[1].message)
    store:close()
  end)
end)
