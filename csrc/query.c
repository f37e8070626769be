/* query.c -- questions of users, in SQL.
 *
 * What may be asked is the driver's to enforce, see hs_driver.h; here is what all have in common: how many
 * rows, which names their columns have, and a first look that says early what is no question at all. */
#include <stdio.h>
#include <string.h>

#include "hs.h"

/* Of all texts of an answer together. */
static const size_t BYTES_MAX = 64 << 20;

static const char *skip_space(const char *s)
{
	for (;;) {
		s += strspn(s, " \t\r\n(");
		if (s[0] == '-' && s[1] == '-') {
			s += strcspn(s, "\n");
		} else if (s[0] == '/' && s[1] == '*') {
			const char *end = strstr(s + 2, "*/");

			s = end ? end + 2 : s + strlen(s);
		} else {
			return s;
		}
	}
}

static bool begins_with(const char *s, const char *word)
{
	size_t i = 0;

	while (word[i] && hs_lower(s[i]) == word[i])
		i++;
	return !word[i] && !strchr("abcdefghijklmnopqrstuvwxyz0123456789_", s[i] ? hs_lower(s[i]) : ' ');
}

static enum hs_code check(const char *sql, struct hs_error *err)
{
	const char *start = skip_space(sql);

	if (!hs_is_utf8(sql, strlen(sql)))
		return hs_fail(err, HS_INVALID, "sql", "the statement is not UTF-8");
	if (begins_with(start, "select") || begins_with(start, "with") || begins_with(start, "values"))
		return HS_OK;
	return hs_fail(err, HS_READONLY, NULL, "only a SELECT is answered, not '%s'", hs_quote(start).s);
}

/* The statement without the ';' that may end it. */
static const char *trim(struct hs_arena *arena, const char *sql)
{
	size_t n = strlen(sql);

	while (n > 0 && strchr("; \t\r\n", sql[n - 1]))
		n--;
	return hs_copy(arena, sql, n);
}

static bool is_taken(const struct hs_answer *answer, const char *name)
{
	for (int i = 0; i < answer->columns; i++)
		if (strcmp(answer->names[i], name) == 0)
			return true;
	return false;
}

/* A name that comes again is told apart by a number: id, id_2. */
static enum hs_code take_name(struct hs_answer *answer, const char *given, struct hs_error *err)
{
	size_t room = strlen(given) + 16;
	char *name = hs_alloc(answer->arena, room);

	if (!name)
		return hs_no_memory(err);
	snprintf(name, room, "%s", given);
	for (int again = 2; is_taken(answer, name); again++)
		snprintf(name, room, "%s_%d", given, again);
	answer->names[answer->columns++] = name;
	return HS_OK;
}

static enum hs_code take_names(void *context, const struct hs_value *row, int columns, struct hs_error *err)
{
	struct hs_answer *answer = context;
	enum hs_code rc = HS_OK;

	for (int i = 0; rc == HS_OK && i < columns; i++)
		rc = take_name(answer, row[i].s, err);
	return rc;
}

static enum hs_code take_row(void *context, const struct hs_value *row, int columns, struct hs_error *err)
{
	struct hs_answer *answer = context;

	answer->more = answer->rows == answer->limit;
	if (answer->more)
		return HS_STOP;
	for (int i = 0; i < columns; i++) {
		struct hs_value *value;

		answer->bytes += row[i].type == HS_TEXT ? row[i].n : 0;
		if (answer->bytes > BYTES_MAX)
			return hs_fail(err, HS_QUERY, NULL, "the answer has more than %zu MiB", BYTES_MAX >> 20);
		answer->values = hs_grow(answer->arena, answer->values, answer->count, &answer->room,
					 sizeof *answer->values);
		if (!answer->values)
			return hs_no_memory(err);
		value = &answer->values[answer->count++];
		*value = row[i];
		if (value->type == HS_TEXT && !(value->s = hs_copy(answer->arena, row[i].s, row[i].n)))
			return hs_no_memory(err);
	}
	answer->rows++;
	return HS_OK;
}

enum hs_code hs_ask(struct hs_store *store, const char *sql, const struct hs_value *values, int count, int timeout,
		    struct hs_answer *answer, struct hs_error *err)
{
	struct hs_question question = {.values = values, .count = count, .limit = answer->limit + 1,
		.timeout = timeout, .names = take_names, .row = take_row, .context = answer};
	enum hs_code rc = check(sql, err);

	if (rc)
		return rc;
	for (int i = 0; i < count; i++)
		if (values[i].type == HS_TEXT && !hs_is_utf8(values[i].s, values[i].n))
			return hs_fail(err, HS_INVALID, "parameters", "parameter %d is not UTF-8", i + 1);
	question.sql = trim(answer->arena, sql);
	if (!question.sql)
		return hs_no_memory(err);
	return store->driver->ask(store->db, &question, err);
}
