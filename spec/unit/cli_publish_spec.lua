local command_line = require "spec.support.command_line"
local core = require "hoststore.core"
local json = require "hoststore.json"
local machine_clock = require "spec.support.machine_clock"
local publishing = require "spec.support.publishing"
local system = require "spec.support.system"

local sys = core.sys
local read, write = system.read, system.write

describe("hoststore publish", function()
  local store, path, directory, home, db

  before_each(function()
    store, path, directory, home = publishing.begin_with_host()
    db = home .. "/hosts.db"
  end)

  after_each(publishing.finish)

  local function run(...)
    return command_line.run { "--db", db, "--actor", "alice", "publish", ... }
  end

  local function outputs(list)
    write(home .. "/outputs.json", json.encode(list))
    return home .. "/outputs.json"
  end

  it("takes mode, name, checker and reload for a file", function()
    write(path, "127.0.0.1 localhost\n")
    assert.same({ 0, "written: " .. path .. "\n", "" }, { run(path, "--mode", "block", "--name", "lan",
      "--check", "grep -q nas.lan {path}", "--reload", "touch " .. directory .. "/reloaded") })
    assert.equal("127.0.0.1 localhost\n# BEGIN hoststore lan\n10.0.0.1\tnas.lan\n# END hoststore lan\n", read(path))
    assert.is_not_nil(sys.stat(directory .. "/reloaded"))
    local code, stdout, stderr = run(path, "--mode", "block", "--name", "lan", "--json")
    assert.same({ 0, "" }, { code, stderr })
    assert.same({ name = "lan", path = path, mode = "block", changed = false, written = false }, json.decode(stdout))
  end)

  it("fails with what the checker said, and keeps the file", function()
    write(path, "old\n")
    local code, stdout, stderr = run(path, "--force", "--check", "ls /nonexistent/{path}")
    assert.same({ 1, "", "old\n" }, { code, stdout, read(path) })
    assert.matches("the checker refused it: 'ls /nonexistent/{path}' ended with status 2: .*No such file", stderr)
  end)

  it("says once that nothing expires because the clock is wrong", function()
    finally(machine_clock.finish)
    machine_clock.begin(function() return 10 end)
    local message = "the clock says 1970-01-01T00:00:10Z: it is not set"
    assert.same({ 0, "written: " .. path .. "\n", "hoststore: " .. message .. "; nothing expires meanwhile\n" },
      { run(path) })
    local _, stdout = run(path, "--json")
    assert.equal(message, json.decode(stdout).clock)
    local _, _, stderr = run("--outputs", outputs { { path = path }, { path = path .. "2" } })
    assert.equal("hoststore: " .. message .. "; nothing expires meanwhile\n", stderr)
  end)

  it("says what a dry run would write", function()
    assert.same({ 0, "would be written: " .. path .. "\n", "" }, { run(path, "--dry-run") })
    assert.is_nil(sys.stat(path))
  end)

  describe("of a file that was changed by hand", function()
    before_each(function()
      run(path)
      write(path, read(path) .. "10.0.0.9 nine.lan\n")
    end)

    it("leaves it alone, shows the change, and ends with 4", function()
      local code, stdout, stderr = run(path)
      assert.same({ 4, "" }, { code, stdout })
      assert.equal(([[
hoststore: %s was changed by hand:
hoststore:   +10.0.0.9 nine.lan
hoststore: %s was changed by hand since it was published: adopt the change or force the old state
]]):format(path, path), stderr)
      code, stdout, stderr = run(path, "--json")
      assert.same({ 4, "" }, { code, stdout })
      local err = json.decode(stderr).error
      assert.same({ "conflict", { "+10.0.0.9 nine.lan" } }, { err.code, err.drift[1].lines })
    end)

    it("overwrites it with --force", function()
      local code, stdout = run(path, "--force")
      assert.same({ 0, "written: " .. path .. "\n" }, { code, stdout })
      assert.equal("10.0.0.1\tnas.lan\n", read(path))
    end)

    it("imports it with --adopt, under the name of who did that", function()
      local code, stdout, stderr = run(path, "--adopt")
      assert.same({ 0, "written: " .. path .. "\n" }, { code, stdout })
      assert.matches("adopted: 1 created\n$", stderr)
      local nine = store:reverse("10.0.0.9")[1]
      assert.same({ "alice", "nine.lan" }, { nine:history()[1].actor, nine.hostname })
    end)

    it("says in a dry run that it would leave it alone, and ends with 4, too", function()
      local code, stdout, stderr = run(path, "--dry-run")
      assert.same({ 4, "" }, { code, stdout })
      assert.equal(select(3, run(path)), stderr)
      code, stdout, stderr = run(path, "--dry-run", "--json")
      assert.same({ 4, "" }, { code, stdout })
      assert.equal("conflict", json.decode(stderr).error.code)
      assert.equal(0, (run(path, "--dry-run", "--force")))
    end)

    it("says in a dry run what --adopt would do", function()
      write(path, read(path) .. "# remark\n")
      local before = read(path)
      local code, stdout, stderr = run(path, "--adopt", "--dry-run")
      assert.same({ 0, "would be adopted: " .. path .. "\n" }, { code, stdout })
      assert.truthy(stderr:find("would be adopted: 1 created\nhoststore: 1 line of comment or blank would be dropped: ",
        1, true), stderr)
      code, stdout = run(path, "--adopt", "--dry-run", "--json")
      assert.same({ 0, { created = 1, updated = 0, enabled = 0, deleted = 0, dropped = 1 } },
        { code, json.decode(stdout).adopted })
      assert.equal(before, read(path))
      assert.is_nil(store:lookup("nine.lan")[1])
    end)

    it("refuses to adopt what would delete more than --max-deletes", function()
      write(path, "")
      local code, _, stderr = run(path, "--adopt", "--max-deletes", "0")
      assert.same({ 4, true }, { code, stderr:find("1 hosts would be deleted; max_deletes allows 0", 1, true) ~= nil })
      assert.equal(0, (run(path, "--adopt", "--max-deletes", "100%")))
      assert.equal(0, store:count())
    end)

    it("keeps what its header says", function()
      run(path, "--force", "--header")
      local header = read(path):match "^[^\n]*"
      assert.equal("# Made by hoststore. Changes made here get into it by: hoststore publish --adopt", header)
      write(path, header .. "\n10.0.0.1 nas.lan # changed\n")
      assert.equal(4, (run(path, "--header")))
      assert.equal(0, (run(path, "--header", "--adopt")))
      assert.equal(header .. "\n10.0.0.1\tnas.lan\t# changed\n", read(path))
    end)

    it("takes one of the two alone", function()
      assert.equal(2, (run(path, "--adopt", "--force")))
    end)
  end)

  it("publishes what a file of outputs lists, in a table or JSON, and ends with 1 when one failed", function()
    local list = { { name = "lan", path = path, reload = { "true" }, check = { "true" } },
      { name = "gone", path = directory .. "/missing/hosts" },
      { name = "dns", path = directory .. "/d", mode = "dir-shards" } }
    local code, stdout, stderr = run("--outputs", outputs(list))
    assert.equal(1, code)
    assert.equal(("NAME  PATH  STATE  CHECKED  RELOADED\n" .. "lan  %s  written  yes  yes\n" ..
      "gone  %s/missing/hosts  failed\n" .. "dns  %s/d  written\n"):format(path, directory, directory),
      (stdout:gsub("  +", "  ")))
    assert.matches("^hoststore: gone: [^\n]*No such file or directory\n$", stderr)
    assert(store:add { ip = "10.0.0.2", hostname = "new.lan" })
    code, stdout = run("--outputs", outputs { list[1], list[3] }, "--json")
    assert.equal(0, code)
    local results = json.decode(stdout)
    assert.is_string(results[1].reload.succeeded_at)
    results[1].reload = results[1].reload.due
    assert.same({ name = "lan", path = path, mode = "file", changed = true, written = true, checked = true,
      reloaded = true, reload = false }, results[1])
    assert.same({ total = 1, written = 1, removed = 0 }, results[2].shards)
    code, stdout = run("--outputs", outputs { list[1] })
    assert.same({ 0, true }, { code, stdout:find "unchanged" ~= nil })
  end)

  it("ends with 4 when nothing is wrong with many outputs but changes by hand, in a dry run too", function()
    local list = { { name = "lan", path = path }, { name = "other", path = directory .. "/other" } }
    run("--outputs", outputs(list))
    write(path, read(path) .. "10.0.0.9 nine.lan\n")
    assert.same({ 4, 4, 0 }, { (run("--outputs", outputs(list))), (run("--outputs", outputs(list), "--dry-run")),
      (run("--outputs", outputs(list), "--dry-run", "--force")) })
    for place = 1, 3 do
      table.insert(list, place, { name = "gone", path = directory .. "/missing/hosts" })
      assert.equal(1, (run("--outputs", outputs(list), "--dry-run")))
      table.remove(list, place)
    end
    assert.equal(0, (run("--outputs", outputs(list), "--adopt")))
  end)

  it("tells in a dry run of a reload that failed in the night, and whether it is due still", function()
    local flag = directory .. "/flag"
    local list = outputs { { name = "lan", path = path, reload = { "ls", flag } } }
    assert.equal(1, (run("--outputs", list)))
    local code, stdout, stderr = run("--outputs", list, "--dry-run")
    assert.equal(0, code)
    assert.matches("lan +%S+ +unchanged +due", stdout)
    assert.matches("^hoststore: lan: at 20[%dT:-]+Z the reload failed, [^\n]* 'ls [^\n]* ended with status 2", stderr)
    assert.is_nil(stderr:find("succeeded", 1, true))
    write(flag, "")
    assert.equal(0, (run("--outputs", list)))
    code, stdout, stderr = run("--outputs", list, "--dry-run")
    assert.same({ 0, nil }, { code, stdout:find("due", 1, true) })
    assert.matches("ended with status 2[^;]*; it succeeded at 20[%dT:-]+Z\n$", stderr)
    local shown = json.decode((select(2, run("--outputs", list, "--dry-run", "--json"))))[1].reload
    assert.same({ false, true }, { shown.due, shown.failed_at <= shown.succeeded_at })
    assert.matches("ended with status 2", shown.failure)
  end)

  it("publishes the outputs of the policies when it is told nothing", function()
    local policies = home .. "/policies"
    assert(sys.mkdir_p(policies))
    write(policies .. "/10-dns.lua", ([[
output { name = "hosts", path = %q }
output { name = "names", path = %q, filter = { hostname = "*.lan" }, reload = { "touch", %q },
  template = { text = "<%% for host in hosts() do %%><%%= host.hostname %%>\n<%% end %%>" } }
]]):format(path, directory .. "/names", directory .. "/reloaded"))
    assert(store:add { ip = "10.0.0.2", hostname = "other" })
    db = "sqlite:" .. db .. "?policies=" .. policies
    local code, stdout, stderr = run()
    assert.same({ 0, "" }, { code, stderr })
    assert.matches("names +%S+ +written +yes", stdout)
    assert.equal("10.0.0.1\tnas.lan\n10.0.0.2\tother\n", read(path))
    assert.equal("nas.lan\n", read(directory .. "/names"))
    assert.is_not_nil(sys.stat(directory .. "/reloaded"))
    code, stdout = run()
    assert.same({ 0, nil }, { code, stdout:find("written", 1, true) })
  end)

  it("says what is wrong with a file of outputs, or that there is nothing to publish", function()
    for text, wanted in pairs {
      ["{"] = "no JSON array", ['{"path":"x"}'] = "no JSON array", ["3"] = "no JSON array",
    } do
      write(home .. "/outputs.json", text)
      local code, _, stderr = run("--outputs", home .. "/outputs.json")
      assert.same({ 1, true }, { code, stderr:find(wanted, 1, true) ~= nil })
    end
    assert.equal(3, (run("--outputs", home .. "/missing")))
    local code, _, stderr = run("--outputs", outputs { { path = path, filter = json.decode "null" } })
    assert.same({ 1, true }, { code, stderr:find("filter is a table", 1, true) ~= nil })
    assert.equal(2, (run(path, "--outputs", home .. "/outputs.json")))
    assert.equal(0, (run("--outputs", outputs {})))
  end)
end)
