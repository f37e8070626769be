--- What an output is to say: the text of the hosts as they are now, made once and compared on the way.
local core = require "hoststore.core"
local export = require "hoststore.export"
local file = require "hoststore.file"
local formats = require "hoststore.format"

local sys = core.sys
local rendering = {}

-- What is longer is not kept in memory.
local BOUND = 1024 * 1024
local COPIED = 32 * 1024

local function from_template(store, output, now)
  local given = type(output.template) == "string" and { text = output.template } or output.template
  local text, err = given.text, nil
  if not text then
    text, err = file.read_trusted(given.path)
  end
  if not text then
    return nil, err
  end
  return require("hoststore.template").generator(store, {
    text = text, name = given.name or given.path or output.label, format = given.format or output.format,
    filter = output.filter,
  }, now)
end

-- The filter, for no hosts at all.
local function none_of(filter)
  local none = {}
  for key, value in pairs(filter) do
    none[key] = value
  end
  none.limit = 0
  return none
end

--- Raises on a filter that is none.
function rendering.try_filter(store, filter)
  store:list(none_of(filter))
end

-- What is wrong with a filter is wrong with the output, and not with a line of ours that uses it.
local function check_filter(store, filter)
  local ok, listed, err = pcall(store.list, store, none_of(filter))
  if ok or core.is_error(listed) then
    return listed, err
  elseif listed:find("not enough memory", 1, true) then
    error(listed, 0)
  end
  return nil, core.error { code = "invalid", field = "filter", message = listed }
end

--- A function that gives the text of the output to a sink.
---@param now number?  by which hosts expire, when that is known already
---@return function? generate, hoststore.Error? err
function rendering.generator(store, output, now)
  if output.filter then
    local good, err = check_filter(store, output.filter)
    if not good then
      return nil, err
    end
  end
  if output.template then
    return from_template(store, output, now)
  end
  return export.generator(store, output.format, output.filter, { header = output.header, now = now })
end

-- Reads a file along with what is made, and knows whether they are the same so far.
local function companion(target)
  local handle, message, errno
  if target then
    handle, message, errno = io.open(target, "rb")
  end
  if target and not handle and errno ~= sys.errno.ENOENT then
    error(file.failure(message, errno), 0)
  end
  local self = { same = handle ~= nil }
  function self.compare(text)
    self.same = self.same and handle:read(#text) == text
  end
  -- Gives the bytes it began with. Somebody may have written into it since they were read.
  function self.copy(size, wanted, sink)
    local digest = sys.digest ""
    handle:seek("set", 0)
    while size > 0 do
      local text = handle:read(math.min(size, COPIED)) or ""
      digest, size = sys.digest(text, digest), text == "" and 0 or size - #text
      sink(text)
    end
    if digest ~= wanted then
      error(core.error { code = "busy", message = target .. ": somebody else is writing into it" }, 0)
    end
  end
  function self.finish()
    self.same = self.same and handle:read(1) == nil
    if handle then
      handle:close()
    end
    return self.same
  end
  return self
end

-- Keeps what is made: in memory up to the bound, and what is longer in a file that `spill` begins. As long as
-- it is the same as what the companion reads, that has it already.
local function keeper(beside, bound, spill)
  local made, parts, sink = { size = 0, digest = sys.digest "" }, {}, nil
  local function begin()
    sink = spill()
    if parts then
      sink(table.concat(parts))
    else
      beside.copy(made.size, made.digest, sink)
    end
  end
  return made, function(text)
    local fits = made.size + #text <= bound
    if not fits and not sink and spill and not beside.same then
      begin()
    end
    if sink then
      sink(text)
    end
    parts = fits and parts or nil
    if parts then
      parts[#parts + 1] = text
    end
    made.digest, made.size = sys.digest(text, made.digest), made.size + #text
  end, function() return parts and table.concat(parts) end
end

local function make(generate, target, bound, spill)
  local beside = companion(target)
  local made, keep, kept = keeper(beside, bound, spill)
  local ok, count, skipped = pcall(file.in_blocks, generate, function(text)
    beside.compare(text)
    keep(text)
  end)
  made.same = beside.finish()
  if not ok then
    error(count, 0)
  end
  made.count, made.skipped, made.text = count, skipped, kept()
  return made
end

--- Renders what is to be all of a file. Result: digest, size and same (as the target holds already). A text of
--- more than a megabyte is not kept in memory, but given to the sink that `spill` returns, unless it is the
--- same; without one it is let go. `write(sink)` gives the text, which may mean to make it once more. To be
--- called in a reading transaction, which `write` has to share. Raises errors of the store.
---@param generate function
---@param target string  the file to compare it with
---@param spill (fun(): fun(text: string))?
---@return table made
function rendering.make(generate, target, spill)
  local made = make(generate, target, BOUND, spill)
  function made.write(sink)
    if made.text then
      return sink(made.text)
    end
    file.in_blocks(generate, sink)
  end
  return made
end

--- Renders what is to be a part of a file, or several files: its text is kept in memory.
---@param generate function
---@return table made  with text
function rendering.text(generate)
  return make(generate, nil, math.huge)
end

--- The text that was made of the hosts as they were at a position and a time, or nil when that cannot be
--- said any more.
---@param store hoststore.Store
---@param output table
---@param position number
---@param now number?
---@return string? text
function rendering.as_of(store, output, position, now)
  if output.template then
    return nil
  end
  local format = formats.get(output.format, "write")
  local parts = {}
  local ok = pcall(function()
    local view = assert(store:at { position = position })
    format.write(view:hosts(output.filter), function(text)
      parts[#parts + 1] = text
    end, { header = output.header, now = now, position = position })
  end)
  return ok and table.concat(parts) or nil
end

return rendering
