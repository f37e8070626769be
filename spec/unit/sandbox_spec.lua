local core = require "hoststore.core"
local Sandbox = require "hoststore.policy.sandbox"

describe("the sandbox", function()
  local MEMORY, INSTRUCTIONS = 4 * 1024 * 1024, 300000

  local function new(instructions)
    return Sandbox.new { memory = MEMORY, instructions = instructions or INSTRUCTIONS }
  end

  -- What a function with this body returns in a new sandbox.
  local function run(body, ...)
    local box = new()
    assert(box:load("t.lua", "function f(...) " .. body .. " end"))
    return box:call("f", ...)
  end

  local function stopped(body, why, instructions)
    local box = new(instructions)
    assert(box:load("t.lua", "function f()\n" .. body .. "\nend"))
    local result, err = box:call "f"
    assert.is_nil(result, body)
    assert.equal("policy", err.code)
    assert.matches(why, err.message, nil, body)
    -- Nothing can be done with it any more, and it says why.
    local again, same = box:call "f"
    assert.is_nil(again)
    assert.equal(err.message, same.message)
    return err
  end

  describe("runs a script that", function()
    it("takes and gives nil, booleans, numbers, texts and tables, all of them copies", function()
      local box = new()
      assert(box:load("t.lua", "function same(...) return ... end function f(t) t.x = 2; kept = t; return t end " ..
        "function get() return kept.x end"))
      assert.same({ nil, false, 1.5, "a\0b", { 1, { x = "y", [3] = true } }, n = 5 },
        (function(...) return { n = select("#", ...), ... } end)(
          box:call("same", nil, false, 1.5, "a\0b", { 1, { x = "y", [3] = true } })))
      assert.equal(core.null, box:call("same", core.null))
      local mine = { x = 1 }
      local theirs = box:call("f", mine)
      theirs.x = 3
      assert.same({ 1, 2 }, { mine.x, box:call "get" })
    end)

    it("keeps whole numbers whole, and floats floats, where Lua has both", function()
      for _, number in ipairs { tonumber "9007199254740993", 2 ^ 53, 1, 0.5, -1 / 0 } do
        assert.equal(tostring(number), tostring((run("return ...", number))))
      end
    end)

    it("says in which line it failed", function()
      local box = new()
      local _, err = box:load("10-names.lua", "local x = 1\nlocal y = = 2")
      assert.same({ "policy", 2 }, { err.code, err.line })
      assert.matches("^10%-names%.lua:2: ", err.message)
      assert(box:load("10-names.lua", "function f()\n\n error 'no such host' end function g() error({}) end"))
      _, err = box:call "f"
      assert.same({ "10-names.lua:3: no such host", 3 }, { err.message, err.line })
      _, err = box:call "g"
      assert.same({ "the error is no text but a table", nil }, { err.message, err.line })
      _, err = box:call "h"
      assert.matches("nil value", err.message)
      -- An error is no limit: it goes on.
      assert.is_true(box:load("t.lua", "x = 1"))
    end)

    it("blames the line that called a function of the library", function()
      local box = new()
      assert(box:load("t.lua", "function f()\n local a = ('a'):find('[') end " ..
        "function g()\n\n table.sort { 1, {} } end\n" ..
        "function h() return 1, pcall(function()\n('a'):gsub('a', '%2') end) end"))
      assert.matches("^t%.lua:2: malformed pattern", select(2, box:call "f").message)
      assert.matches("^t%.lua:4: attempt to compare", select(2, box:call "g").message)
      assert.matches("^t%.lua:6: invalid capture", select(3, box:call "h"))
    end)

    it("finds what Lua itself finds, for a thousand patterns", function()
      local PIECES = { "a", "b", ".", "%a", "%d", "[ab]", "[^a]", "[a-c%d]", "%w", "%s", "(", ")", "()", "%1", "$", "^",
        "%bab", "%f[b]", "%u", "%D", "%.", "1" }
      local QUANTIFIERS = { "", "", "", "*", "+", "-", "?" }
      local box, seed = new(1e9), 42
      assert(box:load("t.lua", "function f(...) return pcall(string.find, ...) end"))
      local function random(n)
        seed = (seed * 16807) % 2147483647
        return seed % n + 1
      end
      local function text(pieces, more)
        local parts = {}
        for _ = 1, random(6) do parts[#parts + 1] = pieces[random(#pieces)] .. (more and more[random(#more)] or "") end
        return table.concat(parts)
      end
      local function pack(...) return { n = select("#", ...), ... } end
      local found = 0
      for _ = 1, 1000 do
        local subject, pattern = text { "a", "b", "ab", "1", " ", "B.", "aab" }, text(PIECES, QUANTIFIERS)
        local expected = pack(pcall(string.find, subject, pattern))
        local actual = pack(box:call("f", subject, pattern))
        found = found + (expected[2] and 1 or 0)
        -- Where nothing but a ')' is special, Lua looks for it, and here it closes nothing.
        if expected[1] and pattern:find "[%^%$%*%+%?%.%(%[%%%-]" then
          assert.same(expected, actual, subject .. " " .. pattern)
        elseif not expected[1] then
          assert.is_false(actual[1], subject .. " " .. pattern)
        end
      end
      assert.is_true(found > 200)
    end)

    it("calls functions of ours with copies, and survives their errors", function()
      local box, seen = new(), nil
      assert(box:set("ours", function(t, n)
        seen = t
        if n == 0 then error({ "ours" }) elseif n == 1 then error "broken" end
        return { n * 2 }, nil, "three"
      end))
      assert(box:load("t.lua", "function f(n) return ours({n}, n) end function g(n) return pcall(ours, {}, n) end"))
      assert.same({ { 14 }, nil, "three" }, { box:call("f", 7) })
      assert.same({ 7 }, seen)
      assert.matches("broken", select(2, box:call("f", 1)).message)
      assert.same({ false, "the error is no text but a table" }, { box:call("g", 0) })
      -- It is in use then.
      assert(box:set("ours", function() return box:call "f" end))
      assert.matches("in use", select(2, box:call("g", 0)))
      assert(box:set("ours", function() box:close() end))
      assert.matches("from within", select(2, box:call("g", 0)))
      assert.matches("function cannot", select(2, pcall(box.call, box, "f", print)))
    end)

    it("finds its globals in the table that is named", function()
      local box = new()
      assert(box:load("t.lua", "own = setmetatable({}, { __index = _G })"))
      assert(box:load("t.lua", "x = tostring(1)", "own"))
      assert(box:load("t.lua", "function f() return own.x, x end"))
      assert.same({ "1", nil }, { box:call "f" })
      assert.matches("no table 'other'", select(2, box:load("t.lua", "x = 1", "other")).message)
    end)

    it("computes the same on every version of Lua", function()
      local box = new(5000000)
      assert(box:load("t.lua", [==[
        function f()
          local out = {}
          local function say(...)
            local t = { ... }
            for i = 1, select("#", ...) do t[i] = tostring(t[i]) end
            out[#out + 1] = table.concat(t, ",")
          end
          say(("hello world"):find("o w"), ("a.b"):find(".", 1, true), ("abc"):find("", 10), ("abc"):find("", 4))
          say(("key = value"):match("^(%w+)%s*=%s*(%w+)$"))
          say(("2026-01-31"):match("(%d+)-(%d+)-(%d+)"))
          say(("x"):match("()x()"), ("[[a]]"):match("%[(%b[])%]"), ("THE (quick) fox"):find("%((%a+)%)"))
          say(("THE (quick) fox"):gsub("%f[%a]%a+", string.lower))
          say(("abc"):gsub("", "-"), ("abc"):gsub("%w", "%0%0", 2), ("hello"):gsub("l+", { ll = "LL" }))
          say(("$name is $age"):gsub("%$(%w+)", { name = "nas" }))
          say(("a,b,,c"):gsub(",", ";"), ("  trim "):match("^%s*(.-)%s*$"))
          for k, v in ("a=1, b=2"):gmatch("(%w+)=(%w+)") do say(k, v) end
          for w in ("one two"):gmatch("%a+") do say(w) end
          say(("abcabc"):match("(abc)%1"), ("]"):match("[]]"), ("^"):match("[%^]"), ("a-b"):match("[a-]+"))
          say(("x^y"):gsub("%^", "%%"), ("aXb"):gsub("%u", "%%"), ("\0a"):find("%z"), ("é"):find("[\128-\255]+"))
          local keys = {}
          for k in pairs { 3, 2, 1, b = 1, a = 2, [0] = 0, [true] = 1 } do keys[#keys + 1] = tostring(k) end
          say(table.concat(keys, " "))
          local list = { "c", "a", "b" }
          table.sort(list)
          table.insert(list, "d")
          table.insert(list, 1, "0")
          say(table.concat(list, ""), table.remove(list), table.remove(list, 1), #list)
          table.sort(list, function(a, b) return a > b end)
          say(table.concat(list, ","), unpack({ 1, 2, 3 }, 2))
          say(("ab"):rep(3, "-"), ("x"):rep(0), ("x"):rep(-1), ("%5s|%-5s|%03d|%q"):format("a", "b", 7, "c\n"))
          say({}, print, function() end, null, ("%s %s"):format({}, nil), setmetatable({}, {
            __tostring = function() return "mine" end }))
          say(pcall(error, "x"), xpcall(function() error("y", 0) end, function(e) return e .. "!" end))
          say(xpcall(function(...) return ... end, error, 1, 2))
          say(select("#", table.unpack({ 1, nil, 3 }, 1, 3)), table.pack(1, nil).n)
          return table.concat(out, "\n")
        end]==]))
      assert.equal(table.concat({
        "5,2,nil,4,3", "key,value", "2026,01,31", "1,[a],5,11,quick", "the (quick) fox,3",
        "-a-b-c-,aabbc,heLLo,1", "nas is $age,2", "a;b;;c,trim", "a,1", "b,2", "one", "two",
        "abc,],^,a-", "x%y,a%b,1,1,2", "0 1 2 3 a b true", "0abcd,d,0,3", "c,b,a,2,3",
        'ab-ab-ab,,,    a|b    |007|"c\\\n"', "table,nil,function,null,table nil,mine",
        "false,false,y!", "true,1,2", "3,2",
      }, "\n"), (box:call "f"))
    end)
  end)

  describe("stops", function()
    it("a loop without end, wherever it is, and says in which line", function()
      local err = stopped("local x = 1\nwhile true do end", "t%.lua:3: .*after 300000 instructions")
      assert.equal(3, err.line)
      stopped("for i = 1, 1e12 do end", "t%.lua:2: .*instructions")
      stopped("local function g() return g() end g()", "instructions")
      stopped("repeat until false", "instructions")
      stopped("return setmetatable({}, { __index = function(t, k) while true do end end }).x", "instructions")
      stopped("local t = {} for i = 1, 100 do t[i] = i end table.sort(t, function() while true do end end)",
        "instructions")
      stopped("tostring(setmetatable({}, { __tostring = function() while true do end end }))", "instructions")
      local box = new()
      local _, failure = box:load("t.lua", "while true do end")
      assert.matches("t%.lua:1: .*instructions", failure.message)
    end)

    it("a loop whose error is caught", function()
      stopped("while true do pcall(function() while true do end end) end", "instructions")
      stopped("pcall(pcall, pcall, function() while true do end end) while true do end", "instructions")
      stopped("pcall(function() while true do end end) return 'survived'", "instructions")
      stopped("pcall(function() local s = 'x' while true do s = s .. s end end) return 'survived'", "memory")
      stopped("xpcall(function() while true do end end, function() while true do end end)", "instructions")
      stopped("xpcall(error, function() while true do end end)", "instructions")
      stopped("xpcall(function() while true do end end, function() return 1 end) return 'survived'", "instructions")
      stopped("local ok, err repeat ok, err = pcall(function() for i = 1, 1e9 do end end) until ok", "instructions")
    end)

    it("a text of a gigabyte, however it is made", function()
      for _, body in ipairs {
        "local s = 'x' for i = 1, 40 do s = s .. s end",
        "local t = {} for i = 1, 1e6 do t[i] = ('x'):rep(1000) .. i end",
        "local s = ('x'):rep(1000000) local t = {} for i = 1, 1000 do t[i] = s .. i end",
        "local s = ('x'):rep(2000000) local t = { s, s, s, s, s, s, s, s } return #table.concat(t)",
        "return #('x'):rep(20000):gsub('x', ('y'):rep(2000))",
      } do
        stopped(body, "memory", 1e8)
      end
      -- Refused before anything is made of it, as Lua does.
      for _, body in ipairs { "return ('x'):rep(1e9)", "return ('x'):rep(1e15)", "return ('x'):rep(2^53, 'y')" } do
        assert.matches("too large", select(2, run(body)).message)
      end
      for _, body in ipairs { "local s = ('%99999999s'):format('x')", "local s = ('%.99999999f'):format(1)" } do
        assert.matches("t%.lua:1: invalid", select(2, run(body)).message)
      end
    end)

    it("says the line in which memory ran out", function()
      assert.matches("^t%.lua:4: .*more than 4194304 bytes",
        stopped("local t = {}\nfor i = 1, 1e7 do\n t[i] = { i } end", "memory").message)
    end)

    it("no script for what it no longer needs", function()
      local box = Sandbox.new { memory = 1024 * 1024, instructions = 1e8 }
      assert(box:load("t.lua", "function f() local s for i = 1, 3000 do s = ('x'):rep(20000) .. i end return #s end"))
      assert.equal(20004, box:call "f")
    end)

    it("a function of the library that does nothing for a long time", function()
      for _, body in ipairs {
        "return (''):rep(2^52)", "return #(''):rep(1e18)",
      } do
        assert.is_truthy((run(body)), body)
      end
      for _, body in ipairs {
        "table.concat(setmetatable({}, { __index = function() return '' end }), '', 1, 2^52)",
        "table.unpack({}, 1, 2^52)", "unpack({}, -2^52, 1)", "table.concat({}, '', -2^60, 2^60)",
        "table.concat({}, '', 1, 0/0)",
      } do
        stopped(body, "instructions")
      end
      if (run "return #setmetatable({}, { __len = function() return 7 end })") == 7 then
        local endless = "local t = setmetatable({}, { __len = function() return 2^52 end }) "
        for _, call in ipairs { "table.insert(t, 1, 1)", "table.remove(t, 1)", "table.concat(t)",
          "table.unpack(t)", "table.sort(t, function() end)" } do
          stopped(endless .. call, "instructions")
        end
      end
      assert.equal("nil", run "return type(table.move)")
    end)

    it("a pattern that tries everything", function()
      local text = "local s = ('a'):rep(5000) "
      for _, body in ipairs {
        "return s:find('.-.-.-.-b')", "return s:match('a*a*a*a*a*b')", "return s:match('(.*)(.*)(.*)(.*)b')",
        "return s:gsub('a?a?a?a?a?.-.-.-b', '')",
        "for w in s:gmatch('.-.-.-.-b') do end", "return s:find(('a?'):rep(30) .. '.-.-.-b')",
        "return (('('):rep(5000)):find('%b()%b().-.-b') or s:find('.-.-.-x')",
        "return s:rep(50):find(s:rep(25) .. 'b', 1, true)", "return s:rep(100):find('.-b')",
        "return s:find('%f[b].-.-.-b') or s:find('(.-)%1(.-)%2(.-)b')",
      } do
        stopped(text .. body, "instructions")
      end
    end)

    it("no pattern that is only wrong", function()
      for pattern, message in pairs {
        ["%"] = "ends with '%%'", ["[a"] = "missing '%]'", ["[%"] = "missing '%]'", ["(a"] = "unfinished capture",
        ["a)"] = "invalid pattern capture", ["%1"] = "capture index", ["%b"] = "arguments to '%%b'",
        ["%f"] = "missing '%['", [("(a)"):rep(33)] = "too many captures", ["(%1)"] = "capture index",
        [("a?"):rep(300)] = "too complex",
      } do
        local found, err = run("return pcall(string.find, ('a'):rep(400), ...)", pattern)
        assert.is_false(found, pattern)
        assert.matches(message, err)
      end
      for _, body in ipairs { "('a'):gsub('a', '%2')", "('a'):gsub('a', '%x')", "('a'):gsub('a', '%')",
        "('a'):gsub('a', function() return {} end)", "('a'):gsub('a')", "('a'):find({})" } do
        assert.is_nil((run("return " .. body)), body)
      end
    end)

    it("a callback in the middle of a function", function()
      stopped("('abc'):gsub('%w', function() while true do end end)", "instructions")
      stopped("('abc'):gsub('%w', function() pcall(function() while true do end end) return '' end)", "instructions")
      stopped("('abc'):gsub('%w', setmetatable({}, { __index = function() while true do end end }))", "instructions")
      stopped("local s = ('x'):rep(1000) local function f() return s end return s:gsub('x', f):gsub('x', f)",
        "memory", 1e8)
    end)

    it("few instructions that are slow ones", function()
      local box = Sandbox.new { memory = 16 * 1024 * 1024, instructions = 1e12, seconds = 0.05 }
      assert(box:load("t.lua", "function f() local s = ('x'):rep(4e6) while true do s = s:reverse() end end"))
      assert.matches("^t%.lua:1: .*after 0%p05 seconds", select(2, box:call "f").message)
    end)

    it("recursion without end, and a script of too many brackets", function()
      assert.is_nil((run "local function g() return 1 + g() end return g()"))
      assert.is_nil((run "local function g() return pcall(g) and g() end return 1 + g()"))
      assert.is_nil((run "local t = {} setmetatable(t, { __index = function(_, k) return t[k + 1] end }) return t[1]"))
      local box = new()
      assert.is_nil((box:load("t.lua", "return " .. ("("):rep(100000))))
      assert.is_nil((new():load("t.lua", "return " .. ("{"):rep(100000))))
      assert.matches("at most 262144 bytes", select(2, new():load("t.lua", (" "):rep(262145))).message)
    end)

    it("tables that hold themselves, or are far too many, at the border", function()
      assert.matches("holds itself", select(2, run("local t = {} t.t = t return t")).message)
      assert.matches("too large", select(2, run("local t = {} for i = 1, 30 do t = { t, t } end return t")).message)
      local loop = {}
      loop.loop = loop
      assert.has_error(function() run("return 1", loop) end)
      assert.matches("key that is a", select(2, run("return { [{}] = 1 }")).message)
      assert.matches("function cannot cross", select(2, run("return print or tostring")).message)
    end)
  end)

  describe("has nothing that leads out of it:", function()
    local function names(body)
      return run("local t = {} " .. body .. " for k in pairs(from) do t[#t + 1] = tostring(k) end " ..
        "table.sort(t) return table.concat(t, ' ')")
    end

    it("the functions there are, are these", function()
      assert.equal("_G assert error f getmetatable ipairs math null pairs pcall rawequal rawget rawset select " ..
        "setmetatable string subject table tonumber tostring type unpack where xpcall",
        (names("local from = _G"):gsub(" rawlen", ""):gsub(" utf8", "")))
      assert.equal("byte char find format gmatch gsub len lower match rep reverse sub upper",
        names "local from = string")
      assert.equal("concat insert pack remove sort unpack", names "local from = table")
      assert.is_nil(names("local from = math"):find("random", 1, true))
    end)

    it("no bytecode is run", function()
      local bytecode = string.dump(function() return "escaped" end)
      for _, text in ipairs { bytecode, "\27Lua", "\27LJ\2", "\27" } do
        local _, err = new():load("t.lua", text)
        assert.same({ "policy", 1 }, { err.code, err.line })
        assert.matches("compiled", err.message)
      end
      -- Behind a first line that is skipped in files, too.
      assert.is_nil((new():load("t.lua", "#!/usr/bin/lua\n" .. bytecode)))
      assert.equal("nil nil nil nil", run "return ('%s %s %s %s'):format(load, loadstring, string.dump, dofile)")
    end)

    it("a finalizer or a weak table cannot be made", function()
      for _, name in ipairs { "__gc", "__mode" } do
        assert.matches("cannot have '" .. name, select(2, run("setmetatable({}, { " .. name .. " = 'k' })")).message)
        assert.is_nil((run("setmetatable({}, { " .. name .. " = function() while true do end end })")))
      end
      -- One that is put in afterwards is none.
      assert.equal(1, run("for i = 1, 1000 do local m = {} setmetatable({}, m) " ..
        "m.__gc = function() while true do end end end " ..
        "local s for i = 1, 100 do s = ('y'):rep(10000) .. i end return 1"))
      assert.equal("nil nil", run "return ('%s %s'):format(newproxy, collectgarbage)")
    end)

    it("the metatable of strings is out of reach, and what a script does to `string` stays in its box", function()
      assert.is_false((run "return getmetatable('')"))
      assert.is_nil((run "return getmetatable('').__index"))
      assert.is_nil((run "setmetatable('', {})"))
      run "string.rep = function() return 'broken' end string.format = nil"
      assert.equal("aa", run "return ('a'):rep(2)")
      assert.equal("aa", ("a"):rep(2))
      assert.equal("a", ("%s"):format "a")
    end)

    it("what a script replaces does not break what Lua code of the box relies on", function()
      assert.equal("b 1", run([[
        string.sub, string.byte, table.concat, select, type, tostring, rawget = nil, nil, nil, nil, nil, nil, nil
        pairs, error, _G.string.find = nil, nil, nil
        local s, n = ("a"):gsub("a", "b")
        return s .. " " .. n]]))
    end)

    it("no coroutine, no file, no command, no module", function()
      for _, name in ipairs { "coroutine", "io", "os", "package", "require", "module", "debug", "jit", "ffi", "bit",
        "print", "loadfile", "getfenv", "setfenv", "gcinfo", "warn", "next" } do
        assert.equal("nil", (run("return type(_G[...])", name)), name)
      end
    end)

    it("an address, or the order of keys, tells no run from another", function()
      local body = [[
        local t = {}
        for i = 1, 50 do t["key" .. i * 7919 % 97] = i end
        local out = { tostring(t), tostring(print), tostring(f), ("%s"):format({}) }
        for k, v in pairs(t) do out[#out + 1] = k .. v end
        return table.concat(out, " ")]]
      local first = run(body)
      for _ = 1, 5 do assert.equal(first, run(body)) end
      assert.is_nil(first:find "0x")
      assert.matches("invalid conversion", select(2, run("return ('%p'):format({})")).message)
      -- Keys that nothing but their address could put in order.
      assert.equal("1 a false true table ", run [[
        local out = ""
        for k in pairs { [{}] = 0, [true] = 0, a = 0, [1] = 0, [false] = 0 } do out = out .. tostring(k) .. " " end
        return out]])
      for _, keys in ipairs { "[{}] = 1, [{}] = 2", "[error] = 1, [type] = 2, [ipairs] = 3", "[{}] = 1, [type] = 2" } do
        assert.matches("no order", select(2, run("for _ in pairs { 1, 2, a = 1, " .. keys .. " } do end")).message)
      end
    end)

    it("there is no clock, and nothing random", function()
      for _, name in ipairs { "time", "clock", "date", "random", "randomseed", "now", "getenv", "tmpname" } do
        assert.equal("nil nil nil", run("return ('%s %s %s'):format(_G[...], math[...], string[...])", name))
      end
    end)

    it("64-bit literals of LuaJIT open no door", function()
      local box = new()
      if box:load("t.lua", "function f() return type(1LL) end") then
        assert.equal("cdata", (box:call "f"))
        assert.matches("cannot cross", select(2, run "return 1LL").message)
        assert.is_nil((run "return getmetatable(1LL).__index"))
        assert.equal("nil", (run "local x = 1LL return type(ffi)"))
      end
    end)

    it("the error that stops a script cannot be caught and kept", function()
      stopped("local kept pcall(function() local ok, e = pcall(function() while true do end end) kept = e end) " ..
        "return type(kept)", "instructions")
      if new():load("t.lua", "local x <close> = nil") then
        stopped("local x <close> = setmetatable({}, { __close = function() while true do end end }) while true do end",
          "instructions")
      end
    end)
  end)

  it("survives that memory runs out anywhere", function()
    local ended = 0
    for memory = 262144, 1400000, 9973 do
      local box = Sandbox.new { memory = memory, instructions = 1e7 }
      box:set("ours", function(...) return ..., {} end)
      local ok = box:load("t.lua", [[
        local kept = {}
        function f(t)
          for i = 1, 600 do
            kept[i] = { i, ("x"):rep(i), tostring(i) .. "y", pcall(error, { i }), ("a b"):gsub("%w", "%0%0") }
            kept[i][7] = ours { t }
            table.sort(kept[i], function(a, b) return tostring(a) < tostring(b) end)
          end
          return #kept
        end]])
      local result = ok and box:call("f", { ("z"):rep(1000) })
      ended = ended + (result and 1 or 0)
      if not result then assert.matches("memory", select(2, box:call "f").message) end
    end
    assert.is_true(ended > 5 and ended < 110, ended .. " ended")
  end)

  it("can be closed again and again, and by the collector", function()
    local box = new()
    box:close()
    box:close()
    assert.matches("closed", select(2, box:call "f").message)
    assert.matches("closed", select(2, box:load("t.lua", "")).message)
    for _ = 1, 50 do assert(new():load("t.lua", "x = {} x.x = x")) end
    collectgarbage()
  end)

  it("has no room for less memory than Lua needs", function()
    assert.has_error(function() Sandbox.new { memory = 1000 } end)
    assert.has_error(function() Sandbox.new { instructions = 0 } end)
    assert.has_error(function() Sandbox.new { minutes = 1 } end)
    local box = Sandbox.new { memory = 262144, instructions = 100 }
    assert(box:load("t.lua", "function f() end"))
    assert.is_nil((box:call "f"))
  end)
end)
