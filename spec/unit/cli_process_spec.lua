-- The command as a process: what only the system can show.

local core = require "hoststore.core"
local hoststore = require "hoststore"

local lua = os.getenv "LUA" or (rawget(_G, "jit") and "luajit" or "lua" .. _VERSION:match "[%d.]+")

local version = hoststore._VERSION:match "%d.*"

local directory

local function read_file(path)
  local file = assert(io.open(path, "rb"))
  local text = file:read "*a"
  file:close()
  return text
end

-- Runs shell text in which $hoststore is the command.
local function shell(text)
  local script = directory .. "/script"
  local file = assert(io.open(script, "wb"))
  file:write(("hoststore='%s lua/hoststore.command'\nHOSTSTORE_DB='%s/hosts.db'\n"):format(lua, directory),
    "export HOSTSTORE_DB\nunset HOSTSTORE_ACTOR SUDO_USER USER LOGNAME NO_COLOR\n", text, "\n")
  file:close()
  os.execute(("sh '%s' >'%s/out' 2>'%s/err'; echo $? >'%s/status'"):format(script, directory, directory, directory))
  return tonumber(read_file(directory .. "/status")), read_file(directory .. "/out"), read_file(directory .. "/err")
end

local function add_many(count)
  local store = assert(hoststore.open(directory .. "/hosts.db"))
  assert(store:transaction(function()
    for i = 1, count do
      assert(store:add { ip = ("10.0.%d.%d"):format(math.floor(i / 256), i % 256), hostname = "h" .. i .. ".lan" })
    end
  end))
  store:close()
end

describe("the hoststore command", function()
  before_each(function()
    directory = os.tmpname()
    os.remove(directory)
    assert(core.sys.mkdir_p(directory))
  end)

  after_each(function()
    os.execute("rm -rf " .. directory)
  end)

  it("gives its data to stdout, all else to stderr, and its exit code to the shell", function()
    assert.equal(0, (shell "$hoststore add 10.0.0.1 a.lan"))
    assert.same({ 0, "1\n", "" }, { shell "$hoststore list --count" })
    assert.same({ 2, "", "hoststore: a command is required\nhoststore: see hoststore --help\n" },
      { shell "$hoststore" })
    assert.same({ 3, "", "hoststore: no host is called 'b.lan'\n" }, { shell "$hoststore show b.lan" })
    assert.equal(4, (shell "$hoststore add 10.0.0.1 a.lan"))
    assert.same({ 0, version .. "\n", "" }, { shell "$hoststore version" })
  end)

  it("knows who acts from the environment", function()
    shell [[
      USER=user LOGNAME=login $hoststore add 10.0.0.1 a.lan
      SUDO_USER=sudo USER=root $hoststore add 10.0.0.2 a.lan
      HOSTSTORE_ACTOR=robot SUDO_USER=sudo $hoststore add 10.0.0.3 a.lan
      HOSTSTORE_ACTOR=robot $hoststore add 10.0.0.4 a.lan --actor me
      HOSTSTORE_ACTOR= USER= $hoststore add 10.0.0.5 a.lan
      $hoststore add 10.0.0.6 a.lan]]
    local store = assert(hoststore.open(directory .. "/hosts.db"))
    local actors = {}
    for i, entry in ipairs(store:log()) do
      actors[i] = entry.actor or "(none)"
    end
    store:close()
    local user = select(2, shell "id -un"):match "%S+"
    assert.same({ "user", "sudo", "robot", "me", user, user }, actors)
  end)

  it("ends in silence when its reader has seen enough", function()
    add_many(5000)
    for _, command in ipairs { "list", "list --json", "list --ndjson", "export hosts", "log --limit 5000" } do
      -- A shell that ignores SIGPIPE, as some services do, lets the write fail instead.
      local status, out, err = shell("trap '' PIPE; $hoststore " .. command .. " | head -c 10")
      assert.same({ 0, 10, "" }, { status, #out, err }, command)
      status, out, err = shell("$hoststore " .. command .. " | head -c 10")
      assert.same({ 0, 10, "" }, { status, #out, err }, command)
    end
  end)

  it("follows the log line by line, as it grows", function()
    local store = assert(hoststore.open(directory .. "/hosts.db"))
    local follow = assert(io.popen(("timeout 60 %s lua/hoststore.command --db '%s/hosts.db' follow --json"):format(
      lua, directory)))
    for i = 1, 3 do
      assert(store:stream("s"):append { type = "A" })
      assert.truthy(follow:read("*l"):find(('{"position":%d,'):format(i), 1, true))
    end
    store:close()
    follow:close()
  end)

  it("stops following when nobody reads it, though there is nothing to write", function()
    add_many(1)
    for _, options in ipairs { "", "--feed f" } do
      local status, out, err = shell(([[
        { timeout 60 $hoststore follow %s; echo $? >'%s/end'; } | head -n 1]]):format(options, directory))
      assert.equal("1\n", read_file(directory .. "/end"))
      assert.same({ 0, "" }, { status, err })
      assert.truthy(out:find "^1  [^\n]+\n$")
    end
  end)

  it("stops following at Ctrl-C", function()
    add_many(1)
    -- In the foreground timeout passes the signal on once: the second would kill.
    local status, out, err = shell(([[
      timeout --foreground 60 $hoststore follow >'%s/followed' &
      timeout 60 sh -c "until [ -s '%s/followed' ]; do sleep 0.05; done"
      kill -INT $!
      wait $!]]):format(directory, directory))
    assert.same({ 1, "", "hoststore: interrupted\n" }, { status, out, err })
  end)

  it("fails when its answer cannot be written", function()
    add_many(10)
    for _, command in ipairs { "list", "list --json", "export csv", "version", "--help" } do
      local status, _, err = shell("$hoststore " .. command .. " >/dev/full")
      assert.equal(1, status)
      assert.truthy(err:find "^[^\n]*cannot write the answer: No space left on device[^\n]*\n$", command)
    end
  end)

  it("has colours on a terminal, unless NO_COLOR is set or it is dumb", function()
    add_many(1)
    local run = "TERM=xterm script -qec \"$hoststore list\" /dev/null"
    assert.truthy(select(2, shell(run)):find("\27[1m", 1, true))
    assert.falsy(select(2, shell("NO_COLOR=1 " .. run)):find("\27", 1, true))
    assert.falsy(select(2, shell(run:gsub("xterm", "dumb"))):find("\27", 1, true))
    assert.falsy(select(2, shell "TERM=xterm $hoststore list"):find("\27", 1, true))
  end)

  it("loads what it needs and no more", function()
    add_many(1)
    local _, out = shell(([[
      cat >"%s/loaded.lua" <<'end'
      require("hoststore.cli").run { "list" }
      for name in pairs(package.loaded) do print(name) end
end
      %s "%s/loaded.lua"]]):format(directory, lua, directory))
    assert.truthy(out:find("\nhoststore.cli.hosts\n", 1, true))
    for _, name in ipairs { "cjson", "hoststore.json", "hoststore.import", "hoststore.cli.files" } do
      assert.falsy(out:find("\n" .. name .. "\n", 1, true), name)
    end
  end)

  it("finds its modules under a prefix that was written into it", function()
    local status, out, err = shell(([[
      prefix='%s/usr' share='%s/usr/share/lua/%s'
      mkdir -p "$share"
      ln -s "$PWD/lua/hoststore" "$share/hoststore"
      sed -e "s|^local prefix = false.*|local prefix = '$prefix'|" lua/hoststore.command >"$prefix/hoststore"
      LUA_PATH=';;' %s "$prefix/hoststore" version]]):format(directory, directory, _VERSION:match "[%d.]+", lua))
    assert.same({ 0, version .. "\n", "" }, { status, out, err })
  end)
end)
