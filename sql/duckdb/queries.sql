-- What DuckDB says differently. Events are written to the table behind the view `events`. There are no
-- savepoints: the driver does without these statements.

-- name: schema_version
SELECT COALESCE(MAX(version), 0)
FROM schema_migrations;

-- name: database_check
-- DuckDB finds damaged blocks when they are read, which verify does. What a careless admin can leave
-- behind is found here.
SELECT 'events can be changed: it is no view any more'
WHERE NOT EXISTS (SELECT 1 FROM duckdb_views() WHERE view_name = 'events' AND schema_name = 'main');

-- name: log_position
SELECT COALESCE(MAX(position), 0)
FROM event_log
WHERE tenant = $1;

-- name: stream_version
SELECT COALESCE(MAX(version), 0)
FROM event_log
WHERE tenant = $1 AND stream = $2;

-- name: invalid_bodies
-- DuckDB takes the escape of half a surrogate pair, which stands for a byte that is no UTF-8, for no JSON:
-- a space in its place changes nothing else.
SELECT position, stream
FROM events
WHERE tenant = $1 AND (
	NOT json_valid(regexp_replace(COALESCE(metadata, 'null'), '\\u[dD][89a-fA-F][0-9a-fA-F]{2}', '\\u0020', 'g'))
	OR (NOT json_valid(regexp_replace(data, '\\u[dD][89a-fA-F][0-9a-fA-F]{2}', '\\u0020', 'g'))
		AND NOT (stream >= 'host-' AND stream < 'host.')))
ORDER BY position;

-- name: event_insert
INSERT INTO event_log (tenant, position, stream, version, partition, id, type, data, metadata,
	actor, reason, occurred_at, recorded_at)
VALUES ($1, COALESCE((SELECT MAX(position) FROM event_log WHERE tenant = $1), 0) + 1,
	$2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12);

-- name: event_insert_if
INSERT INTO event_log (tenant, position, stream, version, partition, id, type, data, metadata,
	actor, reason, occurred_at, recorded_at)
SELECT $1, head.position + 1, $2, head.version + 1, $4, $5, $6, $7, $8, $9, $10, $11, $12
FROM (
	SELECT
		COALESCE((SELECT MAX(position) FROM event_log WHERE tenant = $1), 0) AS position,
		COALESCE((SELECT MAX(version) FROM event_log WHERE tenant = $1 AND stream = $2), 0) AS version
) AS head
WHERE (CAST($3 AS BIGINT) IN (-1, head.version) OR (CAST($3 AS BIGINT) = -2 AND head.version > 0))
	AND NOT EXISTS (SELECT 1 FROM event_log WHERE tenant = $1 AND id = $5)
	AND NOT EXISTS (SELECT 1 FROM hosts WHERE tenant = $1 AND ip_key = $14 AND hostname = $15 AND id <> $16)
	AND (CAST($13 AS TEXT) IS NULL OR EXISTS (
		SELECT 1 FROM event_log
		WHERE tenant = $1 AND stream = $2 AND version = head.version AND data = CAST($13 AS TEXT)
			AND type <> 'HostDeleted'))
RETURNING version, position;

-- name: event_insert_next
INSERT INTO event_log (tenant, position, stream, version, partition, id, type, data, metadata,
	actor, reason, occurred_at, recorded_at)
SELECT tenant, position + 1, $2, version + 1, $4, $5, $6, $7, $8, $9, $10, $11, $12
FROM event_log
WHERE tenant = $1 AND id = $3
RETURNING version, position;

-- name: event_load
INSERT INTO event_log (tenant, position, stream, version, id, type, data, metadata, actor, reason,
	occurred_at, recorded_at, partition)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
RETURNING position;

-- name: event_page
-- The driver reads as many rows as are wanted and keeps the rest for the next page.
SELECT position, stream, version, id, type, data, metadata, actor, reason, occurred_at, recorded_at
FROM event_log
WHERE tenant = $1 AND position > $2
ORDER BY position;

-- name: host_create
INSERT INTO event_log (tenant, position, stream, version, partition, id, type, data, metadata,
	actor, reason, occurred_at, recorded_at)
SELECT $1, COALESCE((SELECT MAX(position) FROM event_log WHERE tenant = $1), 0) + 1,
	$2, 1, $4, $5, $6, $7, $8, $9, $10, $11, $12
WHERE NOT EXISTS (SELECT 1 FROM event_log WHERE tenant = $1 AND id = $5)
	AND NOT EXISTS (SELECT 1 FROM hosts WHERE tenant = $1 AND ip_key = $13 AND hostname = $15)
RETURNING version, position;
INSERT INTO hosts (tenant, id, version, position, ip_key, ip, hostname, aliases, comment,
	tags, enabled, expires_at, origin, created_at, updated_at)
SELECT tenant, $3, version, position, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, recorded_at
FROM event_log
WHERE tenant = $1 AND id = $5 AND stream = $2;
