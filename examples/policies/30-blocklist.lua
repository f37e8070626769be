-- Names that are to lead nowhere. A list of them is brought in with
--   hoststore import FILE --origin import:blocklist --mode sync --max-deletes 50%
-- and more can be blocked by hand: hoststore add 0.0.0.0 tracker.example --tag blocked

local LIST = "import:blocklist"

-- What the list blocks and we need. After a change here: hoststore policy apply
local WANTED = { ["www.example.net"] = true }

local NOWHERE = { "0.0.0.0", "127.0.0.1", "::", "::1" }

local function leads_nowhere(ip)
  for _, address in ipairs(NOWHERE) do
    if ip == address then return true end
  end
  return false
end

local function is_ours(name)
  return not name:find(".", 1, true) or name:find("%.lan$") ~= nil
end

-- Lists differ in the address they give. One that leads somewhere is left for the rule below.
normalise {
  name = "one address",
  filter = { origin = LIST },
  apply = function(host)
    return { ip = leads_nowhere(host.ip) and "0.0.0.0" or nil, enabled = not WANTED[host.hostname] }
  end,
}

tag { name = "blocked", filter = { origin = LIST }, add = "blocked" }

-- Whoever writes the list shall not say where our machines are, nor where a bank is.
validate {
  name = "a list only blocks",
  filter = { origin = LIST },
  check = function(host)
    if not leads_nowhere(host.ip) then
      return false, ("a blocklist cannot give '%s' the address %s"):format(host.hostname, host.ip), "ip"
    elseif is_ours(host.hostname) then
      return false, ("a blocklist cannot block '%s'"):format(host.hostname), "hostname"
    end
    return true
  end,
}

-- A file of its own, which dnsmasq reads beside the others. Without the second line it would ask its
-- upstream for the IPv6 address.
output {
  name = "blocklist",
  path = "/tmp/hosts/blocklist",
  filter = { tags = "blocked" },
  template = { format = "hosts", text = [[
<% for host in hosts() do -%>
0.0.0.0 <%= host.hostname %>
:: <%= host.hostname %>
<% end -%>
]] },
  reload = { "/etc/init.d/dnsmasq", "reload" },
}

test {
  name = "a name of the list",
  host = { ip = "127.0.0.1", hostname = "ads.example.com", origin = LIST },
  expect = { ip = "0.0.0.0", hostname = "ads.example.com", tags = { "blocked" }, enabled = true },
}
test {
  name = "a name that we need is kept, and not published",
  host = { ip = "0.0.0.0", hostname = "www.example.net", origin = LIST },
  expect = { enabled = false },
}
test {
  name = "a list that wants to lead us elsewhere",
  host = { ip = "203.0.113.66", hostname = "bank.example.com", origin = LIST },
  refused = "cannot give 'bank.example.com' the address 203.0.113.66",
}
test {
  name = "a list that blocks our own",
  host = { ip = "0.0.0.0", hostname = "nas.lan", origin = LIST },
  refused = "cannot block 'nas.lan'",
}
