-- sql.

local present = require "hoststore.cli.present"

local sql = {}

-- What is no number to JSON: infinity, and what is not a number at all.
local function is_finite(value)
  return value == value and value ~= math.huge and value ~= -math.huge
end

local function json(value)
  if type(value) == "number" and not is_finite(value) then
    return "null"
  end
  return present.json(value)
end

local function word(value)
  if value == nil then
    return ""
  elseif type(value) == "number" and is_finite(value) then
    return present.json(value)
  end
  return tostring(value)
end

local function row_json(columns, row)
  local members = {}
  for i, name in ipairs(columns) do
    members[i] = present.json(name) .. ":" .. json(row[name])
  end
  return "{" .. table.concat(members, ",") .. "}"
end

-- An empty text is in quotes, which tells it from NULL.
local function csv_cell(value)
  local text = word(value)
  if value ~= nil and (text == "" or text:find '[",\r\n]') then
    return '"' .. text:gsub('"', '""') .. '"'
  end
  return text
end

local function csv_line(cells)
  return table.concat(cells, ",") .. "\r\n"
end

local function write_csv(rows, out)
  local cells = {}
  for i, name in ipairs(rows.columns) do
    cells[i] = csv_cell(name)
  end
  out:write(csv_line(cells))
  for _, row in ipairs(rows) do
    for i, name in ipairs(rows.columns) do
      cells[i] = csv_cell(row[name])
    end
    out:write(csv_line(cells))
  end
  return 0
end

local function write_list(rows, out)
  return out:array(rows, {
    columns = rows.columns,
    cells = function(row)
      local cells = {}
      for i, name in ipairs(rows.columns) do
        cells[i] = word(row[name])
      end
      return cells
    end,
    json = function(row)
      return row_json(rows.columns, row)
    end,
  })
end

function sql.sql(store, options, out)
  if options.timeout == 0 or (options.limit or 0) > 10 ^ 9 then
    return nil, { code = "usage", message = "--timeout has to be more than 0, --limit at most 1000000000" }
  end
  local rows, err = store:query(options.sql, options.param, { limit = options.limit, timeout = options.timeout })
  if not rows then
    return nil, err
  end
  if rows.more then
    out:message(("only the first %d rows; --limit gives more"):format(#rows))
  end
  if options.csv then
    return write_csv(rows, out)
  end
  return write_list(rows, out)
end

return sql
