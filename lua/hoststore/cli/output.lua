-- Where a command's answer goes: its data to stdout, all else to stderr; for people as text
-- that cannot drive their terminal, for scripts as JSON.

local text = require "hoststore.cli.text"

local STYLES = { bold = "1", dim = "2", red = "31", green = "32", yellow = "33" }

-- So many rows decide the widths of a table; later ones may stick out. A table of any length
-- thus takes constant memory.
local SAMPLED_ROWS = 200

---@class hoststore.cli.Output
local Output = {}
Output.__index = Output

-- The same number on every Linux.
Output.EPIPE = 32

--- What a failed write to stdout raises: nobody can read the rest of the answer.
local WriteFailure = {}

local function is_terminal(file)
  local number = file == io.stdout and 1 or file == io.stderr and 2
  return number and require("hoststore.core").sys.isatty(number) or false
end

--- `files` may replace stdout, stderr and stdin, and say with `terminal` whether the first two
--- are one; `json` asks for JSON, and `ndjson`, which may be set later, for lists as lines of it.
function Output.new(files, json)
  return setmetatable({
    stdout = files.stdout or io.stdout,
    stderr = files.stderr or io.stderr,
    stdin = files.stdin or io.stdin,
    terminal = files.terminal,
    json = json,
    ndjson = false,
  }, Output)
end

--- If `raised` came of a failed write to stdout: what the system said, and its number for it.
function Output.write_failure(raised)
  if getmetatable(raised) == WriteFailure then
    return raised.reason, raised.number
  end
end

function Output:on_terminal(file)
  if self.terminal ~= nil then
    return self.terminal
  end
  return is_terminal(file)
end

local function check(ok, reason, number)
  if not ok then
    error(setmetatable({ reason = reason, number = number }, WriteFailure), 0)
  end
end

--- Writes data as it is.
function Output:write(data)
  check(self.stdout:write(data))
end

function Output:flush()
  if self.stdout.flush then
    check(self.stdout:flush())
  end
end

--- Raises as a failed write does when nobody reads stdout any more: who waits for something to write
--- would not notice.
function Output:check_reader()
  if self.stdout == io.stdout and require("hoststore.core").sys.is_abandoned(1) then
    check(nil, "nobody reads it", Output.EPIPE)
  end
end

--- Writes a line for people; only its style is not made harmless.
function Output:line(line, style)
  self:write(self:paint(style, text.visible(line)) .. "\n")
end

--- Tells people something that is no part of the answer.
function Output:message(message)
  self:clear_progress()
  self.stderr:write("hoststore: " .. text.visible(message) .. "\n")
end

function Output:paint(style, line)
  if self.colour == nil then
    self.colour = (os.getenv "NO_COLOR" or "") == "" and os.getenv "TERM" ~= "dumb"
      and self:on_terminal(self.stdout)
  end
  if not self.colour or not style then
    return line
  end
  return "\27[" .. STYLES[style] .. "m" .. line .. "\27[0m"
end

--- A text that says how far long work has come, when there is someone to read it.
function Output:progress(line)
  if self:on_terminal(self.stderr) then
    self.stderr:write("\r" .. text.visible(line) .. "\27[K")
    self.in_progress = true
  end
end

function Output:clear_progress()
  if self.in_progress then
    self.stderr:write "\r\27[K"
    self.in_progress = false
  end
end

-- C1 controls may stand in JSON, but a terminal obeys them.
local function escape_c1(json)
  return (json:gsub("\194([\128-\159])", function(byte)
    return ("\\u%04x"):format(byte:byte())
  end))
end

--- A JSON text as the whole answer, or as a line of it.
function Output:value(json)
  self:write(escape_c1(json) .. "\n")
end

--- What went wrong, as JSON text.
function Output:failure(json)
  self:clear_progress()
  self.stderr:write(escape_c1(json) .. "\n")
end

--- The answer of a command that did something: a line for people, the JSON text `json` makes.
function Output:answer(line, json)
  if self.json then
    self:value(json())
  else
    self:line(line)
  end
  return 0
end

--- Pairs of a name and a value, one a line; those without a value are left out.
function Output:details(pairs_)
  local width = 0
  for _, pair in ipairs(pairs_) do
    width = math.max(width, #pair[1])
  end
  for _, pair in ipairs(pairs_) do
    if pair[2] and pair[2] ~= "" then
      local name = pair[1] .. (" "):rep(width - #pair[1])
      self:write(self:paint("bold", name) .. "  " .. text.visible(tostring(pair[2])) .. "\n")
    end
  end
end

-- Lists: an array of JSON values, a JSON value a line, or a table, each streamed.

---@class hoststore.cli.List
local List = {}
List.__index = List

--- A list of things alike: `columns` are titles, `cells(item)` the texts under them,
--- `style(item)` how a row is painted, `json(item)` its JSON text.
function Output:list(shape)
  local list = setmetatable({ out = self, shape = shape, rows = {}, count = 0 }, List)
  if self.json and not self.ndjson then
    self:write "["
  end
  return list
end

function List:add(item)
  self.count = self.count + 1
  local out = self.out
  if out.ndjson then
    out:value(self.shape.json(item))
  elseif out.json then
    out:write((self.count > 1 and ",\n" or "") .. escape_c1(self.shape.json(item)))
  else
    self:add_row(self.shape.cells(item), self.shape.style and self.shape.style(item))
  end
end

function List:add_row(cells, style)
  for i, cell in ipairs(cells) do
    cells[i] = text.visible(cell)
  end
  cells.style = style
  if not self.rows then
    return self:write_row(cells)
  end
  self.rows[#self.rows + 1] = cells
  if #self.rows == SAMPLED_ROWS then
    self:begin_table()
  end
end

-- Now enough is known about the columns to write the rows held back, and the rest at once.
function List:begin_table()
  local rows, titles = self.rows, { style = "bold" }
  self.rows, self.widths = nil, {}
  for i, title in ipairs(self.shape.columns) do
    titles[i], self.widths[i] = title, text.width(title)
    for _, row in ipairs(rows) do
      self.widths[i] = math.max(self.widths[i], text.width(row[i]))
    end
  end
  self:write_row(titles)
  for _, row in ipairs(rows) do
    self:write_row(row)
  end
end

function List:write_row(cells)
  local padded = {}
  for i, cell in ipairs(cells) do
    padded[i] = cell .. (" "):rep(self.widths[i] - text.width(cell))
  end
  local line = table.concat(padded, "  "):gsub(" +$", "")
  self.out:write(self.out:paint(cells.style, line) .. "\n")
end

function List:finish()
  if self.out.ndjson then
    return 0
  elseif self.out.json then
    self.out:write "]\n"
  elseif self.rows and self.count > 0 then
    self:begin_table()
  end
  return 0
end

--- A list of all items of an array.
function Output:array(items, shape)
  local list = self:list(shape)
  for _, item in ipairs(items) do
    list:add(item)
  end
  return list:finish()
end

return Output
