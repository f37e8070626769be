-- Messages about policies named no rule, or lines of hoststore itself: "rules:240: the script needs more than ...",
-- "rule 'a': table", "/p/a.lua: /p/a.lua: Permission denied".
local expect = require "spec.support.expect"
local hoststore = require "hoststore"
local sys = require("hoststore.core").sys
local system = require "spec.support.system"

describe("a message of a policy", function()
  local directory, store

  before_each(function()
    directory = system.directory()
    store = assert(hoststore.open("memory:", { policies = directory }))
  end)

  after_each(function()
    store:close()
    system.remove(directory)
  end)

  local function message(text)
    system.write(directory .. "/a.lua", text)
    return expect.failure("policy", store:add { ip = "10.0.0.1", hostname = "a", comment = "c" }).message
  end

  it("names the file, the line and the rule, and nothing of ours", function()
    for body, expected in pairs {
      ["return { ip = '999.1.1.1' }"] = "a.lua:2: rule 'r': '999.1.1.1' is not an IP address",
      ["error({})"] = "a.lua:2: rule 'r': it raised a table, where a text would say what is wrong",
      ["error(print)"] = "a.lua:2: rule 'r': it raised a nil, where a text would say what is wrong",
      ["error(error)"] = "a.lua:2: rule 'r': it raised a function, where a text would say what is wrong",
      ["error('no place', 0)"] = "a.lua:2: rule 'r': no place",
      ["error 'here'"] = "a.lua:2: rule 'r': here",
      ["local t = {} t[1] = t return { tags = t }"] = "a.lua:2: rule 'r' gives tags a table, not a list of texts",
      ["local t = {} t[1] = t return { comment = t }"] = "a.lua:2: rule 'r' gives comment a table, not a text or null",
      ["return { hostname = 5 }"] = "a.lua:2: rule 'r' gives hostname a number, not a string",
      ["return { comment = ('x'):rep(4e6):rep(9) }"] = "a.lua:2: rule 'r': ",
      ["local t = {} while true do t[#t + 1] = {} end"] = "a.lua:2: rule 'r': the script ",
    } do
      local found = message(("\nnormalise { name = 'r', apply = function() %s end }\n" ..
        "validate { name = 'v', filter = { hostname = '*' }, check = function() return true end }"):format(body))
      assert.equal(expected, found:sub(1, #expected), body .. ": " .. found)
      assert.is_nil(found:find("rules:", 1, true))
    end
  end)

  it("names them for a rule that refuses without a message", function()
    assert.equal("a.lua:2: rule 'v': the host is refused",
      message "\nvalidate { name = 'v', check = function() return false end }")
  end)

  it("names the rule that is asked when memory ends in what we do with its answer", function()
    local found = message [[
      local kept = {}
      validate { name = "fat", check = function(host)
        kept[#kept + 1] = ("x"):rep(5e6)
        return true
      end }
      tag { name = "fill", add = "x", when = function()
        for i = 1, 3 do kept[i] = ("x"):rep(5e6) .. i end
      end }
    ]]
    assert.matches("^a%.lua:%d+: rule 'f%a+': the script needs more than 16777216 bytes of memory", found)
  end)

  it("names a file that cannot be read once", function()
    assert(sys.mkdir_p(directory .. "/a.lua"))
    local found = expect.failure("policy", store:add { ip = "10.0.0.1", hostname = "a" }).message
    assert.equal(2, select(2, found:gsub("a%.lua", "%0")) + 1, found)
    assert.matches("a.lua: is no regular file", found, 1, true)
  end)

  it("does not come for a mark of UTF-8 or a line for the kernel in front of a script", function()
    system.write(directory .. "/a.lua", "\239\187\191tag { name = 'a', add = 'a' }")
    system.write(directory .. "/b.lua", "#!/usr/bin/lua\ntag { name = 'b', add = 'b' }")
    assert.same({ "a", "b" }, assert(store:add { ip = "10.0.0.1", hostname = "a" }).tags)
    system.write(directory .. "/c.lua", "\239\187\191#!/usr/bin/lua\r\ntag { name = 'c', add = 'c' }\r\n")
    assert.same({ "a", "b", "c" }, assert(store:add { ip = "10.0.0.3", hostname = "c" }).tags)
    system.write(directory .. "/b.lua", "\239\187\191#!/usr/bin/lua\nthis is wrong")
    assert.matches("^b%.lua:2: ", expect.failure("policy", store:add { ip = "10.0.0.2", hostname = "b" }).message)
  end)
end)
