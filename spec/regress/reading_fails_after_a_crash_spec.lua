-- After a power cut `hoststore list` and `hoststore publish` said "attempt to write a readonly
-- database" until something opened the store for writing.
local hoststore = require "hoststore"
local system = require "spec.support.system"

describe("a database whose writer was killed in the middle of a commit", function()
  local directory
  before_each(function() directory = system.directory() end)
  after_each(function() system.remove(directory) end)

  it("is rolled back and read by a readonly handle", function()
    local path, crashed = directory .. "/hosts.db", directory .. "/crashed.db"
    local store = assert(hoststore.open(path, { journal = "truncate" }))
    for i = 1, 200 do assert(store:add { ip = "10.0.0." .. i, hostname = "h" .. i, comment = ("c"):rep(500) }) end
    store:close()
    -- A cache of one page writes the journal and then the file while the transaction is open.
    system.write(directory .. "/crash.sql", ([[
PRAGMA cache_size = 1;
BEGIN;
UPDATE hosts SET comment = 'half', updated_at = 0;
.shell cp %s %s; cp %s-journal %s-journal
ROLLBACK;
]]):format(path, crashed, path, crashed))
    assert.same({ "", 0 }, { system.run(("sqlite3 -batch %s <%s/crash.sql"):format(path, directory)) })
    assert.is_true(#system.read(crashed .. "-journal") > 512)
    local reader = assert(hoststore.open(crashed, { readonly = true }))
    assert.equal(200, reader:count())
    assert.same({}, reader:verify().problems)
    assert.equal("readonly", select(2, reader:add { ip = "10.0.1.1", hostname = "x" }).code)
    reader:close()
  end)
end)
