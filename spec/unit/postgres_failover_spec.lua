local clusters = require "spec.support.clusters"
local expect = require "spec.support.expect"
local hoststore = require "hoststore"
local steady_writers = require "spec.support.steady_writers"
local system = require "spec.support.system"

describe("a PostgreSQL primary with a standby that commits wait for", function()
  local primary, standby, directory

  -- The URL of both; which of the two it leads to is told by target_session_attrs.
  local function url_for(attrs)
    return ("postgresql://postgres@%s,%s/postgres?target_session_attrs=%s"):format(primary:address(),
      standby:address(), attrs)
  end

  -- The standby is not to wait for one of its own when it is promoted.
  before_each(function()
    directory = system.directory()
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

  local function open_when_shown(url)
    local reader
    system.wait("the standby shows the tables", function()
      reader = hoststore.open(url, { readonly = true })
      return reader
    end)
    return reader
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
      local reader = open_when_shown(url)
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
    local store = assert(hoststore.open(url_for "read-write"))
    local writers = steady_writers.start(directory, url_for "read-write")
    writers:wait_for_more(20)
    primary:stop "immediate"
    standby:promote()
    writers:wait_for_more(20)
    local acknowledged, again = writers:finish()
    assert.is_true(again > 0)
    steady_writers.check(store, acknowledged)
    store:close()
  end)
end)
