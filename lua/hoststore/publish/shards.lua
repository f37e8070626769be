--- Mode "dir-shards": a directory of small files, for dnsmasq's hostsdir, which is slow to read a large one and
--- notices each that changes.
---
--- The address decides which file a line goes to: the bits of its digest lead from one file for all to the
--- half it belongs to, and on, until no file has more than 200 names. So a change touches one file, and only
--- one that has become too full, or two that need no longer be two, are divided or united besides.
---
--- dnsmasq must not see a file under a name it will not keep, nor one that is moved away, whose names it would
--- go on answering: the new ones are made under a name with a dot, which it passes over, and old ones deleted.
--- And it drops what it reads a second time: a host that moves to another file has to be gone from the one
--- before it comes in the other, or it is lost with the first.
local core = require "hoststore.core"
local file = require "hoststore.file"
local piece = require "hoststore.publish.piece"
local rendering = require "hoststore.publish.rendering"
local whole = require "hoststore.publish.whole"

local sys = core.sys
local shards = {}

local MAX_NAMES = 200
local PUBLIC = 493 -- mode 0755
local DEPTH = 64

-- Looked at before it is made, as a link of another user could be on the way to it, and behind that, as the other
-- could have been faster.
local function make_directory(path)
  local done, message, errno = sys.guard(path)
  if done then
    done, message, errno = sys.mkdir_p(path, PUBLIC)
  end
  if done then
    done, message, errno = sys.guard(path)
  end
  return done, message, errno
end

--- The directory, which is made when it is not there.
---@return string? target, string|hoststore.Error directory
function shards.locate(output, dry_run)
  local made, message, errno = (dry_run and sys.guard or make_directory)(output.path)
  local real = made
  if made and dry_run and not sys.stat(output.path) then
    local path = output.path:gsub("(.)/+$", "%1")
    return path, path
  elseif made then
    real, message, errno = sys.realpath(output.path)
  end
  if not real then
    return nil, file.failure(message, errno)
  elseif sys.stat(real).type ~= "directory" then
    return nil, core.error { code = "invalid", message = output.path .. ": shards need a directory" }
  end
  return real, real
end

-- -- which line goes where -----------------------------------------------------------------------------

local function count_names(line)
  local names = select(2, line:gsub("#.*", ""):gsub("[^%s]+", ""))
  return names - 1
end

-- Half of the bits from the address, so that what shares one stays together as long as it can. A digest of a
-- digest: the first bits of one alone hardly depend on the last byte of a text.
local function place_of(line)
  local ip, hostname = line:match("^(%S+)%s+(%S+)")
  return sys.digest(sys.digest(ip)):sub(1, 8) .. sys.digest(sys.digest(ip .. " " .. hostname)):sub(1, 8)
end

local function bit(entry, depth)
  local digit = tonumber(entry.place:sub(math.floor(depth / 4) + 1, math.floor(depth / 4) + 1), 16)
  return math.floor(digit / 2 ^ (3 - depth % 4)) % 2
end

local function divide(entries, way, found)
  local names = 0
  for _, entry in ipairs(entries) do
    names = names + entry.names
  end
  if names <= MAX_NAMES or #way == DEPTH then
    found[way] = #entries > 0 and entries or nil
    return
  end
  local halves = { [0] = {}, [1] = {} }
  for _, entry in ipairs(entries) do
    local half = halves[bit(entry, #way)]
    half[#half + 1] = entry
  end
  divide(halves[0], way .. "0", found)
  divide(halves[1], way .. "1", found)
end

local function file_name(output, way)
  return "hoststore-" .. output.name .. (way == "" and "" or "." .. way)
end

local function is_ours(output, name)
  local rest = name:sub(#file_name(output, "") + 1)
  return name:sub(1, #file_name(output, "")) == file_name(output, "") and (rest == "" or rest:find("^%.[01]+$") ~= nil)
end

--- The text of each file, by its name.
---@return table<string, string>
function shards.split(job, text)
  local entries, found, files = {}, {}, {}
  for line in text:gmatch("[^\n]+") do
    entries[#entries + 1] = { line = line .. "\n", names = count_names(line), place = place_of(line) }
  end
  divide(entries, "", found)
  for way, members in pairs(found) do
    local lines = {}
    for i, entry in ipairs(members) do
      lines[i] = entry.line
    end
    files[file_name(job.output, way)] = table.concat(lines)
  end
  return files
end

-- -- the pieces ----------------------------------------------------------------------------------------

-- The files that are there, each of which is to be safe.
local function ours(job)
  local found = {}
  local names, message, errno = sys.list(job.target)
  if errno == sys.errno.ENOENT then -- in a dry run
    return found
  elseif not names then
    return nil, file.failure(message, errno)
  end
  for _, name in ipairs(names) do
    if is_ours(job.output, name) then
      local target, err = file.target(job.target .. "/" .. name)
      if not target then
        return nil, err
      end
      found[name] = true
    end
  end
  return found
end

--- Removes what a killed process has left.
function shards.recover(job)
  for _, name in ipairs(sys.list(job.target) or {}) do
    local base = name:match("^%.(.*)%." .. piece.SUFFIX:gsub("%-", "%%-") .. "$")
    if base and is_ours(job.output, base) then
      sys.unlink(job.target .. "/" .. name)
    end
  end
end

local function new_piece(job, name, text)
  local path = job.target .. "/" .. name
  local there = whole.read(path)
  local found = there and sys.digest(there)
  return {
    key = name, path = path, digest = text and sys.digest(text), same = there == text, found = found, seen = found,
    remove = not text,
    read = function() return there end,
    write = function(sink) sink(text) end,
  }
end

--- A piece for each file, those to be removed first.
---@return table[]? pieces, table|hoststore.Error made
function shards.pieces(job, generate)
  local made = rendering.text(generate)
  local stale, err = ours(job)
  if not stale then
    return nil, err
  end
  local pieces, names = {}, {}
  local files = shards.split(job, made.text)
  for name in pairs(files) do
    names[#names + 1], stale[name] = name, nil
  end
  for name in pairs(stale) do
    pieces[#pieces + 1] = new_piece(job, name, nil)
  end
  table.sort(names)
  for _, name in ipairs(names) do
    pieces[#pieces + 1] = new_piece(job, name, files[name])
  end
  return pieces, made
end

return shards
