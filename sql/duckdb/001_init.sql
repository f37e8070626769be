-- The schema on DuckDB. Texts compare by bytes, times are microseconds since 1970 UTC. The driver has
-- made the table schema_migrations.

-- The log. `partition` is FNV-1a 64 of the stream id, mod 32.
CREATE TABLE event_log (
	tenant TEXT NOT NULL,
	position BIGINT NOT NULL CHECK (position > 0),
	stream TEXT NOT NULL,
	version BIGINT NOT NULL CHECK (version > 0),
	partition INTEGER NOT NULL CHECK (partition BETWEEN 0 AND 31),
	id TEXT NOT NULL CHECK (length(id) = 26),
	type TEXT NOT NULL,
	data TEXT NOT NULL,
	metadata TEXT,
	actor TEXT,
	reason TEXT,
	occurred_at BIGINT NOT NULL,
	recorded_at BIGINT NOT NULL,
	UNIQUE (tenant, position),
	UNIQUE (tenant, stream, version),
	UNIQUE (tenant, id)
);

-- DuckDB has no triggers. By the name that all databases share events can be read alone: DuckDB refuses
-- to change or delete rows of a view.
CREATE VIEW events AS
SELECT *
FROM event_log;

-- The read model: live hosts, as their newest event left them. `ip_key` is the address as
-- text that sorts by number; aliases are separated by a space, tags by a comma.
-- UNIQUE (tenant, ip_key, hostname) is the duplicate check, on every path.
CREATE TABLE hosts (
	tenant TEXT NOT NULL,
	id TEXT NOT NULL,
	version BIGINT NOT NULL,
	position BIGINT NOT NULL,
	ip_key TEXT NOT NULL,
	ip TEXT NOT NULL,
	hostname TEXT NOT NULL,
	aliases TEXT NOT NULL,
	comment TEXT,
	tags TEXT NOT NULL,
	enabled BOOLEAN NOT NULL,
	expires_at BIGINT,
	origin TEXT NOT NULL,
	created_at BIGINT NOT NULL,
	updated_at BIGINT NOT NULL,
	UNIQUE (tenant, id),
	UNIQUE (tenant, ip_key, hostname)
);

CREATE TABLE host_aliases (
	tenant TEXT NOT NULL,
	alias TEXT NOT NULL,
	host TEXT NOT NULL,
	PRIMARY KEY (tenant, alias, host)
);

CREATE TABLE host_tags (
	tenant TEXT NOT NULL,
	tag TEXT NOT NULL,
	host TEXT NOT NULL,
	PRIMARY KEY (tenant, tag, host)
);

-- Rendered hosts files; `number` tells which is newer, whatever the clock said.
CREATE TABLE snapshots (
	tenant TEXT NOT NULL,
	number BIGINT NOT NULL,
	id TEXT NOT NULL,
	name TEXT,
	"trigger" TEXT NOT NULL,
	position BIGINT NOT NULL,
	created_at BIGINT NOT NULL,
	entry_count BIGINT NOT NULL,
	content TEXT NOT NULL,
	UNIQUE (tenant, number),
	UNIQUE (tenant, id)
);

-- Saved folds of generic streams, the newest of each.
CREATE TABLE stream_states (
	tenant TEXT NOT NULL,
	stream TEXT NOT NULL,
	version BIGINT NOT NULL,
	state TEXT NOT NULL,
	saved_at BIGINT NOT NULL,
	PRIMARY KEY (tenant, stream)
);

-- Every host event with the host's fields as columns.
CREATE VIEW host_events AS
SELECT
	tenant, position, stream, substr(stream, 6) AS host, version, id, type,
	data ->> '$.ip' AS ip,
	data ->> '$.hostname' AS hostname,
	data -> '$.aliases' AS aliases,
	data ->> '$.comment' AS comment,
	data -> '$.tags' AS tags,
	CAST(data ->> '$.enabled' AS BOOLEAN) AS enabled,
	CAST(data ->> '$.expires_at' AS BIGINT) AS expires_at,
	data ->> '$.origin' AS origin,
	CAST(data ->> '$.created_at' AS BIGINT) AS created_at,
	actor, reason, occurred_at, recorded_at
FROM events
WHERE stream >= 'host-' AND stream < 'host.';

-- What each host event changed: the field, its value before and after. A creation and a
-- deletion change the host as a whole: field is NULL. One window over the bodies is cheaper than one
-- over each field.
CREATE VIEW host_entries_history AS
SELECT
	tenant, position, stream, host, hostname, version, type, field,
	CASE WHEN field IN ('aliases', 'tags') THEN (before -> ('$.' || field))::TEXT
		ELSE before ->> ('$.' || field) END AS old,
	CASE WHEN field IN ('aliases', 'tags') THEN (data -> ('$.' || field))::TEXT
		ELSE data ->> ('$.' || field) END AS new,
	actor, reason, recorded_at
FROM (
	SELECT
		tenant, position, stream, substr(stream, 6) AS host, data ->> '$.hostname' AS hostname, version, type, data,
		LAG(data) OVER (PARTITION BY tenant, stream ORDER BY version) AS before,
		CASE type WHEN 'IpAddressChanged' THEN 'ip'
			WHEN 'HostnameChanged' THEN 'hostname'
			WHEN 'AliasesChanged' THEN 'aliases'
			WHEN 'CommentUpdated' THEN 'comment'
			WHEN 'TagsModified' THEN 'tags'
			WHEN 'EnabledChanged' THEN 'enabled'
			WHEN 'ExpiryChanged' THEN 'expires_at'
			WHEN 'OriginChanged' THEN 'origin'
		END AS field,
		actor, reason, recorded_at
	FROM events
	WHERE stream >= 'host-' AND stream < 'host.'
) AS changes;

INSERT INTO schema_migrations (version) VALUES (1);
