-- "%00" in the URL of a file, which a configuration may hold, ended the program instead of being refused.
local hoststore = require "hoststore"

describe("a NUL in the URL of a database", function()
  for _, url in ipairs {
    "sqlite:%00", "sqlite:///tmp/a%00b.db", "sqlite::memory:?tenant=a%00b", "duckdb:a%00b",
    "postgres://localhost:1/a%00b", "postgres://localhost:1/a?tenant=%00",
  } do
    it("is refused in " .. url, function()
      local store, err = hoststore.open(url)
      assert.same({ nil, "invalid_url", "the database URL holds a NUL byte, written %00" },
        { store, err.code, err.message })
    end)
  end

  it("is none behind an escaped %", function()
    local target = assert(require("hoststore.url").parse "sqlite:a%2500b")
    assert.equal("a%00b", target.location)
  end)
end)
