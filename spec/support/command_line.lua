--- Runs command lines in this process, and catches what they say.
local cli = require "hoststore.cli"

local command_line = {}

--- A stream to write to, whose `text` is what was written.
function command_line.writer()
  local file = { text = "" }
  function file:write(...)
    self.text = self.text .. table.concat { ... }
    return self
  end
  function file.flush()
    return true
  end
  return file
end

--- Runs the words of a command line, whose standard input is `stdin`.
---@param words string[]
---@param stdin file*?
---@return integer code, string output, string errors
function command_line.run(words, stdin)
  local output, errors = command_line.writer(), command_line.writer()
  local code = cli.run(words, { stdout = output, stderr = errors, stdin = stdin, terminal = false })
  return code, output.text, errors.text
end

return command_line
