local hoststore = require "hoststore"
local system = require "spec.support.system"
local template = require "hoststore.template"

describe("what is said of an output that cannot be made", function()
  local directory, store
  before_each(function()
    directory = system.directory()
    store = assert(hoststore.open "memory:")
    assert(store:add { ip = "10.0.0.1", hostname = "nas" })
  end)
  after_each(function()
    store:close()
    system.remove(directory)
  end)

  it("names the line of a template that never ends, whichever of our functions it was in", function()
    for _, loop in ipairs { "write('x')", "raw('x')", "quote('x')", "for host in hosts() do raw(host.ip) end" } do
      local _, err = template.render { name = "lan.tmpl", text = "one\n<% while true do " .. loop .. " end %>",
        context = { store = store } }
      assert.matches("^lan%.tmpl:2: the script was stopped after ", err.message)
    end
  end)

  it("names the output and what is wrong with its filter", function()
    local function message(filter)
      local result = store:publish_outputs { { name = "lan", path = directory .. "/lan", filter = filter } }[1]
      assert.equal("invalid", result.error.code)
      return result.error.message
    end
    assert.equal("the filter has an unknown key 'hostnam'", message { hostnam = "*.lan" })
    assert.equal("hostname must be a string, not number", message { hostname = 5 })
  end)
end)
