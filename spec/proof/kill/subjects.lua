--- What is killed, and what has to be so afterwards. A subject is made for a database of spec/support/backends.lua:
---
---   local subject = subjects.writers(backend, url, directory)
---   subject.commands()           what is to run until it is killed
---   subject.took(outputs)        how many things they have acknowledged; raises when what they left is wrong
---   subject.check(store)         raises when what was acknowledged is not there, once
local hotplug = require "hoststore.hotplug"
local json = require "hoststore.json"
local spool = require "hoststore.hotplug.spool"
local system = require "spec.support.system"

local subjects = {}

local function last_number(text)
  local last, count = nil, 0
  for line in text:gmatch "([^\n]*)\n" do
    last, count = tonumber(line), count + 1
  end
  return last, count
end

-- -- writers -------------------------------------------------------------------------------------------

local NAMES = { "a", "b", "c" }

local function writers(url, early)
  local self, acknowledged = {}, { 0, 0, 0 }

  function self.commands()
    local commands = {}
    for i, name in ipairs(NAMES) do
      commands[i] = system.lua("spec/proof/kill/writer.lua", url, name, acknowledged[i] + 1, early)
    end
    return commands
  end

  function self.took(outputs)
    local total = 0
    for i in ipairs(NAMES) do
      local last, count = last_number(outputs[i])
      acknowledged[i], total = last or acknowledged[i], total + count
    end
    return total
  end

  function self.check(store)
    for i, name in ipairs(NAMES) do
      local events = assert(store:stream(name):read())
      for k, event in ipairs(events) do
        assert(event.data == math.ceil(k / 2), name .. ": an event is lost or there twice")
      end
      -- Of what was under way all may be there.
      assert(#events / 2 - acknowledged[i] >= 0 and #events / 2 - acknowledged[i] <= 1, name .. ": events are lost")
      for k = 1, acknowledged[i] do
        assert(#assert(store:lookup(name .. k)) == 1, name .. k .. " is lost")
      end
    end
    local count = assert(store:count())
    local least = acknowledged[1] + acknowledged[2] + acknowledged[3]
    assert(count >= least and count <= least + #NAMES, "there are hosts that nobody added")
  end

  return self
end

function subjects.writers(_, url)
  return writers(url)
end

--- A fault that has to be noticed: they say that it is done before they do it.
function subjects.early_writers(_, url)
  return writers(url, "early")
end

-- -- the drainer of the spool --------------------------------------------------------------------------

function subjects.drainer(_, url, directory)
  local self, acknowledged, path = {}, {}, directory .. "/spool"
  local first = 1
  assert(spool.prepare(path))

  function self.commands()
    local drainer = system.lua("spec/proof/kill/drainer.lua", url, path)
    return { system.lua("spec/proof/kill/leases.lua", path, first), drainer, drainer }
  end

  function self.took(outputs)
    local last, count = last_number(outputs[1])
    for i = first, last or 0 do
      acknowledged[#acknowledged + 1] = i
    end
    -- What was under way may be there or not: let it be another client's.
    first = (last or first) + 2
    return count
  end

  function self.check(store)
    assert(hotplug.drain { db = url, spool = path })
    assert(#assert(spool.waiting(path)) == 0, "events are left in the spool")
    for _, i in ipairs(acknowledged) do
      local hosts = assert(store:lookup("client" .. i))
      assert(#hosts == 1, "client" .. i .. " is lost")
      assert(hosts[1].version == 1, "client" .. i .. " was taken twice")
    end
    local bad = system.run("ls " .. system.quote(path .. "/bad"))
    assert(not bad:find "reason", "an event was refused")
  end

  return self
end

-- -- a projector of a feed -----------------------------------------------------------------------------

function subjects.projector(_, url)
  local self, shared = {}, 0

  function self.commands()
    local projector = system.lua("spec/support/projector.lua", url, "copy", "copies", "never")
    return { system.lua("spec/support/writer.lua", url, "append", "w", 0), projector, projector }
  end

  function self.took(outputs)
    local _, count = last_number(outputs[1])
    shared = shared + count
    return count
  end

  function self.check(store)
    local feed = store:feed "copy"
    repeat
      local count = assert(feed:project(function(event)
        return event.stream ~= "shared" or store:stream("copies"):append { type = "Counted", data = event.position }
      end))
    until count == 0
    local events, copies = assert(store:stream("shared"):read()), assert(store:stream("copies"):read())
    assert(#events >= shared, "events are lost")
    assert(#events == #copies, "the projection has other events than the log")
    for i, event in ipairs(events) do
      assert(event.position == copies[i].data, "the projection is not the log")
    end
  end

  return self
end

-- -- the publisher -------------------------------------------------------------------------------------

local ADDED = 20
local FOREIGN = "127.0.0.1 localhost\n"

function subjects.publisher(backend, url, directory)
  local self, count = {}, 0
  local store = backend.reopen()
  local known, seen = { [""] = 0 }, { file = 0, block = 0 }
  local outputs = {
    { name = "file", path = directory .. "/file" },
    { name = "block", path = directory .. "/block", mode = "block" },
    { name = "kept", path = directory .. "/kept", mode = "in-place" },
    { name = "shards", path = directory .. "/shards", mode = "dir-shards" },
  }
  system.write(outputs[2].path, FOREIGN)

  local function add_hosts()
    assert(store:transaction(function()
      for _ = 1, ADDED do
        count = count + 1
        assert(store:add { ip = ("10.1.%d.%d"):format(math.floor(count / 250), count % 250), hostname = "h" .. count,
          comment = ("c"):rep(200) })
      end
      return true
    end))
    known[assert(store:export "hosts")] = count
  end

  -- A text is one that was to be published, and none older than that seen before.
  local function look(name, text)
    assert(known[text], name .. " is neither the old file nor the new one")
    assert(known[text] >= seen[name], name .. " is older than it was")
    seen[name] = known[text]
  end

  local function block_of(text)
    assert(text:sub(1, #FOREIGN) == FOREIGN, "the block has eaten a foreign line")
    local rest = text:sub(#FOREIGN + 1)
    return rest == "" and "" or assert(rest:match "^# BEGIN [^\n]*\n(.*)# END [^\n]*\n$", "the block is not whole")
  end

  local function publish()
    local text = assert(store:export "hosts")
    for _, result in ipairs(assert(store:publish_outputs(outputs))) do
      assert(not result.error, tostring(result.error))
    end
    assert(system.read(outputs[1].path) == text and system.read(outputs[3].path) == text)
    assert(block_of(system.read(outputs[2].path)) == text)
    local lines = {}
    for _, name in ipairs(system.files(outputs[4].path)) do
      if not name:find "^%." then
        for line in system.read(outputs[4].path .. "/" .. name):gmatch "[^\n]+" do
          lines[#lines + 1] = line
        end
      end
    end
    assert(#lines == count, "the shards have other hosts than the store")
  end

  add_hosts()
  publish()
  seen.file, seen.block = count, count

  function self.commands()
    add_hosts()
    local publisher = system.lua("spec/support/publisher.lua", url, json.encode(outputs))
    return { publisher, publisher }
  end

  function self.took()
    local before = seen.file + seen.block
    look("file", system.read(outputs[1].path))
    look("block", block_of(system.read(outputs[2].path)))
    return (seen.file + seen.block - before) / ADDED
  end

  function self.check()
    publish()
  end

  return self
end

return subjects
