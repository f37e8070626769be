local backends = require "spec.support.backends"
local expect = require "spec.support.expect"

-- DuckDB's failures were told apart by words in their messages, and those can be the user's own.
for _, backend in ipairs(backends) do
  if backend.name:find "^duckdb" then
    describe(backend.name .. ": a question", function()
      after_each(backend.finish)

      it("is what has failed, whatever it speaks of", function()
        local store = backend.open()
        for _, text in ipairs { "No space left on device", "Read-only file system", "in read-only mode", "checksum",
          "Corrupt database file", "Duplicate key \"a\"" } do
          expect.failure("query", store:query(("SELECT error('%s')"):format(text)))
          expect.failure("query", store:query(("SELECT CAST('%s' AS INTEGER)"):format(text)))
        end
      end)
    end)
  end
end
