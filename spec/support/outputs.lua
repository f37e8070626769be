--- What a store writes, held against what is in it: no output has a line, a record or a command more than its
--- hosts make, and the programs it is for take it.
local assert = require "luassert"
local dns = require "hoststore.format.dns"
local formats = require "hoststore.format"
local hoststore = require "hoststore"
local nameservers = require "spec.support.nameservers"

local outputs = {}

local IP = "[%x.:]+"

-- How many lines the names of a host make: what a rule counts.
local function each(_, names) return #names end
local function one(_, names) return #names > 0 and 1 or 0 end

local function once_an_address(ip, names, seen)
  if not names[1] or seen[ip] then
    return 0
  end
  seen[ip] = true
  return 1
end

-- Every line a format may have, and how many of it there have to be.
local GRAMMARS = {
  dnsmasq = { { "^host%-record=[a-z0-9_.,-]+," .. IP .. "$", one } },
  unbound = { { "^server:$" }, { '^local%-zone: "[a-z0-9_.-]+%." %l+$' },
    { '^local%-data: "[a-z0-9_.-]+%. 300 IN A+ ' .. IP .. '"$', each },
    { '^local%-data%-ptr: "' .. IP .. ' 300 [a-z0-9_.-]+%."$', once_an_address } },
  uci = { { "^set dhcp%.hoststore_%w+=domain$", one }, { "^set dhcp%.hoststore_%w+%.name='[a-z0-9_. -]+'$", one },
    { "^set dhcp%.hoststore_%w+%.ip='" .. IP .. "'$", one }, { "^commit dhcp$" } },
  bind = { { "^%$TTL 300$" }, { "^@ IN %u+ [a-z0-9. ]+$" }, { "^[a-z0-9.-]+ IN A+ " .. IP .. "$", each } },
  bind_reverse = { { "^%$TTL 300$" }, { "^@ IN %u+ [a-z0-9. ]+$" },
    { "^[%x.]+%.i[np][%-addr6]+%.arpa%. IN PTR [a-z0-9.-]+%.$", once_an_address } },
  pihole = { { "^" .. IP .. " [a-z0-9_. -]+$", one } },
  adguard = { { "^rewrites:$" }, { "^rewrites: %[%]$" }, { '^  %- domain: "[a-z0-9_.-]+"$', each },
    { '^    answer: "' .. IP .. '"$', each }, { "^    enabled: true$", each } },
}

--- The formats whose lines are known here.
outputs.formats = { "dnsmasq", "unbound", "uci", "bind", "bind_reverse", "pihole", "adguard" }

local function names_of(host, is_name)
  local names = {}
  for _, name in ipairs { host.hostname, (table.unpack or unpack)(host.aliases) } do
    names[#names + 1] = is_name(name) and name or nil
  end
  return names
end

-- How many lines the hosts make of each kind; nil where any number may be.
local function expected(store, grammar, is_name)
  local counts, seen = {}, {}
  for _, host in ipairs(assert(store:list { enabled = true })) do
    local names = names_of(host, is_name)
    for i, rule in ipairs(grammar) do
      counts[i] = rule[2] and (counts[i] or 0) + rule[2](host.ip, names, seen)
    end
  end
  return counts
end

--- Checks that an export has the lines of the hosts and no others. None may have so many names that dnsmasq
--- needs two lines for it, nor have expired.
---@param store hoststore.Store
---@param format string
function outputs.check_lines(store, format)
  local grammar, found = GRAMMARS[format], {}
  local text = assert(store:export(format))
  assert.equal("", text:match "[^\n]*$")
  for line in text:gmatch "([^\n]*)\n" do
    local matched
    for i, rule in ipairs(grammar) do
      if line:find(rule[1]) then
        assert.is_nil(matched, line)
        matched = i
        found[i] = (found[i] or 0) + 1
      end
    end
    assert(matched, format .. " has the line: " .. line)
  end
  local counts = expected(store, grammar, format:find "^bind" and dns.is_zone_name or dns.is_name)
  for i, rule in ipairs(grammar) do
    local count = found[i] or 0
    assert.equal(counts[i] or count, count, ("%s: %s"):format(format, rule[1]))
  end
end

--- Checks that what is exported for reading is the same hosts when it is read.
---@param store hoststore.Store  with lenient names
function outputs.check_reading(store)
  for _, format in ipairs(formats.names) do
    local copy = assert(hoststore.open("memory:", { names = "lenient" }))
    local result, err = copy:import({ text = assert(store:export(format)) }, { format = format, mode = "strict" })
    assert(result, err and format .. ": " .. err.message)
    assert.equal(store:count(), result.created)
    assert.equal(store:export "hosts", copy:export "hosts")
    copy:close()
  end
end

--- Checks that dnsmasq, unbound and named take what is exported for them.
---@param store hoststore.Store
---@param directory string  to write it to
function outputs.check_programs(store, directory)
  local function export(format)
    local path = directory .. "/" .. format
    assert(store:export(format, path))
    return path
  end
  local messages, status = nameservers.test_dnsmasq(export "dnsmasq")
  assert.equal(0, status, messages)
  messages, status = nameservers.test_unbound(directory, export "unbound")
  assert.equal(0, status, messages)
  assert(nameservers.zone("lan", export "bind"))
  assert(nameservers.zone("10.in-addr.arpa", export "bind_reverse"))
end

return outputs
