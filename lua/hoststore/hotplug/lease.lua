--- What leases mean: who a client is, which names count, and which of several events stand.
local lease = {}

-- Names that would make a machine answer for what is not its own.
local refused = {
  localhost = true, ["ip6-localhost"] = true, ["ip6-loopback"] = true, broadcasthost = true,
  wpad = true, isatap = true,
}

--- The name a client gave, as a host may have it; nil when it is none, or one that no client gets.
---@param name string?
---@return string?
function lease.name(name)
  name = name and name:lower():gsub("%.$", "")
  if not name or name == "" or #name > 253 or name:find "[^a-z0-9_.-]" or name:find "^[%d.]*$" then return nil end
  for label in (name .. "."):gmatch "([^.]*)%." do
    if label == "" or #label > 63 or label:find "^%-" or label:find "%-$" then return nil end
  end
  return not refused[name:match "^[^.]+"] and name or nil
end

local function is_hex(text)
  return not text:find "[^%x]" and #text % 2 == 0 and text ~= ""
end

--- The tag that says whose lease a host is: mac:…, or duid:…/IAID where addresses are IPv6. Nil for what
--- is neither.
---@param client string  bytes in hex, with or without colons; "06-" before them is a kind of hardware
---@param ip string
---@param iaid string?
---@return string? tag
function lease.client(client, ip, iaid)
  local bytes = client:lower():gsub("^%x%x%-", ""):gsub(":", "")
  if not is_hex(bytes) then return nil end
  local shown = bytes:gsub("%x%x", "%0:"):sub(1, -2)
  if not ip:find(":", 1, true) then
    return #shown <= 100 and "mac:" .. shown or nil
  end
  -- dnsmasq writes T before the IAID of a temporary address.
  local number = (iaid or ""):match "^T?(%d+)$"
  local tag = "duid:" .. shown .. (number and "/" .. number or "")
  return #tag <= 128 and tag or nil
end

--- The tag of a host that says whose lease it is.
---@param host hoststore.Host
---@return string?
function lease.client_of(host)
  for _, tag in ipairs(host.tags) do
    if tag:find "^mac:" or tag:find "^duid:" then return tag end
  end
end

--- The tags of a host with that client in the place of the one there was.
---@param host hoststore.Host
---@param client string
---@return string[]
function lease.tags(host, client)
  local tags = { client }
  for _, tag in ipairs(host.tags) do
    if not (tag:find "^mac:" or tag:find "^duid:") then tags[#tags + 1] = tag end
  end
  return tags
end

--- Whether two tags are of the same machine: with IPv6 one may have several addresses of a name.
function lease.same_machine(a, b)
  return a ~= nil and b ~= nil and a:find "^duid:" ~= nil and a:match "^[^/]*" == b:match "^[^/]*"
end

local function family(ip)
  return ip:find(":", 1, true) and "6 " or "4 "
end
lease.family = family

local Reduction = {}
Reduction.__index = Reduction

-- A later event without a name leaves the lease the name it had, unless it says that this is lost.
local function inherit_name(self, later, event)
  if later.action ~= "del" and later.client == event.client and not later.name and later.lost ~= event.name then
    later.name = self:free_name(event)
  end
end

-- What a later event has made of a name, an address or a lease leaves nothing for this one to say.
function Reduction:take(event)
  local key = event.ip .. " " .. event.client
  local later = self.owned[event.ip]
  if later then
    if event.action ~= "del" then inherit_name(self, later, event) end
    return
  elseif self.ended[key] then
    if event.action ~= "del" then
      self.ended[key].address_is_free = true
      self.owned[event.ip] = self.ended[key]
    end
    return
  elseif event.action == "del" then
    self.ended[key] = event
  else
    event.name = self:free_name(event)
    self.owned[event.ip] = event
  end
  table.insert(self.kept, 1, event)
end

-- The name of an event, unless a later one has it at another address. dnsmasq says `missing` when it
-- only repeats what it knows: that claims nothing.
function Reduction:free_name(event)
  if not event.name then return nil end
  local key = family(event.ip) .. event.name
  local claimed = self.claimed[key]
  if claimed and claimed.ip ~= event.ip and not lease.same_machine(claimed.client, event.client) then return nil end
  if not event.missing then self.claimed[key] = claimed or event end
  return event.name
end

--- Those without a name behind all others: whose name is lost can be seen when it is known who has it now.
---@param events table[]
---@return table[]
function lease.nameless_last(events)
  local ordered = {}
  for _, nameless in ipairs { false, true } do
    for _, event in ipairs(events) do
      if (event.action ~= "del" and not event.name) == nameless then ordered[#ordered + 1] = event end
    end
  end
  return ordered
end

--- The events that say where the leases stand in the end. These alone are carried out: applied a
--- second time they find everything done, and what came and went in between wears out no flash.
---@param events table[]  leases, oldest first
---@return table[]
function lease.reduce(events)
  local reduction = setmetatable({ kept = {}, owned = {}, ended = {}, claimed = {} }, Reduction)
  for i = #events, 1, -1 do
    reduction:take(events[i])
  end
  return lease.nameless_last(reduction.kept)
end

return lease
