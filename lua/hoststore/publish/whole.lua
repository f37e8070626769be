--- Modes "file" and "in-place": the output is all of a file.
local core = require "hoststore.core"
local file = require "hoststore.file"
local piece = require "hoststore.publish.piece"
local rendering = require "hoststore.publish.rendering"

local sys = core.sys
local whole = {}

--- The file behind all links, and the directory it is in.
---@return string? target, string|hoststore.Error directory
function whole.locate(output)
  local target, err = file.text_target(output.path)
  if not target then
    return nil, err
  end
  local directory, name = target:match("^(.*/)([^/]+)$")
  local real, message, errno = sys.realpath(directory or ".")
  if not real then
    return nil, file.failure(message, errno)
  end
  return (real == "/" and "" or real) .. "/" .. (name or target), real
end

--- Removes what a killed process has left; says whether it was killed while it wrote into the file.
function whole.recover(job)
  sys.unlink(piece.leftover(job.target))
  job.torn = piece.copy_left(job.target, job.prefix) ~= nil
end

--- The text of a file; nil when there is none.
---@return string? text, hoststore.Error? err
function whole.read(path)
  if sys.stat(path) then
    return file.read(path)
  end
  return nil
end

--- The one piece of it.
---@return table[]? pieces, table|hoststore.Error made
function whole.pieces(job, generate)
  local content = {
    key = "content", path = job.target, torn = job.torn, in_place = job.output.mode == "in-place",
    read = function() return whole.read(job.target) end,
  }
  local ok, made = pcall(rendering.make, generate, job.target, not job.only_looks and function()
    return piece.begin(content, job.prefix)
  end)
  if not ok then
    piece.abandon(content)
    error(made, 0)
  end
  content.digest, content.same, content.write = made.digest, made.same, made.write
  content.found = made.same and made.digest or sys.file_digest(job.target) or nil
  content.seen = content.found
  return { content }, made
end

--- What the pieces of it were when it said this.
function whole.split(_, text)
  return { content = text }
end

return whole
