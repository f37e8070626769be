local clusters = require "spec.support.clusters"
local expect = require "spec.support.expect"
local hoststore = require "hoststore"
local system = require "spec.support.system"

local WRITERS = 4

describe("a PostgreSQL primary with a standby that commits wait for", function()
  local primary, standby, directory, stop

  -- The URL of both; which of the two it leads to is told by target_session_attrs.
  local function url_for(attrs)
    return ("postgresql://postgres@%s,%s/postgres?target_session_attrs=%s"):format(primary:address(),
      standby:address(), attrs)
  end

  -- The standby is not to wait for one of its own when it is promoted.
  before_each(function()
    directory = system.directory()
    stop = directory .. "/stop"
    primary = clusters.make("primary", { synchronous_standby_names = "standby" })
    standby = clusters.copy("standby", primary, { synchronous_standby_names = "" })
  end)

  after_each(function()
    clusters.finish()
    system.remove(directory)
  end)

  -- What is acknowledged is on the standby's disk, but it may not show it yet.
  local function wait_until_shown(store, position)
    system.wait("the standby shows position " .. position, function()
      return #assert(store:events { after = position - 1, limit = 1 }) == 1
    end)
  end

  -- By open, or else by the first write.
  local function refused_as_standby(store, err)
    if store then
      local _, problem = store:add { ip = "10.0.0.9", hostname = "new" }
      err = problem
      store:close()
    end
    assert.matches("standby", expect.failure("readonly", nil, err).message)
  end

  it("can be read on the standby, which refuses to be written as long as it is one", function()
    local writer = assert(hoststore.open(url_for "any"))
    local nas = assert(writer:add { ip = "10.0.0.1", hostname = "nas", tags = { "t" } })
    assert(writer:update(nas, { comment = "c" }))
    local snapshot = assert(writer:snapshot { name = "first" })

    for _, url in ipairs { url_for "standby", url_for "prefer-standby", standby:url() } do
      local reader = assert(hoststore.open(url, { readonly = true }))
      assert.equal("true", assert(reader:stats()).in_recovery)
      wait_until_shown(reader, 2)
      assert.equal("c", assert(reader:find("10.0.0.1", "nas")).comment)
      assert.same({ "nas" }, expect.pluck(reader:list { tags = { "t" } }, "hostname"))
      assert.equal(2, #assert(reader:history(nas.id)))
      assert.is_nil(assert(reader:at { position = 1 }):get(nas.id).comment)
      assert.equal(2, assert(reader:transaction(function() return #reader:events() end, { readonly = true })))
      assert.is_true(assert(reader:verify()).ok)
      expect.failure("readonly", reader:add { ip = "10.0.0.2", hostname = "gw" })
      expect.failure("readonly", reader:restore(snapshot.id))
      reader:close()
    end
    local absent = standby:url "options=-csearch_path%3Dabsent"
    expect.failure("not_found", hoststore.open(absent, { readonly = true }))
    refused_as_standby(hoststore.open(absent))
    refused_as_standby(hoststore.open(standby:url()))

    primary:stop "immediate"
    refused_as_standby(nil, select(2, writer:add { ip = "10.0.0.2", hostname = "gw" }))
    assert.is_true(expect.failure("connection", hoststore.open(url_for "read-write")).retryable)
    standby:promote()
    assert(writer:add { ip = "10.0.0.2", hostname = "gw" })
    assert.equal(2, writer:count())
    assert.is_true(assert(writer:verify()).ok)
    writer:close()
  end)

  it("may be lost under its writers: they go on with the standby, and no event is lost or doubled", function()
    local pipes = {}
    local store = assert(hoststore.open(url_for "read-write"))
    local function output(i)
      return directory .. "/output" .. i
    end
    -- Two write to the same stream, two to one of their own.
    for i = 1, WRITERS do
      system.write(output(i), "")
      local writer = system.lua("spec/support/steady_writer.lua", url_for "read-write", i < 3 and "hot" or "s" .. i, i,
        stop)
      pipes[i] = system.popen("exec timeout 120 " .. writer .. " >" .. system.quote(output(i)) .. " 2>&1", "w")
    end

    local function lines(i)
      local found = {}
      for line in io.lines(output(i)) do
        found[#found + 1] = line
      end
      return found
    end
    local function wait_for_more()
      local before = {}
      for i = 1, WRITERS do
        before[i] = #lines(i)
      end
      for i = 1, WRITERS do
        system.wait("writer " .. i .. " has written more", function()
          local now = lines(i)
          assert.not_matches("^again", now[#now - 1] or "")
          return #now >= before[i] + 20
        end)
      end
    end

    wait_for_more()
    primary:stop "immediate"
    standby:promote()
    wait_for_more()
    system.write(stop, "")

    local acknowledged, again = {}, 0
    for i, pipe in ipairs(pipes) do
      pipe:close()
      local said = lines(i)
      assert.equal("done", table.remove(said))
      again = again + tonumber(table.remove(said):match "^again (%d+)$")
      acknowledged[i] = said
    end
    assert.is_true(again > 0)

    -- Each writer stopped after an acknowledgement, so the log holds just what was acknowledged.
    local events = assert(store:events())
    local found, versions = { {}, {}, {}, {} }, {}
    for i, event in ipairs(events) do
      assert.equal(i, event.position)
      versions[event.stream] = (versions[event.stream] or 0) + 1
      assert.equal(versions[event.stream], event.version)
      table.insert(found[tonumber(event.id:sub(19, 19))], event.id)
    end
    assert.same(acknowledged, found)
    assert.is_true(assert(store:verify()).ok)
    store:close()
  end)
end)
