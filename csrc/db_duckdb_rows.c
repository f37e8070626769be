/* db_duckdb_rows.c -- statements of DuckDB and their rows.
 *
 * Rows are handed on as they come, so a long answer is never held all at once. DuckDB plans a
 * statement whenever it is run: a prepared one saves no more than reading its text. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "db_duckdb.h"

/* -- failures ------------------------------------------------------------------------------------------ */

/* DuckDB tells of a call of the system that failed by the system's words for it, which are those of the language
 * of this process. There is no number of it, and errno may be that of another thread. */
int hs_duck_system_error(const char *message)
{
	int number = 1;

	while (number <= EHWPOISON && !strstr(message, strerror(number)))
		number++;
	return number <= EHWPOISON ? number : 0;
}

/* Of preparing and starting a statement DuckDB gives no type, but the message begins with its name. */
static duckdb_error_type type_in(const char *message)
{
	return strncmp(message, "IO Error: ", 10) == 0 ? DUCKDB_ERROR_IO
		: strncmp(message, "FATAL Error: ", 13) == 0 ? DUCKDB_ERROR_FATAL : DUCKDB_ERROR_INVALID;
}

static enum hs_code code_of(duckdb_error_type type, const char *message)
{
	int number = hs_duck_system_error(message);

	switch (type == DUCKDB_ERROR_INVALID ? type_in(message) : type) {
	/* Of a key: what other constraints are about has the core checked. */
	case DUCKDB_ERROR_CONSTRAINT: return HS_DUPLICATE;
	/* What was read without a failure and yet is not right. */
	case DUCKDB_ERROR_IO: return number ? hs_code_of_system(number, HS_QUERY) : HS_CORRUPT;
	/* What a commit could not write; FATAL is all from then on until the file is opened again. */
	case DUCKDB_ERROR_TRANSACTION:
	case DUCKDB_ERROR_FATAL: return hs_code_of_system(number, HS_QUERY);
	default: return HS_QUERY;
	}
}

enum hs_code hs_duck_fail(const struct hs_duck_session *session, duckdb_error_type type, const char *message,
			  struct hs_error *err)
{
	enum hs_code code = code_of(type, message);

	switch (code) {
	case HS_FULL:
		return hs_driver_fail(err, code, "no space left for the database: %s", message);
	case HS_READONLY:
		return hs_driver_fail(err, code, "the database cannot be written: %s", message);
	case HS_CORRUPT:
		return hs_driver_fail(err, code, "the database file '%s' is damaged: %s", session->location, message);
	default:
		return hs_driver_fail(err, code, "DuckDB: %s", message);
	}
}

enum hs_code hs_duck_fail_result(const struct hs_duck_session *session, duckdb_result *result, struct hs_error *err)
{
	return hs_duck_fail(session, duckdb_result_error_type(result), duckdb_result_error(result), err);
}

/* -- preparing and binding ----------------------------------------------------------------------------------- */

void hs_duck_forget(struct hs_duck_statement *statements, int room)
{
	for (int i = 0; i < room; i++) {
		if (statements[i].prepared)
			duckdb_destroy_prepare(&statements[i].prepared);
		free(statements[i].numbers);
		statements[i] = (struct hs_duck_statement){.prepared = NULL};
	}
}

static int count_parameters(const char *sql, size_t n)
{
	int count = 0;

	for (size_t i = 0; i < n; i++)
		count += sql[i] == '$';
	return count;
}

/* DuckDB's number of our parameter NUMBER: they are numbered as they first appear. */
static int renumber(struct hs_duck_statement *statement, int number)
{
	int i = 0;

	while (i < statement->count && statement->numbers[i] != number)
		i++;
	if (i == statement->count)
		statement->numbers[statement->count++] = number;
	return i + 1;
}

/* The N bytes of one statement with its parameters numbered anew: DuckDB lets no number be left out, as a
 * part of a named statement does. To be freed. */
static char *rewrite(const char *sql, size_t n, struct hs_duck_statement *statement)
{
	size_t parameters = (size_t)count_parameters(sql, n);
	char *text = malloc(n + parameters * 4 + 1), *out = text;

	statement->numbers = calloc(parameters + 1, sizeof *statement->numbers);
	if (!text || !statement->numbers) {
		free(text);
		return NULL;
	}
	for (const char *s = sql; s < sql + n;) {
		char *behind;

		if (*s == '$' && s[1] >= '0' && s[1] <= '9') {
			out += sprintf(out, "$%d", renumber(statement, (int)strtol(s + 1, &behind, 10)));
			s = behind;
		} else {
			*out++ = *s++;
		}
	}
	*out = '\0';
	return text;
}

static enum hs_code prepare_one(struct hs_duck_session *session, const char *sql, size_t n,
				struct hs_duck_statement *statement, struct hs_error *err)
{
	char *text = rewrite(sql, n, statement);
	enum hs_code code = HS_OK;

	if (!text)
		return hs_driver_no_memory(err);
	if (duckdb_prepare(session->connection, text, &statement->prepared))
		code = hs_duck_fail(session, DUCKDB_ERROR_INVALID, duckdb_prepare_error(statement->prepared), err);
	else
		statement->writes = duckdb_prepared_statement_type(statement->prepared) != DUCKDB_STATEMENT_TYPE_SELECT;
	free(text);
	return code;
}

enum hs_code hs_duck_prepare(struct hs_duck_session *session, const char *sql, struct hs_duck_statement *statements,
			     int room, struct hs_error *err)
{
	enum hs_code code = HS_OK;

	for (int i = 0; code == HS_OK && i < room && sql[strspn(sql, ";\n")]; i++) {
		size_t n;

		sql += strspn(sql, ";\n");
		n = strcspn(sql, ";");
		code = prepare_one(session, sql, n, &statements[i], err);
		sql += n;
	}
	if (code)
		hs_duck_forget(statements, room);
	return code;
}

static duckdb_state bind_value(duckdb_prepared_statement prepared, idx_t index, const struct hs_value *value)
{
	switch (value ? value->type : HS_NULL) {
	case HS_INT: return duckdb_bind_int64(prepared, index, value->i);
	case HS_TEXT: return duckdb_bind_varchar_length(prepared, index, value->s, value->n);
	case HS_BOOL: return duckdb_bind_boolean(prepared, index, value->i);
	case HS_REAL: return duckdb_bind_double(prepared, index, value->r);
	default: return duckdb_bind_null(prepared, index);
	}
}

enum hs_code hs_duck_bind(const struct hs_duck_session *session, const struct hs_duck_statement *statement,
			  const struct hs_value *values, int count, struct hs_error *err)
{
	duckdb_state state = DUCKDB_SUCCESS;

	for (int i = 0; state == DUCKDB_SUCCESS && i < statement->count; i++) {
		int number = statement->numbers[i];

		state = bind_value(statement->prepared, (idx_t)i + 1, number <= count ? &values[number - 1] : NULL);
	}
	return state == DUCKDB_SUCCESS ? HS_OK
		: hs_duck_fail(session, DUCKDB_ERROR_INVALID, duckdb_prepare_error(statement->prepared), err);
}

/* -- rows ----------------------------------------------------------------------------------------------------- */

enum hs_code hs_duck_start(const struct hs_duck_session *session, const struct hs_duck_statement *statement,
			   struct hs_duck_rows *rows, struct hs_error *err)
{
	duckdb_pending_result pending = NULL;
	enum hs_code code = HS_OK;

	*rows = (struct hs_duck_rows){.session = session, .asked = statement->asked};
	if (statement->writes ? duckdb_pending_prepared(statement->prepared, &pending)
			      : duckdb_pending_prepared_streaming(statement->prepared, &pending))
		code = hs_duck_fail(session, DUCKDB_ERROR_INVALID, duckdb_pending_error(pending), err);
	else if (duckdb_execute_pending(pending, &rows->result))
		code = hs_duck_fail_result(session, &rows->result, err);
	else if (duckdb_result_return_type(rows->result) == DUCKDB_RESULT_TYPE_QUERY_RESULT)
		rows->columns = (int)duckdb_column_count(&rows->result);
	duckdb_destroy_pending(&pending);
	for (int i = 0; i < rows->columns; i++)
		rows->types[i] = duckdb_column_type(&rows->result, (idx_t)i);
	if (code)
		hs_duck_end(rows);
	return code;
}

void hs_duck_end(struct hs_duck_rows *rows)
{
	duckdb_destroy_data_chunk(&rows->chunk);
	duckdb_destroy_result(&rows->result);
	for (int i = 0; i < rows->columns; i++)
		free(rows->texts[i]);
	rows->columns = 0;
}

/* Fetches the next chunk; HS_STOP when there is none. */
static enum hs_code fetch(struct hs_duck_rows *rows, struct hs_error *err)
{
	const char *message;

	duckdb_destroy_data_chunk(&rows->chunk);
	rows->chunk = duckdb_fetch_chunk(rows->result);
	rows->next = 0;
	if (!rows->chunk) {
		message = duckdb_result_error(&rows->result);
		return message && *message ? hs_duck_fail_result(rows->session, &rows->result, err) : HS_STOP;
	}
	for (int i = 0; i < rows->columns; i++) {
		duckdb_vector vector = duckdb_data_chunk_get_vector(rows->chunk, (idx_t)i);

		rows->values[i] = duckdb_vector_get_data(vector);
		rows->valid[i] = duckdb_vector_get_validity(vector);
	}
	return HS_OK;
}

/* False when there is no memory for it. */
static bool take_text(struct hs_duck_rows *rows, int column, const duckdb_string_t *text, struct hs_value *value)
{
	size_t n = text->value.inlined.length;
	const char *s = n <= sizeof text->value.inlined.inlined ? text->value.inlined.inlined : text->value.pointer.ptr;

	if (n + 1 > rows->rooms[column]) {
		char *grown = realloc(rows->texts[column], n + 64);

		if (!grown)
			return false;
		rows->texts[column] = grown;
		rows->rooms[column] = n + 64;
	}
	memcpy(rows->texts[column], s, n);
	rows->texts[column][n] = '\0';
	*value = (struct hs_value){.type = HS_TEXT, .s = rows->texts[column], .n = n};
	return true;
}

static bool is_null(const struct hs_duck_rows *rows, int column, idx_t number)
{
	return rows->valid[column] && !(rows->valid[column][number / 64] >> number % 64 & 1);
}

static bool take_value(struct hs_duck_rows *rows, int column, idx_t number, struct hs_value *value)
{
	const void *values = rows->values[column];

	*value = (struct hs_value){.type = HS_NULL, .s = ""};
	if (is_null(rows, column, number))
		return true;
	value->type = HS_INT;
	switch (rows->types[column]) {
	case DUCKDB_TYPE_BOOLEAN:
		value->i = ((const bool *)values)[number];
		value->type = rows->asked ? HS_BOOL : HS_INT;
		break;
	case DUCKDB_TYPE_DOUBLE:
		value->r = ((const double *)values)[number];
		value->type = HS_REAL;
		break;
	case DUCKDB_TYPE_INTEGER: value->i = ((const int32_t *)values)[number]; break;
	case DUCKDB_TYPE_BIGINT: value->i = ((const int64_t *)values)[number]; break;
	/* What the core adds up fits into its lower half. */
	case DUCKDB_TYPE_HUGEINT: value->i = (int64_t)((const struct duckdb_hugeint *)values)[number].lower; break;
	case DUCKDB_TYPE_VARCHAR: return take_text(rows, column, (const duckdb_string_t *)values + number, value);
	default: value->type = HS_NULL;
	}
	return true;
}

enum hs_code hs_duck_next(struct hs_duck_rows *rows, struct hs_value *row, struct hs_error *err)
{
	enum hs_code code = HS_OK;

	if (rows->columns == 0)
		return HS_STOP;
	while (code == HS_OK && (!rows->chunk || rows->next == duckdb_data_chunk_get_size(rows->chunk)))
		code = fetch(rows, err);
	for (int i = 0; code == HS_OK && i < rows->columns; i++)
		if (!take_value(rows, i, rows->next, &row[i]))
			code = hs_driver_no_memory(err);
	rows->next++;
	return code;
}

/* -- running -------------------------------------------------------------------------------------------------- */

enum hs_code hs_duck_run(const struct hs_duck_session *session, const struct hs_duck_statement *statement,
			 const struct hs_value *values, int count, hs_row_fn *on_row, void *context,
			 struct hs_error *err)
{
	struct hs_value row[DUCK_COLUMNS];
	struct hs_duck_rows rows;
	enum hs_code code = hs_duck_bind(session, statement, values, count, err);

	if (code == HS_OK)
		code = hs_duck_start(session, statement, &rows, err);
	if (code)
		return code;
	while (code == HS_OK && (code = hs_duck_next(&rows, row, err)) == HS_OK)
		if (on_row)
			code = on_row(context, row, rows.columns, err);
	hs_duck_end(&rows);
	return code == HS_STOP ? HS_OK : code;
}

enum hs_code hs_duck_query(struct hs_duck_session *session, const char *sql, const struct hs_value *values, int count,
			   hs_row_fn *on_row, void *context, struct hs_error *err)
{
	struct hs_duck_statement statement = {.prepared = NULL};
	enum hs_code code = hs_duck_prepare(session, sql, &statement, 1, err);

	if (code == HS_OK)
		code = hs_duck_run(session, &statement, values, count, on_row, context, err);
	hs_duck_forget(&statement, 1);
	return code;
}

enum hs_code hs_duck_execute(struct hs_duck_session *session, const char *sql, struct hs_error *err)
{
	duckdb_result result = {.internal_data = NULL};
	enum hs_code code = HS_OK;

	if (duckdb_query(session->connection, sql, &result))
		code = hs_duck_fail_result(session, &result, err);
	duckdb_destroy_result(&result);
	return code;
}
