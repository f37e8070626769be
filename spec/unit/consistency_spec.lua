local checker = require "spec.support.checker"
local planted = require "spec.support.planted"

-- What was found: the names, each once, and the kinds of the edges of a circle.
local function judge(story)
  local names, kinds = {}, nil
  for _, finding in ipairs(checker.check(planted.parse(story))) do
    names[finding.name] = finding.message
    if finding.name == "circle" then kinds = finding.message:match "^circle: ([a-z ]+):" end
  end
  return names, kinds
end

describe("the checker of histories", function()
  for _, story in ipairs(planted.sound) do
    it("finds nothing wrong when " .. story.what, function()
      assert.same({}, (judge(story)))
    end)
  end

  for _, story in ipairs(planted.bugs) do
    it("calls it a " .. story.bug .. " when " .. story.what, function()
      local names, kinds = judge(story)
      assert.is_string(names[story.bug])
      assert.equal(story.kinds or kinds, kinds)
    end)
  end

  it("says which process it was, and when", function()
    local names = judge { log = "a1", "7 0-1 ok +a1", "8 2-3 ok a=" }
    assert.equal("stale read: process 8 at 2.000000 did not see a1, which was there since 1.000000",
      names["stale read"])
  end)
end)
