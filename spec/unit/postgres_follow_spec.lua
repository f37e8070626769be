local backend = require("spec.support.backends")[3]

describe("following a PostgreSQL store", function()
  after_each(backend.finish)

  it("survives that the server ends the session", function()
    local store, other = backend.open(), backend.reopen()
    local follow = store:follow { timeout = 60 }
    for i = 1, 3 do
      backend.execute [[SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
        WHERE application_name = 'hoststore' AND pid <> pg_backend_pid()]]
      assert(other:stream("s"):append { type = "A" })
      assert.equal(i, follow().position)
    end
  end)
end)
