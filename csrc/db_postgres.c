/* db_postgres.c -- the driver for PostgreSQL, one connection per store.
 *
 * A write transaction takes the tenant's advisory lock before anything else, so positions are
 * given in the order of the commits. A connection that was lost is made anew by the next call
 * outside a transaction; within one, everything fails until the transaction has ended. Failures
 * are told apart by SQLSTATE alone: messages are in the server's language. */
#include <libpq-fe.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hs_driver.h"
#include "hs_sql.h"
#include "sql_postgres.h"

enum {
	CACHE_SIZE = 24,
	COLUMNS = 24,
	PARAMETERS = 32,		/* more than this many are put into allocated memory */
};

/* The types of columns, as in the catalog pg_type. */
enum { TYPE_BOOL = 16, TYPE_INT8 = 20, TYPE_INT2 = 21, TYPE_INT4 = 23 };

/* All migrations of a database, whatever the tenant; "hoststor" as a number. */
static const int64_t SCHEMA_LOCK = INT64_C(0x686f737473746f72);

struct hs_db {
	PGconn *connection;
	bool prepared[HS_SQL_COUNT];
	struct {
		char *sql;		/* prepared as q<slot>, or NULL */
		unsigned used;		/* when, by `clock` */
	} cache[CACHE_SIZE];
	unsigned clock;
	int busy_timeout;		/* milliseconds */
	bool readonly, durable;
	bool ready;			/* the session is as set_up makes it */
	bool begun, writing;		/* a transaction, though its connection may be lost */
	int64_t lock;			/* of the tenant's writer */
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
	/* libpq ends its texts with a newline and indents what follows the first. */
	for (char *s = err->message; *s; s++)
		if ((unsigned char)*s < ' ')
			*s = ' ';
	for (size_t n = strlen(err->message); n && err->message[n - 1] == ' '; n--)
		err->message[n - 1] = '\0';
	return code;
}

static enum hs_code fail_memory(struct hs_error *err)
{
	return fail(err, HS_NO_MEMORY, "not enough memory");
}

/* The code of an SQLSTATE; the first prefix that fits counts. */
static enum hs_code code_of(const char *state)
{
	static const struct {
		const char *prefix;
		enum hs_code code;
	} codes[] = {
		{"23505", HS_DUPLICATE},
		{"25006", HS_READONLY}, {"42501", HS_READONLY},
		{"53100", HS_FULL},
		{"08007", HS_UNKNOWN_OUTCOME}, {"40003", HS_UNKNOWN_OUTCOME},
		{"08", HS_CONNECTION}, {"53300", HS_CONNECTION}, {"57P", HS_CONNECTION}, {"25P03", HS_CONNECTION},
		{"40001", HS_BUSY}, {"40P01", HS_BUSY}, {"55P03", HS_BUSY}, {"57014", HS_BUSY},
		{"XX001", HS_CORRUPT}, {"XX002", HS_CORRUPT},
		/* What a migration meets: its names are taken, or there is no schema to make them in. */
		{"42P07", HS_MIGRATION}, {"42723", HS_MIGRATION}, {"3F000", HS_MIGRATION},
	};

	for (size_t i = 0; i < sizeof codes / sizeof *codes; i++)
		if (strncmp(state, codes[i].prefix, strlen(codes[i].prefix)) == 0)
			return codes[i].code;
	return HS_QUERY;
}

static enum hs_code fail_lost(struct hs_db *db, struct hs_error *err)
{
	return fail(err, HS_CONNECTION, "the connection to PostgreSQL is lost: %s", PQerrorMessage(db->connection));
}

/* RESULT is NULL when libpq ran out of memory or lost the connection before there was one. */
static enum hs_code fail_result(struct hs_db *db, const PGresult *result, struct hs_error *err)
{
	const char *state = result ? PQresultErrorField(result, PG_DIAG_SQLSTATE) : NULL;
	const char *message = result ? PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY) : NULL;
	enum hs_code code;

	if (PQstatus(db->connection) == CONNECTION_BAD)
		return fail_lost(db, err);
	if (!state || !message)
		return fail(err, HS_QUERY, "PostgreSQL: %s", PQerrorMessage(db->connection));
	code = code_of(state);
	switch (code) {
	case HS_BUSY:
		return fail(err, code, "other sessions are using the database; gave up (busy_timeout is %d ms): %s",
			    db->busy_timeout, message);
	case HS_FULL: return fail(err, code, "no space left for the database: %s", message);
	case HS_READONLY: return fail(err, code, "the database cannot be written: %s", message);
	case HS_CORRUPT: return fail(err, code, "the database is damaged: %s", message);
	case HS_MIGRATION:
		return fail(err, code, "the schema cannot be made: %s; give hoststore a schema of its own", message);
	default: return fail(err, code, "PostgreSQL (%s): %s", state, message);
	}
}

/* -- the connection ---------------------------------------------------------------------------------------- */

/* Runs constant text of any number of statements. */
static enum hs_code execute(struct hs_db *db, const char *sql, struct hs_error *err)
{
	PGresult *result = PQexec(db->connection, sql);
	ExecStatusType status = PQresultStatus(result);
	enum hs_code code = status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK ? HS_OK
		: fail_result(db, result, err);

	PQclear(result);
	return code;
}

static void swallow_notice(void *context, const char *message)
{
	(void)context, (void)message;
}

/* What every session of ours has set. Durable is whatever the server makes of it, but never off.
 * A plan is made for each run: one that is kept from when a table was small reads all of it when it
 * has grown, and a table grows from nothing to 100000 rows in the transaction of one import. */
static enum hs_code set_up(struct hs_db *db, struct hs_error *err)
{
	const char *encoding = PQparameterStatus(db->connection, "server_encoding");
	enum hs_code code;

	if (!encoding || strcmp(encoding, "UTF8") != 0)
		return fail(err, HS_UNSUPPORTED, "the database has the encoding %s; make one with UTF8",
			    encoding ? encoding : "(unknown)");
	code = execute(db, "SET standard_conforming_strings = on; SET client_min_messages = error;"
		       "SET plan_cache_mode = force_custom_plan", err);
	if (code == HS_OK)
		code = execute(db, db->durable ? "SELECT set_config('synchronous_commit', 'on', false)"
			       " WHERE current_setting('synchronous_commit') = 'off'"
			       : "SET synchronous_commit = off", err);
	if (code == HS_OK && db->readonly)
		code = execute(db, "SET default_transaction_read_only = on", err);
	db->ready = code == HS_OK;
	return code;
}

static enum hs_code connect_to(struct hs_db *db, const char *url, struct hs_error *err)
{
	const char *const names[] = {"dbname", "fallback_application_name", "client_encoding", NULL};
	const char *const values[] = {url, "hoststore", "UTF8", NULL};
	char *message = NULL;
	PQconninfoOption *parsed = PQconninfoParse(url, &message);

	if (!parsed) {
		/* The message may end by quoting the URL, and with it a password. */
		char *quoted = message ? strstr(message, url) : NULL;
		enum hs_code code;

		if (quoted)
			strcpy(quoted, "...");
		code = message ? fail(err, HS_INVALID_URL, "libpq does not take the URL: %s", message)
			: fail_memory(err);
		PQfreemem(message);
		return code;
	}
	PQconninfoFree(parsed);
	db->connection = PQconnectdbParams(names, values, 1);
	if (!db->connection)
		return fail_memory(err);
	PQsetNoticeProcessor(db->connection, swallow_notice, NULL);
	if (PQstatus(db->connection) != CONNECTION_OK)
		return fail(err, HS_CONNECTION, "cannot connect to PostgreSQL: %s", PQerrorMessage(db->connection));
	return set_up(db, err);
}

static void forget_statements(struct hs_db *db)
{
	memset(db->prepared, 0, sizeof db->prepared);
	for (int i = 0; i < CACHE_SIZE; i++)
		free(db->cache[i].sql);
	memset(db->cache, 0, sizeof db->cache);
}

/* A server that ended the session said so before it closed the socket: the first look may meet
 * the message, the second meets the end. */
static bool is_alive(struct hs_db *db)
{
	return PQstatus(db->connection) == CONNECTION_OK && PQconsumeInput(db->connection) &&
	       PQconsumeInput(db->connection);
}

/* Makes a lost connection anew. Not within a transaction, whose first part is gone with it. */
static enum hs_code be_connected(struct hs_db *db, struct hs_error *err)
{
	if (db->begun)
		return PQstatus(db->connection) == CONNECTION_OK ? HS_OK : fail_lost(db, err);
	if (db->ready && is_alive(db))
		return HS_OK;
	db->ready = false;
	forget_statements(db);
	PQreset(db->connection);
	return PQstatus(db->connection) == CONNECTION_OK ? set_up(db, err) : fail_lost(db, err);
}

/* -- statements ---------------------------------------------------------------------------------------------- */

/* A name like s12 or q3. */
struct name {
	char s[16];
};

static struct name name_of(char kind, int number)
{
	struct name name;

	snprintf(name.s, sizeof name.s, "%c%d", kind, number);
	return name;
}

static enum hs_code prepare(struct hs_db *db, const char *name, const char *sql, struct hs_error *err)
{
	PGresult *result = PQprepare(db->connection, name, sql, 0, NULL);
	enum hs_code code = PQresultStatus(result) == PGRES_COMMAND_OK ? HS_OK : fail_result(db, result, err);

	PQclear(result);
	return code;
}

static void take_row(const PGresult *result, struct hs_value row[COLUMNS], int columns)
{
	for (int i = 0; i < columns; i++) {
		row[i] = (struct hs_value){.type = HS_NULL, .s = ""};
		if (PQgetisnull(result, 0, i))
			continue;
		row[i].s = PQgetvalue(result, 0, i);
		row[i].n = (size_t)PQgetlength(result, 0, i);
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

/* Hands on rows as they come. All that the server sends has to be read, wanted or not. */
static enum hs_code read_rows(struct hs_db *db, hs_row_fn *on_row, void *context, struct hs_error *err)
{
	struct hs_value row[COLUMNS];
	enum hs_code code = HS_OK;
	PGresult *result;

	while ((result = PQgetResult(db->connection))) {
		ExecStatusType status = PQresultStatus(result);

		if (status == PGRES_SINGLE_TUPLE && on_row && code == HS_OK) {
			take_row(result, row, PQnfields(result));
			code = on_row(context, row, PQnfields(result), err);
		} else if (status != PGRES_SINGLE_TUPLE && status != PGRES_TUPLES_OK && status != PGRES_COMMAND_OK &&
			   (code == HS_OK || code == HS_STOP)) {
			code = fail_result(db, result, err);
		}
		PQclear(result);
	}
	return code == HS_STOP ? HS_OK : code;
}

struct number {
	char s[24];
};

/* All values go as text; the server knows from the statement what each has to be. */
static void put_values(const char **texts, struct number *numbers, const struct hs_value *values, int count)
{
	for (int i = 0; i < count; i++) {
		texts[i] = values[i].type == HS_TEXT ? values[i].s : NULL;
		if (values[i].type == HS_INT) {
			snprintf(numbers[i].s, sizeof numbers[i].s, "%lld", (long long)values[i].i);
			texts[i] = numbers[i].s;
		}
	}
}

static enum hs_code send_prepared(struct hs_db *db, const char *name, const struct hs_value *values, int count,
				  struct hs_error *err)
{
	const char *few_texts[PARAMETERS], **texts = few_texts;
	struct number few_numbers[PARAMETERS], *numbers = few_numbers;
	enum hs_code code = HS_OK;

	if (count > PARAMETERS) {
		texts = malloc((size_t)count * sizeof *texts);
		numbers = malloc((size_t)count * sizeof *numbers);
	}
	if (!texts || !numbers) {
		code = fail_memory(err);
	} else {
		put_values(texts, numbers, values, count);
		if (!PQsendQueryPrepared(db->connection, name, count, texts, NULL, NULL, 0))
			code = fail_result(db, NULL, err);
	}
	if (count > PARAMETERS) {
		free(texts);
		free(numbers);
	}
	return code;
}

static enum hs_code run_prepared(struct hs_db *db, const char *name, const struct hs_value *values, int count,
				 hs_row_fn *row, void *context, struct hs_error *err)
{
	enum hs_code code = send_prepared(db, name, values, count, err);

	if (code)
		return code;
	PQsetSingleRowMode(db->connection);
	return read_rows(db, row, context, err);
}

static enum hs_code postgres_run(struct hs_db *db, int statement, const struct hs_value *values, int count,
				 hs_row_fn *row, void *context, struct hs_error *err)
{
	struct name name = name_of('s', statement);
	enum hs_code code = be_connected(db, err);

	if (code == HS_OK && !db->prepared[statement]) {
		code = prepare(db, name.s, statements[statement], err);
		db->prepared[statement] = code == HS_OK;
	}
	return code ? code : run_prepared(db, name.s, values, count, row, context, err);
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

static enum hs_code postgres_sync(struct hs_db *db, struct hs_error *err)
{
	(void)db, (void)err;
	return HS_OK;
}

static enum hs_code empty_slot(struct hs_db *db, int slot, struct hs_error *err)
{
	char sql[32];
	enum hs_code code;

	if (!db->cache[slot].sql)
		return HS_OK;
	snprintf(sql, sizeof sql, "DEALLOCATE %s", name_of('q', slot).s);
	code = execute(db, sql, err);
	if (code)
		return code;
	free(db->cache[slot].sql);
	db->cache[slot].sql = NULL;
	return HS_OK;
}

static enum hs_code fill_slot(struct hs_db *db, int slot, const char *sql, struct hs_error *err)
{
	enum hs_code code = empty_slot(db, slot, err);
	char *copy;

	if (code)
		return code;
	copy = strdup(sql);
	if (!copy)
		return fail_memory(err);
	code = prepare(db, name_of('q', slot).s, sql, err);
	if (code)
		free(copy);
	else
		db->cache[slot].sql = copy;
	return code;
}

static enum hs_code postgres_query(struct hs_db *db, const char *sql, const struct hs_value *values, int count,
				   hs_row_fn *row, void *context, struct hs_error *err)
{
	enum hs_code code = be_connected(db, err);
	int slot = find_slot(db, sql);

	if (code == HS_OK && !(db->cache[slot].sql && strcmp(db->cache[slot].sql, sql) == 0))
		code = fill_slot(db, slot, sql, err);
	if (code)
		return code;
	db->cache[slot].used = ++db->clock;
	return run_prepared(db, name_of('q', slot).s, values, count, row, context, err);
}

/* -- transactions --------------------------------------------------------------------------------------------- */

static bool postgres_in_transaction(struct hs_db *db)
{
	PGTransactionStatusType status = PQtransactionStatus(db->connection);

	return db->begun && status != PQTRANS_IDLE && status != PQTRANS_UNKNOWN;
}

static void postgres_rollback(struct hs_db *db)
{
	/* It fails only when the connection is lost, and then the server rolls back. */
	if (postgres_in_transaction(db))
		PQclear(PQexec(db->connection, "ROLLBACK"));
	db->begun = false;
}

/* Begins and takes a lock in one round trip, or waits busy_timeout for it in vain. The statements
 * after it see all that was committed before the lock was free: READ COMMITTED. */
static enum hs_code begin_locked(struct hs_db *db, int64_t lock, struct hs_error *err)
{
	char sql[192];
	enum hs_code code;

	/* A lock_timeout of 0 would wait for ever. */
	snprintf(sql, sizeof sql, "BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL lock_timeout = %d; "
		 "SELECT pg_advisory_xact_lock(%lld)", db->busy_timeout > 0 ? db->busy_timeout : 1, (long long)lock);
	code = execute(db, sql, err);
	db->begun = db->writing = true;
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
	code = execute(db, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", err);
	db->begun = code == HS_OK;
	db->writing = false;
	return code;
}

static enum hs_code send_commit(struct hs_db *db, struct hs_error *err)
{
	PGresult *result = PQexec(db->connection, "COMMIT");
	enum hs_code code = HS_OK;

	if (PQresultStatus(result) != PGRES_COMMAND_OK)
		code = fail_result(db, result, err);
	else if (strcmp(PQcmdStatus(result), "COMMIT") != 0)
		/* The server answers so, and without an error, once a statement has failed. */
		code = fail(err, HS_QUERY, "a statement of this transaction failed earlier; nothing of it was written");
	PQclear(result);
	return code;
}

static enum hs_code postgres_commit(struct hs_db *db, struct hs_error *err)
{
	enum hs_code code;

	/* A server that was gone before it was asked to commit has not done so. */
	if (!is_alive(db)) {
		code = fail_lost(db, err);
	} else {
		code = send_commit(db, err);
		if (code == HS_CONNECTION && db->writing)
			code = fail(err, HS_UNKNOWN_OUTCOME, "the connection to PostgreSQL was lost during the commit, "
				    "which may have been made or not: %s", PQerrorMessage(db->connection));
	}
	postgres_rollback(db);
	return code;
}

/* -- opening ---------------------------------------------------------------------------------------------------- */

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

static enum hs_code take_version(void *context, const struct hs_value *row, int columns, struct hs_error *err)
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
		code = postgres_run(db, HS_SQL_SCHEMA_VERSION, NULL, 0, take_version, &version, err);
	if (code || version >= number)
		return code;
	return execute(db, migrations[number - 1], err);
}

/* Makes the table that says which version the schema has: 0 as long as it is empty. */
static enum hs_code found_schema(struct hs_db *db, struct hs_error *err)
{
	enum hs_code code = begin_locked(db, SCHEMA_LOCK, err);

	if (code)
		return code;
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
	enum hs_code code = postgres_query(db, "SELECT COALESCE(obj_description(oid, 'pg_class') = 'hoststore', false)"
		" FROM pg_class WHERE relname = 'schema_migrations' AND pg_table_is_visible(oid)",
		NULL, 0, take_identity, &identity, err);

	if (code || identity.ours)
		return code;
	if (identity.exists)
		return fail(err, HS_MIGRATION, "the table schema_migrations of database '%s' belongs to another "
			    "program; give hoststore a schema of its own", PQdb(db->connection));
	if (how->readonly || !how->create)
		return fail(err, HS_NOT_FOUND, "there is no hoststore in database '%s'", PQdb(db->connection));
	return found_schema(db, err);
}

/* FNV-1a 64: the same in every process that writes to the tenant, for ever. Where two schemas or two
 * tenants share a lock, they wait for each other without need and without harm. */
static int64_t lock_of(const char *tenant)
{
	uint64_t hash = UINT64_C(14695981039346656037);

	for (const char *s = tenant; *s; s++)
		hash = (hash ^ (unsigned char)*s) * UINT64_C(1099511628211);
	return (int64_t)hash;
}

static void postgres_close(struct hs_db *db)
{
	forget_statements(db);
	PQfinish(db->connection);
	free(db);
}

static enum hs_code postgres_open(const struct hs_open *how, struct hs_db **opened, struct hs_error *err)
{
	struct hs_db *db = calloc(1, sizeof *db);
	enum hs_code code;

	if (!db)
		return fail_memory(err);
	db->busy_timeout = how->busy_timeout;
	db->readonly = how->readonly;
	db->durable = how->durable;
	db->lock = lock_of(how->tenant);
	code = connect_to(db, how->location, err);
	if (code == HS_OK)
		code = identify(db, how, err);
	if (code) {
		postgres_close(db);
		return code;
	}
	*opened = db;
	return HS_OK;
}

/* -- care ------------------------------------------------------------------------------------------------------ */

static enum hs_code postgres_backup(struct hs_db *db, const char *path, struct hs_error *err)
{
	(void)path;
	return fail(err, HS_UNSUPPORTED, "hoststore does not copy a PostgreSQL database; use pg_dump %s",
		    PQdb(db->connection));
}

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
	.send = postgres_run,
	.sync = postgres_sync,
	.run = postgres_run,
	.query = postgres_query,
	.migrate = postgres_migrate,
	.migrations = sizeof migrations / sizeof *migrations,
	.backup = postgres_backup,
	.describe = postgres_describe,
};
