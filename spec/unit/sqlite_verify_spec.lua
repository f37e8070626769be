--- What verify says of damaged copies of a healthy database.
local hoststore = require "hoststore"
local system = require "spec.support.system"

local DROP = "DROP TRIGGER events_refuse_update; DROP TRIGGER events_refuse_delete; "

describe("verify", function()
  local directory, healthy, copy, ids
  setup(function()
    directory = system.directory()
    healthy, copy = directory .. "/healthy.db", directory .. "/copy.db"
    local store = assert(hoststore.open(healthy, { journal = "delete", page_size = 512,
      clock = function() return 1000 end }))
    ids = {}
    -- 1 nas, 2 its comment, 3 its tags, 4 gw, 5 to 7 the stream s, 8 printer, 9 printer is gone.
    local nas = assert(store:add { ip = "10.0.0.1", hostname = "nas", aliases = { "store" }, tags = { "t" } })
    assert(store:update(nas, { comment = "c", tags = { "t", "u" } }))
    local gw = assert(store:add { ip = "10.0.0.2", hostname = "gw" })
    assert(store:stream("s"):append { { type = "A", data = 1 }, { type = "B", data = 2 }, { type = "C", data = 3 } })
    local printer = assert(store:add { ip = "10.0.0.3", hostname = "printer" })
    assert(printer:delete())
    ids.nas, ids.gw, ids.printer = nas.id, gw.id, printer.id
    store:close()
    local other = assert(hoststore.open(healthy, { tenant = "other" }))
    assert(other:add { ip = "10.0.0.1", hostname = "other" })
    other:close()
  end)
  teardown(function() system.remove(directory) end)

  -- What verify says of a copy after some SQL, or of the copy as bytes.
  local function verify(sql, tenant)
    if sql then
      system.write(copy, system.read(healthy))
      local output, status = system.sqlite(copy, DROP .. sql:gsub("$(%a+)", ids))
      assert.equal(0, status, output)
    end
    local store, err = hoststore.open(copy, { tenant = tenant, journal = "delete" })
    if not store then
      return nil, err
    end
    local report, failure = store:verify()
    store:close()
    return report, failure
  end

  -- Checks that one of the problems says all of the words, and names the stream and position given.
  local function finds(sql, words, stream, position)
    local report = assert(verify(sql))
    assert.is_false(report.ok)
    local messages = {}
    for _, problem in ipairs(report.problems) do
      local said = true
      for _, word in ipairs(words) do
        said = said and problem.message:find(word:gsub("$(%a+)", ids), 1, true) ~= nil
      end
      if said and (not stream or problem.stream == stream:gsub("$(%a+)", ids)) and
        (not position or problem.position == position) then
        return report
      end
      messages[#messages + 1] = problem.message
    end
    error("none of these is it:\n" .. table.concat(messages, "\n"), 2)
  end

  it("finds nothing in a healthy copy", function()
    assert.same({ ok = true, problems = {}, events = 9, hosts = 2, streams = 4 }, verify "SELECT 1")
  end)

  it("finds positions and versions that are missing", function()
    local report = finds("DELETE FROM events WHERE position = 6", { "6", "missing" }, nil, 6)
    assert.equal(8, report.events)
    finds("DELETE FROM events WHERE position = 6", { "'s'", "1" }, "s")
    finds("DELETE FROM events WHERE position IN (1, 2)", { "1 to 2" }, nil, 1)
    finds("DELETE FROM events WHERE position = 5", { "'s'" }, "s")
    finds("UPDATE events SET position = position + 100 WHERE position = 7", { "missing" }, nil, 7)
    finds("UPDATE events SET version = 9 WHERE position = 7", { "'s'" }, "s")
  end)

  it("finds a last event that is missing by the read model it leaves behind", function()
    finds("DELETE FROM events WHERE position = 4", { "$gw", "not in the log" })
    finds("DELETE FROM events WHERE position = 9", { "$printer", "not in the read model" })
  end)

  it("finds a host of the read model that is not what the log says, field by field", function()
    finds("UPDATE hosts SET comment = 'x' WHERE id = '$nas'", { "$nas", "comment", "'x'", "'c'" }, "host-$nas", 3)
    finds("UPDATE hosts SET comment = NULL WHERE id = '$nas'", { "comment" })
    finds("UPDATE hosts SET ip = '10.0.0.9' WHERE id = '$nas'", { "ip", "10.0.0.9", "10.0.0.1" })
    finds("UPDATE hosts SET hostname = 'x' WHERE id = '$gw'", { "$gw", "hostname" })
    finds("UPDATE hosts SET enabled = 0 WHERE id = '$gw'", { "enabled" })
    finds("UPDATE hosts SET tags = 't' WHERE id = '$nas'", { "tags" })
    finds("UPDATE hosts SET aliases = '' WHERE id = '$nas'", { "aliases" })
    finds("UPDATE hosts SET expires_at = 5 WHERE id = '$nas'", { "expires_at" })
    finds("UPDATE hosts SET origin = 'dhcp' WHERE id = '$nas'", { "origin" })
    finds("UPDATE hosts SET version = 2 WHERE id = '$nas'", { "$nas", "version" })
    finds("UPDATE hosts SET position = 2 WHERE id = '$nas'", { "$nas", "position" })
    finds("UPDATE hosts SET created_at = 5 WHERE id = '$nas'", { "$nas" })
    finds("UPDATE hosts SET updated_at = 5 WHERE id = '$nas'", { "$nas" })
  end)

  it("finds an address of the read model whose sorting key is another's", function()
    finds("UPDATE hosts SET ip_key = '40a000009' WHERE id = '$nas'", { "$nas" })
  end)

  it("finds a host too many or too few", function()
    finds("DELETE FROM hosts WHERE id = '$gw'", { "$gw", "not in the read model" })
    finds("UPDATE hosts SET id = '01ARZ3NDEKTSV4RRFFQ69G5FAV' WHERE id = '$gw'", { "01ARZ3NDEKTSV4RRFFQ69G5FAV",
      "not in the log" })
  end)

  it("finds aliases and tags that lead nowhere or are not led to", function()
    finds("DELETE FROM host_aliases WHERE alias = 'store'", { "aliases", "$nas" })
    finds("INSERT INTO host_aliases VALUES ('default', 'extra', '$gw')", { "aliases", "extra" })
    finds("DELETE FROM host_tags WHERE tag = 'u'", { "tags", "$nas" })
    finds("INSERT INTO host_tags VALUES ('default', 'extra', '$printer')", { "tags", "extra" })
    finds("UPDATE host_tags SET tag = 'v' WHERE tag = 'u'", { "tags", "'v'" })
  end)

  it("finds a body that cannot be read", function()
    finds("UPDATE events SET data = 'garbage' WHERE position = 3", { "$nas" }, "host-$nas", 3)
    finds("UPDATE events SET data = '{}' WHERE position = 1", {}, "host-$nas", 1)
    finds("UPDATE events SET data = '[]' WHERE position = 9", {}, "host-$printer", 9)
    finds("UPDATE events SET data = json_set(data, '$.tags', 5) WHERE position = 4", {}, "host-$gw", 4)
  end)

  it("finds a body of any stream that is no JSON", function()
    finds("UPDATE events SET data = 'garbage' WHERE position = 6", { "'s'" }, "s", 6)
  end)

  it("finds an event that does not follow from the one before it", function()
    finds("UPDATE events SET data = json_set(data, '$.comment', 'x') WHERE position = 2", { "comment" }, "host-$nas", 3)
    finds("UPDATE events SET data = json_set(data, '$.ip', '10.0.0.9') WHERE position = 2", { "ip" }, "host-$nas", 2)
    finds("UPDATE events SET type = 'TagsModified' WHERE position = 2", { "TagsModified" }, "host-$nas", 2)
    finds("UPDATE events SET type = 'HostCreated' WHERE position = 3", { "HostCreated" }, "host-$nas", 3)
    finds("UPDATE events SET type = 'HostDeleted' WHERE position = 2", {}, "host-$nas", 2)
    finds("UPDATE events SET type = 'Surprise' WHERE position = 4", {}, "host-$gw", 4)
  end)

  it("finds a stream in the wrong partition", function()
    finds("UPDATE events SET partition = (partition + 1) % 32 WHERE stream = 's'", { "partition" }, "s")
    finds("UPDATE events SET partition = (partition + 1) % 32 WHERE position = 6", { "partition" }, "s")
  end)

  it("looks at one tenant and leaves the faults of others to them", function()
    local sql = "UPDATE hosts SET comment = 'x' WHERE tenant = 'other'"
    assert.is_true(assert(verify(sql)).ok)
    assert.is_false(assert(verify(sql, "other")).ok)
    assert.is_true(assert(verify("DELETE FROM events WHERE tenant = 'default' AND position = 6", "other")).ok)
  end)

  it("of a stream finds its gaps and bodies that are no JSON", function()
    local function problems(sql)
      verify(sql)
      local store = assert(hoststore.open(copy))
      local report = assert(store:stream("s"):verify())
      store:close()
      assert.is_false(report.ok)
      return report.problems[1].message
    end
    assert.matches("2", problems "DELETE FROM events WHERE position = 6")
    assert.matches("1", problems "DELETE FROM events WHERE position = 5")
    assert.matches("3", problems "UPDATE events SET data = 'x' WHERE position = 7")
  end)

  it("survives a file damaged anywhere", function()
    local bytes = system.read(healthy)
    local reported = 0
    for offset = 100, #bytes - 64, 1031 do
      system.write(copy, bytes:sub(1, offset) .. ("\170"):rep(64) .. bytes:sub(offset + 65))
      local report, err = verify()
      if report then
        assert.equal(#report.problems == 0, report.ok)
      else
        assert.is_truthy(({ corrupt = true, query = true, migration = true })[err.code], err.code .. ": " ..
          err.message)
      end
      reported = reported + ((not report or not report.ok) and 1 or 0)
    end
    assert.is_true(reported >= 5)
  end)

  it("survives a file that is cut short", function()
    local bytes = system.read(healthy)
    for part = 1, 9 do
      system.write(copy, bytes:sub(1, math.floor(#bytes * part / 10)))
      local report, err = verify()
      assert.is_true(report and not report.ok or err ~= nil and (err.code == "corrupt" or err.code == "query"),
        err and err.code .. ": " .. err.message)
    end
  end)
end)
