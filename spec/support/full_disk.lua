--- A process whose database runs out of space, for spec/unit/sqlite_full_spec.lua:
---   full_disk.lua DIRECTORY JOURNAL pages|disk
--- pages: SQLite itself allows the file 60 pages. disk: DIRECTORY is a small file system, with a file
--- "ballast" to remove when room is wanted. It prints what happened, a fact a line.
local faulty = require "hoststore_faulty"
local hoststore = require "hoststore"

local directory, journal, limit = arg[1], arg[2], arg[3]
local url = "sqlite://" .. directory .. "/hosts.db"

package.loaded["hoststore.sqlite"] = faulty.wrap(require "hoststore.sqlite")
if limit == "pages" then
  faulty.at_open "PRAGMA max_page_count = 60"
else
  local ballast = assert(io.open(directory .. "/ballast", "wb"))
  ballast:write(("x"):rep(64 * 1024))
  assert(ballast:close())
end

local store = assert(hoststore.open(url, { journal = journal, page_size = 1024, busy_timeout = 0 }))
local acknowledged = {}

local function add(comment)
  local i = #acknowledged + 1
  local host, err = store:add { ip = ("10.0.%d.%d"):format(math.floor(i / 250), i % 250), hostname = "h" .. i,
    comment = comment, tags = { "t" } }
  if host then
    acknowledged[i] = host
  end
  return host, err
end

local function transactions()
  return select(2, faulty.connections())
end

local function say(fact, value)
  print(fact .. ": " .. tostring(value))
end

local function state()
  return store:count() == #acknowledged and #store:events() == #acknowledged and store:verify().ok
end

local _, err
repeat
  _, err = add(("c"):rep(1000))
until err
say("adding failed as", err.code)
say("retryable", err.retryable)
say("some were added", #acknowledged > 5)
say("open transactions", transactions())
say("nothing is lost and nothing half written", state())

local read = 0
for host in store:hosts { tags = { "t" } } do
  read = read + (store:get(host.id).comment == ("c"):rep(1000) and 1 or 0)
end
say("all are read", read == #acknowledged)
say("history is read", #store:history(acknowledged[1].id))

-- A small write may still fit; these do not.
local lines = {}
for i = 1, 200 do
  lines[i] = ("10.9.0.%d imported%d # %s"):format(i, i, ("x"):rep(1000))
end
_, err = store:import { text = table.concat(lines, "\n") }
say("importing failed as", err and err.code)
_, err = store:stream("s"):append { type = "Big", data = ("x"):rep(200000) }
say("appending failed as", err and err.code)
_, err = store:transaction(function()
  for i = 1, 200 do
    local host, problem = store:add { ip = "10.8.0." .. i, hostname = "t" .. i, comment = ("x"):rep(1000) }
    if not host then
      return nil, problem
    end
  end
  return true
end)
say("the transaction failed as", err and err.code)
_, err = store:transaction(function()
  for i = 1, 200 do
    store:add { ip = "10.8.0." .. i, hostname = "t" .. i, comment = ("x"):rep(1000) }
  end
  return true
end)
-- Each add was undone alone, or the database has ended the transaction and it failed as a whole.
say("the careless transaction wrote nothing, or failed", err ~= nil or store:count() == #acknowledged)
say("open transactions", transactions())
say("nothing is lost and nothing half written", state())

store:close()
if limit == "pages" then
  faulty.at_open(nil)
else
  os.remove(directory .. "/ballast")
end
store = assert(hoststore.open(url, { busy_timeout = 0 }))
say("after opening again all is there", state())
say("with room again it goes on", add "more" ~= nil and state())
store:close()
