--- hosts(5), which resolvers read. Comment and tags of a host follow its names:
---
---   192.168.1.2<TAB>nas.lan nas<TAB># backup server [lan, storage]
---
--- What would be read back as something else is written as an octal escape, as in fstab(5), and
--- only these four are read: \040 a space at an edge of a comment or tag, \133 and \135 a bracket
--- in a tag, \135 also a bracket at the end of a comment, \134 a backslash that would begin one of
--- these. Control characters of a comment become spaces.
local core = require "hoststore.core"
local pages = require "hoststore.pages"

local byte, find, gmatch = string.byte, string.find, string.gmatch
local gsub, lower, match, sub = string.gsub, string.lower, string.match, string.sub

local hosts = { fields = { comment = true, tags = true, aliases = true } }

local unescapes = { ["040"] = " ", ["133"] = "[", ["134"] = "\\", ["135"] = "]" }

-- White space is spelled out: %s depends on the locale.
local WORD = "[^\t-\r ]+"
local ONLY_NAME = "^([^\t-\r #]+)[\t-\r ]+([^\t-\r #]+)$"
local NAMES = "^[\t-\r ]*([^\t-\r ]+)[\t-\r ]+([^\t-\r ]+)(.*)$"

-- -- reading --------------------------------------------------------------------------------------

-- Not "^ *(.-) *$": that takes the square of the time on a long run of spaces.
local function trim(text)
  local first = find(text, "[^\t-\r ]")
  return first and match(text, "^.*[^\t-\r ]", first) or ""
end

local function unescape(text)
  if find(text, "\\", 1, true) then
    text = gsub(text, "\\(%d%d%d)", unescapes)
  end
  return text
end

local function read_tags(list)
  local tags = {}
  for item in gmatch(list, "[^,]+") do
    item = trim(item)
    if item ~= "" then
      tags[#tags + 1] = unescape(item)
    end
  end
  return tags
end

-- Comment and tags of what stands behind the '#'. Brackets are a list of tags only at the end, as
-- a word of their own.
local function read_comment(text)
  text = trim(text)
  local tags = {}
  if byte(text, -1) == 93 then
    local start, _, list = find(text, "%[([^%[%]]*)%]$")
    if start and (start == 1 or find(text, "^[\t-\r ]", start - 1)) then
      tags = read_tags(list)
      if tags[1] then
        text = trim(sub(text, 1, start - 1))
      end
    end
  end
  return text ~= "" and unescape(text) or core.null, tags
end

local function read_line(line)
  local ip, hostname = match(line, ONLY_NAME)
  if ip then
    return { ip = ip, hostname = hostname, aliases = {}, comment = core.null, tags = {} }
  end
  local hash = find(line, "#", 1, true)
  local names = hash and sub(line, 1, hash - 1) or line
  local more
  ip, hostname, more = match(names, NAMES)
  if not ip then
    if find(names, WORD) then
      return nil, "the line has an address but no name"
    end
    return nil
  end
  local entry = { ip = ip, hostname = hostname, aliases = {}, comment = core.null, tags = {} }
  if more ~= "" then
    -- Hosts files say a name twice ("127.0.1.1 vm vm"), which means no more than once.
    local aliases, seen = entry.aliases, { [lower(hostname)] = true }
    for alias in gmatch(more, WORD) do
      local key = lower(alias)
      if not seen[key] then
        seen[key] = true
        aliases[#aliases + 1] = alias
      end
    end
  end
  if hash then
    entry.comment, entry.tags = read_comment(sub(line, hash + 1))
  end
  return entry
end

--- Reads the lines that hold an address and names; lines that are blank or all comment are none.
---@param lines hoststore.Lines
---@return fun(): integer?, table?, string?
function hosts.read(lines)
  return function()
    while true do
      local number, line, message = lines:next()
      if not line then
        return number, nil, message
      end
      local entry, problem = read_line(line)
      if entry or problem then
        return number, entry, problem
      end
    end
  end
end

-- -- writing ----------------------------------------------------------------------------------------

local HEADER = "# Made by hoststore. Changes made here get into it by: hoststore publish --adopt\n"

local function write_header(sink, options)
  if options and options.header then
    sink(HEADER)
  end
end

--- Writes the enabled hosts that are not expired at options.now, which nil takes for never.
---@param iterator fun(): hoststore.Host?
---@param sink fun(text: string)
---@param options? {header?: boolean, now?: number}
---@return integer count
function hosts.write(iterator, sink, options)
  local now = options and options.now
  local count = 0
  write_header(sink, options)
  for host in iterator do
    if host.enabled and not (now and host.expires_at and host.expires_at <= now) then
      sink(assert(core.host_line(host)))
      count = count + 1
    end
  end
  return count
end

--- Does the same with the hosts of a store, whose lines come without values of hosts being made.
---@param store hoststore.Store
---@param filter hoststore.Filter?
---@param sink fun(text: string)
---@param options? {header?: boolean, now?: number}
---@return integer count
function hosts.write_store(store, filter, sink, options)
  local now = options and options.now
  local count = 0
  local turn = pages.reader(filter, function(page_filter)
    local text, published, listed, last = core.hosts_lines(store, page_filter, now)
    if not text then
      error(published, 0)
    end
    count = count + published
    return text, listed, last
  end, 2)
  write_header(sink, options)
  for text in turn do
    sink(text)
  end
  return count
end

return hosts
