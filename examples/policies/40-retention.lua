-- What is kept: hoststore retention --policy, from cron. Snapshots are made there, too, or by hand.

-- The newest of each of the last seven days, four weeks, twelve months and three years that have one.
retention {
  name = "grandfather, father, son",
  trigger = "manual",
  gfs = { daily = 7, weekly = 4, monthly = 12, yearly = 3 },
  keep = function(snapshot) return snapshot.name ~= nil and snapshot.name:find "^keep " ~= nil end,
}

-- A restore makes a snapshot of what was before it.
retention { name = "before restores", trigger = "restore", count = 5, age = "90d" }

-- A lease that has been over for a week is a host no longer. Its history stays.
retention { name = "leases that are over", filter = { origin = "dhcp" }, expired_hosts = { after = "7d" } }
