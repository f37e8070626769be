-- What another user of the machine can put where hoststore reads and writes. The other user is "nobody", by
-- number, so these specs run as root.
local core = require "hoststore.core"
local expect = require "spec.support.expect"
local hoststore = require "hoststore"
local spool = require "hoststore.hotplug.spool"
local system = require "spec.support.system"

local sys = core.sys
local NOBODY = system.NOBODY

describe("what others have put in the way", function()
  local directory, shared, store

  local function shell(command) return system.shell(directory, command) end

  before_each(function()
    directory = system.directory()
    shared = directory .. "/shared"
    shell "mkdir -m 1777 shared && printf 'secret' >secret && chmod 0640 secret && mkdir policies"
    store = nil
  end)

  after_each(function()
    if store then
      store:close()
    end
    system.remove(directory)
  end)

  local function open(options)
    store = assert(hoststore.open("memory:", options or { policies = false }))
    assert(store:add { ip = "10.0.0.1", hostname = "nas.lan" })
    return store
  end

  -- Whose secret it was stays so, whatever was published.
  local function check_secret()
    assert.equal("secret", system.read(directory .. "/secret"))
    assert.equal("640 0", (shell "stat -c '%a %u' secret"):gsub("\n", ""))
  end

  describe("of an output in a directory for all:", function()
    local path

    before_each(function()
      path = shared .. "/hosts"
    end)

    local function publish(mode)
      return open():publish(path, { mode = mode })
    end

    for _, mode in ipairs { "file", "in-place", "block" } do
      it("a link of another user is not followed, with mode " .. mode, function()
        shell("ln -s ../secret shared/hosts && chown -h " .. NOBODY .. " shared/hosts")
        local err = expect.failure("readonly", publish(mode))
        assert.matches("belongs to another user", err.message, 1, true)
        check_secret()
      end)

      it("a link of another user to a directory on the way is not followed, with mode " .. mode, function()
        shell("mkdir real && ln -s ../real shared/way && chown -h " .. NOBODY .. " shared/way")
        path = shared .. "/way/hosts"
        expect.failure("readonly", publish(mode))
        assert.same({}, system.files(directory .. "/real"))
      end)

      it("a file of another user gets neither its owner nor the hosts, with mode " .. mode, function()
        shell("printf x >shared/hosts && chown " .. NOBODY .. " shared/hosts")
        expect.failure("readonly", publish(mode))
        assert.equal("x", system.read(path))
      end)

      it("a second name of root's file is not written to, with mode " .. mode, function()
        shell "ln secret shared/hosts"
        expect.failure("readonly", publish(mode))
        check_secret()
      end)
    end

    it("links of our own are followed, as those of root are", function()
      shell "ln -s ../published shared/hosts"
      assert.is_true(publish "file")
      assert.matches("nas.lan", system.read(directory .. "/published"))
    end)

    it("a pipe keeps nobody waiting", function()
      shell "mkfifo shared/hosts"
      expect.failure("invalid", publish "in-place")
      assert.is_nil(sys.overwrite(path, directory .. "/secret"))
      assert.is_nil(sys.lock(path))
      assert.is_nil(sys.file_digest(path))
      assert.is_nil(sys.read(path, 10))
      assert.is_nil(sys.append(path, "x"))
    end)

    it("neither an export nor a dump nor a backup follows a link of another user", function()
      shell("ln -s ../secret shared/hosts && chown -h " .. NOBODY .. " shared/hosts")
      open()
      expect.failure("readonly", store:export("hosts", path))
      expect.failure("readonly", store:dump(path))
      expect.failure("readonly", store:backup(path))
      expect.failure("readonly", store:render({ text = "x" }, path))
      check_secret()
    end)

    it("facts that another user has made up are not believed", function()
      local place = require "hoststore.publish.place"
      local prefix = shared .. "/.hoststore-x"
      shell("printf 'a\\tb\\n' >shared/.hoststore-x.state && chown " .. NOBODY .. " shared/.hoststore-x.state")
      assert.same({}, place.read(prefix))
      shell "rm shared/.hoststore-x.state && mkfifo shared/.hoststore-x.state"
      assert.same({}, place.read(prefix))
      shell "rm shared/.hoststore-x.state && printf 'a\\tb\\n' >shared/.hoststore-x.state"
      assert.same({ a = "b" }, place.read(prefix))
    end)
  end)

  describe("of a database in a directory for all:", function()
    local path

    before_each(function()
      path = shared .. "/hosts.db"
    end)

    local function make(journal)
      store = assert(hoststore.open(path, { journal = journal, policies = false }))
      assert(store:add { ip = "10.0.0.1", hostname = "nas.lan" })
      store:close()
      store = nil
    end

    local function refused(what)
      for _, options in ipairs { {}, { readonly = true }, { create = false } } do
        options.policies = false
        local err = expect.failure("readonly", hoststore.open(path, options))
        assert.is_truthy(err.message:find(what, 1, true), err.message)
      end
    end

    it("a link of another user makes no database elsewhere", function()
      shell("ln -s ../made shared/hosts.db && ln -s ../way shared/way && chown -h " .. NOBODY .. " shared/*")
      refused "belongs to another user"
      path = shared .. "/way/new/hosts.db"
      refused "belongs to another user"
      assert.is_nil(sys.stat(directory .. "/made"))
      assert.is_nil(sys.stat(directory .. "/way"))
    end)

    it("neither a database nor a journal of another user is believed", function()
      make "truncate"
      for _, suffix in ipairs { "-journal", "-wal", "-shm", "-checkpoint", "" } do
        shell(("touch shared/hosts.db%s && chown %s shared/hosts.db%s"):format(suffix, NOBODY, suffix))
        refused "belongs to another user"
        shell("rm shared/hosts.db" .. suffix)
      end
    end)

    it("the command check warns of what others could put there, and of no other directory", function()
      local upkeep = require "hoststore.cli.upkeep"
      make "truncate"
      store = assert(hoststore.open(path, { policies = false }))
      assert.matches("anybody may write to the directory", upkeep.warnings(assert(store:stats()))[1])
      store:close()
      store = assert(hoststore.open(directory .. "/hosts.db", { policies = false }))
      assert.same({}, upkeep.warnings(assert(store:stats())))
    end)
  end)

  describe("does not move what is opened behind the check:", function()
    it("a file is overwritten, locked and appended to under its own name alone", function()
      shell "ln -s secret link"
      assert.is_nil(sys.overwrite(directory .. "/link", directory .. "/secret"))
      assert.is_nil(sys.lock(directory .. "/link"))
      assert.is_nil(sys.append(directory .. "/link", "x"))
      assert.is_nil(sys.create(directory .. "/link", "x"))
      check_secret()
    end)
  end)

  describe("of policies:", function()
    local policies

    before_each(function()
      policies = directory .. "/policies"
      system.write(policies .. "/10.lua", 'tag { name = "x", when = function() return true end, add = "x" }')
    end)

    local function refused(what)
      local err = expect.failure("policy", store:add { ip = "10.0.0.2", hostname = "b" })
      assert.is_truthy(err.message:find(what, 1, true), err.message)
      local _, problem = require("hoststore.policy").check(policies)
      assert.equal("policy", problem and problem.code)
    end

    local function accepted()
      local host = assert(store:add { ip = "10.0.0.2", hostname = "b" })
      assert.same({ "x" }, host.tags)
      assert(store:delete(host))
    end

    before_each(function()
      store = assert(hoststore.open("memory:", { policies = policies }))
    end)

    it("a directory that anybody may write to is not used, sticky or not, and the way it is mended counts at once",
      function()
        shell "chmod 0777 policies && touch policies/10.lua"
        refused "chmod o-w"
        shell "chmod 1777 policies"
        refused "chmod o-w"
        shell "chmod 0755 policies"
        accepted()
      end)

    it("neither is one in such a directory, unless that is sticky and it is ours", function()
      shell "mkdir -m 0777 open && mv policies open/ && ln -s open/policies policies"
      refused "anybody may write to the directory it is in"
      shell "chmod +t open"
      accepted()
      shell("chown " .. NOBODY .. " open/policies && touch open/policies/10.lua")
      refused "belongs to another user"
    end)

    it("a file that anybody may write to is not used, nor is one that a link leads to", function()
      shell "chmod 0666 policies/10.lua"
      refused "10.lua: anybody may write to it"
      shell "mv policies/10.lua wide && ln -s ../wide policies/10.lua"
      refused(directory .. "/wide: anybody may write to it")
      shell "chmod 0644 wide"
      accepted()
    end)

    it("a pipe, a device and a file that has no end make no write wait, and say what they are", function()
      for what, command in pairs {
        ["is no regular file"] = "rm policies/10.lua; mkfifo policies/10.lua",
        ["10.lua: is no regular file"] = "rm -f policies/10.lua; ln -s /dev/zero policies/10.lua",
        ["File too large"] = "rm -f policies/10.lua; truncate -s 1000000000 policies/10.lua",
        ["No such file"] = "rm -f policies/10.lua; ln -s nowhere policies/10.lua",
      } do
        shell(command)
        local err = expect.failure("policy", store:add { ip = "10.0.0.2", hostname = "b" })
        assert.is_truthy(err.message:find(what, 1, true) or err.message:find("anybody may write", 1, true), err.message)
      end
    end)
  end)

  describe("of the spool:", function()
    it("a directory on its way that another user could turn elsewhere is not used", function()
      shell("mkdir -m 0700 real && ln -s ../real shared/hoststore && chown -h " .. NOBODY .. " shared/hoststore")
      local name, message = spool.write(shared .. "/hoststore/spool", { action = "add" })
      assert.is_nil(name)
      assert.matches("belongs to another user", message, 1, true)
      assert.is_nil((sys.list(directory .. "/real/spool") or {})[1])
    end)

    it("a pipe in it is put aside, and keeps nobody waiting", function()
      local path = directory .. "/spool"
      assert(spool.write(path, { action = "add", client = "aa:bb:cc:dd:ee:01", ip = "10.0.0.5", name = "laptop" }))
      shell "mkfifo spool/0000000001"
      open()
      local result = assert(require("hoststore.hotplug.drain").run(store, path))
      assert.same({ 2, 1 }, { result.events, result.bad })
      assert.equal("other", sys.stat(path .. "/bad/0000000001").type)
    end)
  end)
end)

describe("what hoststore leaves on the disk is its owner's alone", function()
  local directory

  before_each(function()
    directory = system.directory()
  end)

  after_each(function()
    system.remove(directory)
  end)

  -- A process of its own, since the umask is the process's.
  local SCRIPT = [[
    local directory, journal = arg[1], arg[2]
    local hoststore = require "hoststore"
    local store = assert(hoststore.open(directory .. "/db", { journal = journal, page_size = 512, policies = false }))
    assert(store:add { ip = "10.0.0.1", hostname = "nas.lan" })
    -- So long a log is checkpointed.
    assert(store:stream("s"):append { type = "T", data = ("x"):rep(800000) })
    if #require("hoststore.cli.upkeep").warnings(assert(store:stats())) > 0 then
      assert(require("hoststore.core").sys.stat(directory .. "/db-checkpoint"))
    end
    assert(store:backup(directory .. "/backup"))
    assert(store:dump(directory .. "/dump"))
    assert(store:publish_outputs({ { name = "o", path = directory .. "/published" } })[1].written)
    local spool = require "hoststore.hotplug.spool"
    local path = directory .. "/spool"
    assert(spool.write(path, { action = "add", client = "aa:bb:cc:dd:ee:01", ip = "10.0.0.5", name = "laptop" }))
    assert(spool.write(path, { action = "add" }))
    spool.log(path, "a message")
    require("hoststore.clock").trust(path, 1, 1)
    local drained = assert(require("hoststore.hotplug.drain").run(store, path))
    assert(drained.bad == 1)
    assert(spool.write(path, { action = "add" }))
    -- In the middle of a commit, so that the journal is there, too.
    assert(store:transaction(function()
      assert(store:add { ip = "10.0.0.2", hostname = "b.lan" })
      local pipe = io.popen("find '" .. directory .. "' -printf '%M %P\\n'")
      io.write(pipe:read "*a")
      return true
    end))
  ]]

  for _, umask in ipairs { "000", "022", "077" } do
    for _, journal in ipairs { "truncate", "wal" } do
      it("with umask " .. umask .. " and journal " .. journal, function()
        system.write(directory .. "/script", SCRIPT)
        local output, status = system.run(("umask %s; HOSTSTORE_RUN=%s/run %s"):format(umask, directory,
          system.lua(directory .. "/script", directory, journal)))
        assert.equal(0, status, output)
        local found = {}
        for mode, path in output:gmatch "([%a-]+) ([^\n]*)\n" do
          local name = path:gsub("run/%x+", "run/KEY"):gsub("hoststore%-%x+", "hoststore-KEY")
            :gsub("%d%d%d[%d-]+", "EVENT")
          found[name] = mode
        end
        local public = { published = "-rw-r--r--", script = found.script, run = found.run, [""] = found[""],
          spool = "drwx------", ["spool/bad"] = "drwx------" }
        for name, mode in pairs(found) do
          assert.equal(public[name] or "-rw-------", mode, name)
        end
        for _, name in ipairs { "db", journal == "wal" and "db-wal" or "db-journal", "backup", "dump", "published",
          "run/KEY.lock", ".hoststore-KEY.state", "spool/lock", "spool/log", "spool/clock", "spool/bad/EVENT",
          "spool/bad/EVENT.reason", "spool/EVENT" } do
          assert.is_string(found[name], name .. " is missing")
        end
      end)
    end
  end
end)
