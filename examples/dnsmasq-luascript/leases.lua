-- For dnsmasq built with Lua: dnsmasq --dhcp-luascript=/etc/hoststore/leases.lua
--
-- The settings are the environment's dnsmasq was started with: HOSTSTORE_DB, HOSTSTORE_SPOOL, HOSTSTORE_ON_CHANGE …
-- An error here would end all scripts of dnsmasq for good, so even the module is asked for with care.
local ok, hoststore = pcall(require, "hoststore")

if not ok then
  io.stderr:write("hoststore: leases are not recorded: ", tostring(hoststore), "\n")
end

function lease(action, given) -- luacheck: globals lease
  if ok then
    hoststore.hotplug.lease(action, given) -- never raises; hoststore.hotplug.failures counts
  end
end
