--- What a format makes of hosts, which need no store.

---@param format table  with write, as hoststore.format gives it
---@param hosts hoststore.Host[]
---@param options table?
---@return string text, integer count, integer? skipped
local function written(format, hosts, options)
  local parts, i = {}, 0
  local count, skipped = format.write(function()
    i = i + 1
    return hosts[i]
  end, function(text)
    parts[#parts + 1] = text
  end, options)
  return table.concat(parts), count, skipped
end

return written
