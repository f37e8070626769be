--- Templates: files of any kind out of the hosts, in LuCI's syntax.
---
---   <% for host in hosts() do -%>
---   host-record=<%= host.hostname %>,<%= host.ip %>   <%# one for each host %>
---   <% end -%>
---
--- `<% code %>` is Lua, `<%= value %>` writes a value, `<%# comment %>` nothing. A '-' behind '<%' takes
--- the white space before it away, one before '%>' that behind it. A template runs in a sandbox. In it are
--- the functions of Lua that do no harm, and the context of contract 1, by name or as fields of `context`:
---
---   hosts()      an iterator over the hosts that are enabled and not expired, in the order of the
---                addresses, with the fields of a host; any number of them may be begun
---   by_ip()      an iterator: address, list of its hosts
---   by_tag()     an iterator: tag, list of the hosts that have it; sorted
---   by_domain()  an iterator: what stands behind the first dot of the hostname, list of hosts; sorted
---   count  position  tenant  format  version    version is 1, that of the contract
---
--- What `<%= %>` writes is one word of the format: a text that would be more, or end the line, is quoted or
--- escaped as the format does it; nil is nothing (in JSON and YAML null; in shell, uci and csv, where a word
--- that is missing would move those behind it, an empty one in quotes). These say otherwise:
---
---   raw(value)      as it is; write(value) writes such a text from within code
---   quote(value)    in quotes, whether it needs them or not
---   comment(value)  the rest of a line behind the sign of a comment
---   escape(value)   as `<%= %>` does it, for write()
---
--- A name that is not defined, and a field that a host does not have, is an error with the line of the
--- template. The limits of the sandbox grow with the number of hosts. hosts() and by_ip() hold a few
--- hundred hosts at a time, by_tag() and by_domain() all of them (some 2 kB each).
local compile = require "hoststore.template.compile"
local clock = require "hoststore.clock"
local core = require "hoststore.core"
local escapes = require "hoststore.escape"
local export = require "hoststore.export"
local file = require "hoststore.file"
local options = require "hoststore.options"
local prelude = require "hoststore.template.prelude"

local template = {}

local MEGABYTE = 1024 * 1024
local BATCH = 100
-- A template that breaks out of its loops leaves iterators behind; the oldest is then closed.
local MAX_ITERATORS = 16

-- What a template for so many hosts may need. The output is bounded too: others hold it in memory.
local function limits(size)
  return {
    memory = math.min(16 * MEGABYTE + 4096 * size, 2147483647),
    instructions = 10 * 1000 * 1000 + 10000 * size,
    seconds = 10 + size / 1000,
    output = 16 * MEGABYTE + 16384 * size,
  }
end

local function policy_error(message, ...)
  return core.error { code = "policy", message = message:format(...) }
end

-- -- what the sandbox may call --------------------------------------------------------------------

-- Host functions that open iterators over the hosts of a context and read them in batches.
local function add_iterators(functions, context)
  local iterators, newest = {}, 0

  function functions.__open()
    newest = newest + 1
    iterators[newest] = context.hosts()
    iterators[newest - MAX_ITERATORS] = nil
    return newest
  end

  function functions.__next(number)
    local iterator = iterators[number]
    if not iterator then
      error(("more than %d loops over hosts are open"):format(MAX_ITERATORS), 0)
    end
    local batch = {}
    repeat
      local host = iterator()
      batch[#batch + 1] = host
    until not host or #batch == BATCH
    if not batch[BATCH] then
      iterators[number] = function() end
    end
    return batch[1] and batch or nil
  end

  function functions.__count()
    if context.count then
      return context.count
    end
    local count = 0
    for _ in context.hosts() do
      count = count + 1
    end
    return count
  end
end

-- Passes text on to sink, as long as there is not too much of it and no line is longer than `longest`.
local function bounded(sink, name, most, longest)
  local total, line, column = 0, 1, 0

  local function check_lines(text)
    local position = 1
    repeat
      local feed = text:find("\n", position, true)
      column = column + (feed or #text + 1) - position
      if column >= longest then
        error(policy_error("%s: line %d of what it makes has more than %d bytes, and its reader would cut it",
          name, line, longest - 1), 0)
      end
      if feed then
        line, column, position = line + 1, 0, feed + 1
      end
    until not feed
  end

  return function(text)
    total = total + #text
    if total > most then
      error(policy_error("%s makes more than %.0f bytes", name, most), 0)
    end
    if longest then
      check_lines(text)
    end
    sink(text)
  end
end

-- Gives the functions to the box. What one of them raises ends all, whether the template catches it or not:
-- the error is kept, as only its text can pass into the box.
local function give(box, functions)
  local failure
  for name, fn in pairs(functions) do
    assert(box:set(name, function(...)
      local ok, result = pcall(fn, ...)
      if ok then
        return result
      end
      failure = failure or core.is_error(result) and result
      error(tostring(result), 0)
    end))
  end
  return function() return failure end
end

-- -- rendering ----------------------------------------------------------------------------------------

-- What fails in a function that the template was given has no line of the template, but it is about this one.
local function add_name(err, name)
  if err.message:sub(1, #name) ~= name then err.message = name .. ": " .. err.message end
  return err
end

local function run(box, given, chunk, sink, bounds)
  local how, context = escapes.get(given.format), given.context
  local functions = { __sink = bounded(sink, given.name, bounds.output, how.line) }
  function functions.__escape(kind, text) return how[kind](text) end
  add_iterators(functions, context)
  local failure = give(box, functions)
  assert(box:load("=hoststore.template", prelude))
  local _, err = box:call("__begin", { version = 1, format = given.format, position = context.position,
    tenant = context.tenant }, how.null)
  if not err then
    _, err = box:load(given.name, chunk)
    err = err and add_name(err, given.name)
  end
  if not err and not failure() then
    _, err = box:call "__flush"
  end
  err = failure() or err
  if err then
    error(err, 0)
  end
end

local function generate(given, chunk, sink)
  local Sandbox = require "hoststore.policy.sandbox"
  local bounds = limits(given.context.size or given.context.count or 0)
  local box = Sandbox.new { memory = bounds.memory, instructions = bounds.instructions, seconds = bounds.seconds }
  local ok, err = pcall(run, box, given, chunk, sink, bounds)
  box:close()
  if not ok then
    error(err, 0)
  end
end

local keys = options.set("text", "name", "format", "context", "filter")

-- Who gives a path in the place of the text would publish the path.
local function is_path(text)
  if text:find "[\n\r]" or text:find("<%", 1, true) then return false end
  return text:find "^%.?%.?/." ~= nil or text:find "^~/" ~= nil or text:find "%.tmpl$" ~= nil
end

local function check(given)
  given = options.check(given, keys, "the template")
  if type(given.text) ~= "string" then
    error("text: a string expected", 3)
  end
  if is_path(given.text) then
    return nil, core.error { code = "invalid", field = "text",
      message = ("%s: the text of a template is expected, and '%s' is a path; an output reads it with " ..
        'template = { path = "%s" }'):format(given.name or "template", given.text, given.text) }
  end
  local format = given.format == nil and "text" or given.format
  if not escapes.get(format) then
    return nil, core.error { code = "invalid", field = "format",
      message = ("%s is no known format; there are %s"):format(require "hoststore.format".quote(tostring(format)),
        table.concat(escapes.names, ", ")) }
  end
  return { text = given.text, name = given.name or "template", format = format, context = given.context }
end

---@class hoststore.Context what a template is rendered with
---@field hosts fun(): fun(): hoststore.Host?  an iterator over the hosts
---@field size integer?  how many hosts there are at most, for the limits
---@field count integer?  how many hosts the iterator gives; counted when a template asks and it is missing
---@field position integer?
---@field tenant string?

--- The context of a store: those of its hosts that are enabled and not expired. What it reads fails by raising.
---@param store hoststore.Store
---@param filter hoststore.Filter?
---@param now number?  by which hosts expire, when that is known already
---@return hoststore.Context? context, hoststore.Error? err
function template.context(store, filter, now)
  local size, position, facts, err
  if not now then
    now, err = clock.to_expire_by(store)
    if not now then return nil, err end
  end
  size, err = store:count(filter)
  if not size then return nil, err end
  position, err = core.position(store)
  if not position then return nil, err end
  facts, err = core.describe(store)
  if not facts then return nil, err end
  local function hosts()
    local iterator = store:hosts(filter)
    return function()
      for host in iterator do
        if host.enabled and not (host.expires_at and host.expires_at <= now) then
          return host
        end
      end
    end
  end
  return { hosts = hosts, size = size, position = position, tenant = facts.tenant }
end

--- What a template makes of a context, as one text.
---@param given { text: string, name: string?, format: string?, context: hoststore.Context|{ store: hoststore.Store,
---  filter: hoststore.Filter? } }  format is what texts are escaped for: one of export's, or "shell", or "text"
---  (the default), for which they are kept on one line
---@return string? text, hoststore.Error? err  "policy", with the template's name and line
function template.render(given)
  local checked, err = check(given)
  if not checked then
    return nil, err
  end
  local parts = {}
  local function collect(text)
    parts[#parts + 1] = text
  end
  return file.try(function()
    local context = checked.context
    if context.store then
      context, err = template.context(context.store, context.filter)
      if not context then
        return nil, err
      end
    end
    checked.context = context
    generate(checked, compile(checked.text, checked.name), collect)
    return table.concat(parts)
  end)
end

--- A function that gives what a template makes of a store's hosts to a sink, piece by piece, as
--- hoststore.export's generators do: it raises the error of a template that fails.
---@param store hoststore.Store
---@param given { text: string, name: string?, format: string?, filter: hoststore.Filter? }
---@param now number?  as for template.context
---@return (fun(sink: fun(text: string)): integer)? generate, hoststore.Error? err
function template.generator(store, given, now)
  local checked, chunk, err
  checked, err = check(given)
  if not checked then return nil, err end
  chunk, err = file.try(compile, checked.text, checked.name)
  if not chunk then return nil, err end
  return function(sink)
    local context, failure = template.context(store, given.filter, now)
    if not context then
      error(failure, 0)
    end
    checked.context = context
    generate(checked, chunk, sink)
    return context.size
  end
end

--- Renders a template: to a text, a path (as a whole or not at all) or an open file.
---@param store hoststore.Store
---@param given { text: string, name: string?, format: string?, filter: hoststore.Filter? }
---@param target string|file*|nil
---@return string|true|nil text or, with a target, true
---@return hoststore.Error? err
function core.methods.render(store, given, target)
  if target ~= nil and type(target) ~= "string" and not export.is_writable(target) then
    error("target: a path, an open file or nothing expected", 2)
  end
  local make, err = template.generator(store, given)
  if not make then
    return nil, err
  end
  local result
  result, err = export.deliver(store, make, target)
  if not result then
    return nil, err
  end
  return target == nil and result or true
end

return template
