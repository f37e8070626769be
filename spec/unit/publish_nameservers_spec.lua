-- What is published is what name servers answer: a host added, changed, deleted.
local nameservers = require "spec.support.nameservers"
local publishing = require "spec.support.publishing"
local sys = require("hoststore.core").sys
local system = require "spec.support.system"

local read, write = system.read, system.write

describe("what is published", function()
  local store, directory, log, server

  before_each(function()
    store, directory = publishing.begin()
    log = directory .. "/log"
    assert(store:add { ip = "10.0.0.1", hostname = "nas.lan", aliases = { "files.lan" } })
    assert(sys.mkdir_p(directory .. "/hosts"))
    write(directory .. "/empty", "")
  end)

  after_each(function()
    nameservers.finish()
    publishing.finish()
  end)

  local function start_dnsmasq(option)
    server = nameservers.dnsmasq(directory, directory .. "/empty", option)
  end

  local function answers(question, wanted)
    system.wait(("%s is answered by %q"):format(question, wanted), function() return server:ask(question) == wanted end)
  end

  -- The way of a few hosts through the store to the answers.
  local function check(publish)
    answers("nas.lan A", "10.0.0.1")
    assert.equal("10.0.0.1", server:ask "files.lan A")
    assert.equal("nas.lan.", server:ask "-x 10.0.0.1")
    local nas = assert(store:lookup("nas.lan")[1])
    assert(store:add { ip = "fd00::2", hostname = "six.lan" })
    publish()
    answers("six.lan AAAA", "fd00::2")
    assert.equal("six.lan.", server:ask "-x fd00::2")
    nas = assert(store:update(nas, { ip = "10.0.0.7" }))
    publish()
    answers("nas.lan A", "10.0.0.7")
    assert.equal("nas.lan.", server:ask "-x 10.0.0.7")
    nas = assert(store:update(nas, { aliases = {} }))
    publish()
    answers("files.lan A", "")
    assert.equal("10.0.0.7", server:ask "nas.lan A")
    assert(store:delete(nas))
    publish()
    answers("nas.lan A", "")
    assert.equal("fd00::2", server:ask "six.lan AAAA")
  end

  -- Publishes an output that has changed, and once more, which does nothing.
  local function publish_and_reload(output)
    output.reload = system.words(("echo >>%s; kill -HUP %s"):format(log, server.pid))
    local result = store:publish_outputs({ output })[1]
    assert.is_nil(result.error)
    assert.same({ true, true, true }, { result.written, result.checked, result.reloaded })
    assert.is_nil(store:publish_outputs({ output })[1].reloaded)
  end

  it("as addn-hosts is answered by dnsmasq after a reload, which runs only when the file has changed", function()
    local function publish()
      publish_and_reload { path = directory .. "/hosts/hoststore",
        check = { "env", "-u", "LD_PRELOAD", "dnsmasq", "--test", "--addn-hosts={path}" } }
    end
    start_dnsmasq("--addn-hosts=" .. directory .. "/hosts")
    publish()
    check(publish)
    assert.equal(5, #read(log))
  end)

  it("as hostsdir is answered by dnsmasq without one, and no name that a file was made under or has lost", function()
    local function publish()
      local result = store:publish_outputs({ { path = directory .. "/hosts", mode = "dir-shards" } })[1]
      assert.is_nil(result.error)
      assert.is_true(result.written)
    end
    start_dnsmasq("--hostsdir=" .. directory .. "/hosts")
    publish()
    check(publish)
    -- Enough for the one file to be divided and united again.
    assert(store:transaction(function()
      for i = 1, 350 do
        assert(store:add { ip = ("10.2.%d.%d"):format(math.floor(i / 100), i % 100), hostname = "many" .. i .. ".lan" })
      end
    end))
    publish()
    for _, i in ipairs { 1, 100, 199, 350 } do
      answers("many" .. i .. ".lan A", ("10.2.%d.%d"):format(math.floor(i / 100), i % 100))
    end
    for host in store:hosts { hostname = "many*" } do
      if not host.hostname:find "^many[12]%." then
        assert(store:delete(host))
      end
    end
    publish()
    for _, i in ipairs { 3, 100, 199, 350 } do
      answers("many" .. i .. ".lan A", "")
    end
    answers("many1.lan A", "10.2.0.1")
    answers("many2.lan A", "10.2.0.2")
  end)

  for option, output in pairs {
    ["--hostsdir"] = { mode = "dir-shards" }, ["--addn-hosts"] = { path = "/hosts/hoststore" },
  } do
    it("is all that dnsmasq reads with " .. option .. ", and not what is remembered of it beside it", function()
      start_dnsmasq(("%s=%s/hosts --log-queries"):format(option, directory))
      local result = store:publish_outputs({ { path = directory .. (output.path or "/hosts"), mode = output.mode,
        reload = system.words("kill -HUP " .. server.pid) } })[1]
      assert.is_nil(result.error)
      answers("nas.lan A", "10.0.0.1")
      -- A name with a dot is passed over whatever the file says.
      local facts = system.run("ls -A " .. directory .. "/hosts"):match "%.hoststore%-%x+%.state"
      write(directory .. "/hosts/" .. facts, "10.9.9.9 facts.lan\n")
      write(directory .. "/hosts/.more", "10.9.9.8 more.lan\n")
      write(directory .. "/hosts/plain", "10.9.9.7 plain.lan\n")
      system.run("kill -HUP " .. server.pid)
      answers("plain.lan A", "10.9.9.7")
      answers("facts.lan A", "")
      answers("more.lan A", "")
      local messages = read(directory .. "/dnsmasq.messages")
      assert.truthy(messages:find("hosts/plain", 1, true))
      assert.is_nil(messages:find("hosts/.", 1, true))
    end)
  end

  it("for unbound is answered by it after a reload, which runs only when the file has changed", function()
    local path = directory .. "/local.conf"
    local function publish()
      publish_and_reload { path = path, format = "unbound",
        check = { "env", "-u", "LD_PRELOAD", "unbound-checkconf", "{path}" } }
    end
    write(path, "")
    server = nameservers.unbound(directory, path)
    publish()
    check(publish)
    assert.equal(5, #read(log))
    -- Gone is gone: asked for again elsewhere, not denied.
    answers("nas.lan AAAA", "")
    assert.equal("SERVFAIL", server:status "nas.lan A")
  end)

  it("is not what the server would refuse", function()
    local path = directory .. "/conf"
    write(path, "# good\n")
    -- Lines of a hosts file are no configuration.
    for _, checker in ipairs { { "dnsmasq", "--test", "--conf-file={path}" }, { "unbound-checkconf", "{path}" } } do
      local output = { path = path, check = { "env", "-u", "LD_PRELOAD", (table.unpack or unpack)(checker) } }
      local result = store:publish_outputs({ output }, { force = true })[1]
      assert.same({ "invalid", "check", "# good\n" }, { result.error.code, result.error.field, read(path) })
      assert.truthy(result.error.message:find(path, 1, true), result.error.message)
      assert.is_nil(result.error.message:find("hoststore-new", 1, true), result.error.message)
    end
  end)
end)
