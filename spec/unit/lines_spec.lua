local core = require "hoststore.core"
local lines = require "hoststore.lines"
local system = require "spec.support.system"

-- assert.same, for what is too much to be shown.
local same = require("luassert.util").deepcompare

local function read_all(source)
  local opened, list = assert(lines.open(source)), {}
  for number, text, message in opened.next, opened do
    list[#list + 1] = { number, text or false, message }
  end
  opened:close()
  return list
end

local function with_file(text, fn)
  local path = os.tmpname()
  system.write(path, text)
  local ok, err = pcall(fn, path)
  os.remove(path)
  assert(ok, err)
end

describe("lines", function()
  it("end in LF, CR LF or where the source ends", function()
    assert.same({ { 1, "a" }, { 2, "" }, { 3, "b\rc" }, { 4, "d\r" }, { 5, "e" } },
      read_all { text = "a\r\n\nb\rc\nd\r\r\ne" })
    assert.same({ { 1, "a" } }, read_all { text = "a\n" })
    assert.same({}, read_all { text = "" })
    assert.same({ { 1, "" } }, read_all { text = "\n" })
    assert.same({ { 1, "" } }, read_all { text = "\r" })
  end)

  it("keep the CR when asked to", function()
    local opened = assert(lines.open { text = "a\r\nb" })
    opened.keep_cr = true
    assert.same({ 1, "a\r" }, { opened:next() })
    assert.same({ 2, "b" }, { opened:next() })
    assert.is_nil(opened:next())
  end)

  it("begin behind a byte order mark", function()
    assert.same({ { 1, "a" }, { 2, "\239\187\191b" } }, read_all { text = "\239\187\191a\n\239\187\191b" })
    with_file("\239\187\191a", function(path)
      assert.same({ { 1, "a" } }, read_all(path))
    end)
  end)

  it("hold any byte", function()
    assert.same({ { 1, "a\0b\255" }, { 2, "\0" } }, read_all { text = "a\0b\255\n\0" })
  end)

  it("come out whole wherever the chunks of a file are cut", function()
    local texts, expected = {}, {}
    for i = 1, 400 do
      local line = ("x"):rep(i * 37 % 1021)
      texts[i], expected[i] = line, { i, line }
    end
    with_file(table.concat(texts, "\r\n"), function(path)
      assert.is_true(same(expected, read_all(path)))
    end)
  end)

  it("longer than 256 KiB are passed over and reported", function()
    local longest = ("x"):rep(256 * 1024)
    local message = "the line is longer than 256 KiB"
    local text = "a\n" .. longest .. "\n" .. longest .. "x\nb\n" .. longest:rep(5)
    local expected = { { 1, "a" }, { 2, longest }, { 3, false, message }, { 4, "b" }, { 5, false, message } }
    assert.is_true(same(expected, read_all { text = text }))
    with_file(text, function(path)
      assert.is_true(same(expected, read_all(path)))
    end)
  end)

  it("of an open file leave it open", function()
    with_file("a\nb\n", function(path)
      local handle = assert(io.open(path, "rb"))
      assert.same({ { 1, "a" }, { 2, "b" } }, read_all(handle))
      assert.equal("file", io.type(handle))
      handle:close()
    end)
  end)

  it("need memory for a chunk, not for the file", function()
    with_file(("x"):rep(99, "y") .. "\n" .. (("z"):rep(99) .. "\n"):rep(40000), function(path)
      local opened = assert(lines.open(path))
      collectgarbage()
      local before, most = collectgarbage("count"), 0
      for number in opened.next, opened do
        if number % 5000 == 0 then
          collectgarbage()
          most = math.max(most, collectgarbage("count"))
        end
      end
      opened:close()
      assert.is_true(most - before < 256)
    end)
  end)

  it("of a missing file or a directory are an error", function()
    local opened, err = lines.open("/nonexistent/file")
    assert.is_nil(opened)
    assert.equal("not_found", err.code)
    assert.matches("/nonexistent/file", tostring(err), 1, true)
    opened, err = lines.open("/tmp")
    assert.is_nil(opened)
    assert.is_true(core.is_error(err))
  end)

  it("of anything else are misuse", function()
    assert.error(function() lines.open(42) end)
    assert.error(function() lines.open {} end)
  end)
end)
