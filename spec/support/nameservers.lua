--- Name servers on loopback, for specs: dnsmasq and unbound as Debian has them, and dig to ask them.
---   after_each(nameservers.finish)
local system = require "spec.support.system"

local quote = system.quote
local nameservers = {}
local running = {}

---@class Nameserver
---@field port integer
local Nameserver = {}
Nameserver.__index = Nameserver

-- Where the next search for a free port begins: others look for theirs at the same time.
local next_port = 20000 + tonumber((system.run("echo $$"))) % 10000

local function is_alive(pid)
  return select(2, system.run("kill -0 " .. pid .. " && ! grep -q '^State:.Z' /proc/" .. pid .. "/status")) == 0
end

-- Starts what command(port) says, on a port that is free. It may write its messages to `log`.
local function start(log, command)
  for _ = 1, 50 do
    next_port = next_port + 1
    local pipe = system.popen("echo $$; exec " .. command(next_port) .. " >" .. quote(log) .. " 2>&1")
    local self = setmetatable({ port = next_port, pipe = pipe, pid = pipe:read("*l"), log = log }, Nameserver)
    local answers, alive
    system.wait("a name server answers or ends", function()
      answers = select(2, system.run(self:dig("+tries=1 +time=1 version.bind CH TXT"))) == 0
      alive = is_alive(self.pid)
      return answers or not alive
    end)
    if alive then
      running[#running + 1] = self
      return self
    end
    pipe:close()
    if not system.read(log):lower():find("in use", 1, true) then
      error("a name server ended: " .. system.read(log))
    end
  end
  error("there is no free port")
end

--- Starts dnsmasq with this configuration and further options.
---@param directory string  for its messages
---@param configuration string  the path of a file
---@param options? string
---@return Nameserver
function nameservers.dnsmasq(directory, configuration, options)
  return start(directory .. "/dnsmasq.messages", function(port)
    return ("dnsmasq --keep-in-foreground --log-facility=- --user=root --no-resolv --no-hosts --pid-file= "
      .. "--listen-address=127.0.0.1 --bind-interfaces --port=%d --conf-file=%s %s"):format(port, quote(configuration),
        options or "")
  end)
end

local UNBOUND = [[
server:
  interface: 127.0.0.1@%d
  directory: "%s"
  chroot: ""
  username: ""
  pidfile: ""
  use-syslog: no
  do-daemonize: no
  do-not-query-address: 0.0.0.0/0
  do-not-query-address: ::/0
  module-config: "iterator"
remote-control:
  control-enable: no
include: "%s"
]]

local function write_unbound(directory, port, configuration)
  local path = directory .. "/server.conf"
  system.write(path, UNBOUND:format(port, directory, configuration))
  return path
end

--- Starts unbound, which includes this configuration and may ask nobody else.
---@param directory string  for its own configuration and its messages
---@param configuration string  the path of a file
---@return Nameserver
function nameservers.unbound(directory, configuration)
  return start(directory .. "/unbound.messages", function(port)
    return "unbound -d -c " .. quote(write_unbound(directory, port, configuration))
  end)
end

--- What dnsmasq --test says about a configuration, and its exit status.
function nameservers.test_dnsmasq(path)
  return system.run("dnsmasq --test --conf-file=" .. quote(path))
end

--- What unbound-checkconf says about a configuration that includes this one, and its exit status.
function nameservers.test_unbound(directory, path)
  return system.run("unbound-checkconf " .. quote(write_unbound(directory, 53, path)))
end

--- The records of a zone file, as sorted lines "owner type data", by named-checkzone with everything
--- it can object to; nil and what it says when it refuses the zone.
---@return string[]? records, string messages
function nameservers.zone(name, path)
  local messages, status = system.run(("named-checkzone -k fail -n fail -m fail -i none %s %s"):format(name,
    quote(path)))
  if status ~= 0 then
    return nil, messages
  end
  local records = {}
  local text = system.run(("named-checkzone -q -i none -D -o - %s %s"):format(name, quote(path)))
  for owner, kind, data in text:gmatch("([^ \t\n]+)[ \t]+%d+[ \t]+IN[ \t]+(%u+)[ \t]+([^\n]+)") do
    records[#records + 1] = owner .. " " .. kind .. " " .. data
  end
  table.sort(records)
  return records, messages
end

--- The command that asks the server.
function Nameserver:dig(question)
  return ("dig @127.0.0.1 -p %d %s"):format(self.port, question)
end

--- The answers to a question such as "nas.lan AAAA" or "-x 10.0.0.1": data, sorted, in one line.
---@return string
function Nameserver:ask(question)
  local text, status = system.run(self:dig("+short +time=5 +tries=3 " .. question))
  assert(status == 0, text)
  local answers = {}
  for line in text:gmatch("[^\n]+") do
    answers[#answers + 1] = line
  end
  table.sort(answers)
  return table.concat(answers, " ")
end

--- The status of the answer: NOERROR, NXDOMAIN, REFUSED, SERVFAIL.
---@return string
function Nameserver:status(question)
  return (system.run(self:dig("+time=5 +tries=3 " .. question)):match("status: (%u+)"))
end

--- Ends the servers that were started, and waits until they are gone.
function nameservers.finish()
  for _, server in ipairs(running) do
    system.run("kill " .. server.pid)
    server.pipe:close()
  end
  running = {}
end

return nameservers
