-- What is published is what dnsmasq answers: a host added, changed, deleted.
local hoststore = require "hoststore"
local sys = require("hoststore.core").sys
local system = require "spec.support.system"

local read, write = system.read, system.write

describe("dnsmasq", function()
  local store, directory, port, server, pid

  before_each(function()
    directory = system.directory()
    store = assert(hoststore.open(":memory:"))
    assert(store:add { ip = "10.0.0.1", hostname = "nas.lan", aliases = { "files.lan" } })
    assert(sys.mkdir_p(directory .. "/hosts"))
  end)

  after_each(function()
    if server then
      system.run("kill " .. pid)
      server:read "*a"
      server:close()
      server = nil
    end
    store:close()
    system.remove(directory)
  end)

  local function dig(name, kind)
    return (system.run(("dig +short +tries=1 +time=5 @127.0.0.1 -p %d %s %s"):format(port, name, kind or "A")))
  end

  -- Starts it on a port that is free; one that is taken in between is tried no more.
  local function start(option)
    for attempt = 1, 20 do
      port = 20000 + (sys.stat(directory).inode + attempt * 997) % 20000
      server = system.popen(("echo $$; exec dnsmasq --keep-in-foreground --log-facility=- --no-resolv --no-hosts " ..
        "--port=%d --listen-address=127.0.0.1 --bind-interfaces --pid-file= --conf-file=/dev/null --user=root %s 2>&1")
        :format(port, option))
      pid = server:read "*l"
      -- The first line is that it has started, or why not.
      if (server:read "*l" or ""):find "started" then
        return
      end
      server:close()
      server = nil
    end
    error "dnsmasq does not start"
  end

  local function answers(name, wanted)
    system.wait(("%s is answered by %q"):format(name, wanted), function() return dig(name) == wanted end)
  end

  -- The way of a few hosts through the store to the answers.
  local function check(publish)
    answers("nas.lan", "10.0.0.1\n")
    assert.equal("10.0.0.1\n", dig "files.lan")
    assert.equal("nas.lan.\n", dig("1.0.0.10.in-addr.arpa", "PTR"))
    local nas = assert(store:lookup("nas.lan")[1])
    assert(store:add { ip = "fd00::2", hostname = "six.lan" })
    publish()
    system.wait("it answers IPv6", function() return dig("six.lan", "AAAA") == "fd00::2\n" end)
    nas = assert(store:update(nas, { ip = "10.0.0.7" }))
    publish()
    answers("nas.lan", "10.0.0.7\n")
    nas = assert(store:update(nas, { aliases = {} }))
    publish()
    answers("files.lan", "")
    assert.equal("10.0.0.7\n", dig "nas.lan")
    assert(store:delete(nas))
    publish()
    answers("nas.lan", "")
    assert.equal("fd00::2\n", dig("six.lan", "AAAA"))
  end

  it("answers what addn-hosts holds after its reload, which runs only when the file has changed", function()
    local path, log = directory .. "/hosts/hoststore", directory .. "/log"
    local function publish()
      local output = { path = path, check = { "env", "-u", "LD_PRELOAD", "dnsmasq", "--test", "--addn-hosts={path}" },
        reload = system.words(("echo >>%s; kill -HUP %s"):format(log, pid)) }
      local results = store:publish_outputs { output }
      assert.is_nil(results[1].error)
      assert.same({ true, true, true }, { results[1].written, results[1].checked, results[1].reloaded })
      assert.is_nil(store:publish_outputs({ output })[1].reloaded)
    end
    start("--addn-hosts=" .. directory .. "/hosts")
    publish()
    check(publish)
    assert.equal(5, #read(log))
  end)

  it("answers what hostsdir holds by itself, and no name that a file was made under or has lost", function()
    local function publish()
      local result = store:publish_outputs({ { path = directory .. "/hosts", mode = "shards" } })[1]
      assert.is_nil(result.error)
      assert.is_true(result.written)
    end
    start("--hostsdir=" .. directory .. "/hosts")
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
      answers("many" .. i .. ".lan", ("10.2.%d.%d\n"):format(math.floor(i / 100), i % 100))
    end
    for host in store:hosts { hostname = "many*" } do
      if not host.hostname:find "^many[12]%." then
        assert(store:delete(host))
      end
    end
    publish()
    for _, i in ipairs { 3, 100, 199, 350 } do
      answers("many" .. i .. ".lan", "")
    end
    answers("many1.lan", "10.2.0.1\n")
    answers("many2.lan", "10.2.0.2\n")
  end)

  it("is not given a file that it would refuse", function()
    local path = directory .. "/conf"
    write(path, "# good\n")
    local output = { path = path, check = { "env", "-u", "LD_PRELOAD", "dnsmasq", "--test", "--conf-file={path}" } }
    -- Lines of a hosts file are no configuration.
    local result = store:publish_outputs({ output })[1]
    assert.same({ "invalid", "# good\n" }, { result.error.code, read(path) })
    assert.truthy(result.error.message:find("at line 1 of " .. path, 1, true), result.error.message)
  end)
end)
