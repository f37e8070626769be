-- What PostgreSQL says differently.

-- name: schema_version
SELECT COALESCE(MAX(version), 0)
FROM schema_migrations;

-- name: database_check
-- The server looks after its files; what a careless admin can leave behind is found here.
SELECT format('the index %s is not valid', indexrelid::regclass)
FROM pg_index
WHERE NOT indisvalid AND indrelid IN ('events'::regclass, 'hosts'::regclass, 'host_aliases'::regclass,
	'host_tags'::regclass, 'snapshots'::regclass, 'stream_states'::regclass, 'feeds'::regclass)
UNION ALL
SELECT 'events can be changed: the trigger events_refuse_change is missing or disabled'
WHERE NOT EXISTS (SELECT 1 FROM pg_trigger
	WHERE tgrelid = 'events'::regclass AND tgname = 'events_refuse_change' AND tgenabled IN ('O', 'A'));

-- name: invalid_bodies
SELECT position, stream
FROM events
WHERE tenant = $1 AND (NOT is_json(COALESCE(metadata, 'null'))
	OR (NOT is_json(data) AND NOT (stream >= 'host-' AND stream < 'host.')))
ORDER BY position;

-- name: host_create
WITH event AS (
	INSERT INTO events (tenant, position, stream, version, partition, id, type, data, metadata,
		actor, reason, occurred_at, recorded_at)
	SELECT $1, COALESCE((SELECT position FROM events WHERE tenant = $1 ORDER BY position DESC LIMIT 1), 0) + 1,
		$2, 1, $4, $5, $6, $7, $8, $9, $10, $11, $12
	WHERE NOT EXISTS (SELECT 1 FROM events WHERE tenant = $1 AND id = $5)
		AND NOT EXISTS (SELECT 1 FROM hosts WHERE tenant = $1 AND ip_key = $13 AND hostname = $15)
	RETURNING tenant, version, position, recorded_at
), host AS (
	INSERT INTO hosts (tenant, id, version, position, ip_key, ip, hostname, aliases, comment,
		tags, enabled, expires_at, origin, created_at, updated_at)
	SELECT tenant, $3, version, position, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, recorded_at
	FROM event
)
SELECT version, position
FROM event;
