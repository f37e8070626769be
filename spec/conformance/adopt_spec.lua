-- What publish --adopt makes of a file that was changed by hand, while the store went on.
local hoststore = require "hoststore"
local publishing = require "spec.support.publishing"
local system = require "spec.support.system"

local read, write = system.read, system.write

for _, backend in ipairs(require "spec.support.backends") do
  describe(backend.name .. ": adopting a file that was changed by hand", function()
    local store, path, hosts

    before_each(function()
      store = backend.open()
      path = backend.directory() .. "/hosts"
      hosts = {}
      for i, name in ipairs { "nas", "printer", "tv", "lamp", "phone" } do
        hosts[name] = assert(store:add { ip = "10.0.0." .. i, hostname = name .. ".lan", comment = name,
          tags = { "old" } })
      end
    end)
    after_each(backend.finish)

    local function publish(flags, output)
      output = output or {}
      output.path = path
      return store:publish_outputs({ output }, flags)[1]
    end

    local function edit(pattern, text)
      publishing.edit(path, pattern, text)
    end

    -- Adopts, and says the counters that are not 0 as "updated 1".
    local function adopt(flags)
      flags = flags or {}
      flags.adopt = true
      local result = publish(flags)
      assert.is_nil(result.error)
      local words = {}
      for name, count in pairs(result.adopted) do
        words[#words + 1] = count > 0 and name .. " " .. count or nil
      end
      table.sort(words)
      if not flags.dry_run then
        assert.equal(store:export "hosts", read(path))
        assert.is_false(publish().changed)
      end
      return table.concat(words, ", ")
    end

    -- Adopting is refused, and neither store nor file have changed.
    local function refused(code, words, flags)
      local before, position = read(path), #store:events()
      flags = flags or {}
      flags.adopt = true
      local result = publish(flags)
      assert.equal(code, result.error and result.error.code)
      assert.truthy(result.error.message:find(words, 1, true), result.error.message)
      assert.is_nil(result.adopted)
      assert.same({ before, position }, { read(path), #store:events() })
      return result.error
    end

    local function now(name)
      return store:get(hosts[name].id)
    end

    it("writes the fields that were changed by hand, and keeps what was changed in the store since", function()
      publish()
      assert(store:update(hosts.nas.id, { tags = { "vip" }, comment = "two" }, { actor = "bob" }))
      assert(store:update(hosts.tv.id, { comment = "three", ip = "10.0.0.33" }))
      edit("printer.lan\t# printer", "printer.lan lpt\t# by hand")
      edit("tv.lan", "tv.lan telly")
      assert.equal("updated 2", adopt { actor = "anna" })
      assert.same({ "two", "vip", 3 }, { now("nas").comment, now("nas").tags[1], now("nas").version })
      local printer = now "printer"
      assert.same({ "by hand", "lpt", "old" }, { printer.comment, printer.aliases[1], printer.tags[1] })
      assert.same({ "three", "telly", "10.0.0.33" }, { now("tv").comment, now("tv").aliases[1], now("tv").ip })
      local change = store:history(hosts.printer.id)[2]
      assert.same({ "anna", "changed by hand in " .. path }, { change.actor, change.reason })
    end)

    it("merges two fields of one line, of which each was changed on one side", function()
      publish()
      assert(store:update(hosts.nas.id, { tags = { "vip" } }))
      edit("# nas", "# by hand")
      assert.equal("updated 1", adopt())
      assert.same({ "by hand", "vip" }, { now("nas").comment, now("nas").tags[1] })
      edit("# by hand %[vip%]", "")
      assert.equal("updated 1", adopt())
      assert.same({ nil, 0 }, { now("nas").comment, #now("nas").tags })
    end)

    it("is refused where a field was changed on both sides, unless to the same", function()
      publish()
      assert(store:update(hosts.nas.id, { comment = "two", tags = { "vip" } }))
      assert(store:update(hosts.tv.id, { comment = "same" }))
      edit("# nas", "# by hand")
      edit("# tv", "# same")
      edit("# lamp", "# light")
      local err = refused("conflict",
        "10.0.0.1 nas.lan: comment was changed by hand, and in the store to something else")
      assert.equal("comment", err.field)
      assert(store:update(hosts.nas.id, { comment = "nas" }))
      assert.equal("updated 2", adopt())
      assert.same({ "by hand", "vip", "light" }, { now("nas").comment, now("nas").tags[1], now("lamp").comment })
      assert.equal(2, now("tv").version)
      edit("# light", "# dark")
      assert(store:update(hosts.lamp.id, { comment = "bright" }))
      refused("conflict", "10.0.0.4 lamp.lan: comment")
      assert.is_true(publish({ force = true }).written)
      assert.equal("bright", now("lamp").comment)
    end)

    it("names each conflict with its host and field, up to ten", function()
      publish()
      for i, name in ipairs { "nas", "printer", "tv" } do
        assert(store:update(hosts[name].id, { comment = "store", aliases = { "s" .. i }, tags = { "a" } }))
      end
      write(path, (read(path):gsub("# %w+ %[old%]", "# file [b]"):gsub("%.lan", ".lan x")))
      local message = refused("conflict", "10.0.0.1 nas.lan: aliases was changed by hand").message
      for _, words in ipairs { "10.0.0.1 nas.lan: comment was", "10.0.0.2 printer.lan: tags was",
        "10.0.0.3 tv.lan: comment was" } do
        assert.truthy(message:find(words, 1, true), message)
      end
      assert.is_nil(message:find("more", 1, true))
      assert(store:update(hosts.lamp.id, { comment = "store", tags = { "a" } }))
      assert.truthy(refused("conflict", "; and 1 more. Nothing was adopted"))
    end)

    it("brings no host back that was deleted in the store, when its line was edited", function()
      publish()
      assert(store:delete(hosts.nas.id))
      edit("# nas", "# by hand")
      refused("conflict", "10.0.0.1 nas.lan: its line was changed by hand, and the host deleted in the store")
      edit("# by hand", "# nas")
      edit("# tv", "# telly")
      assert.equal("updated 1", adopt())
      assert.equal(4, store:count())
    end)

    it("deletes no host that was changed in the store, when its line was removed", function()
      publish()
      assert(store:update(hosts.nas.id, { comment = "two" }))
      edit("10.0.0.1[^\n]*\n", "")
      refused("conflict", "10.0.0.1 nas.lan: its line was removed by hand, and the host changed in the store")
      assert(store:update(hosts.nas.id, { comment = "nas" }))
      assert.equal("deleted 1", adopt())
      assert.is_nil(now "nas")
    end)

    it("leaves a host alone that is gone from both sides, deleted or disabled in the store", function()
      publish()
      assert(store:delete(hosts.nas.id))
      assert(store:update(hosts.tv.id, { enabled = false }))
      edit("10.0.0.1[^\n]*\n", "")
      edit("10.0.0.3[^\n]*\n", "")
      edit("# lamp", "# by hand")
      assert.equal("updated 1", adopt())
      assert.same({ false, 2 }, { now("tv").enabled, now("tv").version })
    end)

    it("takes a changed address, or a changed name, for a change of that host: id, expiry and owner stay", function()
      local later = store:add { ip = "10.0.0.9", hostname = "guest.lan", origin = "dhcp", expires_at = 4e9 }
      assert(store:add { ip = "fd00::1", hostname = "nas.lan" })
      publish()
      edit("10.0.0.9\tguest.lan", "10.0.0.99\tguest.lan")
      edit("10.0.0.1\tnas.lan", "10.0.0.11\tnas.lan")
      edit("fd00::1\tnas.lan", "FD00::0:0011 NAS.lan.")
      edit("10.0.0.2\tprinter.lan", "10.0.0.2\tcopier.lan")
      assert.equal("updated 4", adopt())
      local guest = store:get(later.id)
      assert.same({ "10.0.0.99", "dhcp", 4e9 }, { guest.ip, guest.origin, guest.expires_at })
      assert.same({ "10.0.0.11", "copier.lan" }, { now("nas").ip, now("printer").hostname })
      assert.equal("fd00::11", store:lookup("nas.lan")[2].ip)
    end)

    it("does not guess where more than one line of a name or address went or came", function()
      publish()
      edit("10.0.0.1[^\n]*\n", "10.0.1.1 nas.lan\n10.0.1.2 nas.lan\n")
      assert.equal("created 2, deleted 1", adopt())
    end)

    it("makes a swap of two addresses a change of both", function()
      publish()
      edit("10.0.0.1\t", "10.0.0.x\t")
      edit("10.0.0.2\t", "10.0.0.1\t")
      edit("10.0.0.x\t", "10.0.0.2\t")
      assert.equal("updated 2", adopt())
      assert.same({ "10.0.0.2", "10.0.0.1" }, { now("nas").ip, now("printer").ip })
    end)

    it("enables a host whose line was added, be it disabled or expired, and keeps what it says besides", function()
      assert(store:update(hosts.nas.id, { enabled = false }))
      assert(store:update(hosts.tv.id, { expires_at = 1 }))
      assert(store:update(hosts.lamp.id, { enabled = false, expires_at = 4e9 }))
      publish()
      write(path, read(path) .. "10.0.0.1 nas.lan\n10.0.0.3 tv.lan # by hand\n10.0.0.4 lamp.lan\n")
      assert.equal("enabled 3", adopt())
      assert.same({ true, "nas", "old" }, { now("nas").enabled, now("nas").comment, now("nas").tags[1] })
      assert.same({ "by hand", "old" }, { now("tv").comment, now("tv").tags[1] })
      assert.is_nil(now("tv").expires_at)
      assert.equal(4e9, now("lamp").expires_at)
    end)

    it("does not write over a host that somebody has added with other words meanwhile", function()
      publish()
      local other = assert(store:add { ip = "10.0.0.7", hostname = "new.lan", comment = "bob's", tags = { "bob" } })
      write(path, read(path) .. "10.0.0.7 new.lan # mine\n")
      refused("conflict", "10.0.0.7 new.lan: comment")
      edit("# mine", "")
      assert.equal("", adopt())
      assert.same({ "bob's", 1 }, { store:get(other.id).comment, store:get(other.id).version })
    end)

    it("says how many lines of comment and blank ones it drops", function()
      publish()
      write(path, "# mine\n\n" .. read(path) .. "  # more\n10.0.0.7 new.lan # kept\n \t\n")
      assert.equal("created 1, dropped 4", adopt())
      assert.equal("kept", store:lookup("new.lan")[1].comment)
      write(path, read(path) .. "\n")
      assert.same({ "+" }, publish().drift[1].lines)
      assert.equal("dropped 1", adopt())
    end)

    it("refuses two lines of one host that say different things", function()
      publish()
      write(path, read(path) .. "10.0.0.1 nas.lan storage.lan\n")
      refused("invalid", "'10.0.0.1 nas.lan' stands there twice")
    end)

    describe("that was emptied or cut short", function()
      local function keep(count)
        local lines = {}
        for line in read(path):gmatch "[^\n]+\n" do
          lines[#lines + 1] = #lines < count and line or nil
        end
        write(path, table.concat(lines))
      end

      it("deletes nothing when no host is left in it, however few they were, unless that is asked for", function()
        assert(store:update(hosts.nas.id, { origin = "import:lab" }))
        publish()
        for _, text in ipairs { "", "# nothing\n\n" } do
          write(path, text)
          local err = refused("conflict", "no host is left in it; if 5 are to be deleted, say so with max_deletes")
          assert.same({ 0, 5 }, { err.expected, err.actual })
        end
        for name in pairs(hosts) do
          if name ~= "tv" then
            assert(store:delete(hosts[name].id))
          end
        end
        publish { force = true }
        write(path, "")
        refused("conflict", "no host is left in it; if 1 are to be deleted")
        assert.equal("deleted 1", adopt { max_deletes = 1 })
      end)

      it("is refused when more than three hosts and 30 % of them would go, and says how many", function()
        publish()
        keep(1)
        local err = refused("conflict", "4 hosts would be deleted; max_deletes allows 3")
        assert.same({ 3, 4 }, { err.expected, err.actual })
        write(path, "")
        refused("conflict", "5 hosts would be deleted; max_deletes allows 4", { max_deletes = 4 })
        refused("conflict", "max_deletes allows 4", { max_deletes = "99%" })
        assert.equal("deleted 5", adopt { max_deletes = "100%" })
        assert.equal(0, store:count())
      end)

      it("is taken over when few are gone, or a small part of many", function()
        publish()
        keep(2)
        refused("conflict", "3 hosts would be deleted; max_deletes allows 2", { max_deletes = 2 })
        assert.equal("deleted 3", adopt())
        for i = 1, 28 do
          assert(store:add { ip = "10.0.1." .. i, hostname = "h" .. i })
        end
        publish()
        keep(20)
        refused("conflict", "10 hosts would be deleted; max_deletes allows 9")
        publish { force = true }
        keep(21)
        assert.equal("deleted 9", adopt())
      end)

      it("raises a limit that is none", function()
        assert.has_error(function() publish { adopt = true, max_deletes = "many" } end)
      end)
    end)

    it("says in a dry run what it would do, and does nothing", function()
      publish()
      edit("# nas", "# by hand")
      write(path, read(path) .. "10.0.0.7 new.lan\n# remark\n")
      local before, position = read(path), #store:events()
      assert.equal("created 1, dropped 1, updated 1", adopt { dry_run = true })
      assert.same({ before, position }, { read(path), #store:events() })
      assert(store:update(hosts.nas.id, { comment = "two" }))
      refused("conflict", "comment", { dry_run = true })
    end)

    it("comes to the same when it is done twice, because the file could not be written the first time", function()
      publish()
      assert(store:update(hosts.lamp.id, { comment = "light" }))
      edit("10.0.0.1\tnas.lan\t# nas", "10.0.0.11\tnas.lan\t# by hand")
      edit("10.0.0.2[^\n]*\n", "")
      write(path, read(path) .. "10.0.0.7 new.lan\n# remark\n")
      local before = read(path)
      local result = publish({ adopt = true }, { check = { "false" } })
      assert.same({ "invalid", before, 1 }, { result.error.code, read(path), result.adopted.deleted })
      local position = #store:events()
      assert.equal("conflict", publish().error.code)
      assert.equal("dropped 1", adopt())
      assert.same({ position, "10.0.0.11", "light" }, { #store:events(), now("nas").ip, now("lamp").comment })
    end)

    it("takes what a file has that was never published for what it says, and nothing that it does not", function()
      write(path, "127.0.0.1 localhost\n10.0.0.1 nas.lan\n10.0.0.2 printer.lan # other\n")
      refused("conflict", "10.0.0.2 printer.lan: comment")
      edit("# other", "# printer")
      assert.equal("created 1", adopt())
      assert.same({ "nas", 1, 6 }, { now("nas").comment, now("nas").version, store:count() })
    end)

    it("writes nothing when one line cannot be a host", function()
      publish()
      edit("# nas", "# by hand")
      write(path, read(path) .. "10.0.0.700 bad.lan\n")
      refused("invalid", "10.0.0.700")
    end)
  end)
end

describe("adopting a file", function()
  local directory
  before_each(function() directory = system.directory() end)
  after_each(function() system.remove(directory) end)

  it("loses no line that somebody adds to it in the middle of that", function()
    local last = 0
    repeat
      last = last + 1
      local calls = 0
      local path, tick = ("%s/hosts%d"):format(directory, last), function() end
      local store = assert(hoststore.open(":memory:", { clock = function()
        tick()
        return os.time()
      end }))
      assert(store:add { ip = "10.0.0.1", hostname = "nas.lan" })
      local function publish(flags) return store:publish_outputs({ { path = path } }, flags)[1] end
      publish()
      write(path, read(path) .. "10.0.0.2 printer.lan\n")
      tick = function()
        calls = calls + 1
        if calls == last then
          write(path, read(path) .. "10.0.0.3 late.lan\n")
        end
      end
      local result = publish { adopt = true }
      assert.equal(1, #store:lookup "printer.lan")
      assert.is_true(result.error == nil or result.error.code == "conflict")
      tick = function() end
      assert.is_nil(publish({ adopt = true }).error)
      assert.equal(calls < last and 0 or 1, #store:lookup "late.lan")
      store:close()
    until calls < last
    assert.is_true(last > 4)
  end)

  it("takes no host for expired because the clock has jumped", function()
    local time, path = 1700000000, directory .. "/hosts"
    local store = assert(hoststore.open(":memory:", { clock = function() return time end }))
    finally(function() store:close() end)
    local host = assert(store:add { ip = "10.0.0.1", hostname = "guest.lan", expires_at = time + 3600 })
    assert(store:add { ip = "10.0.0.2", hostname = "nas.lan" })
    local function publish(flags) return store:publish_outputs({ { path = path } }, flags)[1] end
    publish()
    time = 2900000000
    publishing.edit(path, "10.0.0.1[^\n]*\n", "")
    assert.equal(1, publish({ adopt = true }).adopted.deleted)
    assert.is_nil(store:get(host.id))
  end)
end)

describe("adopting lines that moved from one shard to another", function()
  it("keeps the host", function()
    local store, directory = assert(hoststore.open ":memory:"), system.directory()
    finally(function()
      store:close()
      system.remove(directory)
    end)
    for i = 1, 250 do
      assert(store:add { ip = ("10.0.%d.%d"):format(i % 3, i), hostname = "h" .. i })
    end
    local function publish(flags)
      return store:publish_outputs({ { path = directory, mode = "dir-shards" } }, flags)[1]
    end
    publish()
    local files = publishing.files(directory)
    local first, second = directory .. "/" .. files[1], directory .. "/" .. files[2]
    local line, rest = read(first):match "^([^\n]*\n)(.*)$"
    write(first, rest)
    write(second, read(second) .. (line:gsub("\n", " # moved\n")))
    local ip, hostname = line:match "^(%S+)\t(%S+)"
    local before = store:find(ip, hostname)
    local result = publish { adopt = true }
    assert.is_nil(result.error)
    assert.same({ 1, 0, 0 }, { result.adopted.updated, result.adopted.created, result.adopted.deleted })
    assert.same({ before.id, "moved" }, { store:find(ip, hostname).id, store:find(ip, hostname).comment })
  end)
end)
