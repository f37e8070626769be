local clusters = require "spec.support.clusters"
local hoststore = require "hoststore"
local system = require "spec.support.system"

-- The SQL of the guide, in its order, each with the heading it stands under.
local function examples()
  local found, heading, block = {}, nil, nil
  for line in io.lines "sql/postgres/README.md" do
    if block and line == "```" then
      found[#found + 1] = { heading = heading, sql = table.concat(block, "\n") }
      block = nil
    elseif block then
      block[#block + 1] = line
    elseif line == "```sql" then
      block = {}
    else
      heading = line:match "^#+ (.*)" or heading
    end
  end
  return found
end

describe("the SQL of the guide to PostgreSQL", function()
  local all = examples()
  local cluster, store

  local function url(role, database)
    return ("postgresql://%s@%s/%s"):format(role, cluster:address(), database)
  end

  -- As an admin runs it. What makes the database cannot be run in it.
  local function psql(sql)
    local target = sql:find "CREATE DATABASE" and url("postgres", "postgres")
      or url("postgres", "hosts") .. "?options=-csearch_path%3Dhoststore"
    local path = cluster.directory .. "/example.sql"
    system.write(path, sql)
    local output, status = system.run(("psql -XAtq -v ON_ERROR_STOP=1 -f %s %s"):format(system.quote(path),
      system.quote(target)))
    assert.equal(0, status, sql .. "\n" .. output)
    return (output:gsub("\n$", ""))
  end

  -- The only example that has a text in it.
  local function example(text)
    local matching = {}
    for _, block in ipairs(all) do
      if block.sql:find(text, 1, true) then
        matching[#matching + 1] = block.sql
      end
    end
    assert.equal(1, #matching, text)
    return matching[1]
  end

  local function store_url(options)
    return url("hoststore_owner", "hosts") .. "?schema=hoststore" .. (options or "")
  end

  setup(function()
    cluster = clusters.make "guide"
    psql(example "CREATE DATABASE")
    store = assert(hoststore.open(store_url "&application_name=holder", { actor = "anna", tenant = "caf\195\169 1" }))
    local nas = assert(store:add { ip = "10.0.0.1", hostname = "nas", aliases = { "n" }, tags = { "t" } })
    assert(store:update(nas, { ip = "10.0.0.2" }, { reason = "moved" }))
    assert(store:stream("s"):append { { type = "A" }, { type = "B" } })
    assert(store:feed("mail"):ack(1))
  end)

  teardown(function()
    store:close()
    clusters.finish()
  end)

  for i, block in ipairs(all) do
    if not block.sql:find "CREATE DATABASE" then
      it(("runs: %s, example %d"):format(block.heading, i), function()
        psql(block.sql)
      end)
    end
  end

  it("finds nothing wrong with a store that verifies, and tells how far a feed is", function()
    assert.is_true(assert(store:verify()).ok)
    assert.equal("", psql(example "HAS_GAPS"))
    assert.equal("caf\195\169 1|4|0", psql(example "AS missing"))
    assert.matches("^caf\195\169 1|mail|1|.*|3$", psql(example "FROM feeds"))
    assert.matches("|anna|nas|IpAddressChanged|ip|10.0.0.1|10.0.0.2|moved$", psql(example "FROM host_entries_history"))
    assert.matches("holder|hoststore_owner|127.0.0.1|idle|1|", psql(example "longest_transaction"), 1, true)
  end)

  it("finds versions and positions that are missing", function()
    psql [[INSERT INTO events (tenant, position, stream, version, partition, id, type, data, occurred_at, recorded_at)
      VALUES ('other', 7, 'gap', 3, 0, '01ARZ3NDEKTSV4RRFFQ69G5FAV', 'A', '1', 0, 0)]]
    assert.equal("other|gap|3|0|2", psql(example "HAS_GAPS"))
    assert.matches("other|7|6", psql(example "AS missing"), 1, true)
  end)

  it("tells who waits for a tenant's lock, who holds it, and whose lock it is", function()
    local who, whose = example "AS held_by", example "WITH RECURSIVE"
    assert.equal("", psql(who))
    local pipe, waiting
    assert(store:transaction(function()
      assert(store:stream("s"):append { type = "C" })
      local writer = system.lua("spec/support/writer.lua", store_url "&application_name=waiter&tenant=caf%C3%A9%201",
        "adds", "w", 1)
      pipe = system.popen("exec timeout 60 " .. writer .. " 2>&1")
      system.wait("somebody waits", function()
        waiting = psql(who)
        return waiting ~= ""
      end)
      assert.matches("^%d+|waiter|[^|]*|%d+|holder|idle in transaction|[^|]*$", waiting)
      assert.matches("^caf\195\169 1|t|%d+|holder|idle in transaction|[^\n]*\n"
        .. "caf\195\169 1|f|%d+|waiter|active|[^\n]*$", (psql(whose)))
      return true
    end))
    assert.matches("done\n$", pipe:read "*a")
    pipe:close()
    assert.equal("", psql(whose))
  end)
end)
