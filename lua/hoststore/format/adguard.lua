--- The rewrites of AdGuard Home, as they stand under `filtering:` in its YAML:
---
---   rewrites:
---     - domain: "nas.lan"
---       answer: "192.168.1.2"
---       enabled: true
---
--- All texts are quoted. Comments and tags are left out, and so are names that are not ASCII: a '*'
--- would answer for all names below.
local dns = require "hoststore.format.dns"

local adguard = {}

---@param iterator fun(): hoststore.Host?
---@param sink fun(text: string)
---@param options? {header?: boolean, now?: number}
---@return integer count, integer skipped  hosts without a name that AdGuard Home takes are skipped
function adguard.write(iterator, sink, options)
  local begun = false
  dns.header(sink, options, "#")
  local count, skipped = dns.each(iterator, options, dns.is_name, function(host, names)
    if not begun then
      sink "rewrites:\n"
      begun = true
    end
    for _, name in ipairs(names) do
      sink(('  - domain: "%s"\n    answer: "%s"\n    enabled: true\n'):format(name, host.ip))
    end
  end)
  if not begun then
    sink "rewrites: []\n"
  end
  return count, skipped
end

return adguard
