local publishing = require "spec.support.publishing"
local sys = require("hoststore.core").sys
local system = require "spec.support.system"

local files, read, write = publishing.files, system.read, system.write

local BLOCK = "# BEGIN hoststore hosts\n10.0.0.1\tnas.lan\n# END hoststore hosts\n"

describe("publishing a block", function()
  local store, path, directory

  before_each(function() store, path, directory = publishing.begin_with_host() end)

  after_each(publishing.finish)

  local function publish(flags, output)
    output = output or {}
    output.path, output.mode = path, "block"
    return store:publish_outputs({ output }, flags)[1]
  end

  it("appends it to what is there, and makes a file that is not", function()
    assert.is_true(publish().written)
    assert.equal(BLOCK, read(path))
    for _, foreign in ipairs { "127.0.0.1\tlocalhost\n", "a\r\nb\r\n", "\n\n", "# BEGIN hoststore\n# END\n" } do
      write(path, foreign)
      assert.is_true(publish({ force = true }).written)
      assert.equal(foreign .. BLOCK, read(path))
      assert.is_false(publish().changed)
    end
  end)

  it("gives a last line without an end one, and changes no other byte of it", function()
    write(path, "127.0.0.1 localhost\0\255\r")
    assert.is_true(publish().written)
    assert.equal("127.0.0.1 localhost\0\255\r\n" .. BLOCK, read(path))
    assert.is_false(publish().changed)
  end)

  it("changes its own lines and not a byte of those around them", function()
    local before, after = "\239\187\191127.0.0.1\tlocalhost \r\n\r\n\0#\n", "::1 ip6-localhost\r\n\tlast without an end"
    write(path, before .. BLOCK .. after)
    system.run("chmod 600 " .. path)
    assert(store:add { ip = "10.0.0.2", hostname = "new.lan" })
    assert.is_true(publish({ force = true }).written)
    assert.equal(before .. "# BEGIN hoststore hosts\n" .. store:export "hosts" .. "# END hoststore hosts\n" .. after,
      read(path))
    assert.equal(384, sys.stat(path).mode)
    for _, host in ipairs(store:list()) do
      assert(store:delete(host))
    end
    assert.is_true(publish().written)
    assert.equal(before .. "# BEGIN hoststore hosts\n# END hoststore hosts\n" .. after, read(path))
    assert.same({ "hosts" }, files(directory))
  end)

  it("keeps marker lines as somebody's editor has left them", function()
    write(path, "# BEGIN hoststore hosts\r\nold\r\n# END hoststore hosts \t")
    assert.is_true(publish({ force = true }).written)
    assert.equal("# BEGIN hoststore hosts\r\n10.0.0.1\tnas.lan\n# END hoststore hosts \t", read(path))
  end)

  it("stands beside blocks of other names", function()
    assert.is_true(publish(nil, { name = "lan" }).written)
    assert.is_true(publish(nil, { name = "guests", filter = { tags = { "guest" } } }).written)
    assert(store:add { ip = "10.0.0.2", hostname = "phone.lan", tags = { "guest" } })
    assert.is_true(publish(nil, { name = "guests", filter = { tags = { "guest" } } }).written)
    assert.equal([[
# BEGIN hoststore lan
10.0.0.1	nas.lan
# END hoststore lan
# BEGIN hoststore guests
10.0.0.2	phone.lan	# [guest]
# END hoststore guests
]], read(path))
    assert.is_nil(publish(nil, { name = "lan" }).drift)
  end)

  it("is not tried where a marker is damaged, doubled or astray; the error says in which line", function()
    local begin, finish = "# BEGIN hoststore hosts\n", "# END hoststore hosts\n"
    for text, wanted in pairs {
      ["x\n" .. begin .. "y\n"] = ":2: '# BEGIN hoststore hosts' without a line '# END",
      ["x\ny\n" .. finish] = ":3: '# END hoststore hosts' without a line '# BEGIN",
      [begin .. "x\n" .. begin .. finish] = ":3: a second '# BEGIN hoststore hosts', the first is line 1",
      [begin .. finish .. "\n" .. begin .. finish] = ":4: a second '# BEGIN hoststore hosts', the first is line 1",
      [begin .. finish .. finish] = ":3: '# END hoststore hosts' without",
      [begin .. "# BEGIN hoststore lan\n" .. finish] = ":2: '# BEGIN hoststore lan' stands within the block",
    } do
      write(path, text)
      local result = publish { force = true }
      assert.same({ "invalid", false }, { result.error.code, result.written })
      assert.truthy(result.error.message:find(path .. wanted, 1, true), result.error.message)
      assert.equal(text, read(path))
      assert.equal(wanted:match "%d+", ("%d"):format(result.error.line))
    end
  end)

  it("notices changes by hand within it alone, and takes those over", function()
    write(path, "127.0.0.1 localhost\n")
    publish()
    write(path, "127.0.0.1 localhost mine\n" .. BLOCK .. "10.0.0.8 eight.lan\n")
    assert.is_false(publish().changed)
    publishing.edit(path, "# END", "10.0.0.9 nine.lan\n# END")
    local result = publish()
    assert.same({ "conflict", "+10.0.0.9 nine.lan" }, { result.error.code, result.drift[1].lines[1] })
    assert.equal(1, #result.drift[1].lines)
    result = publish { adopt = true }
    assert.same({ created = 1, updated = 0, enabled = 0, deleted = 0, dropped = 0 }, result.adopted)
    assert.equal(2, store:count())
    assert.equal("127.0.0.1 localhost mine\n# BEGIN hoststore hosts\n" .. store:export "hosts" ..
      "# END hoststore hosts\n10.0.0.8 eight.lan\n", read(path))
  end)

  it("has the whole file checked", function()
    write(path, "127.0.0.1 localhost\n")
    local seen = directory .. "/seen"
    assert.is_true(publish(nil, { check = { "cp", "{path}", seen } }).checked)
    assert.equal(read(path), read(seen))
  end)

  it("keeps all foreign lines when two publish different blocks at the same time", function()
    write(path, "127.0.0.1 localhost\n")
    local pipes = {}
    for i = 1, 4 do
      pipes[i] = system.popen(publishing.process { path = path, mode = "block", name = "b" .. i })
    end
    for i = 1, 4 do
      assert.equal(("b%d\twritten\tnil\t\n"):format(i), pipes[i]:read "*a")
      pipes[i]:close()
    end
    local text = read(path)
    assert.equal("127.0.0.1 localhost\n", text:sub(1, 20))
    for i = 1, 4 do
      local block = BLOCK:gsub("hosts\n", ("b%d\n"):format(i))
      assert.truthy(text:find(block, 1, true))
    end
    assert.equal(20 + 4 * #BLOCK:gsub("hosts\n", "b1\n"), #text)
  end)
end)
