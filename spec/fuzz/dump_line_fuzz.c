/* dump_line_fuzz.c -- whatever a line of a dump is, reading it says that it is damaged or what it says;
 * and the line that is written of a record reads as the same record. */
#include "fuzz.h"

static bool parse(struct hs_arena *arena, const char *s, size_t length, struct hs_line *line)
{
	struct hs_error err;
	enum hs_code code = hs_line_parse(arena, s, length, line, &err);

	CLAIM(code == HS_OK || ((code == HS_INVALID || code == HS_UNSUPPORTED) &&
				hs_is_utf8(err.message, strlen(err.message))));
	CLAIM(code || hs_is_json(s, length));
	return code == HS_OK;
}

static void check_round(struct hs_arena *arena, const struct hs_record *record)
{
	struct hs_sum sum = hs_sum_of_nothing(), again = sum;
	struct hs_text text = {.arena = arena};
	struct hs_line line;
	struct hs_error err;

	if (hs_record_check(record, &err))
		return;
	hs_dump_record(&text, record);
	CLAIM(!text.failed && text.s[text.n - 1] == '\n' && !memchr(text.s, '\n', text.n - 1));
	CLAIM(parse(arena, text.s, text.n - 1, &line) && line.kind == HS_LINE_RECORD);
	hs_sum_add(&sum, record);
	hs_sum_add(&again, &line.record);
	CLAIM(hs_sum_equal(&sum, &again));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct hs_arena arena = {0};
	char *text = hs_copy(&arena, (const char *)data, size);
	struct hs_line line;

	CLAIM(text);
	hs_is_json(text, size);
	if (parse(&arena, text, size, &line) && line.kind == HS_LINE_RECORD)
		check_round(&arena, &line.record);
	hs_arena_free(&arena);
	return 0;
}
