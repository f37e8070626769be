--- What the system says of a lease, as an event for the spool: texts, as they came.
---
--- An event has `action` (add, old, del; ntp), and of a lease `client` (a MAC address, or a DUID),
--- `ip`, `name`, `lost` (the name it had), `domain`, `expires`, `remaining`, `iaid`, `missing` (dnsmasq repeats
--- what it has on file). All of them are what a client may have sent; the drainer judges them.
local event = {}

local dnsmasq_actions = { add = "add", old = "old", del = "del" }
local openwrt_actions = { add = "add", update = "old", remove = "del" }

local function variable(name)
  local value = os.getenv(name)
  return value ~= "" and value or nil
end

-- What dnsmasq says in the environment; OpenWrt passes it on.
local function lease(action, client, ip, name)
  if not (action and client and ip) then return nil end
  return {
    action = action, client = client, ip = ip, name = name,
    domain = variable "DNSMASQ_DOMAIN",
    expires = variable "DNSMASQ_LEASE_EXPIRES",
    remaining = variable "DNSMASQ_TIME_REMAINING" or action == "add" and variable "DNSMASQ_LEASE_LENGTH" or nil,
    iaid = variable "DNSMASQ_IAID",
    lost = variable "DNSMASQ_OLD_HOSTNAME",
    missing = action == "old" and variable "DNSMASQ_DATA_MISSING" or nil,
  }
end

local subsystems = {}

function subsystems.dhcp()
  return lease(openwrt_actions[variable "ACTION"], variable "MACADDR", variable "IPADDR", variable "HOSTNAME")
end

-- ntpd has heard of the time. Stratum 16 is a clock that nobody has set.
function subsystems.ntp()
  local action, stratum = variable "ACTION", tonumber(variable "stratum" or "")
  if action == "unsync" or not stratum or stratum >= 16 then return nil end
  return { action = "ntp", at = require("hoststore.neutral").format("%.6f", require("hoststore.core").sys.time()) }
end

local function guess()
  return variable "HOTPLUG_TYPE" or variable "MACADDR" and variable "IPADDR" and "dhcp" or variable "stratum" and "ntp"
end

--- The event that a process was started for: by dnsmasq, with its arguments, or by OpenWrt for a
--- subsystem of hotplug.d. Nil when it means nothing to the store: new kinds are passed over. With a message when
--- there are words that are nobody's, as options behind the event would be.
---@param words string[]
---@return table<string, string>?, string? message
function event.of_process(words)
  local action = dnsmasq_actions[words[1]]
  if (action or subsystems[words[1]]) and words[action and 5 or 2] then
    return nil, "there are too many words in the event; options stand before it"
  end
  if action then return lease(action, words[2], words[3], words[4] ~= "" and words[4] or nil) end
  local read = subsystems[words[1] or guess()]
  return read and read()
end

local function text(value)
  if type(value) == "number" then return ("%.0f"):format(value) end
  return type(value) == "string" and value ~= "" and value or nil
end

--- The event of a call of dnsmasq's lease(action, table), whose numbers may be floats. Unlike a script's,
--- its table still has the name that is lost.
---@param action string
---@param given table
---@return table<string, string>?
function event.of_call(action, given)
  local client, ip = text(given.client_duid) or text(given.mac_address), text(given.ip_address)
  if not (dnsmasq_actions[action] and client and ip) then return nil end
  local name, lost = text(given.hostname), text(given.old_hostname)
  return {
    action = action, client = client, ip = ip, name = name ~= lost and name or nil, lost = lost,
    domain = text(given.domain), expires = text(given.lease_expires),
    remaining = text(given.time_remaining) or action == "add" and text(given.lease_length) or nil,
    iaid = text(given.iaid), missing = action == "old" and text(given.data_missing) or nil,
  }
end

return event
