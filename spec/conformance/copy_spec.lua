local core = require "hoststore.core"
local expect = require "spec.support.expect"
local hoststore = require "hoststore"
local system = require "spec.support.system"

local unpack = table.unpack or unpack

local COPIER = "spec/support/copier.lua"
local MOST = 400

-- JSON as nobody's encoder writes it: it must come back as it is.
local ODD_JSON = {
  '{ "b" : 1e2 , "a":[ 1.50, -0, true,null ] }', '"\\u00e4\\/\\ud83d\\ude00 \\udcff\\u0000"', '{"a":1,"a":2}',
  '"\127\194\133\226\128\168 \240\157\132\158"', " [] ", '"\\\\\\" #\\n"', "-1234567890123456789012345678901234567890",
}

-- A clock that goes by odd microseconds, and back once.
local function clock()
  local now = 1700000000.000001
  return function()
    now = now > 1700000020 and 1600000000.123457 or now + 0.998877
    return now
  end
end

local function append_raw(store, stream, text)
  return assert(core.append(store, { { stream = stream, events = { { type = "Odd", data = text, metadata = text } } } },
    true))
end

-- A log with all there can be in one.
local function fill(store)
  local nas = assert(store:add({ ip = "10.0.0.2", hostname = "nas.lan", aliases = { "b", "a" }, tags = { "t", "u" },
    comment = 'a "quoted"\\ comment\n\1#', expires_at = 2000000000.000001, origin = "import:x y", enabled = false },
    { actor = "anna", reason = "because\t\"x\"\n", metadata = { ticket = 7 } }))
  nas = assert(store:update(nas, { ip = "2001:db8::1", hostname = "nas2.lan", aliases = {}, tags = {},
    comment = hoststore.null, expires_at = hoststore.null, enabled = true, origin = "dhcp" }))
  assert(store:snapshot { name = "first\226\128\168" })
  local gw = assert(store:add { ip = "10.0.0.1", hostname = "gw", comment = "\240\157\132\158 \194\133" })
  assert(store:stream("s"):append({ { type = "A", data = "\255\0\"\\", metadata = { 1 } }, { type = "B",
    occurred_at = 123456789.654321 } }, { actor = "bert" }))
  for i, text in ipairs(ODD_JSON) do
    append_raw(store, "odd-" .. i % 3, text)
  end
  assert(store:stream("s"):save_snapshot(1, { folded = "\254" }))
  assert(store:stream("odd-1"):save_snapshot(2, "\240\157\132\158"))
  assert(store:stream("nothing-yet"):save_snapshot(0, {}))
  for name, position in pairs { mail = 2, ["aud\195\174t \226\128\168"] = 5, gone = 1 } do
    assert(store:feed(name):ack(position))
  end
  assert(store:feed("mail"):read(1))
  assert(store:delete_feed "gone")
  assert(gw:delete("gone"))
  local snapshot = assert(store:snapshot {})
  assert(store:delete_snapshot(snapshot.id))
  assert(store:add { ip = "10.0.0.3", hostname = "printer" })
  assert(store:undo(#store:events()))
  assert(store:restore(store:snapshots()[1].id))
  return nas, gw
end

local function plain(hosts)
  local list = {}
  for i, host in ipairs(hosts) do
    list[i] = {}
    for name, value in pairs(host) do
      list[i][name] = value
    end
  end
  return list
end

-- All that can be asked of a store.
local function state(store)
  local answers = { raw = assert(core.events(store, {})), list = plain(assert(store:list())), histories = {}, at = {},
    snapshots = {}, saved = {}, health = assert(store:stream_health()), streams = assert(store:streams()),
    partitions = assert(store:partition_stats()), feeds = assert(store:feeds()) }
  for i, snapshot in ipairs(assert(store:snapshots())) do
    answers.snapshots[i] = assert(store:get_snapshot(snapshot.id))
  end
  for _, stream in ipairs(answers.health) do
    answers.saved[stream.stream] = store:stream(stream.stream):load_snapshot()
    if stream.stream:find "^host%-" then
      local entries = assert(store:history(stream.stream:sub(6)))
      for _, entry in ipairs(entries) do
        entry.host = plain({ entry.host })[1]
      end
      answers.histories[stream.stream] = entries
    end
  end
  for position = 0, #answers.raw do
    answers.at[position] = plain(assert(assert(store:at { position = position }):list()))
  end
  return answers
end

local function dump(store, given)
  local parts = {}
  local result = assert(store:dump({ write = function(_, text)
    parts[#parts + 1] = text
    return true
  end }, given))
  return table.concat(parts), result
end

-- Something of each kind, and more events than a page has.
local function fill_many(store, count)
  fill(store)
  local events = {}
  for i = 1, count do
    events[i] = { type = "N", data = i }
  end
  assert(store:stream("many"):append(events))
end

local function check_empty_and_usable(store)
  assert.equal(0, #assert(store:events()))
  assert.equal(0, store:count())
  assert.same({}, store:snapshots())
  assert.same({}, store:stream_health())
  assert.same({}, store:feeds())
  assert.is_true(store:verify().ok)
  assert.equal(1, assert(store:add { ip = "10.0.0.1", hostname = "a" }).position)
end

local backends = require "spec.support.backends"

-- DuckDB's memory is filled by what its file is filled by, more slowly than all others.
for _, source in ipairs { unpack(backends, 1, 4) } do
  for _, sink in ipairs { unpack(backends, 1, 4) } do
    describe(("copying from %s to %s"):format(source.name, sink.name), function()
      local from, to
      before_each(function()
        from = source.open { clock = clock() }
        to = sink.open()
      end)
      after_each(source.finish)

      it("gives the same log, hosts, past, snapshots and states, byte for byte", function()
        fill(from)
        local wanted = state(from)
        local result = assert(from:copy_to(to))
        assert.same(wanted, state(to))
        assert.same({ #wanted.raw, 2, 3, 3 }, { result.events, result.snapshots, result.states, result.feeds })
        assert.matches("^%x+$", result.digest)
        assert.same({ wanted, true }, { state(from), to:verify().ok })
        local text, sum = dump(from)
        assert.same({ text, sum }, { dump(to) })
        assert.same(sum, result)
      end)

      it("gives a log that goes on where the other one ends", function()
        local nas, gw = fill(from)
        assert(from:copy_to(to))
        local last = #from:events()
        local host = assert(to:add { ip = "10.0.0.77", hostname = "new", tags = { "t" } })
        assert.same({ last + 1, 1 }, { host.position, host.version })
        assert.equal(from:get(nas.id).version + 1, assert(to:update(nas.id, { comment = "c" })).version)
        assert.equal(last + 3, assert(to:stream("s"):append({ type = "C" }, { expected = 2 })).position)
        assert.equal(from:snapshots()[1].id, to:snapshots()[1].id)
        local snapshot = assert(to:snapshot {})
        assert.equal(snapshot.id, to:snapshots()[1].id)
        assert(to:undo(from:history(gw.id)[2].position))
        assert.same({ "gw", "10.0.0.1" }, { to:get(gw.id).hostname, to:lookup("gw")[1].ip })
        assert.equal("new", to:list({ tags = { "t" } })[1].hostname)
        assert.equal(3, assert(to:feed("mail"):read(1))[1].position)
        assert.equal(3, to:feeds()[2].epoch)
        local again = to:feed "gone"
        assert.equal(1, assert(again:read(1))[1].position)
        assert.equal(2, again.epoch)
        expect.failure("id_reuse", to:stream("s"):append { type = "X", id = from:events()[1].id })
      end)

      it("refuses a tenant that is not empty, and leaves both as they were", function()
        fill(from)
        assert(to:add { ip = "10.0.0.1", hostname = "a" })
        local err = expect.failure("conflict", from:copy_to(to))
        assert.matches("it has 1 events", err.message, 1, true)
        assert.equal(1, #to:events())
        assert(to:delete(to:list()[1]))
        assert.matches("it has 2 events", expect.failure("conflict", from:copy_to(to)).message, 1, true)
      end)

      it("copies an empty tenant", function()
        assert.same({ 0, 0, 0 }, (function(r) return { r.events, r.snapshots, r.states } end)(assert(from:copy_to(to))))
        check_empty_and_usable(to)
      end)

      it("tells of progress, and undoes all when that raises", function()
        fill_many(from, 1200)
        local told = {}
        assert.has_error(function()
          from:copy_to(to, { progress = function(records)
            told[#told + 1] = records
            assert(records < 1000, "enough")
          end })
        end)
        assert.same({ 500, 1000 }, told)
        check_empty_and_usable(to)
        assert.equal(0, core.depth(from))
      end)
    end)
  end
end

for _, backend in ipairs(backends) do
  describe(backend.name .. ": copies and dumps", function()
    local store
    before_each(function() store = backend.open { clock = clock() } end)
    after_each(backend.finish)

    it("are refused when misused", function()
      expect.misuse(store.copy_to, store, store)
      expect.misuse(store.copy_to, store, "other.db")
      expect.misuse(store.copy_to, store, backend.open(), { unknown = true })
      expect.misuse(store.dump, store)
      expect.misuse(store.dump, store, 7)
      expect.misuse(store.load, store, 7)
    end)

    it("are of one tenant, and touch no other", function()
      fill(store)
      if backend.reopen then
        local third = backend.reopen { tenant = "third" }
        fill(third)
        local before, other = state(third), backend.reopen { tenant = "other" }
        assert(other:load { text = (dump(store)) })
        assert.same(state(store), state(other))
        assert.same(before, state(third))
      end
    end)

    it("loaded and dumped again are the same bytes", function()
      fill_many(store, 1200)
      local text, sum = dump(store)
      assert.matches('^{"hoststore_dump":1,"tenant":"default","position":%d+}\n{"kind":"event","position":1,', text)
      assert.matches('\n{"kind":"end","events":%d+,"snapshots":2,' ..
        '"states":3,"feeds":3,"digest":"' .. sum.digest .. '"}\n$', text)
      local other, told = backend.open(), {}
      assert.same(sum, assert(other:load({ text = text }, { progress = function(n) told[#told + 1] = n end })))
      assert.same({ 500, 1000, select(2, text:gsub("\n", "")) }, told)
      assert.equal(text, (dump(other)))
      assert.same(state(store).list, state(other).list)
    end)

    it("go through files, replaced as a whole and readable by their owner alone", function()
      fill(store)
      append_raw(store, "long", '"' .. ("x"):rep(3000000) .. '"')
      local path = backend.directory() .. "/dump"
      local result = assert(store:dump(path))
      assert.equal(dump(store), system.read(path))
      assert.equal("600\n", (system.run("stat -c %a " .. path)))
      local handle = assert(io.open(path, "rb"))
      local other = backend.open()
      assert.same(result, assert(other:load(handle)))
      assert.equal("file", io.type(handle))
      handle:close()
      assert.same(result, assert(backend.open():load(path)))
      expect.failure("not_found", other:load(path .. "-missing"))
      -- A dump that fails leaves the old file.
      backend.faulty.fail_at(2, "query")
      expect.failure("query", store:dump(path))
      backend.faulty.off()
      assert.equal(dump(other), system.read(path))
    end)

    it("may have other spaces, escapes, orders of members, and no line feed at the end", function()
      fill(store)
      local text = dump(store)
      local other = backend.open()
      local changed = text:gsub('^(.-\n{)("kind":"event",)("position":1),', '%1 %3 , %2 "metadata" : null, ', 1)
        :gsub('"type":"A"', '"type":"\\u0041"', 1):gsub("\n$", ""):gsub("\n", "\r\n")
      assert.not_equal(text, changed)
      -- The metadata of the first event is not null: it is there twice now.
      expect.failure("invalid", other:load { text = changed })
      changed = changed:gsub('"metadata" : null, ', "", 1)
      assert(other:load { text = changed })
      assert.equal(text, (dump(other)))
    end)

    it("are as of one moment, whatever is written meanwhile", function()
      fill_many(store, 1200)
      local before, writer = dump(store), backend.reopen and backend.reopen { busy_timeout = 0 } or store
      local disturbed = 0
      local function disturb()
        disturbed = disturbed + 1
        assert(disturbed < 20, "it runs after what is written behind it")
        -- A reader of a rollback journal keeps writers out instead; of memory, it is the only one.
        local done, err = writer:stream("many"):append { type = "N" }
        assert(done or err.code == "busy" or writer == store, tostring(err))
      end
      local other = backend.open()
      assert.equal(before, (dump(store, { progress = disturb })))
      local first = dump(store)
      assert(store:copy_to(other, { progress = disturb }))
      assert.equal(first, (dump(other)))
    end)

    -- DuckDB has nothing that would change what is inserted.
    if backend.shared then
      it("that the database does not give back as they were are undone", function()
        fill(store)
        local text, target = dump(store), backend.open()
        if backend.name == "postgres" then
          backend.execute "CREATE RULE lose AS ON INSERT TO @snapshots DO INSTEAD NOTHING"
        else
          assert.same({ "", 0 }, { system.sqlite(backend.url:gsub("^sqlite://", ""),
            "CREATE TRIGGER lose BEFORE INSERT ON snapshots BEGIN SELECT RAISE(IGNORE); END") })
        end
        for _, way in ipairs { function() return target:load { text = text } end,
          function() return store:copy_to(target) end } do
          local err = expect.failure("corrupt", way())
          assert.matches("does not give back what was loaded", err.message, 1, true)
          assert.equal(0, #target:events())
        end
        check_empty_and_usable(target)
      end)
    end

    describe("that are no log of ours", function()
      local text, lines

      -- Positions: 1 to 4 streams, 5 and 6 a host; then a snapshot and a state.
      before_each(function()
        store:append_batch { { stream = "a", events = { { type = "A", data = 1 } } },
          { stream = "b", events = { { type = "A", data = 2 } } },
          { stream = "a", events = { { type = "A", data = 3 }, { type = "A", data = 4 } } } }
        assert(store:update(assert(store:add { ip = "10.0.0.1", hostname = "nas", tags = { "t" } }), { comment = "c" }))
        assert(store:snapshot {})
        assert(store:stream("a"):save_snapshot(1, "x"))
        text = dump(store)
        lines = {}
        for line in text:gmatch "[^\n]+" do
          lines[#lines + 1] = line
        end
        assert.equal(10, #lines)
      end)

      -- With the digest its lines have, so that what is wrong is found by other means.
      local function sealed(changed)
        local target = backend.open()
        local err = expect.failure("invalid", target:load { text = changed })
        target:close()
        return (changed:gsub('"digest":"%x+"', '"digest":"' .. err.message:match "its digest is (%x+)" .. '"'))
      end

      local function refused(code, line, words, changed)
        local target = backend.open()
        local err = expect.failure(code, target:load { text = changed })
        assert.truthy(err.message:find(words, 1, true), err.message)
        assert.equal(line, err.line, err.message)
        assert.equal(0, #target:events())
        target:close()
      end

      local function with(number, pattern, replacement)
        local changed = { unpack(lines) }
        changed[number] = lines[number]:gsub(pattern, replacement, 1)
        assert.not_equal(lines[number], changed[number])
        return table.concat(changed, "\n") .. "\n"
      end

      local function without(number)
        local changed = {}
        for i, line in ipairs(lines) do
          if i ~= number then
            changed[#changed + 1] = line
          end
        end
        return table.concat(changed, "\n") .. "\n"
      end

      it("are refused when cut short, wherever that is", function()
        for i = 1, 9 do
          local cut = table.concat(lines, "\n", 1, i)
          refused("invalid", i, "cut short", cut .. "\n")
          refused("invalid", i, "damaged", cut:sub(1, -2))
        end
        refused("invalid", 10, "damaged", text:sub(1, -4))
        refused("invalid", 0, "cut short", "")
      end)

      it("are refused with lines before, behind, or twice", function()
        refused("invalid", 11, "behind the last line", text .. text)
        refused("invalid", 1, "no dump", without(1))
        refused("invalid", 2, "another dump", lines[1] .. "\n" .. text)
        refused("invalid", 3, "position 1 follows position 1", lines[1] .. "\n" .. lines[2] .. "\n" .. lines[2])
        refused("invalid", 3, "damaged", with(2, "$", "\n"))
        refused("invalid", 9, "it stands behind a state", table.concat(lines, "\n", 1, 7) .. "\n" .. lines[9] .. "\n" ..
          lines[8])
      end)

      it("are refused with a record missing", function()
        for i = 2, 6 do
          refused("invalid", i, ("position %d follows position %d"):format(i, i - 2), without(i))
        end
        refused("invalid", 7, "no position 6", without(7))
        refused("invalid", 9, "should have 1 snapshots and has 0", without(8))
        refused("invalid", 9, "should have 1 states and has 0", without(9))
      end)

      it("are refused when the head or the tail is another's", function()
        refused("unsupported", 1, "newer hoststore", with(1, '_dump":1', '_dump":2'))
        refused("invalid", 1, "tenant", with(1, '"tenant":"default",', ""))
        refused("invalid", 10, "position 7", with(1, '"position":6', '"position":7'))
        refused("invalid", 1, "'more'", with(1, "}$", ',"more":1}'))
        refused("invalid", 10, "digest", with(10, '"digest":"(.)', function(digit)
          return '"digest":"' .. (digit == "0" and "1" or "0")
        end))
        refused("invalid", 10, "digest", with(10, ',"digest":"%x+"', ""))
        refused("invalid", 10, "'hosts'", with(10, "}$", ',"hosts":1}'))
        refused("invalid", 10, "changed since it was made", with(2, '"data":"1"', '"data":"2"'))
        refused("invalid", 10, "changed since it was made", with(8, '"trigger":"manual"', '"trigger":"restore"'))
      end)

      it("are refused with a line that is damaged", function()
        refused("invalid", 3, "kind of record 'feeling'", with(3, '"kind":"event"', '"kind":"feeling"'))
        refused("invalid", 3, "what kind", with(3, '"kind":"event",', ""))
        refused("invalid", 3, "damaged at byte", with(3, "^{", "["))
        refused("invalid", 3, "damaged", with(3, '"version":1', '"version":1.0'))
        refused("invalid", 3, "damaged", with(3, '"version":1', '"version":01'))
        refused("invalid", 3, "damaged", with(3, '"version":1', '"version":99999999999999999999'))
        refused("invalid", 3, "damaged", with(3, '"version":1', '"version":true'))
        refused("invalid", 3, "damaged", with(3, '"type":"A"', '"type":{"a":1}'))
        refused("invalid", 3, "damaged", with(3, '"type":"A"', '"type":"\\ud800"'))
        refused("invalid", 3, "damaged", with(3, '"type":"A"', '"type":"\\u0000"'))
        refused("invalid", 3, "damaged", with(3, '"type":"A"', '"type":"\255"'))
        refused("invalid", 3, "damaged", with(3, '"type":"A"', '"type":"\\x"'))
        refused("invalid", 3, "'version' must be a whole number", with(3, '"version":1', '"version":"1"'))
        refused("invalid", 3, "'version' is missing", with(3, '"version":1,', ""))
        refused("invalid", 3, "'type' must be a text", with(3, '"type":"A"', '"type":7'))
        refused("invalid", 3, "there twice", with(3, '"version":1', '"version":1,"version":1'))
        refused("invalid", 3, "'colour'", with(3, '"version":1', '"version":1,"colour":"red"'))
      end)

      it("are refused with a value no log has", function()
        local id = lines[2]:match '"id":"(%w+)"'
        refused("invalid", 3, "'data' is not JSON", with(3, '"data":"2"', '"data":"{2}"'))
        refused("invalid", 3, "'metadata' is not JSON", with(3, '"data":"2"', '"data":"2","metadata":"[1"'))
        refused("invalid", 3, "ULID", with(3, '"id":"%w+"', '"id":"7"'))
        refused("invalid", 3, "an earlier event has its id", with(3, '"id":"%w+"', '"id":"' .. id .. '"'))
        refused("invalid", 3, "an earlier event", with(3, '"stream":"b"', '"stream":"a"'))
        refused("invalid", 3, "version 2 of stream 'b' follows version 0",
          sealed(with(3, '"version":1', '"version":2')))
        refused("invalid", 4, "version 5 of stream 'a' follows version 1",
          sealed(with(4, '"version":2', '"version":5')))
        refused("invalid", 3, "control", with(3, '"type":"A"', '"type":"A\\n"'))
        refused("invalid", 3, "stream", with(3, '"stream":"b"', '"stream":""'))
        refused("invalid", 3, "years", with(3, '"recorded_at":%d+', '"recorded_at":999999999999999999'))
        refused("invalid", 3, "actor", with(3, '"type":"A"', '"type":"A","actor":""'))
        refused("invalid", 8, "no position 7", with(8, '"position":6', '"position":7'))
        refused("invalid", 8, "number", with(8, '"number":1', '"number":0'))
        refused("invalid", 9, "no version 4", with(9, '"version":1', '"version":4'))
        refused("invalid", 9, "'state' is not JSON", with(9, '"state":".-",', '"state":"x",'))
      end)

      it("are refused with a feed no log has", function()
        assert(store:feed("mail"):ack(6))
        text = dump(store)
        table.insert(lines, 10, text:match '\n({"kind":"feed".-)\n')
        lines[11] = text:match '({"kind":"end".-)\n'
        refused("invalid", 10, "no position 7", with(10, '"position":6', '"position":7'))
        refused("invalid", 10, "no epoch 0", with(10, '"epoch":1', '"epoch":0'))
        refused("invalid", 10, "ULID", with(10, '"reader":"%w+"', '"reader":"me"'))
        refused("invalid", 10, "years", with(10, '"updated_at":%d+', '"updated_at":999999999999999999'))
        refused("invalid", 10, "name", with(10, '"name":"mail"', '"name":""'))
        refused("invalid", 11, "an earlier feed", with(10, "$", "\n" .. lines[10]))
      end)

      it("loads what was dumped before there were feeds", function()
        local other = backend.open()
        assert(other:load { text = (text:gsub(',"feeds":0', "")) })
        assert.equal(text, (dump(other)))
      end)

      it("are refused with a host no log has", function()
        refused("invalid", 6, "is no host's", with(6, '"stream":"host%-%w+"', '"stream":"host-x"'))
        refused("invalid", 6, "no event of a host", with(6, "HostCreated", "HostMade"))
        refused("invalid", 6, "not a host", with(6, 'hostname', 'name'))
        refused("invalid", 6, "may not hold a space", with(6, "nas", "a b"))
        refused("invalid", 6, "'hostname' of the host", with(6, "nas", "NAS"))
        refused("invalid", 6, "'ip' of the host", with(6, "10%.0%.0%.1", "::FFFF"))
        refused("invalid", 7, "does not verify", sealed(with(7, '\\"t\\"', '\\"u\\"')))
        refused("invalid", 7, "does not verify", sealed(with(7, "CommentUpdated", "HostnameChanged")))
      end)

      it("are refused when two hosts would be one", function()
        local other = backend.open()
        assert(other:add { ip = "10.0.0.1", hostname = "nas" })
        local event = dump(other):match '\n({"kind":"event".-)\n'
        lines[1] = lines[1]:gsub('"position":6', '"position":7')
        lines[10] = lines[10]:gsub('"events":6', '"events":7')
        table.insert(lines, 8, (event:gsub('"position":1', '"position":7', 1)))
        refused("invalid", 8, "another host is '10.0.0.1 nas' already", sealed(table.concat(lines, "\n")))
      end)
    end)

    it("that fail at any call leave the target empty and usable", function()
      local source = backend.open()
      fill(source)
      local text, wanted = dump(source)
      for _, way in ipairs { function(target) return target:load { text = text } end,
        function(target) return source:copy_to(target) end } do
        for _, how in ipairs { "query", "full" } do
          local target = backend.open()
          for n = 1, MOST do
            backend.faulty.fail_at(n, how)
            local result, err = way(target)
            local calls = backend.faulty.calls()
            backend.faulty.off()
            if result then
              assert.is_true(calls < n and n > 50, "the failure of call " .. n .. " went unnoticed")
              assert.equal(wanted.digest, result.digest)
              break
            end
            expect.failure(how, result, err)
            assert.equal(0, select(2, backend.faulty.connections()))
            assert.equal(0, #target:events(), "something is left after call " .. n)
            assert.same({ {}, {}, 0 }, { target:snapshots(), target:stream_health(), target:count() })
            assert.is_true(n < MOST, "it does not end")
          end
          assert.equal(text, (dump(target)))
        end
      end
    end)

    if backend.reopen then
      it("that are killed in the middle leave the target empty and usable", function()
        fill_many(store, 1200)
        local from = backend.url
        local path = backend.directory() .. "/dump"
        assert(store:dump(path))
        store:close()
        for _, words in ipairs { { "copy", from }, { "load", path } } do
          local to = backend.make()
          -- It waits at a pipe that nobody writes to.
          local pipe = system.popen(("exec 2>&1; echo $$; mkfifo %s.wait; exec %s <>%s.wait"):format(path,
            system.lua(COPIER, words[1], words[2], to), path))
          local pid = pipe:read "*l"
          assert.equal("500", pipe:read "*l")
          assert.equal(0, select(2, system.run("kill -9 " .. tonumber(pid))))
          assert.is_nil(pipe:read "*l")
          pipe:close()
          os.remove(path .. ".wait")
          check_empty_and_usable(backend.reopen())
        end
      end)
    end

    it("are made by backup too: a file that opens, for its owner alone", function()
      fill(store)
      local path = backend.directory() .. "/odd %3f? name.db"
      for _ = 1, 2 do
        assert.is_true(store:backup(path))
        local copy = assert(hoststore.open("sqlite://" .. path:gsub("[ %%?]", { [" "] = "%20", ["%"] = "%25",
          ["?"] = "%3f" })))
        assert.same(state(store), state(copy))
        assert.is_true(copy:verify().ok)
        copy:close()
        assert(store:add { ip = "10.0.0.88", hostname = "h" .. #store:events() })
      end
      assert.equal("600\n", (system.run("stat -c %a " .. system.quote(path))))
      local before, files = system.read(path), system.files(backend.directory())
      backend.faulty.fail_at(1, "query", MOST)
      local done, err = store:backup(path)
      backend.faulty.off()
      if backend.name == "postgres" then
        expect.failure("query", done, err)
        assert.equal(before, system.read(path))
      end
      assert.same(files, system.files(backend.directory()))
    end)
  end)
end
