--- unbound's configuration, to be included by unbound.conf:
---
---   server:
---   local-zone: "nas.lan." static
---   local-data: "nas.lan. 300 IN A 192.168.1.2"
---   local-data-ptr: "192.168.1.2 300 nas.lan."
---
--- Each name is a zone of its own, so that what is asked about it never goes out, of whichever type
--- (but for DS, which belongs to the zone above). There is nothing below such a name but other hosts:
--- a host "example.com" hides the www.example.com of others.
--- A name of one label is a zone that hides nothing below it: a client that calls itself "com" shall
--- not take all of .com away. An address has one PTR record, to the
--- first name given it. Comments and tags are left out. Which zones and addresses there were is kept
--- while writing, some 200 bytes for each.
local dns = require "hoststore.format.dns"

local format = string.format

local unbound = {}

local function zone_type(name)
  return name:find(".", 1, true) and "static" or "transparent"
end

---@param iterator fun(): hoststore.Host?
---@param sink fun(text: string)
---@param options? {header?: boolean, now?: number}
---@return integer count, integer skipped  hosts without a name that unbound takes are skipped
function unbound.write(iterator, sink, options)
  local is_new_name, is_new_address = dns.first_time(), dns.first_time()
  dns.header(sink, options, "#")
  sink "server:\n"
  return dns.each(iterator, options, dns.is_name, function(host, names)
    for _, name in ipairs(names) do
      if is_new_name(name) then
        sink(format('local-zone: "%s." %s\n', name, zone_type(name)))
      end
      sink(format('local-data: "%s. %d IN %s %s"\n', name, dns.TTL, dns.type(host.ip), host.ip))
    end
    if is_new_address(host.ip) then
      sink(format('local-data-ptr: "%s %d %s."\n', host.ip, dns.TTL, names[1]))
    end
  end)
end

return unbound
