--- Work on a store after which it holds as many hosts as before, for whoever looks at what it leaves in memory.

local KEPT, PASSING = 100, 100

local function host(i, comment)
  return {
    ip = ("10.1.%d.%d"):format(math.floor(i / 256), i % 256), hostname = ("churn-%d.lan"):format(i),
    aliases = { "c" .. i }, tags = { "churn", "t" .. i % 5 }, comment = comment,
  }
end

--- Returns a function that does the operation of a number, from 1: it adds, changes, deletes, finds, lists, appends
--- and reads, is refused, and rolls back.
---@param store hoststore.Store
---@return fun(i: integer)
return function(store)
  local ids, passing = {}, {}
  for i = 1, KEPT do
    ids[i] = assert(store:add(host(i))).id
  end

  local steps = {
    function(i)
      local n = math.floor(i / 10) % PASSING + 1
      if passing[n] then
        assert(store:delete(passing[n], { reason = "it has passed" }))
        passing[n] = nil
      else
        passing[n] = assert(store:add(host(KEPT + n, "passing by"))).id
      end
    end,
    function(i) assert(store:update(ids[i % KEPT + 1], { comment = "seen " .. i, tags = { "t" .. i % 7 } })) end,
    function(i) assert(store:find(host(i % KEPT + 1).ip, host(i % KEPT + 1).hostname)) end,
    function(i) assert(store:stream("churn-" .. i % 5):append { type = "Seen", data = { number = i } }) end,
    function(i) assert(store:stream("churn-" .. i % 5):read { limit = 5, direction = "backward" }) end,
    function(i) assert(store:lookup("c" .. i % KEPT + 1)[1]) end,
    function(i) assert(store:list { tags = { "t" .. i % 7 }, limit = 5 }) end,
    function(i) assert(store:history(ids[i % KEPT + 1], { limit = 3 })) end,
    function(i)
      local _, err = store:add(host(i % KEPT + 1))
      assert(err.code == "duplicate", err.message)
    end,
    function(i)
      local done, err = store:transaction(function()
        assert(store:update(ids[i % KEPT + 1], { enabled = false }))
        return nil, "not this time"
      end)
      assert(not done and err == "not this time")
    end,
  }

  return function(i) steps[i % #steps + 1](i) end
end
