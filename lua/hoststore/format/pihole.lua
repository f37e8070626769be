--- Pi-hole's local DNS records: the lines of its setting dns.hosts, and of a file in its directory
--- of hosts files.
---
---   192.168.1.2 nas.lan nas
---
--- Comments and tags are left out, and so are names that are not ASCII.
local dns = require "hoststore.format.dns"

local pihole = {}

---@param iterator fun(): hoststore.Host?
---@param sink fun(text: string)
---@param options? {header?: boolean, now?: number}
---@return integer count, integer skipped  hosts without a name that Pi-hole takes are skipped
function pihole.write(iterator, sink, options)
  dns.header(sink, options, "#")
  return dns.each(iterator, options, dns.is_name, function(host, names)
    sink(host.ip .. " " .. table.concat(names, " ") .. "\n")
  end)
end

return pihole
