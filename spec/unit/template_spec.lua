local core = require "hoststore.core"
local escapes = require "hoststore.escape"
local hoststore = require "hoststore"
local system = require "spec.support.system"
local template = require "hoststore.template"

local HOSTS = {
  { id = "host-1", ip = "10.0.0.1", hostname = "nas.lan", aliases = { "nas" }, tags = { "disk", "rack" },
    enabled = true, comment = "in the cellar" },
  { id = "host-2", ip = "10.0.0.1", hostname = "backup.lan", aliases = {}, tags = { "disk" }, enabled = true },
  { id = "host-3", ip = "10.0.0.2", hostname = "printer", aliases = {}, tags = {}, enabled = true },
}

local function iterate(list)
  return function()
    local i = 0
    return function()
      i = i + 1
      return list[i]
    end
  end
end

local function context(list, fields)
  local made = { hosts = iterate(list or HOSTS), size = #(list or HOSTS), position = 7, tenant = "site" }
  for key, value in pairs(fields or {}) do
    made[key] = value
  end
  return made
end

local function render(text, format, list)
  return template.render { text = text, name = "x.tmpl", format = format, context = context(list) }
end

local function failure(text, format, list)
  local result, err = render(text, format, list)
  assert.is_nil(result)
  assert.equal("policy", err.code, tostring(err))
  return err
end

describe("a template", function()
  it("is text, values, code and comments", function()
    assert.equal("a\n1 + 1 = 2\n\n\"quoted\" \\n\n", assert(render(
      'a\n<% local two = 1 + 1 %>1 + 1 = <%= two %>\n<%# not <%= shown #%>\n"quoted" \\n\n')))
    assert.equal("", assert(render ""))
    assert.equal("123", assert(render "<% for i = 1, 3 do %><%= i %><% end %>"))
    assert.equal("x\0y\255\r\n\t", assert(render "x\0y\255\r\n\t"))
  end)

  it("has nothing of the mark of UTF-8 that an editor put in front of it", function()
    assert.equal("a\239\187\191", assert(render "\239\187\191a\239\187\191"))
    assert.equal(2, failure("\239\187\191\n<%= missing %>").line)
  end)

  it("begins with a line for the kernel when its text does, as the script it makes needs one", function()
    assert.equal("#!/bin/sh\n7\n", assert(render "#!/bin/sh\n<%= position %>\n"))
    assert.equal(2, failure("#!/bin/sh\n<%= missing %>").line)
  end)

  it("is its text, and whoever gives the path of one is told so", function()
    for _, path in ipairs { "/etc/guests.tmpl", "./guests", "../x/guests", "~/guests", "guests.tmpl", "/my guests" } do
      local made, err = render(path)
      assert.is_nil(made)
      assert.same({ "invalid", "text", ("x.tmpl: the text of a template is expected, and '%s' is a path; an output " ..
        'reads it with template = { path = "%s" }'):format(path, path) }, { err.code, err.field, err.message })
    end
    for _, text in ipairs { "", "/", "/etc/x\n", "a/b", "conf-dir=/etc/x", "/<%= position %>", "# /etc/x.tmpl\n" } do
      assert(render(text))
    end
  end)

  it("refuses what its iterators would not hear", function()
    for _, name in ipairs { "hosts", "by_ip", "by_tag", "by_domain" } do
      local err = failure(("\n<%% for a, b in %s { ip = '10.0.0.1' } do end %%>"):format(name))
      assert.equal(2, err.line)
      assert.equal(1, err.message:find("x.tmpl:2: " .. name .. "() takes no argument", 1, true), err.message)
    end
    failure "<% for tag in by_tag('iot') do end %>"
    failure "<% for host in context.hosts(nil) do end %>"
  end)

  it("loses the white space beside a tag with '-', on that side, as in LuCI", function()
    assert.equal("a1b", assert(render "a \n\t <%-= 1 -%> \r\n b"))
    assert.equal("a1 \n b", assert(render "a \n <%- =1 %> \n b"))
    assert.equal("a \n 1b", assert(render "a \n <%= 1 -%> \n b"))
    assert.equal("ab", assert(render "a <%-# gone -%> b"))
    assert.equal("-1", assert(render "<%= -1 %>"))
    assert.equal("", assert(render " <%--%> "))
    assert.equal("10.0.0.1\n10.0.0.1\n10.0.0.2\n", assert(render
      "<% for host in hosts() do -%>\n  <%= host.ip %>\n<% end -%>\n"))
  end)

  it("may have comments in its code, also last in a tag", function()
    assert.equal("a12b", assert(render "a<% local x = 1 -- one %><%= x -- shown %><% x = 2 --[[ two ]] %><%= x%>b"))
    assert.equal([==[--]]"--]==], assert(render [==[<%= "--" %><%= "]]" %><%= '\"--' %>]==]))
    assert.equal("5", assert(render "<%= [==[--]] ]==] and 5 -- [[ %>"))
    assert.equal("3", assert(render "<%= 5 - -(-2) %>"))
    assert.equal("8", assert(render "<%= 5 -\n --minus\n (-3) %>"))
  end)

  it("knows the line of a fault, whatever stands before it", function()
    local before = { "text\n\n", "<%# a\nb\n%>", "<% local a = 1\n\n-- x\n%>", "  \n<%- -%> \n\n ", '"\n\\\n',
      "<%= 1\n\n%>", "<%= [[\n]] %>", "]]\n--[[\n", "\r\n\r\n" }
    local text, lines = "", 1
    for _, piece in ipairs(before) do
      text = text .. piece
      lines = lines + select(2, piece:gsub("\n", ""))
      for _, fault in ipairs { "<%= missing %>", "<% missing() %>", "<% local x = nil + 1 %>", "<% error('no') %>",
        "<%= {} %>", "<%= %>", "<% for host in hosts() do local x = host.ipp end %>", "<% x = = 1 %>", "<%+include%>",
        "<%:text%>", "<% unclosed", "<% while true do end %>", "<%= context.hosst %>" } do
        local err = failure(text .. fault .. "<%= 1 %>\n\n")
        assert.equal(lines, err.line, tostring(err))
        assert.matches(("x.tmpl:%d: "):format(lines), err.message, 1, true)
      end
    end
  end)

  it("says what is wrong in words", function()
    assert.equal("x.tmpl:1: 'host' is not defined", failure("<%= host.ip %>").message)
    assert.equal("x.tmpl:1: a host has no field 'name'",
      failure("<% for host in hosts() do write(host.name) end %>").message)
    assert.equal("x.tmpl:1: a table cannot be written; give a text, a number or a boolean",
      failure("<% for host in hosts() do %><%= host.tags %><% end %>").message)
    assert.equal("x.tmpl:2: '<%' is not closed by '%>'", failure("a\n<%= b").message)
    assert.equal("x.tmpl:1: the context has no 'x'", failure("<%= context.x %>").message)
  end)

  it("finds the hosts, alone and in groups, and where they come from", function()
    assert.equal("nas.lan:disk,rack, backup.lan:disk, printer: ", assert(render [[
<%- for host in hosts() do %><%= host.hostname %>:<%= raw(table.concat(host.tags, ",")) %><%
  if host.comment then %>,<% end %><% if host.hostname == "backup.lan" then write(",") end %> <% end %>]]))
    assert.equal("10.0.0.1 nas.lan backup.lan;10.0.0.2 printer;", assert(render [[
<%- for ip, list in by_ip() do %><%= ip %><% for _, host in ipairs(list) do %> <%= host.hostname %><% end
  %>;<% end %>]]))
    assert.equal("disk 2 nas.lan;rack 1 nas.lan;", assert(render
      "<% for tag, list in by_tag() do %><%= tag %> <%= #list %> <%= list[1].hostname %>;<% end %>"))
    assert.equal("-1 lan-2 ", assert(render
      "<% for domain, list in by_domain() do %><%= domain %>-<%= #list %> <% end %>"))
    assert.equal("3 7 site 1 bind 3 7", assert(render("<%= count %> <%= position %> <%= tenant %> " ..
      "<%= version %> <%= format %> <%= context.count %> <%= context.position %>", "bind")))
  end)

  it("may go through the hosts within going through the hosts, and leave a loop", function()
    assert.equal("9", assert(render
      "<% local n = 0 for a in hosts() do for b in hosts() do n = n + 1 end end %><%= n %>"))
    assert.equal("nas.lan", assert(render(
      "<% for i = 1, 1000 do for host in hosts() do if i == 1000 then write(host.hostname) end break end end %>")))
    assert.equal("", assert(render("<% for host in hosts() do %><%= host.ip %><% end %>", nil, {})))
  end)

  it("gives each host once, however many they are", function()
    for _, size in ipairs { 1, 99, 100, 101, 250 } do
      local list, expected = {}, {}
      for i = 1, size do
        list[i] = { ip = "10.0.0." .. i, hostname = "h" .. i, aliases = {}, tags = {} }
        expected[i] = "h" .. i
      end
      assert.equal(table.concat(expected, "\n") .. "\n",
        assert(render("<% for host in hosts() do -%>\n<%= host.hostname %>\n<% end -%>\n", nil, list)))
    end
  end)

  it("cannot reach the system or the store", function()
    for _, name in ipairs { "io", "os", "require", "debug", "load", "loadstring", "dofile", "package", "store",
      "__open", "__sink", "__escape" } do
      assert.equal(("x.tmpl:1: '%s' is not defined"):format(name), failure("<%= " .. name .. " %>").message)
    end
    -- What it does to its hosts is done to copies.
    assert(render "<% for host in hosts() do host.hostname = 'evil' host.tags[1] = 'evil' end %>")
    assert.equal("nas.lan", HOSTS[1].hostname)
    assert.equal("disk", HOSTS[1].tags[1])
  end)

  it("is stopped when it takes too long, makes too much or needs too much, caught or not", function()
    for _, loop in ipairs {
      "while true do end", "while true do pcall(error) end", "pcall(function() while true do end end)",
      "local s = 'x' while true do s = s .. s end", "while true do write(('x'):rep(1000000)) end",
      "while true do pcall(write, ('x'):rep(1000000)) end", "local t = {} while true do t[#t + 1] = {} end",
      "while true do hosts() end", "while true do pcall(hosts) end",
      "local open = {} for i = 1, 20 do open[i] = hosts() end open[1]()",
    } do
      failure("<% " .. loop .. " %>")
    end
  end)

  it("is stopped when it makes too much, before that fills the memory of others", function()
    local err = failure("<% while true do write(('x'):rep(100000)) end %>")
    assert.matches("^x%.tmpl makes more than %d+ bytes$", err.message)
  end)

  it("may need more when there are more hosts", function()
    local text = "<% local n = 0 for i = 1, 4000000 do n = n + i % 7 end %><%= n > 0 %>"
    assert.matches("stopped after", failure(text).message)
    local many = context()
    many.size = 10000
    assert.equal("true", template.render { text = text, name = "x", context = many })
  end)

  it("fails when reading hosts fails, also when it catches that", function()
    local broken = core.error { code = "busy", message = "somebody writes" }
    local given = { text = "<% pcall(function() for host in hosts() do end end) %>done", name = "x.tmpl",
      context = context(nil, { hosts = function() return function() error(broken, 0) end end }) }
    local text, err = template.render(given)
    assert.is_nil(text)
    assert.equal(broken, err)
  end)

  it("refuses an unknown format and raises for what is no template", function()
    local _, err = template.render { text = "", format = "yaml", context = context() }
    assert.same({ "invalid", "format" }, { err.code, err.field })
    assert.has_error(function() template.render { context = context() } end)
    assert.has_error(function() template.render { text = "", contxt = context() } end)
  end)
end)

describe("what <%= %> writes", function()
  local function written(value, format)
    return assert(template.render { text = "<%= position %>", format = format,
      context = context(nil, { position = value }) })
  end

  it("is the text itself where that is one word of the format", function()
    for _, format in ipairs(escapes.names) do
      for _, text in ipairs { "nas.lan", "10.0.0.1", "2001:db8::1", "a-b_c", "/etc/hosts" } do
        local quotes = (format:find("json") or format == "adguard") and '"' or ""
        assert.equal(quotes .. text .. quotes, written(text, format))
      end
      assert.equal("3", written(3, format))
      assert.equal("-1.5", written(-1.5, format))
      assert.equal("true", written(true, format))
    end
  end)

  it("is nothing for nil, null in JSON and YAML, and a word of its own where those behind it would move up", function()
    local nulls = { json = "null", ndjson = "null", adguard = "null", shell = "''", uci = "''", csv = '""' }
    for _, format in ipairs(escapes.names) do
      local null = nulls[format] or ""
      assert.equal(null, assert(render("<%= nil %>", format)))
    end
  end)

  it("is quoted or escaped as the format does it, else", function()
    local text = 'a "b"\n\\ #\'ä'
    for format, expected in pairs {
      hosts = [[a\040"b"\012\134\040\043'ä]], pihole = [[a\040"b"\012\134\040\043'ä]],
      dnsmasq = [["a \"b\" \\ #'ä"]],
      unbound = [[a\032\034b\034\010\092\032\035\039\195\164]], bind = [[a\032\034b\034\010\092\032\035\039\195\164]],
      uci = [['a "b" \ #'\''ä']], shell = [['a "b" \ #'\''ä']],
      json = [["a \"b\"\u000a\\ #'ä"]], adguard = [["a \"b\"\u000a\\ #'ä"]],
      csv = '"a ""b""\n\\ #\'ä"', text = [[a "b" \ #'ä]],
    } do
      assert.equal(expected, written(text, format), format)
    end
  end)

  it("is as it was given with raw, quoted with quote, one line with comment", function()
    local function shown(call, format)
      return assert(render("<%= " .. call .. " %>", format))
    end
    assert.equal('a\n"b"', shown([[raw('a\n"b"')]], "dnsmasq"))
    assert.equal('"a"|"a b"', shown("quote('a')", "dnsmasq") .. "|" .. shown("quote('a b')", "dnsmasq"))
    assert.equal("'a'", shown("quote('a')", "uci"))
    assert.equal('a  "b" # c', shown([[comment('a\r\n"b"\t# c')]], "dnsmasq"))
    assert.equal([["a b"|a b]], assert(render("<% write(escape('a b')) %>|<% write('a b') %>", "dnsmasq")))
    assert.equal("7", shown("raw(position)", "dnsmasq"))
    assert.equal("", shown("raw(nil)", "json"))
  end)

  it("is a comment that dnsmasq's buffer has room for, and ends with a whole character", function()
    local long = assert(render("<%= comment(('ä'):rep(5000)) %>", "dnsmasq"))
    assert.equal(("ä"):rep(100), long)
    assert.equal("x" .. ("ä"):rep(99), assert(render("<%= comment('x' .. ('ä'):rep(5000)) %>", "dnsmasq")))
  end)

  it("is refused when it makes a line that dnsmasq would cut", function()
    local fits = ("x"):rep(1023)
    assert.equal(fits .. "\n" .. fits, assert(render("<% write('" .. fits .. "') %>\n" .. fits, "dnsmasq")))
    local err = failure("a\n" .. fits .. "<%= 1 %>", "dnsmasq")
    assert.equal("x.tmpl: line 2 of what it makes has more than 1023 bytes, and its reader would cut it", err.message)
    assert(render(fits .. "<%= 1 %>", "unbound"))
  end)
end)

describe("store:render", function()
  local store, directory
  before_each(function()
    store = assert(hoststore.open("memory:", { clock = function() return 1000 end }))
    directory = system.directory()
    assert(store:add { ip = "10.0.0.10", hostname = "b.lan" })
    assert(store:add { ip = "10.0.0.9", hostname = "a.lan", tags = { "x" } })
    assert(store:add { ip = "10.0.0.1", hostname = "off.lan", enabled = false })
    assert(store:add { ip = "10.0.0.2", hostname = "gone.lan", expires_at = 999 })
  end)
  after_each(function()
    store:close()
    system.remove(directory)
  end)

  local TEXT = "<%= count %> of <%= position %> in <%= tenant %>\n" ..
    "<% for host in hosts() do -%>\n<%= host.ip %> <%= host.hostname %>\n<% end -%>\n"

  it("gives the hosts that are enabled and not expired, in the order of their addresses", function()
    assert.equal("2 of 4 in default\n10.0.0.9 a.lan\n10.0.0.10 b.lan\n", assert(store:render { text = TEXT }))
    assert.equal("1 of 4 in default\n10.0.0.9 a.lan\n",
      assert(store:render { text = TEXT, filter = { tags = { "x" } } }))
  end)

  it("gives what render of a context with the store in it gives", function()
    for _, filter in ipairs { {}, { tags = { "x" } } } do
      assert.equal(store:render { text = TEXT, filter = filter },
        template.render { text = TEXT, context = { store = store, filter = filter } })
    end
    local text, err = template.render { text = TEXT, context = { store = store, filter = { ip = "10.0.0" } } }
    assert.is_nil(text)
    assert.equal("invalid", err.code)
  end)

  it("writes a file as a whole or not at all", function()
    local path = directory .. "/out"
    assert.is_true(assert(store:render({ text = TEXT }, path)))
    assert.equal(store:render { text = TEXT }, system.read(path))
    local ok, err = store:render({ text = ("x"):rep(100000) .. "<% error('no') %>", name = "t" }, path)
    assert.is_nil(ok)
    assert.same({ "policy", "t:1: no", 1 }, { err.code, err.message, err.line })
    assert.equal(store:render { text = TEXT }, system.read(path))
    assert.same({ "out" }, system.files(directory))
  end)

  it("refuses a filter as list does", function()
    local text, err = store:render { text = TEXT, filter = { ip = "10.0.0" } }
    assert.is_nil(text)
    assert.same({ "invalid", "ip" }, { err.code, err.field })
  end)
end)
