/* db_duckdb_ask.c -- questions of users to DuckDB.
 *
 * DuckDB has no hook that is asked what a statement may do. Its transaction only reads, and its settings
 * keep it from files and from other settings; but a SELECT can also call functions that do something:
 * write a checkpoint, turn logging on, follow a pointer. So DuckDB first tells how it understands the
 * text, which thereby proves to be one SELECT, and of the functions that stand in the place of a table
 * only those below may be called. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "db_duckdb.h"

struct asked {
	struct hs_duck_session *session;
	const struct hs_question *question;
	int columns;
	char *names[DUCK_COLUMNS];
	const char *casts[DUCK_COLUMNS];	/* what a column is asked for as, or NULL: as it is */
	bool numbers[DUCK_COLUMNS];		/* its texts may be integers that fit */
	bool understood;
};

/* -- what is asked -------------------------------------------------------------------------------------------- */

static bool is_one_of(const char *word, const char *const *words)
{
	while (*words && strcasecmp(word, *words) != 0)
		words++;
	return *words;
}

/* The first is part of the text that is looked at: where it is not found, this DuckDB tells it otherwise. */
static const char *const tables[] = {
	"range", "generate_series", "unnest", "json_each", "json_tree", "repeat", "repeat_row", "histogram",
	"histogram_values", "duckdb_columns", "duckdb_tables", "duckdb_views", "pragma_table_info", "test_all_types", NULL,
};

static const char *const refused[] = {"write_log", "setseed", "nextval", NULL};

/* ROW: why there is no tree, or NULL; a function; whether it stands for a table; whether it is of the first
 * statement. */
static enum hs_code check_function(void *context, const struct hs_value *row, int columns, struct hs_error *err)
{
	struct asked *asked = context;
	const char *name = row[1].s;

	(void)columns;
	if (row[0].type == HS_TEXT)
		return hs_driver_fail(err, HS_QUERY, "DuckDB: %s", row[0].s);
	if (!row[3].i)
		return hs_driver_fail(err, HS_QUERY, "this is not one statement");
	if (row[2].i ? !is_one_of(name, tables) : is_one_of(name, refused))
		return hs_fail_refused(name, err);
	asked->understood |= row[2].i && strcmp(name, tables[0]) == 0;
	return HS_OK;
}

static enum hs_code check_tree(struct asked *asked, struct hs_error *err)
{
	static const char frame[] = "SELECT 1 FROM range(1), (\n%s\n) AS asked";
	size_t room = strlen(asked->question->sql) + sizeof frame;
	char *text = malloc(room);
	struct hs_value value;
	enum hs_code code;

	if (!text)
		return hs_driver_no_memory(err);
	snprintf(text, room, frame, asked->question->sql);
	value = hs_driver_text(text);
	code = hs_duck_query(asked->session,
		"SELECT tree ->> '$.error_message', part.atom ->> '$', part.path LIKE '%.function',"
		" part.path LIKE '$.statements[0].%'"
		" FROM (SELECT json_serialize_sql(CAST($1 AS VARCHAR)) AS tree) AS told, json_tree(tree) AS part"
		" WHERE part.key IN ('function_name', 'error_message')", &value, 1, check_function, asked, err);
	free(text);
	if (code == HS_OK && !asked->understood)
		return hs_driver_fail(err, HS_UNSUPPORTED, "DuckDB %s does not tell what a statement does",
				      duckdb_library_version());
	return code;
}

/* -- the columns ---------------------------------------------------------------------------------------------- */

/* What a column of TYPE is asked for as: where it has no type here, as text. */
static const char *cast_for(const char *type)
{
	static const char *const plain[] = {"BOOLEAN", "INTEGER", "BIGINT", "DOUBLE", "VARCHAR", NULL};
	static const char *const small[] = {"TINYINT", "SMALLINT", "UTINYINT", "USMALLINT", "UINTEGER", NULL};

	if (is_one_of(type, plain))
		return NULL;
	return is_one_of(type, small) ? "BIGINT" : strcmp(type, "FLOAT") == 0 ? "DOUBLE" : "VARCHAR";
}

static bool is_number(const char *type)
{
	static const char *const large[] = {"HUGEINT", "UHUGEINT", "UBIGINT", NULL};

	return is_one_of(type, large) || strncmp(type, "DECIMAL(", 8) == 0;
}

static enum hs_code take_column(void *context, const struct hs_value *row, int columns, struct hs_error *err)
{
	struct asked *asked = context;
	int column = asked->columns;

	(void)columns;
	if (column == DUCK_COLUMNS)
		return hs_driver_fail(err, HS_UNSUPPORTED, "more than %d columns", DUCK_COLUMNS);
	asked->names[column] = strdup(row[0].s);
	if (!asked->names[column])
		return hs_driver_no_memory(err);
	asked->casts[column] = cast_for(row[1].s);
	asked->numbers[column] = is_number(row[1].s);
	asked->columns++;
	return HS_OK;
}

static enum hs_code tell_names(const struct asked *asked, struct hs_error *err)
{
	struct hs_value names[DUCK_COLUMNS];

	for (int i = 0; i < asked->columns; i++)
		names[i] = hs_driver_text(asked->names[i]);
	return asked->question->names(asked->question->context, names, asked->columns, err);
}

/* -- the answer ----------------------------------------------------------------------------------------------- */

/* Parameters are the user's, as they are numbered: a '$' may stand in a text. */
static enum hs_code prepare(struct asked *asked, const char *sql, struct hs_duck_statement *statement,
			    struct hs_error *err)
{
	if (duckdb_prepare(asked->session->connection, sql, &statement->prepared))
		return hs_duck_fail(asked->session, DUCKDB_ERROR_INVALID, duckdb_prepare_error(statement->prepared), err);
	statement->asked = true;
	statement->count = (int)duckdb_nparams(statement->prepared);
	if (statement->count > asked->question->count)
		return hs_driver_fail(err, HS_QUERY, "the parameter $%d has no value", asked->question->count + 1);
	if (statement->count < asked->question->count)
		return hs_driver_fail(err, HS_QUERY, "the question has no parameter $%d", asked->question->count);
	statement->numbers = calloc((size_t)statement->count + 1, sizeof *statement->numbers);
	if (!statement->numbers)
		return hs_driver_no_memory(err);
	for (int i = 0; i < statement->count; i++)
		statement->numbers[i] = i + 1;
	return HS_OK;
}

/* Runs the question with HEAD before and TAIL behind it. */
static enum hs_code run(struct asked *asked, const char *head, const char *tail, hs_row_fn *row, struct hs_error *err)
{
	const struct hs_question *question = asked->question;
	size_t room = strlen(head) + strlen(question->sql) + strlen(tail) + 8;
	struct hs_duck_statement statement = {.prepared = NULL};
	char *text = malloc(room);
	enum hs_code code;

	if (!text)
		return hs_driver_no_memory(err);
	snprintf(text, room, "%s (\n%s\n) %s", head, question->sql, tail);
	code = prepare(asked, text, &statement, err);
	free(text);
	if (code == HS_OK)
		code = hs_duck_run(asked->session, &statement, question->values, question->count, row, asked, err);
	hs_duck_forget(&statement, 1);
	return code;
}

static enum hs_code take_answer(void *context, const struct hs_value *row, int columns, struct hs_error *err)
{
	const struct asked *asked = context;
	struct hs_value values[DUCK_COLUMNS];

	for (int i = 0; i < columns; i++) {
		values[i] = row[i];
		if (row[i].type == HS_TEXT && asked->numbers[i])
			hs_value_shrink(&values[i]);
	}
	return asked->question->row(asked->question->context, values, columns, err);
}

static enum hs_code run_cast(struct asked *asked, struct hs_error *err)
{
	enum { ROOM = 32 };
	char head[DUCK_COLUMNS * ROOM + ROOM], tail[64], *out = head + sprintf(head, "SELECT");

	for (int i = 0; i < asked->columns; i++)
		out += asked->casts[i] ? sprintf(out, "%sCAST(#%d AS %s)", i ? ", " : " ", i + 1, asked->casts[i])
			: sprintf(out, "%s#%d", i ? ", " : " ", i + 1);
	sprintf(out, " FROM");
	snprintf(tail, sizeof tail, "AS asked LIMIT %lld", (long long)asked->question->limit);
	return run(asked, head, tail, take_answer, err);
}

static enum hs_code answer(struct asked *asked, struct hs_error *err)
{
	enum hs_code code = check_tree(asked, err);

	if (code == HS_OK)
		code = run(asked, "DESCRIBE", "", take_column, err);
	if (code == HS_OK)
		code = tell_names(asked, err);
	if (code == HS_OK)
		code = run_cast(asked, err);
	for (int i = 0; i < DUCK_COLUMNS; i++)
		free(asked->names[i]);
	return code;
}

/* -- the time-out --------------------------------------------------------------------------------------------- */

/* Ends a question that takes too long. */
struct watch {
	duckdb_connection connection;
	struct timespec end;
	pthread_mutex_t mutex;
	pthread_cond_t answered;
	bool done, late;
};

static void *keep_watch(void *context)
{
	struct watch *watch = context;
	int failed = 0;

	pthread_mutex_lock(&watch->mutex);
	while (!watch->done && !failed)
		failed = pthread_cond_timedwait(&watch->answered, &watch->mutex, &watch->end);
	while (!watch->done) {		/* it hears of it only while it runs */
		watch->late = true;
		duckdb_interrupt(watch->connection);
		watch->end = hs_duck_in(100);
		pthread_cond_timedwait(&watch->answered, &watch->mutex, &watch->end);
	}
	pthread_mutex_unlock(&watch->mutex);
	return NULL;
}

enum hs_code hs_duck_ask(struct hs_duck_session *session, const struct hs_question *question, struct hs_error *err)
{
	struct asked asked = {.session = session, .question = question};
	struct watch watch = {.connection = session->connection, .end = hs_duck_in(question->timeout),
		.mutex = PTHREAD_MUTEX_INITIALIZER, .answered = PTHREAD_COND_INITIALIZER};
	pthread_t thread;
	enum hs_code code;

	if (pthread_create(&thread, NULL, keep_watch, &watch))
		return hs_driver_no_memory(err);
	code = answer(&asked, err);
	pthread_mutex_lock(&watch.mutex);
	watch.done = true;
	pthread_cond_signal(&watch.answered);
	pthread_mutex_unlock(&watch.mutex);
	pthread_join(thread, NULL);
	if (code && watch.late)
		return hs_fail_late(question, err);
	return code;
}
