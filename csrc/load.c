/* load.c -- records into an empty tenant, as they were.
 *
 * The one way besides the host methods to write events of hosts. It believes nothing: what it is given
 * must be what a log of ours could hold, and at the end the store has to verify and to give back every
 * byte. All of it happens in one transaction of the caller's. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hs.h"

enum { SETTLE_EVERY = 500 };		/* statements that are sent before their answers are waited for */

/* -- checks ---------------------------------------------------------------------------------------------- */

static enum hs_code check_time(const char *field, int64_t time, struct hs_error *err)
{
	if (time >= HS_TIME_MIN && time <= HS_TIME_MAX)
		return HS_OK;
	return hs_fail(err, HS_INVALID, field, "'%s' is not within the years 0 to 9999", field);
}

static enum hs_code check_id(const char *id, struct hs_error *err)
{
	if (hs_is_ulid(id))
		return HS_OK;
	return hs_fail(err, HS_INVALID, "id", "'%s' is not a ULID", hs_quote(id).s);
}

static enum hs_code check_json(const char *field, const char *s, struct hs_error *err)
{
	if (!s || hs_is_json(s, strlen(s)))
		return HS_OK;
	return hs_fail(err, HS_INVALID, field, "'%s' is not JSON: '%s'", field, hs_quote(s).s);
}

/* A body is what the rules make of it, so that nothing comes in here that `add` would refuse. Of
 * names the lenient rules are asked: they hold for strict ones too. */
static enum hs_code check_rules(struct hs_arena *arena, const struct hs_host *host, struct hs_error *err)
{
	struct hs_host_input input = {.given = (1u << HS_FIELDS) - 1, .ip = host->ip, .hostname = host->hostname,
		.comment = host->comment, .origin = host->origin, .enabled = host->enabled,
		.expires_at = host->expires_at};
	struct hs_host checked = hs_host_blank();
	enum hs_code rc;

	input.aliases = hs_split(arena, host->aliases, ' ', &input.alias_count);
	input.tags = hs_split(arena, host->tags, ',', &input.tag_count);
	if (!input.aliases || !input.tags)
		return hs_no_memory(err);
	rc = hs_host_check(arena, &input, true, &checked, err);
	for (enum hs_field field = 0; rc == HS_OK && field < HS_FIELDS; field++)
		if (!hs_field_equal(host, &checked, field))
			return hs_fail(err, HS_INVALID, hs_field_name(field), "'%s' of the host is not as hoststore "
				       "writes it", hs_field_name(field));
	return rc;
}

static enum hs_code check_host(struct hs_arena *arena, const struct hs_event *event, struct hs_error *err)
{
	struct hs_host host;
	enum hs_code rc;

	if (!hs_is_ulid(event->stream + 5))
		return hs_fail(err, HS_INVALID, "stream", "'%s' is no host's: '%s' is not a ULID",
			       hs_quote(event->stream).s, hs_quote(event->stream + 5).s);
	if (strcmp(event->type, "HostCreated") != 0 && !hs_event_is_deletion(event) &&
	    hs_event_field(event->type) == HS_FIELDS)
		return hs_fail(err, HS_INVALID, "type", "'%s' is no event of a host", hs_quote(event->type).s);
	rc = hs_host_decode(arena, event, &host, err);
	return rc ? rc : check_rules(arena, &host, err);
}

static enum hs_code check_event(struct hs_load *load, const struct hs_event *event, struct hs_error *err)
{
	struct hs_cause by = {.actor = event->actor, .reason = event->reason};
	int64_t last = load->sum.counts[HS_KIND_EVENT];
	enum hs_code rc;

	if (event->position != last + 1)
		return hs_fail(err, HS_INVALID, "position", "position %lld follows position %lld",
			       (long long)event->position, (long long)last);
	rc = hs_check_stream(event->stream, err);
	if (rc == HS_OK)
		rc = check_id(event->id, err);
	if (rc == HS_OK)
		rc = hs_check_label("type", event->type, err);
	if (rc == HS_OK)
		rc = hs_check_cause(&by, err);
	if (rc == HS_OK)
		rc = check_json("data", event->data, err);
	if (rc == HS_OK)
		rc = check_json("metadata", event->metadata, err);
	if (rc == HS_OK)
		rc = check_time("occurred_at", event->occurred_at, err);
	if (rc == HS_OK)
		rc = check_time("recorded_at", event->recorded_at, err);
	if (rc == HS_OK && hs_event_is_host(event))
		rc = check_host(&load->scratch, event, err);
	return rc;
}

static enum hs_code check_snapshot(const struct hs_load *load, const struct hs_value *v, struct hs_error *err)
{
	enum hs_code rc = check_id(v[1].s, err);

	if (rc == HS_OK && v[2].type == HS_TEXT)
		rc = hs_check_label("name", v[2].s, err);
	if (rc == HS_OK)
		rc = hs_check_label("trigger", v[3].s, err);
	if (rc == HS_OK)
		rc = check_time("created_at", v[5].i, err);
	if (rc == HS_OK && (v[0].i < 1 || v[6].i < 0))
		rc = hs_fail(err, HS_INVALID, NULL, "its number or entry_count cannot be");
	if (rc == HS_OK && (v[4].i < 0 || v[4].i > load->sum.counts[HS_KIND_EVENT]))
		rc = hs_fail(err, HS_INVALID, "position", "the log has no position %lld", (long long)v[4].i);
	return rc;
}

/* -- one record ------------------------------------------------------------------------------------------------ */

/* The tenant and the values of a record; returns how many they are. */
static int put_values(struct hs_value values[HS_RECORD_COLUMNS + 2], const struct hs_store *store,
		      const struct hs_record *record)
{
	int columns = hs_kind_columns(record->kind);

	values[0] = hs_text_value(store->tenant);
	memcpy(values + 1, record->values, (size_t)columns * sizeof *values);
	return columns + 1;
}

static enum hs_code insert(struct hs_store *store, enum hs_sql statement, const struct hs_record *record,
			   struct hs_error *err)
{
	struct hs_value values[HS_RECORD_COLUMNS + 2];

	return hs_run(store, statement, values, put_values(values, store, record), NULL, NULL, err);
}

static enum hs_code note_stored(void *context, const struct hs_value *row, int columns, struct hs_error *err)
{
	struct hs_load *load = context;

	(void)columns, (void)err;
	load->stored = row[0].i;
	return HS_OK;
}

/* Answers come in order: a key that is taken is the next event's. */
static enum hs_code judge(struct hs_load *load, enum hs_code rc, struct hs_error *err)
{
	if (rc != HS_DUPLICATE)
		return rc;
	load->fault = load->stored + 1;
	return hs_fail(err, HS_INVALID, NULL, "event %lld: an earlier event has its id, or its version in this stream",
		       (long long)load->fault);
}

enum hs_code hs_load_settle(struct hs_store *store, struct hs_load *load, struct hs_error *err)
{
	return judge(load, hs_sync(store, err), err);
}

static enum hs_code put_event(struct hs_store *store, struct hs_load *load, const struct hs_record *record,
			      struct hs_error *err)
{
	struct hs_value values[HS_RECORD_COLUMNS + 2];
	int count = put_values(values, store, record);
	struct hs_event event;
	enum hs_code rc = hs_event_from_row(&load->scratch, record->values, &event, err);

	if (rc == HS_OK)
		rc = check_event(load, &event, err);
	if (rc)
		return rc;
	values[count++] = hs_int(hs_partition(event.stream));
	rc = hs_send(store, HS_SQL_EVENT_LOAD, values, count, note_stored, load, err);
	if (rc == HS_OK && event.position % SETTLE_EVERY == 0)
		rc = hs_sync(store, err);
	return judge(load, rc, err);
}

static enum hs_code put_snapshot(struct hs_store *store, struct hs_load *load, const struct hs_record *record,
				 struct hs_error *err)
{
	enum hs_code rc = check_snapshot(load, record->values, err);

	if (rc == HS_OK)
		rc = insert(store, HS_SQL_SNAPSHOT_LOAD, record, err);
	if (rc == HS_DUPLICATE)
		return hs_fail(err, HS_INVALID, NULL, "an earlier snapshot has its id or its number");
	return rc;
}

static enum hs_code put_state(struct hs_store *store, struct hs_load *load, const struct hs_record *record,
			      struct hs_error *err)
{
	const struct hs_value *v = record->values;
	int64_t version;
	enum hs_code rc = hs_check_stream(v[0].s, err);

	(void)load;
	if (rc == HS_OK)
		rc = check_json("state", v[2].s, err);
	if (rc == HS_OK)
		rc = check_time("saved_at", v[3].i, err);
	if (rc == HS_OK)
		rc = hs_stream_version(store, v[0].s, &version, err);
	if (rc == HS_OK && (v[1].i < 0 || v[1].i > version))
		rc = hs_fail(err, HS_INVALID, "version", "the stream has no version %lld", (long long)v[1].i);
	return rc ? rc : insert(store, HS_SQL_STATE_SAVE, record, err);
}

static enum hs_code put_feed(struct hs_store *store, struct hs_load *load, const struct hs_record *record,
			     struct hs_error *err)
{
	const struct hs_value *v = record->values;
	enum hs_code rc = hs_check_label("name", v[0].s, err);

	if (rc == HS_OK && (v[1].i < 0 || v[1].i > load->sum.counts[HS_KIND_EVENT]))
		rc = hs_fail(err, HS_INVALID, "position", "the log has no position %lld", (long long)v[1].i);
	if (rc == HS_OK && v[2].i < 1)
		rc = hs_fail(err, HS_INVALID, "epoch", "there is no epoch %lld", (long long)v[2].i);
	if (rc == HS_OK && v[3].type == HS_TEXT)
		rc = check_id(v[3].s, err);
	if (rc == HS_OK)
		rc = check_time("updated_at", v[4].i, err);
	if (rc == HS_OK)
		rc = insert(store, HS_SQL_FEED_LOAD, record, err);
	if (rc == HS_DUPLICATE)
		return hs_fail(err, HS_INVALID, NULL, "an earlier feed has its name");
	return rc;
}

static enum hs_code (*const put[HS_KINDS])(struct hs_store *store, struct hs_load *load,
					   const struct hs_record *record, struct hs_error *err) = {
	[HS_KIND_EVENT] = put_event,
	[HS_KIND_SNAPSHOT] = put_snapshot,
	[HS_KIND_STATE] = put_state,
	[HS_KIND_FEED] = put_feed,
};

/* Says which record it was that was refused, unless an earlier one proves to be. Failures of the
 * database stay what they are. */
static enum hs_code refuse(struct hs_store *store, struct hs_load *load, const struct hs_record *record,
			   enum hs_code rc, struct hs_error *err)
{
	const struct hs_value *key = &record->values[0];
	char what[128], message[sizeof err->message];
	struct hs_error earlier;

	if (load->fault || (rc != HS_INVALID && rc != HS_CORRUPT))
		return rc;
	if (hs_load_settle(store, load, &earlier)) {
		*err = earlier;
		return earlier.code;
	}
	if (key->type == HS_INT)
		snprintf(what, sizeof what, "%s %lld", hs_kind_name(record->kind), (long long)key->i);
	else
		snprintf(what, sizeof what, "%s '%s'", hs_kind_name(record->kind),
			 hs_quote(key->type == HS_TEXT ? key->s : "").s);
	memcpy(message, err->message, sizeof message);
	snprintf(err->message, sizeof err->message, "%s: %.*s", what, (int)(sizeof message - sizeof what - 3), message);
	return err->code = HS_INVALID;
}

enum hs_code hs_load_record(struct hs_store *store, struct hs_load *load, const struct hs_record *record,
			    struct hs_error *err)
{
	enum hs_code rc = hs_record_check(record, err);

	hs_rewind(&load->scratch, (struct hs_mark){0});
	if (rc == HS_OK && record->kind < load->kind)
		rc = hs_fail(err, HS_INVALID, NULL, "it stands behind a %s", hs_kind_name(load->kind));
	if (rc == HS_OK && record->kind != load->kind)
		rc = hs_load_settle(store, load, err);
	if (rc == HS_OK)
		rc = put[record->kind](store, load, record, err);
	if (rc)
		return refuse(store, load, record, rc, err);
	load->kind = record->kind;
	hs_sum_add(&load->sum, record);
	return HS_OK;
}

/* -- begin, lines ---------------------------------------------------------------------------------------------------- */

/* Whether the tenant has a record of any kind, and of which. */
static enum hs_code find_any(struct hs_store *store, enum hs_kind *kind, struct hs_error *err)
{
	struct hs_records records;
	enum hs_code rc;

	hs_records_begin(&records);
	rc = hs_records_next(store, &records, err);
	*kind = records.count ? records.kind : HS_KINDS;
	hs_records_end(&records);
	return rc;
}

enum hs_code hs_load_begin(struct hs_store *store, struct hs_load *load, struct hs_error *err)
{
	enum hs_kind kind;
	int64_t position;
	enum hs_code rc = find_any(store, &kind, err);

	*load = (struct hs_load){.sum = hs_sum_of_nothing()};
	if (rc == HS_OK && kind == HS_KIND_EVENT) {
		rc = hs_log_position(store, &position, err);
		if (rc == HS_OK)
			rc = hs_fail(err, HS_CONFLICT, NULL, "tenant '%s' is not empty: it has %lld events; load into an "
				     "empty one", hs_quote(store->tenant).s, (long long)position);
	} else if (rc == HS_OK && kind < HS_KINDS) {
		rc = hs_fail(err, HS_CONFLICT, NULL, "tenant '%s' is not empty: it has 0 events, but %s; load into an empty "
			     "one", hs_quote(store->tenant).s, hs_kind_plural(kind));
	}
	return rc;
}

void hs_load_end(struct hs_load *load)
{
	hs_arena_free(&load->line);
	hs_arena_free(&load->scratch);
}

static enum hs_code check_tail(const struct hs_load *load, struct hs_error *err)
{
	for (enum hs_kind kind = 0; kind < HS_KINDS; kind++)
		if (load->tail.counts[kind] != load->sum.counts[kind])
			return hs_fail(err, HS_INVALID, NULL, "the dump should have %lld %s and has %lld",
				       (long long)load->tail.counts[kind], hs_kind_plural(kind),
				       (long long)load->sum.counts[kind]);
	if (load->position != load->sum.counts[HS_KIND_EVENT])
		return hs_fail(err, HS_INVALID, NULL, "the dump should reach position %lld and reaches %lld",
			       (long long)load->position, (long long)load->sum.counts[HS_KIND_EVENT]);
	if (load->tail.digest != load->sum.digest)
		return hs_fail(err, HS_INVALID, NULL, "the dump was changed since it was made: its digest is %016llx and "
			       "should be %016llx", (unsigned long long)load->sum.digest,
			       (unsigned long long)load->tail.digest);
	return HS_OK;
}

enum hs_code hs_load_line(struct hs_store *store, struct hs_load *load, const char *s, size_t length,
			  struct hs_error *err)
{
	struct hs_line line;
	enum hs_code rc;

	hs_rewind(&load->line, (struct hs_mark){0});
	load->lines++;
	if (load->has_tail)
		return hs_fail(err, HS_INVALID, NULL, "there is more behind the last line of the dump");
	rc = hs_line_parse(&load->line, s, length, &line, err);
	if (rc)
		return rc;
	if ((line.kind == HS_LINE_HEAD) == load->has_head)
		return hs_fail(err, HS_INVALID, NULL, load->has_head ? "another dump begins within this one"
			       : "this is no dump: it does not begin with {\"hoststore_dump\":1, ...}");
	if (line.kind == HS_LINE_RECORD)
		return hs_load_record(store, load, &line.record, err);
	if (line.kind == HS_LINE_HEAD) {
		load->has_head = true;
		load->position = line.position;
		return HS_OK;
	}
	load->has_tail = true;
	load->tail = line.sum;
	return check_tail(load, err);
}

enum hs_code hs_load_is_whole(const struct hs_load *load, struct hs_error *err)
{
	if (load->has_tail)
		return HS_OK;
	return hs_fail(err, HS_INVALID, NULL, "the dump is cut short: its last line is missing");
}

/* -- proof ----------------------------------------------------------------------------------------------------------------- */

static enum hs_code take_step(void *context, const struct hs_value *row, int columns, struct hs_error *err)
{
	(void)columns;
	*(int64_t *)context = row[0].i;
	return hs_fail(err, HS_INVALID, "version", "event %lld: version %lld of stream '%s' follows version %lld",
		       (long long)row[0].i, (long long)row[2].i, hs_quote(row[1].s).s, (long long)row[3].i);
}

static enum hs_code check_versions(struct hs_store *store, struct hs_load *load, struct hs_error *err)
{
	struct hs_value tenant = hs_text_value(store->tenant);

	return hs_run(store, HS_SQL_VERSION_STEP, &tenant, 1, take_step, &load->fault, err);
}

/* A live host and the id of its newest event. */
struct head {
	struct hs_host host;
	const char *event;
};

struct heads {
	struct hs_arena arena, scratch;	/* of all hosts, of one event */
	struct head *items;
	size_t count, room;
};

static enum hs_code take_head(void *context, const struct hs_value *row, int columns, struct hs_error *err)
{
	struct heads *heads = context;
	struct hs_event event;
	struct head *head;
	enum hs_code rc;

	(void)columns;
	hs_rewind(&heads->scratch, (struct hs_mark){0});
	rc = hs_event_from_row(&heads->scratch, row, &event, err);
	if (rc || hs_event_is_deletion(&event))
		return rc;
	heads->items = hs_grow(&heads->arena, heads->items, heads->count, &heads->room, sizeof *heads->items);
	if (!heads->items)
		return hs_no_memory(err);
	head = &heads->items[heads->count++];
	head->event = hs_copy(&heads->arena, event.id, strlen(event.id));
	event.stream = hs_copy(&heads->arena, event.stream, strlen(event.stream));
	if (!head->event || !event.stream)
		return hs_no_memory(err);
	return hs_host_decode(&heads->arena, &event, &head->host, err);
}

/* By what no two hosts may share, then as they came. */
static int compare_heads(const void *a, const void *b)
{
	const struct hs_host *x = &((const struct head *)a)->host, *y = &((const struct head *)b)->host;
	int order = strcmp(x->ip, y->ip);

	if (order == 0)
		order = strcmp(x->hostname, y->hostname);
	return order ? order : (x->position > y->position) - (x->position < y->position);
}

static enum hs_code check_keys(struct heads *heads, struct hs_load *load, struct hs_error *err)
{
	if (heads->count)
		qsort(heads->items, heads->count, sizeof *heads->items, compare_heads);
	for (size_t i = 1; i < heads->count; i++) {
		const struct hs_host *host = &heads->items[i].host, *other = &heads->items[i - 1].host;

		if (strcmp(host->ip, other->ip) != 0 || strcmp(host->hostname, other->hostname) != 0)
			continue;
		load->fault = host->position;
		return hs_fail(err, HS_INVALID, NULL, "event %lld: another host is '%s %s' already",
			       (long long)host->position, host->ip, hs_quote(host->hostname).s);
	}
	return HS_OK;
}

/* The newest event of a host is the host: the events before it need not be gone through. */
static enum hs_code build_model(struct hs_store *store, struct hs_load *load, struct hs_error *err)
{
	struct heads heads = {.count = 0};
	enum hs_code rc = hs_run(store, HS_SQL_HOSTS_AT, (struct hs_value[]){hs_text_value(store->tenant),
		hs_int(HS_POSITION_MAX), hs_int(INT64_MAX)}, 3, take_head, &heads, err);

	if (rc == HS_OK)
		rc = check_keys(&heads, load, err);
	for (size_t i = 0; rc == HS_OK && i < heads.count; i++) {
		rc = hs_model_put(store, &heads.arena, NULL, &heads.items[i].host, heads.items[i].event, err);
		if (rc == HS_OK && i % SETTLE_EVERY == SETTLE_EVERY - 1)
			rc = hs_sync(store, err);
	}
	if (rc == HS_OK)
		rc = hs_sync(store, err);
	hs_arena_free(&heads.arena);
	hs_arena_free(&heads.scratch);
	return rc;
}

static enum hs_code verify(struct hs_store *store, struct hs_load *load, struct hs_error *err)
{
	struct hs_arena arena = {0};
	struct hs_verified verified;
	enum hs_code rc = hs_verify(store, &arena, &verified, err);

	if (rc == HS_OK && verified.count) {
		load->fault = verified.problems[0].position;
		rc = hs_fail(err, HS_INVALID, NULL, "the log does not verify: %s", verified.problems[0].message);
	}
	hs_arena_free(&arena);
	return rc;
}

static enum hs_code read_back(struct hs_store *store, const struct hs_load *load, struct hs_error *err)
{
	struct hs_records records;
	enum hs_code rc;

	hs_records_begin(&records);
	do
		rc = hs_records_next(store, &records, err);
	while (rc == HS_OK && records.count);
	hs_records_end(&records);
	if (rc || hs_sum_equal(&records.sum, &load->sum))
		return rc;
	return hs_fail(err, HS_CORRUPT, NULL, "the database does not give back what was loaded: its digest is %016llx and "
		       "should be %016llx", (unsigned long long)records.sum.digest,
		       (unsigned long long)load->sum.digest);
}

enum hs_code hs_load_finish(struct hs_store *store, struct hs_load *load, struct hs_error *err)
{
	enum hs_code rc = hs_load_settle(store, load, err);

	if (rc == HS_OK)
		rc = check_versions(store, load, err);
	if (rc == HS_OK)
		rc = build_model(store, load, err);
	if (rc == HS_OK)
		rc = verify(store, load, err);
	return rc ? rc : read_back(store, load, err);
}
