--- dnsmasq's configuration, for --conf-file and --conf-dir:
---
---   host-record=nas.lan,nas,192.168.1.2
---
--- Each answers for just its names (address= would also answer for all names below) and makes the
--- PTR record of the address, unless a line before has made one. So no ptr-record= is written: it
--- would change no answer, with a second name for an address give two, and dnsmasq would take eight
--- times as long to start with 100 000 of them. The records of a name with several addresses add up.
--- Comments and tags are left out. dnsmasq reads its configuration when it starts, and does not start
--- when a line is wrong; hosts(5) is read again at each SIGHUP.
local dns = require "hoststore.format.dns"

local dnsmasq = {}

-- dnsmasq cuts a line at 1024 bytes and takes the rest for a line of its own.
local LINE = 1000

local function write_host(host, names, sink)
  local line = "host-record="
  for _, name in ipairs(names) do
    if #line + #name + #host.ip + 2 > LINE then
      sink(line .. host.ip .. "\n")
      line = "host-record="
    end
    line = line .. name .. ","
  end
  sink(line .. host.ip .. "\n")
end

---@param iterator fun(): hoststore.Host?
---@param sink fun(text: string)
---@param options? {header?: boolean, now?: number}
---@return integer count, integer skipped  hosts without a name that dnsmasq takes are skipped
function dnsmasq.write(iterator, sink, options)
  dns.header(sink, options, "#")
  return dns.each(iterator, options, dns.is_name, function(host, names)
    write_host(host, names, sink)
  end)
end

return dnsmasq
