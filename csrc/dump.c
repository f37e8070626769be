/* dump.c -- the records of a tenant as lines of text, and back.
 *
 * A line is a JSON object of texts, whole numbers and nulls. What is JSON in the database stands in a
 * text, so that every byte of it comes back, and numbers are read as the 64-bit integers they are. The
 * first line says what this is, the last one what the lines between must add up to. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hs.h"

enum {
	DUMP_VERSION = 1,
	MEMBERS = 16,
	DEPTH = 1000,			/* of JSON, as where it was encoded */
};

/* -- writing ------------------------------------------------------------------------------------------- */

static void add_string(struct hs_text *text, const char *s, size_t n)
{
	size_t done = 0;

	hs_text_add(text, "\"");
	for (size_t i = 0; i < n; i++) {
		unsigned char c = (unsigned char)s[i];
		char escape[8];

		if (c >= ' ' && c != '"' && c != '\\')
			continue;
		hs_text_add_bytes(text, s + done, i - done);
		done = i + 1;
		if (c == '\n')
			snprintf(escape, sizeof escape, "\\n");
		else
			snprintf(escape, sizeof escape, c < ' ' ? "\\u%04x" : "\\%c", c);
		hs_text_add(text, escape);
	}
	hs_text_add_bytes(text, s + done, n - done);
	hs_text_add(text, "\"");
}

/* A member; NAME brings its separator along. */
static void add_number(struct hs_text *text, const char *name, int64_t number)
{
	char digits[24];

	snprintf(digits, sizeof digits, "%lld", (long long)number);
	hs_text_add(text, ",\"");
	hs_text_add(text, name);
	hs_text_add(text, "\":");
	hs_text_add(text, digits);
}

static void add_text(struct hs_text *text, const char *name, const char *s, size_t n)
{
	hs_text_add(text, ",\"");
	hs_text_add(text, name);
	hs_text_add(text, "\":");
	add_string(text, s, n);
}

static void add_head(struct hs_text *text, const char *tenant, int64_t position)
{
	char begin[32];

	snprintf(begin, sizeof begin, "{\"hoststore_dump\":%d", DUMP_VERSION);
	hs_text_add(text, begin);
	add_text(text, "tenant", tenant, strlen(tenant));
	add_number(text, "position", position);
	hs_text_add(text, "}\n");
}

void hs_dump_record(struct hs_text *text, const struct hs_record *record)
{
	hs_text_add(text, "{\"kind\":\"");
	hs_text_add(text, hs_kind_name(record->kind));
	hs_text_add(text, "\"");
	for (int i = 0; i < hs_kind_columns(record->kind); i++) {
		const struct hs_value *value = &record->values[i];
		const char *name = hs_kind_column(record->kind, i);

		if (value->type == HS_INT)
			add_number(text, name, value->i);
		else if (value->type == HS_TEXT)
			add_text(text, name, value->s, value->n);
	}
	hs_text_add(text, "}\n");
}

static void add_tail(struct hs_text *text, const struct hs_sum *sum)
{
	char digest[17];

	hs_text_add(text, "{\"kind\":\"end\"");
	for (enum hs_kind kind = 0; kind < HS_KINDS; kind++)
		add_number(text, hs_kind_plural(kind), sum->counts[kind]);
	snprintf(digest, sizeof digest, "%016llx", (unsigned long long)sum->digest);
	add_text(text, "digest", digest, 16);
	hs_text_add(text, "}\n");
}

enum hs_code hs_dump_next(struct hs_store *store, struct hs_records *records, struct hs_text *text,
			  struct hs_error *err)
{
	int64_t position;
	enum hs_code rc;

	if (records->lines == 0) {
		rc = hs_log_position(store, &position, err);
		if (rc)
			return rc;
		add_head(text, store->tenant, position);
		records->lines = 1;
	}
	rc = hs_records_next(store, records, err);
	for (size_t i = 0; rc == HS_OK && i < records->count; i++) {
		rc = hs_record_check(&records->items[i], err);
		if (rc)		/* nothing of ours is so: a line of it could not be read again */
			err->code = rc = HS_CORRUPT;
		else
			hs_dump_record(text, &records->items[i]);
	}
	if (rc)
		return rc;
	if (records->count == 0 && records->lines == 1) {
		add_tail(text, &records->sum);
		records->lines = 2;
	}
	return text->failed ? hs_no_memory(err) : HS_OK;
}

/* -- scanning JSON -------------------------------------------------------------------------------------------- */

struct scan {
	const char *s, *end;
};

static bool at(const struct scan *scan, char c)
{
	return scan->s < scan->end && *scan->s == c;
}

static void skip_space(struct scan *scan)
{
	while (scan->s < scan->end && (*scan->s == ' ' || *scan->s == '\t' || *scan->s == '\n' || *scan->s == '\r'))
		scan->s++;
}

/* Passes over C and the space around it. */
static bool skip(struct scan *scan, char c)
{
	skip_space(scan);
	if (!at(scan, c))
		return false;
	scan->s++;
	skip_space(scan);
	return true;
}

static bool skip_word(struct scan *scan, const char *word)
{
	size_t n = strlen(word);

	if ((size_t)(scan->end - scan->s) < n || memcmp(scan->s, word, n) != 0)
		return false;
	scan->s += n;
	return true;
}

static bool skip_digits(struct scan *scan)
{
	const char *first = scan->s;

	while (scan->s < scan->end && *scan->s >= '0' && *scan->s <= '9')
		scan->s++;
	return scan->s > first;
}

static bool skip_integer(struct scan *scan)
{
	if (at(scan, '-'))
		scan->s++;
	if (at(scan, '0')) {
		scan->s++;
		return true;
	}
	return skip_digits(scan);
}

static bool skip_number(struct scan *scan)
{
	if (!skip_integer(scan))
		return false;
	if (at(scan, '.')) {
		scan->s++;
		if (!skip_digits(scan))
			return false;
	}
	if (at(scan, 'e') || at(scan, 'E')) {
		scan->s++;
		if (at(scan, '+') || at(scan, '-'))
			scan->s++;
		return skip_digits(scan);
	}
	return true;
}

/* Four hexadecimal digits. */
static bool take_unit(struct scan *scan, unsigned *unit)
{
	*unit = 0;
	for (int i = 0; i < 4; i++, scan->s++) {
		const char *digits = "0123456789abcdef";
		const char *digit = scan->s < scan->end && *scan->s ? strchr(digits, hs_lower(*scan->s)) : NULL;

		if (!digit)
			return false;
		*unit = *unit << 4 | (unsigned)(digit - digits);
	}
	return true;
}

static bool skip_string(struct scan *scan)
{
	unsigned unit;

	if (!at(scan, '"'))
		return false;
	for (scan->s++; scan->s < scan->end; scan->s++) {
		if (*scan->s == '"') {
			scan->s++;
			return true;
		}
		if ((unsigned char)*scan->s < ' ')
			return false;
		if (*scan->s != '\\')
			continue;
		if (++scan->s == scan->end || !*scan->s || !strchr("\"\\/bfnrtu", *scan->s))
			return false;
		if (*scan->s == 'u') {
			scan->s++;
			if (!take_unit(scan, &unit))
				return false;
			scan->s--;
		}
	}
	return false;
}

static bool skip_value(struct scan *scan, int depth);

/* An array, or an object whose members have names, up to its bracket CLOSE. */
static bool skip_items(struct scan *scan, char close, int depth)
{
	scan->s++;
	if (depth == DEPTH)
		return false;
	if (skip(scan, close))
		return true;
	do {
		if (close == '}' && !(skip_string(scan) && skip(scan, ':')))
			return false;
		if (!skip_value(scan, depth + 1))
			return false;
	} while (skip(scan, ','));
	skip_space(scan);
	if (!at(scan, close))
		return false;
	scan->s++;
	return true;
}

static bool skip_value(struct scan *scan, int depth)
{
	skip_space(scan);
	if (at(scan, '"'))
		return skip_string(scan);
	if (at(scan, '[') || at(scan, '{'))
		return skip_items(scan, *scan->s == '[' ? ']' : '}', depth);
	return skip_word(scan, "null") || skip_word(scan, "true") || skip_word(scan, "false") || skip_number(scan);
}

bool hs_is_json(const char *s, size_t length)
{
	struct scan scan = {s, s + length};

	if (!skip_value(&scan, 0))
		return false;
	skip_space(&scan);
	return scan.s == scan.end;
}

/* -- reading a line --------------------------------------------------------------------------------------------- */

struct member {
	const char *name;
	struct hs_value value;
	bool taken;
};

struct object {
	struct member members[MEMBERS];
	int count;
};

static char *put_utf8(char *out, unsigned code)
{
	if (code < 0x80) {
		*out++ = (char)code;
		return out;
	}
	if (code < 0x800) {
		*out++ = (char)(0xc0 | code >> 6);
	} else if (code < 0x10000) {
		*out++ = (char)(0xe0 | code >> 12);
		*out++ = (char)(0x80 | (code >> 6 & 0x3f));
	} else {
		*out++ = (char)(0xf0 | code >> 18);
		*out++ = (char)(0x80 | (code >> 12 & 0x3f));
		*out++ = (char)(0x80 | (code >> 6 & 0x3f));
	}
	*out++ = (char)(0x80 | (code & 0x3f));
	return out;
}

/* What stands behind \u: a character, half of it when it is a surrogate. A lone one is no text. */
static bool take_character(struct scan *scan, char **out)
{
	unsigned code, low;

	if (!take_unit(scan, &code))
		return false;
	if (code >= 0xd800 && code < 0xdc00) {
		if (!skip_word(scan, "\\u") || !take_unit(scan, &low) || low < 0xdc00 || low > 0xdfff)
			return false;
		code = 0x10000 + ((code - 0xd800) << 10 | (low - 0xdc00));
	}
	*out = put_utf8(*out, code);
	return code != 0 && (code < 0xd800 || code > 0xdfff);
}

static bool take_escape(struct scan *scan, char **out)
{
	static const char letters[] = "bfnrt", meanings[] = "\b\f\n\r\t";
	char c = *scan->s++;
	const char *letter = strchr(letters, c);

	if (c == 'u')
		return take_character(scan, out);
	*(*out)++ = letter ? meanings[letter - letters] : c;
	return true;
}

/* The string at SCAN, which is known to end. It gets no longer by being decoded. */
static bool take_string(struct hs_arena *arena, struct scan *scan, const char **s, size_t *n, bool *no_memory)
{
	struct scan body = {scan->s + 1, NULL};
	char *text, *out;

	if (!skip_string(scan))
		return false;
	body.end = scan->s - 1;
	out = text = hs_alloc(arena, (size_t)(body.end - body.s) + 1);
	*no_memory = !text;
	if (!text)
		return false;
	while (body.s < body.end) {
		const char *plain = memchr(body.s, '\\', (size_t)(body.end - body.s));
		size_t length = (size_t)((plain ? plain : body.end) - body.s);

		memcpy(out, body.s, length);
		out += length;
		body.s += length;
		if (plain && (body.s++, !take_escape(&body, &out)))
			return false;
	}
	*out = '\0';
	*s = text;
	*n = (size_t)(out - text);
	return hs_is_utf8(text, *n);
}

/* A whole number of 64 bits. */
static bool take_number(struct scan *scan, int64_t *number)
{
	char digits[24], *end;
	const char *first = scan->s;
	size_t n;

	if (!skip_integer(scan))
		return false;
	n = (size_t)(scan->s - first);
	/* 19 digits are the most that fit, and then not all of them do. */
	if (n >= sizeof digits || at(scan, '.') || at(scan, 'e') || at(scan, 'E'))
		return false;
	memcpy(digits, first, n);
	digits[n] = '\0';
	*number = strtoll(digits, &end, 10);
	return !((*number == INT64_MAX || *number == INT64_MIN) &&
		 strcmp(digits, *number < 0 ? "-9223372036854775808" : "9223372036854775807") != 0);
}

static bool take_value(struct hs_arena *arena, struct scan *scan, struct hs_value *value, bool *no_memory)
{
	*value = (struct hs_value){.type = HS_NULL};
	if (skip_word(scan, "null"))
		return true;
	if (at(scan, '"')) {
		value->type = HS_TEXT;
		return take_string(arena, scan, &value->s, &value->n, no_memory);
	}
	value->type = HS_INT;
	return take_number(scan, &value->i);
}

static bool take_members(struct hs_arena *arena, struct scan *scan, struct object *object, bool *no_memory)
{
	size_t n;

	object->count = 0;
	if (!skip(scan, '{'))
		return false;
	do {
		struct member *member = &object->members[object->count++];

		member->taken = false;
		if (!take_string(arena, scan, &member->name, &n, no_memory) || !skip(scan, ':') ||
		    !take_value(arena, scan, &member->value, no_memory))
			return false;
	} while (skip(scan, ',') && object->count < MEMBERS);
	return skip(scan, '}') && scan->s == scan->end;
}

static enum hs_code parse_object(struct hs_arena *arena, const char *s, size_t length, struct object *object,
				 struct hs_error *err)
{
	struct scan scan = {s, s + length};
	bool no_memory = false;

	if (take_members(arena, &scan, object, &no_memory))
		return HS_OK;
	if (no_memory)
		return hs_no_memory(err);
	return hs_fail(err, HS_INVALID, NULL, "the line is damaged at byte %zu: it is no JSON object of texts and "
		       "whole numbers: '%s'", (size_t)(scan.s - s) + 1, hs_quote(s).s);
}

/* The value of a member, null when there is none. */
static struct hs_value take(struct object *object, const char *name)
{
	for (int i = 0; i < object->count; i++) {
		struct member *member = &object->members[i];

		if (!member->taken && strcmp(member->name, name) == 0) {
			member->taken = true;
			return member->value;
		}
	}
	return (struct hs_value){.type = HS_NULL};
}

/* What was not taken is unknown, or stands there twice. */
static enum hs_code check_taken(const struct object *object, struct hs_error *err)
{
	for (int i = 0; i < object->count; i++)
		if (!object->members[i].taken)
			return hs_fail(err, HS_INVALID, NULL, "'%s' is unknown here, or there twice",
				       hs_quote(object->members[i].name).s);
	return HS_OK;
}

static enum hs_code parse_head(struct object *object, struct hs_line *line, struct hs_error *err)
{
	struct hs_value version = take(object, "hoststore_dump"), tenant = take(object, "tenant");
	struct hs_value position = take(object, "position");

	line->kind = HS_LINE_HEAD;
	line->position = position.i;
	if (version.type != HS_INT || version.i != DUMP_VERSION)
		return hs_fail(err, HS_UNSUPPORTED, NULL, "the dump has version %lld, this hoststore reads version %d; "
			       "use a newer hoststore", (long long)version.i, DUMP_VERSION);
	if (tenant.type != HS_TEXT || position.type != HS_INT)
		return hs_fail(err, HS_INVALID, NULL, "the first line of a dump says its tenant and position");
	return check_taken(object, err);
}

static enum hs_code parse_tail(struct object *object, struct hs_line *line, struct hs_error *err)
{
	struct hs_value digest = take(object, "digest");
	char *end = NULL;

	line->kind = HS_LINE_TAIL;
	for (enum hs_kind kind = 0; kind < HS_KINDS; kind++) {
		/* A kind that a dump does not know is one it has none of. */
		struct hs_value count = take(object, hs_kind_plural(kind));

		if (count.type == HS_TEXT)
			return hs_fail(err, HS_INVALID, NULL, "'%s' must be a whole number", hs_kind_plural(kind));
		line->sum.counts[kind] = count.i;
	}
	if (digest.type == HS_TEXT && digest.n == 16)
		line->sum.digest = strtoull(digest.s, &end, 16);
	if (!end || *end)
		return hs_fail(err, HS_INVALID, NULL, "the last line of a dump has a digest of 16 hexadecimal digits");
	return check_taken(object, err);
}

static enum hs_code parse_record(struct object *object, const char *name, struct hs_line *line,
				 struct hs_error *err)
{
	enum hs_kind kind = 0;

	while (kind < HS_KINDS && strcmp(hs_kind_name(kind), name) != 0)
		kind++;
	if (kind == HS_KINDS)
		return hs_fail(err, HS_INVALID, NULL, "there is no kind of record '%s'", hs_quote(name).s);
	line->kind = HS_LINE_RECORD;
	line->record.kind = kind;
	for (int i = 0; i < hs_kind_columns(kind); i++)
		line->record.values[i] = take(object, hs_kind_column(kind, i));
	return check_taken(object, err);
}

enum hs_code hs_line_parse(struct hs_arena *arena, const char *s, size_t length, struct hs_line *line,
			   struct hs_error *err)
{
	struct object object;
	struct hs_value kind;
	enum hs_code rc = parse_object(arena, s, length, &object, err);

	memset(line, 0, sizeof *line);
	if (rc)
		return rc;
	for (int i = 0; i < object.count; i++)
		if (strcmp(object.members[i].name, "hoststore_dump") == 0)
			return parse_head(&object, line, err);
	kind = take(&object, "kind");
	if (kind.type != HS_TEXT)
		return hs_fail(err, HS_INVALID, NULL, "the line does not say what kind of record it is");
	if (strcmp(kind.s, "end") == 0)
		return parse_tail(&object, line, err);
	return parse_record(&object, kind.s, line, err);
}
