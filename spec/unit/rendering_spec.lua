-- A text of many megabytes is made once, compared while it is made, and kept in a file.
local rendering = require "hoststore.publish.rendering"
local system = require "spec.support.system"

local write = system.write

-- Pieces that are all different, so that none can be taken for another.
local function piece(number)
  return ("%08d"):format(number):rep(1024)
end

local COUNT = 400 -- of pieces of 8 KiB: more than three megabytes

local function text(first, last)
  local parts = {}
  for number = first, last do
    parts[#parts + 1] = piece(number)
  end
  return table.concat(parts)
end

describe("what is made to be a file", function()
  local directory, target, runs, kept

  before_each(function()
    directory = system.directory()
    target, runs, kept = directory .. "/hosts", 0, nil
  end)
  after_each(function() system.remove(directory) end)

  local function generate(sink)
    runs = runs + 1
    for number = 1, COUNT do
      sink(piece(number))
    end
    return COUNT
  end

  local function spill()
    assert(kept == nil, "it was begun twice")
    kept = {}
    return function(part) kept[#kept + 1] = part end
  end

  local function make(given, fn)
    if given then
      write(target, given)
    end
    return rendering.make(fn or generate, target, spill)
  end

  it("is made once and kept whole, wherever the old one begins to differ", function()
    local whole = text(1, COUNT)
    for _, old in ipairs {
      false, "", "x", text(1, 1) .. "x", text(1, 100), text(1, 200) .. "x" .. text(201, COUNT), text(1, COUNT - 1),
      whole:sub(1, -2), whole:sub(1, -2) .. "x",
    } do
      runs, kept = 0, nil
      local made = make(old)
      assert.same({ false, nil, 1, #whole, COUNT }, { made.same, made.text, runs, made.size, made.count })
      assert.is_true(table.concat(kept) == whole)
    end
  end)

  it("is kept nowhere when the old one says the same", function()
    local made = make(text(1, COUNT))
    assert.same({ true, nil, 1 }, { made.same, kept, runs })
  end)

  it("is made again when the old one only goes on behind its end", function()
    local made, again = make(text(1, COUNT) .. "x"), {}
    assert.same({ false, nil }, { made.same, kept })
    made.write(function(part) again[#again + 1] = part end)
    assert.is_true(table.concat(again) == text(1, COUNT))
  end)

  it("is kept in memory when it is short", function()
    local made = make("old", function(sink) sink "new" end)
    assert.same({ false, "new", nil }, { made.same, made.text, kept })
  end)

  it("needs no memory for what is in the file", function()
    local function in_use()
      collectgarbage()
      return collectgarbage "count"
    end
    local before, most, spilled = in_use(), 0, 0
    rendering.make(function(sink)
      for number = 1, 4000 do
        sink(piece(number))
        most = math.max(most, number % 500 == 0 and in_use() - before or 0)
      end
    end, target, function()
      return function(part) spilled = spilled + #part end
    end)
    assert.equal(4000 * 8192, spilled)
    assert.is_true(most < 4096, most .. " KiB for 32 MiB")
  end)

  it("is given up when somebody writes into the old one meanwhile, and not mixed with that", function()
    local ok, err = pcall(make, text(1, COUNT - 1) .. "x", function(sink)
      generate(function(part)
        if part == piece(COUNT) then
          write(target, "mine\n")
        end
        sink(part)
      end)
    end)
    assert.same({ false, "busy" }, { ok, err.code })
  end)
end)
