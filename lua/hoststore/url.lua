--- Opening a store: which driver, which database, which options.

local core = require "hoststore.core"

local DIRECTORY_MODE = 493 -- 0755

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

-- What only SQLite has: not options of a postgres: URL.
local of_sqlite = { journal = true, page_size = true }

-- Takes the options out of what stands behind the '?' of a URL. Returns them and an array of the rest.
local function parse_query(query)
  local options, rest = {}, {}
  for part in query:gmatch("[^&]+") do
    local name, value = part:match("^([^=]*)=?(.*)$")
    local rule = rules[name]
    if rule and rule[2] then
      options[name] = rule[2](unescape(value))
      local good, wanted = rule[1](options[name])
      if not good then return invalid("in the database URL %s %s, not '%s'", name, wanted, value) end
    else
      rest[#rest + 1] = part
    end
  end
  return options, rest
end

local function parse_sqlite(text, rest)
  local path, query = rest:match("^([^?]*)%??(.*)$")
  if path:match("^//") then
    path = path:sub(3)
    if path ~= ":memory:" and path:sub(1, 1) ~= "/" then
      return invalid("'%s' names a host; write sqlite:///absolute/path or sqlite:relative/path", text)
    end
  end
  if path == "" then return invalid("'%s' names no file; write it like sqlite:///etc/hoststore/hosts.db", text) end
  local options, unknown = parse_query(query)
  if not options then return nil, unknown end
  if unknown[1] then return invalid("'%s' has an unknown option '%s'", text, unknown[1]:match("^[^=]*")) end
  return { driver = "sqlite", location = unescape(path), options = options }
end

-- All but our own options is libpq's to understand. No message quotes the URL: it may hold a password,
-- which is why the escapes that libpq would quote are checked here.
local function parse_postgres(scheme, rest)
  if rest:sub(1, 2) ~= "//" then return invalid("write a PostgreSQL URL like postgres://user@host/database") end
  if (rest:gsub("%%%x%x", "")):find("%", 1, true) or rest:find("%00", 1, true) then
    return invalid("the database URL has a '%%' that is not followed by two hexadecimal digits, or %%00")
  end
  local base, query = rest:match("^([^?]*)%??(.*)$")
  local options, others = parse_query(query)
  if not options then return nil, others end
  for name in pairs(of_sqlite) do
    if options[name] ~= nil then return invalid("%s is an option of SQLite, not of PostgreSQL", name) end
  end
  query = others[1] and "?" .. table.concat(others, "&") or ""
  return { driver = "postgres", location = scheme .. ":" .. base .. query, options = options }
end

--- Takes a URL apart.
---@param text string
---@return { driver: string, location: string, options: hoststore.OpenOptions }?, hoststore.Error?
function url.parse(text)
  if text == "" then return invalid("the database URL is empty; write it like sqlite:///etc/hoststore/hosts.db") end
  if text:find("%z") then return invalid("the database URL holds a NUL byte") end
  local scheme, rest = text:match("^(%a[%w+.-]*):(.*)$")
  if not scheme then return { driver = "sqlite", location = text, options = {} } end
  scheme = scheme:lower()
  if scheme == "sqlite" then return parse_sqlite(text, rest) end
  if scheme == "memory" and rest == "" then return { driver = "sqlite", location = ":memory:", options = {} } end
  if scheme == "postgres" or scheme == "postgresql" then return parse_postgres(scheme, rest) end
  return invalid("'%s' has the unknown scheme '%s'; use sqlite:, memory:, postgres: or a plain path", text, scheme)
end

local function load_driver(name)
  local found, driver = pcall(require, "hoststore." .. name)
  if found then return driver end
  return nil, core.error({
    code = "unsupported",
    message = ("the driver hoststore.%s cannot be loaded; install it, and the library it needs: %s"):format(
      name, tostring(driver):match("^[^\n]*")),
  })
end

local function make_parent(location)
  local parent = location:match("^(.*)/[^/]*$")
  if not parent or parent == "" or core.sys.stat(parent) then return true end
  local made, message, errno = core.sys.mkdir_p(parent, DIRECTORY_MODE)
  if not made then return nil, require("hoststore.file").failure(message, errno) end
  return true
end

function url.open(text, given)
  if type(text) ~= "string" then error("the database URL must be a string, not " .. type(text), 3) end
  check_options(given)
  local target, err = url.parse(text)
  if not target then return nil, err end
  local options = target.options
  for name, value in pairs(given or {}) do
    if of_sqlite[name] and target.driver ~= "sqlite" then
      return nil, core.error({ code = "unsupported", message = name .. " is an option of SQLite, not of PostgreSQL" })
    end
    options[name] = value
  end
  local driver
  driver, err = load_driver(target.driver)
  if not driver then return nil, err end
  local create = options.create ~= false and not options.readonly
  if create and target.driver == "sqlite" and target.location ~= ":memory:" then
    local made
    made, err = make_parent(target.location)
    if not made then return nil, err end
  end
  return core.open(driver, {
    location = target.location,
    readonly = options.readonly or false,
    create = create,
    durable = options.durability ~= "normal",
    journal = options.journal or "auto",
    page_size = options.page_size,
    busy_timeout = math.floor(options.busy_timeout or 30000),
    tenant = options.tenant or "default",
    actor = options.actor,
    lenient = options.names == "lenient",
    clock = options.clock,
  })
end

return url
