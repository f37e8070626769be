-- Durable cursors over the log. `reader` is who claimed the feed last, `epoch` how often that was: who
-- was fenced finds another reader, and whose claim was rolled back a smaller epoch than its own. A
-- deleted feed keeps its epoch for them; its reader is NULL.
CREATE TABLE feeds (
	tenant TEXT NOT NULL,
	name TEXT NOT NULL,
	position BIGINT NOT NULL CHECK (position >= 0),
	epoch BIGINT NOT NULL CHECK (epoch > 0),
	reader TEXT,
	updated_at BIGINT NOT NULL,
	PRIMARY KEY (tenant, name)
);

INSERT INTO schema_migrations (version) VALUES (2);
