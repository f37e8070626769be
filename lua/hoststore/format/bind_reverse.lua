--- A zone file of PTR records, for whichever zone below in-addr.arpa or ip6.arpa the server loads it as:
---
---   $TTL 300
---   @ IN SOA localhost. hostmaster.localhost. 1207 3600 600 604800 300
---   @ IN NS localhost.
---   2.1.168.192.in-addr.arpa. IN PTR nas.lan.
---
--- A server ignores the addresses outside of the zone; a filter such as `ip = "192.168.1.0/24"` leaves
--- them out. An address has one record, to its first host; of the names of that, the first with a dot, as one
--- without cannot be completed here: it stands alone, as dnsmasq would answer. All else is as in the format
--- bind. Which addresses there were is kept while writing, some 200 bytes a host.
local bind = require "hoststore.format.bind"
local dns = require "hoststore.format.dns"

local bind_reverse = {}

local function whole(names)
  for _, name in ipairs(names) do
    if name:find(".", 1, true) then return name end
  end
  return names[1]
end

---@param iterator fun(): hoststore.Host?
---@param sink fun(text: string)
---@param options? {header?: boolean, now?: number, position?: integer}
---@return integer count, integer skipped  hosts without a name that a zone may hold are skipped
function bind_reverse.write(iterator, sink, options)
  local is_new_address = dns.first_time()
  bind.begin(sink, options)
  return dns.each(iterator, options, dns.is_zone_name, function(host, names)
    if is_new_address(host.ip) then
      sink(("%s. IN PTR %s.\n"):format(dns.reverse_name(host.ip), whole(names)))
    end
  end)
end

return bind_reverse
