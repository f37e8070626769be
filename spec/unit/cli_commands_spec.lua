local cli = require "hoststore.cli"
local command_line = require "spec.support.command_line"
local core = require "hoststore.core"
local hoststore = require "hoststore"
local json = require "hoststore.json"
local pluck = require("spec.support.expect").pluck
local system = require "spec.support.system"

local unpack = table.unpack or unpack

local directory, db

-- Runs a command line on the test's database; stdin says `input`.
local function run_with(input, ...)
  local stdin = assert(io.tmpfile())
  stdin:write(input)
  stdin:seek "set"
  local code, output, errors = command_line.run({ "--db", db, "--actor", "alice", ... }, stdin)
  stdin:close()
  return code, output, errors
end

local function run(...)
  return run_with("", ...)
end

-- What a command says that must succeed.
local function answer(...)
  local code, stdout, stderr = run(...)
  assert.same({ 0, "" }, { code, stderr })
  return stdout
end

local function decoded(...)
  local words = { ... }
  words[#words + 1] = "--json"
  return assert(json.decode(answer(unpack(words))))
end

local function failure(...)
  local words = { ... }
  words[#words + 1] = "--json"
  local code, stdout, stderr = run(unpack(words))
  assert.equal("", stdout)
  return code, assert(json.decode(stderr)).error
end

local function path(name)
  return directory .. "/" .. name
end

local function write_file(name, text)
  system.write(path(name), text)
  return path(name)
end

local function read_file(name) return system.read(path(name)) end

local function lines(...)
  return table.concat({ ... }, "\n") .. "\n"
end

-- Ids and times differ from run to run; what they look like does not.
local function blurred(text)
  return (text:gsub("%d%d%d%d%-%d%d%-%d%dT%d%d:%d%d:%d%dZ", "TIME"):gsub("0[%dA-Z]+", function(word)
    return #word == 26 and "ID" or nil
  end))
end

describe("the command line", function()
  before_each(function()
    directory = system.directory()
    db = path "hosts.db"
  end)

  after_each(function() system.remove(directory) end)

  local function add_three()
    answer("add", "192.168.1.20", "nas.lan", "nas", "--tag", "storage", "--tag", "backup",
      "--comment", "in the cellar")
    answer("add", "192.168.1.3", "printer.lan", "--tag", "printer")
    answer("add", "fd00::20", "nas.lan", "--disabled", "--origin", "import:lab")
  end

  describe("add", function()
    it("answers with the host, everything given in it", function()
      local host = decoded("add", "192.168.1.20", "NAS.lan.", "nas", "files", "--tag", "b", "--tag", "a",
        "--comment", "x", "--expires", "2030-01-01", "--origin", "dhcp", "--disabled")
      assert.same({ "192.168.1.20", "nas.lan", "x", "2030-01-01T00:00:00Z", "dhcp", false },
        { host.ip, host.hostname, host.comment, host.expires_at, host.origin, host.enabled })
      assert.same({ { "nas", "files" }, { "a", "b" } }, { host.aliases, host.tags })
    end)

    it("says in a line what it added", function()
      assert.equal("added 10.0.0.1 a.lan (ID)\n", blurred(answer("add", "10.0.0.1", "a.lan")))
    end)

    it("takes an expiry from now", function()
      local host = decoded("add", "10.0.0.1", "a.lan", "--expires", "2h")
      local left = core.parse_time(host.expires_at) - core.sys.time()
      assert.is_true(left > 7190 and left <= 7200)
    end)

    it("records who and why", function()
      answer("--reason", "new", "add", "10.0.0.1", "a.lan")
      local entry = decoded("log")[1]
      assert.same({ "alice", "new" }, { entry.actor, entry.reason })
    end)
  end)

  describe("list", function()
    it("is a table for people", function()
      add_three()
      assert.equal(lines(
        "IP            HOSTNAME     ALIASES  STATE  TAGS             COMMENT",
        "192.168.1.3   printer.lan           on     printer",
        "192.168.1.20  nas.lan      nas      on     backup, storage  in the cellar",
        "fd00::20      nas.lan               off"
      ), answer "list")
    end)

    it("tells ids, owners and times when asked", function()
      add_three()
      assert.equal("ID  1        fd00::20  nas.lan            off    import:lab  TIME\n",
        blurred(answer("list", "--long", "--origin", "import:lab")):match "\n(.*)$")
    end)

    it("is an array of hosts as JSON, and a host a line as NDJSON", function()
      add_three()
      assert.same({ "192.168.1.3", "192.168.1.20", "fd00::20" }, pluck(decoded "list", "ip"))
      local ips = {}
      for line in answer("list", "--ndjson"):gmatch "[^\n]+" do
        ips[#ips + 1] = json.decode(line).ip
      end
      assert.same({ "192.168.1.3", "192.168.1.20", "fd00::20" }, ips)
    end)

    it("is empty without hosts", function()
      answer("rm", decoded("add", "10.0.0.1", "a.lan").id)
      assert.same({ "", "[]\n", "" }, { answer "list", answer("list", "--json"), answer("list", "--ndjson") })
    end)

    local filters = {
      { { "--ip", "192.168.1.0/24" }, 2 },
      { { "--ip-pattern", "1.2" }, 1 },
      { { "--hostname", "nas*" }, 2 },
      { { "--pattern", "PRINT" }, 1 },
      { { "--text", "cellar" }, 1 },
      { { "--tag", "printer", "--tag", "backup" }, 2 },
      { { "--all-tags", "storage,backup" }, 1 },
      { { "--all-tags", "storage,printer" }, 0 },
      { { "--no-tag", "printer" }, 2 },
      { { "--no-tag", "printer", "--no-tag", "storage" }, 1 },
      { { "--enabled" }, 2 },
      { { "--disabled" }, 1 },
      { { "--origin", "admin" }, 2 },
      { { "--created-since", "1h" }, 3 },
      { { "--created-until", "1h" }, 0 },
      { { "--updated-since", "2020-01-01" }, 3 },
      { { "--updated-until", "2020-01-01T00:00:00Z" }, 0 },
      { { "--limit", "2" }, 2 },
      { { "--offset", "2" }, 1 },
    }
    it("takes every filter as an option", function()
      add_three()
      for _, case in ipairs(filters) do
        local hosts = decoded("list", unpack(case[1]))
        assert.equal(case[2], #hosts, table.concat(case[1], " "))
      end
    end)

    it("has an order and a direction", function()
      add_three()
      assert.same({ "printer.lan", "nas.lan", "nas.lan" },
        pluck(decoded("list", "--order", "hostname", "--desc"), "hostname"))
    end)

    it("only counts when asked", function()
      add_three()
      assert.equal("2\n", answer("list", "--count", "--hostname", "nas.lan"))
    end)

    it("says of an expired host that it is", function()
      answer("add", "10.0.0.1", "a.lan", "--expires", "2020-01-01")
      assert.truthy(answer("list"):find "a%.lan +expired\n")
    end)
  end)

  describe("a host", function()
    it("is named by id, stream, pair, alias or address", function()
      add_three()
      local id = decoded("show", "192.168.1.20", "nas.lan").id
      for _, words in ipairs { { id }, { "host-" .. id }, { "nas" }, { "192.168.1.20" } } do
        assert.equal(id, decoded("show", unpack(words)).id)
      end
    end)

    it("must be the only one of its name, else the others are told", function()
      add_three()
      local code, err = failure("show", "nas.lan")
      assert.same({ 2, "ambiguous", 2 }, { code, err.code, #err.candidates })
      local _, stdout, stderr = run("rm", "nas.lan")
      assert.equal("", stdout)
      assert.equal(lines(
        "hoststore: 'nas.lan' may mean 2 hosts; name one by its id",
        "hoststore: ID is 192.168.1.20 nas.lan",
        "hoststore: ID is fd00::20 nas.lan"
      ), blurred(stderr))
      assert.equal("3\n", answer("list", "--count"))
    end)

    it("is shown with everything known about it", function()
      answer("add", "10.0.0.1", "a.lan", "b", "c", "--tag", "x", "--tag", "y", "--expires", "2030-01-01")
      assert.equal(lines(
        "id        ID", "version   1", "ip        10.0.0.1", "hostname  a.lan", "aliases   b c",
        "tags      x, y", "state     on", "expires   TIME", "origin    admin", "created   TIME",
        "updated   TIME", "position  1"
      ), blurred(answer("show", "a.lan")))
    end)
  end)

  describe("set", function()
    before_each(add_three)

    it("changes fields, and clears those that are given nothing", function()
      local result = decoded("set", "nas", "ip=192.168.1.21", "hostname=store.lan", "comment=", "enabled=no",
        "expires_at=2030-01-01", "origin=dhcp", "aliases=a,b", "tags=x")
      local host = result.host
      assert.is_true(result.changed)
      assert.same({ "192.168.1.21", "store.lan", core.null, false, "2030-01-01T00:00:00Z", "dhcp" },
        { host.ip, host.hostname, host.comment, host.enabled, host.expires_at, host.origin })
      assert.same({ { "a", "b" }, { "x" } }, { host.aliases, host.tags })
      host = decoded("set", "store.lan", "expires_at=", "aliases=", "tags=").host
      assert.same({ core.null, {}, {} }, { host.expires_at, host.aliases, host.tags })
    end)

    it("adds to lists and takes from them", function()
      local host = decoded("set", "192.168.1.20", "nas.lan", "tags=+new,-backup,-unknown", "aliases=+files").host
      assert.same({ { "new", "storage" }, { "nas", "files" } }, { host.tags, host.aliases })
    end)

    it("says when there was nothing to change", function()
      assert.equal("unchanged 192.168.1.3 printer.lan (ID)\n", blurred(answer("set", "printer.lan", "tags=printer")))
      assert.equal("changed 192.168.1.3 printer.lan (ID)\n", blurred(answer("set", "printer.lan", "comment=a=b")))
    end)

    it("refuses what it does not understand, and changes nothing", function()
      for _, word in ipairs { "colour=red", "tags=+a,b", "enabled=perhaps", "expires_at=soon", "=" } do
        local code, err = failure("set", "printer.lan", "comment=x", word)
        assert.same({ 2, "usage" }, { code, err.code }, word)
      end
      assert.equal(core.null, decoded("show", "printer.lan").comment)
    end)

    it("refuses a version that is not expected", function()
      local code, err = failure("set", "printer.lan", "comment=x", "--expected", "7")
      assert.same({ 4, "conflict", 7, 1, "printer.lan" },
        { code, err.code, err.expected, err.actual, err.current.hostname })
    end)
  end)

  describe("rm", function()
    it("deletes the host and keeps its history", function()
      local id = decoded("add", "10.0.0.1", "a.lan").id
      assert.equal("deleted 10.0.0.1 a.lan (ID)\n", blurred(answer("rm", "a.lan", "--reason", "sold")))
      assert.equal(3, (run("show", "a.lan")))
      local entry = decoded("history", id)[2]
      assert.same({ "HostDeleted", "sold" }, { entry.type, entry.reason })
    end)
  end)

  describe("what happened", function()
    before_each(function()
      add_three()
      answer("set", "nas", "comment=", "tags=+new", "--reason", "tidied")
    end)

    it("is told of one host, oldest first", function()
      assert.equal(lines(
        "VERSION  POSITION  TIME                  ACTOR  TYPE            CHANGE" .. (" "):rep(54) .. "REASON",
        "1        1         TIME  alice  HostCreated     192.168.1.20 nas.lan nas [backup, storage] # in the cellar",
        "2        4         TIME  alice  CommentUpdated  comment: in the cellar -> (none)" .. (" "):rep(28) .. "tidied",
        "3        5         TIME  alice  TagsModified    tags: backup, storage -> backup, new, storage"
          .. (" "):rep(15) .. "tidied"
      ), blurred(answer("history", "192.168.1.20")))
      assert.same({ 3 }, pluck(decoded("history", "nas", "--limit", "1"), "version"))
    end)

    it("is told of all, the newest last", function()
      assert.same({ 1, 2, 3, 4, 5 }, pluck(decoded "log", "position"))
      assert.same({ 4, 5 }, pluck(decoded("log", "--limit", "2"), "position"))
      assert.same({ 2, 3 }, pluck(decoded("log", "--after", "1", "--limit", "2"), "position"))
      assert.same({ 3 }, pluck(decoded("log", "--type", "HostCreated", "--limit", "1"), "position"))
      assert.same({}, decoded("log", "--by", "bob"))
      assert.same({ comment = { old = "in the cellar", new = core.null } }, decoded("log", "--limit", "2")[1].changes)
    end)

    it("finds the newest of many that pass a filter", function()
      local store = assert(hoststore.open(db))
      local events = {}
      for i = 1, 1200 do
        events[i] = { type = i % 2 == 0 and "Even" or "Odd", data = i }
      end
      assert(store:stream("numbers"):append(events))
      store:close()
      local entries = decoded("log", "--type", "Even", "--limit", "3")
      assert.same({ 1196, 1198, 1200 }, pluck(entries, "data"))
    end)

    it("can be looked at as of a position, a time and a snapshot", function()
      assert.same({ "192.168.1.20" }, pluck(decoded("at", "--position", "1"), "ip"))
      assert.same({}, decoded("at", "2020-01-01"))
      assert.same({ "in the cellar" }, pluck(decoded("at", "--position", "3", "--tag", "storage"), "comment"))
      local id = decoded("snapshot", "create").id
      answer("rm", "printer.lan")
      assert.equal("3\n", answer("at", "--snapshot", id, "--count"))
      assert.same({ 2, "usage" }, { (run "at"), select(2, failure "at").code })
    end)

    it("differs between two moments", function()
      assert.equal(lines(
        "+ 192.168.1.3 printer.lan [printer]",
        "+ fd00::20 nas.lan",
        "~ 192.168.1.20 nas.lan  comment: in the cellar -> (none), tags: backup, storage -> backup, new, storage"
      ), answer("diff", "1"))
      assert.equal("- fd00::20 nas.lan\n", answer("diff", "3", "2"))
      local diff = decoded("diff", "1", "2")
      assert.same({ 1, 0, 0 }, { #diff.added, #diff.removed, #diff.changed })
    end)

    it("can be undone", function()
      assert.equal("undone; events written: 1\n", answer("undo", "4"))
      assert.equal("in the cellar", decoded("show", "nas").comment)
      assert.equal(4, (run("undo", "4")))
      assert.equal(3, (run("undo", "99")))
    end)
  end)

  describe("import", function()
    local source = "192.168.1.20 nas.lan nas # cellar [a, b]\nno-address here\n10.0.0.1 x.lan\n"

    it("counts, and names each line it could not read", function()
      local file = write_file("lab.hosts", source)
      local code, stdout, stderr = run("import", file)
      assert.same({ 1, "3 processed, 2 created, 1 failed\n" }, { code, stdout })
      assert.truthy(stderr:find("hoststore: " .. file .. ":2: 'no-address'", 1, true))
      code, stdout, stderr = run("import", file, "--json")
      local result = json.decode(stdout)
      assert.same({ 1, "", 2, 1, 2 }, { code, stderr, result.skipped, result.failed, result.errors[1].line })
    end)

    it("reads standard input, in any format", function()
      local code, stdout = run_with('{"ip":"10.0.0.9","hostname":"y.lan"}\n', "import", "-", "--format", "ndjson")
      assert.same({ 0, "1 processed, 1 created\n" }, { code, stdout })
    end)

    it("only says what would happen in a dry run", function()
      local file = write_file("h", "10.0.0.1 x.lan\n")
      assert.equal("would be: 1 processed, 1 created\n", answer("import", file, "--dry-run"))
      assert.equal("0\n", answer("list", "--count"))
    end)

    it("keeps to a limit of deletions", function()
      answer("import", write_file("h", "10.0.0.1 x.lan\n10.0.0.2 y.lan\n"), "--origin", "import:lab")
      local file = write_file("h", "10.0.0.1 x.lan\n")
      local sync = { "import", file, "--origin", "import:lab", "--mode", "sync", "--max-deletes" }
      sync[#sync + 1] = "10%"
      assert.equal(4, (run(unpack(sync))))
      sync[#sync] = "1"
      assert.equal("1 processed, 1 unchanged, 1 deleted\n", answer(unpack(sync)))
    end)

    it("refuses all when strict, and says which line was wrong", function()
      local code, stdout, stderr = run("import", write_file("h", source), "--mode", "strict")
      assert.same({ 1, "" }, { code, stdout })
      assert.truthy(stderr:find "^hoststore: line 2: 'no%-address'")
      assert.equal("0\n", answer("list", "--count"))
    end)

    it("misses a file that is not there", function()
      assert.equal(3, (run("import", path "nowhere")))
    end)
  end)

  describe("plan", function()
    it("shows what an import would change, and changes nothing", function()
      add_three()
      local file = write_file("h", "192.168.1.20 nas.lan nas # attic [a]\nbad\n10.0.0.9 y.lan\n")
      local code, stdout, stderr = run("plan", file, "--mode", "sync")
      assert.equal(1, code)
      assert.equal(lines(
        "+ 10.0.0.9 y.lan",
        "- 192.168.1.3 printer.lan [printer]",
        "~ 192.168.1.20 nas.lan  comment: in the cellar -> attic, tags: backup, storage -> a"
      ), stdout)
      assert.truthy(stderr:find(file .. ":2: ", 1, true))
      assert.truthy(stderr:find("1 to add, 1 to update, 1 to delete, 0 unchanged, 1 failed", 1, true))
      local _, text = run("plan", file, "--mode", "sync", "--json")
      local plan = json.decode(text)
      assert.same({ 1, 1, 1, 2 }, { #plan.add, #plan.update, #plan.delete, plan.errors[1].line })
      assert.equal("3\n", answer("list", "--count"))
    end)
  end)

  describe("export", function()
    it("writes to standard output or a file, filtered like a list", function()
      add_three()
      local hosts = "192.168.1.3\tprinter.lan\t# [printer]\n"
      assert.equal(hosts, answer("export", "hosts", "--tag", "printer"))
      local code, stdout, stderr = run("export", "hosts", path "out", "--tag", "printer")
      assert.same({ 0, "", hosts }, { code, stdout, read_file "out" })
      assert.equal("hoststore: hosts written to " .. path "out" .. ": 1\n", stderr)
    end)

    it("writes what name servers read, and says how many hosts it had to leave out", function()
      local code, stdout, stderr = run_with("10.0.0.1 nas.lan\n10.0.0.2 my_host\n", "import", "-")
      assert.same({ 0, "" }, { code, stderr }, stdout)
      assert.equal("host-record=nas.lan,10.0.0.1\nhost-record=my_host,10.0.0.2\n", answer("export", "dnsmasq"))
      code, stdout, stderr = run("export", "bind_reverse")
      assert.equal(0, code)
      assert.matches("\n1%.0%.0%.10%.in%-addr%.arpa%. IN PTR nas%.lan%.\n$", stdout)
      assert.equal("hoststore: hosts left out, as their names cannot stand in bind_reverse: 1\n", stderr)
    end)

    it("refuses an unknown format and names those there are", function()
      local code, stdout, stderr = run("export", "yaml")
      assert.same({ 2, "" }, { code, stdout })
      assert.matches("'yaml' is no known format; there are hosts, json, ndjson, csv, dnsmasq, unbound", stderr, 1, true)
    end)

    it("can be imported again", function()
      add_three()
      for _, format in ipairs { "json", "ndjson", "csv" } do
        local text = answer("export", format)
        local code, stdout = run_with(text, "import", "-", "--format", format, "--mode", "replace")
        assert.same({ 0, "3 processed, 3 unchanged\n" }, { code, stdout })
      end
    end)
  end)

  describe("render", function()
    local TEMPLATE = "<% for host in hosts() do -%>\n<%= host.ip %> <%= comment(host.comment) %>\n<% end -%>\n"

    it("writes what a template makes, filtered like a list", function()
      answer("add", "10.0.0.1", "nas.lan", "--comment", "a\nb", "--tag", "x")
      answer("add", "10.0.0.2", "printer.lan")
      write_file("t.tmpl", TEMPLATE)
      assert.equal("10.0.0.1 a b\n10.0.0.2 \n", answer("render", path "t.tmpl"))
      assert.equal("10.0.0.1 a b\n", answer("render", path "t.tmpl", "--tag", "x"))
      local code, stdout, stderr = run_with(TEMPLATE, "render", "-", path "out", "--format", "dnsmasq")
      assert.same({ 0, "", "hoststore: written: " .. path "out" .. "\n" }, { code, stdout, stderr })
      assert.equal("10.0.0.1 a b\n10.0.0.2 \n", read_file "out")
    end)

    it("says in which line of the template a fault is", function()
      add_three()
      write_file("t.tmpl", "a\n<%= hots() %>\n")
      local code, stdout, stderr = run("render", path "t.tmpl")
      assert.same({ 1, "" }, { code, stdout })
      assert.matches("t.tmpl:2: 'hots' is not defined\n", stderr, 1, true)
      local status, err = failure("render", path "t.tmpl")
      assert.same({ 1, "policy", 2 }, { status, err.code, err.line })
    end)

    it("fails for a template that is not there, and a format that is none", function()
      add_three()
      assert.equal(3, (run("render", path "missing")))
      assert.equal(1, (run("render", directory)))
      write_file("t.tmpl", TEMPLATE)
      assert.equal(1, (run("render", path "t.tmpl", "--format", "yaml")))
    end)
  end)

  describe("publish", function()
    it("writes the file when it differs and says whether it did", function()
      add_three()
      local file = path "published"
      assert.equal("written: " .. file .. "\n", answer("publish", file))
      assert.equal("unchanged: " .. file .. "\n", answer("publish", file))
      assert.is_false(decoded("publish", file).written)
      assert.falsy(read_file("published"):find "^#")
      answer("publish", file, "--header")
      assert.truthy(read_file("published"):find "^# ")
    end)
  end)

  describe("snapshots", function()
    it("are taken, listed, shown, deleted", function()
      add_three()
      assert.equal("snapshot ID; hosts: 3\n", blurred(answer("snapshot", "create", "--name", "first")))
      local id = decoded("snapshot", "list")[1].id
      assert.equal("ID  TIME  manual   3         3      first\n", blurred(answer("snapshot", "list")):match "\n(.*)$")
      assert.equal(lines(
        "id        ID", "name      first", "created   TIME", "trigger   manual", "position  3", "hosts     3"
      ), blurred(answer("snapshot", "show", id)))
      assert.truthy(answer("snapshot", "show", id, "--content"):find "^192%.168%.1%.3\tprinter%.lan")
      assert.truthy(decoded("snapshot", "show", id).hosts_content)
      assert.equal("deleted snapshot ID\n", blurred(answer("snapshot", "rm", id)))
      assert.equal(3, (run("snapshot", "show", id)))
    end)

    it("bring the hosts back", function()
      add_three()
      local id = decoded("snapshot", "create").id
      answer("rm", "printer.lan")
      assert.equal("would be: 1 added, 2 unchanged\n", answer("restore", id, "--dry-run"))
      assert.equal("1 added, 2 unchanged; what was before is snapshot ID\n", blurred(answer("restore", id)))
      assert.equal("3\n", answer("list", "--count"))
      assert.equal(0, decoded("restore", id).added)
    end)

    it("are deleted by number and age, and not without a limit", function()
      for _ = 1, 3 do
        answer("snapshot", "create")
      end
      assert.equal("snapshots deleted: 0\n", answer "retention")
      assert.equal(2, decoded("retention", "--max-count", "1").deleted)
      assert.equal(0, decoded("retention", "--max-age", "30d").deleted)
      assert.equal(1, decoded("retention", "--max-count", "0").deleted)
    end)
  end)

  describe("stream", function()
    it("appends and reads events", function()
      assert.equal("event ID is version 1 of order-1\n",
        blurred(answer("stream", "append", "order-1", "Placed", '{"total":12}', "--expected", "none")))
      run_with('["a",null]', "stream", "append", "order-1", "Shipped", "-", "--metadata", '{"by":"x"}')
      assert.equal(lines(
        "VERSION  POSITION  TIME                  ACTOR  TYPE     DATA",
        "1        1         TIME  alice  Placed   {\"total\":12}",
        "2        2         TIME  alice  Shipped  [\"a\",null]"
      ), blurred(answer("stream", "read", "order-1")))
      local event = decoded("stream", "read", "order-1", "--backward", "--limit", "1")[1]
      assert.same({ 2, "x" }, { event.version, event.metadata.by })
      assert.equal("2\n", answer("stream", "version", "order-1"))
      assert.equal("0\n", answer("stream", "version", "order-2"))
      assert.same({ "order-1" }, pluck(decoded("stream", "list", "--prefix", "order"), "stream"))
      assert.equal("ok: 2 events\n", answer("stream", "verify", "order-1"))
    end)

    it("refuses another version than the one expected", function()
      answer("stream", "append", "order-1", "Placed")
      local code, err = failure("stream", "append", "order-1", "Placed", "--expected", "3")
      assert.same({ 4, "conflict", 3, 1 }, { code, err.code, err.expected, err.actual })
      code, err = failure("stream", "append", "order-1", "Placed", "--expected", "none")
      assert.same({ 4, "none" }, { code, err.expected })
    end)

    it("appends an event of the same id once", function()
      local id = "01ARZ3NDEKTSV4RRFFQ69G5FAV"
      answer("stream", "append", "order-1", "Placed", "--id", id)
      assert.is_true(decoded("stream", "append", "order-1", "Placed", "--id", id).idempotent)
      assert.equal(4, (run("stream", "append", "order-1", "Shipped", "--id", id)))
    end)

    it("takes no data but JSON", function()
      assert.equal(2, (run("stream", "append", "order-1", "Placed", "{")))
      assert.equal(2, (run_with("nonsense", "stream", "append", "order-1", "Placed", "-")))
    end)
  end)

  describe("feed", function()
    before_each(function()
      answer("stream", "append", "order-1", "Placed", '{"total":12}')
      answer("add", "10.0.0.1", "nas.lan", "--tag", "x")
    end)

    it("prints what is behind it until that is acknowledged", function()
      local both = lines(
        "POSITION  TIME                  ACTOR  TYPE         STREAM                           DATA",
        "1         TIME  alice  Placed       order-1                          {\"total\":12}",
        "2         TIME  alice  HostCreated  host-ID  10.0.0.1 nas.lan [x]"
      )
      assert.equal(both, blurred(answer("feed", "read", "mail")))
      assert.equal(both, blurred(answer("feed", "read", "mail")))
      assert.same({ 1 }, pluck(decoded("feed", "read", "mail", "--limit", "1"), "position"))
      assert.equal("acknowledged up to position 1\n", answer("feed", "ack", "mail", "1"))
      assert.same({ 2 }, pluck(decoded("feed", "read", "mail"), "position"))
      assert.equal(2, decoded("feed", "ack", "mail", "2").position)
      assert.equal("", answer("feed", "read", "mail"))
      assert.same({}, decoded("feed", "read", "mail"))
      local code, err = failure("feed", "ack", "mail", "3")
      assert.same({ 1, "invalid", "position" }, { code, err.code, err.field })
    end)

    it("is listed and removed", function()
      assert.equal("", answer("feed", "list"))
      answer("feed", "ack", "mail", "1")
      assert.equal(lines(
        "NAME  POSITION  LAG  EPOCH  UPDATED",
        "mail  1         1    1      TIME"
      ), blurred(answer("feed", "list")))
      local feed = decoded("feed", "list")[1]
      assert.same({ "mail", 1, 1, 1 }, { feed.name, feed.position, feed.lag, feed.epoch })
      assert.is_number(core.parse_time(feed.updated_at))
      assert.equal("deleted feed mail\n", answer("feed", "rm", "mail"))
      local code, err = failure("feed", "rm", "mail")
      assert.same({ 3, "not_found" }, { code, err.code })
      assert.same({}, decoded("feed", "list"))
    end)

    it("lets a script that was overtaken acknowledge nothing", function()
      assert.equal("epoch 1", (answer("feed", "read", "mail", "--epoch"):match "^[^\n]+"))
      local read = decoded("feed", "read", "mail", "--epoch")
      assert.same({ 2, { 1, 2 } }, { read.epoch, pluck(read.events, "position") })
      assert.equal('{"epoch":3}', (answer("feed", "read", "mail", "--epoch", "--ndjson"):match "^[^\n]+"))
      local code, err = failure("feed", "ack", "mail", "2", "--epoch", "2")
      assert.same({ 4, "conflict", 2, 3 }, { code, err.code, err.expected, err.actual })
      answer("feed", "ack", "mail", "1", "--epoch", "3")
      answer("feed", "ack", "mail", "2", "--epoch", "3")
      assert.equal(2, decoded("feed", "list")[1].position)
      assert.equal(2, (run("feed", "ack", "mail", "2", "--epoch", "0")))
      assert.equal(2, (run("feed", "ack", "mail")))
    end)

    it("is not changed where nothing may be", function()
      for _, words in ipairs { { "read", "mail" }, { "ack", "mail", "1" }, { "rm", "mail" } } do
        local code, err = failure("--readonly", "feed", unpack(words))
        assert.same({ 1, "readonly" }, { code, err.code })
      end
      assert.same({}, decoded("--readonly", "feed", "list"))
    end)
  end)

  describe("follow", function()
    before_each(function()
      answer("stream", "append", "order-1", "Placed", '{"total":12}')
      answer("add", "10.0.0.1", "nas.lan", "--tag", "x")
      answer("stream", "append", "order-2", "Placed")
    end)

    local function positions(...)
      local found = {}
      for line in answer("follow", "--timeout", "0", "--json", ...):gmatch "[^\n]+" do
        found[#found + 1] = assert(json.decode(line)).position
      end
      return found
    end

    it("prints a line for each event", function()
      assert.equal(lines(
        '1  TIME  alice  Placed  order-1  {"total":12}',
        "2  TIME  alice  HostCreated  host-ID  10.0.0.1 nas.lan [x]",
        "3  TIME  alice  Placed  order-2  null"
      ), blurred(answer("follow", "--timeout", "0")))
      assert.equal(answer("follow", "--timeout", "0", "--json"), answer("follow", "--timeout", "0", "--ndjson"))
      assert.same({ 1, 2, 3 }, positions())
      assert.same({ 3 }, positions("--after", "2"))
      assert.same({ 2 }, positions("--prefix", "host-"))
      assert.same({ 3 }, positions("--stream", "order-2"))
      assert.same({ 1, 3 }, positions("--type", "Placed", "--type", "Sent"))
      assert.equal("", answer("--readonly", "follow", "--timeout", "0", "--after", "9"))
    end)

    it("moves a feed on behind what it printed", function()
      assert.same({ 1, 2, 3 }, positions("--feed", "mail"))
      assert.same({}, positions("--feed", "mail"))
      answer("stream", "append", "order-3", "Placed")
      answer("stream", "append", "order-3", "Sent")
      assert.same({ 5 }, positions("--feed", "mail", "--type", "Sent"))
      assert.same({}, positions("--feed", "mail"))
      assert.same({ 2 }, positions("--feed", "hosts", "--prefix", "host-"))
      assert.same({ 4, 5 }, positions("--feed", "third", "--stream", "order-3"))
      assert.same({ 5, 5, 5 }, pluck(decoded("feed", "list"), "position"))
      assert.same({ 0, 0, 0 }, pluck(decoded("feed", "list"), "lag"))
    end)

    it("leaves a feed where it is when nothing can be printed", function()
      local full = { write = function() return nil, "full", 28 end }
      local errors = command_line.writer()
      assert.equal(1, cli.run({ "--db", db, "follow", "--feed", "mail", "--timeout", "0" },
        { stdout = full, stderr = errors, terminal = false }))
      assert.truthy(errors.text:find("full", 1, true))
      assert.equal(0, decoded("feed", "list")[1].position)
      assert.same({ 1, 2, 3 }, positions("--feed", "mail"))
    end)

    it("ends when another reader takes its feed over", function()
      local out = command_line.writer()
      local write = out.write
      function out.write(...)
        answer("feed", "read", "mail")
        return write(...)
      end
      local errors = command_line.writer()
      assert.equal(4, cli.run({ "--db", db, "follow", "--feed", "mail" },
        { stdout = out, stderr = errors, terminal = false }))
      assert.truthy(errors.text:find("another reader has taken the feed 'mail' over", 1, true))
      assert.equal(0, decoded("feed", "list")[1].position)
    end)

    it("begins at a position or where a feed stands, not both", function()
      assert.equal(2, (run("follow", "--after", "1", "--feed", "mail")))
      assert.equal(2, (run("follow", "--feed", "")))
      assert.equal(2, (run("follow", "--timeout", "soon")))
    end)
  end)

  describe("copies", function()
    -- copy names its databases itself.
    local function copy(...)
      return command_line.run { "copy", ... }
    end

    it("copies a log to another database and tenant", function()
      add_three()
      local code, stdout, stderr = copy(db, path "copy.db")
      assert.same({ 0, "" }, { code, stderr })
      assert.matches("^copied: 3 events, digest %x+\n$", stdout)
      assert.equal(answer("list", "--json"), answer("list", "--json", "--db", path "copy.db"))
      code, stdout = copy(db, path "copy.db", "--to-tenant", "second", "--json")
      assert.equal(0, code)
      local result = json.decode(stdout)
      assert.same({ 3, 0, 0 }, { result.events, result.snapshots, result.states })
      assert.equal("3\n", answer("list", "--count", "--db", path "copy.db", "--tenant", "second"))
      assert.equal(0, (copy("--tenant", "second", path "copy.db", path "third.db")))
      assert.equal("3\n", answer("list", "--count", "--db", path "third.db", "--tenant", "second"))
    end)

    it("does not copy over what is there, from nowhere, or where it may not write", function()
      assert(hoststore.open(db, { journal = "truncate" })):close()
      add_three()
      local code, _, stderr = copy(db, db)
      assert.equal(1, code)
      assert.matches("both tenants are in", stderr, 1, true)
      assert.equal(3, (copy(path "missing.db", path "copy.db")))
      assert.equal(2, (copy(db)))
      assert.equal(2, (copy(db, path "copy.db", "--db", db)))
      assert.equal(0, (copy(db, path "copy.db")))
      code, _, stderr = copy(db, path "copy.db")
      assert.equal(4, code)
      assert.matches("it has 3 events", stderr, 1, true)
      assert.equal(1, (copy(db, path "copy.db", "--to-tenant", "second", "--readonly")))
    end)

    it("dumps to a file or standard output and loads from one or standard input", function()
      add_three()
      local text = answer "dump"
      assert.matches('^{"hoststore_dump":1,', text)
      assert.equal(text, answer("dump", "-", "--json"))
      assert.matches("^dumped to .*: 3 events, digest %x+\n$", answer("dump", path "log"))
      assert.equal(text, read_file "log")
      assert.matches("^loaded: 3 events, digest %x+\n$", answer("load", path "log", "--tenant", "a"))
      assert.equal(0, (run_with(text, "load", "--tenant", "b")))
      local code, stdout = run_with(text, "load", "-", "--tenant", "c", "--json")
      assert.same({ 0, 3 }, { code, json.decode(stdout).events })
      for _, tenant in ipairs { "a", "b", "c" } do
        assert.equal((text:gsub("default", tenant, 1)), answer("dump", "--tenant", tenant))
      end
    end)

    it("says in which line a dump is wrong", function()
      add_three()
      local text = answer "dump"
      local code, stdout, stderr = run_with(text:gsub('"version":1', '"version":"x"', 1), "load", "--tenant", "a")
      assert.same({ 1, "" }, { code, stdout })
      assert.matches("^hoststore: line 2: ", stderr)
      code, stdout, stderr = run_with(text:gsub("[^\n]+\n$", ""), "load", "--tenant", "a", "--json")
      assert.same({ 1, "" }, { code, stdout })
      assert.equal(4, json.decode(stderr).error.line)
      assert.equal("0\n", answer("list", "--count", "--tenant", "a"))
    end)
  end)

  describe("upkeep", function()
    it("verifies, counts, checks and backs up", function()
      add_three()
      assert.equal("ok: 3 events, 3 streams, 3 hosts\n", answer "verify")
      assert.same({ true, 3, {} }, { decoded("verify").ok, decoded("verify").hosts, decoded("verify").problems })
      assert.truthy(answer("stats"):find "\nhosts +3\n")
      assert.equal(3, decoded("stats").events)
      assert.equal("ok\n", answer "check")
      assert.is_true(decoded("check").ok)
      assert.equal("backed up to " .. path "copy.db" .. "\n", answer("backup", path "copy.db"))
      assert.equal("3\n", answer("list", "--count", "--db", path "copy.db"))
    end)

    it("says what a verification found and fails", function()
      add_three()
      os.execute(("sqlite3 '%s' \"UPDATE hosts SET comment = 'forged' WHERE hostname = 'printer.lan'\""):format(db))
      local code, stdout, stderr = run "verify"
      assert.equal(1, code)
      assert.truthy(stdout:find "comment")
      assert.equal("hoststore: problems found: 1\n", stderr)
      code, stdout = run("verify", "--json")
      assert.same({ 1, false, 1 }, { code, json.decode(stdout).ok, #json.decode(stdout).problems })
    end)

    it("prints exactly the version", function()
      local version = hoststore._VERSION:match "%d.*"
      assert.same({ version .. "\n", version .. "\n" }, { answer "version", answer "--version" })
    end)
  end)

  describe("hostile data", function()
    it("never drives the terminal", function()
      answer("add", "10.0.0.1", "a.lan", "--comment", "\27]0;owned\7\nroot:x\r\194\155m", "--tag", "t\226\128\174ag",
        "--actor", "mallory", "--reason", "why\nnot")
      for _, words in ipairs {
        { "list" }, { "list", "--long" }, { "show", "a.lan" }, { "history", "a.lan" }, { "log" }, { "at", "now" },
        { "diff", "0" },
      } do
        local text = answer(unpack(words))
        assert.falsy(text:find "[%z\1-\9\11-\31\127]")
        assert.falsy(text:find("\194\155", 1, true))
        assert.falsy(text:find("\226\128\174", 1, true))
        assert.falsy(text:find "\nroot")
      end
    end)

    it("comes back whole from JSON", function()
      local comment = "\27]0;owned\7\nroot:x\r\194\155m"
      answer("add", "10.0.0.1", "a.lan", "--comment", comment)
      local text = answer("list", "--json")
      assert.falsy(text:find "[%z\1-\9\11-\31\127]")
      assert.falsy(text:find("\194\155", 1, true))
      assert.equal(comment, json.decode(text)[1].comment)
    end)

    it("is shown in messages too", function()
      answer("add", "10.0.0.1", "a.lan")
      local _, _, stderr = run("show", "\27[2J\nx")
      assert.equal("hoststore: no host is called '\\x1b[2J\\nx'\n", stderr)
      _, _, stderr = run("\27[2J")
      assert.falsy(stderr:find("\27", 1, true))
    end)
  end)

  describe("a failure", function()
    it("has an exit code for its class", function()
      answer("add", "10.0.0.1", "a.lan")
      local file = write_file("h", "10.0.0.1 a.lan\n")
      for _, case in ipairs {
        { 1, "invalid", "add", "10.0.0.256", "b.lan" },
        { 1, "invalid_url", "list", "--db", "frob://x" },
        { 1, "readonly", "--readonly", "add", "10.0.0.2", "b.lan" },
        { 2, "usage", "add", "10.0.0.1" },
        { 2, "usage", "frobnicate" },
        { 2, "usage", "list", "--limit", "many" },
        { 2, "usage", "list", "--created-since", "whenever" },
        { 2, "usage", "list", "--enabled", "--disabled" },
        { 2, "usage", "list", "--tenant", "" },
        { 2, "usage", "import", file, "--mode", "perhaps" },
        { 2, "usage", "snapshot" },
        { 3, "not_found", "show", "b.lan" },
        { 3, "not_found", "show", "10.0.0.1", "b.lan" },
        { 3, "not_found", "show", "01ARZ3NDEKTSV4RRFFQ69G5FAV" },
        { 3, "not_found", "restore", "01ARZ3NDEKTSV4RRFFQ69G5FAV" },
        { 3, "not_found", "list", "--db", path "missing.db" },
        { 4, "duplicate", "add", "10.0.0.1", "a.lan" },
        { 4, "conflict", "rm", "a.lan", "--expected", "2" },
      } do
        local code, err = failure(unpack(case, 3))
        assert.same({ case[1], case[2] }, { code, err.code }, table.concat(case, " ", 3))
        assert.truthy(#err.message > 0)
      end
    end)

    it("is busy while another writer holds the database", function()
      answer("add", "10.0.0.1", "a.lan")
      local url = ("sqlite:%s?busy_timeout=20"):format(db)
      local other = assert(hoststore.open(url))
      local code, err
      assert(other:transaction(function()
        code, err = failure("add", "10.0.0.2", "b.lan", "--db", url)
        return true
      end))
      other:close()
      assert.same({ 5, "busy", true }, { code, err.code, err.retryable })
    end)

    it("is one line, without a traceback, even when it is ours", function()
      answer("add", "10.0.0.1", "a.lan")
      local original = core.methods.reverse
      core.methods.reverse = function() error "a mistake" end
      local code, stdout, stderr = run("show", "10.0.0.1")
      core.methods.reverse = original
      assert.same({ 1, "" }, { code, stdout })
      assert.truthy(stderr:find "^hoststore: [^\n]*a mistake\n$")
    end)

    it("makes no database where only one was to be read", function()
      run "list"
      assert.is_nil(io.open(db))
    end)
  end)

  it("takes options before and after the command", function()
    add_three()
    assert.equal(answer("--json", "list"), answer("list", "--json"))
    local stdout = command_line.writer()
    cli.run({ "list", "--count", "--tenant", "other", "--db", db }, { stdout = stdout, terminal = false })
    assert.equal("0\n", stdout.text)
  end)

  it("has complete help for every command", function()
    local commands = {
      "add", "list", "show", "set", "rm", "history", "log", "at", "diff", "undo", "import", "export", "render",
      "plan",
      "snapshot", "snapshot create", "snapshot list", "snapshot show", "snapshot rm", "restore", "retention",
      "publish", "stream", "stream append", "stream read", "stream version", "stream list", "stream verify",
      "feed", "feed list", "feed read", "feed ack", "feed rm", "follow",
      "verify", "stats", "backup", "check", "version", "copy", "dump", "load",
    }
    local overview = answer "--help"
    for _, command in ipairs(commands) do
      local words = {}
      for word in command:gmatch "%S+" do
        words[#words + 1] = word
      end
      if #words == 1 then
        assert.truthy(overview:find("\n   " .. command .. " ", 1, true), command)
      end
      words[#words + 1] = "--help"
      local help = answer(unpack(words))
      assert.truthy(help:find("^Usage: hoststore " .. command .. " "), command)
      for line in help:gmatch "[^\n]+" do
        assert.is_true(#line <= 80, line)
      end
    end
  end)
end)
