-- Durable cursors over the log. `reader` is who claimed the feed last, `epoch` how often that was: who
-- was fenced finds another reader, and whose claim was rolled back a smaller epoch than its own. A
-- deleted feed keeps its epoch for them; its reader is NULL.
CREATE TABLE feeds (
	tenant text COLLATE "C" NOT NULL,
	name text COLLATE "C" NOT NULL,
	position bigint NOT NULL CHECK (position >= 0),
	epoch bigint NOT NULL CHECK (epoch > 0),
	reader text COLLATE "C",
	updated_at bigint NOT NULL,
	PRIMARY KEY (tenant, name)
);

INSERT INTO schema_migrations (version) VALUES (2);
