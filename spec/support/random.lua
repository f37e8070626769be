--- Numbers that are the same for the same seed on every version of Lua: random(n) is one of 1 … n.

---@param seed integer
---@return fun(n: integer): integer
return function(seed)
  local state = (seed * 7919 + 104729) % 2147483646 + 1
  local function random(n)
    state = state * 16807 % 2147483647
    return math.floor(state / 8) % n + 1
  end
  for _ = 1, 5 do random(1) end
  return random
end
