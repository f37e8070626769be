--- A disk as a power cut may leave it, out of a log that spec/support/write_log.c has written.
---
--- What was synced is there. Of what was not, each sector of each write, each change of a length and each name
--- may be there or not: `states` of that are all of it, nothing of it, all but the end of the last write, and
--- random ones, in which writes may also have overtaken each other, and where a file has become longer without
--- its bytes, those may be anything. A name is there for certain when its directory was synced.
local disk = {}
disk.__index = disk

local SECTOR = 512
local ZEROS = ("\0"):rep(SECTOR)

-- -- the log -------------------------------------------------------------------------------------------

--- The records of a log: { name=, offset=, path=, bytes= }.
function disk.records(path)
  local records, file = {}, assert(io.open(path, "rb"))
  for line in file:lines() do
    local name, offset, length, where = line:match "^(%a+) (%d+) (%d+) (.*)$"
    local bytes = tonumber(length) > 0 and file:read(tonumber(length)) or ""
    assert(#bytes == tonumber(length), "the log is cut short")
    records[#records + 1] = { name = name, offset = tonumber(offset), path = where, bytes = bytes }
  end
  file:close()
  return records
end

-- -- what is there -------------------------------------------------------------------------------------

-- A directory has `names` on the disk and `now`, a file the content `disk`; both have what was done since
-- the last sync.
local function new_directory()
  return { names = {}, now = {}, pending = {} }
end

local function new_file()
  return { disk = { size = 0 }, pending = {} }
end

function disk.new()
  return setmetatable({ root = new_directory() }, disk)
end

local function find(self, path)
  local node = self.root
  for name in path:gmatch "[^/]+" do
    node = assert(node.now[name], "the log names no file " .. path)
  end
  return node
end

local function find_parent(self, path)
  local parent, name = path:match "^(.*)/([^/]+)$"
  return find(self, parent or ""), name or path
end

-- -- content -------------------------------------------------------------------------------------------

local function length_of(content, size)
  content.size = size
  local count = math.ceil(size / SECTOR)
  for i = #content, count + 1, -1 do
    content[i] = nil
  end
  for i = #content + 1, count do
    content[i] = ZEROS
  end
  -- What lies behind the end of a file is zero when it becomes longer again.
  if size % SECTOR > 0 then
    content[count] = content[count]:sub(1, size % SECTOR) .. ZEROS:sub(size % SECTOR + 1)
  end
end

-- Bytes that lie in one sector.
local function put(content, offset, bytes)
  if offset + #bytes > content.size then
    length_of(content, offset + #bytes)
  end
  local index, from = math.floor(offset / SECTOR) + 1, offset % SECTOR
  local sector = content[index]
  content[index] = #bytes == SECTOR and bytes or sector:sub(1, from) .. bytes .. sector:sub(from + #bytes + 1)
end

-- Calls fn with the offset and the bytes of each sector of a write.
local function each_sector(operation, fn)
  local from = 1
  while from <= #operation.bytes do
    local offset = operation.offset + from - 1
    local piece = operation.bytes:sub(from, from + SECTOR - 1 - offset % SECTOR)
    fn(offset, piece)
    from = from + #piece
  end
end

local function copy_of(content)
  local copy = { size = content.size }
  for i, sector in ipairs(content) do
    copy[i] = sector
  end
  return copy
end

local function text_of(content)
  return (table.concat(content):sub(1, content.size))
end

-- -- going on ------------------------------------------------------------------------------------------

local function apply_name(names, operation)
  if operation.gone then
    names[operation.gone] = nil
  end
  if operation.name then
    names[operation.name] = operation.node
  end
end

local function sync(node)
  for _, operation in ipairs(node.pending) do
    if node.names then
      apply_name(node.names, operation)
    elseif operation.name == "truncate" then
      length_of(node.disk, operation.offset)
    else
      each_sector(operation, function(offset, bytes) put(node.disk, offset, bytes) end)
    end
  end
  node.pending = {}
end

local function change_names(parent, operation)
  apply_name(parent.now, operation)
  table.insert(parent.pending, operation)
end

--- Goes on by one record of the log; others than those of files are passed over.
function disk:apply(record)
  local name = record.name
  self.last = record
  if name == "create" or name == "mkdir" then
    local parent, leaf = find_parent(self, record.path)
    change_names(parent, { name = leaf, node = name == "mkdir" and new_directory() or new_file() })
  elseif name == "remove" then
    local parent, leaf = find_parent(self, record.path)
    change_names(parent, { gone = leaf })
  elseif name == "rename" then
    local parent, leaf = find_parent(self, record.path)
    local target, new_leaf = find_parent(self, record.bytes)
    assert(parent == target, "a rename from one directory to another")
    change_names(parent, { gone = leaf, name = new_leaf, node = parent.now[leaf] })
  elseif name == "write" or name == "truncate" then
    table.insert(find(self, record.path).pending, record)
  elseif name == "sync" then
    sync(find(self, record.path))
  end
end

-- -- what may be left ----------------------------------------------------------------------------------

local function always() return true end
local function never() return false end
local function in_order(pending) return pending end

-- All that was done, in its order; of the last write only the first sectors.
local function torn(last, random)
  local left = last.name == "write" and random(math.ceil(#last.bytes / SECTOR) + 1) - 1 or 0
  return {
    order = in_order, name = always, grows = never,
    length = function(operation) return operation ~= last end,
    sector = function(operation)
      if operation ~= last then
        return true
      end
      left = left - 1
      return left >= 0
    end,
  }
end

local function shuffled(random)
  return function(pending)
    local list = {}
    for i, operation in ipairs(pending) do
      table.insert(list, random(i), operation)
    end
    return list
  end
end

local function scattered(random)
  local likely = ({ 5, 50, 95 })[random(3)]
  local function sometimes() return random(100) <= likely end
  return {
    order = random(2) == 1 and in_order or shuffled(random),
    name = sometimes, length = sometimes, sector = sometimes,
    grows = random(3) == 1 and sometimes or never,
    garbage = random(2) == 1 and function() return string.char(random(256) - 1):rep(SECTOR) end,
  }
end

local choices = {
  all = function() return { order = in_order, name = always, length = always, sector = always, grows = never } end,
  synced = function() return { order = in_order, name = never, length = never, sector = never, grows = never } end,
  torn = function(self, random) return torn(self.last, random) end,
  scattered = function(_, random) return scattered(random) end,
}

-- The file has become longer, but its bytes are still what was there before.
local function grow(content, size, garbage)
  local old = math.ceil(content.size / SECTOR)
  length_of(content, size)
  for i = old + 1, garbage and #content or 0 do
    content[i] = garbage()
  end
end

local function content_of(node, choice)
  local content = copy_of(node.disk)
  for _, operation in ipairs(choice.order(node.pending)) do
    if operation.name == "truncate" then
      if choice.length(operation) then
        length_of(content, operation.offset)
      end
    else
      local size = operation.offset + #operation.bytes
      if size > content.size and choice.grows() then
        grow(content, size, choice.garbage)
      end
      each_sector(operation, function(offset, bytes)
        if choice.sector(operation) then
          put(content, offset, bytes)
        end
      end)
    end
  end
  return text_of(content)
end

local function names_of(node, choice)
  local names = {}
  for name, child in pairs(node.names) do
    names[name] = child
  end
  for _, operation in ipairs(node.pending) do
    if choice.name(operation) then
      apply_name(names, operation)
    end
  end
  return names
end

local function sorted(names)
  local list = {}
  for name in pairs(names) do
    list[#list + 1] = name
  end
  table.sort(list)
  return list
end

local function collect(node, path, choice, found)
  local names = names_of(node, choice)
  for _, name in ipairs(sorted(names)) do
    local child = names[name]
    found[#found + 1] = { path = path .. name, text = not child.names and content_of(child, choice) or nil }
    if child.names then
      collect(child, path .. name .. "/", choice, found)
    end
  end
  return found
end

--- One state the disk may be found in: an array of { path=, text= }, sorted so that a directory, which has no
--- text, comes before what is in it.
---@param kind "all"|"synced"|"torn"|"scattered"
---@param random fun(n: integer): integer
function disk:state(kind, random)
  return collect(self.root, "", choices[kind](self, random), {})
end

return disk
