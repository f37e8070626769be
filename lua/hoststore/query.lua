--- store:query: questions in SQL, for who analyses the log.

local core = require "hoststore.core"
local options = require "hoststore.options"

local ROWS, SECONDS = 10000, 60

---@class hoststore.QueryOptions
---@field limit integer?  read no more rows than that; 10000
---@field timeout number?  seconds until the question is given up, as a "query" failure; 60

---@class hoststore.Rows
---@field [integer] table<string, any>  a row: values by the names of columns; nil is NULL
---@field columns string[]  the names in order; of equal ones, later ones get a number: id, id_2
---@field more boolean  the limit cut rows off

local keys = options.set("limit", "timeout")

local CAN_BIND = { string = true, number = true, boolean = true, ["nil"] = true }

-- As many values as `n` says or, without it, as there are before the first nil.
local function check_values(values)
  if values == nil then return {}, 0 end
  if type(values) ~= "table" then error("the parameters must be an array, not " .. type(values), 3) end
  local count = values.n or #values
  if not options.is_count(count) then error("n must be the number of parameters", 3) end
  for i = 1, count do
    local value = values[i]
    if not CAN_BIND[type(value)] and value ~= core.null then
      error(("parameter %d must be a text, a number, a boolean or null, not a %s"):format(i, type(value)), 3)
    end
  end
  return values, count
end

--- Asks one SELECT of the database, over the views and tables that README lists, of all tenants. It cannot
-- write, attach, change a setting or read files, and `$1`, `$2` … stand for the parameters. Integers and
-- floats are numbers, booleans booleans (on SQLite 1 and 0), texts strings; whatever else a database
-- has, dates, lists, exact decimals with a fraction, is the text that it writes for it. Not within a
-- transaction.
---@param sql string
---@param parameters any[]?  `hoststore.null`, or nil with a field `n`, is NULL
---@param given hoststore.QueryOptions?
---@return hoststore.Rows?, hoststore.Error?
function core.methods.query(store, sql, parameters, given)
  if type(sql) ~= "string" then error("the SQL must be a string, not " .. type(sql), 2) end
  given = options.check(given, keys, "the options")
  local values, count = check_values(parameters)
  local limit, timeout = given.limit or ROWS, given.timeout or SECONDS
  if not options.is_count(limit) or limit > 10 ^ 9 then error("limit must be a number of rows", 2) end
  if type(timeout) ~= "number" or not (timeout > 0 and timeout <= 10 ^ 6) then
    error("timeout must be a number of seconds", 2)
  end
  if core.depth(store) > 0 then error("a question cannot be asked within a transaction", 2) end
  return core.ask(store, sql, values, count, limit, timeout)
end

return core.methods.query
