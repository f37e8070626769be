/* stream.c -- the event log: append at a version, read by position or version.
 *
 * The only writer of the events table. An append is all or nothing; a stream's versions and a
 * tenant's positions are 1, 2, 3 ... without gaps, positions in the order of the commits. */
#include <string.h>

#include "hs.h"

/* -- heads ----------------------------------------------------------------------------------------------- */

enum hs_code hs_log_position(struct hs_store *store, int64_t *position, struct hs_error *err)
{
	struct hs_value values[] = {hs_text_value(store->tenant)};

	return hs_run_int(store, HS_SQL_LOG_POSITION, values, 1, position, err);
}

enum hs_code hs_stream_version(struct hs_store *store, const char *stream, int64_t *version,
			       struct hs_error *err)
{
	struct hs_value values[] = {hs_text_value(store->tenant), hs_text_value(stream)};

	return hs_run_int(store, HS_SQL_STREAM_VERSION, values, 2, version, err);
}

/* -- reading ----------------------------------------------------------------------------------------------- */

static enum hs_code take_event(void *context, const struct hs_value *row, int columns,
			       struct hs_error *err)
{
	struct hs_events *events = context;

	(void)columns;
	events->items = hs_grow(events->arena, events->items, events->count, &events->room, sizeof *events->items);
	if (!events->items)
		return hs_no_memory(err);
	return hs_event_from_row(events->arena, row, &events->items[events->count++], err);
}

static void compose_types(struct hs_composed *c, const struct hs_event_query *query)
{
	if (!query->types)
		return;
	/* Of no type there is no event, and an empty list is no SQL. */
	hs_piece(c, query->type_count ? " AND type IN (" : " AND (1 = 0");
	for (int i = 0; i < query->type_count; i++)
		hs_parameter(c, i ? ", " : "", hs_text_value(query->types[i]));
	hs_piece(c, ")");
}

static int64_t character_count(const char *text)
{
	int64_t count = 0;

	for (; *text; text++)
		count += ((unsigned char)*text & 0xc0) != 0x80;
	return count;
}

static void compose_events(struct hs_composed *c, const char *tenant, const struct hs_event_query *query)
{
	hs_piece(c, "SELECT position, stream, version, id, type, data, metadata, actor, reason, "
		 "occurred_at, recorded_at FROM events");
	hs_parameter(c, " WHERE tenant = ", hs_text_value(tenant));
	if (query->stream)
		hs_parameter(c, " AND stream = ", hs_text_value(query->stream));
	if (query->from)
		hs_parameter(c, " AND version >= ", hs_int(query->from));
	if (query->to)
		hs_parameter(c, " AND version <= ", hs_int(query->to));
	if (query->after)
		hs_parameter(c, " AND position > ", hs_int(query->after));
	if (query->prefix) {
		hs_parameter(c, " AND substr(stream, 1, ", hs_int(character_count(query->prefix)));
		hs_parameter(c, ") = ", hs_text_value(query->prefix));
	}
	if (query->actor)
		hs_parameter(c, " AND actor = ", hs_text_value(query->actor));
	if (query->since != HS_TIME_UNSET)
		hs_parameter(c, " AND recorded_at >= ", hs_int(query->since));
	compose_types(c, query);
	hs_piece(c, query->by_version ? " ORDER BY version" : " ORDER BY position");
	if (query->backward)
		hs_piece(c, " DESC");
	if (query->limit >= 0)
		hs_parameter(c, " LIMIT ", hs_int(query->limit));
}

enum hs_code hs_events_read(struct hs_store *store, const struct hs_event_query *query,
			    struct hs_events *events, struct hs_error *err)
{
	struct hs_composed c = {.sql = {.arena = events->arena}};

	c.values = hs_alloc(events->arena, (size_t)(query->type_count + 16) * sizeof *c.values);
	if (c.values)
		compose_events(&c, store->tenant, query);
	if (!c.values || c.sql.failed)
		return hs_no_memory(err);
	return hs_query(store, c.sql.s, c.values, c.count, take_event, events, err);
}

enum hs_code hs_events_ask(struct hs_store *store, enum hs_sql statement, const struct hs_value *values,
			   int count, struct hs_events *events, struct hs_error *err)
{
	return hs_send(store, statement, values, count, take_event, events, err);
}

enum hs_code hs_event_get(struct hs_store *store, struct hs_arena *arena, enum hs_sql statement,
			  const struct hs_value *values, int count, struct hs_event *event, bool *found,
			  struct hs_error *err)
{
	struct hs_events events = {.arena = arena};
	enum hs_code rc = hs_run(store, statement, values, count, take_event, &events, err);

	*found = rc == HS_OK && events.count > 0;
	if (*found)
		*event = events.items[0];
	return rc;
}

/* -- writing ---------------------------------------------------------------------------------------------------- */

/* The parameters that the statements share; $3 is left to each. */
static void put_event(struct hs_value values[], const struct hs_store *store, const struct hs_event *event)
{
	values[0] = hs_text_value(store->tenant);
	values[1] = hs_text_value(event->stream);
	values[3] = hs_int(hs_partition(event->stream));
	values[4] = hs_text_value(event->id);
	values[5] = hs_text_value(event->type);
	values[6] = hs_text_value(event->data);
	values[7] = hs_text_value(event->metadata);
	values[8] = hs_text_value(event->actor);
	values[9] = hs_text_value(event->reason);
	values[10] = hs_int(event->occurred_at);
	values[11] = hs_int(event->recorded_at);
}

enum hs_code hs_event_send(struct hs_store *store, const struct hs_event *event, struct hs_error *err)
{
	struct hs_value values[16];

	put_event(values, store, event);
	values[2] = hs_int(event->version);
	return hs_send(store, HS_SQL_EVENT_INSERT, values, 12, NULL, NULL, err);
}

enum hs_code hs_event_send_if(struct hs_store *store, const struct hs_event *event,
			      const struct hs_guard *guard, hs_row_fn *row, void *context,
			      struct hs_error *err)
{
	struct hs_value values[16];

	put_event(values, store, event);
	values[2] = hs_int(guard->expected);
	values[12] = hs_text_value(guard->body);
	values[13] = hs_text_value(guard->ip_key);
	values[14] = hs_text_value(guard->hostname);
	values[15] = hs_text_value(guard->host);
	return hs_send(store, HS_SQL_EVENT_INSERT_IF, values, 16, row, context, err);
}

enum hs_code hs_event_send_next(struct hs_store *store, const struct hs_event *event,
				const char *previous, hs_row_fn *row, void *context,
				struct hs_error *err)
{
	struct hs_value values[16];

	put_event(values, store, event);
	values[2] = hs_text_value(previous);
	return hs_send(store, HS_SQL_EVENT_INSERT_NEXT, values, 12, row, context, err);
}

enum hs_code hs_event_send_host(struct hs_store *store, const struct hs_event *event, const char *id,
				const struct hs_value host[HS_HOST_VALUES], hs_row_fn *row, void *context,
				struct hs_error *err)
{
	struct hs_value values[12 + HS_HOST_VALUES];

	put_event(values, store, event);
	values[2] = hs_text_value(id);
	memcpy(values + 12, host, HS_HOST_VALUES * sizeof *host);
	return hs_send(store, HS_SQL_HOST_CREATE, values, 12 + HS_HOST_VALUES, row, context, err);
}

/* -- appending ----------------------------------------------------------------------------------------------------- */

/* What the database answers to one append, beside what its caller sees. */
struct answer {
	struct hs_append *append;
	int64_t version, position;	/* of the stream and, for no events, the log before it */
	struct hs_events known;		/* events with the ids that were given */
	int given;			/* how many ids were given */
	int64_t first;			/* version of the first event written, 0 for none */
};

static enum hs_code check_append(const struct hs_append *append, struct hs_error *err)
{
	enum hs_code rc = hs_check_stream(append->stream, err);

	if (rc == HS_OK && append->count > 0 && strncmp(append->stream, "host-", 5) == 0)
		return hs_fail(err, HS_INVALID, "stream", "'%s' is the stream of a host; use add, update and "
			       "delete to write it", hs_quote(append->stream).s);
	if (rc == HS_OK)
		rc = hs_check_cause(&append->by, err);
	for (int i = 0; rc == HS_OK && i < append->count; i++) {
		const struct hs_new_event *event = &append->events[i];

		rc = hs_check_label("type", event->type, err);
		if (rc == HS_OK && event->id && !hs_is_ulid(event->id))
			rc = hs_fail(err, HS_INVALID, "id", "'%s' is not a ULID (26 digits and upper-case "
				     "letters)", hs_quote(event->id).s);
		for (int k = 0; rc == HS_OK && event->id && k < i; k++)
			if (append->events[k].id && strcmp(append->events[k].id, event->id) == 0)
				rc = hs_fail(err, HS_INVALID, "id", "event id '%s' is given twice", event->id);
	}
	return rc;
}

static bool same_text(const char *a, const char *b)
{
	return a == b || (a && b && strcmp(a, b) == 0);
}

static bool same_event(const struct hs_new_event *given, const char *metadata, const struct hs_event *known)
{
	return strcmp(given->type, known->type) == 0 && same_text(given->data, known->data) &&
	       same_text(given->metadata ? given->metadata : metadata, known->metadata) &&
	       (given->occurred_at == HS_TIME_UNSET || given->occurred_at == known->occurred_at);
}

/* Some of the given ids are known. All of them, in this stream, in this order and with this content:
 * the append has happened before and is answered as it was. */
static enum hs_code judge_replay(const struct answer *answer, struct hs_error *err)
{
	struct hs_append *append = answer->append;
	const struct hs_event *known = answer->known.items;
	size_t count = answer->known.count;

	for (size_t i = 0; i < count; i++)
		if (strcmp(known[i].stream, append->stream) != 0)
			return hs_fail(err, HS_ID_REUSE, "id", "event id '%s' is used in stream '%s'",
				       known[i].id, hs_quote(known[i].stream).s);
	if (count < (size_t)append->count)
		return hs_fail(err, HS_PARTIAL_REPLAY, "id", "%zu of %d events are in stream '%s' already; "
			       "append them again all together, or the new ones alone", count,
			       append->count, hs_quote(append->stream).s);
	for (size_t i = 0; i < count; i++)
		if (known[i].version != known[0].version + (int64_t)i ||
		    !same_event(&append->events[i], append->by.metadata, &known[i]))
			return hs_fail(err, HS_ID_REUSE, "id", "event id '%s' is known in stream '%s' with other "
				       "content or in another order", known[i].id, hs_quote(append->stream).s);
	append->idempotent = true;
	append->first = known[0].version;
	append->last = known[count - 1].version;
	append->position = known[count - 1].position;
	return HS_OK;
}

static enum hs_code judge_version(const struct hs_append *append, int64_t version, struct hs_error *err)
{
	if (append->expected == HS_EXPECT_ANY || append->expected == version ||
	    (append->expected == HS_EXPECT_EXISTS && version > 0))
		return HS_OK;
	if (append->expected == HS_EXPECT_EXISTS)
		hs_fail(err, HS_CONFLICT, NULL, "stream '%s' does not exist", hs_quote(append->stream).s);
	else if (append->expected == 0)
		hs_fail(err, HS_CONFLICT, NULL, "stream '%s' exists: it is at version %lld",
			hs_quote(append->stream).s, (long long)version);
	else
		hs_fail(err, HS_CONFLICT, NULL, "stream '%s' is at version %lld, not %lld",
			hs_quote(append->stream).s, (long long)version, (long long)append->expected);
	err->has_versions = true;
	err->expected = append->expected;
	err->actual = version;
	return HS_CONFLICT;
}

/* What the answers say: written, written before, or refused. */
static enum hs_code judge(const struct answer *answer, struct hs_error *err)
{
	struct hs_append *append = answer->append;
	enum hs_code rc;

	if (answer->first) {
		append->first = answer->first;
		append->last = answer->first + append->count - 1;
		append->position = answer->position;
		return HS_OK;
	}
	if (answer->known.count)
		return judge_replay(answer, err);
	rc = judge_version(append, answer->version, err);
	if (rc)
		return rc;
	if (append->count)
		return hs_fail(err, HS_QUERY, NULL, "the database wrote nothing and does not say why");
	append->first = append->last = answer->version;
	append->position = answer->position;
	return HS_OK;
}

static enum hs_code take_version(void *context, const struct hs_value *row, int columns, struct hs_error *err)
{
	(void)columns, (void)err;
	((struct answer *)context)->version = row[0].i;
	return HS_OK;
}

static enum hs_code take_position(void *context, const struct hs_value *row, int columns, struct hs_error *err)
{
	(void)columns, (void)err;
	((struct answer *)context)->position = row[0].i;
	return HS_OK;
}

static enum hs_code take_written(void *context, const struct hs_value *row, int columns, struct hs_error *err)
{
	struct answer *answer = context;

	(void)columns, (void)err;
	if (!answer->first)
		answer->first = row[0].i;
	answer->position = row[1].i;
	return HS_OK;
}

/* Asks for what would explain a refusal. */
static enum hs_code ask(struct hs_store *store, struct answer *answer, struct hs_error *err)
{
	const struct hs_append *append = answer->append;
	struct hs_value values[] = {hs_text_value(store->tenant), hs_text_value(append->stream)};
	enum hs_code rc = hs_send(store, HS_SQL_STREAM_VERSION, values, 2, take_version, answer, err);

	if (rc == HS_OK && append->count == 0)
		rc = hs_send(store, HS_SQL_LOG_POSITION, values, 1, take_position, answer, err);
	for (int i = 0; rc == HS_OK && i < append->count; i++) {
		if (!append->events[i].id)
			continue;
		answer->given++;
		values[1] = hs_text_value(append->events[i].id);
		rc = hs_events_ask(store, HS_SQL_EVENT_BY_ID, values, 2, &answer->known, err);
	}
	return rc;
}

static enum hs_code make_ids(struct hs_store *store, struct hs_arena *arena, struct hs_append *append,
			     struct hs_error *err)
{
	append->ids = hs_alloc(arena, (size_t)(append->count + 1) * sizeof *append->ids);
	if (!append->ids)
		return hs_no_memory(err);
	for (int i = 0; i < append->count; i++) {
		char made[HS_ULID_SIZE];
		enum hs_code rc = HS_OK;

		append->ids[i] = append->events[i].id;
		if (append->ids[i])
			continue;
		rc = hs_ulid(store->ids, store->now, made, err);
		if (rc)
			return rc;
		append->ids[i] = hs_copy(arena, made, HS_ULID_SIZE - 1);
		if (!append->ids[i])
			return hs_no_memory(err);
	}
	return HS_OK;
}

static enum hs_code send_events(struct hs_store *store, struct answer *answer, struct hs_error *err)
{
	const struct hs_append *append = answer->append;
	struct hs_guard guard = {.expected = append->expected};
	struct hs_event event = {.stream = append->stream, .recorded_at = store->now,
		.actor = append->by.actor ? append->by.actor : store->actor, .reason = append->by.reason};
	enum hs_code rc = HS_OK;

	for (int i = 0; rc == HS_OK && i < append->count; i++) {
		const struct hs_new_event *given = &append->events[i];

		event.id = append->ids[i];
		event.type = given->type;
		event.data = given->data;
		event.metadata = given->metadata ? given->metadata : append->by.metadata;
		event.occurred_at = given->occurred_at == HS_TIME_UNSET ? store->now : given->occurred_at;
		if (i == 0)
			rc = hs_event_send_if(store, &event, &guard, take_written, answer, err);
		else
			rc = hs_event_send_next(store, &event, append->ids[i - 1], take_written, answer, err);
	}
	return rc;
}

static enum hs_code send_append(struct hs_store *store, struct hs_arena *arena, struct answer *answer,
				struct hs_error *err)
{
	struct hs_append *append = answer->append;
	enum hs_code rc = check_append(append, err);

	answer->known.arena = arena;
	if (rc == HS_OK)
		rc = make_ids(store, arena, append, err);
	if (rc == HS_OK)
		rc = ask(store, answer, err);
	/* One id decides by itself whether it is new; of several, all have to be. */
	if (rc == HS_OK && answer->given > 0 && append->count > 1) {
		rc = hs_sync(store, err);
		if (rc == HS_OK && answer->known.count)
			return HS_OK;
	}
	return rc ? rc : send_events(store, answer, err);
}

/* A refusal of one operation, which the others of a batch survive. */
static bool is_refusal(enum hs_code rc)
{
	return rc == HS_INVALID || rc == HS_CONFLICT || rc == HS_PARTIAL_REPLAY || rc == HS_ID_REUSE;
}

static enum hs_code send_all(struct hs_store *store, struct hs_arena *arena, struct answer *answers,
			     int count, bool atomic, struct hs_error *err)
{
	for (int i = 0; i < count; i++) {
		enum hs_code rc = send_append(store, arena, &answers[i], err);

		if (rc && (atomic || !is_refusal(rc))) {
			err->index = i + 1;
			return rc;
		}
		if (rc)
			answers[i].append->err = *err;
	}
	return HS_OK;
}

static enum hs_code judge_all(struct answer *answers, int count, bool atomic, struct hs_error *err)
{
	for (int i = 0; i < count; i++) {
		struct hs_append *append = answers[i].append;
		enum hs_code rc = append->err.code ? HS_OK : judge(&answers[i], err);

		if (rc && (atomic || !is_refusal(rc))) {
			err->index = i + 1;
			return rc;
		}
		if (rc)
			append->err = *err;
	}
	return HS_OK;
}

enum hs_code hs_append(struct hs_store *store, struct hs_arena *arena, struct hs_append *appends,
		       int count, bool atomic, struct hs_error *err)
{
	struct answer *answers = hs_alloc(arena, (size_t)(count + 1) * sizeof *answers);
	/* One append writes all or nothing by itself; several are judged before they are committed. */
	bool early = atomic && count > 1;
	enum hs_code rc;

	if (!answers)
		return hs_no_memory(err);
	memset(answers, 0, (size_t)(count + 1) * sizeof *answers);
	for (int i = 0; i < count; i++)
		answers[i].append = &appends[i];
	rc = hs_begin(store, true, err);
	if (rc)
		return rc;
	rc = send_all(store, arena, answers, count, atomic, err);
	if (rc == HS_OK && early)
		rc = hs_sync(store, err);
	if (rc == HS_OK && early)
		rc = judge_all(answers, count, atomic, err);
	rc = hs_end(store, rc, err);
	return rc || early ? rc : judge_all(answers, count, atomic, err);
}

/* -- streams -------------------------------------------------------------------------------------------------------- */

struct stream_sink {
	struct hs_arena *arena;
	const char *prefix;
	struct hs_stream *items;
	size_t count, room;
};

static enum hs_code take_stream(void *context, const struct hs_value *row, int columns,
				struct hs_error *err)
{
	struct stream_sink *sink = context;
	struct hs_stream *stream;

	(void)columns;
	/* Streams come in order, so those with the prefix stand together at the start. */
	if (sink->prefix && strncmp(row[0].s, sink->prefix, strlen(sink->prefix)) != 0)
		return HS_STOP;
	sink->items = hs_grow(sink->arena, sink->items, sink->count, &sink->room, sizeof *sink->items);
	if (!sink->items)
		return hs_no_memory(err);
	stream = &sink->items[sink->count++];
	stream->stream = hs_copy(sink->arena, row[0].s, row[0].n);
	stream->version = row[1].i;
	stream->partition = row[2].i;
	stream->created_at = row[3].i;
	stream->updated_at = row[4].i;
	return stream->stream ? HS_OK : hs_no_memory(err);
}

enum hs_code hs_streams(struct hs_store *store, struct hs_arena *arena,
			const struct hs_stream_query *query, struct hs_stream **streams,
			size_t *count, struct hs_error *err)
{
	struct hs_value values[5];
	struct hs_composed c = {.sql = {.arena = arena}, .values = values};
	struct stream_sink sink = {.arena = arena, .prefix = query->prefix};
	enum hs_code rc;

	hs_piece(&c, "SELECT s.stream, s.version, last.partition, first.recorded_at, last.recorded_at"
		  " FROM (SELECT stream, MIN(version) AS first, MAX(version) AS version FROM events");
	hs_parameter(&c, " WHERE tenant = ", hs_text_value(store->tenant));
	if (query->prefix)
		hs_parameter(&c, " AND stream >= ", hs_text_value(query->prefix));
	if (query->after)
		hs_parameter(&c, " AND stream > ", hs_text_value(query->after));
	if (query->partition >= 0)
		hs_parameter(&c, " AND partition = ", hs_int(query->partition));
	hs_piece(&c, " GROUP BY stream ORDER BY stream");
	if (query->limit >= 0)
		hs_parameter(&c, " LIMIT ", hs_int(query->limit));
	hs_piece(&c, ") AS s JOIN events AS first ON first.tenant = $1 AND first.stream = s.stream"
		  " AND first.version = s.first JOIN events AS last ON last.tenant = $1"
		  " AND last.stream = s.stream AND last.version = s.version ORDER BY s.stream");
	if (c.sql.failed)
		return hs_no_memory(err);
	rc = hs_query(store, c.sql.s, values, c.count, take_stream, &sink, err);
	*streams = sink.items;
	*count = sink.count;
	return rc;
}

/* -- saved states ------------------------------------------------------------------------------------------------------ */

static enum hs_code save_state(struct hs_store *store, const char *stream, int64_t version,
			       const char *state, struct hs_error *err)
{
	struct hs_value values[] = {hs_text_value(store->tenant), hs_text_value(stream), hs_int(version),
		hs_text_value(state), hs_int(store->now)};
	int64_t actual;
	enum hs_code rc = hs_stream_version(store, stream, &actual, err);

	if (rc)
		return rc;
	if (version < 0 || version > actual)
		return hs_fail(err, HS_INVALID, "version", "there is no version %lld of stream '%s'; it is at %lld",
			       (long long)version, hs_quote(stream).s, (long long)actual);
	return hs_run(store, HS_SQL_STATE_SAVE, values, 5, NULL, NULL, err);
}

enum hs_code hs_state_save(struct hs_store *store, const char *stream, int64_t version,
			   const char *state, struct hs_error *err)
{
	enum hs_code rc = hs_check_stream(stream, err);

	if (rc == HS_OK)
		rc = hs_begin(store, true, err);
	if (rc)
		return rc;
	return hs_end(store, save_state(store, stream, version, state, err), err);
}

struct state_sink {
	struct hs_arena *arena;
	int64_t *version;
	const char **state;
};

static enum hs_code take_state(void *context, const struct hs_value *row, int columns,
			       struct hs_error *err)
{
	struct state_sink *sink = context;

	(void)columns;
	*sink->version = row[0].i;
	*sink->state = hs_copy(sink->arena, row[1].s, row[1].n);
	return *sink->state ? HS_OK : hs_no_memory(err);
}

enum hs_code hs_state_load(struct hs_store *store, struct hs_arena *arena, const char *stream,
			   int64_t *version, const char **state, struct hs_error *err)
{
	struct hs_value values[] = {hs_text_value(store->tenant), hs_text_value(stream)};
	struct state_sink sink = {arena, version, state};

	*state = NULL;
	return hs_run(store, HS_SQL_STATE_LOAD, values, 2, take_state, &sink, err);
}
