--- The state file of odhcpd (/tmp/odhcpd.leases, /tmp/hosts/odhcpd):
---
---   # br-lan 00010001aabbcc 3039 laptop 1795264981 1a 128 fd00::50/128
---   # br-lan aabbccddeeff ipv4 laptop 1795264981 c0a80132 32 192.168.1.50/32
---   fd00::50	laptop.lan	laptop
---
--- that is: interface, DUID or MAC address, IAID in hex, name, end, id, length, addresses. The lines behind say
--- no more. An end of -1 is never, 0 is over; the name - is none, and one that begins with broken\x20 is of
--- no use. A delegated prefix is no address.
local core = require "hoststore.core"
local lease = require "hoststore.hotplug.lease"
local leases = require "hoststore.format.leases"

local odhcpd = { fields = { tags = true, expires_at = true } }

-- To the full minute: the end is reckoned anew each time the file is written, and may move by a second.
local function read_end(text)
  if text == "-1" then return core.null end
  return math.ceil(tonumber(text) / 60) * 60
end

-- The addresses of one line, each as a lease.
local function read_line(line)
  local client, iaid, name, ends, addresses = line:match "^# %S+ (%S+) (%S+) (%S+) (%-?%d+) %S+ %d+ ?(.*)$"
  if not client then return nil, "the line is no lease of odhcpd" end
  local found = {}
  -- Word by word: looking for both parts at once takes time by the square of a long word.
  for word in addresses:gmatch "%S+" do
    local ip, length = word:match "^([^/]+)/(%d+)$"
    local is_v6 = ip and ip:find(":", 1, true)
    if ip and ends ~= "0" and length == (is_v6 and "128" or "32") then
      local tag = lease.client(client, ip, is_v6 and tostring(tonumber(iaid, 16)):gsub("%.0$", "") or nil)
      if not tag then return nil, "the line has no MAC address or DUID" end
      found[#found + 1] = { ip = ip, client = tag, expires_at = read_end(ends),
        hostname = name ~= "-" and not name:find "^broken\\x20" and name or nil }
    end
  end
  return found
end

--- Reads all leases, also those without a name.
---@param lines hoststore.Lines
---@return fun(): integer?, table?, string?
function odhcpd.leases(lines)
  local number, waiting = nil, {}
  return function()
    while not waiting[1] do
      local line, message
      number, line, message = lines:next()
      if not number then return nil end
      if not line then return number, nil, message end
      if line:find "^#" then
        waiting, message = read_line(line)
        if not waiting then
          waiting = {}
          return number, nil, message
        end
      end
    end
    return number, table.remove(waiting, 1)
  end
end

function odhcpd.read(lines)
  return leases.hosts(odhcpd.leases(lines))
end

return odhcpd
