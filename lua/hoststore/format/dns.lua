--- What the formats that name servers read have in common: which hosts and which of their names they
--- can carry, and names for addresses. It is no format itself.
local concat, find, format, gmatch, gsub = table.concat, string.find, string.format, string.gmatch, string.gsub
local reverse, sub = string.reverse, string.sub

local dns = {
  --- Seconds for which a client may keep an answer, where a format says so: addresses of a home change.
  TTL = 300,
}

--- Whether a name is ASCII labels, as a store with strict names has them. Others are valid in a store
--- with lenient names, and might be anything in the syntax of a name server.
---@param name string
---@return boolean
function dns.is_name(name)
  if #name > 253 or find(name, "[^a-z0-9_.-]") or find("." .. name .. ".", "..", 1, true) then
    return false
  end
  for label in gmatch(name, "[^.]+") do
    if #label > 63 or find(label, "^%-") or find(label, "%-$") then
      return false
    end
  end
  return true
end

--- As is_name, for zone files: a server refuses a zone in which an underscore owns an address.
---@param name string
---@return boolean
function dns.is_zone_name(name)
  return dns.is_name(name) and not find(name, "_", 1, true)
end

-- The hostname and the aliases for which is_name holds.
local function names_of(host, is_name)
  local names = {}
  if is_name(host.hostname) then
    names[1] = host.hostname
  end
  for _, alias in ipairs(host.aliases) do
    if is_name(alias) then
      names[#names + 1] = alias
    end
  end
  return names
end

--- Calls fn(host, names) for each host that is enabled and not expired at options.now, with those of
--- its names for which is_name holds, the hostname first. A host without any is left out.
---@param iterator fun(): hoststore.Host?
---@param options? { now?: number }
---@param is_name fun(name: string): boolean
---@param fn fun(host: hoststore.Host, names: string[])
---@return integer count, integer skipped  hosts given to fn; hosts left out for their names
function dns.each(iterator, options, is_name, fn)
  local now = options and options.now
  local count, skipped = 0, 0
  for host in iterator do
    if host.enabled and not (now and host.expires_at and host.expires_at <= now) then
      local names = names_of(host, is_name)
      if names[1] then
        fn(host, names)
        count = count + 1
      else
        skipped = skipped + 1
      end
    end
  end
  return count, skipped
end

--- A function that says of each value whether it is the first time it is asked about it.
---@return fun(value: string): boolean
function dns.first_time()
  local seen = {}
  return function(value)
    if seen[value] then
      return false
    end
    seen[value] = true
    return true
  end
end

--- Whether an address is one of IPv6.
---@param ip string
---@return boolean
function dns.is_ip6(ip)
  return find(ip, ":", 1, true) ~= nil
end

--- The type of the record that gives a name this address.
---@param ip string
---@return "A"|"AAAA"
function dns.type(ip)
  return dns.is_ip6(ip) and "AAAA" or "A"
end

local function groups_of(text)
  local groups = {}
  for group in gmatch(text, "[^:]+") do
    groups[#groups + 1] = ("0"):rep(4 - #group) .. group
  end
  return groups
end

-- The 32 digits of an address of IPv6 as the store writes it.
local function digits_of(ip)
  ip = gsub(ip, "(%d+)%.(%d+)%.(%d+)%.(%d+)$", function(a, b, c, d)
    return format("%02x%02x:%02x%02x", a, b, c, d)
  end)
  local gap, behind = find(ip, "::", 1, true)
  if not gap then
    return concat(groups_of(ip))
  end
  local head, tail = groups_of(sub(ip, 1, gap - 1)), groups_of(sub(ip, behind + 1))
  return concat(head) .. ("0"):rep(32 - 4 * (#head + #tail)) .. concat(tail)
end

--- The name under which an address is looked up, such as 1.0.0.10.in-addr.arpa
---@param ip string  as the store writes it
---@return string
function dns.reverse_name(ip)
  if dns.is_ip6(ip) then
    return gsub(reverse(digits_of(ip)), "%x", "%0.") .. "ip6.arpa"
  end
  return (gsub(ip, "^(%d+)%.(%d+)%.(%d+)%.(%d+)$", "%4.%3.%2.%1.in-addr.arpa"))
end

--- The line that says what made a file, behind the sign that begins a comment in it.
---@param sink fun(text: string)
---@param options? { header?: boolean }
---@param sign string
function dns.header(sink, options, sign)
  if options and options.header then
    sink(sign .. " Made by hoststore. Changes made here do not get into it.\n")
  end
end

return dns
