/* db_sqlite.c -- the driver for SQLite, one file on flash.
 *
 * A commit that returned HS_OK is on the disk when `durable` was asked for; a writer takes the
 * lock at its start (BEGIN IMMEDIATE), so it never loses its work to a later lock failure. */
#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "hs_driver.h"
#include "hs_sql.h"
#include "sql_sqlite.h"

enum {
	CACHE_SIZE = 24,
	PARTS = 2,			/* a named statement is so many of SQLite's at most */
	APPLICATION_ID = 0x48535452,	/* "HSTR" */
	/* Before it, two connections that checkpoint while a third resets the WAL can lose pages. */
	WAL_RESET_FIXED = 3051003,
	WAL_PAGES = 1000,
	FIRST_PAUSE = 20, LONGEST_PAUSE = 250,	/* milliseconds between two looks at whether anything changed */
	RESERVE_PAGES = 24,		/* a change that only deletes journals about ten */
};

struct hs_db {
	sqlite3 *sqlite;
	sqlite3_stmt *named[HS_SQL_COUNT][PARTS];
	sqlite3_stmt *rollback;		/* there may be no memory to prepare it when it is due */
	struct {
		char *sql;
		sqlite3_stmt *statement;
		unsigned used;		/* when, by `clock` */
	} cache[CACHE_SIZE];
	unsigned clock;
	int busy_timeout;		/* milliseconds */
	int64_t busy_since;		/* when the present wait began */
	uint64_t jitter;
	char *checkpoint_lock;		/* path; NULL: SQLite checkpoints by itself */
	int wal_pages;
	int64_t reserve;		/* bytes the journal is to have; 0: it has them, or needs none */
	int64_t data_version;		/* as the last wait left it; -1 before the first */
};

/* -- failures ------------------------------------------------------------------------------------------ */

/* Why a call on a file failed. Of a commit SQLite does not note it: then it stands in errno, which is 0 before
 * each statement. */
static enum hs_code code_of_system(sqlite3 *sqlite, enum hs_code other)
{
	return hs_code_of_system(sqlite3_system_errno(sqlite), hs_code_of_system(errno, other));
}

static enum hs_code code_of(sqlite3 *sqlite, int rc)
{
	/* The one trigger that our statements can meet refuses an event that is there already. */
	if (rc == SQLITE_CONSTRAINT_UNIQUE || rc == SQLITE_CONSTRAINT_PRIMARYKEY ||
	    rc == SQLITE_CONSTRAINT_TRIGGER)
		return HS_DUPLICATE;
	if (rc == SQLITE_IOERR_SHMMAP)
		return HS_UNSUPPORTED;
	switch (rc & 0xff) {
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
	case SQLITE_PROTOCOL: return HS_BUSY;
	case SQLITE_FULL: return HS_FULL;
	case SQLITE_IOERR: return code_of_system(sqlite, HS_QUERY);
	case SQLITE_READONLY: return HS_READONLY;
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB: return HS_CORRUPT;
	case SQLITE_CANTOPEN: return code_of_system(sqlite, HS_CONNECTION);
	case SQLITE_NOMEM: return HS_NO_MEMORY;
	default: return HS_QUERY;
	}
}

static enum hs_code fail_sqlite(struct hs_db *db, int rc, struct hs_error *err)
{
	enum hs_code code = code_of(db->sqlite, rc);

	switch (code) {
	case HS_BUSY:
		return hs_driver_fail(err, code, "another process is using the database; gave up after %d ms "
				      "(busy_timeout)", db->busy_timeout);
	case HS_FULL:
		return hs_driver_fail(err, code, "no space left for the database: %s", sqlite3_errmsg(db->sqlite));
	case HS_READONLY:
		return hs_driver_fail(err, code, "the database cannot be written: %s", sqlite3_errmsg(db->sqlite));
	case HS_CORRUPT:
		return hs_driver_fail(err, code, "the database file is damaged: %s", sqlite3_errmsg(db->sqlite));
	case HS_UNSUPPORTED:
		return hs_driver_fail(err, code, "'%s' has a write-ahead log, which does not work where it is; open it with "
				      "journal=truncate on another disk, and bring it back",
				      sqlite3_db_filename(db->sqlite, "main"));
	default:
		return hs_driver_fail(err, code, "SQLite: %s", sqlite3_errmsg(db->sqlite));
	}
}

/* -- waiting for other processes ------------------------------------------------------------------------- */

/* Waits a random time, longer with each try: equal waits would keep many writers in step. */
static int wait_for_lock(void *context, int tries)
{
	struct hs_db *db = context;
	int64_t limit = 2 << (tries < 5 ? tries : 5), ms;

	if (tries == 0)
		db->busy_since = hs_monotonic_ms();
	if (hs_monotonic_ms() - db->busy_since >= db->busy_timeout)
		return 0;
	db->jitter ^= db->jitter << 13;
	db->jitter ^= db->jitter >> 7;
	db->jitter ^= db->jitter << 17;
	ms = 1 + (int64_t)(db->jitter % (uint64_t)limit);
	nanosleep(&(struct timespec){.tv_nsec = (long)ms * 1000000}, NULL);
	return 1;
}

/* -- statements -------------------------------------------------------------------------------------------- */

static void finalize(sqlite3_stmt **parts, int room)
{
	for (int i = 0; i < room; i++) {
		sqlite3_finalize(parts[i]);
		parts[i] = NULL;
	}
}

/* SQLite numbers $1, $2 by their first appearance; ?1, ?2 are taken at their word. */
static enum hs_code prepare(struct hs_db *db, const char *sql, sqlite3_stmt **parts, int room,
			    struct hs_error *err)
{
	char *text = sqlite3_mprintf("%s", sql);
	const char *rest = text;
	int rc = SQLITE_OK;

	if (!text)
		return hs_driver_no_memory(err);
	for (char *s = strchr(text, '$'); s; s = strchr(s + 1, '$'))
		if (s[1] >= '0' && s[1] <= '9')
			*s = '?';
	for (int i = 0; rc == SQLITE_OK && i < room && *rest; i++)
		rc = sqlite3_prepare_v3(db->sqlite, rest, -1, SQLITE_PREPARE_PERSISTENT, &parts[i], &rest);
	sqlite3_free(text);
	if (rc == SQLITE_OK)
		return HS_OK;
	finalize(parts, room);
	return fail_sqlite(db, rc, err);
}

static int bind(sqlite3_stmt *statement, const struct hs_value *values, int count)
{
	int rc = SQLITE_OK;

	if (count > sqlite3_bind_parameter_count(statement))
		count = sqlite3_bind_parameter_count(statement);
	for (int i = 0; rc == SQLITE_OK && i < count; i++) {
		const struct hs_value *value = &values[i];

		if (value->type == HS_INT)
			rc = sqlite3_bind_int64(statement, i + 1, value->i);
		else if (value->type == HS_TEXT)
			rc = sqlite3_bind_text64(statement, i + 1, value->s, value->n, SQLITE_STATIC, SQLITE_UTF8);
		else
			rc = sqlite3_bind_null(statement, i + 1);
	}
	return rc;
}

enum { COLUMNS = 24 };

/* False when there is no memory for a text. */
static bool take_row(sqlite3_stmt *statement, struct hs_value *row, int columns)
{
	for (int i = 0; i < columns; i++) {
		row[i] = (struct hs_value){.type = HS_NULL, .s = ""};
		switch (sqlite3_column_type(statement, i)) {
		case SQLITE_NULL:
			break;
		case SQLITE_INTEGER:
			row[i].type = HS_INT;
			row[i].i = sqlite3_column_int64(statement, i);
			break;
		case SQLITE_FLOAT:
			row[i].type = HS_REAL;
			row[i].r = sqlite3_column_double(statement, i);
			break;
		default:
			row[i].type = HS_TEXT;
			row[i].s = (const char *)sqlite3_column_text(statement, i);
			row[i].n = (size_t)sqlite3_column_bytes(statement, i);
			if (!row[i].s)
				return false;
		}
	}
	return true;
}

static enum hs_code step_all(struct hs_db *db, sqlite3_stmt *statement, hs_row_fn *on_row, void *context,
			     struct hs_error *err)
{
	struct hs_value row[COLUMNS];
	int columns = sqlite3_column_count(statement), rc;
	enum hs_code code;

	while ((rc = sqlite3_step(statement)) == SQLITE_ROW) {
		if (!on_row)
			continue;
		if (!take_row(statement, row, columns))
			return fail_sqlite(db, SQLITE_NOMEM, err);
		code = on_row(context, row, columns, err);
		if (code)
			return code == HS_STOP ? HS_OK : code;
	}
	return rc == SQLITE_DONE ? HS_OK : fail_sqlite(db, rc, err);
}

static enum hs_code run_statement(struct hs_db *db, sqlite3_stmt *statement,
				  const struct hs_value *values, int count, hs_row_fn *row, void *context,
				  struct hs_error *err)
{
	int rc = bind(statement, values, count);
	enum hs_code code;

	errno = 0;
	code = rc == SQLITE_OK ? step_all(db, statement, row, context, err) : fail_sqlite(db, rc, err);
	/* Until it is reset a statement holds its read lock, and writers wait. */
	sqlite3_reset(statement);
	return code;
}

static enum hs_code sqlite_run(struct hs_db *db, int statement, const struct hs_value *values, int count,
			       hs_row_fn *row, void *context, struct hs_error *err)
{
	sqlite3_stmt **parts = db->named[statement];
	enum hs_code code = HS_OK;

	if (!parts[0])
		code = prepare(db, statements[statement], parts, PARTS, err);
	for (int i = 0; code == HS_OK && i < PARTS && parts[i]; i++)
		code = run_statement(db, parts[i], values, count, row, context, err);
	return code;
}

/* A statement that is sent has run. */
static enum hs_code sqlite_sync(struct hs_db *db, struct hs_error *err)
{
	(void)db, (void)err;
	return HS_OK;
}

static void empty_slot(struct hs_db *db, int slot)
{
	sqlite3_finalize(db->cache[slot].statement);
	sqlite3_free(db->cache[slot].sql);
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
	empty_slot(db, slot);
	db->cache[slot].sql = sqlite3_mprintf("%s", sql);
	if (!db->cache[slot].sql)
		return hs_driver_no_memory(err);
	return prepare(db, sql, &db->cache[slot].statement, 1, err);
}

static enum hs_code sqlite_query(struct hs_db *db, const char *sql, const struct hs_value *values,
				 int count, hs_row_fn *row, void *context, struct hs_error *err)
{
	int slot = find_slot(db, sql);

	if (!db->cache[slot].statement || strcmp(db->cache[slot].sql, sql) != 0) {
		enum hs_code code = fill_slot(db, slot, sql, err);

		if (code)
			return code;
	}
	db->cache[slot].used = ++db->clock;
	return run_statement(db, db->cache[slot].statement, values, count, row, context, err);
}

/* Runs constant text of any number of statements. */
static enum hs_code execute(struct hs_db *db, const char *sql, struct hs_error *err)
{
	int rc;

	errno = 0;
	rc = sqlite3_exec(db->sqlite, sql, NULL, NULL, NULL);
	return rc == SQLITE_OK ? HS_OK : fail_sqlite(db, rc, err);
}

/* -- questions of users ---------------------------------------------------------------------------------- */

/* They run or show what lies in the memory of the process. */
static bool is_refused(const char *function)
{
	return !function || strcasecmp(function, "load_extension") == 0 || strcasecmp(function, "fts3_tokenizer") == 0;
}

/* What SQLite asks of each thing that a statement would do, those of views within it too. */
static int allow(void *context, int action, const char *first, const char *second, const char *database,
		 const char *view)
{
	(void)context, (void)first, (void)database, (void)view;
	switch (action) {
	case SQLITE_SELECT:
	case SQLITE_READ:
	case SQLITE_RECURSIVE: return SQLITE_OK;
	case SQLITE_FUNCTION: return is_refused(second) ? SQLITE_DENY : SQLITE_OK;
	default: return SQLITE_DENY;
	}
}

static int is_late(void *context)
{
	return hs_monotonic_ms() > *(const int64_t *)context;
}

static enum hs_code prepare_question(struct hs_db *db, const struct hs_question *question, sqlite3_stmt **statement,
				     struct hs_error *err)
{
	const char *rest;
	int rc = sqlite3_prepare_v2(db->sqlite, question->sql, -1, statement, &rest);

	if (rc == SQLITE_AUTH || (rc == SQLITE_OK && !sqlite3_stmt_readonly(*statement)))
		return hs_driver_fail(err, HS_READONLY, "only a SELECT that reads the database is answered: %s",
				      rc ? sqlite3_errmsg(db->sqlite) : "this one would write");
	if (rc != SQLITE_OK)
		return fail_sqlite(db, rc, err);
	if (!*statement || *rest)
		return hs_driver_fail(err, HS_QUERY, "this is not one statement");
	if (sqlite3_column_count(*statement) > HS_QUESTION_COLUMNS)
		return hs_driver_fail(err, HS_UNSUPPORTED, "more than %d columns", HS_QUESTION_COLUMNS);
	return HS_OK;
}

/* Parameters are $1, $2, or ?1, ?2. */
static enum hs_code bind_question(struct hs_db *db, const struct hs_question *question, sqlite3_stmt *statement,
				  struct hs_error *err)
{
	int rc = SQLITE_OK, highest = 0;

	for (int i = 1; rc == SQLITE_OK && i <= sqlite3_bind_parameter_count(statement); i++) {
		const char *name = sqlite3_bind_parameter_name(statement, i);
		int number = name ? atoi(name + 1) : i;
		const struct hs_value *value;

		if (number < 1 || number > question->count)
			return hs_driver_fail(err, HS_QUERY, "the parameter %s has no value", name ? name : "?");
		highest = number > highest ? number : highest;
		value = &question->values[number - 1];
		if (value->type == HS_REAL)
			rc = sqlite3_bind_double(statement, i, value->r);
		else if (value->type == HS_TEXT)
			rc = sqlite3_bind_text64(statement, i, value->s, value->n, SQLITE_STATIC, SQLITE_UTF8);
		else if (value->type != HS_NULL)
			rc = sqlite3_bind_int64(statement, i, value->i);
	}
	if (rc == SQLITE_OK && highest < question->count)
		return hs_driver_fail(err, HS_QUERY, "the question has no parameter $%d", question->count);
	return rc == SQLITE_OK ? HS_OK : fail_sqlite(db, rc, err);
}

static enum hs_code tell_names(const struct hs_question *question, sqlite3_stmt *statement, struct hs_error *err)
{
	struct hs_value names[HS_QUESTION_COLUMNS];
	int columns = sqlite3_column_count(statement);

	for (int i = 0; i < columns; i++) {
		const char *name = sqlite3_column_name(statement, i);

		names[i] = hs_driver_text(name ? name : "");
	}
	return question->names(question->context, names, columns, err);
}

static enum hs_code answer(struct hs_db *db, const struct hs_question *question, sqlite3_stmt *statement,
			   struct hs_error *err)
{
	struct hs_value row[HS_QUESTION_COLUMNS];
	int columns = sqlite3_column_count(statement), rc;
	enum hs_code code = tell_names(question, statement, err);

	while (code == HS_OK && (rc = sqlite3_step(statement)) == SQLITE_ROW) {
		if (!take_row(statement, row, columns))
			return fail_sqlite(db, SQLITE_NOMEM, err);
		code = question->row(question->context, row, columns, err);
	}
	if (code)
		return code == HS_STOP ? HS_OK : code;
	if (rc == SQLITE_INTERRUPT)
		return hs_fail_late(question, err);
	if (rc == SQLITE_AUTH)
		return hs_driver_fail(err, HS_READONLY, "only a SELECT that reads the database is answered: %s",
				      sqlite3_errmsg(db->sqlite));
	return rc == SQLITE_DONE ? HS_OK : fail_sqlite(db, rc, err);
}

/* A function of SQLite is not interrupted: what it works on is not to be long. */
static const struct {
	int which, most;
} question_limits[] = {
	{SQLITE_LIMIT_LENGTH, 1 << 20}, {SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 1000}, {SQLITE_LIMIT_SQL_LENGTH, 1 << 20},
};

enum { QUESTION_LIMITS = sizeof question_limits / sizeof *question_limits };

/* Sets the limits of questions; BEFORE gets what they were. */
static void limit(struct hs_db *db, int before[QUESTION_LIMITS])
{
	for (int i = 0; i < QUESTION_LIMITS; i++)
		before[i] = sqlite3_limit(db->sqlite, question_limits[i].which, question_limits[i].most);
}

static void unlimit(struct hs_db *db, const int before[QUESTION_LIMITS])
{
	for (int i = 0; i < QUESTION_LIMITS; i++)
		sqlite3_limit(db->sqlite, question_limits[i].which, before[i]);
}

static enum hs_code sqlite_ask(struct hs_db *db, const struct hs_question *question, struct hs_error *err)
{
	int64_t end = hs_monotonic_ms() + question->timeout;
	sqlite3_stmt *statement = NULL;
	int limits[QUESTION_LIMITS];
	enum hs_code code;

	/* A table of the kind of json_each is made when it is first used, which would not be allowed. */
	code = execute(db, "SELECT 1 FROM json_each('[]'), json_tree('[]')", err);
	if (code)
		return code;
	limit(db, limits);
	sqlite3_set_authorizer(db->sqlite, allow, NULL);
	sqlite3_progress_handler(db->sqlite, 1000, is_late, &end);
	code = prepare_question(db, question, &statement, err);
	if (code == HS_OK)
		code = bind_question(db, question, statement, err);
	if (code == HS_OK)
		code = answer(db, question, statement, err);
	sqlite3_finalize(statement);
	sqlite3_progress_handler(db->sqlite, 0, NULL, NULL);
	sqlite3_set_authorizer(db->sqlite, NULL, NULL);
	unlimit(db, limits);
	return code;
}

/* A pragma's answer as text ("" when there is none) in VALUE. */
static enum hs_code pragma(struct hs_db *db, const char *sql, char value[32], struct hs_error *err)
{
	sqlite3_stmt *statement;
	int rc = sqlite3_prepare_v2(db->sqlite, sql, -1, &statement, NULL);
	const char *text = NULL;

	value[0] = '\0';
	if (rc != SQLITE_OK)
		return fail_sqlite(db, rc, err);
	errno = 0;
	if (sqlite3_step(statement) == SQLITE_ROW)
		text = (const char *)sqlite3_column_text(statement, 0);
	snprintf(value, 32, "%s", text ? text : "");
	rc = sqlite3_finalize(statement);
	return rc == SQLITE_OK ? HS_OK : fail_sqlite(db, rc, err);
}

/* -- transactions --------------------------------------------------------------------------------------------- */

/* Makes the journal at FD, which has SIZE bytes, as long as the reserve, or as long as there is room: with
 * random bytes, as there are file systems that compress, but zeros at its head, so that it is no journal
 * to be rolled back. */
static void extend(int fd, int64_t size, int64_t reserve)
{
	char block[512] = {0};
	ssize_t written = 1;

	for (; written > 0 && size < reserve; size += written) {
		size_t left = (size_t)(reserve - size);

		if (size > 0)
			sqlite3_randomness(sizeof block, block);
		written = pwrite(fd, block, left < sizeof block ? left : sizeof block, size);
	}
}

/* On a full disk SQLite could not even delete, as its journal could not grow. So the journal is kept, and
 * kept so long that it need not. To be called at the start of a write transaction: nobody else writes
 * to the journal then, and this connection has written its head at most. */
static void keep_reserve(struct hs_db *db)
{
	const char *path = sqlite3_db_filename(db->sqlite, "main");
	struct stat database, journal;
	int fd;

	if (db->reserve == 0 || stat(path, &database) != 0)
		return;
	fd = open(sqlite3_filename_journal(path), O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return;
	/* Whoever may write to the database has to be able to write to its journal. */
	if (fstat(fd, &journal) == 0 && journal.st_size < db->reserve &&
	    fchmod(fd, database.st_mode & 0777) == 0 &&
	    (geteuid() != 0 || fchown(fd, database.st_uid, database.st_gid) == 0))
		extend(fd, journal.st_size, db->reserve);
	close(fd);
	db->reserve = 0;
}

static enum hs_code sqlite_begin(struct hs_db *db, bool write, struct hs_error *err)
{
	enum hs_code code = sqlite_query(db, write ? "BEGIN IMMEDIATE" : "BEGIN", NULL, 0, NULL, NULL, err);

	if (code == HS_OK && write)
		keep_reserve(db);
	return code;
}

static void sqlite_rollback(struct hs_db *db)
{
	/* It fails only when SQLite has already rolled back by itself. */
	if (sqlite3_get_autocommit(db->sqlite))
		return;
	sqlite3_step(db->rollback);
	sqlite3_reset(db->rollback);
}

/* Checkpoints for a SQLite that must not be left to do it, one process at a time. */
static void checkpoint(struct hs_db *db)
{
	int fd = open(db->checkpoint_lock, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

	if (fd < 0)
		return;
	if (flock(fd, LOCK_EX | LOCK_NB) == 0)
		sqlite3_wal_checkpoint_v2(db->sqlite, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
	close(fd);
}

static enum hs_code sqlite_commit(struct hs_db *db, struct hs_error *err)
{
	enum hs_code code = sqlite_query(db, "COMMIT", NULL, 0, NULL, NULL, err);

	if (code)
		sqlite_rollback(db);
	else if (db->checkpoint_lock && db->wal_pages >= WAL_PAGES)
		checkpoint(db);
	return code;
}

static bool sqlite_in_transaction(struct hs_db *db)
{
	return !sqlite3_get_autocommit(db->sqlite);
}

static enum hs_code sqlite_migrate(struct hs_db *db, int number, struct hs_error *err)
{
	return execute(db, migrations[number - 1], err);
}

/* -- waiting for changes ---------------------------------------------------------------------------------------- */

static enum hs_code take_int(void *context, const struct hs_value *row, int columns, struct hs_error *err)
{
	(void)columns, (void)err;
	*(int64_t *)context = row[0].i;
	return HS_OK;
}

/* A number that another one replaces with each commit of another connection. *VERSION stays while a
 * writer keeps readers out: what it writes is seen by the next look. */
static enum hs_code look(struct hs_db *db, int64_t *version, struct hs_error *err)
{
	int patience = db->busy_timeout;
	enum hs_code code;

	db->busy_timeout = 0;	/* the wait has a limit of its own */
	code = sqlite_query(db, "PRAGMA data_version", NULL, 0, take_int, version, err);
	db->busy_timeout = patience;
	return code == HS_BUSY ? HS_OK : code;
}

static enum hs_code sqlite_wait(struct hs_db *db, int milliseconds, struct hs_error *err)
{
	int64_t end = hs_monotonic_ms() + milliseconds, version = db->data_version;
	int64_t pause = FIRST_PAUSE;

	for (;;) {
		enum hs_code code = look(db, &version, err);
		int64_t left = end - hs_monotonic_ms();

		if (code || version != db->data_version || left <= 0) {
			db->data_version = version;
			return code;
		}
		if (left < pause)
			pause = left;
		/* Cut short by a signal: its handler is to run now. */
		if (nanosleep(&(struct timespec){.tv_nsec = (long)pause * 1000000}, NULL) != 0)
			return HS_OK;
		pause = pause * 2 < LONGEST_PAUSE ? pause * 2 : LONGEST_PAUSE;
	}
}

/* -- opening ---------------------------------------------------------------------------------------------------- */

static bool is_memory(const struct hs_open *how)
{
	return strcmp(how->location, ":memory:") == 0;
}

static enum hs_code open_file(struct hs_db *db, const char *location, int flags, struct hs_error *err)
{
	int rc = sqlite3_open_v2(location, &db->sqlite, flags | SQLITE_OPEN_NOMUTEX, NULL);

	if (rc != SQLITE_OK && !db->sqlite)
		return hs_driver_no_memory(err);
	if (rc != SQLITE_OK)
		return hs_driver_fail(err, code_of(db->sqlite, sqlite3_extended_errcode(db->sqlite)), "cannot open '%s': %s",
				      location, sqlite3_errmsg(db->sqlite));
	sqlite3_extended_result_codes(db->sqlite, 1);
	sqlite3_busy_handler(db->sqlite, wait_for_lock, db);
	return HS_OK;
}

/* Makes a missing file with mode 0600 before SQLite would with 0644; its journals follow the mode.
 * O_EXCL: closing a file that another handle of this process has open would drop its locks. */
static enum hs_code create_file(const struct hs_open *how, struct hs_error *err)
{
	int fd = open(how->location, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	if (fd >= 0) {
		close(fd);
		return HS_OK;
	}
	if (errno == EEXIST)
		return HS_OK;
	return hs_driver_fail(err, hs_code_of_system(errno, HS_CONNECTION), "cannot create '%s': %s", how->location,
			      strerror(errno));
}

static enum hs_code check_exists(const struct hs_open *how, struct hs_error *err)
{
	struct stat status;

	if (stat(how->location, &status) == 0) {
		if (S_ISDIR(status.st_mode))
			return hs_driver_fail(err, HS_CONNECTION, "'%s' is a directory, not a database file", how->location);
		return HS_OK;
	}
	if (errno == ENOENT || errno == ENOTDIR)
		return hs_driver_fail(err, HS_NOT_FOUND, "there is no database '%s'", how->location);
	return hs_driver_fail(err, HS_CONNECTION, "cannot open '%s': %s", how->location, strerror(errno));
}

/* PATH as a file: URI that reads without locks or journals: for a file nobody can write to. */
static char *immutable_uri(const char *path)
{
	char *uri = malloc(strlen(path) * 3 + 32), *out = uri;

	if (!uri)
		return NULL;
	out += sprintf(out, "file:");
	for (; *path; path++) {
		if (*path == '?' || *path == '#' || *path == '%')
			out += sprintf(out, "%%%02X", (unsigned)*path);
		else
			*out++ = *path;
	}
	sprintf(out, "?immutable=1");
	return uri;
}

/* A database in WAL mode cannot be read on a read-only file system the ordinary way, as its
 * shared memory file cannot be made. It can when the log is empty: then the file says it all. */
static enum hs_code open_immutable(struct hs_db *db, const struct hs_open *how, struct hs_error *err)
{
	char *uri = immutable_uri(how->location), *wal = sqlite3_mprintf("%s-wal", how->location);
	struct stat status;
	enum hs_code code;

	if (!uri || !wal) {
		code = hs_driver_no_memory(err);
	} else if (stat(wal, &status) == 0 && status.st_size > 0) {
		code = hs_driver_fail(err, HS_READONLY, "'%s' has a write-ahead log that can only be read where '%s-shm' "
				      "can be written", how->location, how->location);
	} else {
		sqlite3_close(db->sqlite);
		db->sqlite = NULL;
		code = open_file(db, uri, SQLITE_OPEN_READONLY | SQLITE_OPEN_URI, err);
	}
	free(uri);
	sqlite3_free(wal);
	return code;
}

/* A readonly handle may write to the file underneath, where it is allowed to: after a crash the first
 * reader has to roll the journal back, or nothing can be read until somebody writes. ALONE keeps all
 * others out. */
static enum hs_code open_and_read(struct hs_db *db, const struct hs_open *how, bool alone, struct hs_error *err)
{
	char answer[32];
	enum hs_code code = open_file(db, how->location, SQLITE_OPEN_READWRITE, err);

	if (code == HS_OK && alone)
		code = execute(db, "PRAGMA locking_mode = EXCLUSIVE", err);
	if (code == HS_OK && how->readonly) {
		code = execute(db, "PRAGMA query_only = ON", err);
		sqlite3_db_config(db->sqlite, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
	}
	return code ? code : pragma(db, "PRAGMA schema_version", answer, err);
}

static enum hs_code open_any(struct hs_db *db, const struct hs_open *how, struct hs_error *err)
{
	enum hs_code code;

	if (is_memory(how))
		return open_file(db, how->location, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, err);
	code = how->create && !how->readonly ? create_file(how, err) : HS_OK;
	if (code == HS_OK)
		code = check_exists(how, err);
	if (code)
		return code;
	code = open_and_read(db, how, false, err);
	/* The users of a write-ahead log share a file of memory. One alone needs none, so it can read where
	 * there is no room for it. */
	if (code == HS_FULL) {
		sqlite3_close(db->sqlite);
		db->sqlite = NULL;
		code = open_and_read(db, how, true, err);
	}
	if (how->readonly && (code == HS_CONNECTION || code == HS_READONLY))
		return open_immutable(db, how, err);
	return code;
}

/* -- the journal ---------------------------------------------------------------------------------------------------- */

static int count_wal_pages(void *context, sqlite3 *sqlite, const char *name, int pages)
{
	(void)sqlite, (void)name;
	((struct hs_db *)context)->wal_pages = pages;
	return SQLITE_OK;
}

/* Makes a database with a write-ahead log in the empty file at PATH, and closes it. */
static enum hs_code make_wal(const char *path)
{
	sqlite3 *probe = NULL;
	enum hs_code code = HS_OK;
	int rc;

	errno = 0;
	rc = sqlite3_open(path, &probe);
	if (rc == SQLITE_OK)
		rc = sqlite3_exec(probe, "PRAGMA journal_mode = WAL; CREATE TABLE probe (x); "
				  "INSERT INTO probe VALUES (1); SELECT x FROM probe", NULL, NULL, NULL);
	if (rc != SQLITE_OK)
		code = probe ? code_of(probe, rc) : HS_NO_MEMORY;
	sqlite3_close(probe);
	return code;
}

/* Tries a write-ahead log on a scratch file beside the database: some file systems (jffs2) accept
 * the mode and then fail every statement, and a database left in that mode is out of reach. */
static enum hs_code try_wal(const char *location, struct hs_error *err)
{
	/* With room for the longest of them, so that what was made can be removed without memory. */
	static const char *const suffixes[] = {"-journal", "-wal", "-shm", ""};
	const char *slash = strrchr(location, '/');
	int prefix = slash ? (int)(slash - location) + 1 : 0;
	char *path = sqlite3_mprintf("%.*s.hoststore-probe-XXXXXX%s", prefix, location, suffixes[0]);
	char *suffix = path ? path + strlen(path) - strlen(suffixes[0]) : NULL;
	enum hs_code code = HS_NO_MEMORY;
	int fd = -1;

	if (path) {
		*suffix = '\0';
		fd = mkstemp(path);
		code = fd >= 0 ? make_wal(path) : hs_code_of_system(errno, HS_UNSUPPORTED);
	}
	if (fd >= 0)
		close(fd);
	for (size_t i = 0; fd >= 0 && i < sizeof suffixes / sizeof *suffixes; i++) {
		memcpy(suffix, suffixes[i], strlen(suffixes[i]) + 1);
		unlink(path);
	}
	sqlite3_free(path);
	if (code == HS_OK)
		return HS_OK;
	if (code == HS_FULL || code == HS_NO_MEMORY)
		return hs_driver_fail(err, code, "there is no %s to try a write-ahead log where '%s' is",
				      code == HS_FULL ? "space" : "memory", location);
	return hs_driver_fail(err, HS_UNSUPPORTED, "a write-ahead log does not work where '%s' is; use journal=auto",
			      location);
}

/* Checkpoints are ours where SQLite's own could meet in the way that loses pages. */
static enum hs_code guard_checkpoints(struct hs_db *db, const char *location, struct hs_error *err)
{
	if (sqlite3_libversion_number() >= WAL_RESET_FIXED)
		return HS_OK;
	db->checkpoint_lock = sqlite3_mprintf("%s-checkpoint", location);
	if (!db->checkpoint_lock)
		return hs_driver_no_memory(err);
	sqlite3_wal_autocheckpoint(db->sqlite, 0);
	sqlite3_wal_hook(db->sqlite, count_wal_pages, db);
	return HS_OK;
}

/* Beside a write-ahead log, too: it is of use when the database is opened with journal=persist. */
static enum hs_code plan_reserve(struct hs_db *db, struct hs_error *err)
{
	char text[48];
	enum hs_code code = pragma(db, "PRAGMA page_size", text, err);

	if (code)
		return code;
	/* A journal has 8 bytes more for each page, and its head. */
	db->reserve = 512 + RESERVE_PAGES * (int64_t)(atoi(text) + 8);
	snprintf(text, sizeof text, "PRAGMA journal_size_limit = %d", (int)db->reserve);
	return execute(db, text, err);
}

/* When two want to change it at once, SQLite tells one of them that it is busy without asking whether it would wait. */
static enum hs_code change_journal(struct hs_db *db, const char *sql, char mode[32], struct hs_error *err)
{
	int64_t end = hs_monotonic_ms() + db->busy_timeout;
	enum hs_code code;
	int tries = 0;

	do
		code = pragma(db, sql, mode, err);
	while (code == HS_BUSY && hs_monotonic_ms() < end && wait_for_lock(db, tries++));
	return code;
}

static enum hs_code set_journal(struct hs_db *db, const struct hs_open *how, bool fresh,
				struct hs_error *err)
{
	static const struct {
		const char *name, *pragma;
	} modes[] = {
		{"delete", "PRAGMA journal_mode = DELETE"}, {"truncate", "PRAGMA journal_mode = TRUNCATE"},
		{"persist", "PRAGMA journal_mode = PERSIST"}, {"memory", "PRAGMA journal_mode = MEMORY"},
		{"wal", "PRAGMA journal_mode = WAL"},
	};
	bool automatic = strcmp(how->journal, "auto") == 0;
	const char *wanted = how->journal;
	char mode[32];
	size_t i = 0;
	enum hs_code code = pragma(db, "PRAGMA journal_mode", mode, err);

	if (code)
		return code;
	if (automatic && strcmp(mode, "wal") == 0)
		wanted = "wal";		/* as it was made; changing it needs the file alone */
	else if (automatic)
		wanted = fresh && sqlite3_libversion_number() >= WAL_RESET_FIXED && try_wal(how->location, err) == HS_OK
			? "wal" : "persist";
	while (i < sizeof modes / sizeof *modes && strcmp(modes[i].name, wanted) != 0)
		i++;
	if (i == sizeof modes / sizeof *modes)
		return hs_driver_fail(err, HS_INVALID_URL, "'%s' is no journal mode; use auto, wal, truncate, delete, "
				      "persist or memory", wanted);
	if (!automatic && strcmp(wanted, "wal") == 0 && strcmp(mode, "wal") != 0)
		code = try_wal(how->location, err);
	if (code)
		return code;
	code = change_journal(db, modes[i].pragma, mode, err);
	if (code == HS_OK && strcmp(mode, wanted) != 0)
		return hs_driver_fail(err, HS_BUSY, "the journal stays '%s', not '%s', while others use the database",
				      mode, wanted);
	if (code == HS_OK && strcmp(mode, "wal") == 0)
		code = guard_checkpoints(db, how->location, err);
	if (code == HS_OK && (strcmp(mode, "wal") == 0 || strcmp(mode, "persist") == 0))
		code = plan_reserve(db, err);
	return code;
}

/* Whether the file is empty, and whether it is ours. */
static enum hs_code identify(struct hs_db *db, const struct hs_open *how, bool *fresh,
			     struct hs_error *err)
{
	char schema[32], application[32];
	enum hs_code code = pragma(db, "PRAGMA schema_version", schema, err);

	if (code == HS_OK)
		code = pragma(db, "PRAGMA application_id", application, err);
	if (code)
		return code;
	*fresh = strcmp(schema, "0") == 0 && strcmp(application, "0") == 0;
	if (!*fresh && atoi(application) != APPLICATION_ID)
		return hs_driver_fail(err, HS_MIGRATION, "'%s' is an SQLite database of another program", how->location);
	return HS_OK;
}

/* Of a journal that is written with fewer syncs a power cut can leave parts of two transactions, and the
 * next to open the database would damage it: only a write-ahead log can do with fewer. (EXTRA, for who wants
 * each commit to last, is FULL but for a journal that is deleted: its name might come back, and undo the commit.) */
static enum hs_code relax(struct hs_db *db, struct hs_error *err)
{
	char mode[32];
	enum hs_code code = pragma(db, "PRAGMA journal_mode", mode, err);

	if (code || strcmp(mode, "wal") != 0)
		return code;
	return execute(db, "PRAGMA synchronous = NORMAL", err);
}

static enum hs_code configure(struct hs_db *db, const struct hs_open *how, struct hs_error *err)
{
	bool fresh;
	char page_size[48];
	enum hs_code code = identify(db, how, &fresh, err);

	if (code == HS_OK && how->page_size && fresh) {
		snprintf(page_size, sizeof page_size, "PRAGMA page_size = %d", how->page_size);
		code = execute(db, page_size, err);
	}
	if (code == HS_OK)
		code = execute(db, how->durable ? "PRAGMA synchronous = EXTRA" : "PRAGMA synchronous = FULL", err);
	if (code == HS_OK && !how->readonly && !is_memory(how))
		code = set_journal(db, how, fresh, err);
	if (code == HS_OK && !how->durable)
		code = relax(db, err);
	if (code == HS_OK)
		code = prepare(db, "ROLLBACK", &db->rollback, 1, err);
	return code;
}

static void sqlite_close(struct hs_db *db)
{
	for (int i = 0; i < HS_SQL_COUNT; i++)
		finalize(db->named[i], PARTS);
	for (int i = 0; i < CACHE_SIZE; i++)
		empty_slot(db, i);
	finalize(&db->rollback, 1);
	sqlite3_close(db->sqlite);
	sqlite3_free(db->checkpoint_lock);
	free(db);
}

static enum hs_code sqlite_open(const struct hs_open *how, struct hs_db **opened, struct hs_error *err)
{
	struct hs_db *db = calloc(1, sizeof *db);
	enum hs_code code;

	if (!db)
		return hs_driver_no_memory(err);
	db->busy_timeout = how->busy_timeout;
	db->data_version = -1;
	sqlite3_randomness(sizeof db->jitter, &db->jitter);
	db->jitter |= 1;
	code = open_any(db, how, err);
	if (code == HS_OK)
		code = configure(db, how, err);
	if (code) {
		sqlite_close(db);
		return code;
	}
	*opened = db;
	return HS_OK;
}

/* -- care ---------------------------------------------------------------------------------------------------------------- */

static enum hs_code copy_pages(struct hs_db *db, sqlite3 *copy, struct hs_error *err)
{
	sqlite3_backup *backup = sqlite3_backup_init(copy, "main", db->sqlite, "main");
	int rc, tries = 0;

	if (!backup)
		return hs_driver_fail(err, HS_QUERY, "cannot copy the database: %s", sqlite3_errmsg(copy));
	do
		rc = sqlite3_backup_step(backup, -1);
	while ((rc == SQLITE_BUSY || rc == SQLITE_LOCKED) && wait_for_lock(db, tries++));
	sqlite3_backup_finish(backup);
	if (rc == SQLITE_DONE)
		return HS_OK;
	return hs_driver_fail(err, code_of(copy, rc), "cannot copy the database: %s", sqlite3_errstr(rc));
}

static enum hs_code sqlite_backup(struct hs_db *db, const char *path, struct hs_error *err)
{
	sqlite3 *copy = NULL;
	int rc = sqlite3_open(path, &copy);
	enum hs_code code = rc == SQLITE_OK ? copy_pages(db, copy, err)
		: hs_driver_fail(err, HS_CONNECTION, "cannot create '%s': %s", path, sqlite3_errstr(rc));

	sqlite3_close(copy);
	return code;
}

static enum hs_code sqlite_describe(struct hs_db *db, hs_row_fn *row, void *context, struct hs_error *err)
{
	static const char *const facts[][2] = {
		{"journal", "PRAGMA journal_mode"}, {"synchronous", "PRAGMA synchronous"},
		{"page_size", "PRAGMA page_size"}, {"pages", "PRAGMA page_count"},
		{"free_pages", "PRAGMA freelist_count"}, {"schema_version", "PRAGMA user_version"},
		{"sqlite_version", "SELECT sqlite_version()"},
	};
	char value[32], only_reads[32];
	const char *location = sqlite3_db_filename(db->sqlite, "main");
	enum hs_code code = pragma(db, "PRAGMA query_only", only_reads, err);

	if (code == HS_OK && location && *location)
		code = row(context, (struct hs_value[]){hs_driver_text("location"), hs_driver_text(location)}, 2, err);
	for (size_t i = 0; code == HS_OK && i < sizeof facts / sizeof *facts; i++) {
		code = pragma(db, facts[i][1], value, err);
		/* Which rollback journal writers use is not in the file. */
		if (i == 0 && only_reads[0] == '1' && strcmp(value, "wal") != 0)
			continue;
		if (code == HS_OK)
			code = row(context, (struct hs_value[]){hs_driver_text(facts[i][0]), hs_driver_text(value)}, 2, err);
	}
	return code;
}

extern const struct hs_driver hs_sqlite_driver;
const struct hs_driver hs_sqlite_driver = {
	.abi = HS_DRIVER_ABI,
	.name = "sqlite",
	.open = sqlite_open,
	.close = sqlite_close,
	.begin = sqlite_begin,
	.commit = sqlite_commit,
	.rollback = sqlite_rollback,
	.in_transaction = sqlite_in_transaction,
	.send = sqlite_run,
	.sync = sqlite_sync,
	.run = sqlite_run,
	.query = sqlite_query,
	.ask = sqlite_ask,
	.migrate = sqlite_migrate,
	.migrations = sizeof migrations / sizeof *migrations,
	.wait = sqlite_wait,
	.backup = sqlite_backup,
	.describe = sqlite_describe,
};
