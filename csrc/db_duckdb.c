/* db_duckdb.c -- the driver for DuckDB, a file for analysis.
 *
 * DuckDB lets one process have a file open. Within this process all handles of a file share one
 * instance of it, and a writer holds a lock from its start, so that commits never conflict. DuckDB
 * has no savepoints: what a transaction has written is noted, and to undo a part of it the
 * transaction is rolled back and what stood before the part is run again. The result is the same:
 * nobody else writes meanwhile, and our statements depend on the database and their values alone. */
#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "duckdb_api.h"
#include "hs_driver.h"
#include "hs_sql.h"
#include "sql_duckdb.h"

enum {
	CACHE_SIZE = 24,
	PARTS = 2,			/* a named statement is so many of DuckDB's at most */
	COLUMNS = HS_QUESTION_COLUMNS,
	NESTED_MAX = 64,
	QUEUE_SIZE = 512,
	HEADERS_SIZE = 3 * 4096, BEGINNING = 2000,	/* of a file that is being made: bytes, milliseconds */
	FIRST_PAUSE = 20, LONGEST_PAUSE = 250,	/* milliseconds between two looks at whether anything changed */
};

/* Of a longer transaction no part can be undone: its notes would take too much memory. */
static const size_t NOTES_MAX = 64 << 20;

/* An instance of DuckDB. Those of files are in a list, so that a file is never opened twice: DuckDB
 * would not notice within one process, and the two would overwrite each other. */
struct instance {
	struct instance *next;
	dev_t device;
	ino_t inode;
	duckdb_database database;
	bool readonly;
	int users;
	struct hs_db *writer;		/* who is in a write transaction */
	int64_t commits;
};

static struct instance *instances;
/* Guards the list: whoever opens or closes a file has it. */
static pthread_mutex_t opening = PTHREAD_MUTEX_INITIALIZER;
/* Guards what changes in an instance; `released` is told when a writer has ended. */
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t released = PTHREAD_COND_INITIALIZER;

/* A statement that wrote, to be run again: the text of a composed one stands behind the values. */
struct note {
	int statement;
	int count;
	struct hs_value *values;
	size_t size;
};

/* An event to be loaded, not written yet, and who is to hear of it. */
struct queued {
	struct note note;
	hs_row_fn *row;
	void *context;
};

struct prepared {
	duckdb_prepared_statement statement;
	bool writes;
	int *numbers;			/* DuckDB's parameter i + 1 is our number numbers[i] */
	int count;
};

/* A chunk of rows, and the room for the texts of one of them. */
struct chunk {
	duckdb_data_chunk data;
	int columns;
	duckdb_type types[COLUMNS];
	bool of_question;		/* a boolean is one, and a text may be a number */
	const void *values[COLUMNS];
	const uint64_t *valid[COLUMNS];
	char *texts[COLUMNS];
	size_t rooms[COLUMNS];
};


/* The log being read page by page in a transaction: a page goes on where the last one ended, as DuckDB would
 * look through all of what a transaction has written to find the place. */
struct cursor {
	bool open;
	duckdb_result result;
	struct chunk chunk;
	idx_t next;			/* row of the chunk */
	int64_t behind;			/* the position read last */
	char tenant[256];
};

struct hs_db {
	struct instance *instance;
	duckdb_connection connection;
	pid_t process;			/* a forked child has none of the threads */
	char *location;
	bool readonly;
	int busy_timeout;		/* milliseconds */
	struct prepared named[HS_SQL_COUNT][PARTS];
	struct {
		char *sql;
		struct prepared prepared;
		unsigned used;		/* when, by `clock` */
	} cache[CACHE_SIZE];
	unsigned clock;
	bool begun, writing;
	bool aborted;			/* a statement failed: DuckDB wants a rollback */
	struct note *notes;
	size_t note_count, note_room, note_bytes;
	struct queued queue[QUEUE_SIZE];
	int queue_count;
	struct cursor cursor;
	bool unnoted;			/* more was written than was noted */
	size_t marks[NESTED_MAX];	/* how many notes there were at each savepoint */
	int depth;
	int64_t seen;			/* commits as the last wait left them; -1 before the first */
};

/* -- failures ------------------------------------------------------------------------------------------ */

static enum hs_code fail(struct hs_error *err, enum hs_code code, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

static enum hs_code fail(struct hs_error *err, enum hs_code code, const char *format, ...)
{
	va_list args;

	memset(err, 0, sizeof *err);
	err->code = code;
	va_start(args, format);
	vsnprintf(err->message, sizeof err->message, format, args);
	va_end(args);
	return code;
}

static enum hs_code fail_memory(struct hs_error *err)
{
	return fail(err, HS_NO_MEMORY, "not enough memory");
}

static bool says(const char *message, const char *what)
{
	return strstr(message, what) != NULL;
}

/* DuckDB tells kinds of failures by a word in front, and the rest in English alone. */
static enum hs_code code_of(const char *message)
{
	if (says(message, "Duplicate key \"") || says(message, "violation: duplicate key \""))
		return HS_DUPLICATE;
	if (says(message, "No space left") || says(message, "Disk quota") || says(message, "File too large"))
		return HS_FULL;
	if (says(message, "in read-only mode") || says(message, "Read-only file system"))
		return HS_READONLY;
	if (says(message, "Corrupt database file") || says(message, "not a valid DuckDB database file") ||
	    says(message, "checksum"))
		return HS_CORRUPT;
	if (says(message, "Out of Memory Error: "))
		return HS_FULL;
	return HS_QUERY;
}

static enum hs_code fail_duckdb(struct hs_db *db, const char *message, struct hs_error *err)
{
	enum hs_code code = code_of(message);

	switch (code) {
	case HS_FULL:
		return fail(err, code, "no space left for the database: %s", message);
	case HS_READONLY:
		return fail(err, code, "the database cannot be written: %s", message);
	case HS_CORRUPT:
		return fail(err, code, "the database file '%s' is damaged: %s", db->location, message);
	default:
		return fail(err, code, "DuckDB: %s", message);
	}
}

/* -- statements -------------------------------------------------------------------------------------------- */

static void forget(struct prepared *prepared, int room)
{
	for (int i = 0; i < room; i++) {
		if (prepared[i].statement)
			duckdb_destroy_prepare(&prepared[i].statement);
		free(prepared[i].numbers);
		prepared[i] = (struct prepared){.statement = NULL};
	}
}

static int count_parameters(const char *sql)
{
	int count = 0;

	for (; *sql; sql++)
		count += *sql == '$';
	return count;
}

/* DuckDB's number of our parameter NUMBER: they are numbered as they first appear. */
static int renumber(struct prepared *prepared, int number)
{
	int i = 0;

	while (i < prepared->count && prepared->numbers[i] != number)
		i++;
	if (i == prepared->count)
		prepared->numbers[prepared->count++] = number;
	return i + 1;
}

/* The N bytes of one statement with its parameters numbered anew: DuckDB lets no number be left out, as a
 * part of a named statement does. To be freed. */
static char *rewrite(const char *sql, size_t n, struct prepared *prepared)
{
	int parameters = count_parameters(sql);
	char *text = malloc(n + (size_t)parameters * 4 + 1), *out = text;

	prepared->numbers = calloc((size_t)parameters + 1, sizeof *prepared->numbers);
	if (!text || !prepared->numbers) {
		free(text);
		return NULL;
	}
	for (const char *s = sql; s < sql + n;) {
		char *behind;

		if (*s == '$' && s[1] >= '0' && s[1] <= '9') {
			out += sprintf(out, "$%d", renumber(prepared, (int)strtol(s + 1, &behind, 10)));
			s = behind;
		} else {
			*out++ = *s++;
		}
	}
	*out = '\0';
	return text;
}

static enum hs_code prepare_part(struct hs_db *db, const char *sql, size_t n, struct prepared *prepared,
				 struct hs_error *err)
{
	char *text = rewrite(sql, n, prepared);
	enum hs_code code = HS_OK;

	if (!text)
		return fail_memory(err);
	if (duckdb_prepare(db->connection, text, &prepared->statement))
		code = fail_duckdb(db, duckdb_prepare_error(prepared->statement), err);
	else
		prepared->writes = duckdb_prepared_statement_type(prepared->statement) != DUCKDB_STATEMENT_TYPE_SELECT;
	free(text);
	return code;
}

/* Prepares each statement of SQL, in which every ';' ends one. */
static enum hs_code prepare(struct hs_db *db, const char *sql, struct prepared *prepared, int room,
			    struct hs_error *err)
{
	enum hs_code code = HS_OK;

	for (int i = 0; code == HS_OK && i < room && sql[strspn(sql, ";\n")]; i++) {
		size_t n;

		sql += strspn(sql, ";\n");
		n = strcspn(sql, ";");
		code = prepare_part(db, sql, n, &prepared[i], err);
		sql += n;
	}
	if (code)
		forget(prepared, room);
	return code;
}

static bool bind(const struct prepared *prepared, const struct hs_value *values, int count)
{
	duckdb_state state = DUCKDB_SUCCESS;

	for (int i = 0; state == DUCKDB_SUCCESS && i < prepared->count; i++) {
		idx_t index = (idx_t)i + 1;
		int number = prepared->numbers[i];
		const struct hs_value *value = number <= count ? &values[number - 1] : NULL;

		if (value && value->type == HS_INT)
			state = duckdb_bind_int64(prepared->statement, index, value->i);
		else if (value && value->type == HS_TEXT)
			state = duckdb_bind_varchar_length(prepared->statement, index, value->s, value->n);
		else
			state = duckdb_bind_null(prepared->statement, index);
	}
	return state == DUCKDB_SUCCESS;
}

static void take_text(struct hs_value *value, const duckdb_string_t *text, char **copy, size_t *room)
{
	size_t n = text->value.inlined.length;
	const char *s = n <= sizeof text->value.inlined.inlined ? text->value.inlined.inlined : text->value.pointer.ptr;

	/* DuckDB's texts have no NUL at their end. */
	if (n + 1 > *room) {
		char *grown = realloc(*copy, n + 64);

		if (!grown)
			return;
		*copy = grown;
		*room = n + 64;
	}
	memcpy(*copy, s, n);
	(*copy)[n] = '\0';
	*value = (struct hs_value){.type = HS_TEXT, .s = *copy, .n = n};
}

static void look_into(struct chunk *chunk)
{
	for (int i = 0; i < chunk->columns; i++) {
		duckdb_vector vector = duckdb_data_chunk_get_vector(chunk->data, (idx_t)i);

		chunk->values[i] = duckdb_vector_get_data(vector);
		chunk->valid[i] = duckdb_vector_get_validity(vector);
	}
}

static int64_t small(const struct duckdb_hugeint *number)
{
	return (int64_t)number->lower;
}

static void take_row(struct chunk *chunk, idx_t number, struct hs_value row[COLUMNS])
{
	for (int i = 0; i < chunk->columns; i++) {
		const void *values = chunk->values[i];

		row[i] = (struct hs_value){.type = HS_NULL, .s = ""};
		if (chunk->valid[i] && !(chunk->valid[i][number / 64] >> number % 64 & 1))
			continue;
		row[i].type = HS_INT;
		switch (chunk->types[i]) {
		case DUCKDB_TYPE_BOOLEAN:
			row[i].i = ((const bool *)values)[number];
			row[i].type = chunk->of_question ? HS_BOOL : HS_INT;
			break;
		case DUCKDB_TYPE_DOUBLE:
			row[i].r = ((const double *)values)[number];
			row[i].type = HS_REAL;
			break;
		case DUCKDB_TYPE_INTEGER: row[i].i = ((const int32_t *)values)[number]; break;
		case DUCKDB_TYPE_BIGINT: row[i].i = ((const int64_t *)values)[number]; break;
		case DUCKDB_TYPE_HUGEINT: row[i].i = small((const struct duckdb_hugeint *)values + number); break;
		case DUCKDB_TYPE_VARCHAR:
			take_text(&row[i], (const duckdb_string_t *)values + number, &chunk->texts[i], &chunk->rooms[i]);
			break;
		default: row[i].type = HS_NULL;
		}
	}
}

static enum hs_code hand_on(struct chunk *chunk, hs_row_fn *on_row, void *context, struct hs_error *err)
{
	struct hs_value row[COLUMNS];
	enum hs_code code = HS_OK;

	look_into(chunk);
	for (idx_t i = 0; code == HS_OK && i < duckdb_data_chunk_get_size(chunk->data); i++) {
		take_row(chunk, i, row);
		code = on_row(context, row, chunk->columns, err);
	}
	return code;
}

static enum hs_code read_rows(struct hs_db *db, duckdb_result *result, bool of_question, hs_row_fn *on_row,
			      void *context, struct hs_error *err)
{
	struct chunk chunk = {.columns = (int)duckdb_column_count(result), .of_question = of_question};
	enum hs_code code = HS_OK;
	const char *message;

	for (int i = 0; i < chunk.columns; i++)
		chunk.types[i] = duckdb_column_type(result, (idx_t)i);
	while (code == HS_OK && (chunk.data = duckdb_fetch_chunk(*result))) {
		if (on_row)
			code = hand_on(&chunk, on_row, context, err);
		duckdb_destroy_data_chunk(&chunk.data);
	}
	for (int i = 0; i < chunk.columns; i++)
		free(chunk.texts[i]);
	message = code == HS_OK ? duckdb_result_error(result) : NULL;
	if (message && *message)
		return fail_duckdb(db, message, err);
	return code == HS_STOP ? HS_OK : code;
}

/* Rows are handed on as they come, so a long answer is never held all at once. */
static enum hs_code run_bound(struct hs_db *db, const struct prepared *prepared, bool of_question, hs_row_fn *row,
			      void *context, struct hs_error *err)
{
	duckdb_pending_result pending = NULL;
	duckdb_result result = {.internal_data = NULL};
	enum hs_code code = HS_OK;

	if (prepared->writes ? duckdb_pending_prepared(prepared->statement, &pending)
			     : duckdb_pending_prepared_streaming(prepared->statement, &pending))
		code = fail_duckdb(db, duckdb_pending_error(pending), err);
	else if (duckdb_execute_pending(pending, &result))
		code = fail_duckdb(db, duckdb_result_error(&result), err);
	else if (duckdb_result_return_type(result) == DUCKDB_RESULT_TYPE_QUERY_RESULT)
		code = read_rows(db, &result, of_question, row, context, err);
	duckdb_destroy_result(&result);
	duckdb_destroy_pending(&pending);
	return code;
}

static enum hs_code run_prepared(struct hs_db *db, const struct prepared *prepared, const struct hs_value *values,
				 int count, hs_row_fn *row, void *context, struct hs_error *err)
{
	if (!bind(prepared, values, count))
		return fail_duckdb(db, duckdb_prepare_error(prepared->statement), err);
	return run_bound(db, prepared, false, row, context, err);
}

static struct hs_value text_value(const char *s)
{
	return (struct hs_value){.type = HS_TEXT, .s = s, .n = strlen(s)};
}

/* -- the log, page by page ------------------------------------------------------------------------------------- */

static void close_cursor(struct hs_db *db)
{
	struct cursor *cursor = &db->cursor;

	if (!cursor->open)
		return;
	duckdb_destroy_data_chunk(&cursor->chunk.data);
	duckdb_destroy_result(&cursor->result);
	for (int i = 0; i < cursor->chunk.columns; i++)
		free(cursor->chunk.texts[i]);
	*cursor = (struct cursor){.open = false};
}

static enum hs_code open_cursor(struct hs_db *db, const struct prepared *prepared, const struct hs_value *values,
				struct hs_error *err)
{
	struct cursor *cursor = &db->cursor;
	duckdb_pending_result pending = NULL;
	enum hs_code code = HS_OK;

	close_cursor(db);
	if (!bind(prepared, values, 2))
		return fail_duckdb(db, duckdb_prepare_error(prepared->statement), err);
	cursor->open = true;
	if (duckdb_pending_prepared_streaming(prepared->statement, &pending))
		code = fail_duckdb(db, duckdb_pending_error(pending), err);
	else if (duckdb_execute_pending(pending, &cursor->result))
		code = fail_duckdb(db, duckdb_result_error(&cursor->result), err);
	duckdb_destroy_pending(&pending);
	if (code) {
		close_cursor(db);
		return code;
	}
	cursor->behind = values[1].i;
	snprintf(cursor->tenant, sizeof cursor->tenant, "%s", values[0].s);
	cursor->chunk.columns = (int)duckdb_column_count(&cursor->result);
	for (int i = 0; i < cursor->chunk.columns; i++)
		cursor->chunk.types[i] = duckdb_column_type(&cursor->result, (idx_t)i);
	return HS_OK;
}

/* False at the end, or when the reading fails, which the result then says. */
static bool next_row(struct cursor *cursor, struct hs_value *row)
{
	if (!cursor->chunk.data || cursor->next == duckdb_data_chunk_get_size(cursor->chunk.data)) {
		duckdb_destroy_data_chunk(&cursor->chunk.data);
		cursor->chunk.data = duckdb_fetch_chunk(cursor->result);
		cursor->next = 0;
		if (!cursor->chunk.data)
			return false;
		look_into(&cursor->chunk);
	}
	take_row(&cursor->chunk, cursor->next++, row);
	cursor->behind = row[0].i;
	return true;
}

/* The next rows, at most LIMIT. */
static enum hs_code read_page(struct hs_db *db, int64_t limit, hs_row_fn *on_row, void *context, struct hs_error *err)
{
	struct hs_value row[COLUMNS];
	enum hs_code code = HS_OK;
	const char *message;
	bool more = true;

	for (int64_t i = 0; code == HS_OK && i < limit && (more = next_row(&db->cursor, row)); i++)
		code = on_row(context, row, db->cursor.chunk.columns, err);
	message = more ? NULL : duckdb_result_error(&db->cursor.result);
	if (message && *message)
		code = fail_duckdb(db, message, err);
	/* Outside transactions the next page is to see what others have written. */
	if (code || !more || !db->begun)
		close_cursor(db);
	return code == HS_STOP ? HS_OK : code;
}

/* Runs constant text of any number of statements. */
static enum hs_code execute(struct hs_db *db, const char *sql, struct hs_error *err)
{
	duckdb_result result = {.internal_data = NULL};
	enum hs_code code = HS_OK;

	if (duckdb_query(db->connection, sql, &result))
		code = fail_duckdb(db, duckdb_result_error(&result), err);
	duckdb_destroy_result(&result);
	return code;
}

/* -- notes of what was written ------------------------------------------------------------------------------- */

static void drop_notes(struct hs_db *db, size_t left)
{
	while (db->note_count > left) {
		struct note *note = &db->notes[--db->note_count];

		db->note_bytes -= note->size;
		free(note->values);
	}
}

static bool add_note(struct hs_db *db, const struct note *note)
{
	if (db->note_count == db->note_room) {
		size_t room = db->note_room ? 2 * db->note_room : 64;
		struct note *grown = realloc(db->notes, room * sizeof *grown);

		if (!grown)
			return false;
		db->notes = grown;
		db->note_room = room;
	}
	db->notes[db->note_count++] = *note;
	db->note_bytes += note->size;
	return true;
}

/* The values and their texts in one piece of memory. */
static struct hs_value *copy_values(const struct hs_value *values, int count, size_t *size)
{
	struct hs_value *copies;
	char *texts;

	*size = ((size_t)count + 1) * sizeof *copies;
	for (int i = 0; i < count; i++)
		*size += values[i].type == HS_TEXT ? values[i].n + 1 : 0;
	copies = malloc(*size);
	if (!copies)
		return NULL;
	texts = (char *)(copies + count + 1);
	for (int i = 0; i < count; i++) {
		copies[i] = values[i];
		if (values[i].type != HS_TEXT)
			continue;
		copies[i].s = memcpy(texts, values[i].s, values[i].n + 1);
		texts += values[i].n + 1;
	}
	return copies;
}

/* Notes a statement that has run in a write transaction. */
static void note(struct hs_db *db, int statement, const struct hs_value *values, int count)
{
	struct note new = {.statement = statement, .count = count};

	if (!db->writing || db->unnoted)
		return;
	new.values = copy_values(values, count, &new.size);
	if (new.values && db->note_bytes + new.size <= NOTES_MAX && add_note(db, &new))
		return;
	free(new.values);
	drop_notes(db, 0);
	db->unnoted = true;
}

/* -- named and composed statements ----------------------------------------------------------------------------- */

static enum hs_code settle(struct hs_db *db, enum hs_code code)
{
	if (code && db->begun)
		db->aborted = true;
	return code;
}

static enum hs_code run_named(struct hs_db *db, int statement, const struct hs_value *values, int count,
			      hs_row_fn *row, void *context, struct hs_error *err)
{
	struct prepared *parts = db->named[statement];
	enum hs_code code = HS_OK;

	if (!parts[0].statement)
		code = prepare(db, statements[statement], parts, PARTS, err);
	for (int i = 0; code == HS_OK && i < PARTS && parts[i].statement; i++)
		code = run_prepared(db, &parts[i], values, count, row, context, err);
	return code;
}

static enum hs_code event_page(struct hs_db *db, const struct hs_value *values, hs_row_fn *row, void *context,
			       struct hs_error *err)
{
	struct prepared *prepared = db->named[HS_SQL_EVENT_PAGE];
	enum hs_code code = HS_OK;

	if (!prepared[0].statement)
		code = prepare(db, statements[HS_SQL_EVENT_PAGE], prepared, PARTS, err);
	if (code == HS_OK && !(db->cursor.open && db->cursor.behind == values[1].i &&
			       strcmp(db->cursor.tenant, values[0].s) == 0))
		code = open_cursor(db, &prepared[0], values, err);
	return code ? code : read_page(db, values[2].i, row, context, err);
}

static enum hs_code savepoint(struct hs_db *db, int statement, struct hs_error *err);
static enum hs_code duckdb_sync(struct hs_db *db, struct hs_error *err);

static enum hs_code duckdb_run(struct hs_db *db, int statement, const struct hs_value *values, int count,
			       hs_row_fn *row, void *context, struct hs_error *err)
{
	enum hs_code code = duckdb_sync(db, err);

	if (code)
		return code;
	if (statement == HS_SQL_EVENT_PAGE)
		return settle(db, event_page(db, values, row, context, err));
	close_cursor(db);
	if (statement == HS_SQL_SAVEPOINT || statement == HS_SQL_SAVEPOINT_RELEASE ||
	    statement == HS_SQL_SAVEPOINT_ROLLBACK)
		return savepoint(db, statement, err);
	code = run_named(db, statement, values, count, row, context, err);
	if (code == HS_OK && db->named[statement][0].writes)
		note(db, statement, values, count);
	return settle(db, code);
}

/* -- loading: many events at once -------------------------------------------------------------------------------- */

static void drop_queue(struct hs_db *db)
{
	for (int i = 0; i < db->queue_count; i++)
		free(db->queue[i].note.values);
	db->queue_count = 0;
}

static bool append_row(duckdb_appender appender, const struct hs_value *values)
{
	/* Which of the values of event_load a column of event_log gets. */
	static const int order[] = {0, 1, 2, 3, 12, 4, 5, 6, 7, 8, 9, 10, 11};
	duckdb_state state = DUCKDB_SUCCESS;

	for (size_t i = 0; state == DUCKDB_SUCCESS && i < sizeof order / sizeof *order; i++) {
		const struct hs_value *value = &values[order[i]];

		if (value->type == HS_INT)
			state = duckdb_append_int64(appender, value->i);
		else if (value->type == HS_TEXT)
			state = duckdb_append_varchar_length(appender, value->s, value->n);
		else
			state = duckdb_append_null(appender);
	}
	return state == DUCKDB_SUCCESS && duckdb_appender_end_row(appender) == DUCKDB_SUCCESS;
}

static enum hs_code append_queue(struct hs_db *db, struct hs_error *err)
{
	duckdb_appender appender = NULL;
	bool done = duckdb_appender_create(db->connection, NULL, "event_log", &appender) == DUCKDB_SUCCESS;
	enum hs_code code = HS_OK;

	for (int i = 0; done && i < db->queue_count; i++)
		done = append_row(appender, db->queue[i].note.values);
	if (!done || duckdb_appender_flush(appender))
		code = fail_duckdb(db, duckdb_appender_error(appender), err);
	duckdb_appender_destroy(&appender);
	return code;
}

static enum hs_code replay(struct hs_db *db, struct hs_error *err);

/* Which event it was is known only when they come one by one; what was written before comes first again. */
static enum hs_code write_one_by_one(struct hs_db *db, struct hs_error *err)
{
	enum hs_code code = replay(db, err);

	for (int i = 0; code == HS_OK && i < db->queue_count; i++) {
		struct queued *queued = &db->queue[i];

		code = run_named(db, queued->note.statement, queued->note.values, queued->note.count, queued->row,
				 queued->context, err);
		if (code == HS_OK)
			note(db, queued->note.statement, queued->note.values, queued->note.count);
	}
	return code;
}

static enum hs_code tell_queued(struct hs_db *db, struct hs_error *err)
{
	enum hs_code code = HS_OK;

	for (int i = 0; code == HS_OK && i < db->queue_count; i++) {
		struct queued *queued = &db->queue[i];

		note(db, queued->note.statement, queued->note.values, queued->note.count);
		if (queued->row)
			code = queued->row(queued->context, &queued->note.values[1], 1, err);
	}
	return code == HS_STOP ? HS_OK : code;
}

/* All but events to be loaded has run when it was sent. */
static enum hs_code duckdb_sync(struct hs_db *db, struct hs_error *err)
{
	enum hs_code code;

	if (db->queue_count == 0)
		return HS_OK;
	close_cursor(db);
	code = append_queue(db, err);
	if (code == HS_OK)
		code = tell_queued(db, err);
	else if (code == HS_DUPLICATE && !db->unnoted)
		code = write_one_by_one(db, err);
	else if (code == HS_DUPLICATE)
		err->code = code = HS_QUERY;	/* nobody could say whose key it is but DuckDB's message */
	drop_queue(db);
	return settle(db, code);
}

static enum hs_code duckdb_send(struct hs_db *db, int statement, const struct hs_value *values, int count,
				hs_row_fn *row, void *context, struct hs_error *err)
{
	struct queued *queued;
	enum hs_code code = HS_OK;

	if (statement != HS_SQL_EVENT_LOAD)
		return duckdb_run(db, statement, values, count, row, context, err);
	if (db->queue_count == QUEUE_SIZE)
		code = duckdb_sync(db, err);
	if (code)
		return code;
	queued = &db->queue[db->queue_count];
	*queued = (struct queued){.note = {.statement = statement, .count = count}, .row = row, .context = context};
	queued->note.values = copy_values(values, count, &queued->note.size);
	if (!queued->note.values)
		return fail_memory(err);
	db->queue_count++;
	return HS_OK;
}

static void empty_slot(struct hs_db *db, int slot)
{
	forget(&db->cache[slot].prepared, 1);
	free(db->cache[slot].sql);
	memset(&db->cache[slot], 0, sizeof db->cache[slot]);
}

/* The slot that holds SQL, or the one used longest ago. */
static int find_slot(struct hs_db *db, const char *sql)
{
	int oldest = 0;

	for (int i = 0; i < CACHE_SIZE; i++) {
		if (db->cache[i].sql && strcmp(db->cache[i].sql, sql) == 0)
			return i;
		if (db->cache[i].used < db->cache[oldest].used)
			oldest = i;
	}
	return oldest;
}

static enum hs_code fill_slot(struct hs_db *db, int slot, const char *sql, struct hs_error *err)
{
	enum hs_code code;

	empty_slot(db, slot);
	db->cache[slot].sql = strdup(sql);
	if (!db->cache[slot].sql)
		return fail_memory(err);
	code = prepare(db, sql, &db->cache[slot].prepared, 1, err);
	if (code)
		empty_slot(db, slot);
	return code;
}

/* Composed statements only read: none is noted. */
static enum hs_code duckdb_query_text(struct hs_db *db, const char *sql, const struct hs_value *values, int count,
				      hs_row_fn *row, void *context, struct hs_error *err)
{
	int slot = find_slot(db, sql);
	enum hs_code code = duckdb_sync(db, err);

	if (code)
		return code;
	close_cursor(db);
	if (!db->cache[slot].sql || strcmp(db->cache[slot].sql, sql) != 0)
		code = fill_slot(db, slot, sql, err);
	if (code == HS_OK) {
		db->cache[slot].used = ++db->clock;
		code = run_prepared(db, &db->cache[slot].prepared, values, count, row, context, err);
	}
	return settle(db, code);
}

/* -- transactions --------------------------------------------------------------------------------------------- */

/* The time that it is in so many milliseconds. */
static struct timespec in_time(int milliseconds)
{
	struct timespec end;

	clock_gettime(CLOCK_REALTIME, &end);
	end.tv_sec += milliseconds / 1000;
	end.tv_nsec += milliseconds % 1000 * 1000000L;
	if (end.tv_nsec >= 1000000000L) {
		end.tv_sec++;
		end.tv_nsec -= 1000000000L;
	}
	return end;
}

/* Whether the lock of the writer came free within busy_timeout. */
static bool take_lock(struct hs_db *db)
{
	struct timespec end = in_time(db->busy_timeout);
	int failed = 0;
	bool taken;

	pthread_mutex_lock(&mutex);
	while (db->instance->writer && !failed)
		failed = pthread_cond_timedwait(&released, &mutex, &end);
	taken = !db->instance->writer;
	if (taken)
		db->instance->writer = db;
	pthread_mutex_unlock(&mutex);
	return taken;
}

static void release_lock(struct hs_db *db, bool committed)
{
	pthread_mutex_lock(&mutex);
	db->instance->commits += committed;
	if (db->instance->writer == db)
		db->instance->writer = NULL;
	pthread_cond_broadcast(&released);
	pthread_mutex_unlock(&mutex);
}

static void end(struct hs_db *db, bool committed)
{
	if (db->writing)
		release_lock(db, committed);
	drop_notes(db, 0);
	drop_queue(db);
	db->begun = db->writing = db->aborted = db->unnoted = false;
	db->depth = 0;
}

static enum hs_code duckdb_begin(struct hs_db *db, bool write, struct hs_error *err)
{
	enum hs_code code;

	if (write && !take_lock(db))
		return fail(err, HS_BUSY, "another handle of this process is writing to the database; gave up after "
			    "%d ms (busy_timeout)", db->busy_timeout);
	db->writing = write;
	code = execute(db, write ? "BEGIN TRANSACTION" : "BEGIN TRANSACTION READ ONLY", err);
	if (code)
		end(db, false);
	else
		db->begun = true;
	return code;
}

static void duckdb_rollback(struct hs_db *db)
{
	struct hs_error ignored;

	close_cursor(db);
	/* It fails only when DuckDB has already rolled back by itself. */
	if (db->begun)
		execute(db, "ROLLBACK", &ignored);
	end(db, false);
}

static enum hs_code duckdb_commit(struct hs_db *db, struct hs_error *err)
{
	enum hs_code code = duckdb_sync(db, err);

	close_cursor(db);
	if (code == HS_OK && db->aborted)
		code = fail(err, HS_QUERY, "a statement of the transaction has failed");
	if (code == HS_OK)
		code = execute(db, "COMMIT", err);
	if (code)
		duckdb_rollback(db);
	else
		end(db, db->writing);
	return code;
}

static bool duckdb_in_transaction(struct hs_db *db)
{
	return db->begun;
}

static enum hs_code run_noted(struct hs_db *db, struct hs_error *err)
{
	enum hs_code code = HS_OK;

	for (size_t i = 0; code == HS_OK && i < db->note_count; i++)
		code = run_named(db, db->notes[i].statement, db->notes[i].values, db->notes[i].count, NULL, NULL, err);
	return code;
}

/* Brings the transaction to where the notes end. */
static enum hs_code replay(struct hs_db *db, struct hs_error *err)
{
	enum hs_code code = execute(db, "ROLLBACK", err);

	db->aborted = false;
	if (code == HS_OK)
		code = execute(db, db->writing ? "BEGIN TRANSACTION" : "BEGIN TRANSACTION READ ONLY", err);
	return code ? code : run_noted(db, err);
}

/* Undoes what was written since the innermost savepoint. Where that cannot be, all is undone. */
static enum hs_code undo(struct hs_db *db, struct hs_error *err)
{
	size_t mark = db->marks[db->depth - 1];
	enum hs_code code;

	if (!db->aborted && !db->unnoted && db->note_count == mark)
		return HS_OK;
	if (db->unnoted) {
		duckdb_rollback(db);
		return fail(err, HS_UNSUPPORTED, "DuckDB cannot undo a part of a transaction that has written more than "
			    "%zu MiB: all of it was undone", NOTES_MAX >> 20);
	}
	drop_notes(db, mark);
	code = replay(db, err);
	if (code)
		duckdb_rollback(db);
	return code;
}

static enum hs_code savepoint(struct hs_db *db, int statement, struct hs_error *err)
{
	switch (statement) {
	case HS_SQL_SAVEPOINT:
		if (db->depth == NESTED_MAX)
			return fail(err, HS_UNSUPPORTED, "transactions are nested %d deep on DuckDB at most", NESTED_MAX);
		db->marks[db->depth++] = db->note_count;
		return HS_OK;
	case HS_SQL_SAVEPOINT_RELEASE:
		if (db->aborted)
			return fail(err, HS_QUERY, "a statement of the transaction has failed");
		db->depth--;
		return HS_OK;
	default:
		return undo(db, err);
	}
}

static enum hs_code duckdb_migrate(struct hs_db *db, int number, struct hs_error *err)
{
	db->unnoted = true;
	return settle(db, execute(db, migrations[number - 1], err));
}

/* -- questions of users ------------------------------------------------------------------------------------------- */

/* The types that rows have here; what is of another is asked for as text. */
static bool is_plain(duckdb_type type)
{
	return type == DUCKDB_TYPE_BOOLEAN || type == DUCKDB_TYPE_INTEGER || type == DUCKDB_TYPE_BIGINT ||
	       type == DUCKDB_TYPE_DOUBLE || type == DUCKDB_TYPE_VARCHAR;
}

/* What a column is asked for as: a number that may have no type here as text. */
static const char *type_for(duckdb_type type)
{
	switch (type) {
	case DUCKDB_TYPE_TINYINT:
	case DUCKDB_TYPE_SMALLINT:
	case DUCKDB_TYPE_UTINYINT:
	case DUCKDB_TYPE_USMALLINT:
	case DUCKDB_TYPE_UINTEGER: return "BIGINT";
	case DUCKDB_TYPE_FLOAT: return "DOUBLE";
	default: return "VARCHAR";
	}
}

static bool is_number(duckdb_type type)
{
	return type == DUCKDB_TYPE_HUGEINT || type == DUCKDB_TYPE_UBIGINT || type == DUCKDB_TYPE_DECIMAL ||
	       type == DUCKDB_TYPE_UHUGEINT;
}

struct asked {
	const struct hs_question *question;
	duckdb_prepared_statement statement;
	int columns;
	duckdb_type types[COLUMNS];	/* of the user's columns */
};

static char *compose_question(const struct asked *asked)
{
	size_t room = strlen(asked->question->sql) + 64 + (size_t)asked->columns * 32;
	char *text = malloc(room), *out = text;

	if (!text)
		return NULL;
	out += sprintf(out, "SELECT ");
	for (int i = 0; i < asked->columns; i++)
		out += is_plain(asked->types[i]) ? sprintf(out, "%s#%d", i ? ", " : "", i + 1)
			: sprintf(out, "%sCAST(#%d AS %s)", i ? ", " : "", i + 1, type_for(asked->types[i]));
	sprintf(out, "%s FROM (\n%s\n) AS asked LIMIT %lld", asked->columns ? "" : "*", asked->question->sql,
		(long long)asked->question->limit);
	return text;
}

/* A text that stands where a SELECT does can be nothing else. */
static enum hs_code prepare_question(struct hs_db *db, struct asked *asked, struct hs_error *err)
{
	char *text = compose_question(asked);
	enum hs_code code = HS_OK;

	if (!text)
		return fail_memory(err);
	if (asked->statement)
		duckdb_destroy_prepare(&asked->statement);
	if (duckdb_prepare(db->connection, text, &asked->statement))
		code = fail_duckdb(db, duckdb_prepare_error(asked->statement), err);
	free(text);
	return code;
}

/* By the user's own text, which has proved to be a SELECT: around it, DuckDB gives new names to equal ones. */
static enum hs_code tell_names(struct hs_db *db, const struct asked *asked, struct hs_error *err)
{
	struct hs_value names[COLUMNS];
	duckdb_prepared_statement plain = NULL;
	enum hs_code code = HS_OK;

	if (duckdb_prepare(db->connection, asked->question->sql, &plain))
		code = fail_duckdb(db, duckdb_prepare_error(plain), err);
	for (int i = 0; code == HS_OK && i < asked->columns; i++)
		names[i] = text_value(duckdb_prepared_statement_column_name(plain, (idx_t)i));
	if (code == HS_OK) {
		code = asked->question->names(asked->question->context, names, asked->columns, err);
		for (int i = 0; i < asked->columns; i++)
			duckdb_free((void *)names[i].s);
	}
	duckdb_destroy_prepare(&plain);
	return code;
}

static enum hs_code look_at_columns(struct hs_db *db, struct asked *asked, struct hs_error *err)
{
	idx_t columns = duckdb_prepared_statement_column_count(asked->statement);

	if (columns > COLUMNS)
		return fail(err, HS_UNSUPPORTED, "more than %d columns", COLUMNS);
	asked->columns = (int)columns;
	for (int i = 0; i < asked->columns; i++)
		asked->types[i] = duckdb_prepared_statement_column_type(asked->statement, (idx_t)i);
	return tell_names(db, asked, err);
}

static enum hs_code bind_question(struct hs_db *db, const struct asked *asked, struct hs_error *err)
{
	const struct hs_question *question = asked->question;
	idx_t wanted = duckdb_nparams(asked->statement);
	duckdb_state state = DUCKDB_SUCCESS;

	if (wanted > (idx_t)question->count)
		return fail(err, HS_QUERY, "the parameter $%d has no value", question->count + 1);
	for (idx_t i = 1; state == DUCKDB_SUCCESS && i <= wanted; i++) {
		const struct hs_value *value = &question->values[i - 1];

		switch (value->type) {
		case HS_INT: state = duckdb_bind_int64(asked->statement, i, value->i); break;
		case HS_TEXT: state = duckdb_bind_varchar_length(asked->statement, i, value->s, value->n); break;
		case HS_BOOL: state = duckdb_bind_boolean(asked->statement, i, value->i); break;
		case HS_REAL: state = duckdb_bind_double(asked->statement, i, value->r); break;
		case HS_NULL: state = duckdb_bind_null(asked->statement, i); break;
		}
	}
	return state == DUCKDB_SUCCESS ? HS_OK : fail_duckdb(db, duckdb_prepare_error(asked->statement), err);
}

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
		clock_gettime(CLOCK_REALTIME, &watch->end);
		watch->end.tv_sec++;
		pthread_cond_timedwait(&watch->answered, &watch->mutex, &watch->end);
	}
	pthread_mutex_unlock(&watch->mutex);
	return NULL;
}

static enum hs_code take_answer(void *context, const struct hs_value *row, int columns, struct hs_error *err)
{
	const struct asked *asked = context;
	struct hs_value values[COLUMNS];

	for (int i = 0; i < columns; i++) {
		values[i] = row[i];
		if (row[i].type == HS_TEXT && is_number(asked->types[i]))
			hs_value_shrink(&values[i]);
	}
	return asked->question->row(asked->question->context, values, columns, err);
}

static enum hs_code run_watched(struct hs_db *db, struct asked *asked, struct hs_error *err)
{
	struct prepared prepared = {.statement = asked->statement};
	struct watch watch = {.connection = db->connection, .end = in_time(asked->question->timeout),
		.mutex = PTHREAD_MUTEX_INITIALIZER, .answered = PTHREAD_COND_INITIALIZER};
	pthread_t thread;
	enum hs_code code;

	if (pthread_create(&thread, NULL, keep_watch, &watch))
		return fail_memory(err);
	code = run_bound(db, &prepared, true, take_answer, asked, err);
	pthread_mutex_lock(&watch.mutex);
	watch.done = true;
	pthread_cond_signal(&watch.answered);
	pthread_mutex_unlock(&watch.mutex);
	pthread_join(thread, NULL);
	if (code && watch.late)
		return fail(err, HS_QUERY, "the answer took longer than %d ms (timeout)", asked->question->timeout);
	return code;
}

static enum hs_code duckdb_ask(struct hs_db *db, const struct hs_question *question, struct hs_error *err)
{
	struct asked asked = {.question = question};
	enum hs_code code = duckdb_begin(db, false, err);

	if (code)
		return code;
	code = prepare_question(db, &asked, err);
	if (code == HS_OK)
		code = look_at_columns(db, &asked, err);
	if (code == HS_OK)
		code = prepare_question(db, &asked, err);
	if (code == HS_OK)
		code = bind_question(db, &asked, err);
	if (code == HS_OK)
		code = run_watched(db, &asked, err);
	if (asked.statement)
		duckdb_destroy_prepare(&asked.statement);
	duckdb_rollback(db);
	return code;
}

/* -- waiting for changes ---------------------------------------------------------------------------------------- */

static int64_t monotonic_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* False when a signal has cut it short. */
static bool sleep_ms(int64_t milliseconds)
{
	return nanosleep(&(struct timespec){milliseconds / 1000, (long)(milliseconds % 1000) * 1000000}, NULL) == 0;
}

static int64_t count_commits(struct hs_db *db)
{
	int64_t commits;

	pthread_mutex_lock(&mutex);
	commits = db->instance->commits;
	pthread_mutex_unlock(&mutex);
	return commits;
}

/* Nobody but the other handles of this process can write. */
static enum hs_code duckdb_wait(struct hs_db *db, int milliseconds, struct hs_error *err)
{
	int64_t deadline = monotonic_ms() + milliseconds, pause = FIRST_PAUSE;

	(void)err;
	for (;;) {
		int64_t commits = count_commits(db), left = deadline - monotonic_ms();

		if (commits != db->seen || left <= 0) {
			db->seen = commits;
			return HS_OK;
		}
		if (!sleep_ms(left < pause ? left : pause))
			return HS_OK;
		pause = pause * 2 < LONGEST_PAUSE ? pause * 2 : LONGEST_PAUSE;
	}
}

/* -- opening ---------------------------------------------------------------------------------------------------- */

static bool is_memory(const char *location)
{
	return strcmp(location, ":memory:") == 0;
}

/* No statement may reach what is outside the database, and none may change that. */
static bool configure(duckdb_config config, bool readonly)
{
	const char *const settings[][2] = {
		{"access_mode", readonly ? "READ_ONLY" : "READ_WRITE"}, {"enable_external_access", "false"},
		{"autoload_known_extensions", "false"}, {"autoinstall_known_extensions", "false"},
		{"lock_configuration", "true"},
	};

	for (size_t i = 0; i < sizeof settings / sizeof *settings; i++)
		if (duckdb_set_config(config, settings[i][0], settings[i][1]))
			return false;
	return true;
}

/* Who has the file, out of what DuckDB says of a lock: "Conflicting lock is held in PROGRAM (PID 7). See ..." */
static enum hs_code fail_locked(const struct hs_open *how, const char *message, struct hs_error *err)
{
	const char *who = strstr(message, "held in "), *stop = who ? strstr(who, ". See") : NULL;

	return fail(err, HS_BUSY, "'%s' is open in another process%s%.*s; DuckDB lets one at a time have it; gave up "
		    "after %d ms (busy_timeout)", how->location, stop ? ": " : "", stop ? (int)(stop - who - 8) : 0,
		    stop ? who + 8 : "", how->busy_timeout);
}

static enum hs_code fail_open(const struct hs_open *how, const char *message, struct hs_error *err)
{
	enum hs_code code = code_of(message);

	if (says(message, "Could not set lock on file"))
		return fail_locked(how, message, err);
	if (code == HS_CORRUPT)
		return fail(err, code, "'%s' is no database of DuckDB, or damaged: %s", how->location, message);
	return fail(err, code == HS_QUERY ? HS_CONNECTION : code, "cannot open '%s': %s", how->location, message);
}

static enum hs_code open_once(const struct hs_open *how, duckdb_database *database, struct hs_error *err)
{
	duckdb_config config = NULL;
	char *message = NULL;
	enum hs_code code = HS_OK;

	if (duckdb_create_config(&config) || !configure(config, how->readonly && !is_memory(how->location)))
		code = fail(err, HS_UNSUPPORTED, "DuckDB %s cannot be used: it lacks a setting", duckdb_library_version());
	else if (duckdb_open_ext(how->location, database, config, &message))
		code = fail_open(how, message ? message : "", err);
	duckdb_free(message);
	duckdb_destroy_config(&config);
	return code;
}

/* Whether the file has not even its headers, as one that another process is just making. */
static bool is_beginning(const struct hs_open *how)
{
	struct stat status;

	return stat(how->location, &status) == 0 && status.st_size < HEADERS_SIZE;
}

/* Another process may close the file soon, or have made it. */
static enum hs_code open_database(const struct hs_open *how, duckdb_database *database, struct hs_error *err)
{
	int64_t start = monotonic_ms(), pause = FIRST_PAUSE;

	for (;;) {
		enum hs_code code = open_once(how, database, err);
		int64_t patience = code == HS_BUSY ? how->busy_timeout
			: code == HS_CORRUPT && is_beginning(how) ? BEGINNING : 0;
		int64_t left = start + patience - monotonic_ms();

		if (left <= 0)
			return code;
		/* Not in step with others who wait. */
		pause = pause / 2 + getpid() % pause;
		sleep_ms(left < pause ? left : pause);
		pause = pause * 2 < LONGEST_PAUSE ? pause * 2 + 2 : LONGEST_PAUSE;
	}
}

static enum hs_code check_file(const struct hs_open *how, bool *exists, struct stat *status, struct hs_error *err)
{
	*exists = stat(how->location, status) == 0;
	if (*exists && S_ISDIR(status->st_mode))
		return fail(err, HS_CONNECTION, "'%s' is a directory, not a database file", how->location);
	if (*exists)
		return HS_OK;
	if (errno != ENOENT && errno != ENOTDIR)
		return fail(err, HS_CONNECTION, "cannot open '%s': %s", how->location, strerror(errno));
	if (how->readonly || !how->create)
		return fail(err, HS_NOT_FOUND, "there is no database '%s'", how->location);
	return HS_OK;
}

static struct instance *find_instance(const struct stat *status)
{
	struct instance *instance = instances;

	while (instance && (instance->device != status->st_dev || instance->inode != status->st_ino))
		instance = instance->next;
	return instance;
}

static enum hs_code new_instance(const struct hs_open *how, bool in_file, struct instance **made, struct hs_error *err)
{
	struct instance *instance = calloc(1, sizeof *instance);
	struct stat status;
	enum hs_code code;

	if (!instance)
		return fail_memory(err);
	instance->readonly = how->readonly && in_file;
	code = open_database(how, &instance->database, err);
	if (code) {
		free(instance);
		return code;
	}
	if (in_file && stat(how->location, &status) == 0) {
		instance->device = status.st_dev;
		instance->inode = status.st_ino;
		instance->next = instances;
		instances = instance;
	}
	*made = instance;
	return HS_OK;
}

/* Under `opening`: two threads must not open the same file. */
static enum hs_code get_instance(const struct hs_open *how, struct instance **found, struct hs_error *err)
{
	bool exists = false, in_file = !is_memory(how->location);
	struct instance *instance;
	struct stat status;
	enum hs_code code = in_file ? check_file(how, &exists, &status, err) : HS_OK;

	if (code)
		return code;
	instance = exists ? find_instance(&status) : NULL;
	if (instance && instance->readonly && !how->readonly)
		return fail(err, HS_BUSY, "'%s' is open in this process to be read alone; close that handle first",
			    how->location);
	if (!instance)
		code = new_instance(how, in_file, &instance, err);
	if (code)
		return code;
	instance->users++;
	*found = instance;
	return HS_OK;
}

static void leave_instance(struct instance *instance)
{
	pthread_mutex_lock(&opening);
	if (--instance->users == 0) {
		for (struct instance **link = &instances; *link; link = &(*link)->next) {
			if (*link == instance) {
				*link = instance->next;
				break;
			}
		}
		duckdb_close(&instance->database);
		free(instance);
	}
	pthread_mutex_unlock(&opening);
}

static void duckdb_close_handle(struct hs_db *db)
{
	/* In a forked child the threads of DuckDB are missing: it would wait for them. */
	if (db->process != getpid())
		return;
	duckdb_rollback(db);
	for (int i = 0; i < HS_SQL_COUNT; i++)
		forget(db->named[i], PARTS);
	for (int i = 0; i < CACHE_SIZE; i++)
		empty_slot(db, i);
	if (db->connection)
		duckdb_disconnect(&db->connection);
	leave_instance(db->instance);
	free(db->notes);
	free(db->location);
	free(db);
}

static enum hs_code take_int(void *context, const struct hs_value *row, int columns, struct hs_error *err)
{
	(void)columns, (void)err;
	*(int64_t *)context = row[0].i;
	return HS_OK;
}

/* Makes the table that says which version the schema has: 0 as long as it is empty. In a database with
 * other tables it would be among strangers. */
static enum hs_code found_schema(struct hs_db *db, const struct hs_open *how, struct hs_error *err)
{
	int64_t ours = 0, tables = 0;
	enum hs_code code = duckdb_query_text(db, "SELECT COUNT(*) FROM duckdb_tables()"
		" WHERE table_name = 'schema_migrations' AND comment = 'hoststore'", NULL, 0, take_int, &ours, err);

	if (code == HS_OK && !ours)
		code = duckdb_query_text(db, "SELECT COUNT(*) FROM duckdb_tables()", NULL, 0, take_int, &tables, err);
	if (code || ours)
		return code;
	if (tables)
		return fail(err, HS_MIGRATION, "'%s' is a DuckDB database of another program", how->location);
	if (db->readonly)
		return fail(err, HS_NOT_FOUND, "there is no hoststore in '%s'", how->location);
	return execute(db, "BEGIN TRANSACTION; CREATE TABLE schema_migrations (version BIGINT PRIMARY KEY);"
		       "COMMENT ON TABLE schema_migrations IS 'hoststore'; COMMIT", err);
}

static enum hs_code connect_to(struct hs_db *db, const struct hs_open *how, struct hs_error *err)
{
	enum hs_code code;

	pthread_mutex_lock(&opening);
	code = get_instance(how, &db->instance, err);
	pthread_mutex_unlock(&opening);
	if (code == HS_OK && duckdb_connect(db->instance->database, &db->connection))
		code = fail(err, HS_CONNECTION, "cannot connect to '%s'", how->location);
	return code;
}

static enum hs_code duckdb_open_handle(const struct hs_open *how, struct hs_db **opened, struct hs_error *err)
{
	struct hs_db *db = calloc(1, sizeof *db);
	enum hs_code code;

	if (db)
		db->location = strdup(how->location);
	if (!db || !db->location) {
		free(db);
		return fail_memory(err);
	}
	db->process = getpid();
	db->busy_timeout = how->busy_timeout;
	db->readonly = how->readonly && !is_memory(how->location);
	db->seen = -1;
	code = connect_to(db, how, err);
	if (code && !db->instance) {
		free(db->location);
		free(db);
		return code;
	}
	if (code == HS_OK)
		code = found_schema(db, how, err);
	if (code) {
		duckdb_close_handle(db);
		return code;
	}
	*opened = db;
	return HS_OK;
}

/* -- care ---------------------------------------------------------------------------------------------------------------- */

static enum hs_code duckdb_describe(struct hs_db *db, hs_row_fn *row, void *context, struct hs_error *err)
{
	enum hs_code code = HS_OK;

	if (!is_memory(db->location))
		code = row(context, (struct hs_value[]){text_value("location"), text_value(db->location)}, 2, err);
	return code ? code : duckdb_query_text(db,
		"SELECT name, value FROM (VALUES ('duckdb_version', version()),"
		" ('threads', CAST(current_setting('threads') AS VARCHAR)),"
		" ('memory_limit', CAST(current_setting('memory_limit') AS VARCHAR)),"
		" ('schema_version', (SELECT CAST(MAX(version) AS VARCHAR) FROM schema_migrations))"
		") AS facts (name, value)", NULL, 0, row, context, err);
}

extern const struct hs_driver hs_duckdb_driver;
const struct hs_driver hs_duckdb_driver = {
	.abi = HS_DRIVER_ABI,
	.name = "duckdb",
	.open = duckdb_open_handle,
	.close = duckdb_close_handle,
	.begin = duckdb_begin,
	.commit = duckdb_commit,
	.rollback = duckdb_rollback,
	.in_transaction = duckdb_in_transaction,
	.send = duckdb_send,
	.sync = duckdb_sync,
	.run = duckdb_run,
	.query = duckdb_query_text,
	.ask = duckdb_ask,
	.migrate = duckdb_migrate,
	.migrations = sizeof migrations / sizeof *migrations,
	.wait = duckdb_wait,
	.describe = duckdb_describe,
};
