-- Somebody deleted the two marker lines of a block: it was appended once more, and the old lines stayed.
local publishing = require "spec.support.publishing"
local system = require "spec.support.system"

local read, write = system.read, system.write

describe("a block whose marker lines are gone", function()
  local store, path, directory

  before_each(function()
    store, path, directory = publishing.begin_with_host()
    write(path, "127.0.0.1 localhost\n")
  end)
  after_each(publishing.finish)

  local function publish(flags, in_place)
    return store:publish_outputs({ { path = path, mode = "block", in_place = in_place } }, flags)[1]
  end

  local function remove_markers()
    local text = read(path):gsub("# %u+ hoststore hosts\n", "")
    write(path, text)
    return text
  end

  for _, in_place in ipairs { false, true } do
    it("is not appended again" .. (in_place and ", in place" or ""), function()
      assert.is_true(publish(nil, in_place).written)
      local text = remove_markers()
      local result = publish(nil, in_place)
      assert.same({ "conflict", "unmarked" }, { result.error.code, result.drift[1].kind })
      assert.same({ "-# BEGIN hoststore hosts", "-# END hoststore hosts" }, result.drift[1].lines)
      assert.matches("marker lines of the block that was published are gone", result.error.message)
      assert.equal("conflict", publish({ adopt = true }, in_place).error.code)
      assert.same({ text, 1 }, { read(path), store:count() })
      assert.is_true(publish({ force = true }, in_place).written)
      assert.is_false(publish(nil, in_place).changed)
    end)
  end

  it("is one again when they are put back", function()
    publish()
    local before = read(path)
    remove_markers()
    assert.equal("conflict", publish().error.code)
    write(path, before)
    assert.is_false(publish().changed)
  end)

  it("is made anew when the whole file is gone", function()
    publish()
    assert(os.remove(path))
    assert.is_true(publish().written)
  end)

  it("is nothing to complain of before the first one is there, whatever step the process was killed at", function()
    local finished, steps = false, 0
    while not finished do
      steps = steps + 1
      path = ("%s/hosts%d"):format(directory, steps)
      write(path, "127.0.0.1 localhost\n")
      finished = system.run(publishing.process({ path = path, mode = "block" }, steps)):find "written"
      local result = publish()
      assert.is_nil(result.error)
      assert.equal("127.0.0.1 localhost\n# BEGIN hoststore hosts\n10.0.0.1\tnas.lan\n# END hoststore hosts\n",
        read(path))
      remove_markers()
      assert.equal("unmarked", publish().drift[1].kind)
    end
    assert.is_true(steps > 6)
  end)
end)
