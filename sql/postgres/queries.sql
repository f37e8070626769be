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
