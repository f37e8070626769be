local clusters = require "spec.support.clusters"
local expect = require "spec.support.expect"
local hoststore = require "hoststore"
local system = require "spec.support.system"

-- A certificate authority called $1, and the key and certificate of a server that it vouches for.
local AUTHORITY = [[
  set -e
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=$1 \
    -keyout $1.key -out $1.crt
]]
local SERVER = [[
  set -e
  openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=localhost \
    -keyout server.key -out server.csr
  openssl x509 -req -in server.csr -CA ours.crt -CAkey ours.key -CAcreateserial -days 2 -out server.crt
  chmod 600 server.key
]]

describe("a PostgreSQL server that takes nothing but TLS and passwords", function()
  local cluster

  setup(function()
    cluster = clusters.make "tls"
    for _, name in ipairs { "ours", "theirs" } do
      cluster:run((AUTHORITY:gsub("%$1", name)))
    end
    cluster:run(SERVER)
    cluster:psql "CREATE ROLE anna LOGIN PASSWORD 'fido-7Q'"
    cluster:psql "CREATE DATABASE hosts OWNER anna"
    system.write(cluster.directory .. "/data/pg_hba.conf",
      "local all all trust\nhostssl all all 127.0.0.1/32 scram-sha-256\n")
    cluster:configure { ssl = "on", ssl_cert_file = "../server.crt", ssl_key_file = "../server.key" }
    cluster:stop "fast"
    cluster:start()
  end)

  teardown(clusters.finish)

  local function open(options)
    local url = ("postgres://anna:%s@%s:%d/hosts?connect_timeout=10"):format(options.password or "fido-7Q",
      options.host or "localhost", cluster.port)
    for _, name in ipairs { "sslmode", "sslrootcert" } do
      url = options[name] and url .. "&" .. name .. "=" .. options[name] or url
    end
    return hoststore.open(url)
  end

  local function root(name)
    return cluster.directory .. "/" .. name .. ".crt"
  end

  -- Refused, with a message that names what was wrong and no password.
  local function refused(what, options)
    local err = expect.failure("connection", open(options))
    assert.matches(what, err.message)
    assert.is_nil(err.message:find("fido", 1, true), err.message)
    return err
  end

  it("is used when it proves to be the one that was meant", function()
    local store = assert(open { sslmode = "verify-full", sslrootcert = root "ours" })
    assert(store:add { ip = "10.0.0.1", hostname = "nas" })
    assert.equal("TLSv1.3|hoststore", cluster:psql [[SELECT version, application_name
      FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE ssl AND usename = 'anna']])
    for name, value in pairs(assert(store:stats())) do
      assert.is_nil(tostring(value):find("fido", 1, true), name)
    end
    assert.is_true(assert(store:verify()).ok)
    store:close()
  end)

  it("is refused when another authority vouches for it", function()
    refused("certificate verify failed", { sslmode = "verify-full", sslrootcert = root "theirs" })
    refused("certificate verify failed", { sslmode = "verify-ca", sslrootcert = root "theirs" })
    refused("root certificate file", { sslmode = "verify-full", sslrootcert = root "nobody" })
  end)

  it("is refused when it has a certificate for another name", function()
    refused('"localhost" does not match host name', { sslmode = "verify-full", sslrootcert = root "ours",
      host = "127.0.0.1" })
    assert(open { sslmode = "verify-ca", sslrootcert = root "ours", host = "127.0.0.1" }):close()
  end)

  it("refuses a session without TLS, and one with a wrong password", function()
    refused("no encryption", { sslmode = "disable" })
    refused("password authentication failed", { sslmode = "require", password = "fido-8Q" })
    refused("password", { sslmode = "require", password = "" })
  end)

  it("is asked for the password again when a session was lost, and it is not told to anyone then", function()
    local store = assert(open { sslmode = "verify-full", sslrootcert = root "ours" })
    cluster:psql "ALTER ROLE anna PASSWORD 'rex-9Q'"
    cluster:psql "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE usename = 'anna'"
    local err = expect.failure("connection", store:count())
    assert.matches("password authentication failed", err.message)
    assert.is_nil(err.message:find("fido", 1, true), err.message)
    cluster:psql "ALTER ROLE anna PASSWORD 'fido-7Q'"
    assert.equal(1, store:count())
    store:close()
  end)
end)
