/* import.c -- what one entry of a source means for the store.
 *
 * The rules of the modes stand here and nowhere else. A machine (an origin) never touches what
 * another origin owns; an import without an origin is an admin's, who may. */
#include <stdlib.h>
#include <string.h>

#include "hs.h"

enum hs_code hs_import_begin(struct hs_store *store, struct hs_import *import, struct hs_error *err)
{
	enum hs_code rc = import->origin ? hs_check_origin(import->origin, err) : HS_OK;

	if (rc == HS_OK)
		rc = hs_check_cause(&import->by, err);
	if (rc == HS_OK)
		rc = hs_log_position(store, &import->start, err);
	if (rc)
		return rc;
	import->seen = calloc((size_t)(import->start / 8) + 1, 1);
	return import->seen ? HS_OK : hs_no_memory(err);
}

void hs_import_end(struct hs_import *import)
{
	free(import->seen);
	import->seen = NULL;
}

/* Remembers a host by the position of its newest event, which no other host has. */
static void mark_seen(struct hs_import *import, const struct hs_host *host)
{
	if (host->position <= import->start)
		import->seen[host->position / 8] |= (uint8_t)(1u << host->position % 8);
}

static bool was_seen(const struct hs_import *import, const struct hs_host *host)
{
	return host->position > import->start ||
	       import->seen[host->position / 8] & 1u << host->position % 8;
}

/* A's items, then those of B that A lacks and that are not EXCEPT. */
static const char *unite(struct hs_arena *arena, const char *a, const char *b, const char *separator,
			 const char *except)
{
	struct hs_text joined = {.arena = arena};
	struct hs_item item;

	hs_text_add(&joined, a);
	while (hs_next_item(&b, *separator, &item)) {
		if (hs_list_has(a, *separator, item.s, item.n) || hs_list_has(except, *separator, item.s, item.n))
			continue;
		if (joined.n)
			hs_text_add(&joined, separator);
		hs_text_add_bytes(&joined, item.s, item.n);
	}
	return joined.failed ? NULL : joined.s;
}

static enum hs_code merge(struct hs_store *store, struct hs_arena *arena, const struct hs_host *source,
			  struct hs_host *host, struct hs_error *err)
{
	struct hs_host_input united = {.given = 1u << HS_ALIASES | 1u << HS_TAGS};
	const char *aliases = unite(arena, host->aliases, source->aliases, " ", host->hostname);
	const char *tags = unite(arena, host->tags, source->tags, ",", "");

	if (!aliases || !tags)
		return hs_no_memory(err);
	if (!host->comment)
		host->comment = source->comment;
	united.aliases = hs_split(arena, aliases, ' ', &united.alias_count);
	united.tags = hs_split(arena, tags, ',', &united.tag_count);
	if (!united.aliases || !united.tags)
		return hs_no_memory(err);
	return hs_host_check(arena, &united, store->lenient, host, err);
}

static void replace(const struct hs_import *import, const struct hs_host_input *entry,
		    const struct hs_host *source, struct hs_host *host)
{
	/* What the source can carry and this entry lacks is empty there, so it becomes empty here. */
	unsigned fields = import->fields | entry->given;

	for (enum hs_field field = HS_ALIASES; field < HS_FIELDS; field++)
		if (fields & 1u << field && !(field == HS_ORIGIN && import->origin))
			hs_field_copy(host, source, field);
}

static enum hs_code ask_policy(struct hs_store *store, struct hs_arena *arena, struct hs_import *import,
			       bool ask, enum hs_policy_stage stage, const struct hs_change *change,
			       struct hs_error *err)
{
	return ask ? hs_policy_ask(store, arena, stage, change->before, change->after, &import->effects, err) : HS_OK;
}

static enum hs_code decide_existing(struct hs_store *store, struct hs_arena *arena, struct hs_import *import,
				    const struct hs_host_input *entry, bool ask, enum hs_action *action,
				    struct hs_change *change, struct hs_error *err)
{
	struct hs_host source = *change->after;
	bool foreign = import->origin && strcmp(change->before->origin, import->origin) != 0;
	enum hs_code rc = HS_OK;

	mark_seen(import, change->before);
	if (import->mode == HS_STRICT) {
		hs_fail(err, HS_DUPLICATE, NULL, "'%s %s' exists already as host %s", source.ip,
			hs_quote(source.hostname).s, change->before->id);
		err->current = change->before;
		return HS_DUPLICATE;
	}
	*action = HS_SKIPPED;
	if (foreign || import->mode == HS_SKIP)
		return HS_OK;
	*change->after = *change->before;
	if (import->mode == HS_MERGE)
		rc = merge(store, arena, &source, change->after, err);
	else
		replace(import, entry, &source, change->after);
	/* What rules have added or removed is not the source's to take away or give back. */
	if (rc == HS_OK && strcmp(change->before->tags, change->after->tags) != 0)
		rc = ask_policy(store, arena, import, ask, HS_POLICY_KEEP, change, err);
	*action = hs_fields_equal(change->before, change->after) ? HS_UNCHANGED : HS_UPDATE;
	return rc;
}

/* HS_STOP when the policy was to be asked and failed. */
static enum hs_code decide(struct hs_store *store, struct hs_arena *arena, struct hs_import *import,
			   const struct hs_host_input *entry, bool ask, enum hs_action *action,
			   struct hs_change *change, struct hs_error *err)
{
	struct hs_host_input whole = *entry;
	struct hs_host *hosts = hs_alloc(arena, 2 * sizeof *hosts);
	bool found;
	enum hs_code rc;

	if (!hosts)
		return hs_no_memory(err);
	whole.given |= 1u << HS_IP | 1u << HS_HOSTNAME;
	hosts[1] = hs_host_blank();
	*change = (struct hs_change){NULL, &hosts[1]};
	*action = HS_CREATE;
	rc = hs_host_check(arena, &whole, store->lenient, change->after, err);
	if (rc)
		return rc;
	if (import->origin)
		change->after->origin = import->origin;
	/* Which host is meant is a matter of the names as they will be. */
	rc = ask_policy(store, arena, import, ask, HS_POLICY_NORMALISE, change, err);
	if (rc)
		return rc;
	rc = hs_host_find(store, arena, (struct hs_moment){.now = true}, change->after->ip,
			  change->after->hostname, &hosts[0], &found, err);
	if (rc == HS_OK && found) {
		change->before = &hosts[0];
		rc = decide_existing(store, arena, import, entry, ask, action, change, err);
	}
	if (rc || (*action != HS_CREATE && *action != HS_UPDATE))
		return rc;
	rc = ask_policy(store, arena, import, ask, HS_POLICY_RULES, change, err);
	if (rc == HS_OK && found && hs_fields_equal(change->before, change->after))
		*action = HS_UNCHANGED;
	return rc;
}

enum hs_code hs_import_decide(struct hs_store *store, struct hs_arena *arena,
			      struct hs_import *import, const struct hs_host_input *entry,
			      enum hs_action *action, struct hs_change *change, struct hs_error *err)
{
	enum hs_code rc;

	import->effects = NULL;
	rc = decide(store, arena, import, entry, true, action, change, err);
	if (rc == HS_STOP)
		rc = decide(store, arena, import, entry, false, action, change, err);
	return rc;
}

enum hs_code hs_import_spare(struct hs_store *store, struct hs_arena *arena, struct hs_import *import,
			     const char *ip, const char *hostname, struct hs_error *err)
{
	struct hs_host host;
	bool found;
	enum hs_code rc = hs_host_find(store, arena, (struct hs_moment){.now = true}, ip, hostname, &host, &found,
				       err);

	if (rc == HS_OK && found)
		mark_seen(import, &host);
	return rc == HS_INVALID ? HS_OK : rc;	/* no host can be meant by these */
}

/* Adds to MISSING those of a page of hosts that are of the origin and that no entry named. */
static enum hs_code add_missing(struct hs_store *store, struct hs_arena *arena, const struct hs_import *import,
				const struct hs_hosts *page, struct hs_hosts *missing, struct hs_error *err)
{
	const char *origin = import->origin ? import->origin : "admin";
	enum hs_code rc = HS_OK;

	for (size_t i = 0; rc == HS_OK && i < page->count; i++) {
		struct hs_host host;

		if (strcmp(page->items[i].origin, origin) != 0 || was_seen(import, &page->items[i]))
			continue;
		rc = hs_host_get(store, arena, (struct hs_moment){.now = true}, page->items[i].id, &host, err);
		if (rc == HS_OK)
			rc = hs_hosts_add(arena, missing, &host, err);
	}
	return rc;
}

/* In pages, of which two are kept at a time: a list for blocking has more hosts than a router has memory for. */
enum hs_code hs_import_missing(struct hs_store *store, struct hs_arena *arena,
			       const struct hs_import *import, struct hs_hosts *missing,
			       struct hs_error *err)
{
	struct hs_filter filter = hs_filter_all();
	struct hs_arena pages[2] = {{0}};
	struct hs_hosts page;
	enum hs_code rc;
	int turn = 0;

	filter.limit = 1000;
	do {
		struct hs_arena *scratch = &pages[turn ^= 1];

		hs_arena_free(scratch);
		page = (struct hs_hosts){0};
		rc = hs_host_list(store, scratch, (struct hs_moment){.now = true}, &filter, &page, err);
		if (rc == HS_OK)
			rc = add_missing(store, arena, import, &page, missing, err);
		if (page.count)
			filter.after = &page.items[page.count - 1];
	} while (rc == HS_OK && (int64_t)page.count == filter.limit);
	hs_arena_free(&pages[0]);
	hs_arena_free(&pages[1]);
	return rc;
}
