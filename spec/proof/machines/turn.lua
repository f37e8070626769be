--- Takes its turn with a database that two machines use one after the other:
---   turn.lua DIRECTORY JOURNAL
--- Verifies what the other one has left, writes some of all there is, and prints the digest of all of it before
--- and after.
local hoststore = require "hoststore"

local directory = arg[1]
local store = assert(hoststore.open("sqlite://" .. directory .. "/turn.db", { journal = arg[2], policies = false,
  actor = "turn" }))

local function verify()
  local verified = assert(store:verify())
  assert(verified.ok, tostring(verified.problems[1]))
  return assert(store:dump(directory .. "/dump")).digest
end

local function write()
  local base = assert(store:stats()).events
  for i = base, base + 29 do
    assert(store:add { ip = ("10.0.%d.%d"):format(i % 7, i % 250 + 1), hostname = "h" .. i, aliases = { "a" .. i },
      tags = { "t" .. i % 3, "ü" }, comment = "host " .. i, expires_at = 4000000000.25 + i })
  end
  assert(store:lookup("h" .. base)[1]:update { ip = "2001:db8::" .. base, enabled = false })
  assert(store:lookup("a" .. base + 1)[1]:delete "not any more")
  assert(store:stream("orders"):append({ type = "Placed", data = { bytes = "\255\0\1", number = -2 ^ 40 - 0.5 } }))
  assert(store:stream("orders"):save_snapshot(store:stream("orders"):version(), { count = base }))
  assert(store:snapshot { name = "turn" })
  local feed = store:feed "reader"
  assert(feed:ack(assert(feed:read(10))[10].position))
end

local before = verify()
write()
print(before, verify())
store:close()
