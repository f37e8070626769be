local core = require "hoststore.core"
local formats = require "hoststore.format"
local host = require "spec.support.host"
local lines = require "hoststore.lines"
local write = require "spec.support.written"

local hosts = formats.get("hosts")

local function read(format, text)
  local records = {}
  for number, entry, message in format.read(assert(lines.open { text = text }), {}) do
    records[#records + 1] = { number, entry or message }
  end
  return records
end

local function read_one(line)
  local records = read(hosts, line)
  assert.equal(1, #records)
  return records[1][2]
end

local function entry(fields)
  local made = { ip = "10.0.0.1", hostname = "nas.lan", aliases = {}, comment = core.null, tags = {} }
  for key, value in pairs(fields or {}) do
    made[key] = value
  end
  return made
end

describe("hosts(5)", function()
  describe("written", function()
    it("is an address, a tab, the names, and comment and tags behind another", function()
      local text, count = write(hosts, {
        host(), host { aliases = { "nas", "files.lan" } }, host { comment = "backup server" },
        host { tags = { "lan", "storage" } },
        host { ip = "2001:db8::1", aliases = { "n" }, comment = "both", tags = { "a b" } },
        host { comment = "" },
      })
      assert.equal(table.concat {
        "10.0.0.1\tnas.lan\n",
        "10.0.0.1\tnas.lan nas files.lan\n",
        "10.0.0.1\tnas.lan\t# backup server\n",
        "10.0.0.1\tnas.lan\t# [lan, storage]\n",
        "2001:db8::1\tnas.lan n\t# both [a b]\n",
        "10.0.0.1\tnas.lan\n",
      }, text)
      assert.equal(6, count)
    end)

    it("begins with a header of comments when asked to, the same one every time", function()
      local text = write(hosts, { host() }, { header = true })
      assert.matches("^# [^\n]*\n10", text)
      assert.equal(text, (write(hosts, { host() }, { header = true })))
      assert.equal(1, #read(hosts, text))
    end)

    it("leaves out what is disabled, and what is expired at the time given", function()
      local list = { host { enabled = false }, host { expires_at = 100 }, host { expires_at = 101 } }
      local text, count = write(hosts, list, { now = 100 })
      assert.same({ "10.0.0.1\tnas.lan\n", 1 }, { text, count })
      assert.equal(2, select(2, write(hosts, list)))
    end)

    it("makes spaces of control characters", function()
      assert.equal("10.0.0.1\tnas.lan\t# a  b c d e\194\160f\n",
        (write(hosts, { host { comment = "a\r\nb\127c\194\133d\001e\194\160f" } })))
    end)

    it("escapes what would be read as something else, and only that", function()
      for comment, written in pairs {
        [" a b "] = [[\040a b\040]], [" "] = [[\040]], ["   "] = [[\040 \040]], ["\ta"] = [[\040a]],
        ["a [b]"] = [[a [b\135]], ["[b] a"] = "[b] a", ["]"] = [[\135]],
        [ [[a\040b\041\\134]] ] = [[a\134040b\041\\134134]], [ [[C:\]] ] = [[C:\]],
        ["# a # b"] = "# a # b", ["[]"] = [[[\135]],
      } do
        assert.equal("10.0.0.1\tnas.lan\t# " .. written .. "\n", (write(hosts, { host { comment = comment } })))
        if not comment:find("\t") then
          assert.equal(comment, read_one("10.0.0.1\tnas.lan\t# " .. written).comment)
        end
      end
      assert.equal([[10.0.0.1	nas.lan	# [\040, \040x\040, \133a\135b, \134133, #;"']
]], (write(hosts, { host { tags = { " ", " x ", "[a]b", [[\133]], [[#;"']] } } })))
    end)
  end)

  describe("read", function()
    it("takes files as they are found", function()
      assert.same({
        { 2, entry() },
        { 3, entry { aliases = { "nas" } } },
        { 4, entry { comment = "comment" } },
        { 5, entry { ip = "::1", hostname = "localhost", aliases = { "ip6-localhost" }, comment = "a # b" } },
        { 8, entry { comment = "x", tags = { "a", "b c" } } },
        { 9, entry() },
        { 10, entry() },
      }, read(hosts, table.concat({
        "# 10.0.0.9 commented.out",
        "10.0.0.1 nas.lan",
        "  10.0.0.1 \t nas.lan\tnas  NAS \t ",
        "10.0.0.1 nas.lan#comment",
        "::1 localhost ip6-localhost  #  a # b\t",
        "",
        " \t ",
        "10.0.0.1 nas.lan # x [ a,b c ,, ]",
        "10.0.0.1 nas.lan #",
        "10.0.0.1\tnas.lan # \t",
      }, "\r\n")))
    end)

    it("takes brackets for tags only at the end and as a word of their own", function()
      for comment, expected in pairs {
        ["[a] b"] = "[a] b", ["a[0]"] = "a[0]", ["a []"] = "a []", ["a [ , ]"] = "a [ , ]",
        ["a [b"] = "a [b", ["a b]"] = "a b]", ["a [b]]"] = "a [b]]",
      } do
        local found = read_one("10.0.0.1 nas.lan # " .. comment)
        assert.same({ expected, {} }, { found.comment, found.tags })
      end
      local found = read_one("10.0.0.1 nas.lan # a [b] [c]")
      assert.same({ "a [b]", { "c" } }, { found.comment, found.tags })
      found = read_one("10.0.0.1 nas.lan #[c]")
      assert.same({ core.null, { "c" } }, { found.comment, found.tags })
    end)

    it("decodes its four escapes and no others", function()
      assert.equal([[ [\] \041 \x20 \0 \13]], read_one([[1.2.3.4 a # \040\133\134\135\040\041 \x20 \0 \13]]).comment)
    end)

    it("reports a line without a name, and goes on", function()
      assert.same({
        { 1, "the line has an address but no name" }, { 2, "the line has an address but no name" }, { 3, entry() },
      }, read(hosts, "10.0.0.1\n10.0.0.1 # nas.lan\n10.0.0.1 nas.lan"))
    end)

    it("reports a line that is too long, and goes on", function()
      local records = read(hosts, "10.0.0.1 " .. ("x"):rep(1024 * 1024) .. "\n10.0.0.1 nas.lan")
      assert.same({ { 1, "the line is longer than 256 KiB" }, { 2, entry() } }, records)
    end)

    it("takes time in proportion to a hostile line", function()
      local before = os.clock()
      for _, text in ipairs { " ", "[", "]", "\\", "a ", "[,", "\\13" } do
        read(hosts, "10.0.0.1 a # x" .. text:rep(100000) .. "y]")
        read(hosts, text:rep(100000) .. "y")
      end
      assert.is_true(os.clock() - before < 5)
    end)
  end)
end)

-- -- what is written is read back the same, in every format ------------------------------------------

local seed = tonumber(os.getenv("SEED")) or 20260131
local state = seed

local function random(n)
  state = (state * 1103515245 + 12345) % 2147483648
  return math.floor(state / 65536) % n + 1
end

local function pick(list)
  return list[random(#list)]
end

local PIECES = {
  " ", "  ", "\\", "[", "]", "#", ";", "'", '"', "a", "b", "0", "1", "3", "4", "5", "{", "}", ":", "=", "%", "$(x)",
  "\\040", "\\133", "\\134", "\\135", "\\\\", "] ", " [", "[a]", "\195\169", "\240\159\152\128", "\226\128\168",
  "\194\160", "é[", "null", "\\n", "\\u0041", "/*", "//", "@",
}
local COMMENT_PIECES = { ",", ", ", "[a, b]", " [x, y]" }
local CONTROLS = { "\n", "\r", "\r\n", "\t", "\1", "\127", "\194\133", "\27[31m" }

local function hostile(longest, ...)
  local parts = {}
  for i = 1, random(longest) do
    local lists = { PIECES, ... }
    parts[i] = pick(random(4) == 1 and pick(lists) or PIECES)
  end
  return table.concat(parts)
end

local function hostile_host(...)
  local made, set = host { ip = ("10.%d.%d.1"):format(random(250), random(250)) }, {}
  for i = 1, random(4) - 1 do
    made.aliases[i] = "alias-" .. i .. "_" .. random(9)
  end
  for _ = 1, random(5) - 1 do
    local tag = hostile(8)
    if #tag <= 128 and not set[tag] then
      set[tag] = true
      made.tags[#made.tags + 1] = tag
    end
  end
  if random(4) > 1 then
    made.comment = hostile(12, COMMENT_PIECES, ...)
  end
  return made
end

local function carried(fields, source)
  local result = {}
  for _, field in ipairs(fields) do
    result[field] = source[field]
  end
  if result.comment == core.null then
    result.comment = nil
  end
  return result
end

for _, name in ipairs(formats.names) do
  describe("format " .. name, function()
    local format = formats.get(name)
    local fields = { "ip", "hostname", "aliases", "comment", "tags" }
    if name ~= "hosts" then
      fields = { "ip", "hostname", "aliases", "comment", "tags", "enabled", "origin" }
    end

    it("brings back every host it writes", function()
      for _ = 1, 40 do
        local list = {}
        for i = 1, 50 do
          list[i] = name == "hosts" and hostile_host() or hostile_host(CONTROLS)
        end
        local text, count = write(format, list)
        local records = read(format, text)
        assert.equal(#list, count)
        assert.equal(#list, #records)
        for i, record in ipairs(records) do
          assert(type(record[2]) == "table", record[2])
          local ok, err = pcall(assert.same, carried(fields, list[i]), carried(fields, record[2]))
          assert(ok, ("seed %d, host %d: %s"):format(seed, i, tostring(err)))
        end
      end
    end)

    it("writes nothing that looks like another host or line", function()
      local list = {}
      for i = 1, 200 do
        list[i] = hostile_host(CONTROLS)
      end
      assert.equal(#list, #read(format, (write(format, list))))
      if name == "hosts" then
        local _, feeds = write(format, list):gsub("\n", "")
        assert.equal(#list, feeds)
      end
    end)

    it("writes and reads no hosts at all", function()
      assert.same({}, read(format, (write(format, {}))))
    end)
  end)
end

describe("formats", function()
  it("are found by name, and an unknown one is answered with the names there are", function()
    local format, err = formats.get("yaml")
    assert.is_nil(format)
    assert.same({ "invalid", "format" }, { err.code, err.field })
    assert.equal("'yaml' is no known format; there are hosts, json, ndjson, csv, uci, leases, odhcpd", tostring(err))
    err = select(2, formats.get("leases", "write"))
    assert.equal("'leases' is no known format; there are " .. table.concat(formats.writable, ", "), tostring(err))
    assert.is_nil((formats.get("init")))
    assert.is_nil((formats.get(nil)))
  end)

  it("are guessed from the file name", function()
    for path, name in pairs {
      ["/etc/hosts"] = "hosts", ["a.json"] = "json", ["b.csv"] = "csv", ["c.d/e.ndjson"] = "ndjson",
      ["f.jsonl"] = "ndjson", ["g.txt"] = "hosts", ["/h.json/i"] = "hosts",
    } do
      assert.equal(name, formats.guess(path))
    end
  end)
end)
