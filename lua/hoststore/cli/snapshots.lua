-- snapshot create, list, show, rm; restore, retention.

local present = require "hoststore.cli.present"

local snapshots = {}

function snapshots.snapshot_create(store, options, out)
  local snapshot, err = store:snapshot { name = options.name, trigger = options.trigger }
  if not snapshot then
    return nil, err
  end
  return out:answer(("snapshot %s; hosts: %d"):format(snapshot.id, snapshot.entry_count), function()
    return present.snapshot_json(snapshot)
  end)
end

function snapshots.snapshot_list(store, options, out)
  local found, err = store:snapshots { limit = options.limit, offset = options.offset }
  if not found then
    return nil, err
  end
  return out:array(found, {
    columns = { "ID", "CREATED", "TRIGGER", "POSITION", "HOSTS", "NAME" },
    cells = function(snapshot)
      return {
        snapshot.id, present.time(snapshot.created_at), snapshot.trigger, ("%d"):format(snapshot.position),
        ("%d"):format(snapshot.entry_count), snapshot.name or "",
      }
    end,
    json = present.snapshot_json,
  })
end

function snapshots.snapshot_show(store, options, out)
  local snapshot, err = store:get_snapshot(options.id)
  if not snapshot then
    return nil, err
  elseif options.content then
    out:write(snapshot.hosts_content)
  elseif out.json then
    out:value(present.snapshot_json(snapshot))
  else
    out:details {
      { "id", snapshot.id },
      { "name", snapshot.name },
      { "created", present.time(snapshot.created_at) },
      { "trigger", snapshot.trigger },
      { "position", snapshot.position },
      { "hosts", snapshot.entry_count },
    }
  end
  return 0
end

function snapshots.snapshot_rm(store, options, out)
  local ok, err = store:delete_snapshot(options.id)
  if not ok then
    return nil, err
  end
  return out:answer("deleted snapshot " .. options.id, function()
    return present.object("deleted", present.json(options.id))
  end)
end

local COUNTERS = { "added", "updated", "deleted", "unchanged" }

function snapshots.restore(store, options, out)
  local result, err = store:restore(options.id, { dry_run = options.dry_run, reason = options.reason })
  if not result then
    return nil, err
  end
  local done = (options.dry_run and "would be: " or "") .. present.counters(result, COUNTERS)
  return out:answer(done .. (result.backup and "; what was before is snapshot " .. result.backup or ""), function()
    return ('{%s,"backup":%s}'):format(present.members(result, COUNTERS), present.json(result.backup))
  end)
end

local function policy_retention(store, options, out)
  if options.max_count or options.max_age then
    return nil, { code = "usage", message = "--policy takes its limits from the policies: give no other" }
  end
  local result, err = store:apply_policy_retention { dry_run = options.dry_run, force = options.force }
  if not result then
    return nil, err
  end
  return out:answer((options.dry_run and "would be deleted: " or "deleted: ") ..
    ("snapshots: %d, hosts: %d"):format(result.snapshots, result.hosts), function()
    return present.object("snapshots", present.json(result.snapshots), "hosts", present.json(result.hosts))
  end)
end

function snapshots.retention(store, options, out)
  if options.policy then
    return policy_retention(store, options, out)
  elseif options.dry_run then
    return nil, { code = "usage", message = "--dry-run goes with --policy" }
  end
  local deleted, err = store:apply_retention { max_count = options.max_count, max_age = options.max_age,
    force = options.force }
  if not deleted then
    return nil, err
  end
  return out:answer(("snapshots deleted: %d"):format(deleted), function()
    return present.object("deleted", present.json(deleted))
  end)
end

return snapshots
