-- A program that has called setlocale, as those with windows do, refused the header IP of a CSV file where its
-- language was Turkish, and lost half seconds where it was German, too; the time of a reload that it ran was
-- unknown to all others.
local reload = require "hoststore.publish.reload"
local system = require "spec.support.system"

local TRY = [[
assert(os.setlocale "" and (jit or ("%.1f"):format(0.5) == "0,5")) -- LuaJIT has numbers of its own
local hoststore = require "hoststore"
local reload = require "hoststore.publish.reload"
local store = assert(hoststore.open("memory:", { policies = arg[1] }))
local csv = "IP,HOSTNAME,EXPIRES_AT\n10.0.0.1,IPAD.lan,1900000000.5\n10.0.0.2,b.lan,\n10.0.0.3,c.lan,\n"
assert(store:import({ text = csv }, { format = "csv" }))
local host = assert(store:find("10.0.0.1", "ipad.lan"))
assert(host.expires_at == 1900000000.5 and host.comment == "B_ab")
assert(store:import({ text = csv:sub(1, -17) }, { format = "csv", mode = "sync", max_deletes = "33.4%" }))
assert(require("hoststore.hotplug.lease").name "IPAD" == "ipad")
assert(require("hoststore.cli.text").visible "\195\156\194\155" == "\195\156\\u{9b}")
assert(reload.request(arg[1], { "test", "-d", arg[1] }))
assert(reload.run(arg[1], { "test", "-d", arg[1] }, { delay = 0, timeout = 30 }))
io.write(assert(store:render { text = "<%= 1.5 %> <%= -2.25 %>\n" }))
]]

local POLICY = [[
normalise {
  name = "letters",
  apply = function()
    local keys = {}
    for key in pairs { a = 1, b = 1, B = 1, _ = 1 } do keys[#keys + 1] = key end
    table.sort(keys)
    return { comment = ("I"):lower() == "i" and table.concat(keys) or "" }
  end,
}
]]

describe("a program that speaks", function()
  local directory
  before_each(function()
    directory = system.directory()
    system.write(directory .. "/try", TRY)
    system.write(directory .. "/letters.lua", POLICY)
  end)
  after_each(function() system.remove(directory) end)

  local function try(language, charset)
    local locale = language .. "." .. charset
    local output = system.run(("localedef -c -i %s -f %s %s/%s"):format(language, charset, directory, locale))
    assert(#system.files(directory .. "/" .. locale) > 0, output)
    return (system.run(("LOCPATH=%s LC_ALL=%s %s"):format(directory, locale,
      system.lua(directory .. "/try", directory))))
  end

  for _, given in ipairs { { "tr_TR", "ISO-8859-9" }, { "tr_TR", "UTF-8" }, { "de_DE", "UTF-8" } } do
    it(table.concat(given, ".") .. " reads and writes what all others do", function()
      assert.equal("1.5 -2.25\n", try(given[1], given[2]))
      assert.is_number(reload.known(directory, { "test", "-d", directory }).succeeded_at)
    end)
  end
end)
