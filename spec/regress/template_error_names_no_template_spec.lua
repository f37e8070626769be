local hoststore = require "hoststore"

describe("an error in a template", function()
  local store
  before_each(function() store = assert(hoststore.open "memory:") end)
  after_each(function() store:close() end)

  local function message_of(text)
    local made, err = store:render { text = text, name = "hosts.tmpl" }
    assert.is_nil(made)
    assert.equal("policy", err.code)
    return err.message
  end

  it("names the template and the line where what makes it ready is asked for", function()
    assert.equal("hosts.tmpl:2: '__begin' is not defined", message_of "\n<% for host in __begin do end %>")
  end)

  it("names the template when a function fails that was given to it", function()
    assert.equal("hosts.tmpl: ", message_of("<% for host in __write do end %>"):sub(1, 12))
  end)
end)
