-- "hoststore stream append" made {} of an empty list and rounded long numbers; "--json" showed {} where a host has no
-- tags.
local command_line = require "spec.support.command_line"
local expect = require "spec.support.expect"
local hoststore = require "hoststore"
local system = require "spec.support.system"

describe("JSON on the command line", function()
  local db

  before_each(function() db = system.directory() .. "/hosts.db" end)

  local function answer(...)
    local code, output, errors = command_line.run { "--db", db, ... }
    assert.same({ 0, "" }, { code, errors })
    return output
  end

  -- The text of a member in what a command says.
  local function member(name, ...)
    return answer(...):match('"' .. name .. '":([^\n]*)')
  end

  it("is stored and shown as it was given", function()
    local data = '{"items":[],"n":9007199254740993,"huge":1e999,"b":1.0,"k":[1,[]]}'
    answer("stream", "append", "s", "Text", data, "--metadata", "[]")
    local wanted = data .. ',"metadata":[],'
    for _, words in ipairs {
      { "stream", "read", "s", "--ndjson" }, { "feed", "read", "f", "--ndjson" }, { "log", "--ndjson" },
      { "follow", "--timeout", "0", "--ndjson" },
    } do
      local text = member("data", (table.unpack or unpack)(words)):gsub("}$", ",")
      assert.equal(wanted, text:sub(1, #wanted), table.concat(words, " "))
    end
    assert.truthy(answer("stream", "read", "s"):find(data, 1, true))
  end)

  it("stays on its line, whatever it was given with", function()
    answer("stream", "append", "s", "Text", ' {"a":\n1,\r\n"b":2}\n')
    assert.equal(1, select(2, answer("stream", "read", "s", "--ndjson"):gsub("\n", "")))
    assert.equal('{"a": 1,  "b":2}', member("data", "stream", "read", "s", "--ndjson"):match "^{.-}")
  end)

  it("is not shown when it is none, as somebody has changed the database", function()
    answer("stream", "append", "s", "Text", "[1]")
    system.sqlite(db, "DROP TRIGGER events_refuse_update; UPDATE events SET data = '[1'")
    for _, words in ipairs { { "stream", "read", "s" }, { "feed", "read", "f" }, { "log" }, { "follow" } } do
      words[#words + 1] = "--ndjson"
      local code, output, errors = command_line.run { "--db", db, (table.unpack or unpack)(words) }
      assert.same({ 1, "" }, { code, output }, words[1])
      assert.truthy(errors:find("not JSON, '[1'", 1, true), errors)
    end
    local store = assert(hoststore.open(db))
    for _, read in ipairs { function() return store:stream("s"):read() end, function() return store:log() end } do
      local err = expect.failure("corrupt", read())
      assert.equal(1, err.position)
      assert.truthy(err.message:find("the data of the event at position 1 is not JSON: ", 1, true), err.message)
    end
    store:close()
  end)

  it("shows the empty lists of a host as lists", function()
    answer("add", "10.0.0.1", "nas.lan")
    local data = member("data", "follow", "--timeout", "0", "--ndjson")
    assert.truthy(data:find('"aliases":[],', 1, true))
    assert.truthy(data:find('"tags":[]', 1, true))
  end)
end)
