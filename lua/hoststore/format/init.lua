--- The formats hosts are read from and written to, by name. Each is a table of
---
---   read(lines, options)         an iterator: line number and entry, or line number, nil and a message;
---                                true behind it when nobody can say what else the source held
---   write(hosts, sink, options)  gives pieces of text to sink; returns how many hosts are in them and,
---                                where a format cannot carry every name, how many it had to skip.
---                                options: header, now (what has expired by then is left out), position
---   write_store(store, filter, sink, options)  where a format has a faster way for the hosts of a store
---   fields                       the fields a source of this format always says something about
local core = require "hoststore.core"

local formats = {
  --- Formats that are read and written.
  names = { "hosts", "json", "ndjson", "csv" },
  --- All that are read.
  readable = { "hosts", "json", "ndjson", "csv", "uci", "leases", "odhcpd" },
  --- All that are written.
  writable = { "hosts", "json", "ndjson", "csv", "dnsmasq", "unbound", "uci", "bind", "bind_reverse", "pihole",
    "adguard" },
}

local by_extension = { json = "json", ndjson = "ndjson", jsonl = "ndjson", csv = "csv" }

--- The format of that name, for reading or for writing ("write").
---@param name string
---@param use? "read"|"write"
---@return table? format, hoststore.Error? err
function formats.get(name, use)
  local names = use == "write" and formats.writable or formats.readable
  for _, known in ipairs(names) do
    if known == name then
      return require("hoststore.format." .. name)
    end
  end
  return nil, core.error {
    code = "invalid",
    field = "format",
    message = ("%s is no known format; there are %s"):format(formats.quote(tostring(name)),
      table.concat(names, ", ")),
  }
end

--- The name of the format a file of that name has in all likelihood.
---@param path string
---@return string name
function formats.guess(path)
  return by_extension[path:match("%.(%w+)$")] or "hosts"
end

--- Text of a source as a message can show it: of moderate length, without control characters.
---@param text string
---@return string
function formats.quote(text)
  local shown = text:gsub("[^ -~\128-\255]", "?")
  return "'" .. (#shown > 60 and shown:sub(1, 57) .. "..." or shown) .. "'"
end

return formats
