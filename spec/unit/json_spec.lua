local core = require "hoststore.core"
local json = require "hoststore.json"

local function raises(value)
  local ok, message = pcall(json.encode, value)
  assert.is_false(ok)
  return message
end

describe("JSON", function()
  it("writes the same text for the same value: keys sorted by their bytes", function()
    assert.equal('{"B":1,"a":[true,false,null],"aa":{},"a\195\164":"x"}',
      json.encode { aa = {}, ["a\195\164"] = "x", a = { true, false, core.null }, B = 1 })
    local keys = {}
    for i = 1, 50 do
      keys["k" .. i] = i
    end
    local again = {}
    for i = 50, 1, -1 do
      again["k" .. i] = i
    end
    assert.equal(json.encode(keys), json.encode(again))
  end)

  it("escapes what JSON demands and leaves the rest readable", function()
    assert.equal([["\"\\/\b\f\n\r\t\u0000\u001f\u007f é"]], json.encode("\"\\/\b\f\n\r\t\0\31\127 é"))
  end)

  it("writes numbers exactly and as short as they can be", function()
    for text, number in pairs {
      ["0"] = 0, ["-7"] = -7, ["0.1"] = 0.1, ["1795228981.218123"] = 1795228981.218123,
      ["9007199254740992"] = 2 ^ 53, ["1e+300"] = 1e300, ["0.30000000000000004"] = 0.1 + 0.2,
      ["1e-07"] = 1e-7, ["-2.5"] = -2.5,
    } do
      assert.equal(text, json.encode(number))
      assert.equal(number, json.decode(text))
    end
    assert.equal("3", json.encode(3.0))
  end)

  it("reads whole numbers as integers where Lua has them", function()
    local value = json.decode('{"a":[1,2.0,2.5],"b":-9007199254740992}')
    assert.equal("1 2", table.concat(value.a, " ", 1, 2))
    assert.equal(2.5, value.a[3])
    assert.equal(-2 ^ 53, value.b)
    assert.equal("9007199254740992", ("%.0f"):format(-value.b))
    assert.equal("18014398509481984", ("%.0f"):format(json.decode("18014398509481984")))
  end)

  it("carries strings of any bytes", function()
    assert.equal([["a\udcff\udcc3b"]], json.encode("a\255\195b"))
    assert.equal("a\255\195b", json.decode([["a\uDCFF\udcc3b"]]))
    local state = 42
    for _ = 1, 300 do
      local bytes = {}
      for i = 1, 1 + state % 40 do
        state = (state * 1103515245 + 12345) % 2147483648
        bytes[i] = string.char(math.floor(state / 65536) % 256)
      end
      local text = table.concat(bytes)
      assert.equal(text, json.decode(json.encode(text)))
      assert.same({ [text] = { text } }, json.decode(json.encode { [text] = { text } }))
    end
  end)

  it("tells lone surrogates from halves of a character and from escaped backslashes", function()
    assert.equal("\240\159\152\128", json.decode([["\ud83d\ude00"]]))
    assert.equal("\240\159\146\128", json.decode([["\ud83d\udc80"]]))
    assert.equal("\240\159\146\128\128", json.decode([["\ud83d\udc80\udc80"]]))
    assert.equal([[\udc80]], json.decode([["\\udc80"]]))
    assert.equal("\\\128", json.decode([["\\\udc80"]]))
    assert.equal([[\udc80]], json.decode(json.encode([[\udc80]])))
    assert.is_nil((json.decode([["\ud83d"]])))
    assert.is_nil((json.decode([["\udd00"]])))
  end)

  it("reads null as hoststore.null", function()
    assert.equal(core.null, json.decode("null"))
    assert.equal(core.null, json.decode('{"a":null}').a)
    assert.is_false(json.decode("false"))
  end)

  it("raises on what JSON cannot carry", function()
    assert.matches("a function", raises(print))
    assert.matches("a function", raises { a = { print } })
    assert.matches("nan", raises(0 / 0))
    assert.matches("inf", raises { math.huge })
    assert.matches("without gaps", raises { 1, nil, 3 })
    assert.matches("without gaps", raises { 1, 2, x = 3 })
    assert.matches("without gaps", raises { [2.5] = 1 })
    assert.matches("as a key", raises { [true] = 1 })
    local loop = {}
    loop.loop = loop
    assert.matches("within itself", raises(loop))
    if rawget(math, "type") then
      assert.matches("as a string", raises(math.tointeger(2 ^ 53) + 1)) -- luacheck: ignore
    end
  end)

  it("reads as deep as it writes", function()
    local deep = "x"
    for _ = 1, 1000 do
      deep = { deep }
    end
    local text = json.encode(deep)
    assert.equal(text, json.encode((json.decode(text))))
    assert.matches("nested", raises { deep })
  end)

  it("refuses what is not JSON and says where", function()
    for _, text in ipairs { "", "{", "[1,]", "nan", "0x10", "01", "'a'", '{"a":1}x', '"\255', "[1 2]" } do
      local value, message = json.decode(text)
      assert.is_nil(value)
      assert.matches("character", message)
    end
  end)
end)
