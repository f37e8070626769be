--- What an output is: a table that says what is published, where, and who is told.
local core = require "hoststore.core"

local output = {}

---@class hoststore.Output
---@field path string  the file to keep in step, or with mode "dir-shards" the directory
---@field name string?  what it is called in results, in the markers of a block and in the names of shards
---@field format string?  "hosts" by default
---@field template string|{ text: string?, path: string?, name: string?, format: string? }|nil  in place of a format:
---  the text of a template, or where it is; its format says what values are escaped for
---@field filter hoststore.Filter?
---@field header boolean?  begin with a comment that says what wrote it
---@field mode "file"|"in-place"|"block"|"dir-shards"|nil  "file": replaced in one step; "in-place": the same file gets
---  another content, for one that is bind-mounted; "block": only the lines between two markers; "dir-shards": a
---  directory of small files, as dnsmasq's hostsdir
---@field in_place boolean?  with mode "block": write into the same file, for one that is bind-mounted
---@field check string[]?  a command that has to accept the new file, {path} or %s in it, before it takes its place
---@field reload string[]?  a command that is run once behind all outputs when one with this command has changed
---@field reload_delay number?  seconds to wait for more changes before it
---@field timeout number?  seconds either command may take; 30
---@field file string?  where it was said, which messages about it name; a policy
---@field line integer?

local MODES = { file = "whole", ["in-place"] = "whole", block = "block", ["dir-shards"] = "shards" }

local TYPES = {
  path = "string", name = "string", format = "string", filter = "table", header = "boolean", mode = "string",
  in_place = "boolean", check = "table", reload = "table", reload_delay = "number", timeout = "number",
  file = "string", line = "number",
}

local function check_words(words, key)
  if #words == 0 then
    return nil, key .. " is the words of a command, not an empty table"
  end
  for _, word in ipairs(words) do
    if type(word) ~= "string" or word:find("%z") then
      return nil, key .. " is the words of a command, all of them strings without NUL"
    end
  end
  return true
end

local function check_types(given)
  for key, value in pairs(given) do
    local wanted = TYPES[key]
    if key == "template" then
      wanted = type(value) == "table" and "table" or "string"
    end
    if not wanted then
      return nil, ("unknown option '%s'"):format(tostring(key))
    elseif type(value) ~= wanted then
      return nil, ("%s is a %s, not a %s"):format(key, wanted, type(value))
    end
  end
  return true
end

local function check_seconds(given, key)
  local value = given[key]
  if value and not (value >= 0 and value <= 86400) then
    return nil, key .. " is a number of seconds, no more than a day"
  end
  return true
end

local function check_template(template)
  if type(template) == "table" and type(template.text or template.path) ~= "string" then
    return nil, "template is a text or a table with text or path"
  end
  return true
end

local function check_name(name, mode)
  if name:find("[^ -~\128-\255]") or name == "" then
    return nil, "name is a word or two on one line"
  elseif mode == "dir-shards" and not name:find("^[%w_-]+$") then
    return nil, "the name of shards has letters, digits, '_' and '-' alone: it is part of the names of files"
  end
  return true
end

local function check_mode(given)
  local mode = given.mode or "file"
  if not MODES[mode] then
    return nil, ("there is no mode '%s'; there are file, in-place, block and dir-shards"):format(mode)
  elseif given.in_place and mode ~= "block" then
    return nil, "in_place belongs to mode block"
  elseif mode == "dir-shards" and (given.template or given.header or (given.format or "hosts") ~= "hosts") then
    return nil, "shards hold format hosts without a header"
  elseif given.template and given.header then
    return nil, "a template writes its own header"
  end
  return true
end

local function check(given)
  local good, message = check_types(given)
  if not good then
    return nil, message
  elseif not given.path or given.path == "" then
    return nil, "path: the file to write expected"
  elseif given.path:find("%z") then
    return nil, "path: a path holds no NUL"
  end
  for _, key in ipairs { "check", "reload" } do
    if given[key] then
      good, message = check_words(given[key], key)
      if not good then
        return nil, message
      end
    end
  end
  for _, key in ipairs { "reload_delay", "timeout" } do
    good, message = check_seconds(given, key)
    if not good then
      return nil, message
    end
  end
  good, message = check_template(given.template)
  if not good then
    return nil, message
  end
  good, message = check_mode(given)
  if not good then
    return nil, message
  end
  return check_name(given.name or "hosts", given.mode)
end

--- A copy of the output with all that was left out, or nil and what is wrong with it.
---@param given hoststore.Output
---@return table? output, string? message
function output.new(given)
  if type(given) ~= "table" then
    return nil, "an output is a table, not a " .. type(given)
  end
  local good, message = check(given)
  if not good then
    return nil, message
  end
  local self = { mode = "file", header = false, timeout = 30, reload_delay = 0 }
  self.format = not given.template and "hosts" or nil
  for key, value in pairs(given) do
    self[key] = value
  end
  self.label = given.name or given.path
  self.name = given.name or "hosts"
  return self
end

--- What knows how an output of this mode is written.
function output.mode_of(self)
  return require("hoststore.publish." .. MODES[self.mode])
end

--- What an output writes: a file, or those of a directory that have its name.
function output.identity(self, target)
  return self.mode == "dir-shards" and target .. "\0" .. self.name or target
end

--- Notes in `taken` what the output writes, unless another does so already: they would take turns for ever. Blocks
--- of two names get along in one file.
---@return table? output, string? message
function output.claim(taken, self)
  local target = output.mode_of(self).locate(self, true)
  if not target then
    return self -- publishing says why not
  end
  local what = output.identity(self, target)
  taken[what] = taken[what] or {}
  for _, other in ipairs(taken[what]) do
    if self.mode ~= "block" or other.mode ~= "block" or self.name == other.name then
      return nil, ("'%s' and '%s' would both write %s; give each a path of its own"):format(other.label, self.label,
        self.path)
    end
  end
  table.insert(taken[what], self)
  return self
end

--- The error for an output that is wrong.
---@param message string
---@return hoststore.Error
function output.invalid(message)
  return core.error { code = "invalid", message = message }
end

return output
