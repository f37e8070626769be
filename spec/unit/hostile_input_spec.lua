-- The hostile corpus through everything that reads: whatever a source or a client says, outputs have the lines of
-- the hosts that are in the store, and no others.
local dns = require "hoststore.format.dns"
local drain = require "hoststore.hotplug.drain"
local events = require "hoststore.hotplug.event"
local hostile = require "spec.support.hostile"
local hoststore = require "hoststore"
local json = require "hoststore.json"
local outputs = require "spec.support.outputs"
local spool = require "hoststore.hotplug.spool"
local system = require "spec.support.system"

local directory, store
before_each(function()
  directory = system.directory()
  -- Its clock stands still: leases of some seconds last to the end, however long that takes.
  local now = os.time()
  store = assert(hoststore.open("memory:", { names = "lenient", clock = function() return now end }))
end)
after_each(function()
  store:close()
  system.remove(directory)
end)

local texts = hostile.with_nul

local function check_outputs()
  assert.is_true(store:verify().ok)
  for _, format in ipairs(outputs.formats) do
    outputs.check_lines(store, format)
  end
  outputs.check_programs(store, directory)
end

local function ip_of(number)
  return ("10.%d.%d.%d"):format(math.floor(number / 62500), math.floor(number / 250) % 250, number % 250 + 1)
end

-- Calls fn(number, field, text) for each text in the place of each field.
local function each_field(fields, fn)
  local number = 0
  for _, field in ipairs(fields) do
    for _, text in ipairs(texts) do
      number = number + 1
      fn(number, field, text)
    end
  end
  return number
end

-- -- importers -----------------------------------------------------------------------------------------

local function import(format, text)
  local result, err = store:import({ text = text }, { format = format })
  assert(result, err and err.message)
  assert.equal(result.processed, result.created + result.updated + result.unchanged + result.skipped + result.failed)
  return result
end

local function csv_quote(text)
  return '"' .. text:gsub('"', '""') .. '"'
end

-- Formats that have a way to say any text: what is said is one host at most.
local WRITERS = {
  json = function(entries)
    local list = {}
    for i, entry in ipairs(entries) do
      list[i] = json.encode(entry)
    end
    return "[" .. table.concat(list, ",\n") .. "]"
  end,
  ndjson = function(entries)
    local list = {}
    for i, entry in ipairs(entries) do
      list[i] = json.encode(entry)
    end
    return table.concat(list, "\n") .. "\n"
  end,
  csv = function(entries)
    local list = { "ip,hostname,aliases,comment,tags,enabled,expires_at,origin" }
    for _, entry in ipairs(entries) do
      local function field(name)
        local value = entry[name] or ""
        return csv_quote(type(value) == "table" and value[1]:gsub("[;\\]", "\\%0") or value)
      end
      list[#list + 1] = table.concat({ field "ip", field "hostname", field "aliases", field "comment", field "tags",
        "true", field "expires_at", field "origin" }, ",")
    end
    return table.concat(list, "\r\n") .. "\r\n"
  end,
}

local LISTS = { aliases = true, tags = true }

-- Formats whose texts end where a line or a word does: what stands in the place of %s may be a host of its own.
local LINES = {
  hosts = {
    "%s h%d.lan", "10.0.0.%d %s", "10.0.0.%d h%d.lan %s", "10.0.0.%d h%d.lan # %s", "10.0.0.%d h%d.lan # [%s]",
  },
  leases = {
    "%s aa:bb:cc:dd:ee:%02x 10.0.0.%d l%d *", "4102444800 %s 10.0.0.%d l%d *",
    "4102444800 aa:bb:cc:dd:ee:%02x %s l%d *", "4102444800 aa:bb:cc:dd:ee:%02x 10.0.0.%d %s *",
    "4102444800 12345 fd00::%x six%d %s", "duid %s",
  },
  odhcpd = {
    "# %s aabbccddee%02x ipv4 o%d -1 c0a80132 32 10.0.0.%d/32", "# br-lan %s ipv4 o%d -1 c0a80132 32 10.0.0.%d/32",
    "# br-lan 000100%02x %s o%d -1 1a 128 fd00::%x/128", "# br-lan aabbccddee%02x ipv4 %s -1 c0a80132 32 10.0.0.%d/32",
    "# br-lan aabbccddee%02x ipv4 o%d %s c0a80132 32 10.0.0.%d/32",
    "# br-lan aabbccddee%02x ipv4 o%d -1 c0a80132 32 %s", "%s", "10.0.0.%d\to%d.lan\t%s",
  },
  uci = {
    "config domain\n\toption name '%s'\n\toption ip '10.0.0.%d'",
    "config domain\n\toption name 'u%d'\n\toption ip '%s'",
    "config %s\n\toption name 'u%d'\n\toption ip '10.0.0.%d'", "set dhcp.%s=domain\nset dhcp.u%d.name=u%d",
    "set dhcp.u%d=domain\nset dhcp.u%d.name='%s'\nset dhcp.u%d.ip=10.0.0.%d",
  },
}

-- The line with the text where it has %s, and the number wherever it has another place.
local function fill(line, text, number)
  return (line:gsub("%%[%d]*[dsx]", function(place)
    return place == "%s" and text or place:format(number % 250 + 1)
  end))
end

describe("hostile texts", function()
  for format, write in pairs(WRITERS) do
    it("in any field of " .. format .. " make no host but their own, and no line in any output", function()
      local entries = {}
      local count = each_field({ "ip", "hostname", "aliases", "comment", "tags", "expires_at", "origin" },
        function(number, field, text)
          local entry = { ip = ip_of(number), hostname = "h" .. number .. ".lan" }
          entry[field] = LISTS[field] and { text } or text
          entries[number] = entry
        end)
      local result = import(format, write(entries))
      assert.equal(count, result.created + result.failed)
      -- All but the comment with NUL.
      assert.is_true(store:count { hostname = "h*.lan" } >= #hostile)
      assert.is_nil(store:find("10.0.0.66", "evil.lan"))
      assert.equal(0, #store:reverse "10.0.0.66" - store:count { ip = "10.0.0.66", hostname = "h*.lan" })
      check_outputs()
      outputs.check_reading(store)
    end)
  end

  for format, lines in pairs(LINES) do
    it("anywhere in a line of " .. format .. " make no line in any output that is not a host's", function()
      local list = {}
      for _, line in ipairs(lines) do
        for i, text in ipairs(texts) do
          list[#list + 1] = fill(line, text, i)
        end
      end
      local result = import(format, table.concat(list, "\n") .. "\n")
      assert.is_true(result.processed > #texts)
      check_outputs()
      outputs.check_reading(store)
    end)
  end
end)

-- -- DHCP ----------------------------------------------------------------------------------------------

local VARIABLES = { "DNSMASQ_DOMAIN", "DNSMASQ_LEASE_EXPIRES", "DNSMASQ_LEASE_LENGTH", "DNSMASQ_TIME_REMAINING",
  "DNSMASQ_IAID", "DNSMASQ_OLD_HOSTNAME", "DNSMASQ_DATA_MISSING", "any other" }

describe("a client's hostile texts", function()
  local path, getenv, waiting

  before_each(function()
    path, getenv, waiting = directory .. "/spool", os.getenv, 0
  end)
  after_each(function() os.getenv = getenv end) -- luacheck: ignore 122

  local function with_environment(values)
    os.getenv = function(name) return values[name] or values["any other"] end -- luacheck: ignore 122
  end

  local function mac_of(number)
    return ("aa:bb:%02x:%02x:%02x:01"):format(math.floor(number / 65536), math.floor(number / 256) % 256, number % 256)
  end

  -- A spool takes so many events and no more.
  local function put(event)
    if event then
      assert(spool.write(path, event))
      waiting = waiting + 1
    end
    if waiting == 1000 then
      assert(drain.run(store, path))
      waiting = 0
    end
  end

  -- Whatever a client has said, it has come to be a host as clients have them, if any.
  local function check_hosts(least)
    local found = 0
    for host in store:hosts() do
      found = found + 1
      assert.equal("dhcp", host.origin)
      assert.is_true(dns.is_name(host.hostname), host.hostname)
      assert.is_nil(host.comment)
      assert.is_truthy(host.tags[1]:find "^mac:[%x:]+$" or host.tags[1]:find "^duid:[%x:]+[/%d]*$", host.tags[1])
      assert.same({ 1, 0 }, { #host.tags, #host.aliases })
      assert.is_false(host.ip == "10.0.0.66" and host.hostname == "evil.lan")
    end
    assert.is_true(found >= least, found .. " hosts")
    check_outputs()
  end

  it("in any argument and variable of dnsmasq's script make no line in any output", function()
    local fields = { "client", "ip", "name", (table.unpack or unpack)(VARIABLES) }
    each_field(fields, function(number, field, text)
      if not text:find("\0", 1, true) then
        local words = { client = mac_of(number), ip = ip_of(number), name = "c" .. number }
        local values = { DNSMASQ_LEASE_EXPIRES = "4000000000", DNSMASQ_DOMAIN = "lan" }
        values[field] = text
        words[field] = words[field] and text
        with_environment(values)
        put(events.of_process { number % 2 == 0 and "add" or "old", words.client, words.ip, words.name })
      end
    end)
    os.getenv = getenv -- luacheck: ignore 122
    assert(drain.run(store, path))
    check_hosts(#hostile * (#VARIABLES - 1))
  end)

  it("in any variable of OpenWrt's hotplug make no line in any output", function()
    each_field({ "MACADDR", "IPADDR", "HOSTNAME", "ACTION" }, function(number, field, text)
      if not text:find("\0", 1, true) then
        local values = { MACADDR = mac_of(number), IPADDR = ip_of(number), HOSTNAME = "c" .. number, ACTION = "add" }
        values[field] = text
        with_environment(values)
        put(events.of_process { "dhcp" })
      end
    end)
    os.getenv = getenv -- luacheck: ignore 122
    assert(drain.run(store, path))
    check_hosts(1)
  end)

  it("in any field that dnsmasq gives to Lua make no line in any output", function()
    local fields = { "mac_address", "client_duid", "ip_address", "hostname", "old_hostname", "domain", "lease_expires",
      "time_remaining", "lease_length", "iaid", "data_missing", "supplied_hostname" }
    each_field(fields, function(number, field, text)
      local given = { mac_address = mac_of(number), ip_address = ip_of(number), hostname = "c" .. number }
      given[field] = text
      put(events.of_call("add", given))
    end)
    assert(drain.run(store, path))
    check_hosts(#hostile * 5)
  end)
end)
