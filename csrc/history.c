/* history.c -- who changed what, differences between two moments, undo. */
#include <string.h>

#include "hs.h"

/* -- differences ------------------------------------------------------------------------------------------ */

struct host_sink {
	struct hs_arena *arena;
	struct hs_hosts *hosts;
};

static enum hs_code take_host(void *context, const struct hs_value *row, int columns,
			      struct hs_error *err)
{
	struct host_sink *sink = context;
	struct hs_host host;
	enum hs_code rc = hs_host_from_row(sink->arena, row, &host, err);

	(void)columns;
	return rc ? rc : hs_hosts_add(sink->arena, sink->hosts, &host, err);
}

static enum hs_code take_host_event(void *context, const struct hs_value *row, int columns,
				    struct hs_error *err)
{
	struct host_sink *sink = context;
	struct hs_event event;
	struct hs_host host;
	enum hs_code rc = hs_event_from_row(sink->arena, row, &event, err);

	(void)columns;
	if (rc || hs_event_is_deletion(&event))
		return rc;
	rc = hs_host_decode(sink->arena, &event, &host, err);
	return rc ? rc : hs_hosts_add(sink->arena, sink->hosts, &host, err);
}

enum hs_code hs_hosts_at(struct hs_store *store, struct hs_arena *arena, struct hs_moment at,
			 struct hs_hosts *hosts, struct hs_error *err)
{
	struct host_sink sink = {arena, hosts};
	struct hs_value values[] = {hs_text_value(store->tenant), hs_int(at.position), hs_int(at.time)};

	if (at.now)
		return hs_run(store, HS_SQL_HOSTS_NOW, values, 1, take_host, &sink, err);
	return hs_run(store, HS_SQL_HOSTS_AT, values, 3, take_host_event, &sink, err);
}

static bool same_host(const struct hs_host *a, const struct hs_host *b)
{
	return hs_fields_equal(a, b) && a->created_at == b->created_at;
}

enum hs_code hs_hosts_diff(struct hs_arena *arena, const struct hs_hosts *a, const struct hs_hosts *b,
			   struct hs_changes *changes, struct hs_error *err)
{
	size_t i = 0, j = 0;

	*changes = (struct hs_changes){.items = hs_alloc(arena, (a->count + b->count + 1) * sizeof *changes->items)};
	if (!changes->items)
		return hs_no_memory(err);
	while (i < a->count || j < b->count) {
		struct hs_host *before = i < a->count ? &a->items[i] : NULL;
		struct hs_host *after = j < b->count ? &b->items[j] : NULL;
		int order = !before ? 1 : !after ? -1 : strcmp(before->id, after->id);

		i += order <= 0;
		j += order >= 0;
		if (order == 0 && same_host(before, after))
			changes->unchanged++;
		else
			changes->items[changes->count++] =
				(struct hs_change){order <= 0 ? before : NULL, order >= 0 ? after : NULL};
	}
	return HS_OK;
}

enum hs_code hs_changes_write(struct hs_store *store, struct hs_arena *arena,
			      const struct hs_changes *changes, const struct hs_cause *by,
			      struct hs_error *err)
{
	const char **newest = hs_alloc(arena, (changes->count + 1) * sizeof *newest);
	enum hs_code rc = newest ? HS_OK : hs_no_memory(err);

	for (size_t i = 0; rc == HS_OK && i < changes->count; i++)
		rc = hs_host_log(store, arena, changes->items[i].before, changes->items[i].after, by, &newest[i], err);
	/* All rows that go or change make way first: two hosts may swap their addresses. */
	for (size_t i = 0; rc == HS_OK && i < changes->count; i++)
		if (changes->items[i].before)
			rc = hs_model_put(store, arena, changes->items[i].before, NULL, newest[i], err);
	for (size_t i = 0; rc == HS_OK && i < changes->count; i++)
		if (changes->items[i].after)
			rc = hs_model_put(store, arena, NULL, changes->items[i].after, newest[i], err);
	return rc;
}

/* -- history ------------------------------------------------------------------------------------------------- */

/* The host as the event before EVENT left it. */
static enum hs_code host_before(struct hs_store *store, struct hs_arena *arena, const struct hs_event *event,
				struct hs_host *host, struct hs_error *err)
{
	struct hs_event previous;
	bool found;
	enum hs_code rc = hs_event_get(store, arena, HS_SQL_EVENT_BY_VERSION, (struct hs_value[]){
		hs_text_value(store->tenant), hs_text_value(event->stream), hs_int(event->version - 1)}, 3,
		&previous, &found, err);

	if (rc == HS_OK && !found)
		return hs_fail(err, HS_PRUNED, NULL, "what '%s' was before version %lld is no longer in the log",
			       hs_quote(event->stream).s, (long long)event->version);
	return rc ? rc : hs_host_decode(arena, &previous, host, err);
}

static bool is_creation(const struct hs_event *event)
{
	return strcmp(event->type, "HostCreated") == 0;
}

static enum hs_code fill_entry(struct hs_store *store, struct hs_arena *arena,
			       struct hs_history_entry *entry, const struct hs_history_entry *previous,
			       struct hs_error *err)
{
	enum hs_code rc;

	if (!hs_event_is_host(&entry->event))
		return HS_OK;
	rc = hs_host_decode(arena, &entry->event, &entry->host, err);
	entry->has_host = rc == HS_OK;
	if (rc || is_creation(&entry->event))
		return rc;
	if (previous && previous->has_host && strcmp(previous->event.stream, entry->event.stream) == 0 &&
	    previous->event.version == entry->event.version - 1)
		entry->before = previous->host;
	else
		rc = host_before(store, arena, &entry->event, &entry->before, err);
	entry->has_before = rc == HS_OK;
	return rc;
}

enum hs_code hs_history(struct hs_store *store, struct hs_arena *arena,
			const struct hs_event_query *query, struct hs_history_entry **entries,
			size_t *count, struct hs_error *err)
{
	struct hs_events events = {.arena = arena};
	enum hs_code rc = hs_events_read(store, query, &events, err);

	if (rc)
		return rc;
	*count = events.count;
	*entries = hs_alloc(arena, (events.count + 1) * sizeof **entries);
	if (!*entries)
		return hs_no_memory(err);
	for (size_t i = 0; rc == HS_OK && i < events.count; i++) {
		(*entries)[i] = (struct hs_history_entry){.event = events.items[i]};
		rc = fill_entry(store, arena, &(*entries)[i], i ? &(*entries)[i - 1] : NULL, err);
	}
	return rc;
}

/* -- undo --------------------------------------------------------------------------------------------------------- */

static enum hs_code fail_changed(struct hs_store *store, struct hs_arena *arena, const struct hs_event *event,
				 const struct hs_host *current, struct hs_error *err)
{
	struct hs_host *copy = NULL;
	int64_t version;
	enum hs_code rc = hs_stream_version(store, event->stream, &version, err);

	if (rc)
		return rc;
	if (current) {
		copy = hs_alloc(arena, sizeof *copy);
		if (!copy)
			return hs_no_memory(err);
		*copy = *current;
	}
	hs_fail(err, HS_CONFLICT, NULL, "what position %lld did to '%s' has been changed since; undo the later "
		"change first", (long long)event->position, hs_quote(event->stream).s);
	err->has_versions = true;
	err->expected = event->version;
	err->actual = version;
	err->current = copy;
	return HS_CONFLICT;
}

/* What EVENT's host is to become; *BEFORE is NULL for a host that is not there, *AFTER for none. */
static enum hs_code plan_undo(struct hs_store *store, struct hs_arena *arena, const struct hs_event *event,
			      struct hs_host **before, struct hs_host **after, struct hs_error *err)
{
	struct hs_host *current = hs_alloc(arena, 3 * sizeof *current), *body, *previous;
	enum hs_field field = hs_event_field(event->type);
	bool exists;
	int64_t version;
	enum hs_code rc;

	if (!current)
		return hs_no_memory(err);
	body = &current[1], previous = &current[2];
	rc = hs_host_decode(arena, event, body, err);
	if (rc)
		return rc;
	rc = hs_host_get(store, arena, (struct hs_moment){.now = true}, body->id, current, err);
	exists = rc == HS_OK;
	if (rc && rc != HS_NOT_FOUND)
		return rc;
	rc = hs_stream_version(store, event->stream, &version, err);
	if (rc)
		return rc;
	*before = exists ? current : NULL;
	if (hs_event_is_deletion(event)) {
		*after = body;
		if (exists || version != event->version)
			return fail_changed(store, arena, event, *before, err);
		return HS_OK;
	}
	if (is_creation(event)) {
		*after = NULL;
		if (!exists || !same_host(current, body))
			return fail_changed(store, arena, event, *before, err);
		return HS_OK;
	}
	if (field == HS_FIELDS)
		return hs_fail(err, HS_UNSUPPORTED, "position", "an event of type '%s' cannot be undone",
			       hs_quote(event->type).s);
	if (!exists || !hs_field_equal(current, body, field))
		return fail_changed(store, arena, event, *before, err);
	rc = host_before(store, arena, event, previous, err);
	if (rc)
		return rc;
	*body = *current;
	*after = body;
	hs_field_copy(*after, previous, field);
	/* Each field alone is as it was once; together they may break a rule. */
	if (hs_list_has(body->aliases, ' ', body->hostname, strlen(body->hostname)))
		return fail_changed(store, arena, event, *before, err);
	return HS_OK;
}

static enum hs_code undo_event(struct hs_store *store, struct hs_arena *arena, int64_t position,
			       const struct hs_cause *by, struct hs_error *err)
{
	struct hs_event event;
	struct hs_host *before = NULL, *after = NULL;
	bool found;
	enum hs_code rc = hs_event_get(store, arena, HS_SQL_EVENT_BY_POSITION, (struct hs_value[]){
		hs_text_value(store->tenant), hs_int(position)}, 2, &event, &found, err);

	if (rc)
		return rc;
	if (!found)
		return hs_fail(err, HS_NOT_FOUND, "position", "there is no event at position %lld",
			       (long long)position);
	if (!hs_event_is_host(&event))
		return hs_fail(err, HS_INVALID, "position", "position %lld belongs to stream '%s'; only changes "
			       "of hosts can be undone", (long long)position, hs_quote(event.stream).s);
	rc = plan_undo(store, arena, &event, &before, &after, err);
	if (rc == HS_OK && after)
		rc = hs_host_check_free(store, arena, after, err);
	return rc ? rc : hs_host_write(store, arena, before, after, by, err);
}

enum hs_code hs_undo(struct hs_store *store, struct hs_arena *arena, int64_t position,
		     const struct hs_cause *by, int64_t *written, struct hs_error *err)
{
	int64_t first, last = 0;
	enum hs_code rc = hs_begin_change(store, by, err);

	if (rc)
		return rc;
	rc = hs_log_position(store, &first, err);
	if (rc == HS_OK)
		rc = undo_event(store, arena, position, by, err);
	if (rc == HS_OK)
		rc = hs_log_position(store, &last, err);
	*written = last - first;
	return hs_end(store, rc, err);
}
