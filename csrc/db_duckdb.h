/* db_duckdb.h -- what the files of the DuckDB driver share.
 *
 * db_duckdb_file.c opens the files, one instance of DuckDB for each, and has the lock of the writer;
 * db_duckdb_rows.c runs statements and reads their rows; db_duckdb_ask.c answers questions of users;
 * db_duckdb.c is the driver: transactions, how a part of one is undone, and the log. */
#ifndef DB_DUCKDB_H
#define DB_DUCKDB_H

#include <sys/types.h>

#include "duckdb_api.h"
#include "hs_driver.h"

enum { DUCK_COLUMNS = HS_QUESTION_COLUMNS };

/* A connection to an instance. */
struct hs_duck_session {
	struct hs_duck_instance *instance;
	duckdb_connection connection;
	char *location;
	bool readonly;
	int busy_timeout;		/* milliseconds */
	pid_t process;			/* a forked child has none of the threads */
};

struct hs_duck_statement {
	duckdb_prepared_statement prepared;
	bool writes;
	bool asked;			/* by a user, who tells booleans from numbers */
	int *numbers;			/* DuckDB's parameter i + 1 is our number numbers[i] */
	int count;
};

/* The rows of a statement that runs, as far as they have been fetched. */
struct hs_duck_rows {
	const struct hs_duck_session *session;
	duckdb_result result;
	duckdb_data_chunk chunk;
	idx_t next;			/* row of the chunk */
	int columns;
	bool asked;
	duckdb_type types[DUCK_COLUMNS];
	const void *values[DUCK_COLUMNS];
	const uint64_t *valid[DUCK_COLUMNS];
	char *texts[DUCK_COLUMNS];	/* DuckDB's have no NUL at their end */
	size_t rooms[DUCK_COLUMNS];
};

/* -- files: db_duckdb_file.c ------------------------------------------------------------------------ */

/* Opens the database of HOW, or joins who has it open in this process. */
enum hs_code hs_duck_connect(const struct hs_open *how, struct hs_duck_session *session, struct hs_error *err);
/* Not to be called in a forked child: DuckDB would wait for threads that are not there. */
void hs_duck_disconnect(struct hs_duck_session *session);
bool hs_duck_is_memory(const char *location);

/* The lock that one handle of the instance has while it writes. False after busy_timeout. */
bool hs_duck_lock(struct hs_duck_session *session);
/* WRITTEN: something was committed, which those who wait for changes want to know. */
void hs_duck_unlock(struct hs_duck_session *session, bool written);
int64_t hs_duck_commits(struct hs_duck_session *session);

/* COMMIT, which may make the write-ahead log: for who may use the database file, and nobody else. */
enum hs_code hs_duck_commit(struct hs_duck_session *session, struct hs_error *err);

/* The time it is in so many milliseconds. */
struct timespec hs_duck_in(int milliseconds);
/* False when a signal has cut it short. */
bool hs_duck_sleep(int64_t milliseconds);

/* -- statements and their rows: db_duckdb_rows.c ---------------------------------------------------- */

/* A failure of DuckDB. TYPE is DUCKDB_ERROR_INVALID where it gives none. */
enum hs_code hs_duck_fail(const struct hs_duck_session *session, duckdb_error_type type, const char *message,
			  struct hs_error *err);
enum hs_code hs_duck_fail_result(const struct hs_duck_session *session, duckdb_result *result, struct hs_error *err);
/* The errno of the call of the system that MESSAGE tells of, or 0. */
int hs_duck_system_error(const char *message);

/* Runs text of any number of statements. */
enum hs_code hs_duck_execute(struct hs_duck_session *session, const char *sql, struct hs_error *err);

/* Prepares each statement of SQL, in which every ';' ends one; ROOM of them at most. */
enum hs_code hs_duck_prepare(struct hs_duck_session *session, const char *sql, struct hs_duck_statement *statements,
			     int room, struct hs_error *err);
void hs_duck_forget(struct hs_duck_statement *statements, int room);
enum hs_code hs_duck_bind(const struct hs_duck_session *session, const struct hs_duck_statement *statement,
			  const struct hs_value *values, int count, struct hs_error *err);

/* Runs a bound statement. A failed start needs no end. */
enum hs_code hs_duck_start(const struct hs_duck_session *session, const struct hs_duck_statement *statement,
			   struct hs_duck_rows *rows, struct hs_error *err);
/* The next row into ROW, whose values live until the next call; HS_STOP behind the last. */
enum hs_code hs_duck_next(struct hs_duck_rows *rows, struct hs_value *row, struct hs_error *err);
void hs_duck_end(struct hs_duck_rows *rows);

/* All of it: start, each row to ON_ROW, which may be NULL, end. */
enum hs_code hs_duck_run(const struct hs_duck_session *session, const struct hs_duck_statement *statement,
			 const struct hs_value *values, int count, hs_row_fn *on_row, void *context,
			 struct hs_error *err);
/* Prepares one statement, runs and forgets it. */
enum hs_code hs_duck_query(struct hs_duck_session *session, const char *sql, const struct hs_value *values, int count,
			   hs_row_fn *on_row, void *context, struct hs_error *err);

/* -- questions of users: db_duckdb_ask.c ------------------------------------------------------------ */

/* Within a transaction that only reads. */
enum hs_code hs_duck_ask(struct hs_duck_session *session, const struct hs_question *question, struct hs_error *err);

#endif
