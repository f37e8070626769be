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
