local function read(path)
  local file = assert(io.open(path))
  local text = file:read "*a"
  file:close()
  return text
end

local lua = os.getenv "LUA" or "lua5.4"

local function run(command)
  local pipe = assert(io.popen(command .. " 2>&1"))
  local text = pipe:read "*a"
  pipe:close()
  return text
end

describe("the examples", function()
  local database

  before_each(function()
    database = os.tmpname()
    os.remove(database)
  end)

  after_each(function()
    os.remove(database)
    os.remove(database .. "-journal")
  end)

  it("README shows quickstart.lua, and what it prints", function()
    local readme = read "README.md"
    local code = readme:match "```lua\n(.-)```"
    local output = readme:match "prints\n\n```\n(.-)```"
    assert.equal(read "examples/quickstart.lua", code)
    assert.equal(output, run(lua .. " examples/quickstart.lua"))
    assert.equal(output, run(("HOSTSTORE_DB=%s %s examples/quickstart.lua"):format(database, lua)))
  end)

  it("order-processing refuses what its rules forbid and saves a state every ten versions", function()
    local expected = [[
again:	stream 'order-1001' exists: it is at version 1
too many:	order 1001 has 1 left to ship, not 2
too late:	order 1002 is cancelled
order-1001	version 13	shipped
order-1002	version 2	cancelled
order-1003	version 1	placed
saved state of 1001 at version 10
]]
    assert.equal(expected, run(lua .. " examples/order-processing/main.lua"))
    assert.equal(expected, run(("HOSTSTORE_DB=sqlite:%s %s examples/order-processing/main.lua"):format(database, lua)))
  end)

  it("follow-audit prints who changed what, and goes on behind a position", function()
    run(("HOSTSTORE_DB=%s %s examples/quickstart.lua"):format(database, lua))
    local audit = ("HOSTSTORE_DB=%s %s examples/follow-audit/audit.lua %%d 0"):format(database, lua)
    assert.equal([[
2	IpAddressChanged	anna	nas.lan	ip: 192.168.1.10 -> 192.168.1.11 (new switch)
3	CommentUpdated	anna	nas.lan	comment: (none) -> moved to the rack (new switch)
4	IpAddressChanged	anna	nas.lan	ip: 192.168.1.11 -> 192.168.1.10
]], run(audit:format(1)))
    assert.equal("", run(audit:format(4)))
  end)
end)
