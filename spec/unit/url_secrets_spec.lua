-- A database URL may hold a password: whatever is wrong with it, nobody reads it in a message.
local hoststore = require "hoststore"
local system = require "spec.support.system"

-- Each part that a message could quote alone.
local SECRETS = { "q5ecret", "a55w0rd" }

local URLS = {
  "postgress://u:zq5ecret@h/db", "post_gres://u:zq5ecret@h/db", "postgres//u:zq5ecret@h/db",
  "sqlite://u:zq5ecret@h/db", "postgres:/u:zq5ecret@h/db", "postgres:u:zq5ecret@h",
  "host=localhost password=zq5ecret", "dbname=d user=u password = 'zq5ecret'",
  "postgres://u:zq5ecret@pa55w0rd@localhost:1/db", "postgres://u:zq5ecret/pa55w0rd@localhost:1/db",
  "postgres://u:12/pa55w0rd@localhost:1/db", "postgres://u:x@zq5ecret/pa55w0rd@localhost:1/db",
  "postgres://u:zq5ecret?pa55w0rd@localhost:1/db", "postgres://u:12?pa55w0rd@localhost/db",
  "postgres://u:12?pa55w0rd=zq5ecret@localhost/db", "postgres://u:zq5ecret#pa55w0rd@localhost:1/db",
  "postgres://u:zq5ecret:pa55w0rd@localhost:1/db", "postgres://:zq5ecret@localhost:1/db",
  "postgres://u:zq5ecret%@localhost:1/db", "postgres://u:zq5ecret pa55w0rd@localhost:1/db",
  "postgres://u:zq5ecret@[::1/db", "postgres://u:[zq5ecret@localhost:1/db", "postgres://u:zq5ecret@localhost:1x/db",
  "postgres://u:zq5ecret@localhost:1/db?nonsense=1", "postgres://u:zq5ecret@localhost:1/db?sslmode=x",
  "postgres://u@localhost:1/db?password=zq5ecret&pa55w0rd", "postgres://u@localhost:1/db?pasword=zq5ecret",
  "postgres://u@localhost:1/db?password=zq5ecret", "postgres://u@localhost:1/db?sslpassword=zq5ecret",
  "postgres://u:%7Aq5ecret%40pa55w0rd@localhost:1/db", "postgres://u@localhost:1/db?password=%7Aq5ecret%26",
  "postgres://u@localhost:1/db?%70assword=zq5ecret", "postgres://u@localhost:1/db?sslpassword=zq5ecret&sslkey=/nowhere",
  "postgres://localhost:1/db?user=u&password=zq5ecret&host=pa55w0rd%zz", "postgres://u:%7Aq5ecret%00@localhost/db",
  "postgres://u:zq5ecret@localhost:1/db?journal=wal",
  "postgres://u:zq5ecret@localhost:1/db", "POSTGRES://u:zq5ecret@localhost:1/db?readonly=perhaps",
  "postgres://u:zq5ecret\0@localhost:1/db", "postgres://u:zq5ecret\npa55w0rd@localhost:1/db",
}

local function check(text, url)
  for _, secret in ipairs(SECRETS) do
    assert.is_nil(text:find(secret, 1, true), url .. " shows itself in: " .. text)
  end
end

describe("a password in the URL of a database", function()
  local directory, private

  before_each(function()
    directory, private = system.directory(), system.directory()
  end)

  after_each(function()
    system.remove(directory)
    system.remove(private)
  end)

  -- As from a script that no other user can read: no command line has the URL.
  local function command(words, url)
    system.write(private .. "/command", "os.exit(require('hoststore.cli').run(arg))")
    -- The files of a wrong URL would be made where we are.
    system.write(private .. "/run", ("cd %s\nexport HOSTSTORE_SPOOL=%s/spool HOSTSTORE_DB=%s\nexec %s %s"):format(
      directory, directory, system.quote(url), system.lua(private .. "/command"), words))
    return system.run("sh " .. private .. "/run")
  end

  it("is in no error of open, and in no trace of a call that raises", function()
    for _, url in ipairs(URLS) do
      local store, err = hoststore.open(url, { create = false })
      assert.is_nil(store)
      check(err.message, url)
      local _, trace = xpcall(function() return hoststore.open(url, { nonsense = 1 }) end, debug.traceback)
      check(trace, url)
    end
  end)

  it("is in nothing the command writes, which makes no file of that name", function()
    for _, url in ipairs { URLS[1], URLS[2], URLS[3], URLS[7], URLS[9], URLS[12], URLS[15], URLS[26], URLS[30] } do
      for _, words in ipairs { "add 10.0.0.1 nas", "--json stats", "copy x.db " .. system.quote(url) } do
        local output, status = command(words, url)
        assert.not_equal(0, status)
        check(output, url)
      end
    end
    assert.same({}, system.files(directory))
  end)

  it("is in no log of the leases that have to wait", function()
    local url = "postgres://u:zq5ecret@localhost:1/db?acquire_timeout=0"
    command("hotplug add aa:bb:cc:dd:ee:01 10.0.0.5 laptop", url)
    system.wait("the log says why", function() return require("hoststore.core").sys.stat(directory .. "/spool/log") end)
    check(system.read(directory .. "/spool/log"), url)
    system.wait("the drainer has gone", function()
      return require("hoststore.core").sys.lock(directory .. "/spool/lock")
    end)
  end)

  it("is not among the facts of a store that works with it, nor in what that writes, nor in what ps shows", function()
    local url = os.getenv("HOSTSTORE_TEST_POSTGRES"):gsub("postgres@", "postgres:zq5ecret@") .. "&schema=secret_facts"
    local store = assert(hoststore.open(url))
    for name, value in pairs(assert(store:stats())) do
      check(name .. tostring(value), url)
    end
    check(tostring(store), url)
    assert(store:add { ip = "10.0.0.1", hostname = "nas.lan" })
    assert(store:dump(directory .. "/dump"))
    assert(store:backup(directory .. "/backup"))
    assert(store:export("json", directory .. "/export"))
    store:close()
    system.write(directory .. "/show", "ps -ww -o args= -p $PPID >ps")
    local output, status = command("publish hosts --reload 'env -u LD_PRELOAD sh show'", url)
    assert.equal(0, status, output)
    assert.is_truthy(system.read(directory .. "/ps"):find("publish", 1, true))
    output = system.run(("grep -rlE '%s' %s %s"):format(table.concat(SECRETS, "|"), directory,
      os.getenv "HOSTSTORE_RUN"))
    assert.equal("", output)
    assert.equal(0, select(2, system.run("psql -qc 'DROP SCHEMA secret_facts CASCADE' "
      .. system.quote(os.getenv "HOSTSTORE_TEST_POSTGRES"))))
  end)

  it("may be written with escapes", function()
    local url = require "hoststore.url"
    for _, good in ipairs { "postgres://u:%40%2F%3F%26%3A@a.lan:1,[::1]:2/db?user=a%40b&host=/tmp", "postgres:///db",
      "postgres://u@/d?host=/tmp", "postgres://h", "postgresql://u:p:w@h:/d" } do
      assert.equal("postgres", assert(url.parse(good)).driver)
    end
  end)
end)
