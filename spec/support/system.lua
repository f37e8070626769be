--- Temporary directories and other processes, for specs.
local lfs = require "lfs"
local neutral = require "hoststore.neutral"
local sys = require("hoststore.core").sys

local system = {}

--- An argument as one word of the shell.
function system.quote(text)
  return "'" .. text:gsub("'", "'\\''") .. "'"
end

--- As io.popen. What is preloaded into this process, a sanitiser, is kept from all but Lua's children.
function system.popen(command, mode)
  return assert(io.popen("unset LD_PRELOAD; " .. command, mode or "r"))
end

--- Runs a shell command. Returns what it wrote, stderr too, and its exit status.
function system.run(command)
  local pipe = system.popen("exec 2>&1; (" .. command .. "); status=$?; echo; echo $status")
  local output = pipe:read("*a")
  pipe:close()
  local text, status = output:match("^(.*)\n(%d+)\n$")
  return text, tonumber(status)
end

--- Runs a shell command in a directory, which has to succeed. Returns what it wrote.
function system.shell(directory, command)
  local output, status = system.run("cd " .. system.quote(directory) .. " && " .. command)
  assert(status == 0, output)
  return output
end

--- Another user, by number: whoever is root can give away files to it.
system.NOBODY = "65534"

--- A shell command as the words core.sys.spawn takes; without what is preloaded, as popen.
function system.words(command)
  return { "env", "-u", "LD_PRELOAD", "sh", "-c", command }
end

--- Waits until a condition holds; says what was waited for when it does not within half a minute.
function system.wait(what, condition)
  local deadline = sys.monotonic() + 30
  while not condition() do
    assert(sys.monotonic() < deadline, "waited in vain until " .. what)
    sys.sleep(0.005)
  end
end

--- A fresh empty directory; remove it again.
function system.directory()
  local path, status = system.run("mktemp -d")
  assert(status == 0, path)
  return (path:gsub("\n$", ""))
end

function system.remove(path)
  local output, status = system.run("rm -rf " .. system.quote(path))
  assert(status == 0, output)
end

--- The files below a directory, as sorted relative paths.
function system.files(directory)
  local found = {}
  local function visit(prefix)
    for name in lfs.dir(directory .. "/" .. prefix) do
      local path = prefix .. name
      if name ~= "." and name ~= ".." then
        if lfs.symlinkattributes(directory .. "/" .. path, "mode") == "directory" then
          visit(path .. "/")
        else
          found[#found + 1] = path
        end
      end
    end
  end
  visit("")
  table.sort(found, neutral.is_before)
  return found
end

function system.read(path)
  local file = assert(io.open(path, "rb"))
  local text = file:read("*a")
  file:close()
  return text
end

function system.write(path, text)
  local file = assert(io.open(path, "wb"))
  file:write(text)
  assert(file:close())
end

-- The interpreter running this: the word before the script's name on its command line.
local function interpreter()
  local first = 0
  while arg and arg[first - 1] do
    first = first - 1
  end
  return first < 0 and arg[first] or os.getenv("LUA") or "lua"
end

--- The shell command that runs a Lua file with this interpreter, its search paths, and these libraries preloaded.
function system.lua_with(preload, script, ...)
  local words = { preload and "env LD_PRELOAD=" .. system.quote(preload) or "env", system.quote(interpreter()) }
  local paths = ("package.path, package.cpath = %q, %q"):format(package.path, package.cpath)
  for _, word in ipairs { "-e", paths, script, ... } do
    words[#words + 1] = system.quote(tostring(word))
  end
  return table.concat(words, " ")
end

--- The same with what is preloaded here.
function system.lua(script, ...)
  return system.lua_with(os.getenv "LD_PRELOAD", script, ...)
end

--- The command, as system.lua gives it, with one more library preloaded. A sanitiser must stay the first.
---@param library string
---@param settings string  NAME=VALUE words for its environment
---@param command string
function system.preload(library, settings, command)
  local first, rest = command:match "^env LD_PRELOAD='([^']*)' (.*)$"
  return ("env LD_PRELOAD=%s %s %s"):format(system.quote((first and first .. ":" or "") .. library), settings,
    rest or command)
end

--- Runs SQL in the sqlite3 shell. Returns what it printed and the exit status.
function system.sqlite(path, sql)
  return system.run("sqlite3 -batch " .. system.quote(path) .. " " .. system.quote(sql))
end

--- A command that gives what follows it a mount table of its own, nil where nobody may have one.
function system.namespace()
  for _, command in ipairs { "unshare -m ", "unshare -rm " } do
    if select(2, system.run(command .. "mount -t tmpfs none /mnt")) == 0 then
      return command
    end
  end
end

--- As namespace(), for a network of its own, in which the loopback interface is up; and a function that
--- gives the command that joins the one of a process.
function system.network()
  for _, options in ipairs { { "-n ", "-n -t " }, { "-rn ", "--preserve-credentials -U -n -t " } } do
    local enter, join = "unshare " .. options[1], "nsenter " .. options[2]
    if select(2, system.run(enter .. "ip link set lo up")) == 0 then
      return enter .. "sh -c 'ip link set lo up && exec \"$@\"' - ", function(pid) return join .. pid .. " " end
    end
  end
end

return system
