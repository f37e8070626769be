--- The file in which dnsmasq keeps its leases:
---
---   1795264981 aa:bb:cc:dd:ee:ff 192.168.1.50 laptop 01:aa:bb:cc:dd:ee:ff
---   duid 00:01:00:01:aa:bb:cc
---   1795264981 12345 fd00::50 laptop 00:01:00:01:dd:ee:ff
---
--- The line "duid …" is the server's, and what follows it are leases of IPv6, with the IAID in the place
--- of the MAC address. An end of 0 is never; the name * is none, and such a lease is no host.
local core = require "hoststore.core"
local formats = require "hoststore.format"
local lease = require "hoststore.hotplug.lease"

local leases = { fields = { tags = true, expires_at = true } }

local function read_line(line)
  local ends, id, ip, name, client = line:match "^(%d+) (%S+) (%S+) (%S+) (%S+)$"
  if not ends then return nil, "the line is no lease of dnsmasq" end
  local is_v6 = ip:find(":", 1, true)
  local tag = lease.client(is_v6 and client or id, ip, is_v6 and id or nil)
  if not tag then return nil, "the line has no MAC address or DUID" end
  return { ip = ip, hostname = name ~= "*" and name or nil, client = tag,
    expires_at = ends == "0" and core.null or tonumber(ends) }
end

--- Reads all leases, also those without a name.
---@param lines hoststore.Lines
---@return fun(): integer?, table?, string?
function leases.leases(lines)
  return function()
    while true do
      local number, line, message = lines:next()
      if not number then return nil end
      if not line then return number, nil, message end
      if not line:find "^duid " and line ~= "" then return number, read_line(line) end
    end
  end
end

--- Reads the leases that are hosts, from an iterator over all. A name that is none, or that no client gets, is
--- reported.
---@param next fun(): integer?, table?, string?
function leases.hosts(next)
  return function()
    while true do
      local number, found, message = next()
      if not found then return number, nil, message end
      if found.hostname then
        local name = lease.client_name(found.hostname)
        if not name then return number, nil, formats.quote(found.hostname) .. " is no name for a client" end
        return number, { ip = found.ip, hostname = name, tags = { found.client }, expires_at = found.expires_at }
      end
    end
  end
end

function leases.read(lines)
  return leases.hosts(leases.leases(lines))
end

return leases
