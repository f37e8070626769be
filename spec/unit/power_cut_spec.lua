-- The disk that the proof of power cuts looks at: spec/proof/crash.

local disk = require "spec.proof.crash.disk"
local power_cut = require "spec.proof.crash.power_cut"
local random_of = require "spec.support.random"
local recorder = require "spec.proof.crash.recorder"
local system = require "spec.support.system"

local A, B = ("a"):rep(512), ("b"):rep(512)

local function after(records)
  local now = disk.new()
  for _, record in ipairs(records) do
    now:apply { name = record[1], path = record[2], offset = record[3] or 0, bytes = record[4] or "" }
  end
  return now
end

-- The texts that a file is found with, in any state of that kind, sorted; "none" where it is missing.
local function found(now, kind, path)
  local texts, list, random = {}, {}, random_of(1)
  for _ = 1, 500 do
    local text = "none"
    for _, file in ipairs(now:state(kind, random)) do
      text = file.path == path and file.text or text
    end
    if not texts[text] then
      texts[text] = true
      list[#list + 1] = text
    end
  end
  table.sort(list)
  return list
end

describe("a disk after a power cut", function()
  local start = { { "create", "f" }, { "write", "f", 0, A .. A }, { "sync", "f" }, { "sync", "" } }

  local function going_on(...)
    local records = {}
    for i, record in ipairs(start) do
      records[i] = record
    end
    for _, record in ipairs { ... } do
      records[#records + 1] = record
    end
    return after(records)
  end

  it("has what was synced", function()
    local now = going_on()
    for _, kind in ipairs { "all", "synced", "torn", "scattered" } do
      assert.same({ A .. A }, found(now, kind, "f"))
    end
  end)

  it("has any of the sectors that were written since, or only the first ones", function()
    local now = going_on { "write", "f", 0, B .. B }
    assert.same({ B .. B }, found(now, "all", "f"))
    assert.same({ A .. A }, found(now, "synced", "f"))
    assert.same({ A .. A, B .. A, B .. B }, found(now, "torn", "f"))
    assert.same({ A .. A, A .. B, B .. A, B .. B }, found(now, "scattered", "f"))
  end)

  it("may have an earlier write and not a later one, and writes in another order", function()
    local C = ("c"):rep(512)
    local now = going_on({ "write", "f", 0, B }, { "write", "f", 0, C })
    assert.same({ B .. A, C .. A }, found(now, "torn", "f"))
    assert.same({ A .. A, B .. A, C .. A }, found(now, "scattered", "f"))
    now = going_on({ "write", "f", 0, B }, { "write", "f", 0, C }, { "sync", "f" }, { "write", "f", 512, C })
    assert.same({ C .. A, C .. C }, found(now, "scattered", "f"))
  end)

  it("may have an old length, and bytes that nobody wrote where a file has become longer", function()
    assert.same({ "", A .. A }, found(going_on { "truncate", "f" }, "scattered", "f"))
    local lengths, strange = {}, false
    for _, text in ipairs(found(going_on { "write", "f", 1024, B }, "scattered", "f")) do
      lengths[#text] = true
      local tail = text:sub(1025)
      strange = strange or tail ~= "" and tail ~= B and tail ~= ("\0"):rep(512)
    end
    assert.same({ [1024] = true, [1536] = true }, lengths)
    assert.is_true(strange)
  end)

  it("has a new name, a gone one and a moved one for certain when the directory was synced", function()
    local made = after { { "create", "f" }, { "write", "f", 0, A }, { "sync", "f" } }
    assert.same({ A, "none" }, found(made, "scattered", "f"))
    assert.same({ "none" }, found(made, "synced", "f"))
    assert.same({ A .. A, "none" }, found(going_on { "remove", "f" }, "scattered", "f"))
    local moved = { { "create", ".f" }, { "write", ".f", 0, B }, { "sync", ".f" }, { "rename", ".f", 0, "f" } }
    assert.same({ A .. A, B }, found(going_on((unpack or table.unpack)(moved)), "scattered", "f"))
    moved[5] = { "sync", "" }
    assert.same({ B }, found(going_on((unpack or table.unpack)(moved)), "scattered", "f"))
  end)

  it("is the same for the same seed, byte for byte, so that a failure can be seen again", function()
    local directory, logs = recorder.directory(), {}
    for i = 1, 2 do
      power_cut.record(directory, { options = "journal=wal", seed = 7, changes = 15 })
      -- Names that mkstemp makes are of chance.
      logs[i] = system.read(directory .. "/log"):gsub("probe%-%w+", "probe")
    end
    system.remove(directory)
    assert.is_true(logs[1] == logs[2])
  end)
end)
