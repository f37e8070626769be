local backends = require "spec.support.backends"
local system = require "spec.support.system"

local file, postgres = backends[1], backends[3]
local lua = os.getenv "LUA" or "lua5.4"

-- Runs an example on a database, or on none.
local function run(command, url)
  local pipe = assert(io.popen((url and "HOSTSTORE_DB=" .. system.quote(url) .. " " or "") .. command .. " 2>&1"))
  local text = pipe:read "*a"
  pipe:close()
  return text
end

local readme = system.read "README.md"
local printed = readme:match "prints\n\n```\n(.-)```"

local ORDERS = [[
again:	stream 'order-1001' exists: it is at version 1
too many:	order 1001 has 1 left to ship, not 2
too late:	order 1002 is cancelled
order-1001	version 13	shipped
order-1002	version 2	cancelled
order-1003	version 1	placed
saved state of 1001 at version 10
]]

local quickstart = lua .. " examples/quickstart.lua"
local order_processing = lua .. " examples/order-processing/main.lua"

describe("the examples", function()
  it("include what README shows", function()
    assert.equal(system.read "examples/quickstart.lua", readme:match "```lua\n(.-)```")
  end)

  it("run without a database of their own", function()
    assert.equal(printed, run(quickstart))
    assert.equal(ORDERS, run(order_processing))
  end)
end)

for _, backend in ipairs { file, postgres } do
  describe(backend.name .. ": the examples", function()
    local url

    before_each(function() url = backend.make() end)
    after_each(backend.finish)

    it("print what README says that quickstart.lua prints", function()
      assert.equal(printed, run(quickstart, url))
    end)

    it("refuse orders that their rules forbid, and save a state every ten versions", function()
      assert.equal(ORDERS, run(order_processing, url))
      local store = backend.reopen()
      assert.equal(17, #store:events())
    end)

    it("follow the log, print who changed what, and go on behind a position", function()
      run(quickstart, url)
      local audit = lua .. " examples/follow-audit/audit.lua %d 0"
      assert.equal([[
2	IpAddressChanged	anna	nas.lan	ip: 192.168.1.10 -> 192.168.1.11 (new switch)
3	CommentUpdated	anna	nas.lan	comment: (none) -> moved to the rack (new switch)
4	IpAddressChanged	anna	nas.lan	ip: 192.168.1.11 -> 192.168.1.10
]], run(audit:format(1), url))
      assert.equal("", run(audit:format(4), url))
    end)
  end)
end

describe("the tour of examples/run.sh", function()
  after_each(backends[1].finish)

  -- The interpreter alone gets what is preloaded into it, a sanitiser; the shell would not bear it.
  local function interpreter()
    local path, preload = file.directory() .. "/lua", os.getenv "LD_PRELOAD"
    system.write(path, ("#!/bin/sh\nexec env %s %s \"$@\"\n"):format(
      preload and "LD_PRELOAD=" .. system.quote(preload) or "", lua))
    assert.equal("", (system.run("chmod +x " .. path)))
    return path
  end

  -- Without what differs from one run to the next: when it was, and where.
  local function tour(url)
    local output = system.run(("USER=anna LUA=%s examples/run.sh %s"):format(interpreter(), system.quote(url)))
    output = output:gsub(url:gsub("%p", "%%%0"), "URL"):gsub("/[^%s]*/hosts", "PATH")
    return (output:gsub("%d+%-%d+%-%d+T%d+:%d+:%d+Z", "TIME"):gsub("%(%w+%)\n", "(ID)\n"))
  end

  it("shows the same on SQLite and on PostgreSQL", function()
    local shown = tour(file.make())
    assert.matches("ok: 30 events, 24 streams, 24 hosts\n$", shown)
    assert.equal(shown, tour(postgres.make()))
  end)
end)
