-- The schema on PostgreSQL. Texts compare by bytes (COLLATE "C"), times are microseconds since 1970
-- UTC. The driver has made the table schema_migrations and holds the lock of all migrations.

-- The log. `partition` is FNV-1a 64 of the stream id, mod 32; data and metadata are JSON, kept byte
-- for byte, which json and jsonb would not.
CREATE TABLE events (
	tenant text COLLATE "C" NOT NULL,
	position bigint NOT NULL,
	stream text COLLATE "C" NOT NULL,
	version bigint NOT NULL,
	partition integer NOT NULL,
	id text COLLATE "C" NOT NULL,
	type text COLLATE "C" NOT NULL,
	data text COLLATE "C" NOT NULL,
	metadata text COLLATE "C",
	actor text COLLATE "C",
	reason text COLLATE "C",
	occurred_at bigint NOT NULL,
	recorded_at bigint NOT NULL,
	UNIQUE (tenant, position),
	UNIQUE (tenant, stream, version),
	UNIQUE (tenant, id),
	-- One check costs each INSERT less than four.
	CHECK (position > 0 AND version > 0 AND partition BETWEEN 0 AND 31 AND length(id) = 26)
);

CREATE FUNCTION events_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	RAISE EXCEPTION 'events are append-only: they cannot be changed or deleted'
		USING ERRCODE = 'restrict_violation';
END $$;

CREATE TRIGGER events_refuse_change BEFORE UPDATE OR DELETE OR TRUNCATE ON events
FOR EACH STATEMENT EXECUTE FUNCTION events_refuse();

-- The read model: live hosts, as their newest event left them. `ip_key` is the address as
-- text that sorts by number; aliases are separated by a space, tags by a comma.
-- UNIQUE (tenant, ip_key, hostname) is the duplicate check, on every path.
CREATE TABLE hosts (
	tenant text COLLATE "C" NOT NULL,
	id text COLLATE "C" NOT NULL,
	version bigint NOT NULL,
	position bigint NOT NULL,
	ip_key text COLLATE "C" NOT NULL,
	ip text COLLATE "C" NOT NULL,
	hostname text COLLATE "C" NOT NULL,
	aliases text COLLATE "C" NOT NULL,
	comment text COLLATE "C",
	tags text COLLATE "C" NOT NULL,
	enabled boolean NOT NULL,
	expires_at bigint,
	origin text COLLATE "C" NOT NULL,
	created_at bigint NOT NULL,
	updated_at bigint NOT NULL,
	UNIQUE (tenant, id),
	UNIQUE (tenant, ip_key, hostname)
);

CREATE INDEX hosts_by_hostname ON hosts (tenant, hostname);

CREATE TABLE host_aliases (
	tenant text COLLATE "C" NOT NULL,
	alias text COLLATE "C" NOT NULL,
	host text COLLATE "C" NOT NULL,
	PRIMARY KEY (tenant, alias, host)
);

CREATE TABLE host_tags (
	tenant text COLLATE "C" NOT NULL,
	tag text COLLATE "C" NOT NULL,
	host text COLLATE "C" NOT NULL,
	PRIMARY KEY (tenant, tag, host)
);

-- Rendered hosts files; `number` tells which is newer, whatever the clock said.
CREATE TABLE snapshots (
	tenant text COLLATE "C" NOT NULL,
	number bigint NOT NULL,
	id text COLLATE "C" NOT NULL,
	name text COLLATE "C",
	"trigger" text COLLATE "C" NOT NULL,
	position bigint NOT NULL,
	created_at bigint NOT NULL,
	entry_count bigint NOT NULL,
	content text COLLATE "C" NOT NULL,
	UNIQUE (tenant, number),
	UNIQUE (tenant, id)
);

-- Saved folds of generic streams, the newest of each.
CREATE TABLE stream_states (
	tenant text COLLATE "C" NOT NULL,
	stream text COLLATE "C" NOT NULL,
	version bigint NOT NULL,
	state text COLLATE "C" NOT NULL,
	saved_at bigint NOT NULL,
	PRIMARY KEY (tenant, stream)
);

-- Whether a text is JSON; from PostgreSQL 16 on it would be IS JSON.
CREATE FUNCTION is_json(text) RETURNS boolean LANGUAGE plpgsql IMMUTABLE STRICT AS $$
BEGIN
	PERFORM $1::json;
	RETURN true;
EXCEPTION WHEN data_exception OR program_limit_exceeded THEN
	RETURN false;
END $$;

-- Every host event with the host's fields as columns.
CREATE VIEW host_events AS
SELECT
	tenant, position, stream, substr(stream, 6) AS host, version, id, type,
	ip, hostname, aliases, comment, tags, enabled, expires_at, origin, created_at,
	actor, reason, occurred_at, recorded_at
FROM events
CROSS JOIN LATERAL json_to_record(data::json) AS body (
	ip text, hostname text, aliases json, comment text, tags json, enabled boolean,
	expires_at bigint, origin text, created_at bigint
)
WHERE stream >= 'host-' AND stream < 'host.';

-- What each host event changed: the field, its value before and after. A creation and a
-- deletion change the host as a whole: field is NULL.
CREATE VIEW host_entries_history AS
SELECT
	tenant, position, stream, host, hostname, version, type, field,
	CASE field WHEN 'ip' THEN LAG(ip) OVER one
		WHEN 'hostname' THEN LAG(hostname) OVER one
		WHEN 'aliases' THEN LAG(aliases) OVER one ::text
		WHEN 'comment' THEN LAG(comment) OVER one
		WHEN 'tags' THEN LAG(tags) OVER one ::text
		WHEN 'enabled' THEN LAG(enabled) OVER one ::text
		WHEN 'expires_at' THEN LAG(expires_at) OVER one ::text
		WHEN 'origin' THEN LAG(origin) OVER one
	END AS old,
	CASE field WHEN 'ip' THEN ip
		WHEN 'hostname' THEN hostname
		WHEN 'aliases' THEN aliases::text
		WHEN 'comment' THEN comment
		WHEN 'tags' THEN tags::text
		WHEN 'enabled' THEN enabled::text
		WHEN 'expires_at' THEN expires_at::text
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
) AS changes
WINDOW one AS (PARTITION BY tenant, stream ORDER BY version);

INSERT INTO schema_migrations (version) VALUES (1);
