-- The views whose text is the same on all backends: the end of the first migration. It stands behind
-- 001_init.sql, which has the others, host_events and host_entries_history.
-- Only PostgreSQL, before 16, wants a subquery in FROM to have a name.

-- Live hosts out of the log alone: what the table `hosts` is verified against.
CREATE VIEW host_entries_current AS
SELECT
	tenant, host AS id, version, position, ip, hostname, aliases, comment, tags, enabled,
	expires_at, origin, created_at, recorded_at AS updated_at
FROM (
	SELECT *, ROW_NUMBER() OVER (PARTITION BY tenant, stream ORDER BY version DESC) AS newest
	FROM host_events
) AS ranked
WHERE newest = 1 AND type <> 'HostDeleted';

CREATE VIEW event_streams AS
SELECT
	tenant, stream, MAX(version) AS version, MIN(partition) AS partition, COUNT(*) AS events,
	MIN(recorded_at) AS created_at, MAX(recorded_at) AS updated_at
FROM events
GROUP BY tenant, stream;

-- Gaps and islands: within an unbroken run of versions, version - row number is constant, and
-- 0 in the run that starts at version 1. The watermark is where that first run ends.
CREATE VIEW stream_health AS
SELECT
	tenant, stream, version, watermark, version - events AS gap_size,
	CASE WHEN version = 0 THEN 'EMPTY' WHEN version = events THEN 'HEALTHY' ELSE 'HAS_GAPS' END AS status
FROM (
	SELECT
		tenant, stream, MAX(version) AS version, COUNT(*) AS events,
		COALESCE(MAX(CASE WHEN island = 0 THEN version END), 0) AS watermark
	FROM (
		SELECT tenant, stream, version,
			version - ROW_NUMBER() OVER (PARTITION BY tenant, stream ORDER BY version) AS island
		FROM events
	) AS islands
	GROUP BY tenant, stream
	UNION ALL
	SELECT tenant, stream, 0, 0, 0
	FROM stream_states AS s
	WHERE NOT EXISTS (SELECT 1 FROM events AS e WHERE e.tenant = s.tenant AND e.stream = s.stream)
) AS heads;

CREATE VIEW partition_stats AS
SELECT
	tenant, partition, COUNT(DISTINCT stream) AS streams, COUNT(*) AS events,
	MAX(version) AS max_version
FROM events
GROUP BY tenant, partition;
