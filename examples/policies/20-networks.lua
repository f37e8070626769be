-- Tags by network: what is in the VLAN of the lamps and cameras is "iot", and not any more when it moves.

local NETWORKS = {
  iot = { "192.168.20.0/24", "fd00:20::/64" },
  guest = { "192.168.30.0/24", "fd00:30::/64" },
}

local function is_within(host, networks)
  for _, network in ipairs(networks) do
    if ip_in(host.ip, network) then return true end
  end
  return false
end

for label, networks in pairs(NETWORKS) do
  tag { name = label, when = function(host) return is_within(host, networks) end, add = label }
  tag { name = "not " .. label, when = function(host) return not is_within(host, networks) end, remove = label }
end

-- A client that nobody has seen before is to be looked at; whoever has done so removes the tag.
on("HostCreated", function(event)
  if event.host.origin == "dhcp" then return { add = "new" } end
end)

test {
  name = "a lamp",
  host = { ip = "192.168.20.17", hostname = "lamp", origin = "dhcp" },
  expect = { tags = { "iot", "new" } },
}
test {
  name = "over IPv6",
  host = { ip = "fd00:20::17", hostname = "lamp" },
  expect = { tags = { "iot" } },
}
test {
  name = "a laptop that goes home keeps its other tags",
  before = { ip = "192.168.30.9", hostname = "laptop", tags = { "anna" } },
  host = { ip = "192.168.1.9" },
  expect = { tags = { "anna" } },
}
test {
  name = "who says so is no guest",
  host = { ip = "192.168.1.9", hostname = "laptop", tags = { "guest" } },
  expect = { tags = {} },
}
