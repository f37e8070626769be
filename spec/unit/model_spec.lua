local backends = require "spec.support.backends"
local Model = require "spec.model.model"
local run = require "spec.model.run"
local stores = require "spec.model.stores"

-- Random sequences of commands, the same ones in each run; `make model` runs any number of others.
local FIRST_SEED, COMMANDS = 1, 2000

describe("the model of hoststore", function()
  after_each(backends[1].finish)

  it("and the databases answer every command alike", function()
    local subjects, counts, seed = stores.open(), { commands = 0 }, FIRST_SEED
    while counts.commands < COMMANDS do
      local sequence = run.sequence(seed, counts)
      if run.check(sequence, subjects) then
        error(("seed %d: %s"):format(seed, run.report(run.shrink(sequence, subjects))), 0)
      end
      seed = seed + 1
    end
    -- Sequences that fail all alike would prove nothing.
    for _, reached in ipairs { "add", "add duplicate", "add id_reuse", "add invalid", "append conflict",
      "append id_reuse", "append partial_replay", "append replayed", "append_batch conflict", "delete",
      "update", "update conflict", "update duplicate", "update invalid", "update not_found", "undo",
      "undo conflict", "undo invalid", "restore", "import", "import conflict", "import duplicate",
      "import invalid", "transaction fail", "transaction raised", "at", "diff", "list" } do
      assert.is_truthy(counts[reached], "no command came to this: " .. reached)
    end
  end)
end)

describe("the model test", function()
  after_each(backends[1].finish)

  -- A model with a fault of its own.
  local function wrong(changes)
    return setmetatable(changes, { __index = Model })
  end

  -- The shrunk commands of the first seed that shows the fault.
  local function find(class)
    local subjects = stores.open "sqlite"
    for seed = 1, 50 do
      local sequence = run.sequence(seed, nil, class)
      if run.check(sequence, subjects, class) then
        local list, difference = run.shrink(sequence, subjects, class)
        return list, difference, subjects
      end
    end
    error "no seed shows the fault"
  end

  it("finds a comment that is not cleared, and shrinks the commands to a handful", function()
    local list, difference = find(wrong {
      with = function(host, given)
        local changed = Model.with(host, given)
        changed.comment = changed.comment or host.comment
        return changed
      end,
    })
    assert.is_true(#list <= 3, run.print(list))
    assert.matches("outcome", difference.text)
    assert.matches("sqlite", difference.text)
  end)

  it("finds a rollback that leaves something behind", function()
    local list = find(wrong {
      run = function(self, command)
        local outcome = Model.run(self, command)
        if command[1] == "transaction" and outcome.raised then self.versions["order-1"] = 7 end
        return outcome
      end,
    })
    assert.is_true(#list <= 3, run.print(list))
  end)

  it("finds a wrong value deep in an answer", function()
    local list, difference = find(wrong {
      run = function(self, command)
        local outcome = Model.run(self, command)
        if command[1] == "history" and outcome.value then outcome.value[1][1].changes.hostname.new = "x" end
        return outcome
      end,
    })
    assert.is_true(#list <= 2, run.print(list))
    assert.matches("outcome%.value%.1%.1%.changes%.hostname%.new", difference.text)
  end)

  it("prints commands that can be run again and show the same", function()
    local class = wrong { actor = "somebody" }
    local list, difference, subjects = find(class)
    local printed = run.report(list, difference)
    local again = assert((rawget(_G, "loadstring") or load)(printed:match "return {.*"))()
    assert.same(list, again)
    assert.equal(difference.text, run.check(again, subjects, class).text)
    assert.is_nil(run.check(again, subjects))
  end)

  it("gives the same commands for the same seed", function()
    assert.same(run.sequence(3), run.sequence(3))
    assert.not_same(run.sequence(3), run.sequence(4))
  end)
end)
