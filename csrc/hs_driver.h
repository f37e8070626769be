/* hs_driver.h -- all that a database driver may know of the rest of hoststore.
 *
 * A driver is one const struct of functions and a table of statement texts. It runs statements
 * and transactions, maps the database's failures to codes, and knows nothing of hosts or events.
 * Each driver is a module of its own and uses no symbol of the core: what all do alike stands here. */
#ifndef HS_DRIVER_H
#define HS_DRIVER_H

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define HS_DRIVER_ABI 4

/* What can go wrong. The names users see (hs_code_name) are these in lower case. */
enum hs_code {
	HS_OK,
	HS_INVALID,		/* a value breaks a rule */
	HS_INVALID_URL,
	HS_DUPLICATE,		/* (ip, hostname) or a name is taken */
	HS_CONFLICT,		/* the expected version is not the actual one */
	HS_NOT_FOUND,
	HS_PARTIAL_REPLAY,	/* some of the given event ids are known */
	HS_ID_REUSE,		/* an event id is known with other content */
	HS_BUSY,		/* another writer held the lock until the time-out */
	HS_READONLY,
	HS_FULL,		/* no space left where the database lives */
	HS_CONNECTION,		/* the database cannot be reached or opened */
	HS_UNKNOWN_OUTCOME,	/* a commit may or may not have happened */
	HS_QUERY,		/* the database refused a statement */
	HS_MIGRATION,		/* the schema is not one this version can use */
	HS_CORRUPT,		/* the database is damaged */
	HS_PRUNED,		/* the history asked for is gone */
	HS_UNSUPPORTED,
	HS_POLICY,		/* a policy script refused */
	HS_NO_MEMORY,		/* seen by the C core alone: Lua raises */
	HS_STOP			/* a row callback has seen enough: not a failure */
};

struct hs_host;

/* One failure, as a value. Only `code` and `message` are always set. */
struct hs_error {
	enum hs_code code;
	char message[512];
	char field[32];			/* "" or the field that was wrong */
	bool has_versions;		/* expected and actual are set */
	int64_t expected, actual;
	int64_t index;			/* of the operation in a batch, from 1; 0: none */
	const struct hs_host *current;	/* on a conflict: the host as it is now, or NULL */
};

/* Makes *ERR a failure with this message and nothing else, and returns CODE. */
static inline enum hs_code __attribute__((format(printf, 3, 0)))
hs_fill_error(struct hs_error *err, enum hs_code code, const char *format, va_list args)
{
	memset(err, 0, sizeof *err);
	err->code = code;
	vsnprintf(err->message, sizeof err->message, format, args);
	return code;
}

/* How a driver fails. */
static inline enum hs_code __attribute__((format(printf, 3, 4)))
hs_driver_fail(struct hs_error *err, enum hs_code code, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	hs_fill_error(err, code, format, args);
	va_end(args);
	return code;
}

static inline enum hs_code hs_driver_no_memory(struct hs_error *err)
{
	return hs_driver_fail(err, HS_NO_MEMORY, "not enough memory");
}

/* What it means for a database that a call of the system failed with NUMBER; OTHER where that depends on the call. */
static inline enum hs_code hs_code_of_system(int number, enum hs_code other)
{
	switch (number) {
	case ENOSPC:
	case EDQUOT:
	case EFBIG: return HS_FULL;
	case EROFS: return HS_READONLY;
	default: return other;
	}
}

/* The last two are only what a question, see below, is about. */
enum hs_type { HS_NULL, HS_INT, HS_TEXT, HS_BOOL, HS_REAL };

struct hs_value {
	enum hs_type type;
	int64_t i;		/* of a boolean 0 or 1 */
	double r;
	const char *s;		/* n bytes and a NUL after them; in a row never NULL */
	size_t n;
};

/* S is not NULL. */
static inline struct hs_value hs_driver_text(const char *s)
{
	return (struct hs_value){.type = HS_TEXT, .s = s, .n = strlen(s)};
}

/* Called for each row; the values live until it returns. HS_STOP ends the statement early and
 * is passed on as HS_OK by the driver; any other code but HS_OK ends it and is passed on.
 * A row callback runs no statement itself. */
typedef enum hs_code hs_row_fn(void *context, const struct hs_value *row, int columns,
			       struct hs_error *err);

/* A SELECT that a user has written. */
struct hs_question {
	const char *sql;		/* without a ';' */
	const struct hs_value *values;	/* of $1, $2 ... */
	int count;
	int64_t limit;			/* no more rows are wanted */
	int timeout;			/* milliseconds */
	hs_row_fn *names;		/* called once, before the rows, with the columns' names as texts */
	hs_row_fn *row;
	void *context;
};

enum { HS_QUESTION_COLUMNS = 100 };

/* What all say of a question that took too long, or that is more than one: WHAT stands in it. */
static inline enum hs_code hs_fail_late(const struct hs_question *question, struct hs_error *err)
{
	return hs_driver_fail(err, HS_QUERY, "the answer took longer than %d ms (timeout)", question->timeout);
}

static inline enum hs_code hs_fail_refused(const char *what, struct hs_error *err)
{
	return hs_driver_fail(err, HS_READONLY, "only a SELECT that reads the tables is answered, and '%s' could do more",
			      what);
}

/* What a database writes for a number too large or too exact for an HS_INT or HS_REAL stays the text it is;
 * an integer that fits becomes one. */
static inline void hs_value_shrink(struct hs_value *value)
{
	const char *digits = value->s + (*value->s == '-');
	size_t length = 0;

	while (digits[length] >= '0' && digits[length] <= '9')
		length++;
	if (length == 0 || length > 18 || digits[length])
		return;
	value->type = HS_INT;
	value->i = strtoll(value->s, NULL, 10);
}

/* Of a clock that nobody sets. */
static inline int64_t hs_monotonic_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* How to open a database. Strings are never NULL unless said so. */
struct hs_open {
	const char *location;	/* what the driver calls the database: a path, a connection string */
	const char *tenant;	/* whose log is written: writers of others need not wait */
	bool readonly;		/* refuse every write */
	bool create;		/* make the database when it is missing */
	bool durable;		/* a commit that returned survives a power cut */
	const char *journal;	/* "auto" or a mode the driver knows */
	int page_size;		/* bytes; 0: the database's default */
	int busy_timeout;	/* milliseconds a writer waits for another */
	/* Of a server: */
	const char *schema;	/* the tables are in it; NULL: where the server's settings say */
	bool notify;		/* tell those who follow the log of each commit */
	int min_connections, max_connections;
	int acquire_timeout, idle_timeout;	/* milliseconds */
	void **shared;		/* NULL, or a place, empty at first, for what the databases of a driver share */
};

struct hs_db;			/* a connection; each driver defines its own */

struct hs_driver {
	int abi;		/* HS_DRIVER_ABI: a driver of another build is refused */
	const char *name;

	enum hs_code (*open)(const struct hs_open *how, struct hs_db **db, struct hs_error *err);
	void (*close)(struct hs_db *db);

	/* A write transaction holds the tenant's writer lock from its start; begin, too, may have its
	 * failure reported later. A commit that fails has rolled back; rollback itself cannot fail. */
	enum hs_code (*begin)(struct hs_db *db, bool write, struct hs_error *err);
	enum hs_code (*commit)(struct hs_db *db, struct hs_error *err);
	void (*rollback)(struct hs_db *db);
	/* True while a transaction is open: the database itself may end one (a full disk). */
	bool (*in_transaction)(struct hs_db *db);

	/* Sends a named statement: its rows, or its failure, may come as late as the next sync, run, query
	 * or commit. What comes behind a failure is not run. ROW may be NULL; CONTEXT has to live as long. */
	enum hs_code (*send)(struct hs_db *db, int statement, const struct hs_value *values,
			     int count, hs_row_fn *row, void *context, struct hs_error *err);
	/* Waits for all that was sent. Returns the first failure, if there was one. */
	enum hs_code (*sync)(struct hs_db *db, struct hs_error *err);
	/* As send and sync; query runs the text of a statement composed from constant pieces. */
	enum hs_code (*run)(struct hs_db *db, int statement, const struct hs_value *values,
			    int count, hs_row_fn *row, void *context, struct hs_error *err);
	enum hs_code (*query)(struct hs_db *db, const char *sql, const struct hs_value *values,
			      int count, hs_row_fn *row, void *context, struct hs_error *err);
	/* Outside transactions. Answers a user's question, and nothing but a question: it writes nothing, changes
	 * no setting, and reaches nothing outside the database. What a refused one tried is HS_READONLY, or
	 * HS_QUERY where the database does not know it. HS_QUERY, too, when it takes longer than the timeout. */
	enum hs_code (*ask)(struct hs_db *db, const struct hs_question *question, struct hs_error *err);
	/* Returns when the database may have changed since the last call, or after MILLISECONDS; early is
	 * allowed. Outside transactions. */
	enum hs_code (*wait)(struct hs_db *db, int milliseconds, struct hs_error *err);
	/* Runs migration NUMBER, 1 to `migrations`, within the caller's transaction. */
	enum hs_code (*migrate)(struct hs_db *db, int number, struct hs_error *err);
	int migrations;

	/* Writes a consistent copy of the database to PATH, a new file. NULL where the database is none. */
	enum hs_code (*backup)(struct hs_db *db, const char *path, struct hs_error *err);
	/* Says how the database works, as rows (name, value), for people. */
	enum hs_code (*describe)(struct hs_db *db, hs_row_fn *row, void *context,
				 struct hs_error *err);
};

#endif
