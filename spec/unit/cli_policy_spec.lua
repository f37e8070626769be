local command_line = require "spec.support.command_line"
local core = require "hoststore.core"
local json = require "hoststore.json"
local system = require "spec.support.system"

local SCRIPT = [[
tag { name = "iot", filter = { ip = "10.0.3.0/24" }, add = "iot" }
validate { name = "wpad", check = function(h) return h.hostname ~= "wpad", "nobody is called wpad", "hostname" end }
retention { name = "old", count = 1 }
test { name = "tagged", host = { ip = "10.0.3.1", hostname = "a" }, expect = { tags = { "iot" } } }
]]

describe("hoststore policy", function()
  local directory

  before_each(function()
    directory = system.directory()
    assert(core.sys.mkdir_p(directory .. "/policies"))
  end)

  after_each(function() system.remove(directory) end)

  local function write(name, text)
    local file = assert(io.open(directory .. "/policies/" .. name, "wb"))
    file:write(text)
    file:close()
  end

  local function run_on(policies, ...)
    local url = ("sqlite://%s/x.db?policies=%s"):format(directory, policies)
    return command_line.run { "--db", url, "--actor", "alice", ... }
  end

  local function run(...)
    return run_on(directory .. "/policies", ...)
  end

  it("check says how many rules there are, or the line that is wrong, and needs no database", function()
    write("10-iot.lua", SCRIPT)
    write("20-none.lua", "-- nothing yet\n")
    local answer = "10-iot.lua: rules: 3, tests: 1\n20-none.lua: rules: 0, tests: 0\nok: files: 2\n"
    assert.same({ 0, answer, "" }, { run("policy", "check") })
    assert.same({ 0, answer, "" },
      { run_on("/nowhere", "policy", "check", directory .. "/policies") })
    assert.is_nil(core.sys.stat(directory .. "/x.db"))
    local code, stdout, stderr = run("policy", "check", directory .. "/none")
    assert.same({ 1, "" }, { code, stdout })
    assert.matches("none", stderr)
  end)

  it("check says of every file what is wrong with it, also behind one that is broken", function()
    write("10-iot.lua", SCRIPT)
    write("20-syntax.lua", "\nlocal x = = 1\n")
    write("30-loop.lua", "\n\nwhile true do end")
    write("40-bytes.lua", "\27Lua")
    write("50-outputs.lua", 'output { name = "a" }\noutput { name = "b", path = "/b", mode = "x" }')
    write("60-key.lua", "tag { name = 'x', ad = 'y' }")
    local code, stdout, stderr = run("policy", "check")
    assert.same({ 1, "" }, { code, stderr })
    local lines = {}
    for line in stdout:gmatch "[^\n]+" do lines[#lines + 1] = line end
    for i, expected in ipairs { "^10%-iot%.lua: rules: 3, tests: 1$", "^20%-syntax%.lua:2: ",
      "^30%-loop%.lua:3: .*instructions",
      "^40%-bytes%.lua:1: .*compiled", "^50%-outputs%.lua:1: output 'a': path",
      "^50%-outputs%.lua:2: output 'b': .*'x'",
      "^60%-key%.lua:1: tag 'x' has an unknown key 'ad'$", "^broken: 5 of 6 files$" } do
      assert.matches(expected, lines[i])
    end
    assert.equal(8, #lines)
    code, stdout, stderr = run("policy", "check", "--json")
    local answer = assert(json.decode(stdout))
    assert.same({ 1, "", false, 6 }, { code, stderr, answer.ok, #answer.files })
    assert.same({ file = "10-iot.lua", rules = 3, tests = 1 }, answer.files[1])
    assert.same({ 2, 2 }, { answer.files[2].errors[1].line, answer.files[5].errors[2].line })
    -- An output that is wrong breaks no write.
    for _, name in ipairs { "20-syntax", "30-loop", "40-bytes", "60-key" } do
      assert(os.remove(directory .. "/policies/" .. name .. ".lua"))
    end
    assert.equal(0, (run("add", "10.0.0.1", "a")))
  end)

  it("check tries every output, as publishing would", function()
    write("10-outputs.lua", 'output { name = "x", path = "/x", template = "/etc/guests.tmpl" }')
    assert.matches('10-outputs.lua:1: output \'x\': x: the text of a template is expected, and \'/etc/guests.tmpl\' ' ..
      'is a path; an output reads it with template = { path = "/etc/guests.tmpl" }',
      (select(2, run("policy", "check"))), 1, true)
    for i, output in ipairs { 'format = "yaml"', 'filter = { colour = "red" }', 'template = "<% for"',
      'template = "<%= missing %>"', 'template = { path = "/nowhere/x.tmpl" }', 'colour = "red"', 'reload = "dnsmasq"',
      'mode = "dir-shards", header = true', 'filter = { ip = "10.0.0" }', 'template = { text = "", format = "x" }' } do
      write("10-outputs.lua", ("\noutput { name = 'x', path = '/x', %s }"):format(output))
      local code, stdout = run("policy", "check")
      assert.equal(1, code, output)
      assert.matches("^10%-outputs%.lua:2: output 'x': .*\nbroken: 1 of 1 files\n$", stdout, nil, i .. output)
    end
    write("10-outputs.lua", 'output { name = "x", path = "/x", filter = { colour = "red" } }')
    assert.equal("10-outputs.lua:1: output 'x': the filter has an unknown key 'colour'\nbroken: 1 of 1 files\n",
      (select(2, run("policy", "check"))))
    write("10-outputs.lua", [[
      output { name = "a", path = "/a", format = "unbound", filter = { tags = "x", order = "hostname" } }
      output { name = "b", path = "/b", mode = "dir-shards" }
      output { name = "c", path = "/c", template = "<% for h in hosts() do %><%= h.ip %><% end %>" }]])
    assert.same({ 0, "10-outputs.lua: rules: 3, tests: 0\nok: files: 1\n", "" }, { run("policy", "check") })
  end)

  it("check says so when files are too much together though each is good", function()
    local big = "local kept = {} for i = 1, 100000 do kept[i] = { i } end " ..
      "tag { name = 'big', when = function() return #kept > 0 end, add = 'big' }"
    for i = 1, 3 do write(i .. ".lua", big) end
    local code, stdout, stderr = run("policy", "check")
    assert.same({ 1, "" }, { code, stdout })
    assert.matches("memory", stderr)
    assert(os.remove(directory .. "/policies/2.lua"))
    assert(os.remove(directory .. "/policies/3.lua"))
    assert.equal(0, (run("policy", "check")))
  end)

  it("test runs the cases of the scripts and fails when one does", function()
    write("10-iot.lua", SCRIPT)
    assert.same({ 0, "1 passed, 0 failed\n", "" }, { run("policy", "test") })
    write("20-more.lua", 'test { name = "wrong", host = { ip = "10.0.4.1", hostname = "a" }, ' ..
      'expect = { tags = { "iot" } } }')
    assert.same({ 1, "20-more.lua:1: wrong: tags is {}, not {iot}\n1 passed, 1 failed\n", "" },
      { run("policy", "test") })
    local code, stdout = run("policy", "test", "--json")
    assert.same({ 1, 1, false }, { code, json.decode(stdout).failed, json.decode(stdout).tests[2].ok })
  end)

  it("explain shows what each rule says of a host", function()
    run("add", "10.0.3.1", "a")
    write("10-iot.lua", SCRIPT)
    local code, stdout = run("policy", "explain", "a")
    assert.equal(0, code)
    assert.equal("FILE          RULE  KIND      SAYS\n10-iot.lua:1  iot   tag       adds iot\n" ..
      "10-iot.lua:2  wpad  validate  accepts\n", stdout)
    stdout = select(2, run("policy", "explain", "a", "--json"))
    assert.same({ "iot", { "iot" } }, { json.decode(stdout)[1].rule, json.decode(stdout)[1].added })
    assert.equal(3, (run("policy", "explain", "nobody")))
  end)

  it("explain takes an address and a name that no host has, and tags", function()
    write("10-iot.lua", SCRIPT .. 'tag { name = "seen", filter = { tags = "new" }, add = "seen" }')
    assert.equal(0, (run("add", "10.0.9.9", "z")))
    local code, stdout = run("policy", "explain", "10.0.3.9", "wpad", "--tag", "new", "--json")
    local lines = assert(json.decode(stdout))
    assert.same({ 0, "adds iot", "adds seen", "refuses hostname: nobody is called wpad" },
      { code, lines[1].says, lines[2].says, lines[3].says })
    assert.same({ true, true }, { lines[3].matched, lines[3].refused })
    stdout = select(2, run("policy", "explain", "10.0.4.9", "b", "--json"))
    lines = assert(json.decode(stdout))
    assert.same({ "-", "-", "accepts", false }, { lines[1].says, lines[2].says, lines[3].says, lines[3].refused })
    assert.is_nil(lines[1].refused)
    local stderr
    code, stdout, stderr = run("policy", "explain", "10.0.3.300", "b")
    assert.same({ 1, "" }, { code, stdout })
    assert.matches("10.0.3.300", stderr, 1, true)
    assert.equal(2, (run("policy", "explain", "b", "--tag", "x")))
    assert.equal(3, (run("policy", "explain", "b")))
  end)

  it("a plan of a file shows what a rule refuses, as the import does, with its code", function()
    write("10-iot.lua", SCRIPT)
    assert.equal(0, (run("add", "10.0.9.9", "z")))
    system.write(directory .. "/hosts", "10.0.3.1 a\n10.0.3.2 wpad\n")
    local code, stdout, stderr = run("plan", directory .. "/hosts")
    assert.equal(1, code)
    assert.equal("+ 10.0.3.1 a [iot]\n", stdout)
    assert.matches("hosts:2: nobody is called wpad\n", stderr, 1, true)
    assert.matches("1 to add, 0 to update, 0 to delete, 0 unchanged, 1 failed", stderr, 1, true)
    for _, command in ipairs { "plan", "import" } do
      code, stdout = run(command, directory .. "/hosts", "--json")
      assert.same({ 1, { { line = 2, message = "nobody is called wpad", code = "policy" } } },
        { code, json.decode(stdout).errors })
    end
  end)

  it("a change that a rule undoes is unchanged, and the rule is named", function()
    assert.equal(0, (run("add", "10.0.3.1", "a")))
    write("10-none.lua", '\nnormalise { name = "no comments", apply = function() return { comment = null } end }')
    local code, stdout, stderr = run("set", "a", "comment=hello")
    assert.equal(0, code)
    assert.matches("^unchanged 10%.0%.3%.1 a ", stdout)
    assert.matches("10-none.lua:2: rule 'no comments' changes comment", stderr, 1, true)
    assert.equal("", (select(3, run("set", "a", "enabled=true"))))
  end)

  it("a refusal names the rule that made of a host what is refused", function()
    write("10-iot.lua", SCRIPT)
    write("05-names.lua", [[

normalise { name = "no dots", apply = function(host)
  return { hostname = host.hostname:match "^[^.]+", comment = "c" }
end }]])
    local deed = " (05-names.lua:2: rule 'no dots' changes comment, hostname)"
    assert.same({ 1, "", "hoststore: nobody is called wpad" .. deed .. "\n" }, { run("add", "10.0.3.1", "wpad.lan") })
    assert.equal(0, (run("add", "10.0.3.1", "a.lan")))
    local code, stdout, stderr = run("add", "10.0.3.1", "a.net")
    assert.same({ 4, "" }, { code, stdout })
    assert.matches("^hoststore: '10%.0%.3%.1 a' exists already as host %w+ %(05%-names%.lua:2: rule 'no dots' changes ",
      stderr)
    code, stdout, stderr = run("set", "a", "hostname=wpad.lan", "--json")
    assert.same({ 1, "" }, { code, stdout })
    local err = json.decode(stderr).error
    assert.same({ "policy", "hostname", "nobody is called wpad (05-names.lua:2: rule 'no dots' changes hostname)" },
      { err.code, err.field, err.message })
    -- What no rule had a part in is refused as it was.
    assert.equal("hoststore: nobody is called wpad\n", (select(3, run("set", "a", "hostname=wpad", "comment=c"))))
    assert.equal(4, (run("add", "10.0.3.1", "a")))
    stderr = select(3, run("add", "10.0.3.300", "a.lan"))
    assert.is_nil(stderr:find("rule", 1, true))
  end)

  it("apply tags what is there, and a dry run only says so", function()
    run("add", "10.0.3.1", "a")
    run("add", "10.0.3.2", "wpad")
    write("10-iot.lua", SCRIPT)
    assert.same({ 0, "10.0.3.1 a: tags  -> iot\nwould be: 1 updated, 1 refused\n",
      "hoststore: 10.0.3.2 wpad would be refused today: nobody is called wpad\n" },
      { run("policy", "apply", "--dry-run") })
    assert.equal("[]\n", select(2, run("list", "--tag", "iot", "--json")))
    local code, stdout = run("policy", "apply", "--json")
    assert.same({ 0, 1, 1 }, { code, json.decode(stdout).updated, json.decode(stdout).refused })
    assert.equal("a", json.decode(select(2, run("list", "--tag", "iot", "--json")))[1].hostname)
    assert.matches("1 refused", select(2, run("policy", "apply")))
  end)

  it("a refusal is the answer of the command that was refused", function()
    write("10-iot.lua", SCRIPT)
    local code, _, stderr = run("add", "10.0.3.2", "wpad")
    assert.same({ 1, "hoststore: nobody is called wpad\n" }, { code, stderr })
    code, _, stderr = run("add", "10.0.3.2", "wpad", "--json")
    assert.same({ 1, "policy", "hostname" }, { code, json.decode(stderr).error.code, json.decode(stderr).error.field })
  end)

  local unshare = system.namespace()
  if unshare then
    it("is about /etc/hoststore/policies when no other directory is named, as are all writes then", function()
      local hoststore = system.lua(system.run("pwd"):gsub("\n$", "") .. "/lua/hoststore.command")
      local db = directory .. "/hosts.db"
      write("10-iot.lua", SCRIPT)
      -- An /etc of its own.
      local script = ("mount -t tmpfs none /etc; mkdir -p /etc/hoststore; cp -r %s/policies /etc/hoststore/; " ..
        "for words in 'policy check' 'policy test' 'add 10.0.3.1 a' 'add 10.0.3.2 wpad' 'list --json'; do " ..
        "%s --actor alice --db %s $words; done"):format(directory, hoststore, db)
      local output = system.run(unshare .. "sh -c " .. system.quote(script))
      assert.matches("^10%-iot%.lua: rules: 3, tests: 1\nok: files: 1\n1 passed, 0 failed\nadded 10%.0%.3%.1 a", output)
      assert.matches("hoststore: nobody is called wpad\n", output, 1, true)
      assert.same({ "iot" }, json.decode(output:match "(%[{.*)$")[1].tags)
    end)
  end

  it("retention --policy does what the rules say", function()
    write("10-iot.lua", SCRIPT)
    for _ = 1, 3 do run("snapshot", "create") end
    assert.same({ 0, "would be deleted: snapshots: 2, hosts: 0\n", "" }, { run("retention", "--policy", "--dry-run") })
    assert.same({ 0, "deleted: snapshots: 2, hosts: 0\n", "" }, { run("retention", "--policy") })
    assert.equal(1, #json.decode(select(2, run("snapshot", "list", "--json"))))
    assert.equal(2, (run("retention", "--policy", "--max-count", "3")))
    assert.equal(2, (run("retention", "--dry-run")))
  end)
end)
