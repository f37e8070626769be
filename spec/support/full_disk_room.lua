--- A process that makes room in its database on a disk without any, for spec/unit/sqlite_full_spec.lua:
---   full_disk_room.lua DIRECTORY JOURNAL PAGE_SIZE
--- DIRECTORY is a small file system, which something else fills. It prints what happened, a fact a line.
local hoststore = require "hoststore"

local directory, journal, page_size = arg[1], arg[2], tonumber(arg[3])
local url = "sqlite://" .. directory .. "/hosts.db"

local function say(fact, value)
  print(fact .. ": " .. tostring(value))
end

local function add(store, i)
  return store:add { ip = "10.0.0." .. i, hostname = "h" .. i, comment = ("c"):rep(200) }
end

local store = assert(hoststore.open(url, { journal = journal, page_size = page_size }))
for i = 1, 5 do
  assert(add(store, i))
end
-- To delete them all at once takes more journal than there is in reserve.
for i = 1, page_size / 16 do
  assert(store:snapshot { name = tostring(i) })
end
assert(store:stream("s"):append { type = "A" })
assert(store:stream("s"):save_snapshot(1, ("x"):rep(3000)))
assert(store:feed("f"):ack(1))
store:close()

local ballast = assert(io.open(directory .. "/ballast", "wb"))
ballast:setvbuf "no"
repeat until not ballast:write(("x"):rep(512))
ballast:close()

local readonly = assert(hoststore.open(url, { readonly = true }))
say("hosts are read", readonly:count())
say("it verifies", readonly:verify().ok)
readonly:close()
store = assert(hoststore.open(url))
say("hosts are read", store:count())
store:close()

-- A write-ahead log has no room to be made: the emergency journal of README.
store = assert(hoststore.open(url, { journal = journal == "wal" and "persist" or journal }))
local function fill(i)
  local added, err = add(store, i)
  return added and fill(i + 1) or err.code
end
say("adding fails as", fill(6))
say("a feed is acknowledged", store:feed("f"):ack(2))
say("a snapshot is deleted", store:delete_snapshot(store:snapshots()[1].id))
say("a host is found", store:find("10.0.0.1", "h1").id ~= nil)
say("a saved state is replaced", store:stream("s"):save_snapshot(1, "x"))
say("a feed is deleted", store:delete_feed "f")
local _, refused = store:transaction(function()
  local _, err = store:apply_retention { max_count = 1 }
  return nil, err or "taken back"
end)
-- Newer releases of SQLite need less room for that.
say("in one transaction retention deletes all or fails as full", refused == "taken back" or refused.code == "full")
say("retention deletes all but one", store:apply_retention { max_count = 1 } == page_size / 16 - 2)
say("a host is deleted", store:delete(store:find("10.0.0.1", "h1")))
say("a host is added", add(store, 1) ~= nil)
say("it verifies", store:verify().ok)
store:close()
store = assert(hoststore.open(url))
say("it verifies when opened again", store:verify().ok)
store:close()
