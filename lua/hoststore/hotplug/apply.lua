--- What one event of a lease changes in the store. Everything is decided by the hosts as they are, so
--- an event that was applied before changes nothing.
---
--- A lease is a host of origin "dhcp" with its client's tag. It has the address, whoever had it before.
--- Hosts of any other origin win: at their address, and under their names, no lease becomes a host.
local core = require "hoststore.core"
local lease = require "hoststore.hotplug.lease"

local OLD_END_IS_GOOD = 60

local apply = {}

-- The hosts at an address: what others own, what is this client's, and whose time is over.
local function look_at_address(store, event)
  local hosts, err = store:reverse(event.ip)
  if not hosts then return nil, err end
  local found = { stale = {} }
  for _, host in ipairs(hosts) do
    local client = lease.client_of(host)
    if host.origin ~= "dhcp" then
      found.taken = true
    elseif not found.mine and (client == nil or client == event.client) then
      found.mine = host
    else
      found.stale[#found.stale + 1] = host
    end
  end
  return found
end

local function delete(store, host, by, reason)
  return store:delete(host.id, { actor = by, reason = reason })
end

local function delete_all(store, hosts, by, reason)
  for _, host in ipairs(hosts) do
    local done, err = delete(store, host, by, reason)
    if not done then return nil, err end
  end
  return true
end

-- Whether a host that is no lease has the name; alone, or with one of the domains.
local function is_owned(store, name, domains)
  local names = { name }
  for _, domain in pairs(domains) do
    names[#names + 1] = name .. "." .. domain
  end
  for _, full in ipairs(names) do
    local hosts, err = store:lookup(full)
    if not hosts then
      if err.code ~= "invalid" then return nil, err end
      hosts = {}
    end
    for _, host in ipairs(hosts) do
      if host.origin ~= "dhcp" then return true end
    end
  end
  return false
end

-- Whether the name is one of the host's already: the full one, an alias, or what stands before the
-- domain. dnsmasq tells us so what it has read in a file we published.
local function has_name(host, name)
  if host.hostname == name or host.hostname:match "^[^.]+" == name then return true end
  for _, alias in ipairs(host.aliases) do
    if alias == name then return true end
  end
  return false
end

-- Other leases that have the name of a host. One machine may have it at several addresses.
local function namesakes(store, host, client)
  local hosts, err = store:lookup(host.hostname)
  if not hosts then return nil, err end
  local found = {}
  for _, other in ipairs(hosts) do
    if other.id ~= host.id and other.origin == "dhcp" and lease.family(other.ip) == lease.family(host.ip)
      and not lease.same_machine(lease.client_of(other), client) then
      found[#found + 1] = other
    end
  end
  return found
end

-- Whether the name of a host was lost to another lease. Else it is kept: dnsmasq says so, too, just before
-- it tells of a new one. `lost` is the name, or true when it is just known that there is none.
local function has_lost_name(store, event, mine)
  if not mine or not event.lost or event.name then return false end
  if event.lost ~= true and not has_name(mine, event.lost) then return false end
  local others, err = namesakes(store, mine, event.client)
  if not others then return nil, err end
  return others[1] ~= nil
end

-- The name the lease is to have: the one it says, else the one it has, unless they are owned.
local function choose_name(store, event, mine)
  local lost, failure = has_lost_name(store, event, mine)
  if lost == nil then return nil, failure end
  local present = mine and not lost and mine.hostname or nil
  -- That which dnsmasq gives it, and that which the client has said.
  local said, domains = event.name, { event.domain, event.foreign }
  if said and mine and has_name(mine, said) then said = present end
  for _, name in ipairs { said or present, present } do
    local owned, err = is_owned(store, name, domains)
    if owned == nil then return nil, err end
    if not owned then return name end
  end
  return false
end

-- The end of the lease; `host` keeps its own when none is known, or the clock is not to be believed. One
-- that was reckoned from the time that remained is a little different each time.
local function choose_end(event, host)
  local known = host and host.expires_at
  if event.ends == nil or event.ends == core.null then return event.ends end
  if known and event.about and math.abs(known - event.ends) <= OLD_END_IS_GOOD then return known end
  return event.ends
end

-- Others lose a name that is claimed here: dnsmasq gives it to one machine.
local function take_name(store, event, host, by)
  if event.missing then return true end
  local others, err = namesakes(store, host, event.client)
  if not others then return nil, err end
  return delete_all(store, others, by, "another client has its name now")
end

-- A rule of the store may have completed the name: what it is now must not be owned either.
local function check_name(store, host)
  local owned, err = is_owned(store, host.hostname, {})
  if owned == nil then return nil, err end
  if owned then
    return nil, core.error { code = "duplicate", field = "hostname",
      message = ("'%s' is the name of a host that is no lease"):format(host.hostname) }
  end
  return true
end

local function change(store, event, mine, name, by)
  return store:update(mine, { hostname = name, tags = lease.tags(mine, event.client),
    expires_at = choose_end(event, mine) }, { actor = by, reason = "lease changed" })
end

local function add(store, event, name, by)
  local ends = choose_end(event)
  return store:add({ ip = event.ip, hostname = name, origin = "dhcp", tags = { event.client },
    expires_at = ends ~= core.null and ends or nil }, { actor = by, reason = "lease began" })
end

local function write(store, event, mine, name, by)
  local before = mine and mine.hostname
  local host, err
  if mine then
    host, err = change(store, event, mine, name, by)
  else
    host, err = add(store, event, name, by)
  end
  if not host then return nil, err end
  if host.hostname == before then return true end
  local good
  good, err = check_name(store, host)
  if not good then return nil, err end
  return take_name(store, event, host, by)
end

local function begin_or_renew(store, event, by)
  local found, err = look_at_address(store, event)
  if not found then return nil, err end
  local done
  done, err = delete_all(store, found.stale, by, "the address was leased to another client")
  if not done then return nil, err end
  local mine, name = found.mine, false
  if not found.taken then
    name, err = choose_name(store, event, mine)
    if name == nil and err then return nil, err end
  end
  if name then return write(store, event, mine, name, by) end
  return mine == nil or delete(store, mine, by, "the name or the address is another host's")
end

-- A lease that ended before the one that is there began says nothing about it.
local function is_late(event, host)
  return type(event.ends) == "number" and not event.about and lease.is_late(event, host.expires_at)
end

local function finish(store, event, by)
  local found, err = look_at_address(store, event)
  if not found then return nil, err end
  local over = event.address_is_free and found.stale or {}
  if found.mine and not is_late(event, found.mine) then over[#over + 1] = found.mine end
  return delete_all(store, over, by, "lease ended")
end

--- Carries an event out, in the transaction of the caller.
---@param store hoststore.Store
---@param event table  as lease.reduce gives it, with `ends`: a time, null for never, nil when unknown
---@param by string?  the actor
---@return true?, hoststore.Error?
function apply.event(store, event, by)
  if event.action == "del" then return finish(store, event, by) end
  return begin_or_renew(store, event, by)
end

return apply
