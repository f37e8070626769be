local expect = require "spec.support.expect"
local hoststore = require "hoststore"
local system = require "spec.support.system"

for _, backend in ipairs(require "spec.support.backends") do
  describe(backend.name .. ": import", function()
    local store
    before_each(function() store = backend.open { actor = "alice" } end)
    after_each(backend.finish)

    local COUNTERS = { "processed", "created", "updated", "unchanged", "skipped", "deleted", "failed" }

    -- The counters that are not zero.
    local function counters(result, err)
      assert.is_truthy(result, tostring(err))
      local found = {}
      for _, name in ipairs(COUNTERS) do
        assert.is_number(result[name])
        if result[name] ~= 0 then
          found[name] = result[name]
        end
      end
      assert.equal(result.failed, #result.errors)
      return found
    end

    local function import(text, options)
      return store:import({ text = text }, options)
    end

    -- Each host as a line of hosts(5) with everything it has.
    local function lines()
      return assert(store:export "hosts")
    end

    describe("of hosts(5)", function()
      it("takes address, names, comment and tags", function()
        assert.same({ processed = 4, created = 4 }, counters(import(
          "# a header\n\n10.0.0.2\tnas.lan store backup\t# In the cellar [server, disk]\n" ..
          "  10.0.0.3   printer # [server]\n2001:DB8::1 GW.\n10.0.0.4 plain#comment\n   \n")))
        assert.same({
          { ip = "10.0.0.2", hostname = "nas.lan", aliases = { "store", "backup" }, comment = "In the cellar",
            tags = { "disk", "server" }, enabled = true, origin = "admin" },
          { ip = "10.0.0.3", hostname = "printer", aliases = {}, tags = { "server" }, enabled = true,
          origin = "admin" },
          { ip = "10.0.0.4", hostname = "plain", aliases = {}, comment = "comment", tags = {}, enabled = true,
          origin = "admin" },
          { ip = "2001:db8::1", hostname = "gw", aliases = {}, tags = {}, enabled = true, origin = "admin" },
        }, expect.entries(store))
      end)

      it("takes a byte order mark, CR LF and a last line without an end", function()
        assert.same({ processed = 3, created = 3 },
          counters(import("\239\187\191" .. "10.0.0.1 a\r\n10.0.0.2 b # c\r\n10.0.0.3 d")))
        assert.equal("10.0.0.1\ta\n10.0.0.2\tb\t# c\n10.0.0.3\td\n", lines())
      end)

      it("reports each bad line by its number and takes the others", function()
        local result = assert(import("10.0.0.1 a\n10.0.0.300 b\n# fine\n10.0.0.3\n10.0.0.4 c c\n" ..
          "10.0.0.5 -d\n10.0.0.6 e\nf\n"))
        assert.same({ processed = 7, created = 3, failed = 4 }, counters(result))
        assert.same({ 2, 4, 6, 8 }, expect.pluck(result.errors, "line"))
        assert.matches("10%.0%.0%.300", result.errors[1].message)
        assert.equal("10.0.0.1\ta\n10.0.0.4\tc\n10.0.0.6\te\n", lines())
      end)

      it("survives a line of a megabyte", function()
        local result = assert(import("10.0.0.1 a\n10.0.0.2 b # " .. ("x"):rep(1024 * 1024) .. "\n10.0.0.3 c\n"))
        assert.same({ processed = 3, created = 2, failed = 1 }, counters(result))
        assert.equal(2, result.errors[1].line)
        assert.is_true(#result.errors[1].message < 1000)
      end)

      it("survives bytes that are no text", function()
        local result = assert(import("10.0.0.1 a # \255\254\n\0\0\0\n10.0.0.2 b\0c\n10.0.0.3 d # e\0f\n" ..
          "\27[2J\n10.0.0.4 g\n"))
        assert.same({ processed = 6, created = 1, failed = 5 }, counters(result))
        for _, failure in ipairs(result.errors) do
          assert.is_nil(failure.message:find("[%z\1-\31\127]"))
        end
        assert.equal("10.0.0.4\tg\n", lines())
      end)

      it("of nothing does nothing", function()
        for _, text in ipairs { "", "\n", "# only\n# comments", "\239\187\191" } do
          assert.same({}, counters(import(text)))
        end
      end)
    end)

    describe("of JSON and NDJSON", function()
      it("takes every field", function()
        local object = [[{"ip":"10.0.0.1","hostname":"a","aliases":["b"],"comment":"c\nd",]] ..
          [["tags":["t"],"enabled":false,]] ..
          [["expires_at":4000000000.5,"origin":"dhcp"}]]
        assert.same({ processed = 1, created = 1 }, counters(import("[" .. object .. "]", { format = "json" })))
        assert.same({ processed = 1, unchanged = 1 }, counters(import(object, { format = "ndjson", mode = "replace" })))
        assert.same({ { ip = "10.0.0.1", hostname = "a", aliases = { "b" }, comment = "c\nd", tags = { "t" },
          enabled = false,
          expires_at = 4000000000.5, origin = "dhcp" } }, expect.entries(store))
      end)

      it("reports entries of wrong types by their line", function()
        local result = assert(import(table.concat({
          '{"ip":"10.0.0.1","hostname":"a"}', '{"ip":5,"hostname":"b"}', '{"ip":"10.0.0.3","hostname":"c","tags":"t"}',
          '{"ip":"10.0.0.4","hostname":"d","colour":"red"}', "[]", "not json", '{"ip":"10.0.0.5"}', "null",
          '{"ip":"10.0.0.6","hostname":"e","enabled":null}', '{"ip":"10.0.0.7","hostname":"f","comment":null}',
        }, "\n"), { format = "ndjson" }))
        assert.equal(3, result.created)
        assert.same({ 2, 3, 4, 5, 6, 7, 8 }, expect.pluck(result.errors, "line"))
      end)

      it("of a JSON text that is cut short writes nothing", function()
        local whole = '[{"ip":"10.0.0.1","hostname":"a"},\n{"ip":"10.0.0.2","hostname":"b"}]'
        for length = 0, #whole - 1 do
          for _, mode in ipairs { "skip", "sync" } do
            expect.failure("invalid", import(whole:sub(1, length), { format = "json", mode = mode }))
          end
        end
        assert.same({}, store:events())
      end)
    end)

    describe("of CSV", function()
      it("takes any of the columns in any order", function()
        assert.same({ processed = 2, created = 2 }, counters(import(
          'hostname,tags,ip,comment\r\nnas,server;disk,10.0.0.1,"a ""quoted"", word"\r\ngw,,10.0.0.2,\r\n',
            { format = "csv" })))
        assert.equal('10.0.0.1\tnas\t# a "quoted", word [disk, server]\n10.0.0.2\tgw\n', lines())
      end)

      it("leaves fields alone whose column is not there", function()
        assert(store:add { ip = "10.0.0.1", hostname = "nas", comment = "c", tags = { "t" }, aliases = { "b" },
          enabled = false })
        assert.same({ processed = 1, updated = 1 },
          counters(import("ip,hostname,tags\n10.0.0.1,nas,u\n", { format = "csv", mode = "replace" })))
        local host = store:list()[1]
        assert.same({ "c", { "u" }, { "b" }, false }, { host.comment, host.tags, host.aliases, host.enabled })
      end)

      it("takes a record over several lines", function()
        assert(import('ip,hostname,comment\n10.0.0.1,a,"one\ntwo\r\nthree"\n10.0.0.2,b,c\n', { format = "csv" }))
        assert.equal("one\ntwo\r\nthree", store:lookup("a")[1].comment)
        assert.equal("c", store:lookup("b")[1].comment)
      end)

      it("refuses a header that names an unknown column or lacks ip", function()
        for _, header in ipairs { "ip,hostname,colour", "hostname,comment", "ip,ip,hostname", "10.0.0.1,a" } do
          for _, mode in ipairs { "skip", "sync" } do
            expect.failure("invalid", import(header .. "\n10.0.0.1,a,b\n", { format = "csv", mode = mode }))
          end
        end
        assert.same({}, store:events())
      end)
    end)

    describe("mode", function()
      -- A host of the admin, one of the import's origin that the source lacks, one that it has.
      before_each(function()
        assert(store:add { ip = "10.0.0.1", hostname = "admin", comment = "mine", tags = { "a" }, aliases = { "x" } })
        assert(store:add { ip = "10.0.0.2", hostname = "old", origin = "import:lan" })
        assert(store:add { ip = "10.0.0.3", hostname = "both", comment = "before", tags = { "a" }, aliases = { "x" },
          origin = "import:lan" })
        assert(store:add { ip = "10.0.0.4", hostname = "same", comment = "c", origin = "import:lan" })
      end)

      local SOURCE = "10.0.0.3 both y # after [b]\n10.0.0.4 same # c\n10.0.0.5 new # n [t]\nbad line\n"

      local function both()
        local host = store:find("10.0.0.3", "both")
        return { host.comment or false, host.tags, host.aliases, host.origin }
      end

      it("skip, the default, leaves what is there", function()
        assert.same({ processed = 4, created = 1, skipped = 2, failed = 1 }, counters(import(SOURCE)))
        assert.same({ "before", { "a" }, { "x" }, "import:lan" }, both())
        assert.same({ "n", "admin" }, { store:lookup("new")[1].comment, store:lookup("new")[1].origin })
        assert.equal(5, store:count())
      end)

      it("replace takes comment, tags and aliases of the source", function()
        assert.same({ processed = 4, created = 1, updated = 1, unchanged = 1, failed = 1 },
          counters(import(SOURCE, { mode = "replace" })))
        assert.same({ "after", { "b" }, { "y" }, "import:lan" }, both())
        assert.equal(5, store:count())
      end)

      it("replace clears what the source has not", function()
        assert(import("10.0.0.3 both\n", { mode = "replace" }))
        assert.same({ false, {}, {}, "import:lan" }, both())
      end)

      it("merge unites tags and aliases, and only fills a comment in", function()
        assert.same({ processed = 4, created = 1, updated = 1, unchanged = 1, failed = 1 },
          counters(import(SOURCE, { mode = "merge" })))
        assert.same({ "before", { "a", "b" }, { "x", "y" }, "import:lan" }, both())
        local host = store:find("10.0.0.3", "both")
        assert(store:update(host, { comment = hoststore.null }))
        assert.same({ processed = 1, updated = 1 }, counters(import("10.0.0.3 both # after\n", { mode = "merge" })))
        assert.same({ "after", { "a", "b" }, { "x", "y" }, "import:lan" }, both())
      end)

      it("strict refuses everything for a bad line", function()
        local err = expect.failure("invalid", import("10.0.0.6 a\n10.0.0.7 b\n10.0.0.8\n", { mode = "strict" }))
        assert.equal(3, err.line)
        assert.equal(4, #store:events())
      end)

      it("strict refuses everything for a host that is there, or twice in the source", function()
        local err = expect.failure("duplicate", import("10.0.0.6 a\n\n10.0.0.4 same # c\n", { mode = "strict" }))
        assert.equal(3, err.line)
        err = expect.failure("duplicate", import("10.0.0.6 a\n10.0.0.6 A.\n", { mode = "strict" }))
        assert.equal(2, err.line)
        assert.equal(4, #store:events())
        assert.same({ processed = 2, created = 2 }, counters(import("10.0.0.6 a\n10.0.0.6 b\n", { mode = "strict" })))
      end)

      it("sync replaces, and deletes what is missing of its origin alone", function()
        assert.same({ processed = 4, created = 1, updated = 1, unchanged = 1, deleted = 1, failed = 1 },
          counters(import(SOURCE, { mode = "sync", origin = "import:lan" })))
        assert.same({ "after", { "b" }, { "y" }, "import:lan" }, both())
        assert.same({ "admin", "both", "same", "new" }, expect.pluck(store:list(), "hostname"))
        assert.equal("import:lan", store:lookup("new")[1].origin)
        -- Once more, nothing moves.
        local events = #store:events()
        assert.same({ processed = 4, unchanged = 3, failed = 1 }, counters(import(SOURCE, { mode = "sync",
          origin = "import:lan" })))
        assert.equal(events, #store:events())
      end)

      it("never touches what another origin owns", function()
        for _, mode in ipairs { "skip", "replace", "merge", "sync" } do
          local result = assert(import("10.0.0.1 admin # taken over [z]\n", { mode = mode, origin = "import:other" }))
          assert.same({ processed = 1, skipped = 1 }, counters(result))
        end
        local host = store:find("10.0.0.1", "admin")
        assert.same({ "mine", "admin", 1 }, { host.comment, host.origin, host.version })
      end)

      it("sync spares a host that is in the source, though with a fault", function()
        assert.same({ processed = 2, unchanged = 1, deleted = 1, failed = 1 },
          counters(import("10.0.0.3 both bad..alias # after\n10.0.0.4 same # c\n", { mode = "sync",
            origin = "import:lan" })))
        assert.same({ "before", { "a" }, { "x" }, "import:lan" }, both())
      end)

      it("sync of an empty source deletes all of its origin, as far as max_deletes lets it", function()
        for _, limit in ipairs { 2, "99%", 0, "0%" } do
          expect.failure("conflict", import("", { mode = "sync", origin = "import:lan", max_deletes = limit }))
        end
        assert.equal(4, store:count())
        assert.same({ deleted = 3 }, counters(import("", { mode = "sync", origin = "import:lan",
          max_deletes = "100%" })))
        assert.same({ "admin" }, expect.pluck(store:list(), "hostname"))
      end)

      it("takes the last of two entries for one host when it replaces", function()
        assert.same({ processed = 2, created = 1, updated = 1 },
          counters(import("10.0.0.6 a # one\n10.0.0.6 a # two\n", { mode = "replace" })))
        assert.equal("two", store:lookup("a")[1].comment)
        assert.same({ processed = 2, created = 1, skipped = 1 },
          counters(import("10.0.0.7 b # one\n10.0.0.7 b # two\n")))
        assert.equal("one", store:lookup("b")[1].comment)
      end)

      it("moves a host to the address the source gives it only by deleting the old entry", function()
        assert.same({ processed = 1, created = 1, deleted = 3 },
          counters(import("10.0.0.9 both\n", { mode = "sync", origin = "import:lan" })))
        assert.same({ "10.0.0.1", "10.0.0.9" }, expect.pluck(store:list(), "ip"))
      end)

      it("counts the same as a dry run, which changes nothing", function()
        local events = #store:events()
        for _, mode in ipairs { "skip", "replace", "merge", "sync" } do
          local dry = counters(import(SOURCE, { mode = mode, origin = "import:lan", dry_run = true }))
          assert.equal(events, #store:events())
          local other = backend.open()
          assert(other:import({ text = store:export "ndjson" }, { format = "ndjson" }))
          assert.same(counters(other:import({ text = SOURCE }, { mode = mode, origin = "import:lan" })), dry)
        end
        expect.failure("duplicate", import("10.0.0.4 same\n", { mode = "strict", dry_run = true }))
      end)

      it("raises when it is none", function()
        expect.misuse(store.import, store, { text = "" }, { mode = "overwrite" })
        expect.misuse(store.import, store, { text = "" }, { mod = "skip" })
        expect.misuse(store.import, store, { text = "" }, { max_deletes = "many" })
        expect.misuse(store.import, store)
        expect.misuse(store.import, store, 5)
      end)

      it("refuses an origin that is none", function()
        expect.failure("invalid", import("10.0.0.9 a\n", { origin = "somebody" }))
        assert.equal(4, #store:events())
      end)
    end)

    it("says who did it and why", function()
      assert(import("10.0.0.1 a\n", { actor = "cron", reason = "nightly" }))
      local event = store:events()[1]
      assert.same({ "cron", "nightly" }, { event.actor, event.reason })
      assert(import("10.0.0.2 b\n"))
      assert.equal("alice", store:events()[2].actor)
    end)

    it("is one transaction, which a progress function that raises rolls back", function()
      local ok, raised = pcall(import, "10.0.0.1 a\n", { progress = function() error("stop", 0) end })
      assert.same({ false, "stop" }, { ok, raised })
      assert.same({}, store:events())
      expect.failure("invalid", store:transaction(function()
        assert(import("10.0.0.1 a\n"))
        return store:add { ip = "x", hostname = "b" }
      end))
      assert.same({}, store:events())
    end)

    it("reports its progress, up to the end", function()
      local text, seen, count = {}, {}, backend.slow and 1100 or 2500
      for i = 1, count do
        text[i] = ("10.0.%d.%d h%d"):format(math.floor(i / 250), i % 250, i)
      end
      assert(import(table.concat(text, "\n"), { progress = function(processed) seen[#seen + 1] = processed end }))
      assert.equal(count, seen[#seen])
      for i = 2, #seen do
        assert.is_true(seen[i] >= seen[i - 1])
      end
      assert.equal(count, store:count())
    end)

    it("reads a path, whose name says the format, or an open file", function()
      local directory = backend.directory()
      system.write(directory .. "/lan", "10.0.0.1 a\n")
      system.write(directory .. "/lan.json", '[{"ip":"10.0.0.2","hostname":"b"}]')
      system.write(directory .. "/lan.ndjson", '{"ip":"10.0.0.3","hostname":"c"}')
      system.write(directory .. "/lan.csv", "ip,hostname\n10.0.0.4,d\n")
      for _, name in ipairs { "lan", "lan.json", "lan.ndjson", "lan.csv" } do
        assert.same({ processed = 1, created = 1 }, counters(store:import(directory .. "/" .. name)))
      end
      local file = assert(io.open(directory .. "/lan"))
      assert.same({ processed = 1, skipped = 1 }, counters(store:import(file)))
      assert.equal("file", io.type(file))
      file:close()
      assert.same({ "a", "b", "c", "d" }, expect.pluck(store:list(), "hostname"))
    end)

    it("of a file that is not there or no file fails, and writes nothing", function()
      expect.failure("not_found", store:import(backend.directory() .. "/missing"))
      assert.is_nil((store:import(backend.directory())))
      expect.failure("invalid", import("10.0.0.1 a", { format = "yaml" }))
      assert.same({}, store:events())
    end)
  end)

  describe(backend.name .. ": a plan", function()
    local store, old
    before_each(function()
      store = backend.open()
      assert(store:add { ip = "10.0.0.1", hostname = "admin" })
      old = assert(store:add { ip = "10.0.0.2", hostname = "old", origin = "import:lan" })
      assert(store:add { ip = "10.0.0.3", hostname = "both", comment = "before", origin = "import:lan" })
      assert(store:add { ip = "10.0.0.4", hostname = "same", origin = "import:lan" })
    end)
    after_each(backend.finish)

    local function plan(options)
      options = options or {}
      return assert(store:plan {
        entries = options.entries or {
          { ip = "10.0.0.3", hostname = "both", comment = "after", tags = { "b" } },
          { ip = "10.0.0.4", hostname = "SAME." },
          { ip = "10.0.0.5", hostname = "new" },
          { ip = "10.0.0.300", hostname = "bad" },
        },
        origin = "import:lan", mode = options.mode,
      })
    end

    it("says what would change, and changes nothing", function()
      local p = plan()
      assert.same({ "new" }, expect.pluck(p.add, "hostname"))
      assert.same({ "old" }, expect.pluck(p.delete, "hostname"))
      assert.same({ "same" }, expect.pluck(p.unchanged, "hostname"))
      assert.equal(1, #p.update)
      assert.same({ "before", "after", { "b" } },
        { p.update[1].before.comment, p.update[1].after.comment, p.update[1].after.tags })
      assert.equal(1, #p.invalid)
      assert.matches("10%.0%.0%.300", p.invalid[1].message)
      assert.equal(4, #store:events())
    end)

    it("applies just that, and counts it", function()
      local result = assert(plan():apply())
      assert.same({ 1, 1, 1, 1, 1 },
        { result.created, result.updated, result.deleted, result.unchanged, result.failed })
      assert.same({ "admin", "both", "same", "new" }, expect.pluck(store:list(), "hostname"))
      assert.same({ "after", { "b" } }, { store:lookup("both")[1].comment, store:lookup("both")[1].tags })
      assert.equal("import:lan", store:lookup("new")[1].origin)
      local again = plan()
      assert.same({ 0, 0, 0, 3 }, { #again.add, #again.update, #again.delete, #again.unchanged })
    end)

    it("knows the modes of an import", function()
      local function numbers(mode)
        local p = plan { mode = mode }
        return { #p.add, #p.update, #p.delete, #p.invalid }
      end
      assert.same({ 1, 1, 1, 1 }, numbers "sync")
      assert.same({ 1, 1, 0, 1 }, numbers "replace")
      assert.same({ 1, 1, 0, 1 }, numbers "merge")
      assert.same({ 1, 0, 0, 1 }, numbers "skip")
      expect.failure("invalid", store:plan { entries = { { ip = "x", hostname = "a" } }, mode = "strict" })
      expect.failure("duplicate", store:plan { entries = { { ip = "10.0.0.1", hostname = "admin" } }, mode = "strict" })
    end)

    it("is refused when the store has moved since", function()
      local p = plan()
      assert(store:update(old, { comment = "moved" }))
      local err = expect.failure("conflict", p:apply())
      assert.same({ 4, 5 }, { err.expected, err.actual })
      assert.equal(5, #store:events())
      -- Any event counts, whoever's stream it is in.
      p = plan()
      assert(store:stream("other"):append { type = "A" })
      expect.failure("conflict", p:apply())
    end)

    it("with force goes on, but never over a host that changed", function()
      local p = plan()
      assert(store:stream("other"):append { type = "A" })
      assert(p:apply { force = true })
      p = plan { entries = {} }
      assert(store:update(store:lookup("new")[1], { comment = "moved" }))
      expect.failure("conflict", p:apply { force = true })
      assert.equal(4, store:count())
    end)

    it("cannot be applied twice", function()
      local p = plan()
      assert(p:apply())
      expect.failure("conflict", p:apply())
    end)

    it("keeps to max_deletes", function()
      local empty = plan { entries = {} }
      assert.equal(3, #empty.delete)
      for _, limit in ipairs { 2, 0, "66%", "0%" } do
        expect.failure("conflict", empty:apply { max_deletes = limit })
      end
      assert.equal(4, store:count())
      assert.equal(3, assert(empty:apply { max_deletes = 3 }).deleted)
      assert.same({ "admin" }, expect.pluck(store:list(), "hostname"))
    end)

    it("is all or nothing", function()
      local p = plan()
      backend.faulty.fail_at(12)
      expect.failure("query", p:apply())
      backend.faulty.off()
      assert.equal(4, #store:events())
      assert(p:apply())
    end)

    it("that would swap two addresses can be applied", function()
      local other = backend.open()
      assert(other:add { ip = "10.0.0.1", hostname = "a" })
      assert(other:add { ip = "10.0.0.2", hostname = "a" })
      local p = assert(other:plan { entries = { { ip = "10.0.0.2", hostname = "a" }, { ip = "10.0.0.1",
        hostname = "a" } } })
      assert.same({ 0, 0, 0, 2 }, { #p.add, #p.update, #p.delete, #p.unchanged })
      assert.equal(0, assert(p:apply()).created)
    end)

    it("raises for unknown options and modes", function()
      expect.misuse(store.plan, store)
      expect.misuse(store.plan, store, { mode = "sync" })
      expect.misuse(store.plan, store, { entries = {}, mode = "all" })
      expect.misuse(store.plan, store, { entries = {}, source = "x" })
      expect.misuse(function() plan():apply { max_deletes = "few" } end)
      expect.misuse(function() plan():apply { maximum = 1 } end)
    end)
  end)
end
