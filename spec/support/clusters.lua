--- Further clusters of PostgreSQL, for specs of what befalls a whole server.
---
---   local primary = clusters.make("primary", { synchronous_standby_names = "*" })
---   local standby = clusters.copy("standby", primary)
---   after: clusters.finish()
---
--- Each listens on a port of its own on 127.0.0.1. What finish() did not get to remove is removed by
--- spec/support/with_postgres.
local system = require "spec.support.system"

local clusters = {}
local Cluster = {}
Cluster.__index = Cluster

local made = {}

local function checked(output, status)
  assert(status == 0, output)
  return (output:gsub("\n$", ""))
end

function Cluster:command(name, ...)
  local words = { "spec/support/cluster", name, system.quote(self.directory) }
  for _, word in ipairs { ... } do
    words[#words + 1] = system.quote(word)
  end
  return system.run(table.concat(words, " "))
end

--- Sets what postgresql.conf says, from the next start on.
function Cluster:configure(settings)
  local file = assert(io.open(self.directory .. "/data/postgresql.conf", "a"))
  for name, value in pairs(settings) do
    file:write(("%s = '%s'\n"):format(name, value))
  end
  assert(file:close())
end

--- Starts it, on the port it had.
function Cluster:start()
  checked(self:command "start")
end

---@param mode "fast"|"immediate"
function Cluster:stop(mode)
  checked(self:command("stop", mode))
end

function Cluster:promote()
  checked(self:command "promote")
end

--- Runs a shell command in the cluster's directory, as the user the server runs as.
function Cluster:run(command)
  return checked(self:command("run", "sh", "-c", command))
end

--- Runs SQL as the superuser, over the socket. Returns what it printed.
function Cluster:psql(sql)
  local url = ("postgresql://postgres@/postgres?host=%s&port=%d"):format(self.directory, self.port)
  return checked(system.run("psql -XAqtc " .. system.quote(sql) .. " " .. system.quote(url)))
end

--- Where it listens, as a URL has it.
function Cluster:address()
  return "127.0.0.1:" .. self.port
end

function Cluster:url(options)
  return "postgresql://postgres@" .. self:address() .. "/postgres" .. (options and "?" .. options or "")
end

-- Nobody can be asked for a port that will still be free: take one, and another if it was not.
local function listen(cluster)
  local output, status
  for _ = 1, 20 do
    cluster.port = tonumber(checked(system.run "shuf -i 20000-29999 -n 1"))
    cluster:configure { listen_addresses = "127.0.0.1", port = cluster.port }
    output, status = cluster:command "start"
    if status == 0 then
      return cluster
    end
    assert(output:find("Address already in use", 1, true), output)
  end
  error(output)
end

local function new(name)
  local directory = os.getenv "HOSTSTORE_TEST_CLUSTERS"
    or error("HOSTSTORE_TEST_CLUSTERS is not set: run spec/support/with_postgres, as make test does", 0)
  local cluster = setmetatable({ directory = directory .. "/" .. name }, Cluster)
  made[#made + 1] = cluster
  return cluster
end

--- Makes a cluster and starts it.
function clusters.make(name, settings)
  local cluster = new(name)
  checked(cluster:command "make")
  cluster:configure(settings or {})
  return listen(cluster)
end

--- Makes a standby of a cluster and starts it. It is called by its name in synchronous_standby_names.
function clusters.copy(name, primary, settings)
  local cluster = new(name)
  primary:stop "fast"
  checked(cluster:command("copy", primary.directory,
    ("host=127.0.0.1 user=postgres port=%d application_name=%s"):format(primary.port, name)))
  primary:start()
  cluster:configure(settings or {})
  return listen(cluster)
end

--- Ends and removes all of them.
function clusters.finish()
  for _, cluster in ipairs(made) do
    checked(cluster:command "remove")
  end
  made = {}
end

return clusters
