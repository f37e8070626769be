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
