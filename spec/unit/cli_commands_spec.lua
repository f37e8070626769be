local cli = require "hoststore.cli"
local core = require "hoststore.core"
local hoststore = require "hoststore"
local json = require "hoststore.json"

local directory, db

local function writer()
  local file = { text = "" }
  function file:write(piece)
    self.text = self.text .. piece
    return true
  end
  return file
end

-- Runs a command line on the test's database; what it read from stdin is `input`.
local function run_with(input, ...)
  local stdin = assert(io.tmpfile())
  stdin:write(input)
  stdin:seek "set"
  local stdout, stderr = writer(), writer()
  local argv = { "--db", db, "--actor", "alice", ... }
  local code = cli.run(argv, { stdout = stdout, stderr = stderr, stdin = stdin, terminal = false })
  stdin:close()
  return code, stdout.text, stderr.text
end

local function run(...)
  return run_with("", ...)
end

-- The answer of a command that must succeed.
local function answer(...)
  local code, stdout, stderr = run(...)
  assert.same({ 0, "" }, { code, stderr })
  return stdout
end

local function decoded(...)
  local words = { ... }
  words[#words + 1] = "--json"
  return json.decode(answer((table.unpack or unpack)(words)))
end

local function write_file(name, text)
  local path = directory .. "/" .. name
  local file = assert(io.open(path, "wb"))
  file:write(text)
  file:close()
  return path
end

local function read_file(path)
  local file = assert(io.open(path, "rb"))
  local text = file:read "*a"
  file:close()
  return text
end

local function lines(...)
  return table.concat({ ... }, "\n") .. "\n"
end

describe("the command line", function()
  before_each(function()
    directory = os.tmpname()
    os.remove(directory)
    assert(core.sys.mkdir_p(directory))
    db = directory .. "/hosts.db"
  end)

  after_each(function()
    os.execute("rm -rf " .. directory)
  end)

  local function add_three()
    answer("add", "192.168.1.20", "nas.lan", "nas", "--tag", "storage", "--tag", "backup", "--comment", "in the cellar")
    answer("add", "192.168.1.3", "printer.lan", "--tag", "printer")
    answer("add", "fd00::20", "nas.lan", "--disabled", "--origin", "import:lab")
  end

  describe("add", function()
    it("adds a host with everything given", function()
      local host = decoded("add", "192.168.001.20", "NAS.lan.") or {}
      assert.is_nil(host.ip)
    end)

    it("answers with the host", function()
      local host = decoded("add", "192.168.1.20", "NAS.lan.", "nas", "files", "--tag", "b", "--tag", "a",
        "--comment", "x", "--expires", "2030-01-01", "--origin", "dhcp", "--disabled")
      assert.same({ "192.168.1.20", "nas.lan", { "nas", "files" }, { "a", "b" }, "x", "2030-01-01T00:00:00Z", "dhcp", false },
        { host.ip, host.hostname, host.aliases, host.tags, host.comment, host.expires_at, host.origin, host.enabled })
    end)

    it("says what it added", function()
      assert.truthy(answer("add", "10.0.0.1", "a.lan"):find "^added 10%.0%.0%.1 a%.lan %(%w+%)\n$")
    end)

    it("records who and why", function()
      answer("--reason", "new", "add", "10.0.0.1", "a.lan")
      local entry = decoded("log")[1]
      assert.same({ "alice", "new" }, { entry.actor, entry.reason })
    end)
  end)
end)
