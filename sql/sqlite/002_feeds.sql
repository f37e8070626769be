-- Durable cursors over the log. `reader` is who claimed the feed last, `epoch` how often that was: who
-- was fenced finds another reader, and whose claim was rolled back a smaller epoch than its own. A
-- deleted feed keeps its epoch for them; its reader is NULL.
CREATE TABLE feeds (
	tenant TEXT NOT NULL,
	name TEXT NOT NULL,
	position INTEGER NOT NULL CHECK (position >= 0),
	epoch INTEGER NOT NULL CHECK (epoch > 0),
	reader TEXT,
	updated_at INTEGER NOT NULL,
	PRIMARY KEY (tenant, name)
) WITHOUT ROWID;

PRAGMA user_version = 2;
