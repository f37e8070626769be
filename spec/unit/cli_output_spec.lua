local Output = require "hoststore.cli.output"
local command_line = require "spec.support.command_line"
local text = require "hoststore.cli.text"

local ESC = "\27"

describe("text for a terminal", function()
  it("shows control characters instead of sending them", function()
    assert.equal("a\\x1b[31mb\\n\\t\\x00\\x7f", text.visible "a\27[31mb\n\t\0\127")
  end)

  it("shows C1 controls, both as a character and as a byte", function()
    assert.equal("\\u{9b}31m \\x9b31m", text.visible "\194\15531m \15531m")
  end)

  it("shows characters that turn or hide what stands around them", function()
    assert.equal("a\\u{202e}b\\u{200b}\\u{2066}\\u{feff}",
      text.visible "a\226\128\174b\226\128\139\226\129\166\239\187\191")
  end)

  it("shows bytes that are no UTF-8: overlong, surrogate, cut off, out of range", function()
    assert.equal("\\xc0\\x80 \\xed\\xa0\\x80 \\xe2\\x82 \\xf5\\x80\\x80\\x80 \\xf4\\x90\\x80\\x80",
      text.visible "\192\128 \237\160\128 \226\130 \245\128\128\128 \244\144\128\128")
  end)

  it("leaves other text alone", function()
    assert.equal("küche 厨房 🖨 \\n", text.visible "küche 厨房 🖨 \\n")
  end)

  it("is as wide as it looks", function()
    assert.same({ 3, 5, 4, 1, 0 }, {
      text.width "nas", text.width "küche", text.width "厨房", text.width "e\204\129", text.width "",
    })
  end)
end)

describe("a table", function()
  local stdout

  local function print_rows(rows, options)
    options = options or {}
    stdout = command_line.writer()
    local out = Output.new({ stdout = stdout, terminal = options.terminal or false }, options.json)
    out.ndjson = options.ndjson
    return out:array(rows, {
      columns = { "NAME", "NOTE", "X" },
      cells = function(row) return { row[1], row[2], row[3] } end,
      json = function(row) return '"' .. row[1] .. '"' end,
      style = function(row) return row.style end,
    })
  end

  it("aligns columns by what the eye sees and ends lines without spaces", function()
    print_rows { { "a", "one", "1" }, { "küche", "", "" }, { "厨房", "two", "22" } }
    assert.equal(table.concat({
      "NAME   NOTE  X",
      "a      one   1",
      "küche",
      "厨房   two   22",
      "",
    }, "\n"), stdout.text)
  end)

  it("is nothing at all without rows", function()
    print_rows {}
    assert.equal("", stdout.text)
  end)

  it("keeps stored escapes and newlines from a terminal", function()
    print_rows({ { "a", ESC .. "]0;owned\7\nroot", "\194\1551m" } }, { terminal = true })
    assert.equal(ESC .. "[1mNAME  NOTE                    X" .. ESC .. "[0m\n"
      .. "a     \\x1b]0;owned\\x07\\nroot  \\u{9b}1m\n", stdout.text)
  end)

  it("has colours on a terminal alone", function()
    print_rows({ { "a", "b", "c", style = "dim" } }, { terminal = true })
    assert.truthy(stdout.text:find(ESC .. "[2ma     b     c" .. ESC .. "[0m\n", 1, true))
    print_rows { { "a", "b", "c", style = "dim" } }
    assert.falsy(stdout.text:find(ESC, 1, true))
  end)

  it("takes constant memory: rows are written while more come", function()
    stdout = command_line.writer()
    local list = Output.new({ stdout = stdout, terminal = false }, false):list {
      columns = { "N" },
      cells = function(n) return { tostring(n) } end,
    }
    for n = 1, 199 do
      list:add(n)
    end
    assert.equal("", stdout.text)
    for n = 200, 1000 do
      list:add(n)
    end
    assert.truthy(stdout.text:find "\n1000\n$")
    list:finish()
    local _, lines = stdout.text:gsub("\n", "")
    assert.equal(1001, lines)
  end)

  it("is an array as JSON, and a line each as NDJSON", function()
    print_rows({ { "a" }, { "b" } }, { json = true })
    assert.equal('["a",\n"b"]\n', stdout.text)
    print_rows({}, { json = true })
    assert.equal("[]\n", stdout.text)
    print_rows({ { "a" }, { "b" } }, { json = true, ndjson = true })
    assert.equal('"a"\n"b"\n', stdout.text)
  end)

  it("escapes C1 controls in JSON, where they mean the same", function()
    print_rows({ { "\194\1551m" } }, { json = true })
    assert.equal('["\\u009b1m"]\n', stdout.text)
  end)
end)

describe("progress", function()
  it("is for terminals alone and leaves no trace behind", function()
    local stderr = command_line.writer()
    local out = Output.new({ stderr = stderr, terminal = false }, false)
    out:progress "1 processed"
    assert.equal("", stderr.text)

    out = Output.new({ stderr = stderr, terminal = true }, false)
    out:progress "1 processed"
    out:message "done"
    assert.equal("\r1 processed" .. ESC .. "[K\r" .. ESC .. "[Khoststore: done\n", stderr.text)
  end)
end)
