--- A zone file (RFC 1035) of A and AAAA records, for whichever zone the server loads it as:
---
---   $TTL 300
---   @ IN SOA localhost. hostmaster.localhost. 1207 3600 600 604800 300
---   @ IN NS localhost.
---   nas.lan. IN A 192.168.1.2
---   printer IN A 192.168.1.3
---
--- A name without a dot is one of the zone; a name with one is whole, and a server ignores those
--- outside of the zone (a filter such as `hostname = "*.lan"` spares it the trouble). The serial is
--- the position of the log, so it rises with every change and without a clock. A host that expires
--- leaves the zone without a new serial, and secondaries keep it until the next change: retention that
--- removes expired hosts is one. Names with an underscore are left out, as a server refuses
--- a zone in which they have addresses; so are comments and tags.
local dns = require "hoststore.format.dns"

local format = string.format

local bind = {}

--- Writes what a zone begins with. Serials have 32 bits and go on from 0 (RFC 1982).
---@param sink fun(text: string)
---@param options? {header?: boolean, position?: integer}
function bind.begin(sink, options)
  dns.header(sink, options, ";")
  sink(format("$TTL %d\n", dns.TTL))
  sink(format("@ IN SOA localhost. hostmaster.localhost. %.0f 3600 600 604800 %d\n",
    (options and options.position or 0) % 2 ^ 32, dns.TTL))
  sink "@ IN NS localhost.\n"
end

local function owner(name)
  return name:find(".", 1, true) and name .. "." or name
end

---@param iterator fun(): hoststore.Host?
---@param sink fun(text: string)
---@param options? {header?: boolean, now?: number, position?: integer}
---@return integer count, integer skipped  hosts without a name that a zone may hold are skipped
function bind.write(iterator, sink, options)
  bind.begin(sink, options)
  return dns.each(iterator, options, dns.is_zone_name, function(host, names)
    for _, name in ipairs(names) do
      sink(format("%s IN %s %s\n", owner(name), dns.type(host.ip), host.ip))
    end
  end)
end

return bind
