-- copy, dump, load.

local present = require "hoststore.cli.present"

local copies = {}

local COUNTED = { "events", "snapshots", "states", "feeds" }

local function progress(out)
  return function(records)
    out:progress(("%d records"):format(records))
  end
end

local function answer(out, done, result)
  out:clear_progress()
  return out:answer(("%s: %s, digest %s"):format(done, present.counters(result, COUNTED), result.digest), function()
    return ('{%s,"digest":%s}'):format(present.members(result, COUNTED), present.json(result.digest))
  end)
end

-- A tenant nobody has written to is in all likelihood a slip of the pen, and its copy a bad surprise.
local function check_tenant(store)
  local core = require "hoststore.core"
  local position, err = core.position(store)
  if not position then
    return nil, err
  end
  if position == 0 then
    return nil, { code = "not_found", message = ("the database has no events of the tenant '%s'; name another with "
      .. "--tenant"):format(assert(store:stats()).tenant) }
  end
  return true
end

local function fail(out, err)
  out:clear_progress()
  return nil, err
end

function copies.copy(store, options, out)
  if options.db then
    return nil, { code = "usage", message = "copy names its databases itself; leave --db out" }
  end
  local known, target, err
  known, err = check_tenant(store)
  if not known then
    return nil, err
  end
  -- What the URL of the target says of its tenant counts more than --tenant, which is about the source.
  local url = require("hoststore.url").parse(options.to)
  target, err = require("hoststore").open(options.to, {
    tenant = options.to_tenant or not (url and url.options.tenant) and options.tenant or nil,
    readonly = options.readonly,
  })
  if not target then
    return nil, err
  end
  local ok, result, failure = pcall(store.copy_to, store, target, { progress = progress(out) })
  target:close()
  if not ok then
    error(result, 0)
  elseif not result then
    return fail(out, failure)
  end
  return answer(out, "copied", result)
end

function copies.dump(store, options, out)
  local known, missing = check_tenant(store)
  if not known then
    return nil, missing
  end
  local path = options.file ~= "-" and options.file
  -- Through the writer that knows a reader who went away from a full disk.
  local target = path or {
    write = function(_, text)
      out:write(text)
      return true
    end,
  }
  local result, err = store:dump(target, { progress = path and progress(out) or nil })
  if not result then
    return fail(out, err)
  end
  return path and answer(out, "dumped to " .. path, result) or 0
end

function copies.load(store, options, out)
  local source = options.file ~= "-" and options.file or out.stdin
  local result, err = store:load(source, { progress = progress(out) })
  if not result then
    return fail(out, err)
  end
  return answer(out, "loaded", result)
end

return copies
