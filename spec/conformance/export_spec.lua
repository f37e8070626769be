local expect = require "spec.support.expect"
local random_hosts = require "spec.support.random_hosts"
local system = require "spec.support.system"

for _, backend in ipairs(require "spec.support.backends") do
  local HOSTS = backend.slow and 20 or 100
  describe(backend.name .. ": export", function()
    local store, time
    before_each(function()
      time = 1000
      store = backend.open { clock = function() return time end }
      assert(store:add { ip = "10.0.0.10", hostname = "nas.lan", aliases = { "store", "backup" },
        comment = "In the cellar",
        tags = { "server", "disk" } })
      assert(store:add { ip = "2001:db8::1", hostname = "gw", tags = { "v6" } })
      assert(store:add { ip = "10.0.0.9", hostname = "plain" })
      assert(store:add { ip = "10.0.0.1", hostname = "off", enabled = false })
      assert(store:add { ip = "10.0.0.2", hostname = "expires", expires_at = 1500, comment = "soon" })
    end)
    after_each(backend.finish)

    it("to hosts gives a line for each host that is enabled and has not expired, by address", function()
      assert.equal("10.0.0.2\texpires\t# soon\n10.0.0.9\tplain\n" ..
        "10.0.0.10\tnas.lan store backup\t# In the cellar [disk, server]\n2001:db8::1\tgw\t# [v6]\n",
          store:export "hosts")
      time = 1500
      assert.equal("10.0.0.9\tplain\n10.0.0.10\tnas.lan store backup\t# In the cellar [disk, server]\n" ..
        "2001:db8::1\tgw\t# [v6]\n", store:export "hosts")
    end)

    it("is the same to the byte each time", function()
      for _, format in ipairs { "hosts", "json", "ndjson", "csv" } do
        local text = assert(store:export(format))
        time = time + 1
        assert.equal(text, store:export(format))
      end
    end)

    it("keeps to a filter", function()
      assert.equal("10.0.0.9\tplain\n", store:export("hosts", nil, { hostname = "plain" }))
      assert.equal("10.0.0.9\tplain\n", store:export("hosts", { hostname = "plain" }))
      expect.misuse(store.export, store, "hosts", nil, { name = "plain" })
      expect.invalid("ip", store:export("hosts", nil, { ip = "10.0.0" }))
    end)

    it("to a path writes the file as a whole, and says how many hosts are in it", function()
      local path = backend.directory() .. "/lan.hosts"
      assert.equal(4, assert(store:export("hosts", path)))
      assert.equal(store:export "hosts", system.read(path))
      assert.equal(5, assert(store:export("json", path)))
      assert.equal(store:export "json", system.read(path))
      assert.is_nil((store:export("hosts", backend.directory() .. "/missing/lan.hosts")))
      assert.is_nil((store:export("hosts", backend.directory())))
    end)

    it("to an open file leaves it open", function()
      local path = backend.directory() .. "/lan.csv"
      local file = assert(io.open(path, "wb"))
      assert.equal(5, assert(store:export("csv", file)))
      assert(file:write("more"))
      file:close()
      assert.equal(store:export "csv" .. "more", system.read(path))
    end)

    it("to /dev/full fails as full", function()
      local file = assert(io.open("/dev/full", "wb"))
      expect.failure("full", store:export("hosts", file))
      pcall(file.close, file)
    end)

    it("never leaves half a file when reading fails", function()
      local path = backend.directory() .. "/lan.hosts"
      local whole = store:export "hosts"
      local n, count, err = 0
      repeat
        n = n + 1
        system.write(path, "before")
        backend.faulty.fail_at(n)
        count, err = store:export("hosts", path)
        backend.faulty.off()
        if not count then
          assert.equal("query", err.code)
          local text = system.read(path)
          assert.is_true(text == "before" or text == whole)
        end
      until count
      assert.is_true(n > 2)
      assert.equal(4, count)
    end)

    it("of no hosts is an empty file of its format", function()
      local empty = backend.open()
      assert.equal("", empty:export "hosts")
      assert.equal("", empty:export "ndjson")
      for _, format in ipairs { "json", "csv" } do
        local other = backend.open()
        assert.equal(0, assert(other:import({ text = assert(empty:export(format)) }, { format = format })).processed)
      end
    end)

    it("to an unknown format is refused", function()
      expect.failure("invalid", store:export "yaml")
    end)
  end)

  describe(backend.name .. ": what is exported and imported again", function()
    after_each(backend.finish)

    local function fill(hosts, options)
      local store = backend.open(options)
      assert(store:transaction(function()
        for _, host in ipairs(hosts) do
          local _, err = store:add(host)
          assert(err == nil or err.code == "duplicate", tostring(err))
        end
        return true
      end))
      assert.is_true(store:count() > #hosts * 0.9)
      return store
    end

    local function round_trip(format, store, options)
      local other = backend.open(options)
      local text = assert(store:export(format))
      local result = assert(other:import({ text = text }, { format = format, mode = "strict" }))
      assert.equal(store:count(), result.created)
      assert.same(expect.entries(store), expect.entries(other))
      return text, other
    end

    for _, names in ipairs { "strict", "lenient" } do
      for _, format in ipairs { "json", "ndjson", "csv" } do
        it("as " .. format .. " is the same host, whatever is in it, with " .. names .. " names", function()
          for seed = 1, 4 do
            local options = { names = names }
            local store = fill(random_hosts.make(seed, HOSTS, { controls = true, states = true,
              lenient = names == "lenient" }),
              options)
            local text, other = round_trip(format, store, options)
            -- The other store writes the same, but for what each makes anew.
            local again = backend.open(options)
            assert(again:import({ text = assert(other:export(format)) }, { format = format }))
            assert.same(expect.entries(store), expect.entries(again))
            -- Importing it where it came from changes nothing.
            local result = assert(store:import({ text = text }, { format = format, mode = "sync" }))
            assert.same({ store:count(), 0, 0, 0 }, { result.unchanged, result.updated, result.created,
              result.deleted })
          end
        end)
      end

      it("as hosts is the same host, when no comment has control characters, with " .. names .. " names", function()
        for seed = 1, 8 do
          local options = { names = names }
          local store = fill(random_hosts.make(seed, HOSTS, { lenient = names == "lenient" }), options)
          local text = round_trip("hosts", store, options)
          assert.equal(0, assert(store:import({ text = text }, { mode = "replace" })).updated)
        end
      end)
    end

    it("as hosts never has a line, a comment or a name more than there are hosts", function()
      for seed = 1, 8 do
        local store = fill(random_hosts.make(seed, HOSTS, { controls = true }))
        local text = assert(store:export "hosts")
        local _, lines = text:gsub("\n", "")
        assert.equal(store:count(), lines)
        assert.is_nil(text:find("[%z\1-\8\11-\31\127]"))
        assert.is_nil(text:find("\194[\128-\159]"))
        local i, hosts = 0, store:list()
        for line in text:gmatch("[^\n]+") do
          i = i + 1
          local names = hosts[i].ip .. "\t" .. hosts[i].hostname
          if hosts[i].aliases[1] then
            names = names .. " " .. table.concat(hosts[i].aliases, " ")
          end
          assert.equal(names, line:sub(1, #names))
          assert.is_truthy(line:find("^\t# ", #names + 1) or #line == #names, line)
          assert.is_nil(line:sub(#names + 2):find("\t", 1, true))
        end
      end
    end)
  end)
end
