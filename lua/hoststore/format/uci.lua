--- OpenWrt's configuration. Read are the sections `domain` of /etc/config/dhcp, and the sections `host`, static
--- leases, that have a name and an address and not `option dns '0'`, as they stand in the file:
---
---   config domain
---       option name 'nas.lan nas'
---       option ip '192.168.1.2'
---
--- or as `uci show dhcp` and the commands below say them. Written are commands for `uci batch`, which make a
--- section for each host:
---
---   set dhcp.hoststore_01KA1B2C3D4E5F6G7H8J9KMNPQ=domain
---   set dhcp.hoststore_01KA1B2C3D4E5F6G7H8J9KMNPQ.name='nas.lan nas'
---   set dhcp.hoststore_01KA1B2C3D4E5F6G7H8J9KMNPQ.ip='192.168.1.2'
---   commit dhcp
---
--- A section is called by the id of its host: the commands may be run again, and what an admin has
--- made is never touched. Sections of hosts that are gone are not known here and stay; this deletes
--- all that were made, before:
---
---   uci show dhcp | sed -n 's/^\(dhcp\.hoststore_[0-9A-Z]*\)=domain$/delete \1/p' | uci batch
---
--- Comments and tags are left out, and so are names that are not ASCII.
local dns = require "hoststore.format.dns"

local byte, concat, find, gmatch = string.byte, table.concat, string.find, string.gmatch
local match, sub = string.match, string.sub

local uci = { fields = { aliases = true } }

-- -- reading --------------------------------------------------------------------------------------

-- What ends a piece of a word, by what it begins with: a quote, or nothing.
local ENDS = { ["'"] = "'", ['"'] = '["\\]', [""] = "[ \t'\"\\#;]" }

-- The word of a line that begins at `position`, and the position behind it; nil when a quote is not closed.
local function read_word(line, position)
  local pieces, quote = {}, ""
  while true do
    local at = find(line, ENDS[quote], position)
    if not at and quote ~= "" then
      return nil
    end
    pieces[#pieces + 1] = sub(line, position, (at or 0) - 1)
    local c = at and sub(line, at, at)
    if c == "\\" then
      at = at + 1
      pieces[#pieces + 1] = sub(line, at, at)
    elseif at and c == quote then
      quote = ""
    elseif c == "'" or c == '"' then
      quote = c
    else
      return concat(pieces), at or #line + 1
    end
    position = at + 1
  end
end

-- The words of a line up to a comment; nil and a message when it is not one statement.
local function read_words(line)
  local words, position = {}, 1
  while true do
    position = find(line, "[^ \t]", position)
    if not position or byte(line, position) == 35 then
      return words
    end
    if byte(line, position) == 59 then
      return nil, "a ';' ends the statement; write one in a line"
    end
    words[#words + 1], position = read_word(line, position)
    if not position then
      return nil, "a quote is not closed"
    end
  end
end

-- A line as a statement: "section", its type and key; or "option", the key of its section, its name and
-- values. In the file a section has no key and its options are those of the last one.
local function read_statement(line)
  local words, message = read_words(line)
  if not words then
    return nil, message
  end
  local first = words[1]
  if first == "config" then
    return { kind = "section", type = words[2] }
  elseif first == "option" or first == "list" then
    return { kind = "option", name = words[2], values = { words[3] } }
  end
  local assignment = first == "set" and words[2] or first
  local key, value = match(assignment or "", "^dhcp%.([^.=]+)=(.*)$")
  if key then
    return { kind = "section", type = value, key = key }
  end
  local name
  key, name, value = match(assignment or "", "^dhcp%.([^.=]+)%.([^.=]+)=(.*)$")
  if key then
    local values = { value }
    for i = first == "set" and 3 or 2, #words do
      values[#values + 1] = words[i]
    end
    return { kind = "option", key = key, name = name, values = values }
  end
  return nil
end

local function add_values(section, name, values)
  local text = concat(values, " ")
  section[name] = section[name] and section[name] .. " " .. text or text
end

-- Whether a section has to be a host. A static lease may be without a name or an address of its own: it says then
-- what else is to be done for a client.
local function is_host(section)
  if section.type ~= "host" then return section.type == "domain" end
  return section.dns == "1" or section.dns ~= "0" and section.name and section.ip and section.ip ~= "ignore"
end

-- The host that a section stands for; nil when for none, and a message when it should.
local function entry_of(section)
  if not is_host(section) then
    return nil
  end
  local names = {}
  for name in gmatch(section.name or "", "[^ \t]+") do
    names[#names + 1] = name
  end
  if not names[1] or not section.ip or section.ip == "" then
    return nil, ("the section '%s' has no %s"):format(section.type, names[1] and "ip" or "name")
  end
  return { ip = section.ip, hostname = table.remove(names, 1), aliases = names }
end

-- Sections of other kinds have options of these names, too, and what belongs to which is told by the key
-- or the order.
local WANTED = { name = true, ip = true, dns = true }

---@param lines hoststore.Lines
---@return fun(): integer?, table?, string?
function uci.read(lines)
  local section, done
  -- What the section that has ended comes to; the next one, begun, takes its place.
  local function turn(next_section)
    local ended = section
    section = next_section
    if not ended then
      return nil
    end
    local entry, message = entry_of(ended)
    if entry or message then
      return ended.line, entry, message
    end
  end
  local function step()
    local number, line, message = lines:next()
    if not number then
      done = true
      return turn(nil)
    elseif not line then
      return number, nil, message
    end
    local statement, problem = read_statement(line)
    if problem then
      return number, nil, problem
    elseif not statement then
      return nil
    elseif statement.kind == "section" then
      return turn { line = number, type = statement.type, key = statement.key }
    elseif section and section.key == statement.key and WANTED[statement.name] then
      add_values(section, statement.name, statement.values)
    end
  end
  return function()
    while not done do
      local number, entry, message = step()
      if number then
        return number, entry, message
      end
    end
  end
end

-- -- writing --------------------------------------------------------------------------------------

local function section_name(id)
  return "dhcp.hoststore_" .. id:gsub("^host%-", ""):gsub("[^0-9A-Za-z]", "_")
end

---@param iterator fun(): hoststore.Host?
---@param sink fun(text: string)
---@param options? {now?: number}
---@return integer count, integer skipped  hosts without a name that resolvers take are skipped
function uci.write(iterator, sink, options)
  local count, skipped = dns.each(iterator, options, dns.is_name, function(host, names)
    local name = section_name(host.id)
    sink(("set %s=domain\n"):format(name))
    sink(("set %s.name='%s'\n"):format(name, concat(names, " ")))
    sink(("set %s.ip='%s'\n"):format(name, host.ip))
  end)
  sink "commit dhcp\n"
  return count, skipped
end

return uci
