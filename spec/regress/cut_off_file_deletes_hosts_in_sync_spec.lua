-- A sync with a file that was cut off in the middle of a record reported that record, and deleted all hosts behind it.
local backends = require "spec.support.backends"
local expect = require "spec.support.expect"

-- Each is good but for its last line.
local CUT = {
  ndjson = '{"ip":"10.0.0.1","hostname":"a"}\n{"ip":"10.0.0.2","host',
  csv = "ip,hostname\n10.0.0.1,a\n10.0.0.2",
  ["csv with the address behind"] = "hostname,ip\na,10.0.0.1\nb,10.0.",
  ["csv in a quote"] = 'ip,hostname\n10.0.0.1,a\n10.0.0.2,"b',
  hosts = "10.0.0.1 a\n10.0.0.2",
  uci = "config domain\n\toption ip '10.0.0.1'\n\toption name 'a'\nconfig domain\n\toption ip '10.0",
  leases = "0 aa:bb:cc:dd:ee:01 10.0.0.1 a *\n0 aa:bb:cc:dd:ee:02 10.0",
}

for _, backend in ipairs(backends) do
  describe(backend.name .. ": an import of a source that breaks off", function()
    local store

    before_each(function()
      store = backend.open()
      assert(store:import({ text = "10.0.0.1 a\n10.0.0.2 b\n10.0.0.3 c" }, { mode = "sync", origin = "import:lab" }))
      assert.equal(3, store:count())
    end)

    after_each(backend.finish)

    for name, text in pairs(CUT) do
      it("imports and deletes nothing: " .. name, function()
        local before = expect.pluck(assert(store:list()), "version")
        for _, mode in ipairs { "sync", "replace" } do
          local err = expect.failure("invalid", store:import({ text = text },
            { mode = mode, origin = "import:lab", format = name:match "^%w+" }))
          assert.is_number(err.line)
        end
        assert.same(before, expect.pluck(assert(store:list()), "version"))
      end)

    end

    it("is no import of a whole one whose last record is bad", function()
      for _, name in ipairs { "ndjson", "csv", "hosts", "uci", "leases" } do
        local result = assert(store:import({ text = CUT[name] .. "\n" },
          { mode = "replace", origin = "import:lab", format = name }))
        assert.is_true(result.failed > 0 and result.processed > result.failed, name)
      end
    end)
  end)
end
