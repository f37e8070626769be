-- What dnsmasq reads: hoststore publish. The file of the blocklist is in 30-blocklist.lua.

output {
  name = "lan",
  path = "/tmp/hosts/lan",
  filter = { tags_none = "blocked" },
  -- The same words as elsewhere: dnsmasq is told once.
  reload = { "/etc/init.d/dnsmasq", "reload" },
}
