/* host.c -- host entries: checked, written as events, kept in the read model.
 *
 * hs_host_write is the one way a host changes: an event for each changed field and the row of the
 * read model, in the same transaction. */
#include <stdlib.h>
#include <string.h>

#include "hs.h"

/* -- lists ------------------------------------------------------------------------------------------------ */

bool hs_next_item(const char **list, char separator, struct hs_item *item)
{
	const char *end = strchr(*list, separator);

	item->s = *list;
	item->n = end ? (size_t)(end - *list) : strlen(*list);
	*list += item->n + (end ? 1 : 0);
	return item->n > 0;
}

bool hs_list_has(const char *list, char separator, const char *s, size_t n)
{
	struct hs_item item;

	while (hs_next_item(&list, separator, &item))
		if (item.n == n && memcmp(item.s, s, n) == 0)
			return true;
	return false;
}

const char **hs_split(struct hs_arena *arena, const char *list, char separator, int *count)
{
	const char **items = NULL;
	size_t n = 0, room = 0;
	struct hs_item item;

	while (hs_next_item(&list, separator, &item)) {
		items = hs_grow(arena, items, n, &room, sizeof *items);
		if (!items || !(items[n++] = hs_copy(arena, item.s, item.n)))
			return NULL;
	}
	*count = (int)n;
	return items ? items : hs_alloc(arena, sizeof *items);
}

/* -- rows ---------------------------------------------------------------------------------------------------- */

enum hs_code hs_host_from_row(struct hs_arena *arena, const struct hs_value *row, struct hs_host *host,
			      struct hs_error *err)
{
	const char **texts[] = {[0] = &host->id, [3] = &host->ip, [4] = &host->hostname,
		[5] = &host->aliases, [6] = &host->comment, [7] = &host->tags, [10] = &host->origin};

	host->version = row[1].i;
	host->position = row[2].i;
	host->enabled = row[8].i != 0;
	host->expires_at = row[9].type == HS_NULL ? HS_TIME_UNSET : row[9].i;
	host->created_at = row[11].i;
	host->updated_at = row[12].i;
	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
		if (!texts[i])
			continue;
		*texts[i] = row[i].n ? hs_copy(arena, row[i].s, row[i].n) : "";
		if (!*texts[i])
			return hs_no_memory(err);
	}
	if (row[6].type == HS_NULL)
		host->comment = NULL;
	return HS_OK;
}

struct host_sink {
	struct hs_arena *arena;
	struct hs_host *host;
	bool found;
};

static enum hs_code take_host(void *context, const struct hs_value *row, int columns,
			      struct hs_error *err)
{
	struct host_sink *sink = context;

	(void)columns;
	sink->found = true;
	return hs_host_from_row(sink->arena, row, sink->host, err);
}

/* -- checking ---------------------------------------------------------------------------------------------------- */

static bool is_given(const struct hs_host_input *input, enum hs_field field)
{
	return input->given & 1u << field;
}

static enum hs_code check_aliases(struct hs_arena *arena, const struct hs_host_input *input, bool lenient,
				  struct hs_host *host, struct hs_error *err)
{
	struct hs_text joined = {.arena = arena};

	if (input->alias_count > 50)
		return hs_fail(err, HS_INVALID, "aliases", "%d aliases are given; at most 50 are allowed",
			       input->alias_count);
	for (int i = 0; i < input->alias_count; i++) {
		const char *alias;
		enum hs_code rc = hs_check_name(arena, "aliases", input->aliases[i], lenient, &alias, err);

		if (rc)
			return rc;
		if (joined.n && hs_list_has(joined.s, ' ', alias, strlen(alias)))
			return hs_fail(err, HS_INVALID, "aliases", "alias '%s' is given twice", hs_quote(alias).s);
		if (joined.n)
			hs_text_add(&joined, " ");
		hs_text_add(&joined, alias);
	}
	host->aliases = joined.n ? joined.s : "";
	return joined.failed ? hs_no_memory(err) : HS_OK;
}

static int compare_texts(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static enum hs_code check_tags(struct hs_arena *arena, const struct hs_host_input *input,
			       struct hs_host *host, struct hs_error *err)
{
	struct hs_text joined = {.arena = arena};
	const char **sorted = hs_alloc(arena, ((size_t)input->tag_count + 1) * sizeof *sorted);
	int different = 0;

	if (!sorted)
		return hs_no_memory(err);
	for (int i = 0; i < input->tag_count; i++) {
		enum hs_code rc = hs_check_tag(input->tags[i], err);

		if (rc)
			return rc;
		sorted[i] = input->tags[i];
	}
	if (input->tag_count)
		qsort(sorted, (size_t)input->tag_count, sizeof *sorted, compare_texts);
	for (int i = 0; i < input->tag_count; i++) {
		if (i > 0 && strcmp(sorted[i], sorted[i - 1]) == 0)
			continue;
		if (different++)
			hs_text_add(&joined, ",");
		hs_text_add(&joined, sorted[i]);
	}
	if (different > 64)
		return hs_fail(err, HS_INVALID, "tags", "%d tags are given; at most 64 are allowed", different);
	host->tags = joined.n ? joined.s : "";
	return joined.failed ? hs_no_memory(err) : HS_OK;
}

static enum hs_code check_ip(struct hs_arena *arena, const char *text, struct hs_host *host,
			     struct hs_error *err)
{
	struct hs_ip ip;
	enum hs_code rc = hs_check_ip(text, &ip, err);

	if (rc)
		return rc;
	host->ip = hs_copy(arena, ip.text, strlen(ip.text));
	return host->ip ? HS_OK : hs_no_memory(err);
}

static enum hs_code check_missing(const struct hs_host_input *input, struct hs_error *err)
{
	if (is_given(input, HS_IP) && !input->ip)
		return hs_fail(err, HS_INVALID, "ip", "an IP address is missing");
	if (is_given(input, HS_HOSTNAME) && !input->hostname)
		return hs_fail(err, HS_INVALID, "hostname", "a hostname is missing");
	return HS_OK;
}

static enum hs_code check_expiry(int64_t time, struct hs_error *err)
{
	if (time != HS_TIME_UNSET && (time < 0 || time > HS_TIME_MAX))
		return hs_fail(err, HS_INVALID, "expires_at", "the time %lld is not between the years 1970 and "
			       "9999", (long long)(time / 1000000));
	return HS_OK;
}

enum hs_code hs_host_check(struct hs_arena *arena, const struct hs_host_input *input, bool lenient,
			   struct hs_host *host, struct hs_error *err)
{
	enum hs_code rc = check_missing(input, err);

	if (rc == HS_OK && is_given(input, HS_IP))
		rc = check_ip(arena, input->ip, host, err);
	if (rc == HS_OK && is_given(input, HS_HOSTNAME))
		rc = hs_check_name(arena, "hostname", input->hostname, lenient, &host->hostname, err);
	if (rc == HS_OK && is_given(input, HS_ALIASES))
		rc = check_aliases(arena, input, lenient, host, err);
	if (rc == HS_OK && is_given(input, HS_COMMENT)) {
		host->comment = input->comment && *input->comment ? input->comment : NULL;
		if (host->comment)
			rc = hs_check_comment(host->comment, err);
	}
	if (rc == HS_OK && is_given(input, HS_TAGS))
		rc = check_tags(arena, input, host, err);
	if (is_given(input, HS_ENABLED))
		host->enabled = input->enabled;
	if (rc == HS_OK && is_given(input, HS_EXPIRES_AT)) {
		host->expires_at = input->expires_at;
		rc = check_expiry(host->expires_at, err);
	}
	if (rc == HS_OK && is_given(input, HS_ORIGIN)) {
		host->origin = input->origin;
		rc = hs_check_origin(host->origin, err);
	}
	if (rc == HS_OK && hs_list_has(host->aliases, ' ', host->hostname, strlen(host->hostname)))
		rc = hs_fail(err, HS_INVALID, "aliases", "'%s' is the hostname already; it cannot be an alias too",
			     hs_quote(host->hostname).s);
	return rc;
}

/* -- the read model ----------------------------------------------------------------------------------------------------- */

/* Sends STATEMENT ($2 item, $3 event id, $4 host id) for each item of LIST that OTHER lacks. */
static enum hs_code send_items(struct hs_store *store, struct hs_arena *arena, enum hs_sql statement,
			       const char *list, const char *other, char separator, const char *id,
			       const char *event, struct hs_error *err)
{
	struct hs_item item;

	while (hs_next_item(&list, separator, &item)) {
		struct hs_value values[4] = {hs_text_value(store->tenant), {.type = HS_TEXT},
			hs_text_value(event), hs_text_value(id)};
		enum hs_code rc;

		if (hs_list_has(other, separator, item.s, item.n))
			continue;
		values[1].s = hs_copy(arena, item.s, item.n);
		values[1].n = item.n;
		if (!values[1].s)
			return hs_no_memory(err);
		rc = hs_send(store, statement, values, 4, NULL, NULL, err);
		if (rc)
			return rc;
	}
	return HS_OK;
}

/* The side tables that find hosts by alias and by tag. */
static enum hs_code index_items(struct hs_store *store, struct hs_arena *arena,
				const struct hs_host *before, const struct hs_host *after,
				const char *event, struct hs_error *err)
{
	const char *id = after ? after->id : before->id;
	const char *old_aliases = before ? before->aliases : "", *aliases = after ? after->aliases : "";
	const char *old_tags = before ? before->tags : "", *tags = after ? after->tags : "";
	enum hs_code rc;

	rc = send_items(store, arena, HS_SQL_ALIAS_DELETE, old_aliases, aliases, ' ', id, event, err);
	if (rc == HS_OK)
		rc = send_items(store, arena, HS_SQL_ALIAS_INSERT, aliases, old_aliases, ' ', id, event, err);
	if (rc == HS_OK)
		rc = send_items(store, arena, HS_SQL_TAG_DELETE, old_tags, tags, ',', id, event, err);
	if (rc == HS_OK)
		rc = send_items(store, arena, HS_SQL_TAG_INSERT, tags, old_tags, ',', id, event, err);
	return rc;
}

/* What a host's row consists of, beside what its newest event tells. */
static enum hs_code put_host(struct hs_value values[HS_HOST_VALUES], struct hs_ip *ip, const struct hs_host *host,
			     struct hs_error *err)
{
	enum hs_code rc = hs_check_ip(host->ip, ip, err);

	values[0] = hs_text_value(ip->key);
	values[1] = hs_text_value(host->ip);
	values[2] = hs_text_value(host->hostname);
	values[3] = hs_text_value(host->aliases);
	values[4] = hs_text_value(host->comment);
	values[5] = hs_text_value(host->tags);
	values[6] = hs_int(host->enabled);
	values[7] = hs_time_value(host->expires_at);
	values[8] = hs_text_value(host->origin);
	values[9] = hs_int(host->created_at);
	return rc;
}

static enum hs_code put_row(struct hs_store *store, enum hs_sql statement, const struct hs_host *host,
			    const char *event, struct hs_error *err)
{
	struct hs_value values[3 + HS_HOST_VALUES] = {hs_text_value(store->tenant), hs_text_value(host->id),
		hs_text_value(event)};
	struct hs_ip ip;
	enum hs_code rc = put_host(values + 3, &ip, host, err);

	return rc ? rc : hs_send(store, statement, values, 3 + HS_HOST_VALUES, NULL, NULL, err);
}

enum hs_code hs_model_put(struct hs_store *store, struct hs_arena *arena, const struct hs_host *before,
			  const struct hs_host *after, const char *event, struct hs_error *err)
{
	struct hs_value values[] = {hs_text_value(store->tenant),
		hs_text_value(before ? before->id : after->id), hs_text_value(event)};
	struct hs_mark mark = hs_mark(arena);
	enum hs_code rc;

	if (!after)
		rc = hs_send(store, HS_SQL_HOST_DELETE, values, 3, NULL, NULL, err);
	else
		rc = put_row(store, before ? HS_SQL_HOST_UPDATE : HS_SQL_HOST_INSERT, after, event, err);
	if (rc == HS_OK)
		rc = index_items(store, arena, before, after, event, err);
	hs_rewind(arena, mark);
	return rc;
}

/* -- events -------------------------------------------------------------------------------------------------------------------- */

/* Sends the events of one host, in order. */
struct writer {
	struct hs_store *store;
	struct hs_arena *arena;
	const struct hs_cause *by;
	const char *stream;
	const char *event_id;			/* of the first event, or NULL */
	const struct hs_guard *guard;		/* or NULL: nothing can stand against it */
	struct hs_host *written;		/* gets version, position and time of what was written, or NULL */
	bool newborn;				/* the host has just got its id, so its stream is empty */
	bool with_row;				/* the host's row is written with the event */
	int64_t version;			/* before the next event, where there is no guard */
	char *newest;				/* the id of the event sent last, or NULL */
};

static enum hs_code take_place(void *context, const struct hs_value *row, int columns, struct hs_error *err)
{
	struct hs_host *written = context;

	(void)columns, (void)err;
	written->version = row[0].i;
	written->position = row[1].i;
	return HS_OK;
}

static enum hs_code make_id(struct writer *w, char **id, struct hs_error *err)
{
	char made[HS_ULID_SIZE];
	enum hs_code rc = HS_OK;

	if (w->event_id)
		memcpy(made, w->event_id, HS_ULID_SIZE);
	else
		rc = hs_ulid(w->store->ids, w->store->now, made, err);
	w->event_id = NULL;
	if (rc)
		return rc;
	*id = hs_copy(w->arena, made, HS_ULID_SIZE - 1);
	return *id ? HS_OK : hs_no_memory(err);
}

static enum hs_code send_with_row(struct writer *w, const struct hs_event *event, const struct hs_host *host,
				  struct hs_error *err)
{
	struct hs_value values[HS_HOST_VALUES];
	struct hs_ip ip;
	enum hs_code rc = put_host(values, &ip, host, err);

	return rc ? rc : hs_event_send_host(w->store, event, host->id, values, take_place, w->written, err);
}

/* One event of TYPE that leaves the host as HOST. */
static enum hs_code send_event(struct writer *w, const char *type, const struct hs_host *host,
			       struct hs_error *err)
{
	struct hs_store *store = w->store;
	struct hs_event event = {.stream = w->stream, .version = ++w->version, .type = type,
		.metadata = w->by->metadata, .actor = w->by->actor ? w->by->actor : store->actor,
		.reason = w->by->reason, .occurred_at = store->now, .recorded_at = store->now};
	const char *previous = w->newest;
	enum hs_code rc = make_id(w, &w->newest, err);
	struct hs_mark mark = hs_mark(w->arena);

	if (rc)
		return rc;
	event.id = w->newest;
	event.data = hs_host_encode(w->arena, host);
	if (!event.data)
		rc = hs_no_memory(err);
	else if (w->with_row)
		rc = send_with_row(w, &event, host, err);
	else if (!w->guard)
		rc = hs_event_send(store, &event, err);
	else if (previous)
		rc = hs_event_send_next(store, &event, previous, take_place, w->written, err);
	else
		rc = hs_event_send_if(store, &event, w->guard, take_place, w->written, err);
	hs_rewind(w->arena, mark);
	return rc;
}

static enum hs_code send_changes(struct writer *w, const struct hs_host *before,
				 const struct hs_host *after, struct hs_error *err)
{
	struct hs_host now = *before;
	enum hs_code rc = HS_OK;

	for (enum hs_field field = 0; rc == HS_OK && field < HS_FIELDS; field++) {
		if (hs_field_equal(&now, after, field))
			continue;
		hs_field_copy(&now, after, field);
		rc = send_event(w, hs_field_event(field), &now, err);
	}
	return rc;
}

static enum hs_code send_events(struct writer *w, const struct hs_host *before,
				const struct hs_host *after, struct hs_error *err)
{
	char stream[5 + HS_ULID_SIZE] = "host-";
	enum hs_code rc = HS_OK;

	strncat(stream, before ? before->id : after->id, HS_ULID_SIZE - 1);
	w->stream = stream;
	if (before)
		w->version = before->version;
	else if (!w->guard && !w->newborn)	/* a host that comes back goes on with its old stream */
		rc = hs_stream_version(w->store, stream, &w->version, err);
	if (rc)
		return rc;
	if (!before)
		return send_event(w, "HostCreated", after, err);
	if (!after)
		return send_event(w, "HostDeleted", before, err);
	return send_changes(w, before, after, err);
}

enum hs_code hs_host_log(struct hs_store *store, struct hs_arena *arena, const struct hs_host *before,
			 const struct hs_host *after, const struct hs_cause *by, const char **newest,
			 struct hs_error *err)
{
	struct writer w = {.store = store, .arena = arena, .by = by};
	enum hs_code rc = send_events(&w, before, after, err);

	*newest = w.newest;
	return rc;
}

/* A new host begins its life. */
static enum hs_code create_host(struct hs_store *store, struct hs_arena *arena, struct hs_host *host,
				struct hs_error *err)
{
	char id[HS_ULID_SIZE];
	enum hs_code rc = hs_ulid(store->ids, store->now, id, err);

	if (rc)
		return rc;
	host->id = hs_copy(arena, id, HS_ULID_SIZE - 1);
	host->created_at = host->updated_at = store->now;
	return host->id ? HS_OK : hs_no_memory(err);
}

enum hs_code hs_host_write(struct hs_store *store, struct hs_arena *arena,
			   const struct hs_host *before, struct hs_host *after,
			   const struct hs_cause *by, struct hs_error *err)
{
	struct writer w = {.store = store, .arena = arena, .by = by, .newborn = after && !after->id};
	enum hs_code rc = w.newborn ? create_host(store, arena, after, err) : HS_OK;

	if (rc == HS_OK)
		rc = send_events(&w, before, after, err);
	/* No event: nothing has changed. */
	return rc || !w.newest ? rc : hs_model_put(store, arena, before, after, w.newest, err);
}

enum hs_code hs_begin_change(struct hs_store *store, const struct hs_cause *by, struct hs_error *err)
{
	enum hs_code rc = hs_check_cause(by, err);

	return rc ? rc : hs_begin(store, true, err);
}

/* -- commands --------------------------------------------------------------------------------------------------------------------------- */

/* One change of one host, in one round trip: what would explain a refusal is asked for, the guarded
 * events and the read model are sent, and after the commit the answers tell what came of it. */
struct command {
	struct hs_store *store;
	struct hs_arena *arena;
	const struct hs_cause *by;
	struct hs_host *written;		/* its position is 0 until the answer has come */
	struct host_sink other, current;	/* who has the key; the host itself */
};

static enum hs_code prepare(struct command *command, struct hs_store *store, struct hs_arena *arena,
			    const struct hs_cause *by, struct hs_error *err)
{
	struct hs_host *hosts = hs_alloc(arena, 3 * sizeof *hosts);

	if (!hosts)
		return hs_no_memory(err);
	memset(hosts, 0, 3 * sizeof *hosts);
	*command = (struct command){.store = store, .arena = arena, .by = by, .written = &hosts[0],
		.other = {.arena = arena, .host = &hosts[1]}, .current = {.arena = arena, .host = &hosts[2]}};
	return HS_OK;
}

static enum hs_code ask_for_host(struct command *command, const char *id, struct hs_error *err)
{
	struct hs_store *store = command->store;

	return hs_send(store, HS_SQL_HOST_GET, (struct hs_value[]){hs_text_value(store->tenant),
		hs_text_value(id)}, 2, take_host, &command->current, err);
}

static enum hs_code fail_duplicate(const struct host_sink *other, struct hs_error *err)
{
	hs_fail(err, HS_DUPLICATE, NULL, "'%s %s' exists already as host %s", other->host->ip,
		hs_quote(other->host->hostname).s, other->host->id);
	err->current = other->host;
	return HS_DUPLICATE;
}

static bool same_key(const struct hs_host *a, const struct hs_host *b)
{
	return hs_field_equal(a, b, HS_IP) && hs_field_equal(a, b, HS_HOSTNAME);
}

/* Sends the change from BEFORE to AFTER, or NULL. BODY is the data of the newest event if BEFORE is right
 * about the host, NULL where that is known. */
static enum hs_code send_change(struct command *command, const struct hs_host *before,
				const struct hs_host *after, const char *body, struct hs_error *err)
{
	struct hs_guard guard = {.expected = before->version, .body = body};
	struct writer w = {.store = command->store, .arena = command->arena, .by = command->by,
		.guard = &guard, .written = command->written};
	struct hs_ip ip;
	enum hs_code rc = HS_OK;

	if (after && !same_key(before, after)) {
		rc = hs_check_ip(after->ip, &ip, err);
		if (rc)
			return rc;
		guard.ip_key = ip.key;
		guard.hostname = after->hostname;
		guard.host = after->id;
		rc = hs_send(command->store, HS_SQL_HOST_FIND, (struct hs_value[]){hs_text_value(command->store->tenant),
			hs_text_value(ip.key), hs_text_value(after->hostname)}, 3, take_host, &command->other, err);
	}
	if (rc == HS_OK)
		rc = send_events(&w, before, after, err);
	if (rc == HS_OK)
		rc = hs_model_put(command->store, command->arena, before, after, w.newest, err);
	return rc;
}

static enum hs_code fail_unexplained(struct hs_error *err)
{
	return hs_fail(err, HS_QUERY, NULL, "the database wrote nothing and does not say why");
}

enum hs_code hs_host_check_free(struct hs_store *store, struct hs_arena *arena, const struct hs_host *host,
				struct hs_error *err)
{
	struct host_sink other = {.arena = arena, .host = hs_alloc(arena, sizeof *other.host)};
	struct hs_ip ip;
	enum hs_code rc = other.host ? hs_check_ip(host->ip, &ip, err) : hs_no_memory(err);

	if (rc == HS_OK)
		rc = hs_run(store, HS_SQL_HOST_FIND, (struct hs_value[]){hs_text_value(store->tenant),
			hs_text_value(ip.key), hs_text_value(host->hostname)}, 3, take_host, &other, err);
	if (rc || !other.found || (host->id && strcmp(other.host->id, host->id) == 0))
		return rc;
	return fail_duplicate(&other, err);
}

/* -- add ------------------------------------------------------------------------------------------------------------------------------ */

struct hs_host hs_host_blank(void)
{
	return (struct hs_host){.hostname = "", .aliases = "", .tags = "", .enabled = true,
		.expires_at = HS_TIME_UNSET, .origin = "admin"};
}

enum { ADD_TRIES = 10 };

/* An add with an event id that is known: the same host again is the answer of the first time. */
static enum hs_code replay_add(struct hs_arena *arena, const struct hs_event *event, struct hs_host *host,
			       struct hs_error *err)
{
	struct hs_host known;
	enum hs_code rc = HS_OK;
	bool created = hs_event_is_host(event) && strcmp(event->type, "HostCreated") == 0;

	if (created)
		rc = hs_host_decode(arena, event, &known, err);
	if (rc)
		return rc;
	if (!created || !hs_fields_equal(host, &known))
		return hs_fail(err, HS_ID_REUSE, "event_id", "event id '%s' is used by another event of stream "
			       "'%s'", event->id, hs_quote(event->stream).s);
	*host = known;
	return HS_OK;
}

static enum hs_code send_host(struct writer *w, struct hs_host *host, struct hs_events *known, struct hs_error *err)
{
	enum hs_code rc = create_host(w->store, w->arena, host, err);

	if (rc == HS_OK && w->event_id)
		rc = hs_events_ask(w->store, HS_SQL_EVENT_BY_ID, (struct hs_value[]){
			hs_text_value(w->store->tenant), hs_text_value(w->event_id)}, 2, known, err);
	if (rc == HS_OK)
		rc = send_events(w, NULL, host, err);
	return rc ? rc : index_items(w->store, w->arena, NULL, host, w->newest, err);
}

/* The position of HOST stays 0 when its key is taken, or the event id known. */
static enum hs_code add_host(struct hs_store *store, struct hs_arena *arena, const struct hs_cause *by,
			     struct hs_host *host, const char *event_id, struct hs_events *known,
			     struct hs_error *err)
{
	struct hs_host written = {.position = 0};
	struct writer w = {.store = store, .arena = arena, .by = by, .event_id = event_id,
		.written = &written, .newborn = true, .with_row = true};
	enum hs_code rc = hs_begin(store, true, err);

	if (rc)
		return rc;
	rc = hs_end(store, send_host(&w, host, known, err), err);
	host->version = written.version;
	host->position = written.position;
	return rc;
}

enum hs_code hs_host_add(struct hs_store *store, struct hs_arena *arena,
			 const struct hs_host_input *input, const struct hs_add *how,
			 struct hs_host *host, struct hs_error *err)
{
	struct hs_host_input whole = *input;
	struct hs_events known = {.arena = arena};
	const struct hs_cause *by = &how->by;
	enum hs_code rc = hs_check_cause(by, err);

	/* Both are needed: missing ones are reported like wrong ones. */
	whole.given |= 1u << HS_IP | 1u << HS_HOSTNAME;
	*host = hs_host_blank();
	if (rc == HS_OK)
		rc = hs_host_check(arena, &whole, store->lenient, host, err);
	if (rc == HS_OK && how->event_id && !hs_is_ulid(how->event_id))
		rc = hs_fail(err, HS_INVALID, "event_id", "'%s' is not a ULID (26 digits and upper-case "
			     "letters)", hs_quote(how->event_id).s);
	if (rc == HS_OK)
		rc = hs_policy_change(store, arena, NULL, host, &by, err);
	/* Whoever had the key may be gone by the time we ask: then it is ours to take. */
	for (int tries = 0; rc == HS_OK && tries < ADD_TRIES; tries++) {
		rc = add_host(store, arena, by, host, how->event_id, &known, err);
		if (rc || host->position)
			return rc;
		if (known.count)
			return replay_add(arena, &known.items[0], host, err);
		rc = hs_host_check_free(store, arena, host, err);
	}
	return rc ? rc : fail_unexplained(err);
}

/* -- update and delete -------------------------------------------------------------------------------------------------------------------- */

static enum hs_code fail_not_found(struct hs_error *err, const char *id)
{
	return hs_fail(err, HS_NOT_FOUND, "id", "there is no host '%s'", hs_quote(id).s);
}

static enum hs_code check_current(const struct command *command, const char *id, int64_t expected,
				  struct hs_error *err)
{
	const struct hs_host *host = command->current.host;

	if (!command->current.found)
		return fail_not_found(err, id);
	if (expected == HS_EXPECT_ANY || expected == host->version)
		return HS_OK;
	hs_fail(err, HS_CONFLICT, NULL, "host %s ('%s') is at version %lld, not %lld: somebody changed it",
		host->id, hs_quote(host->hostname).s, (long long)host->version, (long long)expected);
	err->has_versions = true;
	err->expected = expected;
	err->actual = host->version;
	err->current = host;
	return HS_CONFLICT;
}

/* A change of a host that is there: CHANGES, or NULL to delete it. */
struct change {
	const char *id;
	int64_t expected;
	const struct hs_host *known;		/* as the caller read it, or NULL: it is read first */
	const struct hs_host_input *changes;
	struct hs_host *host;			/* what it becomes */
	bool changed;
};

static enum hs_code change_host(struct command *command, struct change *change, struct hs_error *err)
{
	const struct hs_host *before = change->known ? change->known : command->current.host;
	const char *body = NULL;
	enum hs_code rc = ask_for_host(command, change->id, err);

	if (rc == HS_OK && !change->known) {
		rc = hs_sync(command->store, err);
		if (rc == HS_OK)
			rc = check_current(command, change->id, change->expected, err);
	}
	if (rc)
		return rc;
	*change->host = *before;
	if (change->changes) {
		rc = hs_host_check(command->arena, change->changes, command->store->lenient, change->host, err);
		if (rc == HS_OK && !hs_fields_equal(before, change->host))
			rc = hs_policy_change(command->store, command->arena, before, change->host, &command->by, err);
		/* Wrong for the host as the caller has it: is it, for the host as it is? */
		if (rc && change->known)
			return HS_STOP;
		change->changed = rc == HS_OK && !hs_fields_equal(before, change->host);
		if (!change->changed)
			return rc;
	}
	if (change->known) {
		body = hs_host_encode(command->arena, before);
		if (!body)
			return hs_no_memory(err);
	}
	return send_change(command, before, change->changes ? change->host : NULL, body, err);
}

/* What the answers say: done, refused, or HS_STOP when the caller was wrong about the host. */
static enum hs_code judge(const struct command *command, const struct change *change, struct hs_error *err)
{
	const struct hs_host *other = command->other.host;
	enum hs_code rc;

	if (change->changed && command->written->position)
		return HS_OK;
	rc = check_current(command, change->id, change->expected, err);
	if (rc)
		return rc;
	if (change->known)
		return !change->changed && hs_fields_equal(change->host, command->current.host) ? HS_OK : HS_STOP;
	if (command->other.found && strcmp(other->id, change->id) != 0)
		return fail_duplicate(&command->other, err);
	return change->changed ? fail_unexplained(err) : HS_OK;
}

static enum hs_code run_change(struct hs_store *store, struct hs_arena *arena, struct change *change,
			       const struct hs_cause *by, struct hs_error *err)
{
	struct command command;
	enum hs_code rc = prepare(&command, store, arena, by, err);

	change->changed = !change->changes;
	if (rc == HS_OK)
		rc = hs_begin_change(store, by, err);
	if (rc)
		return rc;
	rc = hs_end(store, change_host(&command, change, err), err);
	if (rc == HS_OK)
		rc = judge(&command, change, err);
	if (rc)
		return rc;
	if (change->changed) {
		change->host->version = command.written->version;
		change->host->position = command.written->position;
		change->host->updated_at = store->now;
	} else {
		*change->host = *command.current.host;
	}
	return HS_OK;
}

static enum hs_code carry_out(struct hs_store *store, struct hs_arena *arena, struct change *change,
			      const struct hs_cause *by, struct hs_error *err)
{
	enum hs_code rc;

	if (!hs_is_ulid(change->id))
		return fail_not_found(err, change->id);
	rc = run_change(store, arena, change, by, err);
	/* Nothing was written: read the host, and do it again. */
	if (rc == HS_STOP) {
		change->known = NULL;
		rc = run_change(store, arena, change, by, err);
	}
	return rc;
}

enum hs_code hs_host_update(struct hs_store *store, struct hs_arena *arena, const char *id,
			    int64_t expected, const struct hs_host *known,
			    const struct hs_host_input *changes, const struct hs_cause *by,
			    struct hs_host *host, bool *changed, struct hs_error *err)
{
	struct change change = {id, expected, known, changes, host, false};
	enum hs_code rc = carry_out(store, arena, &change, by, err);

	*changed = change.changed;
	return rc;
}

enum hs_code hs_host_delete(struct hs_store *store, struct hs_arena *arena, const char *id,
			    int64_t expected, const struct hs_host *known, const struct hs_cause *by,
			    struct hs_error *err)
{
	struct hs_host gone;
	struct change change = {id, expected, known, NULL, &gone, false};

	return carry_out(store, arena, &change, by, err);
}

/* -- one host ---------------------------------------------------------------------------------------------------------------------------------- */

static enum hs_code get_then(struct hs_store *store, struct hs_arena *arena, struct hs_moment at,
			     const char *id, struct hs_host *host, struct hs_error *err)
{
	char stream[5 + HS_ULID_SIZE] = "host-";
	struct hs_event event;
	bool found;
	enum hs_code rc;

	strncat(stream, id, HS_ULID_SIZE - 1);
	rc = hs_event_get(store, arena, HS_SQL_HOST_AT, (struct hs_value[]){hs_text_value(store->tenant),
		hs_text_value(stream), hs_int(at.position), hs_int(at.time)}, 4, &event, &found, err);
	if (rc)
		return rc;
	if (!found || hs_event_is_deletion(&event))
		return fail_not_found(err, id);
	return hs_host_decode(arena, &event, host, err);
}

enum hs_code hs_host_get(struct hs_store *store, struct hs_arena *arena, struct hs_moment at,
			 const char *id, struct hs_host *host, struct hs_error *err)
{
	struct host_sink sink = {.arena = arena, .host = host};
	enum hs_code rc;

	/* An id is a ULID, however long the text is that somebody passes as one. */
	if (!hs_is_ulid(id))
		return fail_not_found(err, id);
	if (!at.now)
		return get_then(store, arena, at, id, host, err);
	rc = hs_run(store, HS_SQL_HOST_GET, (struct hs_value[]){hs_text_value(store->tenant),
		hs_text_value(id)}, 2, take_host, &sink, err);
	if (rc == HS_OK && !sink.found)
		return fail_not_found(err, id);
	return rc;
}

enum hs_code hs_host_find(struct hs_store *store, struct hs_arena *arena, struct hs_moment at,
			  const char *ip_text, const char *hostname, struct hs_host *host, bool *found,
			  struct hs_error *err)
{
	struct host_sink sink = {.arena = arena, .host = host};
	struct hs_ip ip;
	const char *name;
	enum hs_code rc = hs_check_ip(ip_text, &ip, err);

	*found = false;
	if (rc == HS_OK)
		rc = hs_check_name(arena, "hostname", hostname, true, &name, err);
	if (rc)
		return rc;
	if (at.now) {
		rc = hs_run(store, HS_SQL_HOST_FIND, (struct hs_value[]){hs_text_value(store->tenant),
			hs_text_value(ip.key), hs_text_value(name)}, 3, take_host, &sink, err);
		*found = sink.found;
	} else {
		struct hs_filter filter = hs_filter_all();
		struct hs_hosts hosts = {0};

		filter.ip = ip.text;
		rc = hs_host_list(store, arena, at, &filter, &hosts, err);
		for (size_t i = 0; rc == HS_OK && i < hosts.count; i++) {
			if (strcmp(hosts.items[i].hostname, name) == 0) {
				*host = hosts.items[i];
				*found = true;
			}
		}
	}
	return rc;
}
