/* record.c -- all a tenant has, row by row.
 *
 * What copies, dumps and backups are made of: rows as the database holds them, in a fixed order, read
 * in pages so that memory does not grow with the log. Nothing is decoded on the way. */
#include <string.h>

#include "hs.h"

enum {
	PAGE_ROWS = 500,
	PAGE_BYTES = 256 * 1024,	/* a page ends with the row that exceeds this */
};

enum shape { NUMBER, TEXT, TEXT_OR_UNSET };

/* Columns as the page statement gives them, the key first. */
static const struct {
	const char *name, *plural;
	enum hs_sql page;
	struct {
		const char *name;
		enum shape shape;
	} columns[HS_RECORD_COLUMNS];
} kinds[HS_KINDS] = {
	[HS_KIND_EVENT] = {"event", "events", HS_SQL_EVENT_PAGE, {
		{"position", NUMBER}, {"stream", TEXT}, {"version", NUMBER}, {"id", TEXT}, {"type", TEXT},
		{"data", TEXT}, {"metadata", TEXT_OR_UNSET}, {"actor", TEXT_OR_UNSET},
		{"reason", TEXT_OR_UNSET}, {"occurred_at", NUMBER}, {"recorded_at", NUMBER}}},
	[HS_KIND_SNAPSHOT] = {"snapshot", "snapshots", HS_SQL_SNAPSHOT_PAGE, {
		{"number", NUMBER}, {"id", TEXT}, {"name", TEXT_OR_UNSET}, {"trigger", TEXT},
		{"position", NUMBER}, {"created_at", NUMBER}, {"entry_count", NUMBER}, {"content", TEXT}}},
	[HS_KIND_STATE] = {"state", "states", HS_SQL_STATE_PAGE, {
		{"stream", TEXT}, {"version", NUMBER}, {"state", TEXT}, {"saved_at", NUMBER}}},
	[HS_KIND_FEED] = {"feed", "feeds", HS_SQL_FEED_PAGE, {
		{"name", TEXT}, {"position", NUMBER}, {"epoch", NUMBER}, {"reader", TEXT_OR_UNSET},
		{"updated_at", NUMBER}}},
};

const char *hs_kind_name(enum hs_kind kind)
{
	return kinds[kind].name;
}

const char *hs_kind_plural(enum hs_kind kind)
{
	return kinds[kind].plural;
}

int hs_kind_columns(enum hs_kind kind)
{
	int columns = 0;

	while (columns < HS_RECORD_COLUMNS && kinds[kind].columns[columns].name)
		columns++;
	return columns;
}

const char *hs_kind_column(enum hs_kind kind, int column)
{
	return kinds[kind].columns[column].name;
}

enum hs_code hs_record_check(const struct hs_record *record, struct hs_error *err)
{
	for (int i = 0; i < hs_kind_columns(record->kind); i++) {
		const struct hs_value *value = &record->values[i];
		const char *name = kinds[record->kind].columns[i].name;
		enum shape shape = kinds[record->kind].columns[i].shape;

		if (value->type == HS_NULL && shape != TEXT_OR_UNSET)
			return hs_fail(err, HS_INVALID, name, "'%s' is missing", name);
		if (value->type != HS_NULL && (value->type == HS_INT) != (shape == NUMBER))
			return hs_fail(err, HS_INVALID, name, "'%s' must be a %s", name,
				       shape == NUMBER ? "whole number" : "text");
		if (value->type == HS_TEXT && (memchr(value->s, 0, value->n) || !hs_is_utf8(value->s, value->n)))
			return hs_fail(err, HS_INVALID, name, "'%s' is not UTF-8 without NUL", name);
	}
	return HS_OK;
}

/* -- sums ------------------------------------------------------------------------------------------------ */

struct hs_sum hs_sum_of_nothing(void)
{
	return (struct hs_sum){.digest = UINT64_C(14695981039346656037)};
}

static uint64_t add_bytes(uint64_t digest, const char *bytes, size_t n)
{
	for (size_t i = 0; i < n; i++)
		digest = (digest ^ (unsigned char)bytes[i]) * UINT64_C(1099511628211);
	return digest;
}

/* Lowest byte first, whatever the machine. */
static uint64_t add_number(uint64_t digest, uint64_t number)
{
	char bytes[8];

	for (int i = 0; i < 8; i++)
		bytes[i] = (char)(unsigned char)(number >> 8 * i);
	return add_bytes(digest, bytes, sizeof bytes);
}

void hs_sum_add(struct hs_sum *sum, const struct hs_record *record)
{
	uint64_t digest = add_number(sum->digest, record->kind);

	for (int i = 0; i < hs_kind_columns(record->kind); i++) {
		const struct hs_value *value = &record->values[i];

		/* Types and lengths too: no two lists of values are the same row of bytes. */
		digest = add_number(digest, value->type);
		digest = add_number(digest, value->type == HS_INT ? (uint64_t)value->i : value->n);
		if (value->type == HS_TEXT)
			digest = add_bytes(digest, value->s, value->n);
	}
	sum->digest = digest;
	sum->counts[record->kind]++;
}

bool hs_sum_equal(const struct hs_sum *a, const struct hs_sum *b)
{
	return a->digest == b->digest && memcmp(a->counts, b->counts, sizeof a->counts) == 0;
}

/* -- pages --------------------------------------------------------------------------------------------------- */

void hs_records_begin(struct hs_records *records)
{
	*records = (struct hs_records){.sum = hs_sum_of_nothing()};
}

void hs_records_end(struct hs_records *records)
{
	hs_arena_free(&records->arena);
}

static enum hs_code take_record(void *context, const struct hs_value *row, int columns, struct hs_error *err)
{
	struct hs_records *records = context;
	struct hs_record *record;

	records->items = hs_grow(&records->arena, records->items, records->count, &records->room,
				 sizeof *records->items);
	if (!records->items)
		return hs_no_memory(err);
	record = &records->items[records->count++];
	*record = (struct hs_record){.kind = records->kind};
	for (int i = 0; i < columns; i++) {
		struct hs_value *value = &record->values[i];

		value->type = row[i].type;
		value->i = row[i].type == HS_INT ? row[i].i : 0;
		if (value->type != HS_TEXT)
			continue;
		value->n = row[i].n;
		value->s = hs_copy(&records->arena, row[i].s, row[i].n);
		if (!value->s)
			return hs_no_memory(err);
		records->bytes += row[i].n;
	}
	return records->bytes > PAGE_BYTES ? HS_STOP : HS_OK;
}

/* Notes where the next page begins. The key outlives the page it stands in. */
static enum hs_code keep_key(struct hs_records *records, struct hs_error *err)
{
	const struct hs_value *key = &records->items[records->count - 1].values[0];

	records->number = key->i;
	if (key->type != HS_TEXT)
		return HS_OK;
	if (key->n >= sizeof records->key)
		return hs_fail(err, HS_CORRUPT, NULL, "the %s '%s' has a name of %zu bytes", hs_kind_name(records->kind),
			       hs_quote(key->s).s, key->n);
	memcpy(records->key, key->s, key->n + 1);
	return HS_OK;
}

static enum hs_code read_page(struct hs_store *store, struct hs_records *records, struct hs_error *err)
{
	bool by_number = kinds[records->kind].columns[0].shape == NUMBER;
	struct hs_value values[] = {hs_text_value(store->tenant),
		by_number ? hs_int(records->number) : hs_text_value(records->key), hs_int(PAGE_ROWS)};
	enum hs_code rc;

	hs_rewind(&records->arena, (struct hs_mark){0});
	records->items = NULL;
	records->count = records->room = records->bytes = 0;
	rc = hs_run(store, kinds[records->kind].page, values, 3, take_record, records, err);
	return rc || records->count == 0 ? rc : keep_key(records, err);
}

enum hs_code hs_records_next(struct hs_store *store, struct hs_records *records, struct hs_error *err)
{
	enum hs_code rc = HS_OK;

	records->count = 0;
	while (rc == HS_OK && records->count == 0 && records->kind < HS_KINDS) {
		rc = read_page(store, records, err);
		if (rc == HS_OK && records->count == 0) {
			records->kind++;
			records->number = 0;
			records->key[0] = '\0';
		}
	}
	for (size_t i = 0; rc == HS_OK && i < records->count; i++)
		hs_sum_add(&records->sum, &records->items[i]);
	return rc;
}
