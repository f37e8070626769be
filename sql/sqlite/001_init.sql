-- The schema on SQLite. Texts compare by bytes (BINARY), times are microseconds since 1970 UTC.

-- The log. `partition` is FNV-1a 64 of the stream id, mod 32.
CREATE TABLE events (
	tenant TEXT NOT NULL,
	position INTEGER NOT NULL CHECK (position > 0),
	stream TEXT NOT NULL,
	version INTEGER NOT NULL CHECK (version > 0),
	partition INTEGER NOT NULL CHECK (partition BETWEEN 0 AND 31),
	id TEXT NOT NULL CHECK (length(id) = 26),
	type TEXT NOT NULL,
	data TEXT NOT NULL,
	metadata TEXT,
	actor TEXT,
	reason TEXT,
	occurred_at INTEGER NOT NULL,
	recorded_at INTEGER NOT NULL,
	UNIQUE (tenant, position),
	UNIQUE (tenant, stream, version),
	UNIQUE (tenant, id)
);

CREATE TRIGGER events_refuse_update BEFORE UPDATE ON events
BEGIN
	SELECT RAISE(ABORT, 'events are append-only: they cannot be changed');
END;

CREATE TRIGGER events_refuse_delete BEFORE DELETE ON events
BEGIN
	SELECT RAISE(ABORT, 'events are append-only: they cannot be deleted');
END;

-- INSERT OR REPLACE would delete without asking the trigger above.
CREATE TRIGGER events_refuse_replace BEFORE INSERT ON events
WHEN EXISTS (SELECT 1 FROM events WHERE tenant = NEW.tenant AND position = NEW.position)
	OR EXISTS (SELECT 1 FROM events WHERE tenant = NEW.tenant AND stream = NEW.stream AND version = NEW.version)
	OR EXISTS (SELECT 1 FROM events WHERE tenant = NEW.tenant AND id = NEW.id)
BEGIN
	SELECT RAISE(ABORT, 'events are append-only: they cannot be replaced');
END;

-- The read model: live hosts, as their newest event left them. `ip_key` is the address as
-- text that sorts by number; aliases are separated by a space, tags by a comma.
-- UNIQUE (tenant, ip_key, hostname) is the duplicate check, on every path.
CREATE TABLE hosts (
	tenant TEXT NOT NULL,
	id TEXT NOT NULL,
	version INTEGER NOT NULL,
	position INTEGER NOT NULL,
	ip_key TEXT NOT NULL,
	ip TEXT NOT NULL,
	hostname TEXT NOT NULL,
	aliases TEXT NOT NULL,
	comment TEXT,
	tags TEXT NOT NULL,
	enabled INTEGER NOT NULL CHECK (enabled IN (0, 1)),
	expires_at INTEGER,
	origin TEXT NOT NULL,
	created_at INTEGER NOT NULL,
	updated_at INTEGER NOT NULL,
	UNIQUE (tenant, id),
	UNIQUE (tenant, ip_key, hostname)
);

CREATE INDEX hosts_by_hostname ON hosts (tenant, hostname);

CREATE TABLE host_aliases (
	tenant TEXT NOT NULL,
	alias TEXT NOT NULL,
	host TEXT NOT NULL,
	PRIMARY KEY (tenant, alias, host)
) WITHOUT ROWID;

CREATE TABLE host_tags (
	tenant TEXT NOT NULL,
	tag TEXT NOT NULL,
	host TEXT NOT NULL,
	PRIMARY KEY (tenant, tag, host)
) WITHOUT ROWID;

-- Rendered hosts files; `number` tells which is newer, whatever the clock said.
CREATE TABLE snapshots (
	tenant TEXT NOT NULL,
	number INTEGER NOT NULL,
	id TEXT NOT NULL,
	name TEXT,
	"trigger" TEXT NOT NULL,
	position INTEGER NOT NULL,
	created_at INTEGER NOT NULL,
	entry_count INTEGER NOT NULL,
	content TEXT NOT NULL,
	UNIQUE (tenant, number),
	UNIQUE (tenant, id)
);

-- Saved folds of generic streams, the newest of each.
CREATE TABLE stream_states (
	tenant TEXT NOT NULL,
	stream TEXT NOT NULL,
	version INTEGER NOT NULL,
	state TEXT NOT NULL,
	saved_at INTEGER NOT NULL,
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
	data ->> '$.enabled' AS enabled,
	data ->> '$.expires_at' AS expires_at,
	data ->> '$.origin' AS origin,
	data ->> '$.created_at' AS created_at,
	actor, reason, occurred_at, recorded_at
FROM events
WHERE stream >= 'host-' AND stream < 'host.';

-- What each host event changed: the field, its value before and after. A creation and a
-- deletion change the host as a whole: field is NULL.
CREATE VIEW host_entries_history AS
SELECT
	tenant, position, stream, host, hostname, version, type, field,
	CASE field WHEN 'ip' THEN LAG(ip) OVER one
		WHEN 'hostname' THEN LAG(hostname) OVER one
		WHEN 'aliases' THEN LAG(aliases) OVER one
		WHEN 'comment' THEN LAG(comment) OVER one
		WHEN 'tags' THEN LAG(tags) OVER one
		WHEN 'enabled' THEN LAG(enabled) OVER one
		WHEN 'expires_at' THEN LAG(expires_at) OVER one
		WHEN 'origin' THEN LAG(origin) OVER one
	END AS old,
	CASE field WHEN 'ip' THEN ip
		WHEN 'hostname' THEN hostname
		WHEN 'aliases' THEN aliases
		WHEN 'comment' THEN comment
		WHEN 'tags' THEN tags
		WHEN 'enabled' THEN enabled
		WHEN 'expires_at' THEN expires_at
		WHEN 'origin' THEN origin
	END AS new,
	actor, reason, recorded_at
FROM (
	SELECT *, CASE type WHEN 'IpAddressChanged' THEN 'ip'
			WHEN 'HostnameChanged' THEN 'hostname'
			WHEN 'AliasesChanged' THEN 'aliases'
			WHEN 'CommentUpdated' THEN 'comment'
			WHEN 'TagsModified' THEN 'tags'
			WHEN 'EnabledChanged' THEN 'enabled'
			WHEN 'ExpiryChanged' THEN 'expires_at'
			WHEN 'OriginChanged' THEN 'origin'
		END AS field
	FROM host_events
)
WINDOW one AS (PARTITION BY tenant, stream ORDER BY version);

PRAGMA application_id = 1213420626;
PRAGMA user_version = 1;
