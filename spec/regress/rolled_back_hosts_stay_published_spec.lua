-- Publishing within a transaction wrote hosts that were rolled back behind it, and stayed in the file.
local publishing = require "spec.support.publishing"
local system = require "spec.support.system"

describe("publishing within a transaction", function()
  local store, directory

  before_each(function() store, directory = publishing.begin() end)
  after_each(publishing.finish)

  it("is refused, as its hosts are not there yet", function()
    local path = directory .. "/hosts"
    for _, publish in ipairs {
      function() local _ = store:publish(path) end,
      function() local _ = store:publish_outputs { { path = path } } end,
    } do
      local ok, message = pcall(store.transaction, store, function()
        assert(store:add { ip = "10.0.0.1", hostname = "ghost.lan" })
        publish()
      end)
      assert.is_false(ok)
      assert.matches("rolled_back_hosts_stay_published_spec.lua:%d+: .*cannot be published within a transaction",
        message)
    end
    assert.same({ {}, 0 }, { system.files(directory), store:count() })
    assert.is_true(store:publish(path))
  end)
end)
