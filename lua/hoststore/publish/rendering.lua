--- What an output is to say: the text of the hosts as they are now, made once and compared on the way.
local core = require "hoststore.core"
local export = require "hoststore.export"
local file = require "hoststore.file"
local formats = require "hoststore.format"

local sys = core.sys
local rendering = {}

local BLOCK = 32 * 1024

-- Gathers what a generator gives into pieces worth a system call.
local function in_blocks(generate, take)
  local pending, size = {}, 0
  local function flush()
    if size > 0 then
      take(table.concat(pending))
    end
    pending, size = {}, 0
  end
  local count, skipped = generate(function(text)
    pending[#pending + 1] = text
    size = size + #text
    if size >= BLOCK then
      flush()
    end
  end)
  flush()
  return count, skipped
end

local function from_template(store, output)
  local given = type(output.template) == "string" and { text = output.template } or output.template
  local text, err = given.text, nil
  if not text then
    text, err = file.read(given.path)
  end
  if not text then
    return nil, err
  end
  return require("hoststore.template").generator(store, {
    text = text, name = given.name or given.path or output.label, format = given.format or output.format,
    filter = output.filter,
  })
end

--- A function that gives the text of the output to a sink.
---@return function? generate, hoststore.Error? err
function rendering.generator(store, output)
  if output.template then
    return from_template(store, output)
  end
  return export.generator(store, output.format, output.filter, { header = output.header })
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
  local same = handle ~= nil
  return function(text)
    same = same and handle:read(#text) == text
  end, function()
    same = same and handle:read(1) == nil
    if handle then
      handle:close()
    end
    return same
  end
end

-- All of the text when it is no longer than the bound; its digest and size in any case.
local function make(generate, target, bound)
  local made, parts = { size = 0, digest = sys.digest "" }, {}
  local compare, finish = companion(target)
  local ok, count, skipped = pcall(in_blocks, generate, function(text)
    made.digest, made.size = sys.digest(text, made.digest), made.size + #text
    compare(text)
    parts = made.size <= bound and parts
    if parts then
      parts[#parts + 1] = text
    end
  end)
  made.same = finish()
  if not ok then
    error(count, 0)
  end
  made.count, made.skipped = count, skipped
  made.text = parts and table.concat(parts)
  return made
end

--- Renders. Result: digest, size and same (as the target holds already); text when that is no longer than
--- the bound, else `write(sink)` gives it once more. To be called in a reading transaction, which `write`
--- has to share. Raises errors of the store.
---@param generate function
---@param target string?  the file to compare it with
---@param bound number
---@return table made
function rendering.make(generate, target, bound)
  local made = make(generate, target, bound)
  function made.write(sink)
    if made.text then
      return sink(made.text)
    end
    in_blocks(generate, sink)
  end
  return made
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
