/* feed.c -- durable cursors over the log, one reader at a time.
 *
 * The only writer of the feeds table. A cursor never goes back while its feed is there, and only
 * the reader that claimed the feed last can read on or move it. What a reader is told of its claim
 * comes true with the commit of the transaction around it: the table alone says who has the feed. */
#include <string.h>

#include "hs.h"

/* A row of the table: epoch 0 where there is none, reader "" where the feed is deleted. */
struct feed_row {
	int64_t position, epoch;
	char reader[HS_ULID_SIZE];
};

static enum hs_code take_row(void *context, const struct hs_value *row, int columns,
			     struct hs_error *err)
{
	struct feed_row *found = context;

	(void)columns, (void)err;
	found->position = row[0].i;
	found->epoch = row[1].i;
	if (row[2].n < sizeof found->reader)
		memcpy(found->reader, row[2].s, row[2].n + 1);
	return HS_OK;
}

static enum hs_code get_row(struct hs_store *store, const char *name, struct feed_row *row,
			    struct hs_error *err)
{
	struct hs_value values[] = {hs_text_value(store->tenant), hs_text_value(name)};

	*row = (struct feed_row){0};
	return hs_run(store, HS_SQL_FEED_GET, values, 2, take_row, row, err);
}

/* -- claiming -------------------------------------------------------------------------------------------------- */

static enum hs_code claim(struct hs_store *store, struct hs_feed *feed, int64_t *position,
			  struct hs_error *err)
{
	struct feed_row row = {0};
	enum hs_code rc = hs_ulid(store->ids, store->now, feed->reader, err);

	if (rc == HS_OK)
		rc = hs_run(store, HS_SQL_FEED_CLAIM, (struct hs_value[]){hs_text_value(store->tenant),
			hs_text_value(feed->name), hs_text_value(feed->reader), hs_int(store->now)}, 4, take_row,
			&row, err);
	feed->epoch = row.epoch;
	*position = row.position;
	return rc;
}

static enum hs_code fail_fenced(const struct hs_feed *feed, const struct feed_row *row, struct hs_error *err)
{
	hs_fail(err, HS_CONFLICT, NULL, row->epoch && !*row->reader
		? "the feed '%s' was deleted; a new reader begins at its start"
		: "another reader has taken the feed '%s' over", hs_quote(feed->name).s);
	err->has_versions = true;
	err->expected = feed->epoch;
	err->actual = row->epoch;
	return HS_CONFLICT;
}

/* Makes sure that the feed is this reader's, and says where the cursor is. HS_STOP: the feed has to
 * be claimed, and that takes a transaction that may WRITE. */
static enum hs_code enter(struct hs_store *store, struct hs_feed *feed, bool write, int64_t *position,
			  struct hs_error *err)
{
	struct feed_row row = {0};
	enum hs_code rc = feed->epoch ? get_row(store, feed->name, &row, err) : HS_OK;

	if (rc)
		return rc;
	*position = row.position;
	if (feed->epoch && row.epoch == feed->epoch && *row.reader &&
	    (!*feed->reader || strcmp(row.reader, feed->reader) == 0))
		return HS_OK;
	/* Epochs only grow: a smaller one means that our claim was rolled back. */
	if (feed->epoch && (!*feed->reader || row.epoch >= feed->epoch))
		return fail_fenced(feed, &row, err);
	return write ? claim(store, feed, position, err) : HS_STOP;
}

/* -- reading and moving on ------------------------------------------------------------------------------------- */

static enum hs_code read_batch(struct hs_store *store, struct hs_feed *feed, bool write, int64_t limit,
			       struct hs_events *events, struct hs_error *err)
{
	struct hs_event_query query = {.limit = limit, .since = HS_TIME_UNSET};
	enum hs_code rc = hs_begin(store, write, err);

	if (rc)
		return rc;
	rc = enter(store, feed, write, &query.after, err);
	if (rc == HS_OK)
		rc = hs_events_read(store, &query, events, err);
	return hs_end(store, rc, err);
}

enum hs_code hs_feed_read(struct hs_store *store, struct hs_feed *feed, int64_t limit,
			  struct hs_events *events, struct hs_error *err)
{
	struct hs_feed reader = *feed;
	enum hs_code rc = hs_check_label("name", feed->name, err);

	if (rc)
		return rc;
	rc = feed->epoch ? read_batch(store, &reader, false, limit, events, err) : HS_STOP;
	if (rc == HS_STOP)
		rc = read_batch(store, &reader, true, limit, events, err);
	if (rc == HS_OK)
		*feed = reader;
	return rc;
}

/* The statement decides by itself whether the cursor moves. */
static enum hs_code move_cursor(struct hs_store *store, const struct hs_feed *feed, int64_t position,
				struct hs_error *err)
{
	int64_t moved;
	enum hs_code rc = hs_run_int(store, HS_SQL_FEED_ACK, (struct hs_value[]){hs_text_value(store->tenant),
		hs_text_value(feed->name), hs_int(feed->epoch), hs_int(position), hs_int(store->now)}, 5, &moved, err);

	if (rc == HS_OK && !moved)
		return hs_fail(err, HS_INVALID, "position", "position %lld is beyond the end of the log",
			       (long long)position);
	return rc;
}

enum hs_code hs_feed_ack(struct hs_store *store, struct hs_feed *feed, int64_t position, struct hs_error *err)
{
	struct hs_feed reader = *feed;
	int64_t cursor = 0;
	enum hs_code rc = hs_check_label("name", feed->name, err);

	if (rc == HS_OK)
		rc = hs_begin(store, true, err);
	if (rc)
		return rc;
	rc = enter(store, &reader, true, &cursor, err);
	if (rc == HS_OK && position > cursor)
		rc = move_cursor(store, &reader, position, err);
	rc = hs_end(store, rc, err);
	if (rc == HS_OK)
		*feed = reader;
	return rc;
}

/* -- looking after feeds ------------------------------------------------------------------------------------------ */

struct progress {
	int64_t position, head;
};

static enum hs_code take_progress(void *context, const struct hs_value *row, int columns,
				  struct hs_error *err)
{
	(void)columns, (void)err;
	*(struct progress *)context = (struct progress){row[0].i, row[1].i};
	return HS_OK;
}

enum hs_code hs_feed_progress(struct hs_store *store, const char *name, int64_t *position, int64_t *head,
			      struct hs_error *err)
{
	struct hs_value values[] = {hs_text_value(store->tenant), hs_text_value(name)};
	struct progress progress = {0};
	enum hs_code rc = hs_check_label("name", name, err);

	if (rc == HS_OK)
		rc = hs_run(store, HS_SQL_FEED_PROGRESS, values, 2, take_progress, &progress, err);
	*position = progress.position;
	*head = progress.head;
	return rc;
}

enum hs_code hs_feed_delete(struct hs_store *store, const char *name, struct hs_error *err)
{
	int64_t epoch;
	enum hs_code rc = hs_begin(store, true, err);

	if (rc)
		return rc;
	rc = hs_run_int(store, HS_SQL_FEED_DELETE, (struct hs_value[]){hs_text_value(store->tenant),
		hs_text_value(name), hs_int(store->now)}, 3, &epoch, err);
	if (rc == HS_OK && !epoch)
		rc = hs_fail(err, HS_NOT_FOUND, "name", "there is no feed '%s'", hs_quote(name).s);
	return hs_end(store, rc, err);
}
