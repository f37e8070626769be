-- The programs that read our formats, as Debian has them, answer what the store says.
local dns = require "hoststore.format.dns"
local hoststore = require "hoststore"
local nameservers = require "spec.support.nameservers"
local system = require "spec.support.system"

local store, directory

local function add(ip, hostname, fields)
  local host = { ip = ip, hostname = hostname }
  for key, value in pairs(fields or {}) do
    host[key] = value
  end
  return assert(store:add(host))
end

local function export(format, filter)
  local path = directory .. "/" .. format .. ".conf"
  assert(store:export(format, path, filter))
  return path
end

local function fill()
  add("10.0.0.1", "nas.lan", { aliases = { "nas", "files.nas.lan" }, comment = "in the cellar" })
  add("2001:db8::1", "nas.lan")
  add("10.0.0.2", "nas.lan")
  add("10.0.0.2", "other.lan", { aliases = { "nas" } })
  add("10.0.0.3", "com")
  add("10.0.0.4", "my_host.lan")
  add("::ffff:10.0.0.5", "mapped.lan")
  add("10.0.0.6", "off.lan", { enabled = false })
  add("10.0.0.7", "_srv.1e5.lan")
  add("0.0.0.0", "blocked.example")
end

-- What the store says about each name and address there ever was, in the words of dig.
local function facts(is_name)
  local names, first = { A = {}, AAAA = {} }, {}
  local function note(kind, name, ip)
    names[kind][name] = names[kind][name] or {}
    names[kind][name][ip] = true
  end
  for _, entry in ipairs(assert(store:list())) do
    if entry.enabled then
      for _, name in ipairs { entry.hostname, (table.unpack or unpack)(entry.aliases) } do
        if is_name(name) then
          note(dns.type(entry.ip), name, entry.ip)
          first[entry.ip] = first[entry.ip] or name .. "."
        end
      end
    end
  end
  return names, first
end

local function sorted_keys(set)
  local keys = {}
  for key in pairs(set or {}) do
    keys[#keys + 1] = key
  end
  table.sort(keys)
  return table.concat(keys, " ")
end

local NAMES = { "nas.lan", "nas", "files.nas.lan", "other.lan", "com", "my_host.lan", "mapped.lan", "off.lan",
  "_srv.1e5.lan", "blocked.example", "new.lan", "moved.lan" }
local ADDRESSES = { "10.0.0.1", "2001:db8::1", "10.0.0.2", "10.0.0.3", "10.0.0.4", "::ffff:10.0.0.5", "10.0.0.6",
  "10.0.0.7", "0.0.0.0", "10.0.0.8", "10.0.0.9" }

local function check_answers(server)
  local names, first = facts(dns.is_name)
  for _, name in ipairs(NAMES) do
    for kind, known in pairs(names) do
      assert.equal(sorted_keys(known[name]), server:ask(name .. " " .. kind), name .. " " .. kind)
    end
  end
  for _, ip in ipairs(ADDRESSES) do
    assert.equal(first[ip] or "", server:ask("-x " .. ip), ip)
  end
end

local function change()
  add("10.0.0.8", "new.lan", { aliases = { "new" } })
  assert(store:update(store:find("10.0.0.4", "my_host.lan").id, { ip = "10.0.0.9", hostname = "moved.lan" }))
  assert(store:delete(store:find("10.0.0.2", "nas.lan").id))
  assert(store:delete(store:find("10.0.0.1", "nas.lan").id))
  assert(store:update(store:find("10.0.0.6", "off.lan").id, { enabled = true }))
end

before_each(function()
  store = assert(hoststore.open("memory:", { names = "lenient" }))
  directory = system.directory()
end)
after_each(function()
  nameservers.finish()
  store:close()
  system.remove(directory)
end)

-- Aliases that no line of a configuration has room for, taken together.
local function long_names()
  local aliases = {}
  for i = 1, 50 do
    aliases[i] = ("%s.%s.%s.%s.a%02d"):format(("a"):rep(60), ("b"):rep(60), ("c"):rep(60), ("d"):rep(60), i)
  end
  return aliases
end

describe("dnsmasq", function()
  local function start()
    local path = export "dnsmasq"
    local messages, status = nameservers.test_dnsmasq(path)
    assert.equal(0, status, messages)
    return nameservers.dnsmasq(directory, path)
  end

  it("answers for the hosts of the format dnsmasq, as they are after each change", function()
    fill()
    check_answers(start())
    nameservers.finish()
    change()
    check_answers(start())
  end)

  it("makes the PTR records of its hosts by itself: lines ptr-record besides would change no answer", function()
    fill()
    local path, lines = export "dnsmasq", {}
    local _, first = facts(dns.is_name)
    for ip, name in pairs(first) do
      lines[#lines + 1] = ("ptr-record=%s,%s\n"):format(dns.reverse_name(ip), (name:gsub("%.$", "")))
    end
    assert.equal(8, #lines)
    system.write(path, system.read(path) .. table.concat(lines))
    check_answers(nameservers.dnsmasq(directory, path))
  end)

  it("answers for a name alone, and not for all below it", function()
    fill()
    local server = start()
    assert.equal("10.0.0.3", server:ask "com A")
    assert.equal("", server:ask "www.com A")
    assert.equal("", server:ask "x.nas.lan A")
  end)

  it("knows every name of a host that has more of them than a line may be long", function()
    local aliases = long_names()
    add("10.0.0.1", "many.lan", { aliases = aliases })
    local server = start()
    assert.equal("10.0.0.1", server:ask "many.lan A")
    for _, alias in ipairs(aliases) do
      assert.equal("10.0.0.1", server:ask(alias .. " A"))
    end
    assert.equal("many.lan.", server:ask "-x 10.0.0.1")
  end)

  it("answers for the hosts of the format pihole, which is a hosts file", function()
    fill()
    change()
    system.write(directory .. "/empty", "")
    check_answers(nameservers.dnsmasq(directory, directory .. "/empty", "--addn-hosts=" .. export "pihole"))
  end)
end)

describe("unbound", function()
  local function start()
    local path = export "unbound"
    local messages, status = nameservers.test_unbound(directory, path)
    assert.equal(0, status, messages)
    assert.is_nil(messages:find("warning", 1, true), messages)
    return nameservers.unbound(directory, path)
  end

  it("answers for the hosts of the format unbound, as they are after each change", function()
    fill()
    check_answers(start())
    nameservers.finish()
    change()
    check_answers(start())
  end)

  -- It may ask nobody, and says SERVFAIL where it would.
  it("asks nobody else about a host, whatever is asked", function()
    fill()
    local server = start()
    for _, name in ipairs { "other.lan", "files.nas.lan", "com", "2.0.0.10.in-addr.arpa" } do
      for _, kind in ipairs { "A", "AAAA", "MX", "TXT", "SRV", "HTTPS", "NS", "SOA", "PTR", "ANY" } do
        assert.equal("NOERROR", server:status(name .. " " .. kind), name .. " " .. kind)
      end
    end
    assert.equal("NXDOMAIN", server:status "x.nas.lan A")
    assert.equal("SERVFAIL", server:status "elsewhere.lan A")
  end)

  it("answers for hosts whose names are below those of others, in whichever order they come", function()
    add("10.0.0.1", "x.nas.lan")
    add("10.0.0.2", "nas.lan")
    add("10.0.0.3", "a.b.nas.lan")
    add("10.0.0.4", "lan")
    local server = start()
    assert.same({ "10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4" }, { server:ask "x.nas.lan A",
      server:ask "nas.lan A", server:ask "a.b.nas.lan A", server:ask "lan A" })
    assert.same({ "NOERROR", "NOERROR", "NXDOMAIN" }, { server:status "x.nas.lan AAAA",
      server:status "a.b.nas.lan AAAA", server:status "y.nas.lan A" })
  end)

  it("does not take all of .com away for a host that calls itself com, nor .lan for one called lan", function()
    fill()
    add("10.1.0.1", "lan")
    local server = start()
    assert.same({ "SERVFAIL", "SERVFAIL" }, { server:status "www.com A", server:status "elsewhere.lan A" })
  end)

  it("takes no address away from others beside those it has names for, and none of the private ones out", function()
    add("8.8.8.8", "dns.lan")
    add("2001:4860:4860::8888", "dns.lan")
    local server = start()
    assert.same({ "dns.lan.", "dns.lan." }, { server:ask "-x 8.8.8.8", server:ask "-x 2001:4860:4860::8888" })
    assert.same({ "SERVFAIL", "SERVFAIL", "NXDOMAIN", "NXDOMAIN" }, { server:status "-x 8.8.8.9",
      server:status "-x 2001:4860:4860::8889", server:status "-x 10.0.0.9", server:status "-x fd00::9" })
  end)
end)

describe("named", function()
  -- The records a zone has besides its SOA and NS.
  local function records(name, format, filter)
    local path = export(format, filter)
    local found, messages = nameservers.zone(name, path)
    assert(found, messages)
    local list = {}
    for _, record in ipairs(found) do
      if not record:find(" SOA ", 1, true) and not record:find(" NS ", 1, true) then
        list[#list + 1] = record
      end
    end
    return list, messages
  end

  it("loads the zone bind writes, with the hosts in it, and those without a dot", function()
    fill()
    assert.same({
      "com.lan. A 10.0.0.3",
      "files.nas.lan. A 10.0.0.1",
      "mapped.lan. AAAA ::ffff:10.0.0.5",
      "nas.lan. A 10.0.0.1",
      "nas.lan. A 10.0.0.2",
      "nas.lan. AAAA 2001:db8::1",
      "other.lan. A 10.0.0.2",
    }, (records("lan", "bind")))
    change()
    assert.same({
      "com.lan. A 10.0.0.3",
      "mapped.lan. AAAA ::ffff:10.0.0.5",
      "moved.lan. A 10.0.0.9",
      "nas.lan. A 10.0.0.2",
      "nas.lan. AAAA 2001:db8::1",
      "new.lan. A 10.0.0.8",
      "off.lan. A 10.0.0.6",
      "other.lan. A 10.0.0.2",
    }, (records("lan", "bind")))
  end)

  it("has nothing to ignore when a filter keeps to the zone", function()
    fill()
    local _, messages = records("lan", "bind", { hostname = "*.lan" })
    assert.is_nil(messages:find("ignoring", 1, true), messages)
    _, messages = records("0.0.10.in-addr.arpa", "bind_reverse", { ip = "10.0.0.0/24" })
    assert.is_nil(messages:find("ignoring", 1, true), messages)
  end)

  it("loads the zones bind_reverse writes", function()
    fill()
    assert.same({
      "1.0.0.10.in-addr.arpa. PTR nas.lan.",
      "2.0.0.10.in-addr.arpa. PTR nas.lan.",
      "3.0.0.10.in-addr.arpa. PTR com.",
    }, (records("10.in-addr.arpa", "bind_reverse")))
    assert.same({ dns.reverse_name "2001:db8::1" .. ". PTR nas.lan." },
      (records("8.b.d.0.1.0.0.2.ip6.arpa", "bind_reverse")))
    assert.same({ dns.reverse_name "::ffff:10.0.0.5" .. ". PTR mapped.lan." }, (records("0.ip6.arpa", "bind_reverse")))
  end)

  it("sees the serial rise with every change", function()
    local function serial()
      local _, messages = nameservers.zone("lan", export "bind")
      return tonumber(messages:match("loaded serial (%d+)"))
    end
    local before = serial()
    fill()
    local filled = serial()
    change()
    assert.is_true(before < filled and filled < serial())
  end)
end)
