-- render.

local file = require "hoststore.file"
local hosts = require "hoststore.cli.hosts"

local render = {}

-- The text of a template; "-" is standard input.
local function read(path, out)
  if path ~= "-" then
    return file.read_trusted(path)
  end
  local text, message, errno = out.stdin:read "*a"
  if not text then
    return nil, file.failure(path .. ": " .. (message or "cannot be read"), errno)
  end
  return text
end

function render.render(store, options, out)
  local text, err = read(options.template, out)
  if not text then
    return nil, err
  end
  -- Through the writer that knows a reader who went away from a full disk.
  local target = options.file or {
    write = function(_, piece)
      out:write(piece)
      return true
    end,
  }
  local done
  done, err = store:render({ text = text, name = options.template, format = options.format,
    filter = hosts.filter(options) }, target)
  if not done then
    return nil, err
  elseif options.file then
    out:message("written: " .. options.file)
  end
  return 0
end

return render
