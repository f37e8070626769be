local clock = require "hoststore.clock"
local core = require "hoststore.core"
local expect = require "spec.support.expect"
local machine_clock = require "spec.support.machine_clock"
local system = require "spec.support.system"

local DAY = 86400

for _, backend in ipairs(require "spec.support.backends") do
  describe(backend.name .. ": by a clock that a script gave, retention", function()
    local store, time
    before_each(function()
      time = 1700000000
      store = backend.open { clock = function() return time end }
      assert(store:add { ip = "10.0.0.1", hostname = "a" })
      assert(store:snapshot())
    end)
    after_each(backend.finish)

    it("deletes what is older, and nothing when the clock has jumped years ahead, unless it is forced to", function()
      time = time + 3000 * DAY
      expect.failure("conflict", store:apply_retention { max_age = "1d" })
      assert.equal(1, assert(store:apply_retention { max_age = "1d", force = true }))
      time = 1700000000 + 3 * DAY
      assert(store:snapshot())
      time = time + 2 * DAY
      assert.equal(1, assert(store:apply_retention { max_age = "1d" }))
    end)

    it("deletes nothing by age before the newest event, and says why", function()
      time = 1000
      assert(store:snapshot())
      time = time + 10 * DAY
      local err = expect.failure("conflict", store:apply_retention { max_age = "1d" })
      assert.equal("the clock says 1970-01-11T00:16:40Z, but the newest event is of 2023-11-14T22:13:20Z; " ..
        "nothing is removed, unless you force it because the clock is right", err.message)
      assert.equal(2, #store:snapshots())
      assert.equal(1, assert(store:apply_retention { max_age = "1d", force = true }))
    end)

    it("still counts before the newest event", function()
      time = 1000
      assert(store:snapshot())
      assert.equal(1, assert(store:apply_retention { max_count = 1 }))
      assert.equal(1, assert(store:apply_retention { keep = function() end }))
    end)

    it("goes by the clock again once something was written by it", function()
      time = 4000000000
      assert(store:add { ip = "10.0.0.2", hostname = "b" })
      time = 1700000000 + 2 * DAY
      expect.failure("conflict", store:apply_retention { max_age = "1d" })
      assert(store:add { ip = "10.0.0.3", hostname = "c" })
      assert.equal(1, assert(store:apply_retention { max_age = "1d" }))
    end)
  end)

  if backend.reopen then
    describe(backend.name .. ": by the clock of the system, retention", function()
      -- In 2030.
      local REAL = 1900000000
      local store, past, writer, time, directory
      before_each(function()
        time = REAL
        directory = machine_clock.begin(function() return time end)
        writer = backend.open { clock = function() return past end }
        store = backend.reopen()
      end)
      after_each(function()
        machine_clock.finish()
        backend.finish()
      end)

      -- Writes an event and makes a snapshot so many days ago.
      local function record(...)
        for _, days in ipairs { ... } do
          past = REAL - days * DAY
          assert(writer:stream("s"):append { type = "A" })
          assert(writer:snapshot { name = tostring(days) })
        end
      end

      local function names()
        return table.concat(expect.pluck(assert(store:snapshots()), "name"), " ")
      end

      local function refused()
        local err = expect.failure("conflict", store:apply_retention { max_age = "40d" })
        assert.matches("; nothing is removed, unless", err.message, 1, true)
        return err.message
      end

      it("deletes what is older when the log goes back without a hole", function()
        record(300, 200, 100, 20, 1)
        assert.equal(3, assert(store:apply_retention { max_age = "40d" }))
        assert.equal("1 20", names())
      end)

      it("deletes nothing when the clock is not set", function()
        record(100)
        time = 50
        assert.matches("^the clock says 1970%-01%-01T00:00:50Z: it is not set; ", refused())
        assert.equal("100", names())
      end)

      it("deletes nothing before the newest event", function()
        record(100, -1)
        assert.matches("but the newest event is of", refused(), 1, true)
        assert.equal("-1 100", names())
      end)

      it("deletes nothing after a hole in the log, which may be a jump of the clock", function()
        record(400)
        assert.matches("but nothing was recorded between .- and now; ", refused())
        assert.equal("400", names())
        assert.equal(1, assert(store:apply_retention { max_age = "40d", force = true }))
      end)

      it("deletes nothing after a hole, though something was written since", function()
        record(1300, 1200, 2, 0)
        assert.matches(("but nothing was recorded between %s and %s; "):format(core.format_time(REAL - 1200 * DAY),
          core.format_time(REAL - 2 * DAY)):gsub("%-", "%%-"), refused())
        assert.equal(4, #store:snapshots())
      end)

      it("deletes what is older when a hole was followed by a month of records", function()
        record(500, 31, 20, 10, 0)
        assert.equal(1, assert(store:apply_retention { max_age = "40d" }))
        assert.equal("0 10 20 31", names())
      end)

      it("takes an event of a time when the clock was not set for none", function()
        past = 10
        assert(writer:stream("s"):append { type = "A" })
        record(50, 0)
        assert.equal(1, assert(store:apply_retention { max_age = "40d" }))
      end)

      it("finds the hole behind more events than one page", function()
        record(400)
        past = REAL - DAY
        local events = {}
        for i = 1, 1200 do events[i] = { type = "A" } end
        assert(writer:stream("s"):append(events))
        refused()
      end)

      it("believes ntpd, whatever the log looks like", function()
        record(400)
        clock.trust(directory, REAL - 3600, core.sys.monotonic() - 3600)
        assert.equal(1, assert(store:apply_retention { max_age = "40d" }))
      end)

      it("deletes nothing when the clock was moved by days since ntpd set it", function()
        record(50, 0)
        clock.trust(directory, REAL - 3 * DAY, core.sys.monotonic())
        assert.matches("but it was moved by 3 days since it was seen last; ", refused(), 1, true)
      end)

      it("of a policy removes nothing after a hole either, snapshots and expired hosts", function()
        local policies = backend.directory() .. "/policies"
        assert(core.sys.mkdir_p(policies))
        system.write(policies .. "/a.lua", 'retention { name = "all", age = "40d", expired_hosts = "remove" }')
        record(1500)
        assert(writer:add { ip = "10.0.0.1", hostname = "a", expires_at = REAL - 100 * DAY })
        store = backend.reopen { policies = policies }
        expect.failure("conflict", store:apply_policy_retention())
        expect.failure("conflict", store:apply_policy_retention { dry_run = true })
        assert.same({ 1, 1 }, { #store:snapshots(), store:count() })
        assert.same({ snapshots = 1, hosts = 1 }, assert(store:apply_policy_retention { force = true }))
      end)
    end)
  end
end
