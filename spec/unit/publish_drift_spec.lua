local publishing = require "spec.support.publishing"
local system = require "spec.support.system"

local files, read, write = publishing.files, system.read, system.write

describe("a published file that was changed by hand", function()
  local store, directory, path

  before_each(function()
    store, directory = publishing.begin()
    assert(store:add { ip = "10.0.0.1", hostname = "nas.lan", comment = "in the cellar" })
    assert(store:add { ip = "10.0.0.2", hostname = "printer.lan" })
    assert(store:add { ip = "10.0.0.3", hostname = "tv.lan", origin = "dhcp" })
    path = directory .. "/hosts"
  end)

  after_each(publishing.finish)

  local function publish(flags, output)
    output = output or {}
    output.path = path
    return store:publish_outputs({ output }, flags)[1]
  end

  local function edit(pattern, text)
    publishing.edit(path, pattern, text)
  end

  it("is left alone, and what was changed is shown without what has changed in the store since", function()
    publish()
    edit("printer.lan", "copier.lan")
    assert(store:add { ip = "10.0.0.9", hostname = "later.lan" })
    local before = read(path)
    local result = publish()
    assert.same({ "conflict", true, false }, { result.error.code, result.changed, result.written })
    assert.same({ {
      path = path, kind = "changed", against = "published", more = 0,
      lines = { "+10.0.0.2\tcopier.lan", "-10.0.0.2\tprinter.lan" },
    } }, result.drift)
    assert.equal(before, read(path))
    assert.equal("conflict", publish().error.code)
    assert.same({ "hosts" }, files(directory))
  end)

  it("is left alone also when it was only made longer, or emptied", function()
    publish()
    local before = read(path)
    write(path, before .. "10.0.0.4 more\n")
    assert.equal("conflict", publish().error.code)
    write(path, "")
    assert.equal("conflict", publish().error.code)
  end)

  it("is overwritten with force, which still says what was lost", function()
    publish()
    edit("printer.lan", "copier.lan")
    local result = publish { force = true }
    assert.is_nil(result.error)
    assert.is_true(result.written)
    assert.equal(1, #result.drift)
    assert.equal(store:export "hosts", read(path))
    assert.is_nil(publish().drift)
  end)

  it("is overwritten by store:publish, unless that is told not to", function()
    assert(store:publish(path))
    edit("printer.lan", "copier.lan")
    local written, err = store:publish(path, { force = false })
    assert.equal("conflict", written == nil and err.code)
    assert.is_true(store:publish(path))
    assert.equal(store:export "hosts", read(path))
  end)

  it("is no such file when somebody has taken it away, or has put back what was there", function()
    publish()
    local old = read(path)
    os.remove(path)
    assert.is_true(publish().written)
    edit("printer.lan", "printer.lan")
    assert.is_false(publish().changed)
    assert(store:add { ip = "10.0.0.9", hostname = "later.lan" })
    assert.is_true(publish().written)
    write(path, old)
    assert.is_true(publish().written)
  end)

  it("is shown in no more than fifty lines", function()
    publish()
    local lines = { read(path) }
    for i = 1, 80 do
      lines[#lines + 1] = ("10.5.0.%d\th%d\n"):format(i, i)
    end
    write(path, table.concat(lines))
    local drift = publish().drift[1]
    assert.same({ 50, 30 }, { #drift.lines, drift.more })
  end)

  it("is compared with the hosts as they are when the store cannot say what was published", function()
    local other = { format = "hosts", filter = { origin = "admin" } }
    publish(nil, other)
    write(path, read(path) .. "10.0.0.4 more\n")
    local result = publish() -- the filter is another one now
    assert.equal("conflict", result.error.code)
    assert.same({ against = "store", kind = "changed", path = path, more = 0,
      lines = { "-10.0.0.3\ttv.lan", "+10.0.0.4 more" } },
      result.drift[1])
  end)

  it("of many megabytes is told of by the lines that differ, and nothing is left beside it", function()
    assert(store:transaction(function()
      for i = 1, 150 do
        assert(store:add { ip = "10.1.0." .. i, hostname = "big" .. i, comment = ("x"):rep(16000) })
      end
    end))
    publish()
    write(path, read(path) .. "10.9.0.1\tnine.lan\n")
    local before = read(path)
    for _, flags in ipairs { {}, { dry_run = true }, { adopt = true, dry_run = true } } do
      assert.same({ "+10.9.0.1\tnine.lan" }, publish(flags).drift[1].lines)
      assert.is_true(read(path) == before)
      assert.same({ "hosts" }, files(directory))
    end
    assert.same({ created = 1, updated = 0, enabled = 0, deleted = 0, dropped = 0 }, publish({ adopt = true }).adopted)
    assert.is_true(read(path) == store:export "hosts")
    assert.same({ "hosts" }, files(directory))
  end)

  it("of a template is compared with what it makes now, and can be overwritten but not adopted", function()
    local output = { template = "<% for host in hosts() do %>name <%= host.hostname %>\n<% end %>" }
    publish(nil, output)
    edit("name printer.lan\n", "name copier.lan\n")
    local result = publish(nil, output)
    assert.equal("conflict", result.error.code)
    assert.same({ { path = path, kind = "changed", against = "store", more = 0,
      lines = { "+name copier.lan", "-name printer.lan" } } },
      result.drift)
    assert.equal("unsupported", publish({ adopt = true }, output).error.code)
    assert.is_true(publish({ force = true }, output).written)
    assert.equal("name nas.lan\nname printer.lan\nname tv.lan\n", read(path))
  end)

  describe("and is adopted", function()
    it("brings what was added, changed and removed by hand into the store, as the admin's", function()
      publish()
      assert(store:add { ip = "10.0.0.9", hostname = "later.lan" })
      edit("# in the cellar", "# in the attic [moved]")
      edit("10.0.0.2\tprinter.lan\n", "10.0.0.4\tnew.lan new\n")
      local result = publish { adopt = true, actor = "anna" }
      assert.is_nil(result.error)
      assert.same({ created = 1, updated = 1, enabled = 0, deleted = 1, dropped = 0 }, result.adopted)
      local nas, added = store:find("10.0.0.1", "nas.lan"), store:find("10.0.0.4", "new.lan")
      assert.same({ "in the attic", "moved", 3 }, { nas.comment, nas.tags[1], nas.version })
      assert.same({ "admin", "new" }, { added.origin, added.aliases[1] })
      assert.is_nil(store:find("10.0.0.2", "printer.lan"))
      assert.is_not_nil(store:find("10.0.0.9", "later.lan"))
      local change = nas:history()[2]
      assert.same({ "anna", "changed by hand in " .. path }, { change.actor, change.reason })
      assert.equal(store:export "hosts", read(path))
      assert.is_false(publish().changed)
    end)

    it("writes no event for hosts of others that stand in it unchanged", function()
      publish()
      edit("printer.lan", "copier.lan")
      publish { adopt = true }
      assert.equal(1, store:find("10.0.0.3", "tv.lan").version)
    end)

    it("deletes nothing when it was never published, but takes what it has", function()
      write(path, "# my own\n10.0.0.7 seven.lan\n10.0.0.1 nas.lan # in the cellar\n")
      local result = publish { adopt = true }
      assert.same({ created = 1, updated = 0, enabled = 0, deleted = 0, dropped = 1 }, result.adopted)
      assert.equal(4, store:count())
      assert.equal(store:export "hosts", read(path))
    end)

    it("changes nothing at all when a line of it cannot be a host", function()
      publish()
      edit("10.0.0.2\tprinter.lan\n", "10.0.0.400 bad.lan\n10.0.0.5 good.lan\n")
      local before, position = read(path), #store:events()
      local result = publish { adopt = true }
      assert.equal("invalid", result.error.code)
      assert.matches("10.0.0.400", result.error.message)
      assert.same({ before, position }, { read(path), #store:events() })
    end)

    it("is refused for a format that says less than a host", function()
      publish(nil, { format = "csv" })
      write(path, read(path) .. "x")
      assert.equal("unsupported", publish({ adopt = true }, { format = "csv" }).error.code)
    end)

    it("changes nothing in a dry run", function()
      publish()
      edit("printer.lan", "copier.lan")
      local position = #store:events()
      local result = publish { adopt = true, dry_run = true }
      assert.same({ 1, false, position }, { #result.drift, result.written, #store:events() })
    end)
  end)
end)
