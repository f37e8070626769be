-- The spool of hotplug where others may put something in its way, and where it fills.

local core = require "hoststore.core"
local drain = require "hoststore.hotplug.drain"
local hoststore = require "hoststore"
local hotplug = require "hoststore.hotplug"
local leases = require "spec.support.leases"
local spool = require "hoststore.hotplug.spool"
local system = require "spec.support.system"

local sys = core.sys
local COMMAND = system.lua "lua/hoststore.command"
-- Only root can make what belongs to another user.
local OTHER = sys.euid() == 0 and system.NOBODY or nil

describe("the spool", function()
  local directory, path

  before_each(function() directory, path = leases.begin() end)
  after_each(leases.finish)

  local function shell(command)
    assert.equal("", system.shell(directory, command))
  end

  local function tell(ip)
    return spool.write(path, { action = "old", client = "aa:bb:cc:dd:ee:01", ip = ip or "10.0.0.1", name = "a",
      missing = "1" })
  end

  local function command(words)
    return system.run(("env HOSTSTORE_DB=%s/hosts.db HOSTSTORE_SPOOL=%s %s hotplug %s"):format(directory, path, COMMAND,
      words))
  end

  local function run()
    local store = assert(hoststore.open("memory:", { policies = false }))
    local result, err = drain.run(store, path)
    store:close()
    return result, err
  end

  -- All but the database.
  local function listing()
    return (system.run("ls -lAR -I 'hosts.db*' " .. directory))
  end

  -- Why the spool is not taken, whatever is asked of it; nothing is made where it would be.
  local function refused()
    local before = listing()
    local _, message = tell()
    assert.is_string(message)
    assert.is_nil((hotplug.wake(path)))
    assert.equal(message, run() == nil and select(2, run()).message)
    assert.same({ "hoststore: " .. message .. "\n", 1 }, { command "add aa:bb:cc:dd:ee:01 10.0.0.1 a" })
    assert.equal(1, select(2, command "--drain"))
    system.write(directory .. "/leases", "")
    assert.equal(1, select(2, command("--leases " .. directory .. "/leases")))
    os.remove(directory .. "/leases")
    command "iface"
    assert.equal(before, listing())
    return message
  end

  it("is its owner's alone, and so is all that is in it", function()
    assert(tell())
    shell 'test "$(stat -c %a spool spool/* | sort -u | tr "\\n" " ")" = "600 700 "'
  end)

  it("is refused where a symbolic link stands", function()
    shell "mkdir -m 0700 real && ln -s real spool"
    assert.is_truthy(refused():find("is no directory of its own", 1, true))
  end)

  it("is refused where others may write to it, or to a directory on the way", function()
    shell "mkdir -m 0770 spool && touch spool/1"
    assert.is_truthy(refused():find("others may write to it; it must have mode 0700", 1, true))
    shell "rm -r spool && mkdir -p way/further && touch way/1"
    path = directory .. "/way/further/spool"
    for _, mode in ipairs { "0777", "0770" } do
      shell("chmod " .. mode .. " way")
      assert.is_truthy(refused():find(directory .. "/way: others may write to it", 1, true))
    end
    shell "chmod 1777 way"
    assert(tell())
  end)

  it("is refused where a symbolic link on the way leads to what others may write to", function()
    shell "mkdir -m 0777 open && mkdir open/inner && ln -s open/inner way && touch open/1"
    path = directory .. "/way/spool"
    assert.is_truthy(refused():find("/open: others may write to it", 1, true))
  end)

  it("may be reached by a link of our own, as /var/run is", function()
    shell "mkdir real && ln -s real way"
    path = directory .. "/way/spool"
    assert(tell())
    assert.equal(1, #spool.waiting(directory .. "/real/spool"))
  end)

  if OTHER then
    it("is refused where it belongs to another user, and nothing that waits in it is read", function()
      assert(tell())
      shell(("chown -R %s spool"):format(OTHER))
      assert.is_truthy(refused():find("spool: belongs to another user", 1, true))
      assert.equal(1, #spool.waiting(path))
    end)

    it("is refused where a directory or a link on the way belongs to another user", function()
      shell(("mkdir way && touch way/1 && chown %s way"):format(OTHER))
      path = directory .. "/way/further/spool"
      assert.is_truthy(refused():find(directory .. "/way: belongs to another user", 1, true))
      shell(("rm -r way && mkdir real && ln -s real way && touch real/1 && chown -h %s way"):format(OTHER))
      assert.is_truthy(refused():find(directory .. "/way: belongs to another user", 1, true))
    end)

    it("reads no file of another user", function()
      local name = assert(tell())
      shell(("chown %s spool/%s"):format(OTHER, name))
      local result = assert(run())
      assert.same({ 1, 0, 1 }, { result.events, result.written, result.bad })
      assert.equal("the file is another user's, or no plain file\n", system.read(path .. "/bad/" .. name .. ".reason"))
    end)
  else
    it("is refused where it belongs to another user", function()
      path = "/usr"
      assert.is_truthy(select(2, tell()):find("belongs to another user", 1, true))
    end)
  end

  it("reads nothing but plain files of a moderate size, and goes on behind them", function()
    local first = assert(tell())
    local function name(letter) return first:gsub("%d$", letter) end
    shell(("cp spool/%s event && ln -s ../event spool/%s && mkfifo spool/%s && mkdir spool/%s")
      :format(first, name "a", name "b", name "c"))
    system.write(path .. "/" .. name "d", system.read(directory .. "/event"):rep(1000))
    assert(tell "10.0.0.2")
    local result = assert(run())
    assert.same({ 6, 2, 4 }, { result.events, result.written, result.bad })
    assert.same({}, spool.waiting(path))
  end)

  it("is not led elsewhere by links in the place of its own files", function()
    assert(tell())
    shell "touch victim && ln -s ../victim spool/log && ln -s ../victim spool/clock && ln -s ../victim spool/.clock"
    spool.log(path, "a message")
    assert.is_nil((sys.read_own(path .. "/clock", 100)))
    require("hoststore.clock").trust(path, 1, 2)
    assert.is_nil((sys.create(path .. "/log", "x")))
    shell "test ! -s victim && test ! -L spool/clock && ln -s ../victim spool/.1 && rm spool/lock 2>/dev/null; :"
    shell "ln -s ../victim spool/lock"
    assert.is_nil((hotplug.wake(path)))
    shell "test ! -s victim && rm spool/lock"
  end)

  it("takes no more than 2000 events, and says so; a drainer is called all the same", function()
    assert(spool.prepare(path))
    for i = 1, 2000 do
      system.write(("%s/%019d-1-%010d"):format(path, i, i), "end\n")
    end
    local lock = assert(sys.lock(path .. "/lock"))
    assert.same({ ("hoststore: %s: 2000 events wait for the database, no more are taken\n"):format(path), 1 },
      { command "add aa:bb:cc:dd:ee:01 10.0.0.1 a" })
    lock:release()
    assert.equal(1, select(2, command "add aa:bb:cc:dd:ee:01 10.0.0.1 a"))
    leases.wait_for_all(path)
    assert.same({ "", 0 }, { command "add aa:bb:cc:dd:ee:01 10.0.0.1 a" })
    leases.wait_for_all(path)
    assert.same({ "10.0.0.1 a mac:aa:bb:cc:dd:ee:01" }, leases.hosts(directory .. "/hosts.db"))
  end)

  it("does not grow with the events of an outage that say the same again", function()
    assert(sys.mkdir_p(directory .. "/hosts.db"))
    for _ = 1, 5 do
      assert.same({ "", 0 }, { command "old aa:bb:cc:dd:ee:01 10.0.0.1 a" })
      leases.wait_for_drainer(path)
    end
    assert.equal(1, #spool.waiting(path))
  end)

  it("loses what writers have left that were killed, but nothing that is being written", function()
    assert(tell())
    local now = math.floor(sys.monotonic())
    local function left(seconds) return ("%s/.%010d000000000-1-0000000000"):format(path, now + seconds) end
    for _, seconds in ipairs { -3600, -1, 3600 } do system.write(left(seconds), "x") end
    assert(run())
    assert.same({ false, true, false }, { sys.stat(left(-3600)) ~= nil, sys.stat(left(-1)) ~= nil,
      sys.stat(left(3600)) ~= nil })
  end)

  it("has a log of a bounded size", function()
    assert(tell())
    for _ = 1, 400 do spool.log(path, ("x"):rep(5000)) end
    local size = 0
    for _, name in ipairs { "log", "log.1" } do size = size + sys.stat(path .. "/" .. name).size end
    assert.is_true(size < 140 * 1024, size .. " bytes")
    assert.equal("x\n", system.read(path .. "/log"):sub(-2))
  end)

  it("gives names that sort in the order in which they were made, even while the clock stands still", function()
    local before = sys.sequence()
    for _ = 1, 20000 do
      local name = sys.sequence()
      assert(before < name, name)
      before = name
    end
  end)
end)
