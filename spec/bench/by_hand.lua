--- What one would write by hand in Lua, through luasql, to add hosts to SQLite: the same rows as hoststore's.
---   by_hand.lua DATABASE JOURNAL SYNCHRONOUS COUNT START
--- Prints the seconds it took. Ids and times are made with less care than hoststore's, to the advantage of this.
local luasql = require "luasql.sqlite3"
local sys = require("hoststore.core").sys

local connection = assert(luasql.sqlite3():connect(arg[1]))
local count, start = tonumber(arg[4]), tonumber(arg[5])

local function value_of(sql)
  local cursor = assert(connection:execute(sql))
  local value = cursor:fetch()
  cursor:close()
  return value
end

local function insert(name, values)
  assert(connection:execute(("INSERT INTO %s VALUES ('default', %s)"):format(name, values)))
end

local DATA = '{"ip":"%s","hostname":"%s","aliases":["h%d"],"comment":"%s","tags":["bench"],"enabled":true,'
  .. '"origin":"admin","created_at":%.0f}'

local function add(i)
  local time = 1795228981000000 + i
  local ip = ("10.%d.%d.%d"):format(math.floor(i / 65536), math.floor(i / 256) % 256, i % 256)
  local name, key = connection:escape(("host-%d.example.lan"):format(i)), ("40a%06x"):format(i)
  local comment = connection:escape(("number %d of many, version 1"):format(i))
  local id = ("01KA0000000000000A%08d"):format(i)
  assert(connection:execute "BEGIN IMMEDIATE")
  assert(not value_of(("SELECT 1 FROM hosts WHERE tenant = 'default' AND ip_key = '%s' AND hostname = '%s'")
    :format(key, name)), "a duplicate")
  local position = value_of "SELECT COALESCE(MAX(position), 0) + 1 FROM events WHERE tenant = 'default'"
  insert("events", ("%d, 'host-%s', 1, %d, '01KA0000000000000F%08d', 'HostCreated', '%s', NULL, 'bench', NULL, "
    .. "%.0f, %.0f"):format(position, id, i % 32, i, connection:escape(DATA:format(ip, name, i, comment, time)), time,
    time))
  insert("hosts", ("'%s', 1, %d, '%s', '%s', '%s', 'h%d', '%s', 'bench', 1, NULL, 'admin', %.0f, %.0f")
    :format(id, position, key, ip, name, i, comment, time, time))
  insert("host_aliases", ("'h%d', '%s'"):format(i, id))
  insert("host_tags", ("'bench', '%s'"):format(id))
  assert(connection:execute "COMMIT")
end

value_of("PRAGMA journal_mode = " .. arg[2])
connection:execute("PRAGMA synchronous = " .. arg[3])
local began = sys.monotonic()
for i = start, start + count - 1 do add(i) end
print(("%.6f"):format(sys.monotonic() - began))
connection:close()
