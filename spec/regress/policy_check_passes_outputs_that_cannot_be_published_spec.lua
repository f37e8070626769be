-- `policy check` said "ok" of two outputs that write one file, of commands and directories that are not there, and of
-- a tag that no host can have.
local command_line = require "spec.support.command_line"
local json = require "hoststore.json"
local system = require "spec.support.system"

describe("policy check", function()
  local directory, policies

  before_each(function()
    directory = system.directory()
    policies = directory .. "/policies"
    system.run("mkdir " .. policies)
  end)
  after_each(function() system.remove(directory) end)

  local function write(name, text)
    system.write(policies .. "/" .. name, (text:gsub("DIR", directory)))
  end

  local function check(...)
    local code, output, errors = command_line.run { "policy", "check", policies, ... }
    return { code, (output:gsub(directory:gsub("%p", "%%%0"), "DIR")),
      (errors:gsub(directory:gsub("%p", "%%%0"), "DIR")) }
  end

  it("names outputs with one path, or one name, in whichever files they are", function()
    write("10.lua", 'output { name = "lan", path = "DIR/hosts" }')
    write("20.lua", '\noutput { name = "guests", path = "DIR/policies/../hosts" }\n' ..
      'output { name = "lan", path = "DIR/lan" }')
    write("30.lua", 'output { name = "x", path = "DIR/x", mode = "block" }' ..
      'output { name = "y", path = "DIR/x", mode = "block" }')
    assert.same({ 1, "10.lua: rules: 1, tests: 0\n" ..
      "20.lua:2: output 'guests': 'lan' and 'guests' would both write DIR/policies/../hosts; give each a path of " ..
      "its own\n20.lua:3: output 'lan': 10.lua:1 has one of this name; give it another\n" ..
      "30.lua: rules: 2, tests: 0\nbroken: 1 of 3 files\n", "" }, check())
  end)

  it("names a tag that no host can have", function()
    write("10.lua", '\ntag { name = "both", add = "a,b" }\ntag { name = "good", add = { "a", "b" } }')
    local result = check()
    assert.equal(1, result[1])
    assert.matches("^10.lua:2: tag 'both': tag 'a,b' may hold neither a comma nor [^\n]*\nbroken: 1 of 1 files\n$",
      result[2])
  end)

  it("warns of programs and directories that this machine lacks", function()
    system.write(directory .. "/no_program", "")
    write("10.lua", [[
output { name = "lan", path = "DIR/none/hosts", check = { "no-such-checker", "{path}" }, reload = { "DIR/no_program" } }
output { name = "good", path = "DIR/hosts", check = { "true" }, reload = { "/bin/sh", "-c", "true" } }
output { name = "made", path = "DIR/made", mode = "dir-shards" }]])
    local result = check()
    assert.same({ 0, "10.lua: rules: 3, tests: 0\nok: files: 1\n" }, { result[1], result[2] })
    local lines = {}
    for line in result[3]:gmatch "[^\n]+" do
      lines[#lines + 1] = line
    end
    assert.equal(3, #lines)
    assert.matches("10.lua:1: output 'lan': DIR/none/?: No such file or directory %(on this machine%)$", lines[1])
    assert.matches("10.lua:1: output 'lan': check: there is no program 'no%-such%-checker' %(on this machine%)$",
      lines[2])
    assert.matches("10.lua:1: output 'lan': reload: there is no program 'DIR/no_program' %(on this machine%)$",
      lines[3])
    local answer = assert(json.decode(check("--json")[2]))
    assert.same({ true, 3, 1 }, { answer.ok, #answer.files[1].warnings, answer.files[1].warnings[1].line })
    assert.is_nil(answer.files[1].errors)
    assert.is_nil(require("hoststore.core").sys.stat(directory .. "/made"))
  end)
end)
