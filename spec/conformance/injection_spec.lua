-- Texts that try to become SQL or a command, wherever the API takes a text: each is stored and given back byte
-- for byte, or refused as invalid, and nothing else happens.
local hoststore = require "hoststore"
local publishing = require "spec.support.publishing"
local system = require "spec.support.system"

local CORPUS = {
  "'", '"', "''", "\\", "\\'", "'; DROP TABLE events; --", '"; DROP TABLE hosts; --', "'); DELETE FROM hosts; --",
  "x' OR '1'='1", "1 OR 1=1", "' UNION SELECT id FROM events --", "$1", "$2", "?1", "?", ":name", "@name", "$$", "$a$",
  "$$; DROP TABLE events; $$", "--", "/*", "*/", ";--", "%", "%%", "%s%n%d", "%27", "%00", "_", "a_b", "*", "\\x27",
  "E'\\047'", "U&'\\0027'", "x\0y", "\0", "\n", "a\nb", "\r\n", "\t", "\27[2J", "\127", "\194\128", "\255", "\192\167",
  "\239\188\135", "\202\188", "`touch evil`", "$(touch evil)", "; touch evil", "| touch evil", "&& touch evil",
  "> evil", "../../evil", "/evil", "-rf", "--db", "{}", "[]", "null", "NULL", "true", "0", "-1", "1e999",
  "SELECT pg_sleep(9)", "COPY events TO PROGRAM 'touch evil'", "a,b", "host-x", "<script>", ("'"):rep(300),
  ("ä"):rep(100),
}

-- Nil where the text was refused; that says so, and not what a database or a shell made of it.
local function try(text, fn, ...)
  local ok, result, err = pcall(fn, ...)
  if ok and result ~= nil then
    return result
  end
  local refusal = ok and err or result
  if type(refusal) == "string" then -- misuse
    assert.is_nil(refusal:lower():find "sql" or refusal:lower():find "syntax", refusal)
  else
    assert.is_truthy(refusal == nil or refusal.code:find "^invalid" or refusal.code == "not_found",
      ("%q: %s"):format(text, tostring(refusal)))
  end
  return nil
end

for _, backend in ipairs(require "spec.support.backends") do
  describe(backend.name .. ": a text that would be SQL or a command", function()
    local store

    before_each(function()
      store = backend.open { actor = "tester" }
      assert(store:add { ip = "10.0.0.1", hostname = "nas.lan", comment = "untouched" })
    end)

    after_each(function()
      assert.is_nil(io.open "evil")
      backend.finish()
    end)

    -- Tries all of the corpus; `keep` returns what came back, or nil when it was refused.
    local function each(least, keep)
      local kept = 0
      for _, text in ipairs(CORPUS) do
        local got = keep(text)
        if got ~= nil then
          kept = kept + 1
          assert.equal(text, got)
        end
      end
      assert.is_true(kept >= least, kept .. " were kept")
      assert.equal("untouched", assert(store:find("10.0.0.1", "nas.lan")).comment)
      assert.same({}, assert(store:verify()).problems)
    end

    it("is a comment, a tag or nothing", function()
      each(60, function(text)
        local host = try(text, store.add, store, { ip = "10.0.0.2", hostname = "x", comment = text })
        local got = host and assert(store:get(host.id)).comment
        if host then
          assert(store:delete(host))
        end
        return got
      end)
      each(50, function(text)
        local host = try(text, store.add, store, { ip = "10.0.0.2", hostname = "x", tags = { text } })
        local got = host and assert(store:list { tags = { text } })[1].tags[1]
        if host then
          assert(store:delete(host))
        end
        return got
      end)
    end)

    it("is no hostname, address, alias or origin", function()
      for _, text in ipairs(CORPUS) do
        for _, given in ipairs { { ip = text }, { aliases = { text } }, { origin = text }, { hostname = text } } do
          given.ip, given.hostname = given.ip or "10.0.0.9", given.hostname or "y"
          local host = try(text, store.add, store, given)
          if host then
            assert.is_nil((host.hostname .. " " .. table.concat(host.aliases, " ")):find "[^a-z0-9_. -]")
            assert(store:delete(host))
          end
        end
      end
      assert.equal(1, store:count())
    end)

    it("is the reason and the actor of a change, and a text in its metadata", function()
      each(50, function(text)
        local host = try(text, store.add, store, { ip = "10.0.0.2", hostname = "x" }, { reason = text })
        local got = host and assert(store:history(host.id))[1].reason
        if host then
          assert(store:delete(host))
        end
        return got
      end)
      each(40, function(text)
        local host = try(text, store.add, store, { ip = "10.0.0.2", hostname = "x" }, { actor = text })
        local got = host and assert(store:log { actor = text })[1].actor
        if host then
          assert(store:delete(host))
        end
        return got
      end)
      each(#CORPUS, function(text)
        local host = assert(store:add({ ip = "10.0.0.2", hostname = "x" }, { metadata = { [text] = text } }))
        local got = assert(store:history(host.id))[1].metadata[text]
        assert(store:delete(host))
        return got
      end)
    end)

    it("is a stream, a type and data", function()
      each(40, function(text)
        local stream = try(text, store.stream, store, text)
        local done = stream and try(text, stream.append, stream, { type = "T", data = { 1 } })
        return done and assert(store:events { stream = text })[1].stream
      end)
      each(40, function(text)
        local done = try(text, store.stream(store, "types").append, store:stream "types", { type = text })
        return done and assert(store:events { stream = "types", types = { text } })[1].type
      end)
      each(#CORPUS, function(text)
        assert(store:stream("data"):append { type = "T", data = { [text] = text } })
        local events = assert(store:stream("data"):read())
        return events[#events].data[text]
      end)
      each(#CORPUS, function(text)
        local stream = store:stream "states"
        local version = assert(stream:append { type = "T" }).last
        assert(stream:save_snapshot(version, { text = text }))
        return stream:load_snapshot().state.text
      end)
    end)

    it("is the name of a feed and of a snapshot", function()
      each(40, function(text)
        local feed = try(text, store.feed, store, text)
        local done = feed and try(text, feed.ack, feed, 1)
        local got = done and assert(store:feeds())[1].name
        if done then
          assert(store:delete_feed(text))
        end
        return got
      end)
      each(40, function(text)
        local snapshot = try(text, store.snapshot, store, { name = text })
        local got = snapshot and assert(store:get_snapshot(snapshot.id)).name
        if snapshot then
          assert(store:delete_snapshot(snapshot.id))
        end
        return got
      end)
      each(10, function(text)
        local snapshot = try(text, store.snapshot, store, { trigger = text })
        local got = snapshot and assert(store:get_snapshot(snapshot.id)).trigger
        if snapshot then
          assert(store:delete_snapshot(snapshot.id))
        end
        return got
      end)
    end)

    it("finds nothing in a filter that is not there", function()
      for _, text in ipairs(CORPUS) do
        for _, filter in ipairs { { ip = text }, { hostname = text }, { tags = { text } }, { tags_all = { text } },
          { origin = text }, { after = text } } do
          local hosts = try(text, store.list, store, filter)
          -- "*" is every name.
          assert.is_true(hosts == nil or #hosts == 0 or text == "*" and filter.hostname == "*")
        end
        for _, filter in ipairs { { ip_pattern = text }, { hostname_pattern = text }, { text = text } } do
          local hosts = try(text, store.list, store, filter)
          local plain = filter.text and "10.0.0.1 nas.lan untouched" or filter.ip_pattern and "10.0.0.1" or "nas.lan"
          assert.is_true(hosts == nil or #hosts == (plain:find(text, 1, true) and 1 or 0), text)
        end
        for _, method in ipairs { "get", "history", "get_snapshot", "delete_snapshot", "restore", "delete" } do
          assert.is_nil((try(text, store[method], store, text)), method)
        end
        try(text, store.lookup, store, text)
        try(text, store.reverse, store, text)
        try(text, store.streams, store, { prefix = text, after = text })
        try(text, store.log, store, { stream = text, types = { text }, since = text })
        try(text, store.at, store, text)
      end
      assert.equal(1, store:count())
    end)

    if backend.name == "postgres" then
      it("is the name of a schema", function()
        local url = os.getenv "HOSTSTORE_TEST_POSTGRES"
        each(40, function(text)
          local other = try(text, hoststore.open, url, { schema = text, policies = false })
          if not other then
            return nil
          end
          assert(other:add { ip = "10.0.0.1", hostname = "nas.lan" })
          local got = assert(other:stats()).schema
          other:close()
          local output, status = system.run(("psql -Xqc %s %s"):format(
            system.quote('DROP SCHEMA "' .. text:gsub('"', '""') .. '" CASCADE'), system.quote(url)))
          assert.equal(0, status, output)
          return got
        end)
      end)
    end

    if backend.reopen then
      it("is a tenant of its own, which sees nothing of the others", function()
        each(40, function(text)
          local other = try(text, backend.reopen, { tenant = text })
          if not other then
            return nil
          end
          assert.equal(0, other:count())
          local host = assert(other:add { ip = "10.0.0.1", hostname = "nas.lan" })
          local got = assert(other:stats()).tenant
          assert(other:delete(host))
          other:close()
          return got
        end)
        assert.equal(1, store:count())
      end)
    end
  end)
end

describe("a path that would be a command", function()
  it("is a path", function()
    local directory = system.directory()
    local store = assert(hoststore.open("memory:", { policies = false }))
    assert(store:add { ip = "10.0.0.1", hostname = "nas.lan" })
    local made = 0
    for _, text in ipairs(CORPUS) do
      if not text:find "[/%z]" and #text < 200 and text ~= "" then
        local path = directory .. "/" .. text
        assert(store:export("hosts", path))
        assert(store:publish(path .. ".published"))
        assert(store:dump(path .. ".dump"))
        assert(store:backup(path .. ".backup"))
        local file = assert(hoststore.open(path .. ".db", { policies = false }))
        assert(file:add { ip = "10.0.0.1", hostname = "nas.lan" })
        file:close()
        file = assert(hoststore.open(path .. ".db", { readonly = true }))
        assert.equal(1, file:count())
        file:close()
        made = made + 1
      end
    end
    store:close()
    local names = {}
    for _, name in ipairs(system.files(directory)) do
      names[name] = true
    end
    assert.is_nil(names.evil)
    assert.is_true(made > 50)
    assert.is_nil(io.open "evil")
    system.remove(directory)
  end)
end)

describe("a word that would be a command", function()
  it("reaches who checks a file, and who is told of it, as it was given", function()
    local directory = system.directory()
    local store = assert(hoststore.open("memory:", { policies = false }))
    local log = directory .. "/words"
    system.write(directory .. "/note", 'printf "%s\\n" "$1" >>' .. log)
    local function command(text)
      return { "env", "-u", "LD_PRELOAD", "sh", directory .. "/note", text }
    end
    local given = {}
    for i, text in ipairs(CORPUS) do
      local output = { name = "dns", path = directory .. "/hosts", format = "hosts", reload = command(text) }
      -- In a checker's words that stands for the path.
      if not text:find("%s", 1, true) then output.check = command(text) end
      assert(store:add { ip = "10.0.0." .. i, hostname = "h" .. i })
      local err = assert(store:publish_outputs { output })[1].error
      if text:find "%z" then
        assert.equal("invalid", err.code)
      else
        assert.is_nil(err)
        given[#given + 1] = text
        given[#given + 1] = output.check and text
      end
    end
    store:close()
    assert.equal(table.concat(given, "\n") .. "\n", system.read(log))
    assert.same({ "hosts", "note", "words" }, publishing.files(directory))
    assert.is_nil(io.open "evil")
    system.remove(directory)
  end)
end)
