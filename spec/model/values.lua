--- The values the random commands use: few, so that they collide. Next to each stands what the store
--- makes of it, so that the model needs no rules of its own about addresses and names.
local values = {}

-- Canonical first, then other spellings; in numeric order.
values.ips = {
  { "10.0.0.1" },
  { "10.0.0.2" },
  { "10.0.0.10" },
  { "2001:db8::1", "2001:DB8:0::1", "2001:db8:0:0:0:0:0:1" },
  { "fe80::a", "FE80::000A" },
}
values.bad_ips = { "10.0.0.300", "10.0.0.01", "nas", "fe80::1%eth0", "" }

-- An address filter, and the places in values.ips of what it holds.
values.ranges = {
  ["10.0.0.2"] = { 2 }, ["10.0.0.0/24"] = { 1, 2, 3 }, ["10.0.0.1/31"] = { 1 }, ["0.0.0.0/0"] = { 1, 2, 3 },
  ["2001:DB8::1"] = { 4 }, ["2001:db8::/32"] = { 4 }, ["::/0"] = { 4, 5 }, ["192.168.0.0/16"] = {},
}
values.range_names = { "10.0.0.2", "10.0.0.0/24", "10.0.0.1/31", "0.0.0.0/0", "2001:DB8::1", "2001:db8::/32", "::/0",
  "192.168.0.0/16" }
values.bad_ranges = { "10.0.0.0/33", "lan" }

values.names = {
  { "a", "A" },
  { "nas", "NAS", "nas." },
  { "nas.lan", "Nas.LAN." },
  { "b.lan" },
  { "printer", "PRINTER" },
  { "x_y-1" },
}
-- True: nothing can be called that. False: with names = "lenient" a host could, so that finding it is no error.
values.bad_names = { [""] = true, ["a b"] = true, ["10.0.0.1"] = true, ["-bad"] = false, ["häuser"] = false }
values.bad_name_list = { "", "a b", "10.0.0.1", "-bad", "häuser" }
-- Those of them that are one word of a hosts file.
values.bad_words = { "10.0.0.1", "-bad", "häuser" }

values.tags = { "Zz", "db", "iot", "lan" }
values.bad_tags = { "", "a,b", "a\tb" }
values.comments = { "hello", "Rack 7", "été ☃", "100% _x_" }
values.origins = { "admin", "dhcp", "import:lan" }
values.bad_origins = { "root", "import:", "" }
values.actors = { "anna", "root" }
values.reasons = { "because", "", "ça va" }
values.bad_reason = "\255"
values.bad_comment = "a\255b"

values.streams = { "order-1", "order-2", "Ünter", "a", "host", "hostel" }
values.bad_streams = { "host-1", "host-", "a\nb", "" }
values.types = { "A", "B", "HostCreated" }
values.data = { false, 1, "text", "\255\0", {}, { 1, 2 }, { n = 1.5, s = "x" } }
values.metadata = { { by = "x" }, "note" }
values.event_ids = { "01ARZ3NDEKTSV4RRFFQ69G5FA0", "01ARZ3NDEKTSV4RRFFQ69G5FA1", "01ARZ3NDEKTSV4RRFFQ69G5FA2",
  "01ARZ3NDEKTSV4RRFFQ69G5FA3", "01ARZ3NDEKTSV4RRFFQ69G5FA4" }
values.bad_event_ids = { "1", "01arz3ndektsv4rrffq69g5fa0", "81ARZ3NDEKTSV4RRFFQ69G5FA0" }

--- The id of no host and no snapshot, and a text that is no id.
values.unknown_id = "7ZZZZZZZZZZZZZZZZZZZZZZZZZ"
values.no_id = "nobody"

local function index(list)
  local canonical, order = {}, {}
  for place, spellings in ipairs(list) do
    order[spellings[1]] = place
    for _, spelling in ipairs(spellings) do canonical[spelling] = spellings[1] end
  end
  return canonical, order
end

--- A table with the same fields.
function values.copy(from)
  local to = {}
  for key, value in pairs(from) do to[key] = value end
  return to
end

local function set(list)
  local members = {}
  for _, item in ipairs(list) do members[item] = true end
  return members
end

--- Canonical value by spelling; place in the order of addresses by canonical address.
values.ip, values.ip_order = index(values.ips)
values.name = index(values.names)
values.is_bad_tag, values.is_bad_stream = set(values.bad_tags), set(values.bad_streams)
values.is_bad_origin, values.is_bad_event_id = set(values.bad_origins), set(values.bad_event_ids)

return values
