-- examples/openwrt on a router that is a directory: its shell library, logger and dnsmasq are stand-ins.

local core = require "hoststore.core"
local leases = require "spec.support.leases"
local system = require "spec.support.system"

local SHELL_FILES = { "etc/hotplug.d/dhcp/50-hoststore", "etc/hotplug.d/ntp/50-hoststore",
  "etc/hotplug.d/iface/50-hoststore", "etc/init.d/hoststore", "usr/libexec/hoststore/publish",
  "usr/libexec/hoststore/refresh", "usr/share/hoststore/settings.sh" }

-- What OpenWrt's library has of this, for a file with one section.
local FUNCTIONS = [=[
config_load() { CONFIG="$IPKG_INSTROOT/etc/config/$1"; }
config_values() { sed -n "s/^[[:space:]]*$1 $2 '\(.*\)'$/\1/p" "$CONFIG"; }
config_get() { local value=$(config_values option "$3"); eval "$1=\${value:-\$4}"; }
config_list_foreach() { local item; for item in $(config_values list "$2"); do "$3" "$item"; done; }
]=]

describe("examples/openwrt", function()
  local root

  local function write(path, text, mode)
    path = root .. "/" .. path
    assert(core.sys.mkdir_p((path:gsub("/[^/]*$", ""))))
    system.write(path, text)
    if mode then system.run("chmod " .. mode .. " " .. path) end
  end

  before_each(function()
    root = system.directory()
    system.run("cp -r examples/openwrt/. " .. root)
    write("lib/functions.sh", FUNCTIONS)
    write("etc/init.d/dnsmasq", "#!/bin/sh\necho $1 >>" .. root .. "/reloads\n", "755")
    write("bin/logger", "#!/bin/sh\n[ $# -gt 2 ] || set -- \"$@\" \"$(cat)\"\n[ -z \"$3\" ] || echo \"$@\" >>" ..
      root .. "/messages\n", "755")
    write("bin/hoststore", "#!/bin/sh\nexec " .. system.lua "lua/hoststore.command" .. ' "$@"\n', "755")
    -- The paths of the router, moved into the directory.
    local config = system.read(root .. "/etc/config/hoststore")
    write("etc/config/hoststore", (config:gsub("'/tmp", "'" .. root .. "/tmp"):gsub("///etc", "//" .. root .. "/etc")))
    assert(core.sys.mkdir_p(root .. "/tmp"))
  end)

  local function wait_for_drainer()
    leases.wait_for_drainer(root .. "/tmp/hoststore/spool")
  end

  after_each(function()
    wait_for_drainer()
    system.remove(root)
  end)

  local function run(command, variables)
    local words = { "env PATH=" .. root .. "/bin:$PATH IPKG_INSTROOT=" .. root }
    for name, value in pairs(variables or {}) do
      words[#words + 1] = system.quote(name .. "=" .. value)
    end
    return system.run(table.concat(words, " ") .. " " .. command)
  end

  -- As procd does it: sourced, with nothing to read or write.
  local function hotplug(subsystem, variables)
    local script = (". %s/lib/functions.sh; . %s/etc/hotplug.d/%s/50-hoststore"):format(root, root, subsystem)
    return run("sh -c " .. system.quote(script) .. " </dev/null >/dev/null 2>&1", variables)
  end

  local function read(path)
    local file = io.open(root .. "/" .. path, "rb")
    local text = file and file:read "*a"
    if file then file:close() end
    return text
  end

  local function wait_for(path, text)
    system.wait(path .. " says " .. text, function() return read(path) == text end)
  end

  it("has scripts that the shell can read", function()
    for _, path in ipairs(SHELL_FILES) do
      assert.same({ "", 0 }, { system.run("sh -n examples/openwrt/" .. path) }, path)
    end
  end)

  it("publishes a lease as soon as dnsmasq has it, and tells dnsmasq once", function()
    assert(core.sys.mkdir_p(root .. "/tmp/hosts"))
    local lease = { ACTION = "add", MACADDR = "aa:bb:cc:dd:ee:01", IPADDR = "192.168.1.50", HOSTNAME = "laptop" }
    hotplug("dhcp", lease)
    wait_for("reloads", "reload\n")
    assert.equal("192.168.1.50\tlaptop\t# [mac:aa:bb:cc:dd:ee:01]\n", read "tmp/hosts/hoststore")
    -- What dnsmasq then says again.
    lease.ACTION, lease.DNSMASQ_DATA_MISSING, lease.DNSMASQ_LEASE_EXPIRES = "update", "1", "4102444800"
    hotplug("dhcp", lease)
    wait_for_drainer()
    lease.ACTION = "remove"
    hotplug("dhcp", lease)
    wait_for("tmp/hosts/hoststore", "")
    wait_for("reloads", "reload\nreload\n")
    assert.is_nil(read "messages")
  end)

  it("takes ntpd's word for the time, and the interfaces as an occasion", function()
    hotplug("ntp", { ACTION = "stratum", stratum = "2" })
    system.wait("the time is trusted", function() return (read "tmp/hoststore/spool/clock" or ""):find "ntp\n$" end)
    assert.equal(0, select(2, hotplug("iface", { ACTION = "ifup", INTERFACE = "lan" })))
    assert.is_nil(read "messages")
  end)

  it("publishes at boot and from cron what the servers have written down", function()
    write("tmp/dhcp.leases", "4102444800 aa:bb:cc:dd:ee:01 192.168.1.50 laptop *\n")
    write("tmp/odhcpd.leases", "# br-lan 000100012c000001 4d laptop 4102444801 1a 128 fd00::5/128\n")
    write("rc.common", '. "$1"; "$2"_service\n')
    assert.same({ "", 0 }, { run(("sh %s/rc.common %s/etc/init.d/hoststore start"):format(root, root)) })
    local published = "192.168.1.50\tlaptop\t# [mac:aa:bb:cc:dd:ee:01]\n" ..
      "fd00::5\tlaptop\t# [duid:00:01:00:01:2c:00:00:01/77]\n"
    assert.equal(published, read "tmp/hosts/hoststore")
    system.run("rm " .. root .. "/tmp/odhcpd.leases")
    assert.same({ "", 0 }, { run(root .. "/usr/libexec/hoststore/refresh") })
    assert.same({ "", 0 }, { run(root .. "/usr/libexec/hoststore/refresh") })
    assert.equal(published:match "^[^\n]*\n", read "tmp/hosts/hoststore")
    assert.equal("reload\nreload\n", read "reloads")
    assert.is_nil(read "messages")
    leases.with_store(root .. "/etc/hoststore/hoststore.db", function(store)
      assert.is_nil(assert(store:list())[1].expires_at)
    end)
  end)

  it("brings in from cron what had to wait for the database, and says in the log that it waits", function()
    assert(core.sys.mkdir_p(root .. "/etc/hoststore/hoststore.db"))
    assert(core.sys.mkdir_p(root .. "/tmp/hosts"))
    hotplug("dhcp", { ACTION = "add", MACADDR = "aa:bb:cc:dd:ee:01", IPADDR = "192.168.1.50", HOSTNAME = "laptop" })
    wait_for_drainer()
    run(root .. "/usr/libexec/hoststore/refresh")
    assert.is_truthy(read "messages":find("hoststore: .*hoststore%.db.*spool/log%)\n"))
    assert(os.remove(root .. "/etc/hoststore/hoststore.db"))
    assert.same({ "", 0 }, { run(root .. "/usr/libexec/hoststore/refresh") })
    assert.equal("192.168.1.50\tlaptop\t# [mac:aa:bb:cc:dd:ee:01]\n", read "tmp/hosts/hoststore")
  end)

  it("tells dnsmasq again from cron when that failed, and says in the log that it did", function()
    local dnsmasq = read "etc/init.d/dnsmasq"
    write("etc/init.d/dnsmasq", "#!/bin/sh\necho no such instance\nexit 1\n")
    write("tmp/dhcp.leases", "4102444800 aa:bb:cc:dd:ee:01 192.168.1.50 laptop *\n")
    assert.same({ "", 1 }, { run(root .. "/usr/libexec/hoststore/refresh") })
    assert.equal("192.168.1.50\tlaptop\t# [mac:aa:bb:cc:dd:ee:01]\n", read "tmp/hosts/hoststore")
    local messages = read "messages"
    assert.is_truthy(messages:find("dnsmasq reload' ended with status 1: no such instance\n", 1, true))
    write("etc/init.d/dnsmasq", dnsmasq)
    for _ = 1, 2 do
      assert.same({ "", 0 }, { run(root .. "/usr/libexec/hoststore/refresh") })
    end
    assert.equal("reload\n", read "reloads")
    assert.equal(messages, read "messages")
  end)

  it("says in the log what failed", function()
    write("tmp/hoststore/spool", "in the way")
    hotplug("dhcp", { ACTION = "add", MACADDR = "aa:bb:cc:dd:ee:01", IPADDR = "192.168.1.50" })
    assert.is_truthy(read "messages":find("hoststore: " .. root .. "/tmp/hoststore/spool: ", 1, true))
  end)
end)

describe("examples/dnsmasq-luascript", function()
  it("takes a lease, and only says so where hoststore is missing", function()
    local directory = system.directory()
    system.write(directory .. "/try.lua", [[
      dofile "examples/dnsmasq-luascript/leases.lua"
      print(pcall(lease, "add", { mac_address = "aa:bb:cc:dd:ee:01", ip_address = "10.0.0.5", hostname = "laptop" }))]])
    local settings = ("HOSTSTORE_SPOOL=%s/spool HOSTSTORE_DB=%s/hosts.db "):format(directory, directory)
    assert.equal("true\n", (system.run(settings .. system.lua(directory .. "/try.lua"))))
    leases.wait_for_all(directory .. "/spool")
    assert.same({ "10.0.0.5 laptop mac:aa:bb:cc:dd:ee:01" }, leases.hosts(directory .. "/hosts.db"))
    local output = system.run(system.lua("-e", 'package.path = ""; package.cpath = ""', directory .. "/try.lua"))
    assert.is_truthy(output:find "^hoststore: leases are not recorded")
    assert.is_truthy(output:find "true\n$")
    system.remove(directory)
  end)
end)
