--- The files that hoststore writes besides its database.
---
---   outputs.start(directory, name)                what was there before it is written in that way
---   outputs.ways[name](store, directory)          writes once, in one of its ways; true, or nil and an error
---   outputs.visible(directory)                    what others see of the files: { [name] = digest }
local lfs = require "lfs"
local hoststore = require "hoststore"
local sys = require("hoststore.core").sys

local outputs = { names = { "file", "block", "in-place", "dir-shards", "export", "dump", "backup" }, ways = {} }

local HOSTS = 196 -- soon too many for one shard

local function publish(options)
  return function(store, directory)
    options.path = directory .. "/hosts"
    local result = store:publish_outputs({ options })[1]
    return not result.error or nil, result.error
  end
end

for _, mode in ipairs { "file", "block", "in-place", "dir-shards" } do
  outputs.ways[mode] = publish { mode = mode }
end

function outputs.ways.export(store, directory)
  return store:export("csv", directory .. "/hosts")
end

function outputs.ways.dump(store, directory)
  return store:dump(directory .. "/hosts")
end

function outputs.ways.backup(store, directory)
  return store:backup(directory .. "/hosts")
end

--- A store with hosts in it, not of this disk.
function outputs.store()
  local store = assert(hoststore.open("memory:", { policies = false, clock = function() return 1.7e9 end }))
  assert(store:transaction(function()
    for i = 1, HOSTS do
      outputs.add(store, i)
    end
    return true
  end))
  return store
end

--- One more host.
function outputs.add(store, i)
  assert(store:add { ip = ("10.0.%d.%d"):format(math.floor(i / 250), i % 250), hostname = "host" .. i,
    comment = ("c"):rep(i % 90) })
end

--- No host any more.
function outputs.clear(store)
  assert(store:transaction(function()
    for host in store:hosts() do
      assert(store:delete(host))
    end
    return true
  end))
end

-- Publishing takes over no file with somebody else's lines in it.
local STARTS = { file = "", ["in-place"] = "" }

--- Puts a file where there will be another one; shards have a directory there.
function outputs.start(directory, name)
  if name == "dir-shards" then
    return
  end
  local file = assert(sys.replace(directory .. "/hosts"))
  assert(file:write(STARTS[name] or "127.0.0.1 localhost\n"))
  assert(file:commit())
end

local function add_files(found, directory, prefix)
  for name in lfs.dir(directory) do
    local path = directory .. "/" .. name
    if not name:find "^%." and lfs.attributes(path, "mode") == "directory" then
      add_files(found, path, prefix .. name .. "/")
    elseif not name:find "^%." then
      found[prefix .. name] = assert(sys.file_digest(path))
    end
  end
end

function outputs.visible(directory)
  local found = {}
  add_files(found, directory, "")
  return found
end

return outputs
