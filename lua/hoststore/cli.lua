-- The command line: reads arguments, opens the store, carries out a command, says how it went.
-- All it does a script can do through the module.

local unpack = table.unpack or unpack

local cli = {}

local DEFAULT_DB = "/etc/hoststore/hoststore.db"

-- Where each command lives (hoststore.cli.WHERE), as a function of its name.
local COMMANDS = {
  add = "hosts", list = "hosts", show = "hosts", set = "hosts", rm = "hosts",
  history = "history", log = "history", at = "history", diff = "history", undo = "history",
  import = "files", export = "files", plan = "files", publish = "publish", backup = "files",
  render = "render",
  snapshot_create = "snapshots", snapshot_list = "snapshots", snapshot_show = "snapshots",
  snapshot_rm = "snapshots", restore = "snapshots", retention = "snapshots",
  stream_append = "streams", stream_read = "streams", stream_version = "streams",
  stream_list = "streams", stream_verify = "streams",
  feed_list = "feeds", feed_read = "feeds", feed_ack = "feeds", feed_rm = "feeds", follow = "feeds",
  copy = "copies", dump = "copies", load = "copies",
  policy_check = "policy", policy_test = "policy", policy_explain = "policy", policy_apply = "policy",
  sql = "sql",
  verify = "upkeep", stats = "upkeep", check = "upkeep",
}

local WRITING = {
  policy_apply = true,
  add = true, set = true, rm = true, undo = true, import = true, restore = true, retention = true,
  snapshot_create = true, snapshot_rm = true, stream_append = true,
  feed_read = true, feed_ack = true, feed_rm = true, load = true,
}

-- What works without a database, and is given its URL instead.
local STORELESS = { policy_check = true, policy_test = true }

local EXIT_CODES = {
  usage = 2, ambiguous = 2,
  not_found = 3,
  conflict = 4, duplicate = 4, partial_replay = 4, id_reuse = 4,
  busy = 5,
}

local function report(out, err)
  if out.json then
    out:failure(require("hoststore.cli.present").error_json(err))
  else
    -- A message about a script names file and line itself.
    local is_named = err.line and err.message:find((":%d: "):format(err.line), 1, true)
    out:message(err.line and not is_named and ("line %d: %s"):format(err.line, err.message) or err.message)
    for _, host in ipairs(err.candidates or {}) do
      out:message(("%s is %s %s"):format(host.id, host.ip, host.hostname))
    end
    if err.hint then
      out:message("see " .. err.hint)
    end
  end
  return EXIT_CODES[err.code] or 1
end

local function environment(...)
  for _, name in ipairs { ... } do
    local value = os.getenv(name)
    if value and value ~= "" then
      return value
    end
  end
end

local function database(options)
  return options.db or environment "HOSTSTORE_DB" or DEFAULT_DB
end

local function open(command, options)
  return require("hoststore").open(options.source or database(options), {
    tenant = options.tenant,
    actor = options.actor or environment("HOSTSTORE_ACTOR", "SUDO_USER", "USER", "LOGNAME")
      or require("hoststore.core").sys.user(),
    readonly = options.readonly or not (WRITING[command] or options.feed or options.adopt),
  })
end

local function carry_out(options, out)
  local command = options.subcommand and options.command .. "_" .. options.subcommand or options.command
  local run = require("hoststore.cli." .. COMMANDS[command])[command]
  if STORELESS[command] then
    return run(database(options), options, out)
  end
  local store, err = open(command, options)
  if not store then
    return nil, err
  end
  local ok, result, failure = pcall(run, store, options, out)
  store:close()
  if not ok then
    error(result, 0)
  end
  return result, failure
end

local function print_version(out)
  local version = require("hoststore")._VERSION:match "%S+$"
  return out:answer(version, function()
    return ('{"version":"%s"}'):format(version)
  end)
end

local function run(argv, out)
  local options, stopped = require("hoststore.cli.arguments").parse(argv)
  if not options then
    if stopped.version then
      return print_version(out)
    elseif stopped.answer then
      out:write(stopped.answer .. "\n")
      return 0
    end
    stopped.code = "usage"
    return nil, stopped
  end
  out.ndjson = options.ndjson or false
  if options.command == "version" then
    return print_version(out)
  elseif options.command == "hotplug" then
    return require("hoststore.cli.hotplug").run(options, out)
  end
  return carry_out(options, out)
end

-- What was raised as an error to report: an iterator's failure, stdout that takes no more, Ctrl-C
-- or a mistake of ours. Nothing is reported to who closed our stdout, as `| head` does.
local function explain(raised)
  local Output = require "hoststore.cli.output"
  local reason, number = Output.write_failure(raised)
  if reason then
    return number ~= Output.EPIPE
      and require("hoststore.file").failure("cannot write the answer: " .. reason, number) or nil
  elseif type(raised) == "table" and raised.message then
    return raised
  end
  local first_line = tostring(raised):match "^[^\n]*"
  if first_line:find "interrupted!$" then -- what the lua command makes of Ctrl-C
    return { code = "interrupted", message = "interrupted" }
  end
  return { code = "internal", message = "internal error: " .. first_line }
end

-- Known before the arguments are read: they may be wrong, and that is said in JSON too.
local function wants_json(argv)
  for _, word in ipairs(argv) do
    if word == "--json" or word == "--ndjson" then
      return true
    end
  end
  return false
end

-- An event of the system, which has to be taken in a moment: hundreds may come at once. Nil when the
-- command line is another one, or has options.
local function take_event(argv)
  local first = argv[2] == "--" and 3 or 2
  if argv[1] ~= "hotplug" or first == 2 and argv[2] and argv[2]:find "^%-" then
    return nil
  end
  local done, message, misused = require("hoststore.hotplug").event { unpack(argv, first) }
  if not done then
    io.stderr:write("hoststore: ", message, "\n")
    return misused and EXIT_CODES.usage or 1
  end
  return 0
end

--- Runs one command line.
---@param argv string[]
---@param files? {stdout: table?, stderr: table?, stdin: table?, terminal: boolean?}  in place of the process's own
---@return integer exit_code
function cli.run(argv, files)
  local taken = take_event(argv)
  if taken then
    return taken
  end
  local Output = require "hoststore.cli.output"
  local out = Output.new(files or {}, wants_json(argv))
  local ok, code, err = pcall(function()
    local code, err = run(argv, out)
    out:flush()
    return code, err
  end)
  if not ok then
    code, err = nil, explain(code)
  end
  if code then
    return code
  end
  return err and report(out, err) or 1
end

return cli
