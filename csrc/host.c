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

/* Runs STATEMENT ($2 item, $3 host id) for each item of LIST that OTHER lacks. */
static enum hs_code run_items(struct hs_store *store, struct hs_arena *arena, enum hs_sql statement,
			      const char *list, const char *other, char separator, const char *id,
			      struct hs_error *err)
{
	struct hs_item item;

	while (hs_next_item(&list, separator, &item)) {
		struct hs_value values[3] = {hs_text_value(store->tenant), {.type = HS_TEXT}, hs_text_value(id)};
		enum hs_code rc;

		if (hs_list_has(other, separator, item.s, item.n))
			continue;
		values[1].s = hs_copy(arena, item.s, item.n);
		values[1].n = item.n;
		if (!values[1].s)
			return hs_no_memory(err);
		rc = hs_run(store, statement, values, 3, NULL, NULL, err);
		if (rc)
			return rc;
	}
	return HS_OK;
}

/* The side tables that find hosts by alias and by tag. */
static enum hs_code index_items(struct hs_store *store, struct hs_arena *arena,
				const struct hs_host *before, const struct hs_host *after,
				struct hs_error *err)
{
	const char *id = after ? after->id : before->id;
	const char *old_aliases = before ? before->aliases : "", *aliases = after ? after->aliases : "";
	const char *old_tags = before ? before->tags : "", *tags = after ? after->tags : "";
	enum hs_code rc;

	rc = run_items(store, arena, HS_SQL_ALIAS_DELETE, old_aliases, aliases, ' ', id, err);
	if (rc == HS_OK)
		rc = run_items(store, arena, HS_SQL_ALIAS_INSERT, aliases, old_aliases, ' ', id, err);
	if (rc == HS_OK)
		rc = run_items(store, arena, HS_SQL_TAG_DELETE, old_tags, tags, ',', id, err);
	if (rc == HS_OK)
		rc = run_items(store, arena, HS_SQL_TAG_INSERT, tags, old_tags, ',', id, err);
	return rc;
}

static enum hs_code put_row(struct hs_store *store, enum hs_sql statement, const struct hs_host *host,
			    struct hs_error *err)
{
	struct hs_ip ip;
	enum hs_code rc = hs_check_ip(host->ip, &ip, err);

	if (rc)
		return rc;
	return hs_run(store, statement, (struct hs_value[]){
		hs_text_value(store->tenant), hs_text_value(host->id), hs_int(host->version),
		hs_int(host->position), hs_text_value(ip.key), hs_text_value(host->ip),
		hs_text_value(host->hostname), hs_text_value(host->aliases), hs_text_value(host->comment),
		hs_text_value(host->tags), hs_int(host->enabled), hs_time_value(host->expires_at),
		hs_text_value(host->origin), hs_int(host->created_at), hs_int(host->updated_at)},
		15, NULL, NULL, err);
}

enum hs_code hs_model_put(struct hs_store *store, struct hs_arena *arena, const struct hs_host *before,
			  const struct hs_host *after, struct hs_error *err)
{
	struct hs_value values[] = {hs_text_value(store->tenant),
		hs_text_value(before ? before->id : after->id)};
	struct hs_mark mark = hs_mark(arena);
	enum hs_code rc;

	if (!after)
		rc = hs_run(store, HS_SQL_HOST_DELETE, values, 2, NULL, NULL, err);
	else
		rc = put_row(store, before ? HS_SQL_HOST_UPDATE : HS_SQL_HOST_INSERT, after, err);
	if (rc == HS_OK)
		rc = index_items(store, arena, before, after, err);
	hs_rewind(arena, mark);
	return rc;
}

/* -- events -------------------------------------------------------------------------------------------------------------------- */

struct writer {
	struct hs_store *store;
	struct hs_arena *arena;
	const struct hs_cause *by;
	const char *stream, *event_id;
	int64_t version, position;
};

/* Appends one event of TYPE that leaves the host as HOST. */
static enum hs_code write_event(struct writer *w, const char *type, const struct hs_host *host,
				struct hs_error *err)
{
	struct hs_store *store = w->store;
	char id[HS_ULID_SIZE];
	struct hs_event event = {.stream = w->stream, .version = w->version + 1, .id = w->event_id,
		.type = type, .metadata = w->by->metadata,
		.actor = w->by->actor ? w->by->actor : store->actor, .reason = w->by->reason,
		.occurred_at = store->now, .recorded_at = store->now};
	enum hs_code rc = HS_OK;

	if (!event.id) {
		rc = hs_ulid(store->ids, store->now, id, err);
		event.id = id;
	}
	event.data = hs_host_encode(w->arena, host);
	if (!event.data)
		return hs_no_memory(err);
	if (rc == HS_OK)
		rc = hs_event_write(store, &event, err);
	w->version = event.version;
	w->position = event.position;
	return rc;
}

static enum hs_code write_changes(struct writer *w, const struct hs_host *before,
				  const struct hs_host *after, struct hs_error *err)
{
	struct hs_host now = *before;
	enum hs_code rc = HS_OK;

	for (enum hs_field field = 0; rc == HS_OK && field < HS_FIELDS; field++) {
		if (hs_field_equal(&now, after, field))
			continue;
		hs_field_copy(&now, after, field);
		rc = write_event(w, hs_field_event(field), &now, err);
	}
	return rc;
}

enum hs_code hs_host_log(struct hs_store *store, struct hs_arena *arena, const struct hs_host *before,
			 struct hs_host *after, const struct hs_cause *by, const char *event_id,
			 struct hs_error *err)
{
	char stream[5 + HS_ULID_SIZE] = "host-";
	struct writer w = {.store = store, .arena = arena, .by = by, .stream = stream, .event_id = event_id};
	struct hs_mark mark = hs_mark(arena);
	enum hs_code rc = HS_OK;

	strncat(stream, before ? before->id : after->id, HS_ULID_SIZE - 1);
	if (before)
		w.version = before->version;
	else	/* a host that comes back goes on with its old stream */
		rc = hs_stream_version(store, stream, &w.version, err);
	if (rc)
		return rc;
	if (!before)
		rc = write_event(&w, "HostCreated", after, err);
	else if (!after)
		rc = write_event(&w, "HostDeleted", before, err);
	else
		rc = write_changes(&w, before, after, err);
	hs_rewind(arena, mark);
	if (rc == HS_OK && after && w.position) {
		after->version = w.version;
		after->position = w.position;
		after->updated_at = store->now;
	}
	return rc;
}

/* Under the writer lock, so the answer stays true until the commit; the unique key stands behind. */
static enum hs_code check_duplicate(struct hs_store *store, struct hs_arena *arena,
				    const struct hs_host *host, struct hs_error *err)
{
	struct hs_host *other = hs_alloc(arena, sizeof *other);
	struct host_sink sink = {.arena = arena, .host = other};
	struct hs_ip ip;
	enum hs_code rc = hs_check_ip(host->ip, &ip, err);

	if (!other)
		return hs_no_memory(err);
	if (rc == HS_OK)
		rc = hs_run(store, HS_SQL_HOST_FIND, (struct hs_value[]){hs_text_value(store->tenant),
			hs_text_value(ip.key), hs_text_value(host->hostname)}, 3, take_host, &sink, err);
	if (rc || !sink.found || (host->id && strcmp(other->id, host->id) == 0))
		return rc;
	hs_fail(err, HS_DUPLICATE, NULL, "'%s %s' exists already as host %s", host->ip,
		hs_quote(host->hostname).s, other->id);
	err->current = other;
	return HS_DUPLICATE;
}

static bool same_key(const struct hs_host *a, const struct hs_host *b)
{
	return hs_field_equal(a, b, HS_IP) && hs_field_equal(a, b, HS_HOSTNAME);
}

enum hs_code hs_host_write(struct hs_store *store, struct hs_arena *arena,
			   const struct hs_host *before, struct hs_host *after,
			   const struct hs_cause *by, const char *event_id, struct hs_error *err)
{
	enum hs_code rc = HS_OK;

	if (after && !(before && same_key(before, after)))
		rc = check_duplicate(store, arena, after, err);
	if (rc == HS_OK && after && !after->id) {
		char id[HS_ULID_SIZE];

		rc = hs_ulid(store->ids, store->now, id, err);
		if (rc)
			return rc;
		after->id = hs_copy(arena, id, HS_ULID_SIZE - 1);
		after->created_at = store->now;
		if (!after->id)
			return hs_no_memory(err);
	}
	if (rc == HS_OK)
		rc = hs_host_log(store, arena, before, after, by, event_id, err);
	if (rc == HS_OK)
		rc = hs_model_put(store, arena, before, after, err);
	return rc;
}

enum hs_code hs_begin_change(struct hs_store *store, const struct hs_cause *by, struct hs_error *err)
{
	enum hs_code rc = hs_check_cause(by, err);

	return rc ? rc : hs_begin(store, true, err);
}

/* -- add ------------------------------------------------------------------------------------------------------------------------------ */

struct hs_host hs_host_blank(void)
{
	return (struct hs_host){.hostname = "", .aliases = "", .tags = "", .enabled = true,
		.expires_at = HS_TIME_UNSET, .origin = "admin"};
}

/* An add with an event id that is known: the same host again is the answer of the first time. */
static enum hs_code replay_add(struct hs_store *store, struct hs_arena *arena, const char *event_id,
			       struct hs_host *host, bool *replayed, struct hs_error *err)
{
	struct hs_event event;
	struct hs_host known;
	bool found;
	enum hs_code rc;

	if (!hs_is_ulid(event_id))
		return hs_fail(err, HS_INVALID, "event_id", "'%s' is not a ULID (26 digits and upper-case "
			       "letters)", hs_quote(event_id).s);
	rc = hs_event_get(store, arena, HS_SQL_EVENT_BY_ID, (struct hs_value[]){hs_text_value(store->tenant),
		hs_text_value(event_id)}, 2, &event, &found, err);
	if (rc || !found)
		return rc;
	*replayed = hs_event_is_host(&event) && strcmp(event.type, "HostCreated") == 0;
	if (*replayed)
		rc = hs_host_decode(arena, &event, &known, err);
	*replayed = *replayed && rc == HS_OK && hs_fields_equal(host, &known);
	if (rc == HS_OK && !*replayed)
		rc = hs_fail(err, HS_ID_REUSE, "event_id", "event id '%s' is used by another event of stream "
			     "'%s'", event_id, hs_quote(event.stream).s);
	if (rc == HS_OK)
		*host = known;
	return rc;
}

static enum hs_code add_host(struct hs_store *store, struct hs_arena *arena,
			     const struct hs_host_input *input, const struct hs_add *how,
			     struct hs_host *host, struct hs_error *err)
{
	bool replayed = false;
	enum hs_code rc = hs_host_check(arena, input, store->lenient, host, err);

	if (rc == HS_OK && how->event_id)
		rc = replay_add(store, arena, how->event_id, host, &replayed, err);
	if (rc || replayed)
		return rc;
	return hs_host_write(store, arena, NULL, host, &how->by, how->event_id, err);
}

enum hs_code hs_host_add(struct hs_store *store, struct hs_arena *arena,
			 const struct hs_host_input *input, const struct hs_add *how,
			 struct hs_host *host, struct hs_error *err)
{
	struct hs_host_input whole = *input;
	enum hs_code rc = hs_begin_change(store, &how->by, err);

	if (rc)
		return rc;
	/* Both are needed: missing ones are reported like wrong ones. */
	whole.given |= 1u << HS_IP | 1u << HS_HOSTNAME;
	*host = hs_host_blank();
	return hs_end(store, add_host(store, arena, &whole, how, host, err), err);
}

/* -- update and delete -------------------------------------------------------------------------------------------------------------------- */

static enum hs_code get_expected(struct hs_store *store, struct hs_arena *arena, const char *id,
				 int64_t expected, struct hs_host *host, struct hs_error *err)
{
	enum hs_code rc = hs_host_get(store, arena, (struct hs_moment){.now = true}, id, host, err);
	struct hs_host *current;

	if (rc || expected == HS_EXPECT_ANY || expected == host->version)
		return rc;
	current = hs_alloc(arena, sizeof *current);
	if (!current)
		return hs_no_memory(err);
	*current = *host;
	hs_fail(err, HS_CONFLICT, NULL, "host %s ('%s') is at version %lld, not %lld: somebody changed it",
		host->id, hs_quote(host->hostname).s, (long long)host->version, (long long)expected);
	err->has_versions = true;
	err->expected = expected;
	err->actual = host->version;
	err->current = current;
	return HS_CONFLICT;
}

static enum hs_code update_host(struct hs_store *store, struct hs_arena *arena, const char *id,
				int64_t expected, const struct hs_host_input *changes,
				const struct hs_cause *by, struct hs_host *host, struct hs_error *err)
{
	struct hs_host before;
	enum hs_code rc = get_expected(store, arena, id, expected, &before, err);

	*host = before;
	if (rc == HS_OK)
		rc = hs_host_check(arena, changes, store->lenient, host, err);
	if (rc == HS_OK)
		rc = hs_host_write(store, arena, &before, host, by, NULL, err);
	return rc;
}

enum hs_code hs_host_update(struct hs_store *store, struct hs_arena *arena, const char *id,
			    int64_t expected, const struct hs_host_input *changes,
			    const struct hs_cause *by, struct hs_host *host, bool *changed,
			    struct hs_error *err)
{
	int64_t last;
	enum hs_code rc = hs_begin_change(store, by, err);

	if (rc)
		return rc;
	rc = hs_log_position(store, &last, err);
	if (rc == HS_OK)
		rc = update_host(store, arena, id, expected, changes, by, host, err);
	*changed = rc == HS_OK && host->position > last;
	return hs_end(store, rc, err);
}

enum hs_code hs_host_delete(struct hs_store *store, struct hs_arena *arena, const char *id,
			    int64_t expected, const struct hs_cause *by, struct hs_error *err)
{
	struct hs_host before;
	enum hs_code rc = hs_begin_change(store, by, err);

	if (rc)
		return rc;
	rc = get_expected(store, arena, id, expected, &before, err);
	if (rc == HS_OK)
		rc = hs_host_write(store, arena, &before, NULL, by, NULL, err);
	return hs_end(store, rc, err);
}

/* -- one host ---------------------------------------------------------------------------------------------------------------------------------- */

static enum hs_code fail_not_found(struct hs_error *err, const char *id)
{
	return hs_fail(err, HS_NOT_FOUND, "id", "there is no host '%s'", hs_quote(id).s);
}

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
