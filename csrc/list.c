/* list.c -- hosts by filter, in order, now or at a moment of the past.
 *
 * What a filter means is decided here alone, host by host, so it is the same on every database
 * and for the past. SQL only narrows the rows where an index can, and puts them in order. */
#include <stdlib.h>
#include <string.h>

#include "hs.h"

struct hs_filter hs_filter_all(void)
{
	return (struct hs_filter){.enabled = -1, .limit = -1,
		.created_since = HS_TIME_UNSET, .created_until = HS_TIME_UNSET,
		.updated_since = HS_TIME_UNSET, .updated_until = HS_TIME_UNSET};
}

enum hs_code hs_hosts_add(struct hs_arena *arena, struct hs_hosts *hosts, const struct hs_host *host,
			  struct hs_error *err)
{
	hosts->items = hs_grow(arena, hosts->items, hosts->count, &hosts->room, sizeof *hosts->items);
	if (!hosts->items)
		return hs_no_memory(err);
	hosts->items[hosts->count++] = *host;
	return HS_OK;
}

/* -- matching -------------------------------------------------------------------------------------------- */

/* Whether the N bytes at S hold PATTERN, whatever the case of ASCII letters. */
static bool contains(const char *s, size_t n, const char *pattern)
{
	size_t length = strlen(pattern);

	for (size_t start = 0; start + length <= n; start++) {
		size_t i = 0;

		while (i < length && hs_lower(s[start + i]) == hs_lower(pattern[i]))
			i++;
		if (i == length)
			return true;
	}
	return false;
}

static bool is_continuation(char c)
{
	return ((unsigned char)c & 0xc0) == 0x80;
}

/* '*' is any text, '?' one character; the last '*' seen is where matching goes back to. */
static bool glob(const char *pattern, const char *s, size_t n)
{
	const char *end = s + n, *star = NULL, *resume = NULL;

	while (s < end) {
		if (*pattern == '*') {
			star = ++pattern;
			resume = s;
		} else if (*pattern == '?') {
			pattern++;
			do
				s++;
			while (s < end && is_continuation(*s));
		} else if (*pattern && hs_lower(*pattern) == hs_lower(*s)) {
			pattern++;
			s++;
		} else if (star) {
			pattern = star;
			s = ++resume;
		} else {
			return false;
		}
	}
	while (*pattern == '*')
		pattern++;
	return !*pattern;
}

typedef bool match_fn(const char *pattern, const char *s, size_t n);

static bool match_contains(const char *pattern, const char *s, size_t n)
{
	return contains(s, n, pattern);
}

static bool any_item(const char *list, char separator, match_fn *match, const char *pattern)
{
	struct hs_item item;

	while (hs_next_item(&list, separator, &item))
		if (match(pattern, item.s, item.n))
			return true;
	return false;
}

static bool any_name(const struct hs_host *host, match_fn *match, const char *pattern)
{
	return match(pattern, host->hostname, strlen(host->hostname)) ||
	       any_item(host->aliases, ' ', match, pattern);
}

static bool has_text(const struct hs_host *host, const char *text)
{
	return contains(host->ip, strlen(host->ip), text) || any_name(host, match_contains, text) ||
	       (host->comment && contains(host->comment, strlen(host->comment), text)) ||
	       any_item(host->tags, ',', match_contains, text);
}

static int count_tags(const struct hs_host *host, const char *const *tags, int count)
{
	int found = 0;

	for (int i = 0; i < count; i++)
		found += hs_list_has(host->tags, ',', tags[i], strlen(tags[i]));
	return found;
}

static bool within(int64_t time, int64_t since, int64_t until)
{
	return (since == HS_TIME_UNSET || time >= since) && (until == HS_TIME_UNSET || time <= until);
}

/* -- order ------------------------------------------------------------------------------------------------------ */

/* A host and what it is ordered by: a number or a text, then hostname and id. */
struct sortable {
	const struct hs_host *host;
	int64_t number;
	const char *text;
	bool descending;
	char key[34];
};

static void make_sortable(struct sortable *s, const struct hs_host *host, const struct hs_filter *filter)
{
	struct hs_error ignored;
	struct hs_ip ip = {.key = ""};

	*s = (struct sortable){.host = host, .descending = filter->descending, .text = ""};
	switch (filter->order) {
	case HS_BY_IP:
		hs_check_ip(host->ip, &ip, &ignored);
		memcpy(s->key, ip.key, sizeof s->key);
		break;
	case HS_BY_IP_TEXT: s->text = host->ip; break;
	case HS_BY_HOSTNAME: s->text = host->hostname; break;
	case HS_BY_CREATED: s->number = host->created_at; break;
	case HS_BY_UPDATED: s->number = host->updated_at; break;
	}
}

struct matcher {
	const struct hs_filter *filter;
	struct hs_ip_range range;	/* when the filter has an ip */
	const char *hostname;		/* the filter's, without a trailing dot */
	struct sortable after;		/* when the filter has one */
};

static bool in_range(const struct hs_ip_range *range, const char *text)
{
	struct hs_error ignored;
	struct hs_ip ip;

	return hs_check_ip(text, &ip, &ignored) == HS_OK && strcmp(ip.key, range->first) >= 0 &&
	       strcmp(ip.key, range->last) <= 0;
}

static bool matches(const struct matcher *matcher, const struct hs_host *host)
{
	const struct hs_filter *f = matcher->filter;

	return (f->enabled < 0 || host->enabled == f->enabled) &&
	       (!f->origin || strcmp(host->origin, f->origin) == 0) &&
	       within(host->created_at, f->created_since, f->created_until) &&
	       within(host->updated_at, f->updated_since, f->updated_until) &&
	       (!f->ip || in_range(&matcher->range, host->ip)) &&
	       (!f->hostname || any_name(host, glob, matcher->hostname)) &&
	       (!f->tags || count_tags(host, f->tags, f->tag_count) > 0) &&
	       (!f->tags_all || count_tags(host, f->tags_all, f->tag_all_count) == f->tag_all_count) &&
	       (!f->tags_none || count_tags(host, f->tags_none, f->tag_none_count) == 0) &&
	       (!f->ip_pattern || contains(host->ip, strlen(host->ip), f->ip_pattern)) &&
	       (!f->hostname_pattern || any_name(host, match_contains, f->hostname_pattern)) &&
	       (!f->text || has_text(host, f->text));
}

static enum hs_code prepare_matcher(struct hs_arena *arena, struct matcher *matcher,
				    const struct hs_filter *filter, struct hs_error *err)
{
	matcher->filter = filter;
	if (filter->hostname) {
		size_t length = strlen(filter->hostname);
		char *name = hs_copy(arena, filter->hostname, length);

		if (!name)
			return hs_no_memory(err);
		for (size_t i = 0; i < length; i++)
			name[i] = hs_lower(name[i]);
		if (length > 1 && name[length - 1] == '.')
			name[length - 1] = '\0';
		matcher->hostname = name;
	}
	if (filter->after)
		make_sortable(&matcher->after, filter->after, filter);
	return filter->ip ? hs_check_ip_range(filter->ip, &matcher->range, err) : HS_OK;
}

static int compare_sortables(const void *left, const void *right)
{
	const struct sortable *a = left, *b = right;
	int order = strcmp(a->key, b->key);

	if (!order)
		order = (a->number > b->number) - (a->number < b->number);
	if (!order)
		order = strcmp(a->text, b->text);
	if (order)
		return a->descending ? -order : order;
	order = strcmp(a->host->hostname, b->host->hostname);
	return order ? order : strcmp(a->host->id, b->host->id);
}

/* -- rows of the read model, narrowed and ordered by SQL -------------------------------------------------------------- */

static const char *const columns[] = {
	[HS_BY_IP] = "ip_key", [HS_BY_IP_TEXT] = "ip", [HS_BY_HOSTNAME] = "hostname",
	[HS_BY_CREATED] = "created_at", [HS_BY_UPDATED] = "updated_at",
};

static void compose_tags(struct hs_composed *c, const char *const *tags, int count)
{
	hs_piece(c, " AND id IN (SELECT host FROM host_tags WHERE tenant = $1 AND tag IN (");
	for (int i = 0; i < count; i++)
		hs_parameter(c, i ? ", " : "", hs_text_value(tags[i]));
	hs_piece(c, "))");
}

static void compose_after(struct hs_composed *c, const struct hs_filter *filter, const struct sortable *after)
{
	const char *column = columns[filter->order];
	bool by_number = filter->order == HS_BY_CREATED || filter->order == HS_BY_UPDATED;
	struct hs_value key = by_number ? hs_int(after->number)
		: hs_text_value(filter->order == HS_BY_IP ? after->key : after->text);

	if (!filter->descending) {
		/* What follows would do; this term lets every database use its index. */
		hs_piece(c, " AND ");
		hs_piece(c, column);
		hs_parameter(c, " >= ", key);
	}
	hs_piece(c, " AND (");
	hs_piece(c, column);
	hs_parameter(c, filter->descending ? " < " : " > ", key);
	hs_piece(c, " OR (");
	hs_piece(c, column);
	hs_parameter(c, " = ", key);
	hs_parameter(c, " AND (hostname, id) > (", hs_text_value(after->host->hostname));
	hs_parameter(c, ", ", hs_text_value(after->host->id));
	hs_piece(c, ")))");
}

/* Whether SQL alone decides which rows match, so that it may stop at the limit. */
static bool is_plain(const struct hs_filter *f)
{
	return f->enabled < 0 && !f->origin && !f->hostname && !f->tags && !f->tags_all && !f->tags_none &&
	       !f->ip_pattern && !f->hostname_pattern && !f->text && f->created_since == HS_TIME_UNSET &&
	       f->created_until == HS_TIME_UNSET && f->updated_since == HS_TIME_UNSET &&
	       f->updated_until == HS_TIME_UNSET;
}

static void compose_list(struct hs_composed *c, const char *tenant, const struct matcher *matcher)
{
	const struct hs_filter *f = matcher->filter;
	bool by_name = f->hostname && !strpbrk(f->hostname, "*?");
	bool narrowed = by_name || (f->tags && f->tag_count) || (f->tags_all && f->tag_all_count);

	hs_piece(c, "SELECT id, version, position, ip, hostname, aliases, comment, tags, enabled, "
		    "expires_at, origin, created_at, updated_at FROM hosts");
	hs_parameter(c, " WHERE tenant = ", hs_text_value(tenant));
	if (f->ip) {
		hs_parameter(c, " AND ip_key BETWEEN ", hs_text_value(matcher->range.first));
		hs_parameter(c, " AND ", hs_text_value(matcher->range.last));
	}
	if (by_name) {
		hs_parameter(c, " AND id IN (SELECT id FROM hosts WHERE tenant = $1 AND hostname = ",
			     hs_text_value(matcher->hostname));
		hs_parameter(c, " UNION ALL SELECT host FROM host_aliases WHERE tenant = $1 AND alias = ",
			     hs_text_value(matcher->hostname));
		hs_piece(c, ")");
	}
	if (f->tags && f->tag_count)
		compose_tags(c, f->tags, f->tag_count);
	if (f->tags_all && f->tag_all_count)
		compose_tags(c, f->tags_all, 1);
	if (f->after)
		compose_after(c, f, &matcher->after);
	hs_piece(c, " ORDER BY ");
	hs_piece(c, columns[f->order]);
	/* With few rows to sort, an index of the order would lead away from those of names and tags. */
	if (narrowed && (f->order == HS_BY_IP || f->order == HS_BY_HOSTNAME))
		hs_piece(c, " || ''");
	if (f->descending)
		hs_piece(c, " DESC");
	if (f->order != HS_BY_HOSTNAME)
		hs_piece(c, ", hostname");
	hs_piece(c, ", id");
	if (is_plain(f) && f->limit >= 0 && f->offset <= INT64_MAX - f->limit)
		hs_parameter(c, " LIMIT ", hs_int(f->offset + f->limit));
}

/* -- scanning -------------------------------------------------------------------------------------------------------------- */

struct scan {
	struct hs_arena *arena;
	struct matcher matcher;
	int64_t skip, limit;		/* matches passed over; limit -1: none */
	struct hs_hosts *hosts;		/* NULL: only count */
	int64_t count;
};

/* Keeps or counts a host that was copied into the arena behind MARK, or forgets it again. */
static enum hs_code scan_host(struct scan *scan, struct hs_mark mark, const struct hs_host *host,
			      struct hs_error *err)
{
	enum hs_code rc = HS_OK;

	if (!matches(&scan->matcher, host) || scan->skip > 0) {
		scan->skip -= scan->skip > 0 && matches(&scan->matcher, host);
		hs_rewind(scan->arena, mark);
		return HS_OK;
	}
	scan->count++;
	if (scan->hosts)
		rc = hs_hosts_add(scan->arena, scan->hosts, host, err);
	else
		hs_rewind(scan->arena, mark);
	return rc == HS_OK && scan->count == scan->limit ? HS_STOP : rc;
}

static enum hs_code scan_row(void *context, const struct hs_value *row, int count, struct hs_error *err)
{
	struct scan *scan = context;
	struct hs_mark mark = hs_mark(scan->arena);
	struct hs_host host;
	enum hs_code rc = hs_host_from_row(scan->arena, row, &host, err);

	(void)count;
	return rc ? rc : scan_host(scan, mark, &host, err);
}

static enum hs_code scan_event(void *context, const struct hs_value *row, int count, struct hs_error *err)
{
	struct scan *scan = context;
	struct hs_mark mark = hs_mark(scan->arena);
	struct hs_event event;
	struct hs_host host;
	enum hs_code rc = hs_event_from_row(scan->arena, row, &event, err);

	(void)count;
	if (rc)
		return rc;
	if (hs_event_is_deletion(&event)) {
		hs_rewind(scan->arena, mark);
		return HS_OK;
	}
	rc = hs_host_decode(scan->arena, &event, &host, err);
	return rc ? rc : scan_host(scan, mark, &host, err);
}

static enum hs_code scan_now(struct hs_store *store, struct scan *scan, struct hs_error *err)
{
	const struct hs_filter *f = scan->matcher.filter;
	struct hs_composed c = {.sql = {.arena = scan->arena}};

	c.values = hs_alloc(scan->arena, (size_t)(f->tag_count + 16) * sizeof *c.values);
	if (c.values)
		compose_list(&c, store->tenant, &scan->matcher);
	if (!c.values || c.sql.failed)
		return hs_no_memory(err);
	return hs_query(store, c.sql.s, c.values, c.count, scan_row, scan, err);
}

static enum hs_code scan_then(struct hs_store *store, struct scan *scan, struct hs_moment at,
			      struct hs_error *err)
{
	return hs_run(store, HS_SQL_HOSTS_AT, (struct hs_value[]){hs_text_value(store->tenant),
		hs_int(at.position), hs_int(at.time)}, 3, scan_event, scan, err);
}

/* Puts the hosts of the past in order and keeps those behind `after`, from offset to limit. */
static enum hs_code sort_hosts(struct hs_arena *arena, struct hs_hosts *hosts,
			       const struct matcher *matcher, struct hs_error *err)
{
	const struct hs_filter *filter = matcher->filter;
	struct sortable *items = hs_alloc(arena, (hosts->count + 1) * sizeof *items);
	struct hs_host *sorted = hs_alloc(arena, (hosts->count + 1) * sizeof *sorted);
	int64_t skip = filter->offset;
	size_t kept = 0;

	if (!items || !sorted)
		return hs_no_memory(err);
	for (size_t i = 0; i < hosts->count; i++)
		make_sortable(&items[i], &hosts->items[i], filter);
	qsort(items, hosts->count, sizeof *items, compare_sortables);
	for (size_t i = 0; i < hosts->count && (filter->limit < 0 || (int64_t)kept < filter->limit); i++) {
		if ((filter->after && compare_sortables(&items[i], &matcher->after) <= 0) || skip-- > 0)
			continue;
		sorted[kept++] = *items[i].host;
	}
	hosts->items = sorted;
	hosts->count = kept;
	return HS_OK;
}

enum hs_code hs_host_list(struct hs_store *store, struct hs_arena *arena, struct hs_moment at,
			  const struct hs_filter *filter, struct hs_hosts *hosts, struct hs_error *err)
{
	struct scan scan = {.arena = arena, .skip = at.now ? filter->offset : 0,
		.limit = at.now ? filter->limit : -1, .hosts = hosts};
	enum hs_code rc = prepare_matcher(arena, &scan.matcher, filter, err);

	if (rc || filter->limit == 0)
		return rc;
	if (at.now)
		return scan_now(store, &scan, err);
	rc = scan_then(store, &scan, at, err);
	return rc ? rc : sort_hosts(arena, hosts, &scan.matcher, err);
}

enum hs_code hs_host_count(struct hs_store *store, struct hs_arena *arena, struct hs_moment at,
			   const struct hs_filter *filter, int64_t *count, struct hs_error *err)
{
	struct hs_filter all = *filter;
	struct scan scan = {.arena = arena, .limit = -1};
	enum hs_code rc;

	all.after = NULL;
	all.limit = -1;
	rc = prepare_matcher(arena, &scan.matcher, &all, err);
	if (rc == HS_OK)
		rc = at.now ? scan_now(store, &scan, err) : scan_then(store, &scan, at, err);
	*count = scan.count;
	return rc;
}
