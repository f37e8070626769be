local core = require "hoststore.core"
local expect = require "spec.support.expect"
local hoststore = require "hoststore"
local policy = require "hoststore.policy"

for _, backend in ipairs(require "spec.support.backends") do
  describe(backend.name .. ": policies", function()
    after_each(backend.finish)

    local function directory()
      local path = backend.directory() .. "/policies"
      assert(core.sys.mkdir_p(path))
      return path
    end

    local function write(name, text)
      local file = assert(io.open(directory() .. "/" .. name, "wb"))
      file:write(text)
      file:close()
    end

    -- A store whose policies are these scripts, by name; a text alone is 10-test.lua.
    local function open(scripts, options)
      if type(scripts) == "string" then scripts = { ["10-test.lua"] = scripts } end
      for name, text in pairs(scripts) do write(name, text) end
      options = options or {}
      options.policies, options.actor = directory(), "alice"
      return backend.open(options)
    end

    local function refused(result, err)
      assert.is_nil(result)
      assert.equal("policy", err.code)
      assert.is_false(err.retryable)
      return err
    end

    local function metadata(store)
      return expect.pluck(assert(store:log()), "metadata")
    end

    local function position(store)
      return assert(store:stats()).position
    end

    local IOT = 'tag { name = "iot", filter = { ip = "10.0.3.0/24" }, add = "iot", remove = "new" }\n'
    local DOMAIN = [[normalise { name = "domain", apply = function(host)
      if not host.hostname:find(".", 1, true) then return { hostname = host.hostname .. ".lan" } end
    end }]] .. "\n"
    local NO_WPAD = [[validate { name = "wpad", check = function(host, before)
      if host.hostname:match "^wpad" then return false, "nobody is called wpad", "hostname" end
      return true
    end }]] .. "\n"

    describe("tag", function()
      it("adds and removes tags on add and on update, and the event says which rule of which file did", function()
        local store = open(IOT)
        local host = assert(store:add { ip = "10.0.3.7", hostname = "a", tags = { "new", "x" } })
        assert.same({ "iot", "x" }, host.tags)
        local other = assert(store:add { ip = "10.0.4.7", hostname = "b", tags = { "new" } })
        assert.same({ "new" }, other.tags)
        other = assert(other:update { ip = "10.0.3.8" })
        assert.same({ "iot" }, other.tags)
        assert.same(other, store:get(other.id))
        local effect = { policy = { { file = "10-test.lua", rule = "iot", added = { "iot" }, removed = { "new" } } } }
        -- One change, of two fields.
        assert.same({ [1] = effect, [3] = effect, [4] = effect }, metadata(store))
      end)

      it("keeps the metadata of the caller", function()
        local store = open(IOT)
        assert(store:add({ ip = "10.0.3.1", hostname = "a" }, { metadata = { ticket = 7 } }))
        assert(store:add({ ip = "10.0.3.2", hostname = "b" }, { metadata = { 1, 2 } }))
        assert(store:add({ ip = "10.0.3.3", hostname = "c" }, { metadata = {} }))
        local effects = { { file = "10-test.lua", rule = "iot", added = { "iot" } } }
        assert.same({ { ticket = 7, policy = effects }, { metadata = { 1, 2 }, policy = effects },
          { policy = effects } }, metadata(store))
      end)

      it("takes any filter, and a function, in the order of files and rules", function()
        local store = open {
          ["20-b.lua"] = [[
            tag { name = "1", filter = { hostname = "CAM-*" }, add = "glob" }
            tag { name = "2", filter = { hostname_pattern = "m-1" }, add = "substring" }
            tag { name = "3", filter = { text = "cellar" }, add = "text" }
            tag { name = "4", filter = { tags = { "glob", "none" } }, add = "any" }
            tag { name = "5", filter = { tags_all = { "glob", "any" } }, add = "all" }
            tag { name = "6", filter = { tags_none = "nothing" }, add = "none" }
            tag { name = "7", filter = { enabled = false }, add = "off" }
            tag { name = "8", filter = { origin = "dhcp" }, add = "leased" }
            tag { name = "9", filter = { ip = "10.0.0.0/30" }, when = function(host, before)
              return not before and ip_in(host.ip, "10.0.0.2") end, add = "two" }
            tag { name = "10", add = "every" }
            tag { name = "11", filter = { tags = "first" }, add = "second" }]],
          ["10-a.lua"] = 'tag { name = "first", add = "first" }',
          [".hidden.lua"] = "nonsense", ["notes.txt"] = "nonsense", ["30-c.lua~"] = "nonsense",
        }
        local host = assert(store:add { ip = "10.0.0.2", hostname = "x", aliases = { "cam-1" },
          comment = "In the CELLAR" })
        assert.same({ "all", "any", "every", "first", "glob", "none", "second", "substring", "text", "two" }, host.tags)
        host = assert(store:add { ip = "10.0.0.3", hostname = "cam2", tags = { "nothing" }, enabled = false,
          origin = "dhcp" })
        assert.same({ "every", "first", "leased", "nothing", "off", "second" }, host.tags)
        assert(os.remove(directory() .. "/.hidden.lua"))
      end)

      it("is not asked for a change that changes nothing, and writes none that it takes back", function()
        local store = open [[tag { name = "never", add = "kept", remove = "gone" }]]
        local host = assert(store:add { ip = "10.0.0.2", hostname = "a" })
        local _, changed = store:update(host, { hostname = "a" })
        assert.is_false(changed)
        _, changed = store:update(host, { tags = {} })
        assert.is_false(changed)
        _, changed = store:update(host.id, { tags = { "gone", "kept" } })
        assert.is_false(changed)
        assert.equal(1, position(store))
      end)
    end)

    describe("validate", function()
      it("refuses with a message and a field, and nothing is written", function()
        local store = open(NO_WPAD)
        local err = refused(store:add { ip = "10.0.0.1", hostname = "wpad.lan" })
        assert.same({ "nobody is called wpad", "hostname" }, { err.message, err.field })
        local host = assert(store:add { ip = "10.0.0.1", hostname = "a" })
        refused(host:update { hostname = "wpad" })
        refused(store:update(host.id, { hostname = "wpad" }))
        assert.equal(1, position(store))
        assert.same(host, store:get(host.id))
        assert(host:delete())
      end)

      it("sees the host before, and a field that is none is the host", function()
        local store = open [[validate { name = "address", check = function(host, before)
          return before == nil or before.ip == host.ip and #before.id == 26, "addresses stay", "address"
        end }]]
        local host = assert(store:add { ip = "10.0.0.1", hostname = "a" })
        local err = refused(host:update { ip = "10.0.0.2" })
        assert.same({ "addresses stay", "host" }, { err.message, err.field })
        assert(host:update { comment = "x" })
      end)

      it("rolls back the transaction that gives up", function()
        local store = open(NO_WPAD)
        local _, err = store:transaction(function()
          assert(store:add { ip = "10.0.0.1", hostname = "a" })
          return store:add { ip = "10.0.0.2", hostname = "wpad" }
        end)
        assert.equal("policy", err.code)
        assert.equal(0, position(store))
        -- One that goes on keeps the rest.
        assert(store:transaction(function()
          assert(store:add { ip = "10.0.0.1", hostname = "a" })
          refused(store:add { ip = "10.0.0.2", hostname = "wpad" })
        end))
        assert.equal(1, position(store))
      end)

      it("is a line of the import that failed; strict refuses everything", function()
        local store = open(NO_WPAD)
        local text = "10.0.0.1 a\n10.0.0.2 wpad\n10.0.0.3 b\n"
        local err = refused(store:import({ text = text }, { mode = "strict" }))
        assert.equal(2, err.line)
        assert.equal(0, position(store))
        local result = assert(store:import { text = text })
        assert.same({ 2, 1, 2, "policy" },
          { result.created, result.failed, result.errors[1].line, result.errors[1].code })
      end)

      it("does not hide that the host has changed meanwhile", function()
        local store = open [[validate { name = "one", check = function(host) return host.comment ~= "b", "no" end }]]
        local host = assert(store:add { ip = "10.0.0.1", hostname = "a" })
        assert(store:update(host.id, { comment = "a" }))
        local _, err = store:update(host, { comment = "b" })
        assert.equal("conflict", err.code)
      end)
    end)

    describe("normalise", function()
      it("changes what is written, before duplicates are looked for", function()
        local store = open(DOMAIN)
        local host = assert(store:add { ip = "10.0.0.1", hostname = "NAS" })
        assert.equal("nas.lan", host.hostname)
        local _, err = store:add { ip = "10.0.0.1", hostname = "nas" }
        assert.equal("duplicate", err.code)
        assert.equal("box.lan", assert(host:update { hostname = "box" }).hostname)
        assert.same({ file = "10-test.lua", rule = "domain", changed = { "hostname" } }, metadata(store)[1].policy[1])
      end)

      it("finds a host again that an import has named, and syncs twice without an event", function()
        local store = open(DOMAIN .. IOT)
        local function sync()
          return assert(store:import({ text = "10.0.3.1 a x\n10.0.3.2 b.example\n" },
            { mode = "sync", origin = "import:lab" }))
        end
        assert.equal(2, sync().created)
        assert.same({ "a.lan", "b.example" }, expect.pluck(assert(store:list()), "hostname"))
        assert.same({ "iot" }, store:list()[1].tags)
        local before = position(store)
        assert.equal(2, sync().unchanged)
        assert.equal(before, position(store))
        assert.equal("iot", metadata(store)[1].policy[2].rule)
      end)

      it("may set and clear every field, and what it gives is checked like input", function()
        local store = open [[normalise { name = "all", apply = function(host)
          if host.hostname == "a" then
            return { ip = "10.0.0.9", hostname = "B.", aliases = { "C" }, comment = null, tags = { "z", "y" },
              enabled = false, expires_at = 4102444800, origin = "dhcp" }
          end
          return { [host.hostname] = host.comment }
        end }]]
        local host = assert(store:add { ip = "10.0.0.1", hostname = "a", comment = "x" })
        assert.same({ "10.0.0.9", "b", { "c" }, { "y", "z" }, false, 4102444800, "dhcp", nil },
          { host.ip, host.hostname, host.aliases, host.tags, host.enabled, host.expires_at, host.origin, host.comment })
        assert.same(host, store:get(host.id))
        local err = refused(store:add { ip = "10.0.0.2", hostname = "ip", comment = "10.0.0.300" })
        assert.same({ "ip", true }, { err.field, err.message:find("10.0.0.300", 1, true) ~= nil })
        assert.matches("^10%-test%.lua:%d+: rule 'all': '10%.0%.0%.300'", err.message)
        err = refused(store:add { ip = "10.0.0.2", hostname = "id", comment = "x" })
        assert.matches("no field of a host", err.message)
        err = refused(store:add { ip = "10.0.0.2", hostname = "tags", comment = "x" })
        assert.matches("rule 'all' gives tags a string, not a list of texts", err.message)
        assert.equal(1, position(store))
      end)
    end)

    it("on(event) adds tags to the host that the event is about", function()
      local store = open [[
        on("HostnameChanged", function(event)
          if event.before.hostname ~= event.host.hostname then return { add = "renamed", remove = { "fresh" } } end
        end)
        on("HostCreated", function(event) return { add = { "fresh", event.type } } end)]]
      local host = assert(store:add { ip = "10.0.0.1", hostname = "a" })
      assert.same({ "HostCreated", "fresh" }, host.tags)
      host = assert(host:update { comment = "x" })
      assert.same({ "HostCreated", "fresh" }, host.tags)
      assert.same({ "HostCreated", "renamed" }, assert(host:update { hostname = "b" }).tags)
    end)

    it("are asked on every way to write a host, and each event says so", function()
      local store = open [[tag { name = "seen", add = "seen" }]]
      local effect = { policy = { { file = "10-test.lua", rule = "seen", added = { "seen" } } } }
      local number, path = 0, backend.directory() .. "/hosts"
      -- A fresh host without the tag, which is then written in some way.
      local function check(way, fn)
        number = number + 1
        local ip = "10.0.0." .. number
        write("10-test.lua", "")
        local old = assert(store:add { ip = ip, hostname = "old" })
        assert(store:publish(path))
        write("10-test.lua", [[tag { name = "seen", add = "seen" }]])
        local before = position(store)
        fn(old, ip)
        assert.is_true(position(store) > before, way)
        local changed = {}
        for _, entry in ipairs(assert(store:log { after = before })) do
          if entry.type == "HostCreated" or entry.changes.tags then
            changed[#changed + 1] = entry
            assert.same({ "seen" }, entry.host.tags, way)
          end
        end
        assert.equal(1, #changed, way)
        assert.same(effect, changed[1].metadata, way)
      end
      local function import(mode, name, more)
        return function(_, ip) assert(store:import({ text = ip .. " " .. name .. more }, { mode = mode })) end
      end
      check("add", function(_, ip) assert(store:add { ip = ip, hostname = "new" }) end)
      check("update of a value", function(old) assert(old:update { comment = "x" }) end)
      check("update of an id", function(old) assert(store:update(old.id, { comment = "x" })) end)
      check("transaction", function(old)
        assert(store:transaction(function() return old:update { comment = "x" } end))
      end)
      check("skip", import("skip", "new", ""))
      check("strict", import("strict", "new", ""))
      check("replace", import("replace", "old", " # x"))
      check("merge", import("merge", "old", " # x"))
      check("sync", function(_, ip)
        assert(store:import({ text = ip .. " new" }, { mode = "sync", origin = "import:x" }))
      end)
      check("plan", function(_, ip)
        assert(assert(store:plan { mode = "merge", entries = { { ip = ip, hostname = "new" } } }):apply())
      end)
      check("plan of an update", function(_, ip)
        local entry = { ip = ip, hostname = "old", comment = "x" }
        assert(assert(store:plan { mode = "merge", entries = { entry } }):apply())
      end)
      check("adoption of a file that was changed by hand", function(_, ip)
        local file = assert(io.open(path, "ab"))
        file:write(ip, " new\n")
        file:close()
        local result = assert(store:publish_outputs({ { path = path } }, { adopt = true }))[1]
        assert.equal(1, result.adopted.created)
      end)
      write("10-test.lua", NO_WPAD)
      local file = assert(io.open(path, "ab"))
      file:write("10.0.1.1 wpad\n")
      file:close()
      local result = assert(store:publish_outputs({ { path = path } }, { adopt = true }))[1]
      assert.matches("nobody is called wpad", result.error.message)
    end)

    it("are not asked when what was is brought back", function()
      local store = open({})
      local host = assert(store:add { ip = "10.0.0.1", hostname = "wpad" })
      local snapshot = assert(store:snapshot())
      assert(host:update { hostname = "a" })
      write("10-test.lua", NO_WPAD .. IOT)
      assert(store:undo(2))
      assert.equal("wpad", store:get(host.id).hostname)
      assert(store:update(host.id, { hostname = "b" }))
      assert(store:delete(host.id))
      assert(store:restore(snapshot.id))
      assert.equal("wpad", store:get(host.id).hostname)
      refused(store:update(host.id, { comment = "x" }))
    end)

    it("give the first answer again for an event id that is known", function()
      local store = open(DOMAIN .. IOT)
      local id = assert(store:add { ip = "10.0.3.1", hostname = "x" }).id
      local given, options = { ip = "10.0.3.2", hostname = "y" }, { event_id = id }
      local host = assert(store:add(given, options))
      assert.same(host, assert(store:add(given, options)))
      assert.equal(2, position(store))
    end)

    it("rules get copies, and cannot change what others see", function()
      local store = open [[
        tag { name = "1", when = function(host, before) host.tags[1] = "evil" host.ip = "1.1.1.1" return true end,
          add = "good" }
        validate { name = "2", check = function(host)
          host.hostname = "evil"
          return host.ip == "10.0.0.1" and #host.tags == 1 and host.tags[1] == "good", "was changed" end }]]
      local host = assert(store:add { ip = "10.0.0.1", hostname = "a" })
      assert.same({ "10.0.0.1", "a", { "good" } }, { host.ip, host.hostname, host.tags })
    end)

    it("files have globals of their own", function()
      local store = open {
        ["1.lua"] = 'function name() return "one" end string.rep = nil tag { name = "1", when = function() ' ..
          'return name() == "one" end, add = "one" }',
        ["2.lua"] = 'function name() return "two" end _G.x = ("a"):rep(2) pairs = nil apply = nil rules = nil ' ..
          'tag { name = "2", when = function() return name() == "two" and not apply end, add = "two" }',
        ["3.lua"] = 'tag { name = "3", when = function() return not name and not x and string.rep("a", 2) == "aa" ' ..
          'end, add = "three" }',
      }
      assert.same({ "one", "three", "two" }, assert(store:add { ip = "10.0.0.1", hostname = "a" }).tags)
    end)

    describe("that are broken", function()
      it("refuse writes with file and line, while reads go on, until the file is mended", function()
        local store = open({})
        assert(store:add { ip = "10.0.0.1", hostname = "a" })
        for text, message in pairs {
          ["\ntag { name = = }"] = "^10%-test%.lua:2: ",
          ["\n\nerror 'stop'"] = "^10%-test%.lua:3: stop",
          ["while true do end"] = "^10%-test%.lua:1: .*instructions",
          ["local t = {} for i = 1, 1e8 do t[i] = {} end"] = "^10%-test%.lua:1: .*memory",
          ["\ntag { name = 'x', ad = 'y' }"] = "^10%-test%.lua:2: tag 'x' has an unknown key 'ad'",
          ["\ntag { name = 'x', filter = { hostnam = 'y' } , add = 'z' }"] = "^10%-test%.lua:2: .*hostnam",
          ["\ntag { name = 'x', filter = { ip = 'y' } , add = 'z' }"] = "^10%-test%.lua:2: .*address or a network",
          ["tag { name = 'x' }"] = "^10%-test%.lua:1: .*needs add or remove",
          ["tag { add = 'x' }"] = ":1: tag needs a name",
          ["validate { name = 'x' }"] = ":1: validate 'x' needs check",
          ["on('x', print)"] = ":1: there is no event 'x'",
          ["output { name = 'x', reload = function() end }"] = ":1: output.reload must be plain data",
          ["os.execute 'reboot'"] = "^10%-test%.lua:1: .*'os'", ["\27Lua"] = "^10%-test%.lua:1: .*compiled",
        } do
          write("10-test.lua", text)
          local err = refused(store:add { ip = "10.0.0.2", hostname = "b" })
          assert.matches(message, err.message)
          assert.is_nil(err.field)
        end
        refused(store:import { text = "10.0.0.2 b" })
        refused(store:update(store:list()[1], { comment = "x" }))
        assert.equal(1, #store:list())
        refused(store:outputs())
        -- Nothing of it is asked for what is deleted.
        write("10-test.lua", IOT)
        assert.same({ "iot" }, assert(store:add { ip = "10.0.3.2", hostname = "b" }).tags)
      end)

      it("fail in the middle of a rule and say which", function()
        local store = open("\ntag { name = 'lookup', when = function(host)\n return host.x.y end, add = 'z' }")
        local given = { ip = "10.0.0.1", hostname = "a" }
        assert.matches("^10%-test%.lua:3: rule 'lookup': ", refused(store:add(given)).message)
        write("10-test.lua", "validate { name = 'lazy', check = function() end }")
        assert.matches("^10%-test%.lua:1: rule 'lazy' must return true", refused(store:add(given)).message)
        write("10-test.lua", "tag { name = 'l', when = function() while true do end end, add = 'z' }")
        for _ = 1, 2 do
          assert.matches("^10%-test%.lua:1: .*instructions", refused(store:add(given)).message)
        end
        assert.equal(0, position(store))
        assert.is_nil((store:import { text = "10.0.0.1 a\n10.0.0.2 b" }))
      end)

      it("let writes through as they are when the admin chose so, never half", function()
        local store = open(DOMAIN .. "tag { name = 'x', when = function(host) return host.x.y end, add = 'z' }",
          { on_error = "allow" })
        local host = assert(store:add({ ip = "10.0.0.1", hostname = "a" }, { metadata = { x = 1 } }))
        assert.same({ "a", {} }, { host.hostname, host.tags })
        local noted = metadata(store)[1]
        assert.equal(1, noted.x)
        assert.matches("^10%-test%.lua:%d+: rule 'x': ", noted.policy[1].error)
        assert.equal(1, #noted.policy)
        assert.equal("b", assert(host:update { hostname = "b" }).hostname)
        assert.equal(1, assert(store:import({ text = "10.0.0.1 b\n10.0.0.2 c" }, { mode = "merge" })).created)
        assert.same({ "b", "c" }, expect.pluck(store:list(), "hostname"))
        write("10-test.lua", "= nonsense")
        assert(store:add { ip = "10.0.0.4", hostname = "d" })
        assert.matches("10%-test%.lua:1:", metadata(store)[4].policy[1].error)
        -- A rule that refuses is not broken.
        write("10-test.lua", NO_WPAD)
        refused(store:add { ip = "10.0.0.5", hostname = "wpad" })
      end)

      it("in a handler of an event fail, and nothing of the change is written, nor of what comes with it", function()
        local script = DOMAIN .. IOT .. [[
          on("HostCreated", function(event)
            event.host.hostname = "mine"
            event.host.tags[1] = "mine"
            return { add = "created" }
          end)
          on("CommentUpdated", function(event) return event.host.comment.x.y end)
          on("HostCreated", function(event)
            if event.host.hostname == "bad.lan" then error { "no text" } end
          end)]]
        local store = open(script)
        local host = assert(store:add { ip = "10.0.3.1", hostname = "a" })
        assert.same({ "a.lan", { "created", "iot" } }, { host.hostname, host.tags })
        local bad = { ip = "10.0.3.2", hostname = "bad" }
        local message = "^10%-test%.lua:11: rule 'HostCreated': it raised a table"
        assert.matches(message, refused(store:add(bad)).message)
        assert.matches("^10%-test%.lua:%d+: rule 'CommentUpdated': ",
          refused(store:update(host, { ip = "10.0.3.9", comment = "x", tags = {} })).message)
        assert.matches(message, refused(store:import { text = "10.0.3.3 c\n10.0.3.2 bad\n10.0.3.4 d\n" }).message)
        assert.matches(message, refused(store:plan { entries = { { ip = "10.0.3.3", hostname = "c" }, bad } }).message)
        assert.matches(message, refused(store:transaction(function()
          assert(store:add { ip = "10.0.3.3", hostname = "c" })
          return store:add(bad)
        end)).message)
        assert.same({ 1, host }, { position(store), store:get(host.id) })
        -- Or the host as it was given, without a trace of the rules before.
        store = open(script, { on_error = "allow" })
        local given = assert(store:add(bad))
        assert.same({ "bad", {} }, { given.hostname, given.tags })
        assert.equal(1, #metadata(store)[1].policy)
        assert.matches(message, metadata(store)[1].policy[1].error)
        given = assert(store:update(given, { comment = "x", ip = "10.0.4.9" }))
        assert.same({ "x", {} }, { given.comment, given.tags })
      end)

      it("fail in the middle of an import, a plan or a transaction, of which nothing is written", function()
        local store = open(IOT .. [[validate { name = "c", check = function(host)
          return host.hostname ~= "c" or host.x.y
        end }]])
        local text, entries = "", {}
        for i, name in ipairs { "a", "b", "c", "d" } do
          entries[i] = { ip = "10.0.3." .. i, hostname = name }
          text = text .. entries[i].ip .. " " .. name .. "\n"
        end
        for _, mode in ipairs { "skip", "replace", "merge", "strict", "sync" } do
          local err = refused(store:import({ text = text }, { mode = mode }))
          assert.same({ 3, true }, { err.line, err.message:find("rule 'c'", 1, true) ~= nil }, mode)
        end
        assert.equal(3, refused(store:plan { entries = entries }).index)
        refused(store:transaction(function()
          for _, entry in ipairs(entries) do
            local host, err = store:add(entry)
            if not host then return nil, err end
          end
        end))
        assert.same({ 0, 0 }, { position(store), store:count() })
        -- Let through, it is that host alone which is as it was given.
        store = open({}, { on_error = "allow" })
        assert.equal(4, assert(store:import { text = text }).created)
        local tagged = {}
        for i, host in ipairs(store:list()) do tagged[i] = host.hostname .. #host.tags end
        assert.same({ "a1", "b1", "c0", "d1" }, tagged)
      end)

      it("are read by no reader", function()
        write("10-test.lua", "= nonsense")
        local url = backend.make()
        local store = assert(hoststore.open(url, { policies = directory() }))
        assert.equal(0, #store:list())
        assert.equal(0, store:count())
        store:close()
        store = assert(hoststore.open(backend.make(), { policies = directory() .. "/none" }))
        assert.same({}, store:list())
        assert.matches("policies/none", refused(store:add { ip = "10.0.0.1", hostname = "a" }).message)
        store:close()
      end)
    end)

    it("can be turned off, also by the URL, and wrong options are refused", function()
      write("10-test.lua", IOT)
      local url = backend.make()
      url = url .. (url:find "?" and "&" or "?") .. "policies="
      if backend.name ~= "sqlite memory" then
        local store = assert(hoststore.open(url .. directory()))
        assert.same({ "iot" }, assert(store:add { ip = "10.0.3.1", hostname = "a" }).tags)
        store:close()
        store = assert(hoststore.open(url .. "false"))
        assert.same({}, assert(store:add { ip = "10.0.3.2", hostname = "a" }).tags)
        store:close()
      end
      assert.has_error(function() hoststore.open("memory:", { policies = true }) end)
      assert.has_error(function() hoststore.open("memory:", { on_error = "ignore" }) end)
    end)

    it("shows in a plan what the rules will do, and applying it records them", function()
      local store = open(DOMAIN .. IOT .. NO_WPAD)
      local plan = assert(store:plan { entries = { { ip = "10.0.3.1", hostname = "a" }, { ip = "10.0.3.2",
        hostname = "wpad" } }, mode = "merge" })
      assert.same({ "a.lan", { "iot" } }, { plan.add[1].hostname, plan.add[1].tags })
      assert.equal("nobody is called wpad", plan.invalid[1].message)
      assert.equal(0, position(store))
      assert(plan:apply())
      assert.same({ "domain", "iot" }, expect.pluck(metadata(store)[1].policy, "rule"))
    end)

    it("are compiled once for all stores of a process, until a file changes", function()
      local store = open(IOT)
      assert(store:add { ip = "10.0.3.1", hostname = "a" })
      local set = policy.get(directory(), true)
      local other = assert(hoststore.open("memory:", { policies = directory() }))
      assert(other:add { ip = "10.0.3.1", hostname = "a" })
      other:close()
      assert.equal(set, policy.get(directory(), true))
      write("20-more.lua", 'tag { name = "more", add = "more" }')
      assert.same({ "iot", "more" }, assert(store:add { ip = "10.0.3.2", hostname = "b" }).tags)
      assert(os.remove(directory() .. "/20-more.lua"))
      assert.same({ "iot" }, assert(store:add { ip = "10.0.3.3", hostname = "c" }).tags)
      assert.is_false(set == policy.get(directory(), true))
    end)

    it("note what they did with the change, on each of its events alike, on every way to write", function()
      local store = open(DOMAIN .. IOT .. 'on("TagsModified", function() return { add = "m" } end)')
      local domain = { file = "10-test.lua", rule = "domain", changed = { "hostname" } }
      local iot = { file = "10-test.lua", rule = "iot", added = { "iot" } }
      local last = 0
      local function noted()
        local found = {}
        for i, entry in ipairs(assert(store:log { after = last })) do
          found[i], last = entry.metadata and entry.metadata.policy or false, entry.position
        end
        return found
      end
      local host = assert(store:add { ip = "10.0.4.1", hostname = "a" })
      assert.same({ { domain } }, noted())
      host = assert(store:update(host, { ip = "10.0.3.1", hostname = "b", comment = "x", tags = { "y" } }))
      local m = { file = "10-test.lua", rule = "TagsModified", added = { "m" } }
      assert.same({ { domain, iot, m }, { domain, iot, m }, { domain, iot, m }, { domain, iot, m } }, noted())
      assert(store:import({ text = "10.0.3.2 c\n10.0.4.2 d.lan\n10.0.3.1 b # z [iot, m, y]" }, { mode = "replace" }))
      assert.same({ { domain, iot }, false, { domain } }, noted())
      assert(assert(store:plan { mode = "merge", entries = { { ip = "10.0.3.5", hostname = "e" } } }):apply())
      assert.same({ { domain, iot } }, noted())
      assert(store:delete(host.id))
      assert.same({ false }, noted())
      write("10-test.lua", [[normalise { name = "cd", apply = function()
        return { comment = "c", aliases = { "q" } }
      end }]])
      assert.equal(3, assert(assert(store:plan_policies()):apply()).updated)
      local cd = { file = "10-test.lua", rule = "cd", changed = { "aliases", "comment" } }
      local all = noted()
      assert.equal(6, #all)
      for _, entry in ipairs(all) do assert.same({ cd }, entry) end
    end)

    it("say in a plan what they refuse, also where nothing can be written", function()
      local store = open(DOMAIN .. NO_WPAD)
      assert(store:add { ip = "10.0.0.1", hostname = "a" })
      local function planned(from)
        local plan = assert(from:plan { mode = "merge", entries = { { ip = "10.0.0.2", hostname = "wpad" },
          { ip = "10.0.0.3", hostname = "b" }, { ip = "10.0.0.400", hostname = "c" } } })
        assert.same({ "b.lan" }, expect.pluck(plan.add, "hostname"))
        assert.same({ 1, 3 }, expect.pluck(plan.invalid, "index"))
        assert.same({ "policy", "invalid" }, expect.pluck(plan.invalid, "code"))
        assert.equal("nobody is called wpad", plan.invalid[1].message)
        return plan
      end
      if backend.reopen then
        local reader = backend.reopen { policies = directory(), readonly = true }
        planned(reader)
        assert.equal(1, assert(reader:plan_policies()).unchanged)
      end
      assert.same({ 1, 2 }, { assert(planned(store):apply()).created, store:count() })
    end)

    it("hand out what is to be published", function()
      local store = open [[output { name = "dns", path = "/tmp/hosts/lan", format = "hosts", filter = { tags = "lan" },
        reload = { "/etc/init.d/dnsmasq", "reload" } }]]
      assert.same({ { name = "dns", path = "/tmp/hosts/lan", format = "hosts", filter = { tags = "lan" }, line = 1,
        reload = { "/etc/init.d/dnsmasq", "reload" }, file = "10-test.lua" } }, store:outputs())
      store = backend.open { policies = false }
      assert.same({}, store:outputs())
    end)

    it("explain a host that is not there as it would be written", function()
      local store = open([[
        normalise { name = "loud", apply = function(h) return { hostname = "NAS.LAN." } end }
        tag { name = "quiet", when = function(h) return h.hostname == "nas.lan" end, add = "x" }
        on("HostCreated", function(e) return { add = e.before == nil and "new" or "old" } end)
        on("HostCreated", function() end)]])
      local lines = assert(store:explain_policies { ip = "10.0.3.1", hostname = "a" })
      assert.same({ { "x" }, { "new" }, true }, { lines[2].added, lines[3].added, lines[4].matched })
      local host = assert(store:add { ip = "10.0.3.1", hostname = "a" })
      assert.same({ "new", "x" }, host.tags)
      lines = assert(store:explain_policies(host, { tags = {} }))
      assert.same({ { "x" }, false }, { lines[2].added, lines[3].matched })
      write("10-test.lua", '\nnormalise { name = "bad", apply = function() return { ip = "10.0.0.300" } end }')
      assert.matches("^10%-test%.lua:2: rule 'bad': '10%.0%.0%.300' is",
        refused(store:explain_policies { ip = "10.0.3.1", hostname = "a" }).message)
      local _, err = store:explain_policies { hostname = "a" }
      assert.same({ "invalid", "ip" }, { err.code, err.field })
    end)

    it("explain what each rule says of a host", function()
      local store = open(DOMAIN .. IOT .. NO_WPAD)
      local lines = assert(store:explain_policies { ip = "10.0.3.1", hostname = "wpad" })
      assert.same({ "normalise", "tag", "validate" }, expect.pluck(lines, "kind"))
      assert.same({ "domain", "iot", "wpad" }, expect.pluck(lines, "rule"))
      assert.same({ true, true, true }, expect.pluck(lines, "matched"))
      assert.same({ "hostname" }, lines[1].changed)
      assert.equal("nobody is called wpad", lines[3].message)
      assert.same({ "iot" }, lines[2].added)
      assert.equal(0, position(store))
    end)

    it("tag the hosts that are there, as a plan", function()
      local store = open({})
      local one = assert(store:add { ip = "10.0.3.1", hostname = "a" })
      assert(store:add { ip = "10.0.4.1", hostname = "b.lan" })
      assert(store:add { ip = "10.0.3.2", hostname = "wpad" })
      write("10-test.lua", DOMAIN .. IOT .. NO_WPAD)
      local plan = assert(store:plan_policies())
      assert.same({ 1, 1, 1 }, { #plan.update, #plan.refused, plan.unchanged })
      assert.same({ { hostname = "a.lan", tags = { "iot" } }, "a", "wpad" }, { plan.update[1].changes,
        plan.update[1].before.hostname, plan.refused[1].host.hostname })
      assert.equal(3, position(store))
      assert.same({ updated = 1, refused = 1, unchanged = 1 }, plan:apply { actor = "bob" })
      assert.same({ "a.lan", { "iot" } }, { store:get(one.id).hostname, store:get(one.id).tags })
      assert.same({ policy = { { file = "10-test.lua", rule = "domain", changed = { "hostname" } },
        { file = "10-test.lua", rule = "iot", added = { "iot" } } } }, metadata(store)[4])
      assert.equal(0, #assert(store:plan_policies()).update)
      assert.equal(1, assert(store:plan_policies { hostname = "b.*" }).unchanged)
      assert.equal(0, #assert(store:plan_policies { hostname = "b.*" }).refused)
      -- Somebody was faster.
      write("10-test.lua", 'tag { name = "all", add = "all" }')
      plan = assert(store:plan_policies())
      assert(store:update(one.id, { comment = "x" }))
      local _, err = plan:apply()
      assert.equal("conflict", err.code)
      assert.same({}, store:lookup("b.lan")[1].tags)
    end)

    it("tag the hosts that are there, as the plan has said, with what is done on the events of it", function()
      local store = open({})
      local host = assert(store:add { ip = "10.0.3.1", hostname = "a" })
      write("10-test.lua", DOMAIN .. IOT .. [[
        on("HostnameChanged", function() return { add = "renamed" } end)
        on("TagsModified", function() return { add = "tagged" } end)]])
      local plan = assert(store:plan_policies())
      assert.same({ "iot", "renamed", "tagged" }, plan.update[1].changes.tags)
      assert(plan:apply())
      assert.same({ "a.lan", { "iot", "renamed", "tagged" } }, { store:get(host.id).hostname, store:get(host.id).tags })
      assert.same({ "domain", "iot", "HostnameChanged", "TagsModified" },
        expect.pluck(metadata(store)[2].policy, "rule"))
      assert.equal(1, assert(store:plan_policies()).unchanged)
    end)

    describe("retention", function()
      local DAY, now = 86400, nil
      local function at(time) now = time end
      local function clock() return now end

      -- Snapshots, a day apart, the last of them on 2026-03-31.
      local function daily(store, count)
        for i = count, 1, -1 do
          at(1774958400 - (i - 1) * DAY)
          assert(store:snapshot { name = ("%d"):format(i) })
        end
      end

      local function names(store)
        return table.concat(expect.pluck(assert(store:snapshots()), "name"), " ")
      end

      it("keeps the newest of the last days, weeks and months that have one", function()
        at(0)
        local store = open([[retention { name = "gfs", gfs = { daily = 3, weekly = 3, monthly = 3 } }]],
          { clock = clock })
        daily(store, 70)
        assert.same({ snapshots = 64, hosts = 0 }, assert(store:apply_policy_retention { dry_run = true }))
        assert.equal(70, #store:snapshots())
        assert.same({ snapshots = 64, hosts = 0 }, assert(store:apply_policy_retention()))
        -- Tuesday; the Sundays before; the ends of February and January.
        assert.equal("1 2 3 10 32 60", names(store))
        assert.same({ snapshots = 0, hosts = 0 }, assert(store:apply_policy_retention()))
      end)

      it("keeps the newest of hours and years", function()
        at(0)
        local store = open([[retention { name = "gfs", gfs = { hourly = 2, yearly = 3 } }]], { clock = clock })
        -- 2024-01-01, 2024-12-31, 2025-06-01, 2026-01-01 09:10, 09:50, 10:10, 10:50.
        for _, time in ipairs { 1704067200, 1735603200, 1748736000, 1767258600, 1767261000, 1767262200, 1767264600 } do
          at(time)
          assert(store:snapshot { name = tostring(time) })
        end
        assert.equal(3, assert(store:apply_policy_retention()).snapshots)
        assert.equal("1767264600 1767261000 1748736000 1735603200", names(store))
      end)

      it("deletes what is too old, and what is too much", function()
        at(0)
        local store = open([[retention { name = "few", count = 5, age = "3d" }]], { clock = clock })
        daily(store, 10)
        assert.equal(6, assert(store:apply_policy_retention()).snapshots)
        assert.equal("1 2 3 4", names(store))
        write("10-test.lua", [[retention { name = "few", count = 2, age = "3d" }]])
        assert.equal(2, assert(store:apply_policy_retention()).snapshots)
        assert.equal("1 2", names(store))
      end)

      it("counts and ages by trigger, and never deletes what a keep function keeps", function()
        at(0)
        local store = open([[
          retention { name = "restores", trigger = "restore", count = 1 }
          retention { name = "old", trigger = "manual", age = "1d",
            keep = function(s) return s.name == "golden" end }]], { clock = clock })
        for day, name in ipairs { "golden", "stale", "b", "c" } do
          at(1774958400 + day * DAY)
          assert(store:snapshot { name = name })
          assert(store:snapshot { name = "r" .. day, trigger = "restore" })
        end
        assert.equal(4, assert(store:apply_policy_retention()).snapshots)
        assert.equal("r4 c b golden", names(store))
      end)

      it("removes hosts that have expired, and says why", function()
        at(1774958400)
        local store = open([[retention { name = "leases", expired_hosts = { after = "1d" },
          filter = { origin = "dhcp" } }]], { clock = clock })
        local function add(name, expires, origin)
          assert(store:add { ip = "10.0.0.1", hostname = name, expires_at = expires, origin = origin })
        end
        add("gone", now + 60, "dhcp")
        add("mine", now + 60, "admin")
        add("fresh", now + DAY, "dhcp")
        add("forever", nil, "dhcp")
        at(now + DAY + 120)
        assert.same({ snapshots = 0, hosts = 1 }, assert(store:apply_policy_retention()))
        assert.same({ "forever", "fresh", "mine" }, expect.pluck(store:list { order = "hostname" }, "hostname"))
        local entry = store:log()[5]
        assert.same({ "HostDeleted", "expired", { policy = { { file = "10-test.lua", rule = "leases" } } } },
          { entry.type, entry.reason, entry.metadata })
      end)

      it("can look at more hosts than a rule may see at once, and its failure breaks no write", function()
        at(1774958400)
        local store = open([[
          retention { name = "leases", expired_hosts = "remove", keep = function() error "keep is broken" end }]],
          { clock = clock })
        local lines = {}
        for i = 1, 1201 do
          lines[i] = ('{"ip":"10.0.%d.%d","hostname":"a","expires_at":%d}'):format(math.floor(i / 250), i % 250,
            now + 60)
        end
        assert(store:import({ text = table.concat(lines, "\n") }, { format = "ndjson" }))
        assert.equal(1201, store:count())
        at(now + 120)
        assert.equal(1201, assert(store:apply_policy_retention()).hosts)
        assert(store:snapshot())
        assert.matches("keep is broken", refused(store:apply_policy_retention()).message)
        assert(store:add { ip = "10.0.0.1", hostname = "b" })
      end)

      it("does nothing before the newest event, or years behind it, unless it is forced to", function()
        at(1774958400)
        local store = open([[retention { name = "all", expired_hosts = "remove", age = "1d" }]], { clock = clock })
        assert(store:add { ip = "10.0.0.1", hostname = "a", expires_at = now + 60 })
        for _, time in ipairs { 86400, 1774958400 - 3600, 1774958400 + 3000 * DAY } do
          at(time)
          local _, err = store:apply_policy_retention()
          assert.equal("conflict", err.code)
          assert.matches("nothing is removed", err.message)
        end
        at(1774958400 + 120)
        assert.equal(1, assert(store:apply_policy_retention()).hosts)
        assert(store:add { ip = "10.0.0.1", hostname = "a", expires_at = now + 60 })
        at(1774958400 + 3000 * DAY)
        assert.equal(1, assert(store:apply_policy_retention { force = true }).hosts)
      end)
    end)

    it("run the cases that a script brings along", function()
      open(DOMAIN .. IOT .. NO_WPAD .. [[
        test { name = "named", host = { ip = "10.0.3.1", hostname = "a" },
          expect = { hostname = "a.lan", tags = { "iot" } } }
        test { name = "refused", host = { ip = "10.0.3.1", hostname = "wpad" }, refused = "called wpad" }
        test { name = "moved", before = { ip = "10.0.4.1", hostname = "b" }, host = { ip = "10.0.3.1" },
          expect = { tags = { "iot" }, comment = null } }
        test { name = "wrong", host = { ip = "10.0.4.1", hostname = "c" }, expect = { tags = { "iot" } } }
        test { name = "let through", host = { ip = "10.0.4.1", hostname = "c" }, refused = "anything" }
        test { name = "nonsense", host = { ip = "10.0.4.1", hostname = "c", colour = "red" } }
        test { name = "misspelt", host = { ip = "10.0.4.1", hostname = "c" }, expect = { tag = null } }]])
      local results = assert(policy.test(directory()))
      assert.same({ "named", "refused", "moved", "wrong", "let through", "nonsense", "misspelt" },
        expect.pluck(results, "name"))
      assert.is_nil(results[1].problem or results[2].problem or results[3].problem)
      assert.equal("tags is {}, not {iot}", results[4].problem)
      assert.equal("it was not refused", results[5].problem)
      assert.matches("colour", results[6].problem)
      assert.equal("a host has no field 'tag'", results[7].problem)
    end)
  end)
end
