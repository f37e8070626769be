--- Commands for OpenWrt's `uci batch`, which make a `config domain` of /etc/config/dhcp for each host:
---
---   set dhcp.hoststore_01KA1B2C3D4E5F6G7H8J9KMNPQ=domain
---   set dhcp.hoststore_01KA1B2C3D4E5F6G7H8J9KMNPQ.name='nas.lan nas'
---   set dhcp.hoststore_01KA1B2C3D4E5F6G7H8J9KMNPQ.ip='192.168.1.2'
---   commit dhcp
---
--- A section is called by the id of its host: the commands may be run again, and what an admin has
--- made is never touched. Sections of hosts that are gone are not known here and stay; this deletes
--- all that were made, before:
---
---   uci show dhcp | sed -n 's/^\(dhcp\.hoststore_[0-9A-Z]*\)=domain$/delete \1/p' | uci batch
---
--- Comments and tags are left out, and so are names that are not ASCII.
local dns = require "hoststore.format.dns"

local uci = {}

local function section(id)
  return "dhcp.hoststore_" .. id:gsub("^host%-", ""):gsub("[^0-9A-Za-z]", "_")
end

---@param iterator fun(): hoststore.Host?
---@param sink fun(text: string)
---@param options? {now?: number}
---@return integer count, integer skipped  hosts without a name that resolvers take are skipped
function uci.write(iterator, sink, options)
  local count, skipped = dns.each(iterator, options, dns.is_name, function(host, names)
    local name = section(host.id)
    sink(("set %s=domain\n"):format(name))
    sink(("set %s.name='%s'\n"):format(name, table.concat(names, " ")))
    sink(("set %s.ip='%s'\n"):format(name, host.ip))
  end)
  sink "commit dhcp\n"
  return count, skipped
end

return uci
