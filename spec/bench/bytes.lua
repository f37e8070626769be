--- Counts what a commit of one event writes to the disk, and how often it waits for it, with spec/support/write_log.c
--- preloaded. Neither depends on how busy the machine is. Prints one table; judges nothing.
---   bytes.lua INTERPRETER BUILD      from the root of the tree, with the search paths set
local hoststore = require "hoststore"
local report = require "spec.bench.report"
local sys = require("hoststore.core").sys
local output_of = report.output_of

local interpreter, build, task = arg[1], arg[2], arg[3]
local HOSTS, COMMITS = 200, tonumber(os.getenv "COMMITS") or 1000

local function host(i)
  return {
    ip = ("10.0.%d.%d"):format(math.floor(i / 256), i % 256), hostname = ("host-%d.lan"):format(i),
    aliases = { "h" .. i }, comment = ("number %d of many"):format(i), tags = { "bench" },
  }
end

local operations = {
  { "an event of a stream", function(store, i)
    assert(store:stream("attic"):append { type = "Measured", data = { number = i, unit = "kelvin" } })
  end },
  { "a changed comment", function(store, i, hosts)
    assert(store:update(hosts[i % HOSTS + 1].id, { comment = "changed " .. i }))
  end },
  { "a new host", function(store, i) assert(store:add(host(HOSTS + i))) end },
}

-- The process that writes; of the log only what is between the marks counts.
local function write(database, number)
  local operation = operations[number][2]
  local store = assert(hoststore.open(database, { actor = "bench", policies = false }))
  local hosts = {}
  for i = 0, HOSTS - 1 do hosts[i + 1] = assert(store:add(host(i))) end
  local function mark() assert(sys.append(os.getenv "WRITE_LOG", "mark 0 0 -\n")) end
  mark()
  for i = 0, COMMITS - 1 do operation(store, i, hosts) end
  mark()
  store:close()
end

if task == "write" then
  write(arg[4], tonumber(arg[5]))
  os.exit(0, true)
end

local directory = output_of "mktemp -d"

-- Bytes that one commit writes to the database, bytes beside it, and syncs.
local function count(options, number)
  local log, root = directory .. "/log", directory .. "/root"
  local said = output_of("rm -rf %s %s; mkdir %s; WRITE_LOG=%s WRITE_LOG_ROOT=%s LD_PRELOAD=%s/write_log.so " ..
    "%s spec/bench/bytes.lua %s %s write 'sqlite://%s/hosts.db?%s' %d 2>&1", log, root, root, log, root, build,
    interpreter, interpreter, build, root, options, number)
  assert(said == "", said)
  local counts, marks = { database = 0, beside = 0, syncs = 0 }, 0
  local file = assert(io.open(log, "rb"))
  for line in file:lines() do
    local name, length, path = line:match "^(%a+) %d+ (%d+) (.*)$"
    file:seek("cur", tonumber(length))
    if name == "mark" then marks = marks + 1 end
    if marks == 1 and name == "sync" then counts.syncs = counts.syncs + 1 end
    if marks == 1 and name == "write" then
      local place = path == "hosts.db" and "database" or "beside"
      counts[place] = counts[place] + tonumber(length)
    end
  end
  file:close()
  assert(marks == 2, "the log lacks a mark")
  return counts
end

-- In kB, for a commit of one event, with the row of the read model or without.
local GOALS = { ["persist 1024"] = 9, ["wal 1024"] = 7 }

local function row(journal, page_size, number)
  local counts = count(("journal=%s&page_size=%d"):format(journal, page_size), number)
  local beside, database = counts.beside / COMMITS / 1000, counts.database / COMMITS / 1000
  local goal = number < 3 and GOALS[journal .. " " .. page_size]
  -- What a checkpoint copies into the database is written once for many commits, and is no part of any.
  local commit = journal == "wal" and beside or beside + database
  return { ("%s, journal %s, page size %d"):format(operations[number][1], journal, page_size),
    ("%.1f kB"):format(commit), ("%.1f kB"):format(beside), ("%.1f kB"):format(database),
    ("%.1f"):format(counts.syncs / COMMITS), goal and goal .. " kB" or "" }
end

local rows = { { "", "a commit", "journal", "database", "syncs", "goal" } }
local ok, err = xpcall(function()
  for _, journal in ipairs { "persist", "truncate", "wal" } do
    for _, page_size in ipairs { 1024, 4096 } do
      for number in ipairs(operations) do
        rows[#rows + 1] = row(journal, page_size, number)
        io.stderr:write(rows[#rows][1], "\n")
      end
    end
  end
end, debug.traceback)
output_of("rm -rf %s", directory)
if not ok then error(err, 0) end
print(("\nof %d commits with durability full, each of one event; of a write-ahead log a commit is what is written to"
  .. "\nthe log, and `database` what the checkpoints copy, over all commits\n"):format(COMMITS))
report.print(rows)
