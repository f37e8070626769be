local publishing = require "spec.support.publishing"
local sys = require("hoststore.core").sys
local system = require "spec.support.system"

local files, read, write = publishing.files, system.read, system.write

describe("publishing shards", function()
  local store, home, directory

  before_each(function()
    store, directory, home = publishing.begin()
  end)

  after_each(publishing.finish)

  local function fill(first, last)
    assert(store:transaction(function()
      for i = first, last do
        assert(store:add { ip = ("10.%d.%d.%d"):format(i % 3, math.floor(i / 250), i % 250), hostname = "h" .. i,
          aliases = i % 2 == 0 and { "a" .. i } or {} })
      end
    end))
  end

  local function publish(flags, output)
    output = output or {}
    output.path, output.mode = directory, "dir-shards"
    return store:publish_outputs({ output }, flags)[1]
  end

  -- All lines of all shards, in order of the addresses as text; and the most names in one.
  local function contents()
    local lines, most = {}, 0
    for _, name in ipairs(files(directory)) do
      local names = 0
      for line in read(directory .. "/" .. name):gmatch "[^\n]+" do
        lines[#lines + 1] = line
        names = names + select(2, line:gsub("%S+", "")) - 1
      end
      most = math.max(most, names)
    end
    table.sort(lines)
    return lines, most
  end

  local function expected()
    local lines = {}
    for line in store:export "hosts":gmatch "[^\n]+" do
      lines[#lines + 1] = line
    end
    table.sort(lines)
    return lines
  end

  local function identities()
    local found = {}
    for _, name in ipairs(files(directory)) do
      found[name] = sys.stat(directory .. "/" .. name).inode
    end
    return found
  end

  local function changed(before)
    local count, now = 0, identities()
    for name, inode in pairs(now) do
      count = count + (before[name] ~= inode and 1 or 0)
    end
    for name in pairs(before) do
      count = count + (now[name] == nil and 1 or 0)
    end
    return count
  end

  it("puts each host into one file, of which none has more than 200 names", function()
    fill(1, 2000)
    local result = publish()
    assert.is_nil(result.error)
    local lines, most = contents()
    assert.same(expected(), lines)
    assert.is_true(most <= 200 and most > 100)
    assert.same({ #files(directory), #files(directory), 0 },
      { result.shards.total, result.shards.written, result.shards.removed })
    assert.is_true(#files(directory) <= 40)
  end)

  it("writes nothing a second time, and one file for a change of a host", function()
    fill(1, 1000)
    publish()
    local before = identities()
    assert.same({ false, false, nil }, { publish().changed, publish().written })
    assert.equal(0, changed(before))
    for _, change in ipairs {
      function() assert(store:update(store:lookup("h77")[1], { comment = "new" })) end,
      function() assert(store:delete(store:lookup("h501")[1])) end,
      function() assert(store:update(store:lookup("h9")[1], { hostname = "renamed" })) end,
    } do
      before = identities()
      change()
      assert.equal(1, publish().shards.written)
      assert.equal(1, changed(before))
    end
    assert.same(expected(), (contents()))
  end)

  it("touches two files when a host gets another address", function()
    fill(1, 1000)
    publish()
    local before = identities()
    assert(store:update(store:lookup("h77")[1], { ip = "192.168.7.7" }))
    publish()
    assert.is_true(changed(before) <= 2)
    assert.same(expected(), (contents()))
  end)

  it("divides only the file that has become too full, and unites it when it is no longer", function()
    fill(1, 100)
    publish()
    assert.same({ "hoststore-hosts" }, files(directory))
    for i = 101, 400, 7 do
      local before = identities()
      fill(i, i + 6)
      publish()
      -- A division replaces a file by two.
      assert.is_true(changed(before) <= 7 + 3)
      assert.same(expected(), (contents()))
    end
    for host in store:hosts() do
      assert(store:delete(host))
    end
    fill(1, 100)
    local result = publish()
    assert.is_true(result.shards.removed > 0)
    assert.same({ "hoststore-hosts" }, files(directory))
    for host in store:hosts() do
      assert(store:delete(host))
    end
    assert.same({ total = 0, written = 0, removed = 1 }, publish().shards)
    assert.same({}, files(directory))
  end)

  it("holds more names of one address than a file may have, too", function()
    assert(store:transaction(function()
      for i = 1, 300 do
        assert(store:add { ip = "10.0.0.1", hostname = "v" .. i })
      end
    end))
    publish()
    local lines, most = contents()
    assert.same({ expected(), true }, { lines, most <= 200 })
  end)

  it("leaves files of others alone, also those of other shards in the directory", function()
    fill(1, 300)
    local foreign = { "hosts", "hoststore-lan", "hoststore-hosts-01", "hoststore-hosts.01.bak", ".hoststore-hosts.old",
      "hoststore-hosts.2", ".hoststore-lan.hoststore-new" }
    for _, name in ipairs(foreign) do
      write(directory .. "/" .. name, name)
    end
    publish()
    publish(nil, { filter = { hostname = "h1" } })
    for _, name in ipairs(foreign) do
      assert.equal(name, read(directory .. "/" .. name))
    end
    assert.is_nil(publish(nil, { name = "other" }).error)
    assert.is_false(publish(nil, { filter = { hostname = "h1" } }).changed)
  end)

  it("makes the directory, and works only under dot names in it", function()
    fill(1, 300)
    directory = directory .. "/a/b"
    local seen = home .. "/seen"
    publish(nil, { check = system.words("ls -A " .. directory .. " >>" .. seen) })
    for name in read(seen):gmatch "[^\n]+" do
      assert.is_true(name:find "^%.hoststore%-hosts.*%.hoststore%-new$" ~= nil, name)
    end
    assert.same(expected(), (contents()))
  end)

  it("keeps all files when a checker refuses one", function()
    fill(1, 300)
    publish()
    local before = identities()
    fill(301, 900)
    local result = publish(nil, { check = system.words "echo no; exit 1" })
    assert.same({ "invalid", 0, 0 }, { result.error.code, result.shards.written, changed(before) })
  end)

  it("notices one that was changed by hand, touches none, and takes the change over", function()
    fill(1, 600)
    publish()
    local name = files(directory)[2]
    write(directory .. "/" .. name, read(directory .. "/" .. name) .. "192.168.9.9 mine.lan\n")
    assert(store:update(store:lookup("h1")[1], { comment = "new" }))
    local before = identities()
    local result = publish()
    assert.same({ "conflict", "+192.168.9.9 mine.lan", directory .. "/" .. name },
      { result.error.code, result.drift[1].lines[1], result.drift[1].path })
    assert.same({ 1, 1, 0 }, { #result.drift, #result.drift[1].lines, changed(before) })
    result = publish { adopt = true }
    assert.same({ created = 1, updated = 0, enabled = 0, deleted = 0, dropped = 0 }, result.adopted)
    assert.same(expected(), (contents()))
    assert.equal("new", store:lookup("h1")[1].comment)
  end)

  it("comes to the same whatever step it is killed at", function()
    fill(1, 250)
    publish()
    local output, finished, steps = { path = directory, mode = "dir-shards" }, false, 0
    while not finished do
      steps = steps + 1
      fill(1000 * steps, 1000 * steps + 3)
      finished = system.run(publishing.process(output, steps)):find "written"
      fill(1000 * steps + 4, 1000 * steps + 5)
      local result = publish()
      assert.is_nil(result.error)
      assert.same(expected(), (contents()))
    end
    assert.is_true(steps > 10)
  end)
end)
