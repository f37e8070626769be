/* db_postgres.c -- the driver for PostgreSQL.
 *
 * Statements are pipelined: they are sent as they come and answered when somebody waits, so a command
 * whose statements need no answer between them is one round trip. A write transaction takes the
 * tenant's advisory lock before anything else, so positions are given in the order of the commits.
 * Within a transaction that has lost its connection everything fails until it has ended; the next
 * call takes another connection. Failures are told apart by SQLSTATE alone: messages are in the
 * server's language. */
#include <errno.h>
#include <locale.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "db_postgres.h"
#include "sql_postgres.h"

enum {
	COLUMNS = HS_QUESTION_COLUMNS,
	PARAMETERS = 32,		/* more than this many are put into allocated memory */
	LOOK_EVERY = 250,		/* milliseconds */
	MARK_MS = 10000,
};

/* The types of columns, as in the catalog pg_type. */
enum { TYPE_BOOL = 16, TYPE_INT8 = 20, TYPE_INT2 = 21, TYPE_INT4 = 23, TYPE_FLOAT4 = 700, TYPE_FLOAT8 = 701,
	TYPE_NUMERIC = 1700 };

static const char *const own_statements[] = {
	[PG_BEGIN_WRITE - HS_SQL_COUNT] = "BEGIN ISOLATION LEVEL READ COMMITTED",
	[PG_BEGIN_READ - HS_SQL_COUNT] = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
	/* A tenant of another schema has its own. */
	[PG_LOCK - HS_SQL_COUNT] = ("SELECT pg_advisory_xact_lock(CAST($1 AS bigint) # "
		"COALESCE(CAST(CAST(to_regclass('events') AS oid) AS bigint), 0))"),
	[PG_NOTIFY - HS_SQL_COUNT] = "SELECT pg_notify($1, '')",
	[PG_COMMIT - HS_SQL_COUNT] = "COMMIT",
	[PG_ROLLBACK - HS_SQL_COUNT] = "ROLLBACK",
	[PG_REPLAN - HS_SQL_COUNT] = "DISCARD PLANS",
};

/* All migrations of a database, whatever the tenant; "hoststor" as a number. */
static const int64_t SCHEMA_LOCK = INT64_C(0x686f737473746f72);

/* A statement whose answer has not come. */
struct pending {
	int statement;			/* of the enum, or -1 */
	bool preparing;			/* only its text was sent, to be run by the next */
	bool streaming;			/* there may be many rows: they are not to be held all at once */
	hs_row_fn *row;
	void *context;
	const struct hs_question *asked;	/* by a user, or NULL */
	bool named;			/* the columns, to who asked */
};

struct hs_db {
	struct hs_pg_pool *pool;
	struct hs_pg_session *session;	/* NULL between calls */
	struct pending *pending;
	size_t pending_count, pending_room;
	bool begun, writing;		/* a transaction, though its connection may be lost */
	bool refused;			/* the server itself failed a statement before the commit */
	bool notify;
	int64_t lock;			/* of the tenant's writer */
	char channel[32];		/* where commits of the tenant are told */
	bool deaf;			/* the server has no LISTEN: we look now and then */
};

/* -- sending --------------------------------------------------------------------------------------------- */

/* Takes a session where there is none. In a transaction there was one, and its work is gone with it. */
static enum hs_code be_connected(struct hs_db *db, struct hs_error *err)
{
	if (!db->session)
		return hs_pg_take(db->pool, &db->session, err);
	if (!hs_pg_is_usable(db->session))
		return hs_pg_fail_lost(db->session, err);
	return HS_OK;
}

/* Gives the session back when nothing holds it. */
static void be_done(struct hs_db *db)
{
	if (!db->begun && db->session) {
		hs_pg_give(db->pool, db->session);
		db->session = NULL;
	}
}

static struct pending *add_pending(struct hs_db *db, int statement)
{
	if (db->pending_count == db->pending_room) {
		size_t room = db->pending_room ? 2 * db->pending_room : 16;
		struct pending *grown = realloc(db->pending, room * sizeof *grown);

		if (!grown)
			return NULL;
		db->pending = grown;
		db->pending_room = room;
	}
	db->pending[db->pending_count] = (struct pending){.statement = statement};
	return &db->pending[db->pending_count++];
}

/* A name like s12 or q3. */
struct name {
	char s[16];
};

static struct name name_of(char kind, unsigned number)
{
	struct name name;

	snprintf(name.s, sizeof name.s, "%c%u", kind, number);
	return name;
}

static enum hs_code send_prepare(struct hs_db *db, int statement, const char *name, const char *sql,
				 struct hs_error *err)
{
	struct pending *pending = add_pending(db, statement);

	if (!pending)
		return hs_driver_no_memory(err);
	pending->preparing = true;
	if (PQsendPrepare(db->session->connection, name, sql, 0, NULL))
		return HS_OK;
	db->pending_count--;
	return hs_pg_fail_result(db->session, NULL, err);
}

struct number {
	char s[32];
};

/* As every locale reads and writes it, and the server does. */
static void put_real(char s[32], double real)
{
	snprintf(s, 32, "%.17g", real);
	for (; *s; s++)
		if (*s == ',')
			*s = '.';
}

/* All values go as text; the server knows from the statement what each has to be. */
static void put_values(const char **texts, struct number *numbers, const struct hs_value *values, int count)
{
	for (int i = 0; i < count; i++) {
		texts[i] = values[i].type == HS_TEXT ? values[i].s : NULL;
		if (values[i].type == HS_INT) {
			snprintf(numbers[i].s, sizeof numbers[i].s, "%lld", (long long)values[i].i);
			texts[i] = numbers[i].s;
		} else if (values[i].type == HS_REAL) {
			put_real(numbers[i].s, values[i].r);
			texts[i] = numbers[i].s;
		} else if (values[i].type == HS_BOOL) {
			texts[i] = values[i].i ? "true" : "false";
		}
	}
}

static bool send_values(struct hs_db *db, const char *name, const struct hs_value *values, int count)
{
	const char *few_texts[PARAMETERS] = {NULL}, **texts = few_texts;
	struct number few_numbers[PARAMETERS], *numbers = few_numbers;
	bool sent = false;

	if (count > PARAMETERS) {
		texts = malloc((size_t)count * sizeof *texts);
		numbers = malloc((size_t)count * sizeof *numbers);
	}
	if (texts && numbers) {
		put_values(texts, numbers, values, count);
		sent = PQsendQueryPrepared(db->session->connection, name, count, texts, NULL, NULL, 0);
	}
	if (count > PARAMETERS) {
		free(texts);
		free(numbers);
	}
	return sent;
}

static enum hs_code send_prepared(struct hs_db *db, int statement, const char *name, const struct hs_value *values,
				  int count, hs_row_fn *row, void *context, struct hs_error *err)
{
	struct pending *pending = add_pending(db, statement);

	if (!pending)
		return hs_driver_no_memory(err);
	pending->row = row;
	pending->context = context;
	if (send_values(db, name, values, count))
		return HS_OK;
	db->pending_count--;
	return hs_pg_fail_result(db->session, NULL, err);
}

static enum hs_code send_named(struct hs_db *db, int statement, const struct hs_value *values, int count,
			       hs_row_fn *row, void *context, struct hs_error *err)
{
	struct name name = name_of('s', (unsigned)statement);
	enum hs_code code = HS_OK;

	if (!db->session->prepared[statement]) {
		code = send_prepare(db, statement, name.s, statement < HS_SQL_COUNT ? statements[statement]
				    : own_statements[statement - HS_SQL_COUNT], err);
		/* Until its answer says otherwise. */
		db->session->prepared[statement] = code == HS_OK;
	}
	return code ? code : send_prepared(db, statement, name.s, values, count, row, context, err);
}

/* The server keeps plans, and one that is kept from when a table was small reads all of it when it has
 * grown, as in the transaction of one import from nothing to 100000 rows. So it makes them anew each
 * time a session has sent four times as many statements; but not before a BEGIN, which has to be the
 * first of what is sent together. */
static enum hs_code plan_anew(struct hs_db *db, struct hs_error *err)
{
	if (++db->session->sent < db->session->replan_at)
		return HS_OK;
	db->session->replan_at *= 4;
	return send_named(db, PG_REPLAN, NULL, 0, NULL, NULL, err);
}

static enum hs_code postgres_send(struct hs_db *db, int statement, const struct hs_value *values, int count,
				  hs_row_fn *row, void *context, struct hs_error *err)
{
	enum hs_code code = be_connected(db, err);

	if (code == HS_OK)
		code = plan_anew(db, err);
	return code ? code : send_named(db, statement, values, count, row, context, err);
}

/* -- answers ----------------------------------------------------------------------------------------------- */

static void take_row(const PGresult *result, int number, struct hs_value row[COLUMNS], int columns)
{
	for (int i = 0; i < columns; i++) {
		row[i] = (struct hs_value){.type = HS_NULL, .s = ""};
		if (PQgetisnull(result, number, i))
			continue;
		row[i].s = PQgetvalue(result, number, i);
		row[i].n = (size_t)PQgetlength(result, number, i);
		switch (PQftype(result, i)) {
		case TYPE_BOOL:
			row[i].type = HS_INT;
			row[i].i = *row[i].s == 't';
			break;
		case TYPE_INT2:
		case TYPE_INT4:
		case TYPE_INT8:
			row[i].type = HS_INT;
			row[i].i = strtoll(row[i].s, NULL, 10);
			break;
		default:
			row[i].type = HS_TEXT;
		}
	}
}

/* The types that only questions of users have. */
static void refine(const PGresult *result, locale_t c, struct hs_value *row, int columns)
{
	for (int i = 0; i < columns; i++) {
		Oid type = PQftype(result, i);

		if (row[i].type == HS_INT && type == TYPE_BOOL) {
			row[i].type = HS_BOOL;
		} else if (row[i].type == HS_TEXT && (type == TYPE_FLOAT4 || type == TYPE_FLOAT8)) {
			row[i].type = HS_REAL;
			row[i].r = strtod_l(row[i].s, NULL, c);
		} else if (row[i].type == HS_TEXT && type == TYPE_NUMERIC) {
			hs_value_shrink(&row[i]);
		}
	}
}

static enum hs_code tell_names(struct pending *pending, const PGresult *result, struct hs_error *err)
{
	struct hs_value names[COLUMNS];
	int columns = PQnfields(result);

	if (pending->named)
		return HS_OK;
	if (columns > COLUMNS)
		return hs_pg_fail(err, HS_UNSUPPORTED, "more than %d columns", COLUMNS);
	pending->named = true;
	for (int i = 0; i < columns; i++)
		names[i] = hs_driver_text(PQfname(result, i));
	return pending->asked->names(pending->context, names, columns, err);
}

static enum hs_code hand_on(struct pending *pending, const PGresult *result, struct hs_error *err)
{
	struct hs_value row[COLUMNS];
	enum hs_code code = HS_OK;

	for (int i = 0; code == HS_OK && i < PQntuples(result); i++) {
		take_row(result, i, row, PQnfields(result));
		code = pending->row(pending->context, row, PQnfields(result), err);
	}
	return code;
}

static enum hs_code answer_question(struct pending *pending, const PGresult *result, struct hs_error *err)
{
	struct hs_value row[COLUMNS];
	locale_t c = newlocale(LC_ALL_MASK, "C", (locale_t)0);
	enum hs_code code = c ? tell_names(pending, result, err) : hs_driver_no_memory(err);

	for (int i = 0; code == HS_OK && i < PQntuples(result); i++) {
		take_row(result, i, row, PQnfields(result));
		refine(result, c, row, PQnfields(result));
		code = pending->row(pending->context, row, PQnfields(result), err);
	}
	if (c)
		freelocale(c);
	return code;
}

/* The server answers a COMMIT so, and without an error, once a statement has failed. */
static enum hs_code check_commit(PGresult *result, struct hs_error *err)
{
	if (strcmp(PQcmdStatus(result), "COMMIT") == 0)
		return HS_OK;
	return hs_pg_fail(err, HS_QUERY, "a statement of this transaction failed earlier; nothing of it was written");
}

/* Reads the answer to one statement, all of it: wanted or not, the server has sent it. CODE is the
 * failure of an earlier one, which counts; what stands behind it was skipped. */
static enum hs_code read_answer(struct hs_db *db, struct pending *pending, enum hs_code code,
				struct hs_error *err)
{
	bool prepared = false, answered = false, wanted = code == HS_OK;
	PGresult *result;

	if (pending->streaming)
		PQsetSingleRowMode(db->session->connection);
	while ((result = PQgetResult(db->session->connection))) {
		answered = true;
		switch (PQresultStatus(result)) {
		case PGRES_SINGLE_TUPLE:
		case PGRES_TUPLES_OK:
			if (wanted && code == HS_OK && pending->row)
				code = pending->asked ? answer_question(pending, result, err)
						      : hand_on(pending, result, err);
			break;
		case PGRES_COMMAND_OK:
			prepared = pending->preparing;
			if (wanted && pending->statement == PG_COMMIT && !prepared)
				code = check_commit(result, err);
			break;
		case PGRES_FATAL_ERROR:
			/* Without memory for the answer nobody knows whether the server has the statement now. */
			if (pending->preparing && !PQresultErrorField(result, PG_DIAG_SQLSTATE))
				db->session->is_lost = true;
			/* fall through */
		default:
			if (!wanted || (code && code != HS_STOP))
				break;
			code = hs_pg_fail_result(db->session, result, err);
			db->refused = pending->statement != PG_COMMIT && PQresultErrorField(result, PG_DIAG_SQLSTATE);
		}
		PQclear(result);
	}
	if (pending->preparing && pending->statement >= 0)
		db->session->prepared[pending->statement] = prepared;
	if (wanted && !answered)
		return hs_pg_fail_lost(db->session, err);
	return code == HS_STOP ? HS_OK : code;
}

/* Waits for the mark of a sync, which follows the last answer at once. But libpq forgets one that it has no memory
 * for, and would wait for ever. */
static bool mark_is_there(PGconn *connection)
{
	struct pollfd fd = {.fd = PQsocket(connection), .events = POLLIN};
	int ready;

	while (PQisBusy(connection)) {
		ready = poll(&fd, 1, MARK_MS);
		if (ready < 0 && errno == EINTR)
			continue;
		if (ready <= 0 || !PQconsumeInput(connection))
			return false;
	}
	return true;
}

/* Reads up to the mark, behind which the server listens again. Without it the session is lost. */
static void read_mark(struct hs_pg_session *session)
{
	PGresult *result;
	bool marked = false;

	while (!marked && mark_is_there(session->connection) && (result = PQgetResult(session->connection))) {
		marked = PQresultStatus(result) == PGRES_PIPELINE_SYNC;
		PQclear(result);
	}
	session->is_lost = !marked;
}

static enum hs_code postgres_sync(struct hs_db *db, struct hs_error *err)
{
	enum hs_code code = HS_OK;

	if (db->pending_count == 0)
		return HS_OK;
	db->refused = false;
	if (!PQpipelineSync(db->session->connection)) {
		code = hs_pg_fail_result(db->session, NULL, err);
		db->session->is_lost = true;
	}
	for (size_t i = 0; !db->session->is_lost && i < db->pending_count; i++)
		code = read_answer(db, &db->pending[i], code, err);
	db->pending_count = 0;
	if (!db->session->is_lost)
		read_mark(db->session);
	return code;
}

/* Waits for the answer to what was sent last, if it was. */
static enum hs_code finish(struct hs_db *db, enum hs_code code, struct hs_error *err)
{
	struct hs_error ignored;

	if (code == HS_OK)
		code = postgres_sync(db, err);
	else if (db->session)
		postgres_sync(db, &ignored);
	be_done(db);
	return code;
}

static void stream_last(struct hs_db *db)
{
	db->pending[db->pending_count - 1].streaming = true;
}

static enum hs_code postgres_run(struct hs_db *db, int statement, const struct hs_value *values, int count,
				 hs_row_fn *row, void *context, struct hs_error *err)
{
	enum hs_code code = postgres_send(db, statement, values, count, row, context, err);

	if (code == HS_OK)
		stream_last(db);
	return finish(db, code, err);
}

/* -- composed statements ------------------------------------------------------------------------------------- */

/* The slot that holds SQL, or the one used longest ago. */
static struct hs_pg_cached *find_slot(struct hs_pg_session *session, const char *sql)
{
	struct hs_pg_cached *oldest = session->cache;

	for (struct hs_pg_cached *slot = session->cache; slot < session->cache + PG_CACHE_SIZE; slot++) {
		if (slot->sql && strcmp(slot->sql, sql) == 0)
			return slot;
		if (slot->used < oldest->used)
			oldest = slot;
	}
	return oldest;
}

static enum hs_code empty_slot(struct hs_db *db, struct hs_pg_cached *slot, struct hs_error *err)
{
	char sql[40];

	if (!slot->sql)
		return HS_OK;
	snprintf(sql, sizeof sql, "DEALLOCATE %s", name_of('q', slot->number).s);
	if (!add_pending(db, -1))
		return hs_driver_no_memory(err);
	if (!PQsendQueryParams(db->session->connection, sql, 0, NULL, NULL, NULL, NULL, 0)) {
		db->pending_count--;
		return hs_pg_fail_result(db->session, NULL, err);
	}
	free(slot->sql);
	slot->sql = NULL;
	return HS_OK;
}

/* A number is used once: what became of an earlier text of the slot does not matter. */
static enum hs_code fill_slot(struct hs_db *db, struct hs_pg_cached *slot, const char *sql, struct hs_error *err)
{
	enum hs_code code = empty_slot(db, slot, err);

	if (code)
		return code;
	slot->sql = strdup(sql);
	if (!slot->sql)
		return hs_driver_no_memory(err);
	slot->number = ++db->session->numbers;
	return send_prepare(db, -1, name_of('q', slot->number).s, sql, err);
}

static enum hs_code send_query(struct hs_db *db, struct hs_pg_cached *slot, const char *sql,
			       const struct hs_value *values, int count, hs_row_fn *row, void *context,
			       struct hs_error *err)
{
	enum hs_code code = HS_OK;

	if (!slot->sql || strcmp(slot->sql, sql) != 0)
		code = fill_slot(db, slot, sql, err);
	slot->used = ++db->session->clock;
	return code ? code : send_prepared(db, -1, name_of('q', slot->number).s, values, count, row, context, err);
}

static enum hs_code query(struct hs_db *db, const char *sql, const struct hs_value *values, int count,
			  hs_row_fn *row, void *context, const struct hs_question *asked, struct hs_error *err)
{
	struct hs_error ignored;
	struct hs_pg_cached *slot;
	enum hs_code code = be_connected(db, err);

	if (code)
		return code;
	slot = find_slot(db->session, sql);
	code = plan_anew(db, err);
	if (code == HS_OK)
		code = send_query(db, slot, sql, values, count, row, context, err);
	if (code == HS_OK) {
		stream_last(db);
		db->pending[db->pending_count - 1].asked = asked;
		code = postgres_sync(db, err);
	} else {
		postgres_sync(db, &ignored);
	}
	if (code) {		/* it may not be prepared */
		free(slot->sql);
		slot->sql = NULL;
	}
	be_done(db);
	return code;
}

static enum hs_code postgres_query(struct hs_db *db, const char *sql, const struct hs_value *values, int count,
				   hs_row_fn *row, void *context, struct hs_error *err)
{
	return query(db, sql, values, count, row, context, NULL, err);
}

/* -- transactions --------------------------------------------------------------------------------------------- */

static bool postgres_in_transaction(struct hs_db *db)
{
	PGTransactionStatusType status;

	if (!db->begun || !db->session || !hs_pg_is_usable(db->session))
		return false;
	status = PQtransactionStatus(db->session->connection);
	return db->pending_count > 0 || (status != PQTRANS_IDLE && status != PQTRANS_UNKNOWN);
}

static void end(struct hs_db *db)
{
	db->begun = db->writing = false;
	db->pending_count = 0;
	be_done(db);
}

static void postgres_rollback(struct hs_db *db)
{
	struct hs_error ignored;

	for (size_t i = 0; i < db->pending_count; i++)
		db->pending[i].row = NULL;
	/* The first may stand behind a failure, which the server skips to the end of. It fails for another
	 * reason only when the connection is lost, and then the server rolls back by itself. */
	for (int tries = 0; tries < 2 && postgres_in_transaction(db); tries++) {
		postgres_send(db, PG_ROLLBACK, NULL, 0, NULL, NULL, &ignored);
		postgres_sync(db, &ignored);
	}
	end(db);
}

/* Begins and takes a lock, or waits busy_timeout for it in vain. The statements after it see all that
 * was committed before the lock was free: READ COMMITTED. */
static enum hs_code begin_locked(struct hs_db *db, int64_t lock, struct hs_error *err)
{
	struct hs_value value = {.type = HS_INT, .i = lock};
	enum hs_code code;

	db->begun = db->writing = true;
	code = send_named(db, PG_BEGIN_WRITE, NULL, 0, NULL, NULL, err);
	if (code == HS_OK)
		code = postgres_send(db, PG_LOCK, &value, 1, NULL, NULL, err);
	if (code)
		postgres_rollback(db);
	return code;
}

static enum hs_code postgres_begin(struct hs_db *db, bool write, struct hs_error *err)
{
	enum hs_code code = be_connected(db, err);

	if (code)
		return code;
	if (write)
		return begin_locked(db, db->lock, err);
	db->begun = true;
	code = send_named(db, PG_BEGIN_READ, NULL, 0, NULL, NULL, err);
	if (code)
		postgres_rollback(db);
	return code;
}

static enum hs_code send_commit(struct hs_db *db, struct hs_error *err)
{
	struct hs_value channel = hs_driver_text(db->channel);
	enum hs_code code = HS_OK;

	if (db->notify && db->writing)
		code = postgres_send(db, PG_NOTIFY, &channel, 1, NULL, NULL, err);
	if (code == HS_OK)
		code = postgres_send(db, PG_COMMIT, NULL, 0, NULL, NULL, err);
	return code ? code : postgres_sync(db, err);
}

static enum hs_code postgres_commit(struct hs_db *db, struct hs_error *err)
{
	enum hs_code code;

	/* A server that was gone before it was asked to commit has not done so. */
	if (!hs_pg_is_alive(db->session)) {
		code = hs_pg_fail_lost(db->session, err);
	} else {
		db->refused = false;
		code = send_commit(db, err);
		if (code == HS_CONNECTION && db->writing && !db->refused)
			code = hs_pg_fail(err, HS_UNKNOWN_OUTCOME, "the connection to PostgreSQL was lost during the "
					  "commit, which may have been made or not: %s",
					  PQerrorMessage(db->session->connection));
	}
	postgres_rollback(db);
	return code;
}

/* -- questions of users ------------------------------------------------------------------------------------------- */

/* What shows who may log in and how, runs a text as SQL though it says that it changes nothing, or hides a
 * name. */
static const char *const refused[] = {
	"pg_authid", "pg_shadow", "pg_user_mapping", "pg_hba", "crosstab", "connectby", "xpath_table", "u&\"",
};

static enum hs_code check_words(const char *sql, struct hs_error *err)
{
	for (size_t i = 0; i < sizeof refused / sizeof *refused; i++)
		if (strcasestr(sql, refused[i]))
			return hs_fail_refused(refused[i], err);
	return HS_OK;
}

static enum hs_code refuse_function(void *context, const struct hs_value *row, int columns, struct hs_error *err)
{
	(void)context, (void)columns;
	return hs_fail_refused(row[0].s, err);
}

/* No word may be the name of a function that does more than to look: reads a file, takes a lock, changes a
 * setting, runs a text as SQL. The server knows which: those that are volatile, but for a few. */
static enum hs_code check_functions(struct hs_db *db, const char *sql, struct hs_error *err)
{
	struct hs_value text = hs_driver_text(sql);

	return postgres_query(db, "SELECT proname FROM pg_proc WHERE provolatile = 'v' AND proname NOT IN ('random',"
		" 'clock_timestamp', 'timeofday', 'gen_random_uuid', 'pg_sleep')"
		" AND prorettype NOT IN (CAST('trigger' AS regtype), CAST('tsm_handler' AS regtype))"
		" AND lower(proname) IN (SELECT word[1] FROM regexp_matches(lower(CAST($1 AS text)),"
		" '[[:alpha:]_][[:alnum:]_$]*', 'g') AS words (word)) ORDER BY proname LIMIT 1",
		&text, 1, refuse_function, NULL, err);
}

/* A superuser gives up all rights but to read, for this transaction. */
static enum hs_code confine(struct hs_db *db, const struct hs_question *question, struct hs_error *err)
{
	struct hs_value timeout = {.type = HS_INT, .i = question->timeout};
	enum hs_code code = postgres_query(db, "SELECT set_config('statement_timeout', CAST($1 AS text), true)",
					   &timeout, 1, NULL, NULL, err);

	if (code == HS_OK)
		code = check_functions(db, question->sql, err);
	return code ? code : postgres_query(db, "SELECT set_config('role', 'pg_read_all_data', true) FROM pg_roles"
					    " WHERE rolname = current_user AND rolsuper", NULL, 0, NULL, NULL, err);
}

/* A text that stands where a SELECT does can be nothing else. */
static enum hs_code ask(struct hs_db *db, const struct hs_question *question, struct hs_error *err)
{
	size_t room = strlen(question->sql) + 80;
	char *sql = malloc(room);
	enum hs_code code;

	if (!sql)
		return hs_driver_no_memory(err);
	snprintf(sql, room, "SELECT * FROM (\n%s\n) AS asked LIMIT %lld", question->sql, (long long)question->limit);
	code = query(db, sql, question->values, question->count, question->row, question->context, question, err);
	free(sql);
	if (code == HS_BUSY)
		return hs_fail_late(question, err);
	return code;
}

static enum hs_code postgres_ask(struct hs_db *db, const struct hs_question *question, struct hs_error *err)
{
	enum hs_code code = check_words(question->sql, err);

	if (code == HS_OK)
		code = postgres_begin(db, false, err);
	if (code)
		return code;
	code = confine(db, question, err);
	if (code == HS_OK)
		code = ask(db, question, err);
	postgres_rollback(db);
	return code;
}

/* -- opening ---------------------------------------------------------------------------------------------------- */

/* Runs text of any number of statements, behind what was sent. */
static enum hs_code execute(struct hs_db *db, const char *sql, struct hs_error *err)
{
	enum hs_code code = be_connected(db, err);

	if (code == HS_OK)
		code = postgres_sync(db, err);
	if (code == HS_OK)
		code = hs_pg_execute(db->session, sql, err);
	be_done(db);
	return code;
}

struct identity {
	bool exists, ours;
};

static enum hs_code take_identity(void *context, const struct hs_value *row, int columns, struct hs_error *err)
{
	struct identity *identity = context;

	(void)columns, (void)err;
	identity->exists = true;
	identity->ours = row[0].i;
	return HS_OK;
}

static enum hs_code take_int(void *context, const struct hs_value *row, int columns, struct hs_error *err)
{
	(void)columns, (void)err;
	*(int64_t *)context = row[0].i;
	return HS_OK;
}

/* Tenants have a lock each, but one schema: under the lock of all migrations another process may
 * prove to have been first. */
static enum hs_code postgres_migrate(struct hs_db *db, int number, struct hs_error *err)
{
	int64_t version = 0;
	char sql[64];
	enum hs_code code;

	snprintf(sql, sizeof sql, "SELECT pg_advisory_xact_lock(%lld)", (long long)SCHEMA_LOCK);
	code = execute(db, sql, err);
	if (code == HS_OK)
		code = postgres_run(db, HS_SQL_SCHEMA_VERSION, NULL, 0, take_int, &version, err);
	if (code || version >= number)
		return code;
	return execute(db, migrations[number - 1], err);
}

/* The schema the URL names, unless it is there: making it takes a right that using it does not. */
static enum hs_code make_schema(struct hs_db *db, const char *name, struct hs_error *err)
{
	struct hs_value value = hs_driver_text(name);
	int64_t there = 0;
	char *quoted, sql[256];
	enum hs_code code = postgres_query(db, "SELECT 1 FROM pg_namespace WHERE nspname = $1", &value, 1,
					   take_int, &there, err);

	if (code || there)
		return code;
	quoted = PQescapeIdentifier(db->session->connection, name, strlen(name));
	if (!quoted)
		return hs_driver_no_memory(err);
	snprintf(sql, sizeof sql, "CREATE SCHEMA %s", quoted);
	PQfreemem(quoted);
	return execute(db, sql, err);
}

/* Makes the table that says which version the schema has: 0 as long as it is empty. */
static enum hs_code found_schema(struct hs_db *db, const char *schema, struct hs_error *err)
{
	enum hs_code code = be_connected(db, err);

	if (code == HS_OK)
		code = begin_locked(db, SCHEMA_LOCK, err);
	if (code)
		return code;
	if (schema)
		code = make_schema(db, schema, err);
	if (code == HS_OK)
		code = execute(db, "CREATE TABLE IF NOT EXISTS schema_migrations (version bigint PRIMARY KEY,"
			       " applied_at timestamptz NOT NULL DEFAULT now());"
			       "COMMENT ON TABLE schema_migrations IS 'hoststore'", err);
	if (code == HS_OK)
		return postgres_commit(db, err);
	postgres_rollback(db);
	return code;
}

/* Whether there is a schema, and whether it is ours. Other programs have a schema_migrations too. The
 * table and its comment are seen as of one moment, which to_regclass would not do. */
static enum hs_code identify(struct hs_db *db, const struct hs_open *how, struct hs_error *err)
{
	struct identity identity = {0};
	char database[64] = "";
	enum hs_code code = be_connected(db, err);

	if (code)
		return code;
	snprintf(database, sizeof database, "%s", PQdb(db->session->connection));
	code = postgres_query(db, "SELECT COALESCE(obj_description(oid, 'pg_class') = 'hoststore', false)"
		" FROM pg_class WHERE relname = 'schema_migrations' AND pg_table_is_visible(oid)",
		NULL, 0, take_identity, &identity, err);
	if (code || identity.ours)
		return code;
	if (identity.exists)
		return hs_pg_fail(err, HS_MIGRATION, "the table schema_migrations of database '%s' belongs to another "
				  "program; give hoststore a schema of its own", database);
	if (how->readonly || !how->create)
		return hs_pg_fail(err, HS_NOT_FOUND, "there is no hoststore in database '%s'", database);
	return found_schema(db, how->schema, err);
}

/* FNV-1a 64: the same in every process that writes to the tenant, for ever. Where two tenants share a
 * lock, they wait for each other without need and without harm. */
static int64_t hash_of(const char *tenant)
{
	uint64_t hash = UINT64_C(14695981039346656037);

	for (const char *s = tenant; *s; s++)
		hash = (hash ^ (unsigned char)*s) * UINT64_C(1099511628211);
	return (int64_t)hash;
}

static void postgres_close(struct hs_db *db)
{
	postgres_rollback(db);
	hs_pg_leave(db->pool);
	free(db->pending);
	free(db);
}

static enum hs_code postgres_open(const struct hs_open *how, struct hs_db **opened, struct hs_error *err)
{
	struct hs_db *db = calloc(1, sizeof *db);
	enum hs_code code;

	if (!db)
		return hs_driver_no_memory(err);
	db->notify = how->notify;
	db->lock = hash_of(how->tenant);
	snprintf(db->channel, sizeof db->channel, "hoststore_%016llx", (unsigned long long)db->lock);
	code = hs_pg_join(how, &db->pool, err);
	if (code) {
		free(db);
		return code;
	}
	code = identify(db, how, err);
	if (code) {
		postgres_close(db);
		return code;
	}
	*opened = db;
	return HS_OK;
}

/* -- waiting for others ------------------------------------------------------------------------------------------ */

static void sleep_ms(int milliseconds)
{
	struct timespec pause = {milliseconds / 1000, milliseconds % 1000 * 1000000L};

	nanosleep(&pause, NULL);
}

/* Hears of commits until there is one. They only wake us; the log says what happened. */
static void hear(struct hs_pg_session *session, int milliseconds)
{
	struct pollfd fd = {.fd = PQsocket(session->connection), .events = POLLIN};
	PGnotify *notice;

	poll(&fd, 1, milliseconds);
	if (!hs_pg_is_alive(session))
		sleep_ms(milliseconds);
	while ((notice = PQnotifies(session->connection)))
		PQfreemem(notice);
}

/* Holds a connection no longer than it waits. What is committed before it listens, and commits of
 * writers that do not notify, are found by looking now and then. A standby has no LISTEN. */
static enum hs_code postgres_wait(struct hs_db *db, int milliseconds, struct hs_error *err)
{
	struct hs_pg_session *session;
	char sql[48];

	if (milliseconds > LOOK_EVERY)
		milliseconds = LOOK_EVERY;
	if (db->deaf || hs_pg_take(db->pool, &session, err)) {
		sleep_ms(milliseconds);
		return HS_OK;
	}
	snprintf(sql, sizeof sql, "LISTEN %s", db->channel);
	if (hs_pg_execute(session, sql, err) == HS_OK) {
		hear(session, milliseconds);
		hs_pg_execute(session, "UNLISTEN *", err);
	} else {
		db->deaf = PQstatus(session->connection) == CONNECTION_OK;
	}
	hs_pg_give(db->pool, session);
	return HS_OK;
}

/* -- care ------------------------------------------------------------------------------------------------------ */

static enum hs_code postgres_describe(struct hs_db *db, hs_row_fn *row, void *context, struct hs_error *err)
{
	return postgres_query(db, "SELECT name, value FROM (VALUES"
		" ('server_version', current_setting('server_version')),"
		" ('synchronous_commit', current_setting('synchronous_commit')),"
		" ('in_recovery', pg_is_in_recovery()::text),"
		" ('database', current_database()::text),"
		" ('schema', current_schema()::text),"
		" ('schema_version', (SELECT MAX(version)::text FROM schema_migrations))"
		") AS facts (name, value)", NULL, 0, row, context, err);
}

extern const struct hs_driver hs_postgres_driver;
const struct hs_driver hs_postgres_driver = {
	.abi = HS_DRIVER_ABI,
	.name = "postgres",
	.open = postgres_open,
	.close = postgres_close,
	.begin = postgres_begin,
	.commit = postgres_commit,
	.rollback = postgres_rollback,
	.in_transaction = postgres_in_transaction,
	.send = postgres_send,
	.sync = postgres_sync,
	.run = postgres_run,
	.query = postgres_query,
	.ask = postgres_ask,
	.wait = postgres_wait,
	.migrate = postgres_migrate,
	.migrations = sizeof migrations / sizeof *migrations,
	.describe = postgres_describe,
};
