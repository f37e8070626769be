/* db_duckdb.c -- the driver for DuckDB, a file for analysis.
 *
 * DuckDB has no savepoints: what a transaction has written is noted, and to undo a part of it the
 * transaction is rolled back and what stood before the part is run again. The result is the same:
 * nobody else writes meanwhile, and our statements depend on the database and their values alone. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "db_duckdb.h"
#include "hs_sql.h"
#include "sql_duckdb.h"

enum {
	PARTS = 2,			/* a named statement is so many of DuckDB's at most */
	NESTED_MAX = 64,
	QUEUE_SIZE = 512,
	FIRST_PAUSE = 20, LONGEST_PAUSE = 250,	/* milliseconds between two looks at whether anything changed */
};

/* Of a longer transaction no part can be undone: its notes would take too much memory. */
static const size_t NOTES_MAX = 64 << 20;

/* A named statement that wrote, to be run again. */
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

/* The log being read page by page in a transaction: a page goes on where the last one ended, as DuckDB would
 * look through all of what a transaction has written to find the place. */
struct cursor {
	bool open;
	struct hs_duck_rows rows;
	int64_t behind;			/* the position read last */
	char tenant[256];
};

struct hs_db {
	struct hs_duck_session session;
	struct hs_duck_statement named[HS_SQL_COUNT][PARTS];
	bool begun, writing;
	bool aborted;			/* a statement failed: DuckDB wants a rollback */
	struct note *notes;
	size_t note_count, note_room, note_bytes;
	bool unnoted;			/* more was written than was noted */
	struct queued queue[QUEUE_SIZE];
	int queue_count;
	struct cursor cursor;
	size_t marks[NESTED_MAX];	/* how many notes there were at each savepoint */
	int depth;
	int64_t seen;			/* commits as the last wait left them; -1 before the first */
};

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

/* -- the log, page by page ------------------------------------------------------------------------------------- */

static void close_cursor(struct hs_db *db)
{
	if (db->cursor.open)
		hs_duck_end(&db->cursor.rows);
	db->cursor.open = false;
}

static enum hs_code open_cursor(struct hs_db *db, const struct hs_duck_statement *statement,
				const struct hs_value *values, struct hs_error *err)
{
	struct cursor *cursor = &db->cursor;
	enum hs_code code;

	close_cursor(db);
	code = hs_duck_bind(&db->session, statement, values, 2, err);
	if (code == HS_OK)
		code = hs_duck_start(&db->session, statement, &cursor->rows, err);
	if (code)
		return code;
	cursor->open = true;
	cursor->behind = values[1].i;
	snprintf(cursor->tenant, sizeof cursor->tenant, "%s", values[0].s);
	return HS_OK;
}

/* The next rows, at most LIMIT. */
static enum hs_code read_page(struct hs_db *db, int64_t limit, hs_row_fn *on_row, void *context, struct hs_error *err)
{
	struct hs_value row[DUCK_COLUMNS];
	struct cursor *cursor = &db->cursor;
	enum hs_code code = HS_OK;

	for (int64_t i = 0; code == HS_OK && i < limit; i++) {
		code = hs_duck_next(&cursor->rows, row, err);
		if (code)
			break;
		cursor->behind = row[0].i;
		code = on_row(context, row, cursor->rows.columns, err);
	}
	/* Outside transactions the next page is to see what others have written. */
	if (code || !db->begun)
		close_cursor(db);
	return code == HS_STOP ? HS_OK : code;
}

/* -- named and composed statements ----------------------------------------------------------------------------- */

static enum hs_code settle(struct hs_db *db, enum hs_code code)
{
	if (code && db->begun)
		db->aborted = true;
	return code;
}

/* Prepares the statement when it is first used. */
static enum hs_code find_named(struct hs_db *db, int statement, struct hs_duck_statement **parts, struct hs_error *err)
{
	*parts = db->named[statement];
	return (*parts)->prepared ? HS_OK : hs_duck_prepare(&db->session, statements[statement], *parts, PARTS, err);
}

static enum hs_code run_named(struct hs_db *db, int statement, const struct hs_value *values, int count,
			      hs_row_fn *row, void *context, struct hs_error *err)
{
	struct hs_duck_statement *parts;
	enum hs_code code = find_named(db, statement, &parts, err);

	for (int i = 0; code == HS_OK && i < PARTS && parts[i].prepared; i++)
		code = hs_duck_run(&db->session, &parts[i], values, count, row, context, err);
	return code;
}

static enum hs_code event_page(struct hs_db *db, const struct hs_value *values, hs_row_fn *row, void *context,
			       struct hs_error *err)
{
	struct hs_duck_statement *parts;
	enum hs_code code = find_named(db, HS_SQL_EVENT_PAGE, &parts, err);

	if (code == HS_OK && !(db->cursor.open && db->cursor.behind == values[1].i &&
			       strcmp(db->cursor.tenant, values[0].s) == 0))
		code = open_cursor(db, parts, values, err);
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

static enum hs_code fail_append(const struct hs_db *db, duckdb_appender appender, struct hs_error *err)
{
	duckdb_error_data failure = duckdb_appender_error_data(appender);
	enum hs_code code = hs_duck_fail(&db->session, duckdb_error_data_error_type(failure),
					 duckdb_error_data_message(failure), err);

	duckdb_destroy_error_data(&failure);
	return code;
}

static enum hs_code append_queue(struct hs_db *db, struct hs_error *err)
{
	duckdb_appender appender = NULL;
	bool done = duckdb_appender_create(db->session.connection, NULL, "event_log", &appender) == DUCKDB_SUCCESS;
	enum hs_code code = HS_OK;

	for (int i = 0; done && i < db->queue_count; i++)
		done = append_row(appender, db->queue[i].note.values);
	if (!done || duckdb_appender_flush(appender))
		code = fail_append(db, appender, err);
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
		return hs_driver_no_memory(err);
	db->queue_count++;
	return HS_OK;
}

/* Composed statements only read: none is noted. */
static enum hs_code duckdb_query_text(struct hs_db *db, const char *sql, const struct hs_value *values, int count,
				      hs_row_fn *row, void *context, struct hs_error *err)
{
	enum hs_code code = duckdb_sync(db, err);

	if (code)
		return code;
	close_cursor(db);
	return settle(db, hs_duck_query(&db->session, sql, values, count, row, context, err));
}

/* -- transactions --------------------------------------------------------------------------------------------- */

static enum hs_code begin(struct hs_db *db, struct hs_error *err)
{
	return hs_duck_execute(&db->session, db->writing ? "BEGIN TRANSACTION" : "BEGIN TRANSACTION READ ONLY", err);
}

static void end(struct hs_db *db, bool committed)
{
	if (db->writing)
		hs_duck_unlock(&db->session, committed);
	drop_notes(db, 0);
	drop_queue(db);
	db->begun = db->writing = db->aborted = db->unnoted = false;
	db->depth = 0;
}

static enum hs_code duckdb_begin(struct hs_db *db, bool write, struct hs_error *err)
{
	enum hs_code code;

	if (write && !hs_duck_lock(&db->session))
		return hs_driver_fail(err, HS_BUSY, "another handle of this process is writing to the database; gave up "
				      "after %d ms (busy_timeout)", db->session.busy_timeout);
	db->writing = write;
	code = begin(db, err);
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
		hs_duck_execute(&db->session, "ROLLBACK", &ignored);
	end(db, false);
}

static enum hs_code duckdb_commit(struct hs_db *db, struct hs_error *err)
{
	enum hs_code code = duckdb_sync(db, err);

	close_cursor(db);
	if (code == HS_OK && db->aborted)
		code = hs_driver_fail(err, HS_QUERY, "a statement of the transaction has failed");
	if (code == HS_OK)
		code = hs_duck_commit(&db->session, err);
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
	enum hs_code code = hs_duck_execute(&db->session, "ROLLBACK", err);

	db->aborted = false;
	if (code == HS_OK)
		code = begin(db, err);
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
		return hs_driver_fail(err, HS_UNSUPPORTED, "DuckDB cannot undo a part of a transaction that has written "
				      "more than %zu MiB: all of it was undone", NOTES_MAX >> 20);
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
			return hs_driver_fail(err, HS_UNSUPPORTED, "transactions are nested %d deep on DuckDB at most",
					      NESTED_MAX);
		db->marks[db->depth++] = db->note_count;
		return HS_OK;
	case HS_SQL_SAVEPOINT_RELEASE:
		if (db->aborted)
			return hs_driver_fail(err, HS_QUERY, "a statement of the transaction has failed");
		db->depth--;
		return HS_OK;
	default:
		return undo(db, err);
	}
}

static enum hs_code duckdb_migrate(struct hs_db *db, int number, struct hs_error *err)
{
	db->unnoted = true;
	return settle(db, hs_duck_execute(&db->session, migrations[number - 1], err));
}

static enum hs_code duckdb_ask(struct hs_db *db, const struct hs_question *question, struct hs_error *err)
{
	enum hs_code code = duckdb_begin(db, false, err);

	if (code)
		return code;
	code = hs_duck_ask(&db->session, question, err);
	duckdb_rollback(db);
	return code;
}

/* -- waiting for changes ---------------------------------------------------------------------------------------- */

/* Nobody but the other handles of this process can write. */
static enum hs_code duckdb_wait(struct hs_db *db, int milliseconds, struct hs_error *err)
{
	int64_t deadline = hs_monotonic_ms() + milliseconds, pause = FIRST_PAUSE;

	(void)err;
	for (;;) {
		int64_t commits = hs_duck_commits(&db->session), left = deadline - hs_monotonic_ms();

		if (commits != db->seen || left <= 0) {
			db->seen = commits;
			return HS_OK;
		}
		if (!hs_duck_sleep(left < pause ? left : pause))
			return HS_OK;
		pause = pause * 2 < LONGEST_PAUSE ? pause * 2 : LONGEST_PAUSE;
	}
}

/* -- opening and care --------------------------------------------------------------------------------------------- */

static void duckdb_close_handle(struct hs_db *db)
{
	/* In a forked child the threads of DuckDB are missing: it would wait for them. */
	if (db->session.process != getpid())
		return;
	duckdb_rollback(db);
	for (int i = 0; i < HS_SQL_COUNT; i++)
		hs_duck_forget(db->named[i], PARTS);
	hs_duck_disconnect(&db->session);
	free(db->notes);
	free(db);
}

struct tables {
	int64_t ours, all;
};

static enum hs_code take_tables(void *context, const struct hs_value *row, int columns, struct hs_error *err)
{
	struct tables *tables = context;

	(void)columns, (void)err;
	tables->ours = row[0].i;
	tables->all = row[1].i;
	return HS_OK;
}

/* Makes the table that says which version the schema has: 0 as long as it is empty. In a database with
 * other tables it would be among strangers. */
static enum hs_code found_schema(struct hs_db *db, struct hs_error *err)
{
	struct tables tables = {.ours = 0};
	enum hs_code code = duckdb_query_text(db, "SELECT COUNT(CASE WHEN table_name = 'schema_migrations'"
		" AND comment = 'hoststore' THEN 1 END), COUNT(*) FROM duckdb_tables()", NULL, 0, take_tables, &tables, err);

	if (code || tables.ours)
		return code;
	if (tables.all)
		return hs_driver_fail(err, HS_MIGRATION, "'%s' is a DuckDB database of another program", db->session.location);
	if (db->session.readonly)
		return hs_driver_fail(err, HS_NOT_FOUND, "there is no hoststore in '%s'", db->session.location);
	code = duckdb_begin(db, true, err);
	if (code == HS_OK)
		code = hs_duck_execute(&db->session, "CREATE TABLE IF NOT EXISTS schema_migrations (version BIGINT PRIMARY KEY);"
				       "COMMENT ON TABLE schema_migrations IS 'hoststore'", err);
	if (code == HS_OK)
		return duckdb_commit(db, err);
	duckdb_rollback(db);
	return code;
}

static enum hs_code duckdb_open_handle(const struct hs_open *how, struct hs_db **opened, struct hs_error *err)
{
	struct hs_db *db = calloc(1, sizeof *db);
	enum hs_code code;

	if (!db)
		return hs_driver_no_memory(err);
	db->seen = -1;
	code = hs_duck_connect(how, &db->session, err);
	if (code) {
		free(db);
		return code;
	}
	code = found_schema(db, err);
	if (code) {
		duckdb_close_handle(db);
		return code;
	}
	*opened = db;
	return HS_OK;
}

static enum hs_code duckdb_describe(struct hs_db *db, hs_row_fn *row, void *context, struct hs_error *err)
{
	enum hs_code code = HS_OK;

	if (!hs_duck_is_memory(db->session.location))
		code = row(context, (struct hs_value[]){hs_driver_text("location"), hs_driver_text(db->session.location)}, 2, err);
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
