-- What SQLite says differently.

-- name: schema_version
PRAGMA user_version;

-- name: database_check
SELECT integrity_check
FROM pragma_integrity_check
WHERE integrity_check <> 'ok';

-- name: invalid_bodies
SELECT position, stream
FROM events
WHERE tenant = $1 AND (NOT json_valid(COALESCE(metadata, 'null'))
	OR (NOT json_valid(data) AND NOT (stream >= 'host-' AND stream < 'host.')))
ORDER BY position;

-- name: event_insert_next
-- A SELECT out of the table itself would be copied first, and RETURNING makes a table of its own: each costs as much
-- as a third of the row. Where the event $3 is not there, the position is NULL, and the row is passed over. A key that
-- is taken is an error all the same: the trigger events_refuse_replace knows no IGNORE.
INSERT OR IGNORE INTO events (tenant, position, stream, version, partition, id, type, data, metadata,
	actor, reason, occurred_at, recorded_at)
VALUES ($1, (SELECT position + 1 FROM events WHERE tenant = $1 AND id = $3), $2,
	(SELECT version + 1 FROM events WHERE tenant = $1 AND id = $3), $4, $5, $6, $7, $8, $9, $10, $11, $12);
SELECT version, position
FROM events
WHERE tenant = $1 AND id = $5 AND changes() > 0;

-- name: host_create
INSERT INTO events (tenant, position, stream, version, partition, id, type, data, metadata,
	actor, reason, occurred_at, recorded_at)
SELECT $1, COALESCE((SELECT position FROM events WHERE tenant = $1 ORDER BY position DESC LIMIT 1), 0) + 1,
	$2, 1, $4, $5, $6, $7, $8, $9, $10, $11, $12
WHERE NOT EXISTS (SELECT 1 FROM events WHERE tenant = $1 AND id = $5)
	AND NOT EXISTS (SELECT 1 FROM hosts WHERE tenant = $1 AND ip_key = $13 AND hostname = $15)
RETURNING version, position;
INSERT INTO hosts (tenant, id, version, position, ip_key, ip, hostname, aliases, comment,
	tags, enabled, expires_at, origin, created_at, updated_at)
SELECT tenant, $3, version, position, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, recorded_at
FROM events
WHERE tenant = $1 AND id = $5 AND stream = $2;

-- name: hosts_at
-- Beside MAX the other columns are of the row that has it. The streams are read in order, without sorting.
SELECT position, stream, MAX(version), id, type, data, metadata, actor, reason, occurred_at, recorded_at
FROM events
WHERE tenant = $1 AND stream >= 'host-' AND stream < 'host.' AND +position <= $2 AND recorded_at <= $3
GROUP BY stream
ORDER BY stream;

-- name: host_update
-- In two: a column that is set is written to its indexes though it stays as it was.
UPDATE hosts
SET version = event.version, position = event.position, aliases = $7, comment = $8, tags = $9, enabled = $10,
	expires_at = $11, origin = $12, created_at = $13, updated_at = event.recorded_at
FROM events AS event
WHERE hosts.tenant = $1 AND hosts.id = $2 AND event.tenant = $1 AND event.id = $3
	AND event.stream = 'host-' || hosts.id;
UPDATE hosts
SET ip_key = $4, ip = $5, hostname = $6
WHERE tenant = $1 AND id = $2 AND (ip_key <> $4 OR hostname <> $6)
	AND EXISTS (SELECT 1 FROM events WHERE tenant = $1 AND id = $3 AND stream = 'host-' || hosts.id);
