--- What must hold for any input, by name: each is a function of the input that raises where it does not.
local core = require "hoststore.core"
local hoststore = require "hoststore"
local url = require "hoststore.url"

local FIELDS = { "ip", "hostname", "comment", "enabled", "expires_at", "origin" }
local LISTS = { "aliases", "tags" }
local DRIVERS = { sqlite = true, postgres = true, duckdb = true }

local targets = {}

local function claim(holds, format, ...)
  if not holds then
    error(format:format(...), 0)
  end
  return holds
end

local function claim_code(err, ...)
  for _, code in ipairs { ... } do
    if err.code == code then
      return
    end
  end
  error(("%s: %s"):format(err.code, err.message), 0)
end

-- A database URL is understood or refused, and the refusal does not tell a password.
function targets.url(text)
  local target, err = url.parse(text)
  if not target then
    claim_code(err, "invalid_url")
    return
  end
  claim(DRIVERS[target.driver], "driver '%s'", target.driver)
  claim(target.location ~= "", "no location")
  claim(not target.location:find "%z", "a NUL in the location")
  for name, value in pairs(target.options) do
    claim(not tostring(value):find "%z", "a NUL in the option %s", name)
  end
end

-- -- importers -----------------------------------------------------------------------------------------

local function open()
  return assert(hoststore.open("memory:", { policies = false, actor = "fuzz" }))
end

local first, second = open(), open()

local function key(host)
  local parts = {}
  for i, field in ipairs(FIELDS) do
    parts[i] = tostring(host[field])
  end
  for _, field in ipairs(LISTS) do
    parts[#parts + 1] = table.concat(host[field], "\0")
  end
  return table.concat(parts, "\1")
end

local function keys(store)
  local found = {}
  for i, host in ipairs(assert(store:list {})) do
    found[i] = key(host)
  end
  return table.concat(found, "\2")
end

-- What we write of hosts makes the same hosts again.
local function check_round(format)
  local text = assert(first:export(format))
  local result = assert(second:import({ text = text }, { format = format, mode = "strict" }))
  claim(result.created == first:count(), "%s: %d of %d hosts come back", format, result.created, first:count())
  claim(keys(first) == keys(second), "%s: other hosts come back from:\n%s", format, text)
end

local function check_counters(result)
  local sum = result.created + result.updated + result.unchanged + result.skipped + result.failed
  claim(result.processed == sum, "%d processed, %d told of", result.processed, sum)
  claim(#result.errors == math.min(result.failed, 1000), "%d failed, %d errors", result.failed, #result.errors)
end

local UNDONE = {}

-- Runs fn in a transaction of both stores, and takes back what it did.
local function undone(fn)
  local ok, raised = pcall(first.transaction, first, function()
    return second:transaction(function()
      fn()
      error(UNDONE, 0)
    end)
  end)
  claim(not ok, "the transaction did not end")
  if raised ~= UNDONE then
    error(raised, 0)
  end
end

-- A source is imported, or refused as a whole or by the record; nothing raises.
local function import(format, rounds)
  return function(text)
    undone(function()
      local result, err = first:import({ text = text }, { format = format })
      if not result then
        claim_code(err, "invalid")
        return
      end
      check_counters(result)
      for _, other in ipairs(rounds) do
        undone(function() check_round(other) end)
      end
    end)
  end
end

targets.import_hosts = import("hosts", { "json" })
targets.import_csv = import("csv", { "csv" })
targets.import_json = import("json", { "json", "csv" })
targets.import_ndjson = import("ndjson", { "ndjson" })
targets.import_uci = import("uci", { "json" })
targets.import_leases = import("leases", { "json" })
targets.import_odhcpd = import("odhcpd", { "json" })

-- -- templates and policies ------------------------------------------------------------------------------

local shown = open()
for i = 1, 3 do
  assert(shown:add { ip = "10.0.0." .. i, hostname = "host-" .. i .. ".lan", aliases = { "h" .. i }, tags = { "t" },
    comment = "it's \"$(one)\" <% %>" })
end

-- A template makes a text, or says with its name what is wrong.
function targets.template(text)
  local made, err = shown:render { text = text, name = "fuzz", format = "shell" }
  if not made then
    claim_code(err, "policy", "invalid")
    claim(err.message:find("fuzz", 1, true) ~= nil, "no name in: %s", err.message)
  end
end

-- A script that is no policy is refused with its line, and cannot do harm.
function targets.policy(text)
  local box = require("hoststore.policy.sandbox").new { memory = 4 * 1024 * 1024, instructions = 100000, seconds = 2 }
  assert(box:set("ip_within", core.ip_within))
  assert(box:load("=rules", (require "hoststore.policy.rules")))
  box:call("begin_file", "fuzz")
  local ok, err = box:load("fuzz", text, "environment")
  if not ok then
    claim_code(err, "policy")
  end
  box:close()
end

return targets
