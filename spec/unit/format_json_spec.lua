local core = require "hoststore.core"
local formats = require "hoststore.format"
local lines = require "hoststore.lines"
local written = require "spec.support.written"

local json, ndjson = formats.get("json"), formats.get("ndjson")

local function read(format, source)
  local records = {}
  for number, entry, message in format.read(assert(lines.open(source))) do
    records[#records + 1] = { number, entry or message }
  end
  return records
end

local function read_text(text)
  return read(json, { text = text })
end

local function write(format, list) return (written(format, list)) end

-- A Lua file as lines sees it, whose text comes a few bytes at a time.
local function in_small_chunks(text, size)
  local position = 1
  return {
    chunk = function()
      local piece = text:sub(position, position + size - 1)
      position = position + size
      return piece ~= "" and piece or nil
    end,
  }
end

local plain = {
  ip = "10.0.0.1", hostname = "nas.lan", aliases = {}, tags = {}, enabled = true, origin = "admin",
  id = "host-1", version = 3, created_at = 1700000000, updated_at = 1700000000.25,
}
local PLAIN = '{"ip":"10.0.0.1","hostname":"nas.lan","aliases":[],"comment":null,"tags":[],"enabled":true,'
  .. '"expires_at":null,"origin":"admin","id":"host-1","version":3,"created_at":"2023-11-14T22:13:20Z",'
  .. '"updated_at":"2023-11-14T22:13:20.250000Z"}'
local full = {
  ip = "::1", hostname = "b", aliases = { "x", "y" }, comment = 'say "hi"\n', tags = { "a;b" }, enabled = false,
  expires_at = 1700000000, origin = "import:file", id = "host-2", version = 1, created_at = 0, updated_at = 0,
}
local FULL = '{"ip":"::1","hostname":"b","aliases":["x","y"],"comment":"say \\"hi\\"\\n","tags":["a;b"],'
  .. '"enabled":false,"expires_at":"2023-11-14T22:13:20Z","origin":"import:file","id":"host-2","version":1,'
  .. '"created_at":"1970-01-01T00:00:00Z","updated_at":"1970-01-01T00:00:00Z"}'

local FULL_ENTRY = {
  ip = "::1", hostname = "b", aliases = { "x", "y" }, comment = 'say "hi"\n', tags = { "a;b" }, enabled = false,
  expires_at = "2023-11-14T22:13:20Z", origin = "import:file",
}

describe("JSON format", function()
  it("writes an array, all fields of a host in one order", function()
    assert.equal("[\n" .. PLAIN .. ",\n" .. FULL .. "\n]\n", write(json, { plain, full }))
    assert.equal("[]\n", write(json, {}))
  end)

  it("reads what it wrote, null as empty", function()
    assert.same({
      { 2, { ip = "10.0.0.1", hostname = "nas.lan", aliases = {}, comment = core.null, tags = {}, enabled = true,
        expires_at = core.null, origin = "admin" } },
      { 3, FULL_ENTRY },
    }, read_text(write(json, { plain, full })))
  end)

  it("gives the line each element begins in", function()
    assert.same({
      { 2, { ip = "1", hostname = "a" } }, { 5, { ip = "2", hostname = "]},{" } },
      { 5, { ip = "3", hostname = '"\\' } },
    }, read_text('\n[{\n"ip":"1",\n"hostname":"a"}\n,{"ip":"2", "hostname":"]},{"}, '
      .. '{"hostname":"\\"\\\\","ip":"3"}\n]\n\n'))
  end)

  it("reads the same wherever the chunks are cut", function()
    local text = ' [ {"ip":"1","hostname":"]},{\\"\\\\","tags":["[","\\\\"]},\n{"ip":"2","comment":null} , 7,{}\r\n] '
    local expected = read_text(text)
    assert.equal(4, #expected)
    assert.same({ "1", ']},{"\\', { "[", "\\" } }, { expected[1][2].ip, expected[1][2].hostname, expected[1][2].tags })
    for size = 1, #text do
      local records = {}
      for number, entry, message in json.read(in_small_chunks(text, size)) do
        records[#records + 1] = { number, entry or message }
      end
      assert.same(expected, records)
    end
  end)

  it("reports a bad element and goes on", function()
    assert.same({
      { 1, "not a JSON object" }, { 2, "'port' is no field of a host" }, { 3, "'ip' must be a string" },
      { 4, "'tags' must be an array of strings" }, { 5, "'aliases' must be an array of strings" },
      { 6, "'enabled' must be true or false" }, { 7, "'expires_at' must be a time or null" }, { 8, { ip = "1" } },
    }, read_text('[5,\n{"port":1,"ip":"1"},\n{"ip":1},\n{"tags":["a",null]},\n{"aliases":{"a":"b"}},\n'
      .. '{"enabled":"yes"},\n{"expires_at":true},\n{"ip":"1"}]'))
    local records = read_text('[{"ip":},{"ip":"1"},{"a\\u001b[31m":1}]')
    assert.matches("^not JSON: ", records[1][2])
    assert.same({ 1, { ip = "1" } }, records[2])
    assert.same({ 1, "'a?[31m' is no field of a host" }, records[3])
  end)

  it("passes over what only the store can say, and null where nothing else can be meant", function()
    assert.same({ { 1, { ip = "1" } } }, read_text('[{"ip":"1","id":"x","version":2,"position":9,"created_at":"z",'
      .. '"updated_at":null,"enabled":null,"origin":null}]'))
    assert.same({ { 1, { expires_at = 1700000000.5 } } }, read_text('[{"expires_at":1700000000.5}]'))
  end)

  it("says what is wrong with a text that is no array, or not all of one", function()
    local cut = "the JSON array does not end with ']'"
    for text, message in pairs {
      [""] = "not a JSON array: it must begin with '['",
      ['{"ip":"1"}'] = "not a JSON array: it must begin with '['",
      ["["] = cut, ["[{}"] = cut, ["[{},"] = cut, ["[{} {}]"] = "not JSON", ['[{"ip":"1]'] = cut,
      ["[] x"] = "there is more text behind the end of the JSON array",
      ["[{}] ["] = "there is more text behind the end of the JSON array",
      ["[,]"] = "not JSON", ["[{},]"] = "not JSON", ["[{}}]"] = "',' or ']' must follow an element of the JSON array",
    } do
      local records = read_text(text)
      local found = false
      for _, record in ipairs(records) do
        found = found or type(record[2]) == "string" and record[2]:find(message, 1, true)
      end
      assert(found, text .. " must be refused")
    end
    assert.same({}, read_text("[ \n ]\n"))
  end)

  it("gives up on an element longer than 256 KiB", function()
    local records = read_text('[{"ip":"1"},\n{"comment":"' .. ("x"):rep(300000) .. '"},{"ip":"2"}]')
    assert.same({ { 1, { ip = "1" } }, { 2, "the JSON object is longer than 256 KiB" } }, records)
  end)

  it("needs memory for an element, not for the array, even if all is one line", function()
    local path = os.tmpname()
    local handle = assert(io.open(path, "wb"))
    handle:write("[", (PLAIN .. ","):rep(10000), PLAIN, "]")
    handle:close()
    local opened = assert(lines.open(path))
    collectgarbage()
    local before, most, count = collectgarbage("count"), 0, 0
    for _, entry in json.read(opened) do
      count = count + (entry and 1 or 0)
      if count % 2000 == 0 then
        collectgarbage()
        most = math.max(most, collectgarbage("count"))
      end
    end
    opened:close()
    os.remove(path)
    assert.equal(10001, count)
    assert.is_true(most - before < 512)
  end)
end)

describe("NDJSON format", function()
  it("writes an object a line and reads it back", function()
    assert.equal(PLAIN .. "\n" .. FULL .. "\n", write(ndjson, { plain, full }))
    assert.same({ 2, FULL_ENTRY }, read(ndjson, { text = write(ndjson, { plain, full }) })[2])
  end)

  it("passes over blank lines and reports bad ones", function()
    local records = read(ndjson, { text = '\n{"ip":"1"}\r\n \n{"ip":\n[]\n[1]\n{"ip":"2"}' })
    assert.same({ { 2, { ip = "1" } }, { 7, { ip = "2" } } }, { records[1], records[5] })
    assert.matches("^not JSON: ", records[2][2])
    assert.same({ 6, "not a JSON object" }, records[4])
  end)
end)
