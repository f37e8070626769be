/* verify.c -- proof that the log is whole and the read model is what the log says.
 *
 * Reads everything and changes nothing; a fault is a problem reported, never a failure. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "hs.h"

struct check {
	struct hs_store *store;
	struct hs_arena *arena;
	struct hs_verified *verified;
	/* the last host event seen, for the walk over the streams */
	bool has_last;
	struct hs_event last;
	struct hs_host last_host;
	struct hs_arena scratch[2];	/* of this event and of the last one, in turns */
	int turn;
	/* the live hosts, for the walks over the side tables */
	struct hs_hosts *now;
	size_t at;
	int *counts;
	char separator;
	const char *kind;
};

static enum hs_code report(struct check *check, struct hs_error *err, const char *kind, const char *stream,
			   int64_t position, const char *format, ...) __attribute__((format(printf, 6, 7)));

static enum hs_code report(struct check *check, struct hs_error *err, const char *kind, const char *stream,
			   int64_t position, const char *format, ...)
{
	struct hs_verified *v = check->verified;
	char message[512];
	va_list args;
	struct hs_problem *problem;

	va_start(args, format);
	vsnprintf(message, sizeof message, format, args);
	va_end(args);
	v->problems = hs_grow(check->arena, v->problems, v->count, &v->room, sizeof *v->problems);
	if (!v->problems)
		return hs_no_memory(err);
	problem = &v->problems[v->count++];
	problem->kind = kind;
	problem->position = position;
	problem->stream = stream ? hs_copy(check->arena, stream, strlen(stream)) : NULL;
	problem->message = hs_copy(check->arena, message, strlen(message));
	return problem->message && (problem->stream || !stream) ? HS_OK : hs_no_memory(err);
}

/* -- the file, positions, versions ---------------------------------------------------------------------- */

static enum hs_code take_fault(void *context, const struct hs_value *row, int columns, struct hs_error *err)
{
	(void)columns;
	return report(context, err, "file", NULL, 0, "the database finds a fault in its file: %s",
		      hs_quote(row[0].s).s);
}

static enum hs_code take_counts(void *context, const struct hs_value *row, int columns,
				struct hs_error *err)
{
	struct check *check = context;

	(void)columns, (void)err;
	check->verified->events = row[0].i;
	check->verified->streams = row[1].i;
	return HS_OK;
}

static enum hs_code take_position_gap(void *context, const struct hs_value *row, int columns,
				      struct hs_error *err)
{
	(void)columns;
	return report(context, err, "positions", NULL, row[0].i + 1, "positions %lld to %lld are missing from the "
		      "log", (long long)row[0].i + 1, (long long)row[1].i - 1);
}

static enum hs_code take_health(void *context, const struct hs_value *row, int columns,
				struct hs_error *err)
{
	(void)columns;
	if (strcmp(row[4].s, "HAS_GAPS") != 0)
		return HS_OK;
	return report(context, err, "versions", row[0].s, 0, "stream '%s' lacks %lld of its versions, the "
		      "first behind version %lld", hs_quote(row[0].s).s, (long long)row[3].i,
		      (long long)row[2].i);
}

static enum hs_code take_partition(void *context, const struct hs_value *row, int columns,
				   struct hs_error *err)
{
	const char *stream = row[0].s;
	int partition = hs_partition(stream);

	(void)columns;
	if (row[1].i == partition && row[2].i == partition)
		return HS_OK;
	return report(context, err, "partition", stream, 0, "stream '%s' belongs to partition %d, its events say "
		      "otherwise", hs_quote(stream).s, partition);
}

static enum hs_code take_invalid_body(void *context, const struct hs_value *row, int columns,
				      struct hs_error *err)
{
	(void)columns;
	return report(context, err, "body", row[1].s, row[0].i, "the event at position %lld of stream '%s' is not JSON",
		      (long long)row[0].i, hs_quote(row[1].s).s);
}

static enum hs_code take_key(void *context, const struct hs_value *row, int columns, struct hs_error *err)
{
	struct hs_ip ip;

	(void)columns;
	if (hs_check_ip(row[2].s, &ip, err) == HS_OK && strcmp(ip.key, row[3].s) == 0 &&
	    strcmp(ip.text, row[2].s) == 0)
		return HS_OK;
	return report(context, err, "read_model", NULL, row[1].i, "host %s: the sorting key '%s' is not that of '%s'",
		      hs_quote(row[0].s).s, hs_quote(row[3].s).s, hs_quote(row[2].s).s);
}

/* -- each host event follows from the one before ----------------------------------------------------------- */

static enum hs_code check_step(struct check *check, const struct hs_event *event,
			       const struct hs_host *host, bool follows, struct hs_error *err)
{
	enum hs_field changed = hs_event_field(event->type);
	bool creation = strcmp(event->type, "HostCreated") == 0;
	bool gone = !follows || hs_event_is_deletion(&check->last);

	if (creation != gone)
		return report(check, err, "body", event->stream, event->position, "'%s' at version %lld of '%s' does not "
			      "follow from '%s'", hs_quote(event->type).s, (long long)event->version,
			      event->stream, follows ? hs_quote(check->last.type).s : "nothing");
	if (creation)
		return HS_OK;
	for (enum hs_field field = 0; field < HS_FIELDS; field++)
		if (hs_field_equal(&check->last_host, host, field) == (field == changed))
			return report(check, err, "body", event->stream, event->position, "'%s' at version %lld of '%s' "
				      "%s field '%s'", hs_quote(event->type).s, (long long)event->version,
				      event->stream, field == changed ? "does not change" : "changes",
				      hs_field_name(field));
	return HS_OK;
}

static enum hs_code take_step(void *context, const struct hs_value *row, int columns, struct hs_error *err)
{
	struct check *check = context;
	struct hs_arena *scratch = &check->scratch[check->turn ^= 1];
	struct hs_event event;
	struct hs_host host;
	enum hs_code rc;
	bool follows;

	(void)columns;
	hs_arena_free(scratch);
	rc = hs_event_from_row(scratch, row, &event, err);
	if (rc == HS_OK)
		rc = hs_host_decode(scratch, &event, &host, err);
	if (rc == HS_CORRUPT) {
		check->has_last = false;
		return report(check, err, "body", row[1].s, row[0].i, "%s", err->message);
	}
	if (rc)
		return rc;
	follows = check->has_last && strcmp(check->last.stream, event.stream) == 0;
	/* Behind a gap or a damaged body nothing can be said of this step. */
	if (event.version == (follows ? check->last.version : 0) + 1)
		rc = check_step(check, &event, &host, follows, err);
	check->has_last = true;
	check->last = event;
	check->last_host = host;
	return rc;
}

/* -- the read model ------------------------------------------------------------------------------------------- */

static const char *field_text(const struct hs_host *host, enum hs_field field)
{
	switch (field) {
	case HS_IP: return host->ip;
	case HS_HOSTNAME: return host->hostname;
	case HS_ALIASES: return host->aliases;
	case HS_COMMENT: return host->comment ? host->comment : "(none)";
	case HS_TAGS: return host->tags;
	case HS_ORIGIN: return host->origin;
	case HS_ENABLED: return host->enabled ? "true" : "false";
	default: return host->expires_at == HS_TIME_UNSET ? "(none)" : "a time";
	}
}

static enum hs_code compare_host(struct check *check, const struct hs_host *table, const struct hs_host *log,
				 struct hs_error *err)
{
	char stream[5 + HS_ULID_SIZE];

	snprintf(stream, sizeof stream, "host-%s", log->id);
	for (enum hs_field field = 0; field < HS_FIELDS; field++)
		if (!hs_field_equal(table, log, field))
			return report(check, err, "read_model", stream, log->position, "host %s: %s is '%s' in the read model, "
				      "'%s' in the log", log->id, hs_field_name(field),
				      hs_quote(field_text(table, field)).s, hs_quote(field_text(log, field)).s);
	if (table->version != log->version || table->position != log->position ||
	    table->created_at != log->created_at || table->updated_at != log->updated_at)
		return report(check, err, "read_model", stream, log->position, "host %s: the read model has version "
			      "%lld at position %lld, the log version %lld at position %lld, or their times differ",
			      log->id, (long long)table->version, (long long)table->position,
			      (long long)log->version, (long long)log->position);
	return HS_OK;
}

static enum hs_code compare_models(struct check *check, const struct hs_hosts *table,
				   const struct hs_hosts *log, struct hs_error *err)
{
	size_t i = 0, j = 0;
	enum hs_code rc = HS_OK;

	while (rc == HS_OK && (i < table->count || j < log->count)) {
		const struct hs_host *a = i < table->count ? &table->items[i] : NULL;
		const struct hs_host *b = j < log->count ? &log->items[j] : NULL;
		int order = !a ? 1 : !b ? -1 : strcmp(a->id, b->id);

		i += order <= 0;
		j += order >= 0;
		if (order < 0)
			rc = report(check, err, "read_model", NULL, a->position, "host %s ('%s %s') is in the read model but "
				    "not in the log", a->id, a->ip, hs_quote(a->hostname).s);
		else if (order > 0)
			rc = report(check, err, "read_model", NULL, b->position, "host %s ('%s %s') is in the log but not in "
				    "the read model", b->id, b->ip, hs_quote(b->hostname).s);
		else
			rc = compare_host(check, a, b, err);
	}
	return rc;
}

static enum hs_code check_model(struct check *check, struct hs_hosts *now, struct hs_error *err)
{
	struct hs_hosts log = {0};
	enum hs_code rc = hs_hosts_at(check->store, check->arena, (struct hs_moment){.now = true}, now, err);

	if (rc == HS_OK)
		rc = hs_hosts_at(check->store, check->arena,
				 (struct hs_moment){.position = HS_POSITION_MAX, .time = INT64_MAX}, &log, err);
	if (rc == HS_CORRUPT)
		return HS_OK;	/* a damaged body, which the walk over the events reports */
	check->verified->hosts = (int64_t)now->count;
	return rc ? rc : compare_models(check, now, &log, err);
}

/* -- the side tables ----------------------------------------------------------------------------------------------- */

static const char *list_of(const struct check *check, const struct hs_host *host)
{
	return check->separator == ' ' ? host->aliases : host->tags;
}

/* Rows come in the order of host ids, as the hosts do. */
static enum hs_code take_item(void *context, const struct hs_value *row, int columns, struct hs_error *err)
{
	struct check *check = context;
	const struct hs_hosts *now = check->now;
	const char *id = row[0].s;

	(void)columns;
	while (check->at < now->count && strcmp(now->items[check->at].id, id) < 0)
		check->at++;
	if (check->at < now->count && strcmp(now->items[check->at].id, id) == 0 &&
	    hs_list_has(list_of(check, &now->items[check->at]), check->separator, row[1].s, row[1].n)) {
		check->counts[check->at]++;
		return HS_OK;
	}
	return report(check, err, check->kind, NULL, 0, "the index of %s has '%s' for host %s, which the host has not",
		      check->kind, hs_quote(row[1].s).s, hs_quote(id).s);
}

static enum hs_code check_items(struct check *check, struct hs_hosts *now, enum hs_sql statement,
				const char *kind, char separator, struct hs_error *err)
{
	struct hs_value values[] = {hs_text_value(check->store->tenant)};
	enum hs_code rc;

	check->now = now;
	check->at = 0;
	check->kind = kind;
	check->separator = separator;
	check->counts = hs_alloc(check->arena, (now->count + 1) * sizeof *check->counts);
	if (!check->counts)
		return hs_no_memory(err);
	memset(check->counts, 0, (now->count + 1) * sizeof *check->counts);
	rc = hs_run(check->store, statement, values, 1, take_item, check, err);
	for (size_t i = 0; rc == HS_OK && i < now->count; i++) {
		const char *list = list_of(check, &now->items[i]);
		struct hs_item item;
		int count = 0;

		while (hs_next_item(&list, separator, &item))
			count++;
		if (count != check->counts[i])
			rc = report(check, err, kind, NULL, now->items[i].position, "the index of %s lacks %d of host %s",
				    kind, count - check->counts[i], now->items[i].id);
	}
	return rc;
}

/* ---------------------------------------------------------------------------------------------------------------------- */

static enum hs_code check_all(struct check *check, struct hs_error *err)
{
	static const struct {
		enum hs_sql statement;
		int values;
		hs_row_fn *row;
	} walks[] = {
		{HS_SQL_DATABASE_CHECK, 0, take_fault}, {HS_SQL_LOG_COUNTS, 1, take_counts},
		{HS_SQL_POSITION_GAPS, 1, take_position_gap}, {HS_SQL_STREAM_HEALTH, 1, take_health},
		{HS_SQL_STREAM_PARTITIONS, 1, take_partition}, {HS_SQL_INVALID_BODIES, 1, take_invalid_body},
		{HS_SQL_HOST_STEPS, 1, take_step}, {HS_SQL_HOST_KEYS, 1, take_key},
	};
	struct hs_value values[] = {hs_text_value(check->store->tenant)};
	struct hs_hosts now = {0};
	enum hs_code rc = HS_OK;

	for (size_t i = 0; rc == HS_OK && i < sizeof walks / sizeof *walks; i++)
		rc = hs_run(check->store, walks[i].statement, values, walks[i].values, walks[i].row, check, err);
	if (rc == HS_OK)
		rc = check_model(check, &now, err);
	if (rc == HS_OK)
		rc = check_items(check, &now, HS_SQL_ALIAS_ROWS, "aliases", ' ', err);
	if (rc == HS_OK)
		rc = check_items(check, &now, HS_SQL_TAG_ROWS, "tags", ',', err);
	return rc;
}

enum hs_code hs_verify(struct hs_store *store, struct hs_arena *arena, struct hs_verified *verified,
		       struct hs_error *err)
{
	struct check check = {.store = store, .arena = arena, .verified = verified};
	/* One transaction: all walks must see the same log. */
	enum hs_code rc = hs_begin(store, false, err);

	*verified = (struct hs_verified){0};
	if (rc)
		return rc;
	rc = hs_end(store, check_all(&check, err), err);
	hs_arena_free(&check.scratch[0]);
	hs_arena_free(&check.scratch[1]);
	return rc;
}
