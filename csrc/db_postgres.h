/* db_postgres.h -- what the two files of the PostgreSQL driver share: sessions, and their pool.
 *
 * A session is one connection with what was prepared on it. A store holds one for the length of a
 * call or a transaction; between them it lies in the pool of its URL, for the next store to take. */
#ifndef DB_POSTGRES_H
#define DB_POSTGRES_H

#include <libpq-fe.h>

#include "hs_driver.h"
#include "hs_sql.h"

/* The driver's own statements stand behind those of the core. */
enum {
	PG_BEGIN_WRITE = HS_SQL_COUNT, PG_BEGIN_READ, PG_LOCK, PG_NOTIFY, PG_COMMIT, PG_ROLLBACK,
	PG_REPLAN,
	PG_STATEMENTS,
	PG_CACHE_SIZE = 24,
	PG_REPLAN_FIRST = 64,
};

struct hs_pg_session {
	PGconn *connection;
	struct hs_pg_session *next;	/* in the pool */
	bool prepared[PG_STATEMENTS];
	struct hs_pg_cached {
		char *sql;		/* prepared as q<number>, or NULL */
		unsigned number;	/* the higher, the later it was made */
		unsigned used;		/* when, by `clock` */
	} cache[PG_CACHE_SIZE];
	unsigned clock, numbers;
	uint64_t sent, replan_at;	/* statements */
	int process;			/* whose it is: a forked child has to leave it alone */
	bool is_lost;			/* nobody knows what the server will say next */
	int64_t idle_since;		/* milliseconds, monotonic */
};

struct hs_pg_pool;

/* The pool of HOW's URL, made or joined. It is gone when the last who joined has left. */
enum hs_code hs_pg_join(const struct hs_open *how, struct hs_pg_pool **pool, struct hs_error *err);
void hs_pg_leave(struct hs_pg_pool *pool);

/* A session that is alive, from the pool or new. HS_BUSY when max_connections are out. */
enum hs_code hs_pg_take(struct hs_pg_pool *pool, struct hs_pg_session **session, struct hs_error *err);
/* Back to the pool; one that is lost, in a transaction or of another process is dropped. */
void hs_pg_give(struct hs_pg_pool *pool, struct hs_pg_session *session);

/* Whether the session is this process's and, as far as is known, not lost; and whether it is alive by
 * a look at what the server has said. */
bool hs_pg_is_usable(const struct hs_pg_session *session);
bool hs_pg_is_alive(struct hs_pg_session *session);

/* Runs text of any number of statements; nothing may be under way. */
enum hs_code hs_pg_execute(struct hs_pg_session *session, const char *sql, struct hs_error *err);

enum hs_code hs_pg_fail(struct hs_error *err, enum hs_code code, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
enum hs_code hs_pg_fail_lost(const struct hs_pg_session *session, struct hs_error *err);
/* RESULT is NULL when libpq ran out of memory or lost the connection before there was one. */
enum hs_code hs_pg_fail_result(const struct hs_pg_session *session, const PGresult *result,
			       struct hs_error *err);

#endif
