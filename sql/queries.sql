-- The statements hoststore runs, by name; sql/<backend>/queries.sql may say one differently.
-- Parameters are $1, $2 ... in the order listed. Longer filters are composed in csrc/ from
-- constant pieces and bound parameters.

-- name: savepoint
SAVEPOINT nested;

-- name: savepoint_release
RELEASE SAVEPOINT nested;

-- name: savepoint_rollback
ROLLBACK TO SAVEPOINT nested;

-- name: schema_version
-- Per backend.

-- name: database_check
-- Per backend: rows of text, one for each fault the database finds in its own file.

-- name: log_position        $1 tenant
-- Here and below no MAX, for which a planner that thinks little of a table would read all of a stream.
SELECT COALESCE((SELECT position FROM events WHERE tenant = $1 ORDER BY position DESC LIMIT 1), 0);

-- name: stream_version      $1 tenant  $2 stream
SELECT COALESCE((
	SELECT version FROM events WHERE tenant = $1 AND stream = $2 ORDER BY version DESC LIMIT 1), 0);

-- name: event_insert
-- $1 tenant  $2 stream  $3 version  $4 partition  $5 id  $6 type  $7 data  $8 metadata  $9 actor
-- $10 reason  $11 occurred_at  $12 recorded_at
-- The next position of the log. Of the unique keys (tenant, position), (tenant, stream, version) and
-- (tenant, id) none gives way.
INSERT INTO events (tenant, position, stream, version, partition, id, type, data, metadata,
	actor, reason, occurred_at, recorded_at)
VALUES ($1, COALESCE((SELECT position FROM events WHERE tenant = $1 ORDER BY position DESC LIMIT 1), 0) + 1,
	$2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12);

-- name: event_insert_if
-- As event_insert, but $3 is what the version of the stream has to be: a version, -1 any, -2 not 0.
-- $13 data of its newest event, which is no deletion, or NULL  $14 ip_key  $15 hostname  $16 host:
-- nobody but this host has the key. When one of them does not hold, or the id is known, nothing is written.
INSERT INTO events (tenant, position, stream, version, partition, id, type, data, metadata,
	actor, reason, occurred_at, recorded_at)
SELECT $1, head.position + 1, $2, head.version + 1, $4, $5, $6, $7, $8, $9, $10, $11, $12
FROM (
	SELECT
		COALESCE((SELECT position FROM events WHERE tenant = $1 ORDER BY position DESC LIMIT 1), 0) AS position,
		COALESCE((SELECT version FROM events WHERE tenant = $1 AND stream = $2 ORDER BY version DESC LIMIT 1), 0)
			AS version
	LIMIT 1		-- else PostgreSQL would put both wherever they are used
) AS head
WHERE (CAST($3 AS BIGINT) IN (-1, head.version) OR (CAST($3 AS BIGINT) = -2 AND head.version > 0))
	AND NOT EXISTS (SELECT 1 FROM events WHERE tenant = $1 AND id = $5)
	AND NOT EXISTS (SELECT 1 FROM hosts WHERE tenant = $1 AND ip_key = $14 AND hostname = $15 AND id <> $16)
	AND (CAST($13 AS TEXT) IS NULL OR EXISTS (
		SELECT 1 FROM events
		WHERE tenant = $1 AND stream = $2 AND version = head.version AND data = CAST($13 AS TEXT)
			AND type <> 'HostDeleted'))
RETURNING version, position;

-- name: event_insert_next
-- As event_insert, but $3 is the id of the event it comes directly behind, if that is there.
INSERT INTO events (tenant, position, stream, version, partition, id, type, data, metadata,
	actor, reason, occurred_at, recorded_at)
SELECT tenant, position + 1, $2, version + 1, $4, $5, $6, $7, $8, $9, $10, $11, $12
FROM events
WHERE tenant = $1 AND id = $3
RETURNING version, position;

-- name: host_create
-- Per backend: the first event of a host that has just got its id, and the host's row. When the event id is
-- known, or a host has the key, nothing is written.
-- $1 to $12 as event_insert, but $3 is the id of the host  $13 ip_key  $14 ip  $15 hostname  $16 aliases
-- $17 comment  $18 tags  $19 enabled  $20 expires_at  $21 origin  $22 created_at

-- name: event_by_id         $1 tenant  $2 id
SELECT position, stream, version, id, type, data, metadata, actor, reason, occurred_at, recorded_at
FROM events
WHERE tenant = $1 AND id = $2;

-- name: event_by_position   $1 tenant  $2 position
SELECT position, stream, version, id, type, data, metadata, actor, reason, occurred_at, recorded_at
FROM events
WHERE tenant = $1 AND position = $2;

-- name: event_by_version    $1 tenant  $2 stream  $3 version
SELECT position, stream, version, id, type, data, metadata, actor, reason, occurred_at, recorded_at
FROM events
WHERE tenant = $1 AND stream = $2 AND version = $3;

-- name: state_save          $1 tenant  $2 stream  $3 version  $4 state  $5 saved_at
-- An older state never replaces a newer one.
INSERT INTO stream_states (tenant, stream, version, state, saved_at)
VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (tenant, stream) DO UPDATE
SET version = excluded.version, state = excluded.state, saved_at = excluded.saved_at
WHERE excluded.version >= stream_states.version;

-- name: state_load          $1 tenant  $2 stream
SELECT version, state
FROM stream_states
WHERE tenant = $1 AND stream = $2;

-- name: stream_health       $1 tenant
SELECT stream, version, watermark, gap_size, status
FROM stream_health
WHERE tenant = $1
ORDER BY stream;

-- name: partition_stats     $1 tenant
SELECT partition, streams, events, max_version
FROM partition_stats
WHERE tenant = $1
ORDER BY partition;

-- name: position_gaps       $1 tenant
-- Each hole in the log: the last position before it and the first after it.
SELECT previous, position
FROM (
	SELECT position, LAG(position, 1, 0) OVER (ORDER BY position) AS previous
	FROM events
	WHERE tenant = $1
) AS steps
WHERE position <> previous + 1
ORDER BY position;

-- name: log_counts          $1 tenant
SELECT COUNT(*), COUNT(DISTINCT stream)
FROM events
WHERE tenant = $1;

-- name: stream_partitions   $1 tenant
SELECT stream, MIN(partition), MAX(partition)
FROM events
WHERE tenant = $1
GROUP BY stream
ORDER BY stream;

-- name: invalid_bodies      $1 tenant
-- Per backend: position and stream of each event whose metadata is not JSON, or whose data is not
-- and no host's.

-- name: host_keys           $1 tenant
SELECT id, position, ip, ip_key
FROM hosts
WHERE tenant = $1
ORDER BY id;

-- name: host_steps          $1 tenant
-- Every host event, stream by stream in the order of versions.
SELECT position, stream, version, id, type, data, metadata, actor, reason, occurred_at, recorded_at
FROM events
WHERE tenant = $1 AND stream >= 'host-' AND stream < 'host.'
ORDER BY stream, version;

-- name: host_get            $1 tenant  $2 id
SELECT id, version, position, ip, hostname, aliases, comment, tags, enabled, expires_at, origin,
	created_at, updated_at
FROM hosts
WHERE tenant = $1 AND id = $2;

-- name: host_find           $1 tenant  $2 ip_key  $3 hostname
SELECT id, version, position, ip, hostname, aliases, comment, tags, enabled, expires_at, origin,
	created_at, updated_at
FROM hosts
WHERE tenant = $1 AND ip_key = $2 AND hostname = $3;

-- The read model follows the log: a row is written only where the event $3 of the host is there.

-- name: host_insert
-- $1 tenant  $2 id  $3 event id  $4 ip_key  $5 ip  $6 hostname  $7 aliases  $8 comment  $9 tags
-- $10 enabled  $11 expires_at  $12 origin  $13 created_at
INSERT INTO hosts (tenant, id, version, position, ip_key, ip, hostname, aliases, comment,
	tags, enabled, expires_at, origin, created_at, updated_at)
SELECT tenant, $2, version, position, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, recorded_at
FROM events
WHERE tenant = $1 AND id = $3 AND stream = 'host-' || CAST($2 AS TEXT);

-- name: host_update         as host_insert
UPDATE hosts
SET version = event.version, position = event.position, ip_key = $4, ip = $5, hostname = $6,
	aliases = $7, comment = $8, tags = $9, enabled = $10, expires_at = $11, origin = $12,
	created_at = $13, updated_at = event.recorded_at
FROM events AS event
WHERE hosts.tenant = $1 AND hosts.id = $2 AND event.tenant = $1 AND event.id = $3
	AND event.stream = 'host-' || hosts.id;

-- name: host_delete         $1 tenant  $2 id  $3 event id
DELETE FROM hosts
WHERE tenant = $1 AND id = $2 AND EXISTS (SELECT 1 FROM events
	WHERE tenant = $1 AND id = $3 AND stream = 'host-' || hosts.id);

-- name: alias_insert        $1 tenant  $2 alias  $3 event id  $4 host id
INSERT INTO host_aliases (tenant, alias, host)
SELECT tenant, $2, $4
FROM events
WHERE tenant = $1 AND id = $3 AND stream = 'host-' || CAST($4 AS TEXT);

-- name: alias_delete        as alias_insert
DELETE FROM host_aliases
WHERE tenant = $1 AND alias = $2 AND host = $4
	AND EXISTS (SELECT 1 FROM events WHERE tenant = $1 AND id = $3 AND stream = 'host-' || host);

-- name: tag_insert          $1 tenant  $2 tag  $3 event id  $4 host id
INSERT INTO host_tags (tenant, tag, host)
SELECT tenant, $2, $4
FROM events
WHERE tenant = $1 AND id = $3 AND stream = 'host-' || CAST($4 AS TEXT);

-- name: tag_delete          as tag_insert
DELETE FROM host_tags
WHERE tenant = $1 AND tag = $2 AND host = $4
	AND EXISTS (SELECT 1 FROM events WHERE tenant = $1 AND id = $3 AND stream = 'host-' || host);

-- name: alias_rows          $1 tenant
SELECT host, alias
FROM host_aliases
WHERE tenant = $1
ORDER BY host, alias;

-- name: tag_rows            $1 tenant
SELECT host, tag
FROM host_tags
WHERE tenant = $1
ORDER BY host, tag;

-- name: host_count          $1 tenant
SELECT COUNT(*)
FROM hosts
WHERE tenant = $1;

-- name: hosts_now           $1 tenant
SELECT id, version, position, ip, hostname, aliases, comment, tags, enabled, expires_at, origin,
	created_at, updated_at
FROM hosts
WHERE tenant = $1
ORDER BY id;

-- name: host_at             $1 tenant  $2 stream  $3 position  $4 time
-- The newest event of one host as of a position and a time. The + keeps planners from reading all of the log by
-- its index of positions.
SELECT position, stream, version, id, type, data, metadata, actor, reason, occurred_at, recorded_at
FROM events
WHERE tenant = $1 AND stream = $2 AND +position <= $3 AND recorded_at <= $4
ORDER BY version DESC
LIMIT 1;

-- name: hosts_at            $1 tenant  $2 position  $3 time
-- The newest event of every host as of a position and a time, hosts in the order of their ids.
SELECT e.position, e.stream, e.version, e.id, e.type, e.data, e.metadata, e.actor, e.reason,
	e.occurred_at, e.recorded_at
FROM (
	SELECT position,
		ROW_NUMBER() OVER (PARTITION BY stream ORDER BY version DESC) AS newest, stream
	FROM events
	WHERE tenant = $1 AND stream >= 'host-' AND stream < 'host.'
		AND position <= $2 AND recorded_at <= $3
) AS ranked
JOIN events e ON e.tenant = $1 AND e.position = ranked.position
WHERE ranked.newest = 1
ORDER BY ranked.stream;

-- name: snapshot_insert
-- $1 tenant  $2 id  $3 name  $4 trigger  $5 position  $6 created_at  $7 entry_count  $8 content
INSERT INTO snapshots (tenant, number, id, name, "trigger", position, created_at, entry_count, content)
SELECT $1, COALESCE(MAX(number), 0) + 1, $2, $3, $4, $5, $6, $7, $8
FROM snapshots
WHERE tenant = $1;

-- name: snapshot_get        $1 tenant  $2 id
SELECT id, name, "trigger", position, created_at, entry_count, content
FROM snapshots
WHERE tenant = $1 AND id = $2;

-- name: snapshot_list       $1 tenant  $2 limit  $3 offset
SELECT id, name, "trigger", position, created_at, entry_count, NULL
FROM snapshots
WHERE tenant = $1
ORDER BY number DESC
LIMIT $2 OFFSET $3;

-- name: snapshot_delete     $1 tenant  $2 id
DELETE FROM snapshots
WHERE tenant = $1 AND id = $2
RETURNING id;

-- name: feed_claim          $1 tenant  $2 name  $3 reader  $4 now
-- A feed begins before the first event, also one that was deleted.
INSERT INTO feeds (tenant, name, position, epoch, reader, updated_at)
VALUES ($1, $2, 0, 1, $3, $4)
ON CONFLICT (tenant, name) DO UPDATE
SET epoch = feeds.epoch + 1, reader = excluded.reader, updated_at = excluded.updated_at
RETURNING position, epoch, reader;

-- name: feed_get            $1 tenant  $2 name
SELECT position, epoch, reader
FROM feeds
WHERE tenant = $1 AND name = $2;

-- name: feed_ack            $1 tenant  $2 name  $3 epoch  $4 position  $5 now
-- Never back, never beyond the end of the log, and only in the epoch of the reader.
UPDATE feeds
SET position = $4, updated_at = $5
WHERE tenant = $1 AND name = $2 AND epoch = $3 AND position <= $4
	AND $4 <= (SELECT COALESCE(MAX(position), 0) FROM events WHERE tenant = $1)
RETURNING position;

-- name: feed_progress       $1 tenant  $2 name
-- Where a feed stands and where the log ends, as of one moment.
SELECT
	COALESCE((SELECT position FROM feeds WHERE tenant = $1 AND name = $2), 0),
	COALESCE((SELECT MAX(position) FROM events WHERE tenant = $1), 0);

-- name: feed_list           $1 tenant
SELECT name, position,
	(SELECT COALESCE(MAX(events.position), 0) FROM events WHERE events.tenant = $1) - position AS lag,
	epoch, updated_at
FROM feeds
WHERE tenant = $1 AND reader IS NOT NULL
ORDER BY name;

-- name: feed_delete         $1 tenant  $2 name  $3 now
-- The row stays: who read from the feed must not take the next of its name for it.
UPDATE feeds
SET position = 0, reader = NULL, updated_at = $3
WHERE tenant = $1 AND name = $2 AND reader IS NOT NULL
RETURNING epoch;

-- name: event_page          $1 tenant  $2 behind this position  $3 limit
SELECT position, stream, version, id, type, data, metadata, actor, reason, occurred_at, recorded_at
FROM events
WHERE tenant = $1 AND position > $2
ORDER BY position
LIMIT $3;

-- name: snapshot_page       $1 tenant  $2 behind this number  $3 limit
SELECT number, id, name, "trigger", position, created_at, entry_count, content
FROM snapshots
WHERE tenant = $1 AND number > $2
ORDER BY number
LIMIT $3;

-- name: state_page          $1 tenant  $2 behind this stream  $3 limit
SELECT stream, version, state, saved_at
FROM stream_states
WHERE tenant = $1 AND stream > $2
ORDER BY stream
LIMIT $3;

-- name: feed_page           $1 tenant  $2 behind this name  $3 limit
-- Deleted ones too, for their epochs.
SELECT name, position, epoch, reader, updated_at
FROM feeds
WHERE tenant = $1 AND name > $2
ORDER BY name
LIMIT $3;

-- name: event_load
-- $1 tenant  $2 position  $3 stream  $4 version  $5 id  $6 type  $7 data  $8 metadata  $9 actor
-- $10 reason  $11 occurred_at  $12 recorded_at  $13 partition
INSERT INTO events (tenant, position, stream, version, id, type, data, metadata, actor, reason,
	occurred_at, recorded_at, partition)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
RETURNING position;

-- name: snapshot_load
-- $1 tenant  $2 number  $3 id  $4 name  $5 trigger  $6 position  $7 created_at  $8 entry_count  $9 content
INSERT INTO snapshots (tenant, number, id, name, "trigger", position, created_at, entry_count, content)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9);

-- name: feed_load           $1 tenant  $2 name  $3 position  $4 epoch  $5 reader  $6 updated_at
INSERT INTO feeds (tenant, name, position, epoch, reader, updated_at)
VALUES ($1, $2, $3, $4, $5, $6);

-- name: version_step        $1 tenant
-- The first event whose version does not follow from the one before it in its stream.
SELECT position, stream, version, previous
FROM (
	SELECT position, stream, version,
		LAG(version, 1, 0) OVER (PARTITION BY stream ORDER BY position) AS previous
	FROM events
	WHERE tenant = $1
) AS steps
WHERE version <> previous + 1
ORDER BY position
LIMIT 1;
