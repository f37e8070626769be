--- What leases mean: who a client is, which names count, and which of several events stand.
local neutral = require "hoststore.neutral"

local lease = {}

-- Names that would make a machine answer for what is not its own.
local refused = {
  localhost = true, ["ip6-localhost"] = true, ["ip6-loopback"] = true, broadcasthost = true,
  wpad = true, isatap = true,
}

--- A name as a host may have it; nil when it is none, or one that no client gets.
---@param name string?
---@return string?
function lease.name(name)
  name = name and neutral.lower(name):gsub("%.$", "")
  if not name or name == "" or #name > 253 or name:find "[^a-z0-9_.-]" or name:find "^[%d.]*$" then return nil end
  for label in (name .. "."):gmatch "([^.]*)%." do
    if label == "" or #label > 63 or label:find "^%-" or label:find "%-$" then return nil end
  end
  return not refused[name:match "^[^.]+"] and name or nil
end

--- The name a client gave, as its host may have it: without what stands behind the first dot, unless that is the
--- domain the server gives. Else a client could answer for a name of somebody else's domain.
---@param name string?
---@param domain string?
---@return string? name, string? foreign  the domain it is without
function lease.client_name(name, domain)
  local full = lease.name(name)
  local label, rest = (full or ""):match "^([^.]+)%.(.+)$"
  if not label or rest == domain then return full end
  return lease.name(label), rest
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
  local bytes = neutral.lower(client):gsub("^%x%x%-", ""):gsub(":", "")
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

--- Whether a `del` is of a lease that was over before one that ends then began: it says nothing about that.
---@param event table
---@param ends number?  of the other one
---@return boolean
function lease.is_late(event, ends)
  return event.version ~= nil and type(ends) == "number" and ends > event.version
end

-- A later event without a name leaves the lease the name it had, unless it says that this is lost.
local function inherit_name(self, later, event)
  if later.action == "del" or later.client ~= event.client or later.name or later.is_nameless then return false end
  later.is_nameless = event.name ~= nil and later.lost == event.name
  if later.is_nameless then return true end
  later.name = self:free_name(event)
  return later.name ~= nil
end

-- What came before the end of a lease has had its address, and has no more; unless it is the lease that
-- began when that one had ended, and was told of too early.
function Reduction:precede_end(event, ended)
  if event.action == "del" then return false end
  if lease.is_late(ended, event.version) then
    self.late[ended] = true
    return self:stand(event)
  end
  ended.address_is_free = true
  self.owned[event.ip] = ended
  return true
end

-- The event says where its lease stands.
function Reduction:stand(event)
  if event.action == "del" then
    self.ended[event.ip .. " " .. event.client] = event
  else
    event.name = self:free_name(event)
    self.owned[event.ip] = event
  end
  table.insert(self.kept, 1, event)
  return true
end

-- What a later event has made of a name, an address or a lease leaves nothing for this one to say. Returns
-- whether it has said something.
function Reduction:take(event)
  local later, ended = self.owned[event.ip], self.ended[event.ip .. " " .. event.client]
  if later then return event.action ~= "del" and inherit_name(self, later, event) end
  if ended then return self:precede_end(event, ended) end
  return self:stand(event)
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

-- Those tried before last, so that what is wrong with them cannot keep others waiting; and those without a
-- name last of each: whose name is lost can be seen when it is known who has it now.
local function rank(event)
  return 2 * (event.tries or 0) + (event.action ~= "del" and not event.name and 1 or 0)
end

--- The order in which events are carried out.
---@param events table[]
---@return table[]
function lease.order(events)
  local ordered, place = {}, {}
  for i, event in ipairs(events) do
    ordered[i], place[event] = event, i
  end
  table.sort(ordered, function(a, b)
    local first, second = rank(a), rank(b)
    if first == second then return place[a] < place[b] end
    return first < second
  end)
  return ordered
end

--- The events that say where the leases stand in the end. These alone are carried out: applied a
--- second time they find everything done, and what came and went in between wears out no flash.
---@param events table[]  leases, oldest first
---@return table[] standing, table[] idle  those that could as well not have been
function lease.reduce(events)
  local reduction = setmetatable({ kept = {}, owned = {}, ended = {}, claimed = {}, late = {} }, Reduction)
  local idle, standing = {}, {}
  for i = #events, 1, -1 do
    if not reduction:take(events[i]) then idle[#idle + 1] = events[i] end
  end
  for _, event in ipairs(reduction.kept) do
    local list = reduction.late[event] and idle or standing
    list[#list + 1] = event
  end
  return lease.order(standing), idle
end

local function words_of(event)
  local words = { event.ip }
  words[#words + 1] = event.said
  words[#words + 1] = event.lost
  return words
end

local function has_any(set, words)
  for _, word in ipairs(words) do
    if set[word] then return true end
  end
  return false
end

--- The events that speak of the same addresses and names as some, and as each other: in the order in which
--- they came they say what is so, and the rest does not touch them.
---@param events table[]
---@param some table<table, true>
---@return table<table, true>
function lease.related(events, some)
  local related, words, has_grown = {}, {}, true
  while has_grown do
    has_grown = false
    for _, event in ipairs(events) do
      if not related[event] and (some[event] or has_any(words, words_of(event))) then
        related[event], has_grown = true, true
        for _, word in ipairs(words_of(event)) do words[word] = true end
      end
    end
  end
  return related
end

return lease
