-- examples/policies: the scripts do what they say, and the guide shows what happens.

local expect = require "spec.support.expect"
local hoststore = require "hoststore"
local json = require "hoststore.json"
local nameservers = require "spec.support.nameservers"
local sys = require("hoststore.core").sys
local system = require "spec.support.system"

local EXAMPLE = "examples/policies"
local DAY = 86400
local COMMAND = system.run("pwd"):gsub("\n$", "") .. "/lua/hoststore.command"

-- The blocks of the guide in a language, in its order.
local function blocks(language)
  local found, block = {}, nil
  for line in io.lines(EXAMPLE .. "/README.md") do
    if block and line == "```" then
      found[#found + 1] = table.concat(block, "\n") .. "\n"
      block = nil
    elseif block then
      block[#block + 1] = line
    elseif line == "```" .. language then
      block = {}
    end
  end
  return found
end

-- A block as commands and what is shown below each.
local function commands(block)
  local list = {}
  for line in block:gmatch "([^\n]*)\n" do
    local command = line:match "^%$ (.*)$"
    if command then
      list[#list + 1] = { command = command, shown = "" }
    else
      list[#list].shown = list[#list].shown .. line .. "\n"
    end
  end
  return list
end

describe("examples/policies", function()
  local root, store

  local function write(path, text, mode)
    path = root .. "/" .. path
    assert(sys.mkdir_p((path:gsub("/[^/]*$", ""))))
    system.write(path, text)
    if mode then system.run("chmod " .. mode .. " " .. path) end
  end

  -- Takes the place of the admin: other paths, and a dnsmasq that only notes that it was told.
  before_each(function()
    root = system.directory()
    for _, name in ipairs(system.files(EXAMPLE)) do
      if name:find "%.lua$" then
        local text = system.read(EXAMPLE .. "/" .. name)
        write("policies/" .. name, (text:gsub("/tmp/hosts", root .. "/hosts"):gsub("/etc/init.d", root .. "/bin")))
      end
    end
    assert(sys.mkdir_p(root .. "/hosts"))
    write("bin/dnsmasq", "#!/bin/sh\necho $1 >>" .. root .. "/reloads\n", "755")
    write("bin/hoststore", "#!/bin/sh\nexec " .. system.lua(COMMAND) .. ' "$@"\n', "755")
  end)

  after_each(function()
    if store then store:close() end
    store = nil
    system.remove(root)
  end)

  local function open(clock)
    store = assert(hoststore.open(root .. "/hosts.db", { policies = root .. "/policies", clock = clock }))
    return store
  end

  -- Runs a command beside the policies, as the guide shows it.
  local function run(command)
    local output, status = system.run(([[cd %s && PATH=%s/bin:$PATH HOSTSTORE_RUN=%s/run %s
      export PATH HOSTSTORE_RUN HOSTSTORE_DB; %s]]):format(root, root, root,
      "HOSTSTORE_DB='sqlite:hosts.db?policies=policies'", (command:gsub("/tmp/hosts", root .. "/hosts"))))
    return output:gsub(root .. "/hosts", "/tmp/hosts"), status
  end

  -- Columns are as wide as what stands in them, and paths are longer here.
  local function narrow(text)
    return (text:gsub("   +", "  "))
  end

  it("has no file that is wrong, and passes its own tests", function()
    local output, status = run "hoststore policy check"
    assert.same({ 0, "ok: files: 5\n" }, { status, output:match "[^\n]*\n$" })
    output, status = run "hoststore policy test"
    assert.same({ "14 passed, 0 failed\n", 0 }, { output, status })
  end)

  it("has a guide whose commands print what it shows", function()
    local count = 0
    for _, block in ipairs(blocks "console") do
      for _, each in ipairs(commands(block)) do
        assert.equal(narrow(each.shown), narrow((run(each.command))), each.command)
        count = count + 1
      end
    end
    assert.is_true(count > 30, count .. " commands")
  end)

  it("has a guide whose scripts pass their own tests", function()
    local scripts = blocks "lua"
    assert.is_true(#scripts > 0)
    for i, script in ipairs(scripts) do
      local directory = ("guide%d"):format(i)
      write(directory .. "/10-guide.lua", script)
      local output, status = run("hoststore policy check " .. directory)
      assert.equal(0, status, output)
      output, status = run("hoststore policy test " .. directory)
      assert.same({ "3 passed, 0 failed\n", 0 }, { output, status })
    end
  end)

  it("has a guide that shows what is recorded", function()
    local shown = blocks "json"
    assert.equal(1, #shown)
    local lamp = assert(open():add { ip = "192.168.20.17", hostname = "Lamp" })
    assert.same(json.decode(shown[1]), store:history(lamp.id)[1].metadata)
  end)

  it("has a guide that names every rule, field, event and limit there is", function()
    local guide = system.read(EXAMPLE .. "/README.md")
    local rules = require "hoststore.policy.rules"
    for _, list in ipairs { rules:match "local KEYS = (%b{})", rules:match "local FILTER = (%b{})",
      rules:match "local GFS = (%b{})", rules:match "local EVENTS = (%b{})" } do
      for name in list:gmatch "([%a_]+) = " do
        assert.is_truthy(guide:find("%f[%w_]" .. name .. "%f[^%w_]"), name)
      end
    end
    for name in rules:match("local EVENTS = (%b{})"):gmatch '"(%a+)"' do
      assert.is_truthy(guide:find(name, 1, true), name)
    end
    local source = system.read "lua/hoststore/policy/init.lua"
    for limit, pattern in pairs { ["memory | %s MiB "] = "local MEMORY = (%d+) %* 1024 %* 1024\n",
      ["instructions | %s million "] = "local INSTRUCTIONS = (%d+) %* 1000 %* 1000\n",
      ["processor time | %s seconds "] = "local SECONDS = (%d+)\n" } do
      assert.is_truthy(guide:find("| " .. limit:format(source:match(pattern)), 1, true), limit)
    end
    assert.equal("8", source:match "RETENTION_SCALE = (%d+)\n")
  end)

  it("names, tags and refuses what comes in", function()
    open()
    local result = assert(store:import { text = table.concat({ "127.0.0.1 localhost", "192.168.1.2 nas files",
      "192.168.20.17 lamp", "192.168.30.9 laptop.example.com", "192.168.1.3 wpad", "192.168.1.4 desk wpad",
      "fd00:20::17 lamp" }, "\n") })
    assert.same({ 5, 2 }, { result.created, result.failed })
    assert.same({ "'wpad.lan' is reserved", "'wpad' is reserved" }, expect.pluck(result.errors, "message"))
    local lines = {}
    for _, host in ipairs(store:list()) do
      lines[#lines + 1] = ("%s %s [%s]"):format(host.ip, host.hostname, table.concat(host.tags, ","))
    end
    assert.same({ "127.0.0.1 localhost []", "192.168.1.2 nas.lan []", "192.168.20.17 lamp.lan [iot]",
      "192.168.30.9 laptop.example.com [guest]", "fd00:20::17 lamp.lan [iot]" }, lines)
    local phone = assert(store:add { ip = "192.168.30.10", hostname = "phone", origin = "dhcp" })
    assert.same({ "guest", "new" }, phone.tags)
    phone = assert(phone:update { ip = "192.168.20.10", tags = { "guest" } })
    assert.same({ "iot" }, phone.tags)
  end)

  local LIST = table.concat({ "127.0.0.1 localhost", "255.255.255.255 broadcasthost", "0.0.0.0 ads.example.com",
    ":: tracker.example.com", "127.0.0.1 www.example.net", "203.0.113.66 bank.example.com", "0.0.0.0 nas.lan",
    "0.0.0.0 nas" }, "\n")

  local function import_list(text)
    return assert(store:import({ text = text }, { origin = "import:blocklist", mode = "sync" }))
  end

  it("blocks what a list says, and lets the list say no more than that", function()
    open()
    local nas = assert(store:add { ip = "192.168.1.2", hostname = "nas" })
    local result = import_list(LIST)
    assert.same({ 3, 5 }, { result.created, result.failed })
    assert.same({ 1, 2, 6, 7, 8 }, expect.pluck(result.errors, "line"))
    local function blocked()
      return table.concat(expect.pluck(store:list { tags = "blocked", enabled = true, order = "hostname" }, "hostname"),
        " ")
    end
    assert.equal("ads.example.com tracker.example.com", blocked())
    assert.equal("0.0.0.0", store:lookup("tracker.example.com")[1].ip)
    local position = store:stats().position
    assert.equal(3, import_list(LIST).unchanged)
    assert.equal(position, store:stats().position)
    assert(store:add { ip = "0.0.0.0", hostname = "mine.example.com", tags = { "blocked" } })
    assert.equal(2, import_list("0.0.0.0 ads.example.com").deleted)
    assert.equal("ads.example.com mine.example.com", blocked())
    assert.equal("192.168.1.2", store:get(nas.id).ip)
    -- What is wanted again is said in the script, and applied.
    local path = root .. "/policies/30-blocklist.lua"
    system.write(path, (system.read(path):gsub("www%.example%.net", "ads.example.com")))
    assert(assert(store:plan_policies()):apply())
    assert.equal("mine.example.com", blocked())
  end)

  it("publishes the list apart from the hosts, so that dnsmasq answers both and is told once", function()
    open()
    assert(store:add { ip = "192.168.1.2", hostname = "nas", aliases = { "files" } })
    assert(store:add { ip = "0.0.0.0", hostname = "mine.example.com", tags = { "blocked" } })
    import_list(LIST)
    local output, status = run "hoststore publish"
    assert.equal(0, status, output)
    assert.equal("192.168.1.2\tnas.lan files\n", system.read(root .. "/hosts/lan"))
    local lines = {}
    for name in ("ads mine tracker"):gmatch "%a+" do
      lines[#lines + 1] = ("0.0.0.0 %s.example.com\n:: %s.example.com\n"):format(name, name)
    end
    assert.equal(table.concat(lines), system.read(root .. "/hosts/blocklist"))
    assert.equal("reload\n", system.read(root .. "/reloads"))
    write("dnsmasq.conf", "addn-hosts=" .. root .. "/hosts\n")
    local server = nameservers.dnsmasq(root, root .. "/dnsmasq.conf")
    finally(nameservers.finish)
    local answers = {}
    for i, question in ipairs { "nas.lan A", "ads.example.com A", "ads.example.com AAAA", "mine.example.com A",
      "www.example.net A" } do
      answers[i] = server:ask(question)
    end
    assert.same({ "192.168.1.2", "0.0.0.0", "::", "0.0.0.0", "" }, answers)
    import_list("0.0.0.0 ads.example.com")
    run "hoststore publish"
    assert.equal("reload\nreload\n", system.read(root .. "/reloads"))
    assert.equal("192.168.1.2\tnas.lan files\n", system.read(root .. "/hosts/lan"))
  end)

  it("keeps snapshots of days, weeks, months and years, those that are to be kept, and no old leases", function()
    local now = 1767225600 -- 2026-01-01
    open(function() return now end)
    assert(store:snapshot { name = "keep this" })
    assert(store:add { ip = "192.168.1.9", hostname = "phone", origin = "dhcp", expires_at = now + DAY })
    assert(store:add { ip = "192.168.1.8", hostname = "box", expires_at = now + DAY })
    for day = 1, 200 do
      now = now + DAY
      assert(store:snapshot { name = ("day %d"):format(day) })
      if day > 190 then assert(store:snapshot { name = "before", trigger = "restore" }) end
    end
    local result = assert(store:apply_policy_retention())
    local kept, restores = {}, 0
    for _, snapshot in ipairs(store:snapshots()) do
      if snapshot.trigger == "restore" then
        restores = restores + 1
      else
        kept[#kept + 1] = snapshot.name:gsub("day ", "")
      end
    end
    -- 2026-07-20 is day 200, a Monday; 198 - 7 and so on are Sundays; then the last days of months.
    assert.equal("200 199 198 197 196 195 194 192 185 180 150 119 89 58 30 keep this", table.concat(kept, " "))
    assert.same({ 5, 1 }, { restores, result.hosts })
    assert.same({ "box.lan" }, expect.pluck(store:list(), "hostname"))
  end)
end)
