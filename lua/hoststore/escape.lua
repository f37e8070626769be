--- Texts made fit for a place in a file of some format: nothing in them can add a line, a record, a
--- directive or a command. Each format has
---
---   value(text)    one word of the format: as it is where it means itself, else quoted or escaped
---   quote(text)    the same, always in quotes where the format has quotes
---   comment(text)  the rest of a line behind the sign that begins a comment
---   null           what stands for no value
---   line           bytes that a line may have, where its reader would cut it
local byte, find, format, gsub, sub = string.byte, string.find, string.format, string.gsub, string.sub

local escape = {}

-- Characters that mean themselves everywhere.
local UNSAFE = "[^A-Za-z0-9._:/-]"
local CONTROLS = "[^ -~\128-\255]"

-- One line: C0, DEL and C1 become spaces, and so do the line and paragraph separators, which YAML obeys.
local function one_line(text)
  return (gsub(gsub(gsub(text, CONTROLS, " "), "\194[\128-\159]", " "), "\226\128[\168\169]", " "))
end

local function is_safe(text)
  return text ~= "" and not find(text, UNSAFE)
end

-- At most so many bytes, without half a character at the end.
local function shorten(text, bytes)
  if #text <= bytes then
    return text
  end
  while bytes > 0 and byte(text, bytes + 1) >= 128 and byte(text, bytes + 1) < 192 do
    bytes = bytes - 1
  end
  return sub(text, 1, bytes)
end

local function octal(text)
  return (gsub(text, ".", function(c) return format("\\%03o", byte(c)) end))
end

local function decimal(c)
  return format("\\%03d", byte(c))
end

-- A hosts file has no quotes: what would end a word or the line is written as fstab(5) does.
local function hosts_value(text)
  text = gsub(gsub(text, "[#\\]", octal), "[^!-~\128-\255]", octal)
  return (gsub(gsub(text, "\194[\128-\159]", octal), "\226\128[\168\169]", octal))
end

local hosts = { value = hosts_value, quote = hosts_value, comment = one_line, null = "" }

local function dnsmasq_quote(text)
  return '"' .. gsub(one_line(text), '["\\]', "\\%0") .. '"'
end

local dnsmasq = {
  null = "", line = 1024, quote = dnsmasq_quote,
  value = function(text) return is_safe(text) and text or dnsmasq_quote(text) end,
  comment = function(text) return shorten(one_line(text), 200) end,
}

-- As in zone files (RFC 1035), which unbound reads within its quotes, too.
local function zone_value(text)
  return (gsub(text, UNSAFE, decimal))
end

local zone = {
  null = "", value = zone_value, comment = one_line,
  quote = function(text) return '"' .. zone_value(text) .. '"' end,
}

local function single_quote(text)
  return "'" .. gsub(one_line(text), "'", "'\\''") .. "'"
end

local shell = {
  null = "''", quote = single_quote, comment = one_line,
  value = function(text) return is_safe(text) and text or single_quote(text) end,
}

local function unicode(text)
  return format("\\u%04x", byte(text, -1))
end

-- A text of JSON, which YAML reads the same.
local function json_quote(text)
  text = gsub(gsub(text, '["\\]', "\\%0"), "[^ -~\128-\255]", unicode)
  text = gsub(gsub(text, "\194([\128-\159])", unicode), "\226\128([\168\169])", function(c)
    return c == "\168" and "\\u2028" or "\\u2029"
  end)
  return '"' .. text .. '"'
end

local json = { null = "null", value = json_quote, quote = json_quote, comment = one_line }

local function csv_quote(text)
  return '"' .. gsub(text, '"', '""') .. '"'
end

local csv = {
  null = '""', quote = csv_quote, comment = one_line,
  value = function(text)
    return text == "" and '""' or find(text, '[",\r\n]') and csv_quote(text) or find(text, "^ ") and csv_quote(text)
      or find(text, " $") and csv_quote(text) or text
  end,
}

local text = { null = "", value = one_line, quote = one_line, comment = one_line }

local formats = {
  hosts = hosts, pihole = hosts, dnsmasq = dnsmasq, unbound = zone, bind = zone, bind_reverse = zone, uci = shell,
  shell = shell, adguard = json, json = json, ndjson = json, csv = csv, text = text,
}

--- The names of the formats that texts can be escaped for.
escape.names = {
  "hosts", "json", "ndjson", "csv", "dnsmasq", "unbound", "uci", "bind", "bind_reverse", "pihole", "adguard", "shell",
  "text",
}

--- How texts are escaped for a format; nil when there is none of that name.
---@param name string
---@return { value: function, quote: function, comment: function, null: string, line: integer? }?
function escape.get(name)
  return formats[name]
end

return escape
