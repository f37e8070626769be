local command_line = require "spec.support.command_line"
local hoststore = require "hoststore"
local json = require "hoststore.json"
local system = require "spec.support.system"

describe("hoststore sql", function()
  local directory, db

  before_each(function()
    directory = system.directory()
    db = directory .. "/hosts.db"
    local store = assert(hoststore.open(db, { actor = "alice" }))
    assert(store:add { ip = "10.0.0.1", hostname = "nas", comment = 'say "a, b"' })
    assert(store:add { ip = "10.0.0.2", hostname = "tv", comment = "" })
    store:close()
  end)

  after_each(function() system.remove(directory) end)

  local function run(...)
    return command_line.run { "--db", db, "sql", ... }
  end

  local QUESTION = "SELECT hostname, comment, expires_at, version * 0.5 AS half FROM hosts ORDER BY hostname"

  it("answers with a table", function()
    assert.same({ 0, 'hostname  comment     expires_at  half\nnas       say "a, b"              0.5\n' ..
      "tv                                0.5\n", "" }, { run(QUESTION) })
  end)

  it("answers in JSON, with the columns in their order and null where there is nothing", function()
    local code, text = run(QUESTION, "--json")
    assert.equal(0, code)
    assert.equal('[{"hostname":"nas","comment":"say \\"a, b\\"","expires_at":null,"half":0.5},\n' ..
      '{"hostname":"tv","comment":null,"expires_at":null,"half":0.5}]\n', text)
    assert.equal(2, #assert(json.decode(text)))
    code, text = run(QUESTION, "--ndjson")
    assert.same({ 0, 2 }, { code, select(2, text:gsub("\n", "")) })
  end)

  it("answers in CSV, where an empty text is not nothing", function()
    assert.same({ 0, 'hostname,comment,e\r\nnas,"say ""a, b""",\r\ntv,,\r\n', "" },
      { run("SELECT hostname, comment, NULL AS e FROM hosts ORDER BY hostname", "--csv") })
    assert.same({ 0, 'a,b\r\n"",\r\n', "" }, { run("SELECT '' AS a, NULL AS b", "--csv") })
  end)

  it("takes parameters and limits, and says what was cut off", function()
    assert.same({ 0, "hostname\ntv\n", "" },
      { run("SELECT hostname FROM hosts WHERE ip = $2 OR hostname = $1", "--param", "x", "--param", "10.0.0.2") })
    assert.same({ 0, "n\n1\n", "hoststore: only the first 1 rows; --limit gives more\n" },
      { run("SELECT 1 AS n UNION ALL SELECT 2", "--limit", "1") })
  end)

  it("refuses what is more than a question", function()
    local code, text, message = run "DELETE FROM hosts"
    assert.same({ 1, "", "hoststore: only a SELECT is answered, not 'DELETE FROM hosts'\n" }, { code, text, message })
    assert.equal(2, (run()))
  end)
end)
