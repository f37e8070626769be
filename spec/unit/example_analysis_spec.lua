local backends = require "spec.support.backends"
local hoststore = require "hoststore"
local system = require "spec.support.system"

local questions = dofile "examples/analysis/questions.lua"

describe("examples/analysis", function()
  local made
  before_each(function()
    made = backends[1].make()
    local text, status = system.run(system.lua("examples/analysis/generate.lua", made, 30, 40, 0.5, 7))
    assert.same({ "1093 events of 30 hosts in 40 days\n", 0 }, { text, status })
  end)
  after_each(backends[1].finish)

  local function answers(store)
    local all = {}
    for i, question in ipairs(questions.list) do
      all[i] = assert(questions.ask(store, question))
      assert.is_true(#all[i] > 0, question.name)
    end
    return all
  end

  it("asks the same of every database, and gets the same answers", function()
    local source = assert(hoststore.open(made))
    local wanted = answers(source)
    assert.is_true(source:verify().ok)
    for i = 2, #backends do
      local store = backends[i].open()
      assert(source:copy_to(store))
      assert.same(wanted, answers(store), backends[i].name)
    end
    source:close()
  end)

  it("answers what was made: the leases that flap, who changed most, what lived longest", function()
    local source = assert(hoststore.open(made))
    local all = answers(source)
    assert.matches("^guest%-", all[2][1].hostname)
    assert.equal("dhcp", all[3][1].actor)
    assert.matches("^[sp]%l+er%-", all[4][1].hostname)
    local changes = 0
    for _, row in ipairs(all[1]) do changes = changes + (row.tag == "lease" and row.changes or 0) end
    assert.is_true(changes > 500)
    source:close()
  end)

  it("draws a chart with a line for each tag, and prints the rest", function()
    local path = backends[1].directory() .. "/chart.svg"
    local text, status = system.run(system.lua("examples/analysis/analysis.lua", made, path))
    assert.equal(0, status, text)
    assert.matches("Who changed most\nactor\tevents\thosts\tfirst\tlast\n" ..
      "dhcp\t%d+\t%d+\t2025%-01%-%d+\t2025%-02%-%d+\n", text)
    local svg = system.read(path)
    assert.matches("^<svg xmlns=.*</svg>\n$", svg)
    assert.is_true(select(2, svg:gsub("<polyline ", "")) >= 6)
    assert.is_nil(svg:find("nan", 1, true))
  end)
end)
