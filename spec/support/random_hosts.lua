--- Hosts that try to break every format they pass through: the same ones for the same seed.
local random_hosts = {}

local PIECES = {
  "#", "# ", " #", "[", "]", "[a]", " [b, c]", "[]", "\\", "\\040", "\\134", "\\n", "\\\\", "\"", "\"\"", "'", ",",
  ", ", ";", "\\;",
  "=1+1", "$(reboot)", "`id`", "%s", "%", "{", "}", "null", "true", " ", "  ", "a", "b", "lan", "10.0.0.66 evil",
  "ä", "☃", "𝄞",
  "\194\160", "\226\128\168", "\226\128\174", "\239\187\191", "\239\191\189", "x", "0", "-", "/", "<b>", "&amp;", ":",
  "|", "*", "?", "~",
}
local CONTROLS = { "\n", "\r", "\r\n", "\t", "\1", "\27[2J", "\127", "\194\133", "\11", "\12", "\n10.0.0.66 evil\n",
  "\r#" }
local NAME_PIECES = { "a", "b", "nas", "-", "_", "0", "9", ".", "lan", "x", "ab" }
local LENIENT_PIECES = {
  "ä", "☃", "\194\160", "\\", "\\040", "[", "]", "[a]", ",", ";", "\"", "'", "*", "$(reboot)", ":", "%", "a", "=",
  "\226\128\168",
}

-- Numbers that are the same on every version of Lua.
local function generator(seed)
  local state = seed
  return function(n)
    state = (state * 16807) % 2147483647
    return state % n + 1
  end
end

local function join(random, pieces, most)
  local parts = {}
  for i = 1, random(most) do
    parts[i] = pieces[random(#pieces)]
  end
  return table.concat(parts)
end

local function name(random, lenient)
  return "n" .. join(random, NAME_PIECES, 4):gsub("%.+", "."):gsub("%-%.", "."):gsub("%.%-", ".") ..
    (lenient and join(random, LENIENT_PIECES, 3) or "") .. "n"
end

local function strict(text)
  return (text:gsub("%.%-+", "."):gsub("%-+%.", "."):gsub("%.+", "."))
end

local function tag(random)
  return (join(random, PIECES, 3):gsub(",", ";"))
end

local function address(random, i)
  if random(2) == 1 then
    return ("10.%d.%d.%d"):format(random(250), math.floor(i / 250), i % 250)
  end
  return ("2001:db8:%x::%x"):format(random(65535), i + 1)
end

--- A list of count hosts as store:add takes them. With controls, comments have control characters;
--- with lenient, names are what names = "lenient" allows.
function random_hosts.make(seed, count, options)
  local random = generator(seed)
  local hosts = {}
  for i = 1, count do
    local host = { ip = address(random, i), hostname = strict(name(random, options.lenient)), aliases = {}, tags = {} }
    local used = { [host.hostname] = true }
    for _ = 1, random(4) - 1 do
      local alias = strict(name(random, options.lenient))
      if not used[alias] then
        used[alias] = true
        host.aliases[#host.aliases + 1] = alias
      end
    end
    for k = 1, random(4) - 1 do
      host.tags[k] = tag(random)
    end
    if random(4) > 1 then
      host.comment = join(random, PIECES, 6)
      if options.controls then
        host.comment = host.comment .. join(random, CONTROLS, 3) .. join(random, PIECES, 3)
      end
    end
    if options.states then
      host.enabled = random(2) == 1
      host.expires_at = random(2) == 1 and random(2000000000) + random(999999) / 1000000 or nil
      host.origin = ({ "admin", "dhcp", "import:a b" })[random(3)]
    end
    hosts[i] = host
  end
  return hosts
end

return random_hosts
