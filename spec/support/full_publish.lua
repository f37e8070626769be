--- A process that publishes into a file system without room, for spec/unit/publish_crash_spec.lua:
---   full_publish.lua DIRECTORY MODE HOSTS
--- DIRECTORY is a small file system, HOSTS how many hosts it has no room for. It prints what happened, a fact a line.
local hoststore = require "hoststore"
local lfs = require "lfs"

local directory, mode, hosts = arg[1], arg[2], tonumber(arg[3])
local path = directory .. (mode == "dir-shards" and "/shards" or "/hosts")
local store = assert(hoststore.open ":memory:")

local function publish()
  return store:publish_outputs({ { path = path, mode = mode, reload = { "touch", directory .. "/reloaded" } } })[1]
end

local function say(fact, value)
  print(fact .. ": " .. tostring(value))
end

local function read(name)
  local file = io.open(name, "rb")
  local text = file and file:read "*a"
  if file then
    file:close()
  end
  return text
end

local function contents(of)
  if mode ~= "dir-shards" then
    return read(of)
  end
  local texts = {}
  for name in lfs.dir(of) do
    texts[#texts + 1] = name:find "^hoststore" and name .. "\n" .. read(of .. "/" .. name) or nil
  end
  table.sort(texts)
  return table.concat(texts)
end

local function leftovers(of)
  for name in lfs.dir(of) do
    if name:find "hoststore%-new$" or name:find "hoststore%-copy$" then
      return true
    end
  end
  return false
end

assert(store:add { ip = "10.0.0.1", hostname = "nas.lan" })
assert(publish().written)
os.remove(directory .. "/reloaded")
local old = contents(path)

local ballast = assert(io.open(directory .. "/ballast", "wb"))
ballast:setvbuf "no"
repeat until not ballast:write(("x"):rep(1024))
ballast:close()
for i = 2, hosts do
  assert(store:add { ip = ("10.0.%d.%d"):format(math.floor(i / 250), i % 250), hostname = "h" .. i,
    comment = ("c"):rep(2000) })
end
local result = publish()
say("publishing failed as", result.error and result.error.code)
say("written", result.written)
say("the old file is there", contents(path) == old)
say("something is left", leftovers(directory) or mode == "dir-shards" and leftovers(path))
say("reloaded", read(directory .. "/reloaded") ~= nil)

os.remove(directory .. "/ballast")
result = publish()
say("with room again it is written", result.written and result.error == nil)
say("and reloaded", result.reloaded)
say("a third time nothing is", publish().changed)
store:close()
