local core = require "hoststore.core"
local formats = require "hoststore.format"
local lines = require "hoststore.lines"
local written = require "spec.support.written"

local csv = formats.get("csv")

local function read(text)
  local records, options = {}, {}
  for number, entry, message in csv.read(assert(lines.open { text = text }), options) do
    records[#records + 1] = { number, entry or message }
  end
  return records, options.fields
end

local function write(list) return (written(csv, list)) end

local HEADER = "ip,hostname,aliases,comment,tags,enabled,expires_at,origin,id,version,created_at,updated_at\r\n"

describe("CSV format", function()
  it("writes a header and a record a host, quoted where it must be", function()
    assert.equal(HEADER
      .. "10.0.0.1,nas.lan,,,,true,,admin,host-1,3,2023-11-14T22:13:20Z,2023-11-14T22:13:20.250000Z\r\n"
      .. '::1,b,x;y,"say ""hi"",\nbye",a b;c\\;d;e\\\\,false,2023-11-14T22:13:20Z,import:f,host-2,1,'
      .. "1970-01-01T00:00:00Z,1970-01-01T00:00:00Z\r\n"
      .. '::2,c,," x ",,true,,admin,host-3,1,1970-01-01T00:00:00Z,1970-01-01T00:00:00Z\r\n', write {
      { ip = "10.0.0.1", hostname = "nas.lan", aliases = {}, tags = {}, enabled = true, origin = "admin",
        id = "host-1", version = 3, created_at = 1700000000, updated_at = 1700000000.25 },
      { ip = "::1", hostname = "b", aliases = { "x", "y" }, comment = 'say "hi",\nbye', tags = { "a b", "c;d", "e\\" },
        enabled = false, expires_at = 1700000000, origin = "import:f", id = "host-2", version = 1,
        created_at = 0, updated_at = 0 },
      { ip = "::2", hostname = "c", aliases = {}, comment = " x ", tags = {}, enabled = true, origin = "admin",
        id = "host-3", version = 1, created_at = 0, updated_at = 0 },
    })
    assert.equal(HEADER, write {})
  end)

  it("reads any of the columns in any order, and says which of them are lists and comments", function()
    local records, fields = read("Hostname,tags,ip,id\na,x;y\\;z,10.0.0.1,whatever\n")
    assert.same({ { 2, { ip = "10.0.0.1", hostname = "a", tags = { "x", "y;z" } } } }, records)
    assert.same({ tags = true }, fields)
    records, fields = read(HEADER .. "1,a,,,,,,,,,,\r\n")
    assert.same({ { 2, { ip = "1", hostname = "a", aliases = {}, comment = core.null, tags = {},
      expires_at = core.null } } }, records)
    assert.same({ aliases = true, comment = true, tags = true }, fields)
  end)

  it("knows its columns before the first record is read", function()
    local options = {}
    csv.read(assert(lines.open { text = "ip,hostname,comment\n" }), options)
    assert.same({ comment = true }, options.fields)
  end)

  it("keeps line ends within quotes and drops those that end a record", function()
    assert.same({
      { 2, { ip = "1", hostname = "a", comment = "x\r\ny\n\n\"z\"\r" } },
      { 6, { ip = "2", hostname = "b", comment = "\"" } },
      { 8, { ip = "3", hostname = "c", comment = core.null } },
    }, (read('ip,hostname,comment\r\n1,a,"x\r\ny\n\n""z""\r"\r\n2,b,""""\r\n\r\n"3","c",""')))
  end)

  it("reads enabled and times", function()
    assert.same({
      { 2, { ip = "1", hostname = "a", enabled = true, expires_at = 1700000000.5 } },
      { 3, { ip = "1", hostname = "a", enabled = false, expires_at = "2026-01-31" } },
      { 4, "'enabled' is 'ja'; write true or false" },
      { 5, { ip = "1", hostname = "a", expires_at = "0x10" } },
    }, (read("ip,hostname,enabled,expires_at\n1,a,TRUE,1700000000.5\n1,a,false,2026-01-31\n1,a,ja,\n1,a,,0x10\n")))
  end)

  it("takes a backslash before anything but ';' and '\\' for itself", function()
    assert.same({ "DOM\\user", "a\\;b", "c\\" }, read("ip,hostname,tags\n1,a,DOM\\user;a\\\\\\;b;;c\\\n")[1][2].tags)
  end)

  it("reports what is no record and goes on", function()
    assert.same({
      { 2, "the record has 1 fields, the header 2" }, { 3, "the record has 3 fields, the header 2" },
      { 4, 'field 2 has a quote that neither begins nor ends it; write it as "" in quotes' },
      { 5, 'field 1 has a quote that neither begins nor ends it; write it as "" in quotes' },
      { 6, { ip = "1", hostname = "a" } }, { 7, "a quote is not closed" },
    }, (read('ip,hostname\n1\n1,a,b\n1,5" disk\n"1"x,a\n1,a\n1,"a\n')))
  end)

  it("refuses a header it does not understand, on line 1", function()
    for text, message in pairs {
      ["ip,hostname,port\n1,a,2\n"] = "column 'port' is unknown; there are ip, hostname",
      ["ip,comment\n1,a\n"] = "the first line must name the columns, ip and hostname among them",
      ["ip,hostname,ip\n"] = "column 'ip' is there twice",
      ["ip;hostname\n"] = "column 'ip;hostname' is unknown",
      [""] = "the header, a line that names the columns, is missing",
      ['"ip'] = "a quote is not closed",
    } do
      local records = read(text)
      assert.equal(1, #records)
      assert.equal(1, records[1][1])
      assert.matches(message, records[1][2], 1, true)
    end
  end)

  it("gives up on a quote that stays open for 256 KiB", function()
    local records = read('ip,hostname\n1,"a\n' .. ("2,b\n"):rep(80000))
    assert.same({ 2, "the record is longer than 256 KiB; is a quote not closed?" }, records[1])
    assert.same({ ip = "2", hostname = "b" }, records[#records][2])
  end)

  it("takes time in proportion to a hostile record", function()
    local before = os.clock()
    for _, text in ipairs { '""', "\\;", ";", "\\\\", ",", '"\n"' } do
      read("ip,hostname,tags\n1,a," .. text:rep(100000) .. "\n")
      read('ip,hostname,tags\n1,a,"' .. text:rep(100000) .. '"\n')
    end
    assert.is_true(os.clock() - before < 5)
  end)
end)
