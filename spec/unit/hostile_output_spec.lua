-- Whatever hosts hold: no output has a line, a record, a directive or a command more than it should.
local formats = require "hoststore.format"
local hostile = require "spec.support.hostile"
local hoststore = require "hoststore"
local json = require "hoststore.json"
local lines = require "hoststore.lines"
local nameservers = require "spec.support.nameservers"
local outputs = require "spec.support.outputs"
local system = require "spec.support.system"
local template = require "hoststore.template"

local directory
before_each(function() directory = system.directory() end)
after_each(function()
  nameservers.finish()
  system.remove(directory)
end)

local function path(name)
  return directory .. "/" .. name
end

local texts = hostile.with_nul

-- What is left of a text on one line.
local function one_line(text)
  return (text:gsub("[^ -~\128-\255]", " "):gsub("\194[\128-\159]", " "):gsub("\226\128[\168\169]", " "))
end

-- -- exports ---------------------------------------------------------------------------------------

-- A store of hosts with all of the corpus in comments, and with what it lets pass as names and tags.
local function hostile_store()
  local store = assert(hoststore.open("memory:", { names = "lenient" }))
  local carried = 0
  assert(store:transaction(function()
    for i, text in ipairs(hostile) do
      local ip = ("10.0.%d.%d"):format(math.floor(i / 250), i % 250)
      assert(store:add { ip = ip, hostname = "h" .. i .. ".lan", comment = text })
      if store:add { ip = ip, hostname = text, aliases = { "x" .. text }, tags = { text:sub(1, 128) } }
        or store:add { ip = ip, hostname = text } then
        carried = carried + 1
      end
    end
    return true
  end))
  assert.is_true(carried > 50, carried .. " names")
  return store
end

describe("an export of hostile hosts", function()
  local store
  setup(function() store = hostile_store() end)
  teardown(function() store:close() end)

  for _, format in ipairs(outputs.formats) do
    it("as " .. format .. " has the lines of its hosts and no others", function()
      outputs.check_lines(store, format)
      local text = assert(store:export(format))
      for line in text:gmatch("[^\n]*") do
        assert.is_nil(line:find("10.0.0.66", 1, true) and line:find("evil", 1, true), line)
      end
    end)
  end

  it("as hosts, json, ndjson and csv is the same hosts when it is read", function()
    outputs.check_reading(store)
  end)

  it("is taken by dnsmasq, unbound and named", function()
    outputs.check_programs(store, directory)
  end)
end)

-- -- templates --------------------------------------------------------------------------------------

-- What a template makes of each text of a list; `i` is its number in it, `text` the text.
local function render(body, format, list)
  local hosts = {}
  for i, text in ipairs(list) do
    hosts[i] = { ip = "10.0.0.1", hostname = "t" .. i, comment = text, aliases = {}, tags = {} }
  end
  return template.render { name = "x.tmpl", format = format,
    text = "<% for host in hosts() do local i, text = host.hostname, host.comment -%>\n" .. body .. "\n<% end -%>\n",
    context = { size = #hosts, hosts = function()
      local i = 0
      return function()
        i = i + 1
        return hosts[i]
      end
    end } }
end

-- The texts of the corpus of at most so many bytes.
local function short(bytes)
  local list = {}
  for _, text in ipairs(texts) do
    if #text <= bytes then
      list[#list + 1] = text
    end
  end
  return list
end

local function split(text)
  local list = {}
  for line in text:gmatch("([^\n]*)\n") do
    list[#list + 1] = line
  end
  return list
end

-- The text that a TXT record shows: in quotes, with \" \\ and \DDD in it.
local function unquote(shown)
  return (shown:match('^"(.*)"$'):gsub("\\(.)(%d?%d?)", function(first, more)
    return first:find("%d") and string.char(tonumber(first .. more)) or first .. more
  end))
end

-- What the server says TXT of t1, t2 ... is.
local function check_records(server, list, expected)
  local questions = {}
  for i in ipairs(list) do
    questions[i] = "t" .. i .. " TXT"
  end
  system.write(path "questions", table.concat(questions, "\n") .. "\n")
  local answers = split(system.run(server:dig("+short +time=5 +tries=3 -f " .. system.quote(path "questions"))) .. "\n")
  for i, text in ipairs(list) do
    assert.equal(expected(text), unquote(answers[i]))
  end
  assert.equal("", server:ask "evil.lan A")
end

describe("a template for", function()
  it("dnsmasq writes texts that dnsmasq reads as they were, but for control characters", function()
    local list = short(200)
    local text = assert(render("# <%= comment(text) %>\ntxt-record=<%= i %>,<%= text %>", "dnsmasq", list))
    for number, line in ipairs(split(text)) do
      assert.matches(number % 2 == 1 and "^# " or "^txt%-record=t%d+,", line)
    end
    system.write(path "dnsmasq", text)
    local messages, status = nameservers.test_dnsmasq(path "dnsmasq")
    assert.equal(0, status, messages)
    check_records(nameservers.dnsmasq(directory, path "dnsmasq"), list, one_line)
  end)

  it("dnsmasq takes the longest comments, which dnsmasq reads as comments", function()
    local text = assert(render("# <%= comment(text) %>", "dnsmasq", texts))
    assert.equal(#texts, #split(text))
    system.write(path "dnsmasq", text)
    local messages, status = nameservers.test_dnsmasq(path "dnsmasq")
    assert.equal(0, status, messages)
  end)

  it("unbound writes texts that unbound reads as they were", function()
    local list = short(200)
    local text = assert(render("# <%= comment(text) %>\nlocal-data: '<%= i %>. TXT \"<%= text %>\"'", "unbound", list))
    assert.equal(2 * #list, #split(text))
    system.write(path "unbound", "server:\n" .. text)
    local messages, status = nameservers.test_unbound(directory, path "unbound")
    assert.equal(0, status, messages)
    check_records(nameservers.unbound(directory, path "unbound"), list, function(given) return given end)
  end)

  it("bind writes texts that named reads as they were", function()
    local list = short(200)
    local text = assert(render("; <%= comment(text) %>\n<%= i %> TXT \"<%= text %>\"", "bind", list))
    assert.equal(2 * #list, #split(text))
    system.write(path "zone", "$TTL 1\n@ SOA a. a. 1 1 1 1 1\n@ NS a.\n" .. text)
    local records = {}
    for _, record in ipairs((assert(nameservers.zone("lan", path "zone")))) do
      local number, shown = record:match("^t(%d+)%.lan%. TXT (.*)$")
      if number then
        records[tonumber(number)] = unquote(shown)
      else
        assert.matches("^lan%. ", record)
      end
    end
    assert.same(list, records)
  end)

  for _, format in ipairs { "shell", "uci" } do
    it(format .. " writes words that a shell takes as they were, but for control characters", function()
      local text = assert(render("printf '%s\\n' <%= text %> # <%= comment(text) %>", format, texts))
      system.write(path "script", text)
      local shown = split(system.shell(directory, "sh script") .. "\n")
      for i, given in ipairs(texts) do
        assert.equal(one_line(given), shown[i])
      end
      assert.same({ "script" }, system.files(directory))
    end)
  end

  it("hosts writes one name, and a comment to the end of the line", function()
    local text = assert(render("10.0.0.1 <%= i %> <%= text %>x # <%= comment(text) %>", "hosts", texts))
    local count = 0
    for number, entry in formats.get("hosts").read(assert(lines.open { text = text }), {}) do
      count = count + 1
      -- The longest are reported as no line of a hosts file.
      if entry then
        assert.same({ "10.0.0.1", "t" .. number, 1 }, { entry.ip, entry.hostname, #entry.aliases })
      end
    end
    assert.equal(#texts, count)
    system.write(path "empty", "")
    system.write(path "hosts", text)
    local server = nameservers.dnsmasq(directory, path "empty", "--addn-hosts=" .. path "hosts")
    assert.equal("10.0.0.1", server:ask("t" .. #texts .. " A"))
    assert.equal("", server:ask "evil.lan A")
    assert.equal("", server:ask "-x 10.0.0.66")
  end)

  for _, format in ipairs { "json", "adguard" } do
    it(format .. " writes texts of one line that are read as they were", function()
      local found = split(assert(render("<%= text %>", format, texts)))
      assert.equal(#texts, #found)
      for i, text in ipairs(texts) do
        assert.same({ text }, assert(json.decode("[" .. found[i] .. "]")))
        assert.is_nil(found[i]:find("\194[\128-\159]"))
        assert.is_nil(found[i]:find("\226\128[\168\169]"))
      end
      assert.equal(#texts, #split(assert(render("# <%= comment(text) %>", format, texts))))
    end)
  end

  it("csv writes fields that are read as they were", function()
    local text = "ip,hostname,comment\n" .. assert(render("10.0.0.1,<%= i %>,<%= text %>", "csv", hostile))
    local count = 0
    for _, entry in formats.get("csv").read(assert(lines.open { text = text }), {}) do
      count = count + 1
      assert.equal(hostile[count], entry.comment)
    end
    assert.equal(#hostile, count)
  end)

  it("text writes one line, whatever is in it", function()
    assert.equal(#texts, #split(assert(render("<%= text %>", "text", texts))))
  end)
end)
