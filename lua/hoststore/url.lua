--- Opening a store: which driver, which database, which options.

local core = require "hoststore.core"
local neutral = require "hoststore.neutral"
local options = require "hoststore.options"

local DIRECTORY_MODE = 448 -- 0700, as the database is 0600
local DEFAULT_POLICIES = "/etc/hoststore/policies"

local url = {}

local function invalid(format, ...)
  return nil, core.error({ code = "invalid_url", message = string.format(format, ...) })
end

local function one_of(...)
  local known = { ... }
  return function(value)
    for _, word in ipairs(known) do
      if value == word then return true end
    end
    return false, "must be " .. table.concat(known, " or ")
  end
end

local function is_string(value)
  return type(value) == "string" and value ~= "", "must be a name"
end

local function is_boolean(value)
  return type(value) == "boolean", "must be true or false"
end

local function is_page_size(value)
  local size = 512
  while size < 65536 and size ~= value do size = size * 2 end
  return size == value, "must be a power of two from 512 to 65536"
end

local function is_milliseconds(value)
  return type(value) == "number" and value >= 0 and value <= 2 ^ 31 - 1, "must be a number of milliseconds"
end

local function is_seconds(value)
  return type(value) == "number" and value >= 0 and value <= 2 ^ 20, "must be a number of seconds"
end

local function is_count(value)
  return options.is_count(value) and value <= 1000, "must be a number of connections, at most 1000"
end

-- What PostgreSQL takes for a name without cutting it.
local function is_schema(value)
  return type(value) == "string" and value ~= "" and #value <= 63, "must be the name of a schema, at most 63 bytes"
end

local function is_directory(value)
  return value == false or is_string(value), "must be a directory or false"
end

-- Every option, what it may be, and how it is read out of a URL.
local function to_boolean(text)
  if text == "true" or text == "1" or text == "" then return true end
  if text == "false" or text == "0" then return false end
end

local rules = {
  actor = { is_string, tostring },
  tenant = { is_string, tostring },
  readonly = { is_boolean, to_boolean },
  create = { is_boolean, to_boolean },
  durability = { one_of("full", "normal"), tostring },
  journal = { one_of("auto", "wal", "truncate", "delete", "persist", "memory"), tostring },
  page_size = { is_page_size, tonumber },
  busy_timeout = { is_milliseconds, tonumber },
  names = { one_of("strict", "lenient"), tostring },
  schema = { is_schema, tostring },
  notify = { is_boolean, to_boolean },
  min_connections = { is_count, tonumber },
  max_connections = { is_count, tonumber },
  acquire_timeout = { is_seconds, tonumber },
  idle_timeout = { is_seconds, tonumber },
  policies = { is_directory, function(text) return text ~= "false" and text end },
  on_error = { one_of("refuse", "allow"), tostring },
  clock = { function(value) return type(value) == "function", "must be a function" end },
}

local function check_options(given)
  if given == nil then return end
  if type(given) ~= "table" then error("the options must be a table, not " .. type(given), 4) end
  for name, value in pairs(given) do
    local rule = rules[name]
    if not rule then error("unknown option '" .. tostring(name) .. "'", 4) end
    local good, wanted = rule[1](value)
    if not good then error(name .. " " .. wanted .. ", not '" .. tostring(value) .. "'", 4) end
  end
end

local function unescape(text)
  return (text:gsub("%%(%x%x)", function(hex) return string.char(tonumber(hex, 16)) end))
end

-- What one of the databases has alone.
local owners = {
  journal = "sqlite", page_size = "sqlite",
  schema = "postgres", notify = "postgres", min_connections = "postgres", max_connections = "postgres",
  acquire_timeout = "postgres", idle_timeout = "postgres",
}
local titles = { sqlite = "SQLite", postgres = "PostgreSQL", duckdb = "DuckDB" }

-- The databases that are files.
local examples = { sqlite = "sqlite:///etc/hoststore/hosts.db", duckdb = "duckdb:///var/lib/hoststore/hosts.duckdb" }

-- An option of another database, and what to say about it.
local function find_foreign(given, driver)
  for name in pairs(given) do
    if owners[name] and owners[name] ~= driver then
      return ("%s is an option of %s, not of %s"):format(name, titles[owners[name]], titles[driver])
    end
  end
end

-- Takes the options out of what stands behind the '?' of a URL. Returns them and an array of the rest.
local function parse_query(query)
  local found, rest = {}, {}
  for part in query:gmatch("[^&]+") do
    local name, value = part:match("^([^=]*)=?(.*)$")
    local rule = rules[name]
    if rule and rule[2] then
      found[name] = rule[2](unescape(value))
      local good, wanted = rule[1](found[name])
      if not good then return invalid("in the database URL %s %s, not '%s'", name, wanted, value) end
    else
      rest[#rest + 1] = part
    end
  end
  return found, rest
end

local function parse_file(driver, text, rest)
  local path, query = rest:match("^([^?]*)%??(.*)$")
  if path:match("^//") then
    path = path:sub(3)
    if path ~= ":memory:" and path:sub(1, 1) ~= "/" then
      return invalid("the database URL names a host; write %s:///absolute/path or %s:relative/path", driver, driver)
    end
  end
  if path == "" then return invalid("'%s' names no file; write it like %s", text, examples[driver]) end
  local found, unknown = parse_query(query)
  if not found then return nil, unknown end
  if unknown[1] then return invalid("'%s' has an unknown option '%s'", text, unknown[1]:match("^[^=]*")) end
  local foreign = find_foreign(found, driver)
  if foreign then return invalid("%s", foreign) end
  return { driver = driver, location = unescape(path), options = found }
end

-- What is meant for PostgreSQL and would become the name of a file, with a password in it.
local function is_mistaken_path(text)
  if text:find("^[^/]*://") or text:lower():find("^postgres%w*/+[^/]*@") then return true end
  for _, word in ipairs { "host", "user", "password", "dbname", "service" } do
    if (" " .. text):find("%s" .. word .. "%s*=") then return true end
  end
  return false
end

-- A '?' may stand in a path, but who puts an option behind it means a URL, and would miss what it turns on.
local function parse_path(text)
  if is_mistaken_path(text) then
    return invalid("the path of a database looks like a wrong URL; write postgres://user@host/database or, for a file, "
      .. "./ before it")
  end
  if rules[text:match("%?([%w_]+)=") or ""] then
    return invalid("'%s' is a path with options; write sqlite:%s", text, text)
  end
  return { driver = "sqlite", location = text, options = {} }
end

-- A password that has not been escaped ends at the wrong place, and what comes behind it passes for a host, a
-- port, a database or an option, which messages quote.
local function looks_unescaped(base, query)
  local hosts = base:match("^//([^/]*)"):gsub("^[^@]*@", "")
  if (base:gsub("^//[^/]*", "") .. hosts .. query):find("@", 1, true) then return true end
  for host in (hosts .. ","):gmatch("([^,]*),") do
    if not (host:gsub("^%[[^%]]*%]?", "")):find("^[^:]*:?%d*$") then return true end
  end
  for part in query:gmatch("[^&]+") do
    if not part:find("^[%w_]+=") then return true end
  end
  return false
end

-- All but our own options is libpq's to understand. No message quotes the URL: it may hold a password,
-- which is why what libpq would quote is checked here.
local function parse_postgres(scheme, rest)
  if rest:sub(1, 2) ~= "//" then return invalid("write a PostgreSQL URL like postgres://user@host/database") end
  if (rest:gsub("%%%x%x", "")):find("%", 1, true) then
    return invalid("the database URL has a '%%' that is not followed by two hexadecimal digits")
  end
  local base, query = rest:match("^([^?]*)%??(.*)$")
  if looks_unescaped(base, query) then
    return invalid("the database URL is not like postgres://user:password@host:port/database?option=value; in a name "
      .. "or password write @ as %%40, / as %%2F, ? as %%3F, & as %%26, : as %%3A")
  end
  local found, others = parse_query(query)
  if not found then return nil, others end
  local foreign = find_foreign(found, "postgres")
  if foreign then return invalid("%s", foreign) end
  query = others[1] and "?" .. table.concat(others, "&") or ""
  return { driver = "postgres", location = scheme .. ":" .. base .. query, options = found }
end

--- Takes a URL apart.
---@param text string
---@return { driver: string, location: string, options: hoststore.OpenOptions }?, hoststore.Error?
function url.parse(text)
  if text == "" then return invalid("the database URL is empty; write it like sqlite:///etc/hoststore/hosts.db") end
  if text:find("%z") then return invalid("the database URL holds a NUL byte") end
  local scheme, rest = text:match("^(%a[%w+.-]*):(.*)$")
  if not scheme then return parse_path(text) end
  if rest:find("%00", 1, true) then return invalid("the database URL holds a NUL byte, written %%00") end
  scheme = neutral.lower(scheme)
  if examples[scheme] then return parse_file(scheme, text, rest) end
  if scheme == "memory" and rest == "" then return { driver = "sqlite", location = ":memory:", options = {} } end
  if scheme == "postgres" or scheme == "postgresql" then return parse_postgres(scheme, rest) end
  return invalid("the database URL has the unknown scheme '%s'; use sqlite:, memory:, postgres:, duckdb: or a path",
    scheme)
end

-- What a driver needs, for who lacks it.
local libraries = {
  sqlite = "SQLite (Debian: libsqlite3-0)", postgres = "libpq (Debian: libpq5)",
  duckdb = "DuckDB's libduckdb.so (make deps-duckdb fetches it)",
}

-- Why require failed, as one line, without all the places where a module is not.
local function reason_of(message)
  return (tostring(message):gsub("^(module .- not found):.*", "%1"):gsub("%s+", " "))
end

local function load_driver(name)
  local found, driver = pcall(require, "hoststore." .. name)
  if found then return driver end
  return nil, core.error({
    code = "unsupported",
    message = ("%s cannot be used: install %s and hoststore's driver for it, the module hoststore.%s: %s"):format(
      titles[name], libraries[name], name, reason_of(driver)),
  })
end

-- What is opened with a database, by SQLite following links by hand, which the system would not follow in /tmp. Any
-- other user could put a journal there, which would be played into the database.
local FILES = {
  sqlite = { "", "-journal", "-wal", "-shm", "-checkpoint" },
  duckdb = { "", ".wal", ".wal.checkpoint", ".wal.recovery" },
}

local function check_files(driver, location)
  for _, suffix in ipairs(FILES[driver]) do
    local safe, message, errno = core.sys.guard(location .. suffix)
    -- What else is wrong with the path is the driver's to say.
    if not safe and errno == core.sys.errno.EPERM then return nil, require("hoststore.file").failure(message, errno) end
  end
  return true
end

local function make_parent(location)
  local parent = location:match("^(.*)/[^/]*$")
  if not parent or parent == "" or core.sys.stat(parent) then return true end
  local made, message, errno = core.sys.mkdir_p(parent, DIRECTORY_MODE)
  if not made then return nil, require("hoststore.file").failure(message, errno) end
  return true
end

-- Where the policies are, or false. The module is loaded by who has some.
local function find_policies(all)
  if all.policies ~= nil then return all.policies end
  local stat = core.sys.stat(DEFAULT_POLICIES)
  return stat and stat.type == "directory" and DEFAULT_POLICIES
end

function url.open(text, given)
  if type(text) ~= "string" then error("the database URL must be a string, not " .. type(text), 3) end
  check_options(given)
  local target, err = url.parse(text)
  if not target then return nil, err end
  local all = target.options
  for name, value in pairs(given or {}) do all[name] = value end
  local foreign = find_foreign(all, target.driver)
  if foreign then return nil, core.error({ code = "unsupported", message = foreign }) end
  local least, most = all.min_connections or 1, all.max_connections or 10
  if most < 1 or least > most then
    return invalid("max_connections must be at least 1 and at least min_connections, not %d and %d", most, least)
  end
  local driver
  driver, err = load_driver(target.driver)
  if not driver then return nil, err end
  local create = all.create ~= false and not all.readonly
  if examples[target.driver] and target.location ~= ":memory:" then
    local good
    good, err = check_files(target.driver, target.location)
    if good and create then good, err = make_parent(target.location) end
    if not good then return nil, err end
  end
  local policies = find_policies(all)
  -- Also for a store that is only read: a plan says what the rules would.
  local asker = policies and require("hoststore.policy").asker(policies, all.on_error) or nil
  local store
  store, err = core.open(driver, {
    location = target.location,
    readonly = all.readonly or false,
    create = create,
    durable = all.durability ~= "normal",
    journal = all.journal or "auto",
    page_size = all.page_size,
    busy_timeout = math.floor(all.busy_timeout or 30000),
    schema = all.schema,
    notify = all.notify or false,
    min_connections = least,
    max_connections = most,
    acquire_timeout = math.floor((all.acquire_timeout or 30) * 1000),
    idle_timeout = math.floor((all.idle_timeout or 600) * 1000),
    tenant = all.tenant or "default",
    actor = all.actor,
    lenient = all.names == "lenient",
    clock = all.clock,
    policy = asker,
  })
  if store and all.clock then require("hoststore.clock").give(store) end
  if store and policies then require("hoststore.policy").attach(store, policies, asker) end
  return store, err
end

return url
