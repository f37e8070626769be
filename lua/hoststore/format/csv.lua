--- Hosts as CSV (RFC 4180): a header that names the columns, then a host a record. A source may have
--- any of our columns in any order, as long as ip and hostname are among them. Aliases and tags are
--- lists, joined by ';'; within an item, '\;' is a semicolon and '\\' a backslash.
local core = require "hoststore.core"
local formats = require "hoststore.format"
local neutral = require "hoststore.neutral"

local byte, concat, find, gsub, sub = string.byte, table.concat, string.find, string.gsub, string.sub

local csv = {}

local COLUMNS = {
  "ip", "hostname", "aliases", "comment", "tags", "enabled", "expires_at", "origin",
  "id", "version", "created_at", "updated_at",
}
local LIMIT = 256 * 1024

-- -- cells ------------------------------------------------------------------------------------------

local function read_list(text)
  local list, first, position = {}, 1, 1
  repeat
    local at = find(text, "[\\;]", position)
    if at and byte(text, at) == 92 then
      position = at + 2        -- whatever a backslash stands before does not end an item
    else
      local item = sub(text, first, (at or #text + 1) - 1)
      if item ~= "" then
        list[#list + 1] = gsub(item, "\\([\\;])", "%1")
      end
      first = at and at + 1
      position = first
    end
  until not first
  return list
end

local function write_list(list)
  local items = {}
  for i = 1, #list do
    items[i] = gsub(list[i], "[\\;]", "\\%0")
  end
  return concat(items, ";")
end

local function read_text(text)
  return text
end

local function read_enabled(text)
  local word = neutral.lower(text)
  if word == "true" or word == "false" then
    return word == "true"
  elseif word ~= "" then
    return nil, "'enabled' is " .. formats.quote(text) .. "; write true or false"
  end
end

local function read_time(text)
  if text == "" then
    return core.null
  end
  return find(text, "^%d+%.?%d*$") and neutral.number(text) or text
end

-- What a cell says of its field. Columns without a reader are for people, and passed over.
local readers = {
  ip = read_text,
  hostname = read_text,
  aliases = read_list,
  tags = read_list,
  enabled = read_enabled,
  comment = function(text) return text ~= "" and text or core.null end,
  expires_at = read_time,
  origin = function(text) return text ~= "" and text or nil end,
}

local function write_time(time)
  return time and core.format_time(time) or ""
end

local writers = {
  aliases = write_list,
  tags = write_list,
  enabled = tostring,
  comment = function(comment) return comment or "" end,
  expires_at = write_time,
  created_at = write_time,
  updated_at = write_time,
  version = function(version) return ("%.0f"):format(version) end,
}

-- -- records ----------------------------------------------------------------------------------------

-- The cells of a record; nil when a quoted one is not closed, and with a message when it is no record.
local function split(text)
  local cells, count, position = {}, 0, 1
  while true do
    local cell
    if byte(text, position) == 34 then
      local quote = find(text, '"', position + 1, true)
      while quote and byte(text, quote + 1) == 34 do
        quote = find(text, '"', quote + 2, true)
      end
      if not quote then
        return nil
      end
      cell = gsub(sub(text, position + 1, quote - 1), '""', '"')
      position = quote + 1
    else
      local last = (find(text, '[,"]', position) or #text + 1) - 1
      cell = sub(text, position, last)
      position = last + 1
    end
    count = count + 1
    cells[count] = cell
    local c = byte(text, position)
    if not c then
      return cells
    elseif c ~= 44 then
      return nil, ("field %d has a quote that neither begins nor ends it; write it as \"\" in quotes"):format(count)
    end
    position = position + 1
  end
end

local function without_cr(text)
  return byte(text, -1) == 13 and sub(text, 1, -2) or text
end

-- The rest of a record whose first line leaves a quote open: the lines up to one with an odd number
-- of quotes.
local function read_open_record(lines, text)
  local parts, size = { text }, #text
  repeat
    local number, line, message = lines:next()
    if not line then
      return nil, number and message or "a quote is not closed", true
    end
    parts[#parts + 1] = line
    size = size + #line + 1
    if size > LIMIT then
      return nil, "the record is longer than 256 KiB; is a quote not closed?", true
    end
    local _, quotes = gsub(line, '"', '"')
  until quotes % 2 == 1
  return split(without_cr(concat(parts, "\n")))
end

-- The line number and cells of the next record that is not blank.
local function read_record(lines)
  local number, line, message
  repeat
    number, line, message = lines:next()
    if not line then
      return number, nil, message
    end
  until find(line, "[^\t-\r ]")
  local cells, broken
  cells, message = split(without_cr(line))
  if not cells and not message then
    cells, message, broken = read_open_record(lines, line)
  end
  return number, cells, message, broken
end

-- -- reading and writing ----------------------------------------------------------------------------

local function is_column(name)
  for _, column in ipairs(COLUMNS) do
    if column == name then
      return true
    end
  end
  return false
end

-- The names of the columns in their order, and as a set.
local function read_header(cells)
  local columns, known = {}, {}
  for i, cell in ipairs(cells) do
    local name = neutral.lower(cell)
    if not is_column(name) then
      return nil, ("column %s is unknown; there are %s"):format(formats.quote(cell), concat(COLUMNS, ", "))
    elseif known[name] then
      return nil, ("column '%s' is there twice"):format(name)
    end
    columns[i], known[name] = name, true
  end
  if not (known.ip and known.hostname) then
    return nil, "the first line must name the columns, ip and hostname among them"
  end
  return columns, known
end

local function read_entry(columns, cells)
  if #cells ~= #columns then
    return nil, ("the record has %d fields, the header %d"):format(#cells, #columns)
  end
  local entry = {}
  for i, column in ipairs(columns) do
    local reader = readers[column]
    if reader then
      local value, message = reader(cells[i])
      if message then
        return nil, message
      end
      entry[column] = value
    end
  end
  return entry
end

--- Reads the header at once, to set options.fields, then a record at a time.
---@param lines hoststore.Lines
---@param options? table
---@return fun(): integer?, table?, string?
function csv.read(lines, options)
  lines.keep_cr = true
  local first, names, problem = read_record(lines)
  local columns, known, done
  if names then
    columns, known = read_header(names)
    problem = not columns and known
  end
  if columns and options then
    options.fields = { comment = known.comment, tags = known.tags, aliases = known.aliases }
  end
  return function()
    if done then
      return nil
    elseif not columns then
      done = true
      return first or 1, nil, problem or "the header, a line that names the columns, is missing", true
    end
    local number, cells, message, broken = read_record(lines)
    if not cells then
      return number, nil, message, broken
    end
    return number, read_entry(columns, cells)
  end
end

local function quote(text)
  if find(text, '[",\r\n]') or find(text, "^ ") or find(text, " $") then
    return '"' .. gsub(text, '"', '""') .. '"'
  end
  return text
end

---@param iterator fun(): hoststore.Host?
---@param sink fun(text: string)
---@return integer count
function csv.write(iterator, sink)
  local cells, count = {}, 0
  sink(concat(COLUMNS, ",") .. "\r\n")
  for host in iterator do
    for i, column in ipairs(COLUMNS) do
      local writer = writers[column]
      cells[i] = quote(writer and writer(host[column]) or host[column])
    end
    sink(concat(cells, ",") .. "\r\n")
    count = count + 1
  end
  return count
end

return csv
