-- Names: bare ones belong to the local domain, and some nobody may have.

local DOMAIN = "lan"

-- Machines trust who answers to these: a client that calls itself wpad would be asked for everybody's proxy.
local RESERVED = { localhost = true, broadcasthost = true, wpad = true, isatap = true }

local function is_this_machine(host)
  return ip_in(host.ip, "127.0.0.0/8") or host.ip == "::1"
end

-- The name without the local domain.
local function short(name)
  local suffix = "." .. DOMAIN
  return name:sub(-#suffix) == suffix and name:sub(1, -#suffix - 1) or name
end

normalise {
  name = "local domain",
  apply = function(host)
    -- What a blocklist names is not in our network.
    if host.hostname:find(".", 1, true) or is_this_machine(host) or host.origin == "import:blocklist" then
      return nil
    end
    return { hostname = host.hostname .. "." .. DOMAIN }
  end,
}

validate {
  name = "reserved names",
  check = function(host)
    if is_this_machine(host) then return true end
    if RESERVED[short(host.hostname)] then
      return false, ("'%s' is reserved"):format(host.hostname), "hostname"
    end
    for _, alias in ipairs(host.aliases) do
      if RESERVED[short(alias)] then return false, ("'%s' is reserved"):format(alias), "aliases" end
    end
    return true
  end,
}

test {
  name = "a bare name gets the domain",
  host = { ip = "192.168.1.10", hostname = "NAS", aliases = { "files" } },
  expect = { hostname = "nas.lan", aliases = { "files" } },
}
test {
  name = "a full name keeps its own",
  host = { ip = "192.168.1.11", hostname = "mail.example.com" },
  expect = { hostname = "mail.example.com" },
}
test {
  name = "a new name gets the domain, too",
  before = { ip = "192.168.1.10", hostname = "nas" },
  host = { hostname = "backup" },
  expect = { hostname = "backup.lan" },
}
test {
  name = "a lease cannot take the name of the proxy",
  host = { ip = "192.168.1.12", hostname = "wpad", origin = "dhcp" },
  refused = "'wpad.lan' is reserved",
}
test {
  name = "nor as an alias",
  host = { ip = "192.168.1.12", hostname = "desk", aliases = { "isatap.lan" } },
  refused = "'isatap.lan' is reserved",
}
test {
  name = "the machine itself is localhost",
  host = { ip = "127.0.0.1", hostname = "localhost" },
  expect = { hostname = "localhost" },
}
