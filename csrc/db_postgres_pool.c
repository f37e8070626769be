/* db_postgres_pool.c -- connections to PostgreSQL, and the pool they lie in between calls.
 *
 * A pool belongs to one URL in one Lua state and needs no lock. Waiting for a connection that is out
 * would be waiting for ourselves, so that fails at once; acquire_timeout is how long a server may
 * take to answer, or to start up. */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "db_postgres.h"

struct hs_pg_pool {
	struct hs_pg_pool *next;
	void **shared;			/* where the list of pools begins, or NULL */
	char *location, *schema;	/* schema: NULL, the first of the search_path */
	bool readonly, durable;
	int busy_timeout, acquire_timeout, idle_timeout;	/* milliseconds */
	int min_connections, max_connections;
	struct hs_pg_session *idle;	/* the one used last comes first */
	int connections;		/* idle or out */
	int users;
};

/* -- failures ------------------------------------------------------------------------------------------ */

enum hs_code hs_pg_fail(struct hs_error *err, enum hs_code code, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	hs_fill_error(err, code, format, args);
	va_end(args);
	/* libpq ends its texts with a newline and indents what follows the first. */
	for (char *s = err->message; *s; s++)
		if ((unsigned char)*s < ' ')
			*s = ' ';
	for (size_t n = strlen(err->message); n && err->message[n - 1] == ' '; n--)
		err->message[n - 1] = '\0';
	return code;
}

#define NO_RIGHT "42501"
#define CANCELED "57014"

/* The code of an SQLSTATE; the first prefix that fits counts. */
static enum hs_code code_of(const char *state)
{
	static const struct {
		const char *prefix;
		enum hs_code code;
	} codes[] = {
		{"23505", HS_DUPLICATE},
		{"25006", HS_READONLY}, {NO_RIGHT, HS_READONLY},
		{"53100", HS_FULL},
		{"08007", HS_UNKNOWN_OUTCOME}, {"40003", HS_UNKNOWN_OUTCOME},
		{"08", HS_CONNECTION}, {"53300", HS_CONNECTION}, {"57P", HS_CONNECTION}, {"25P03", HS_CONNECTION},
		{"40001", HS_BUSY}, {"40P01", HS_BUSY}, {"55P03", HS_BUSY}, {CANCELED, HS_BUSY},
		{"XX001", HS_CORRUPT}, {"XX002", HS_CORRUPT},
		/* What a migration meets: its names are taken, or there is no schema to make them in. */
		{"42P07", HS_MIGRATION}, {"42723", HS_MIGRATION}, {"3F000", HS_MIGRATION},
	};

	for (size_t i = 0; i < sizeof codes / sizeof *codes; i++)
		if (strncmp(state, codes[i].prefix, strlen(codes[i].prefix)) == 0)
			return codes[i].code;
	return HS_QUERY;
}

static bool is_ours(const struct hs_pg_session *session)
{
	return session->process == (int)getpid();
}

enum hs_code hs_pg_fail_lost(const struct hs_pg_session *session, struct hs_error *err)
{
	return hs_pg_fail(err, HS_CONNECTION, "the connection to PostgreSQL is lost: %s",
			  is_ours(session) ? PQerrorMessage(session->connection) : "it is the parent process's");
}

/* Servers from version 14 on say so by themselves. */
static bool is_standby(const struct hs_pg_session *session)
{
	const char *standby = PQparameterStatus(session->connection, "in_hot_standby");

	return standby && strcmp(standby, "on") == 0;
}

/* A question with more or fewer parameters than were given. The same state with a severity of FATAL is how
 * PgBouncer ends a connection. */
static bool is_misfit(const PGresult *result, const char *state)
{
	const char *severity = PQresultErrorField(result, PG_DIAG_SEVERITY_NONLOCALIZED);

	return strcmp(state, "08P01") == 0 && severity && strcmp(severity, "ERROR") == 0;
}

enum hs_code hs_pg_fail_result(const struct hs_pg_session *session, const PGresult *result, struct hs_error *err)
{
	const char *state = result ? PQresultErrorField(result, PG_DIAG_SQLSTATE) : NULL;
	const char *message = result ? PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY) : NULL;
	enum hs_code code;

	if (!state || !message) {
		if (PQstatus(session->connection) == CONNECTION_BAD)
			return hs_pg_fail_lost(session, err);
		return hs_pg_fail(err, HS_QUERY, "PostgreSQL: %s", PQerrorMessage(session->connection));
	}
	code = code_of(state);
	if (is_misfit(result, state))
		code = HS_QUERY;
	switch (code) {
	case HS_BUSY:
		return hs_pg_fail(err, code, strcmp(state, CANCELED) == 0 ? "the server gave up a statement: %s"
				  : "other sessions are using the database; gave up after busy_timeout: %s", message);
	case HS_CONNECTION: return hs_pg_fail(err, code, "the connection to PostgreSQL is lost: %s", message);
	case HS_FULL: return hs_pg_fail(err, code, "no space left for the database: %s", message);
	case HS_READONLY:
		if (strcmp(state, NO_RIGHT) == 0)
			return hs_pg_fail(err, code, "the role lacks a right (see roles.sql): %s", message);
		return hs_pg_fail(err, code, is_standby(session) ? "this server is a standby, which cannot be written: %s"
				  : "the database cannot be written: %s", message);
	case HS_CORRUPT: return hs_pg_fail(err, code, "the database is damaged: %s", message);
	case HS_MIGRATION:
		return hs_pg_fail(err, code, "the schema cannot be made: %s; give hoststore a schema of its own", message);
	default: return hs_pg_fail(err, code, "PostgreSQL (%s): %s", state, message);
	}
}

/* -- sessions --------------------------------------------------------------------------------------------- */

static void swallow_notice(void *context, const char *message)
{
	(void)context, (void)message;
}

bool hs_pg_is_usable(const struct hs_pg_session *session)
{
	return is_ours(session) && !session->is_lost && PQstatus(session->connection) == CONNECTION_OK;
}

/* A server that ended the session said so before it closed the socket: the first look may meet
 * the message, the second meets the end. */
bool hs_pg_is_alive(struct hs_pg_session *session)
{
	return hs_pg_is_usable(session) && PQconsumeInput(session->connection) &&
	       PQconsumeInput(session->connection);
}

static void drop_session(struct hs_pg_session *session)
{
	int nowhere;

	if (!session)
		return;
	/* What a forked child says on its parent's connection, be it goodbye, must not arrive. */
	if (!is_ours(session) && PQsocket(session->connection) >= 0) {
		nowhere = open("/dev/null", O_RDWR | O_CLOEXEC);
		if (nowhere >= 0) {
			dup2(nowhere, PQsocket(session->connection));
			close(nowhere);
		}
	}
	for (int i = 0; i < PG_CACHE_SIZE; i++)
		free(session->cache[i].sql);
	PQfinish(session->connection);
	free(session);
}

static enum hs_code run_text(const struct hs_pg_session *session, const char *sql, struct hs_error *err)
{
	PGresult *result = PQexec(session->connection, sql);
	ExecStatusType status = PQresultStatus(result);
	enum hs_code code = status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK ? HS_OK
		: hs_pg_fail_result(session, result, err);

	PQclear(result);
	return code;
}

enum hs_code hs_pg_execute(struct hs_pg_session *session, const char *sql, struct hs_error *err)
{
	enum hs_code code;

	if (!PQexitPipelineMode(session->connection))
		return hs_pg_fail_result(session, NULL, err);
	code = run_text(session, sql, err);
	PQenterPipelineMode(session->connection);
	return code;
}

static enum hs_code set_search_path(const struct hs_pg_pool *pool, const struct hs_pg_session *session,
				    struct hs_error *err)
{
	char *name = PQescapeIdentifier(session->connection, pool->schema, strlen(pool->schema));
	char sql[256];
	enum hs_code code;

	if (!name)
		return hs_pg_fail(err, HS_INVALID_URL, "the name of the schema is not UTF-8");
	snprintf(sql, sizeof sql, "SET search_path = %s", name);
	code = run_text(session, sql, err);
	PQfreemem(name);
	return code;
}

/* What every session of ours has set. Durable is whatever the server makes of it, but never off. */
static enum hs_code set_up(const struct hs_pg_pool *pool, const struct hs_pg_session *session,
			   struct hs_error *err)
{
	const char *encoding = PQparameterStatus(session->connection, "server_encoding");
	char sql[512];
	enum hs_code code;

	if (!encoding || strcmp(encoding, "UTF8") != 0)
		return hs_pg_fail(err, HS_UNSUPPORTED, "the database has the encoding %s; make one with UTF8",
				  encoding ? encoding : "(unknown)");
	/* A lock_timeout of 0 would wait for ever. */
	snprintf(sql, sizeof sql, "SET standard_conforming_strings = on; SET client_min_messages = error;"
		 "SET lock_timeout = %d; %s; %s",
		 pool->busy_timeout > 0 ? pool->busy_timeout : 1,
		 pool->readonly ? "SET default_transaction_read_only = on" : "",
		 pool->durable ? "SELECT set_config('synchronous_commit', 'on', false)"
		 " WHERE current_setting('synchronous_commit') = 'off'" : "SET synchronous_commit = off");
	code = run_text(session, sql, err);
	if (code == HS_OK && pool->schema)
		code = set_search_path(pool, session, err);
	if (code == HS_OK && !PQenterPipelineMode(session->connection))
		code = hs_pg_fail_result(session, NULL, err);
	return code;
}

/* The message may end by quoting the URL, and with it a password. */
static enum hs_code fail_url(const char *url, char *message, struct hs_error *err)
{
	char *quoted = message ? strstr(message, url) : NULL;
	enum hs_code code;

	if (quoted)
		strcpy(quoted, "...");
	code = message ? hs_pg_fail(err, HS_INVALID_URL, "libpq does not take the URL: %s", message)
		: hs_driver_no_memory(err);
	PQfreemem(message);
	return code;
}

static enum hs_code check_url(const char *url, struct hs_error *err)
{
	char *message = NULL;
	PQconninfoOption *parsed = PQconninfoParse(url, &message);

	if (!parsed)
		return fail_url(url, message, err);
	PQconninfoFree(parsed);
	return HS_OK;
}

/* Those before dbname give way to what the URL says; the environment gives way to all. */
static enum hs_code connect_once(const struct hs_pg_pool *pool, struct hs_pg_session *session,
				 struct hs_error *err)
{
	char timeout[16];
	bool patient = getenv("PGCONNECT_TIMEOUT") != NULL;
	const char *const names[] = {"connect_timeout", "dbname", "fallback_application_name", "client_encoding", NULL};
	const char *const values[] = {timeout, pool->location, "hoststore", "UTF8", NULL};
	int seconds = pool->acquire_timeout / 1000;

	snprintf(timeout, sizeof timeout, "%d", seconds > 2 ? seconds : 2);
	session->connection = PQconnectdbParams(names + patient, values + patient, 1);
	if (!session->connection)
		return hs_driver_no_memory(err);
	PQsetNoticeProcessor(session->connection, swallow_notice, NULL);
	if (PQstatus(session->connection) == CONNECTION_OK)
		return HS_OK;
	return hs_pg_fail(err, HS_CONNECTION, "cannot connect to PostgreSQL: %s",
			  PQerrorMessage(session->connection));
}

static enum hs_code connect_to(const struct hs_pg_pool *pool, struct hs_pg_session *session,
			       struct hs_error *err)
{
	const struct timespec pause = {.tv_nsec = 100000000};
	int64_t deadline = hs_monotonic_ms() + pool->acquire_timeout;
	enum hs_code code;

	for (;;) {
		code = connect_once(pool, session, err);
		/* A server that is starting up, or recovering, is worth waiting for. */
		if (code != HS_CONNECTION || hs_monotonic_ms() >= deadline || PQping(pool->location) != PQPING_REJECT)
			return code;
		PQfinish(session->connection);
		nanosleep(&pause, NULL);
	}
}

static enum hs_code new_session(const struct hs_pg_pool *pool, struct hs_pg_session **made,
				struct hs_error *err)
{
	struct hs_pg_session *session = calloc(1, sizeof *session);
	enum hs_code code;

	if (!session)
		return hs_driver_no_memory(err);
	session->process = (int)getpid();
	session->replan_at = PG_REPLAN_FIRST;
	code = connect_to(pool, session, err);
	if (code == HS_OK)
		code = set_up(pool, session, err);
	if (code) {
		drop_session(session);
		return code;
	}
	*made = session;
	return HS_OK;
}

/* -- the pool ---------------------------------------------------------------------------------------------- */

static void drop(struct hs_pg_pool *pool, struct hs_pg_session *session)
{
	drop_session(session);
	pool->connections--;
}

/* The list is in the order of use, so what has been idle for too long stands at its end. */
static void drop_idle(struct hs_pg_pool *pool)
{
	int64_t since = hs_monotonic_ms() - pool->idle_timeout;
	struct hs_pg_session **link = &pool->idle, *session;

	while (*link && (*link)->idle_since > since)
		link = &(*link)->next;
	while (*link && pool->connections > pool->min_connections) {
		session = *link;
		*link = session->next;
		drop(pool, session);
	}
}

enum hs_code hs_pg_take(struct hs_pg_pool *pool, struct hs_pg_session **taken, struct hs_error *err)
{
	enum hs_code code;

	drop_idle(pool);
	while (pool->idle) {
		struct hs_pg_session *session = pool->idle;

		pool->idle = session->next;
		if (hs_pg_is_alive(session)) {
			*taken = session;
			return HS_OK;
		}
		drop(pool, session);
	}
	if (pool->connections >= pool->max_connections)
		return hs_pg_fail(err, HS_BUSY, "all %d connections of this process are in use (max_connections); end a "
				  "transaction or close a store", pool->connections);
	code = new_session(pool, taken, err);
	pool->connections += code == HS_OK;
	return code;
}

void hs_pg_give(struct hs_pg_pool *pool, struct hs_pg_session *session)
{
	if (!is_ours(session) || session->is_lost || PQtransactionStatus(session->connection) != PQTRANS_IDLE) {
		drop(pool, session);
		return;
	}
	session->idle_since = hs_monotonic_ms();
	session->next = pool->idle;
	pool->idle = session;
	drop_idle(pool);
}

static void unlink_pool(struct hs_pg_pool *pool)
{
	struct hs_pg_pool *first = pool->shared ? *pool->shared : NULL, **link = &first;

	while (*link && *link != pool)
		link = &(*link)->next;
	if (*link)
		*link = pool->next;
	if (pool->shared)
		*pool->shared = first;
}

void hs_pg_leave(struct hs_pg_pool *pool)
{
	if (--pool->users > 0)
		return;
	while (pool->idle) {
		struct hs_pg_session *session = pool->idle;

		pool->idle = session->next;
		drop_session(session);
	}
	unlink_pool(pool);
	free(pool->location);
	free(pool->schema);
	free(pool);
}

static bool same_text(const char *a, const char *b)
{
	return a == b || (a && b && strcmp(a, b) == 0);
}

static bool is_for(const struct hs_pg_pool *pool, const struct hs_open *how)
{
	return strcmp(pool->location, how->location) == 0 && same_text(pool->schema, how->schema) &&
	       pool->readonly == how->readonly && pool->durable == how->durable &&
	       pool->busy_timeout == how->busy_timeout && pool->acquire_timeout == how->acquire_timeout &&
	       pool->idle_timeout == how->idle_timeout && pool->min_connections == how->min_connections &&
	       pool->max_connections == how->max_connections;
}

static struct hs_pg_pool *new_pool(const struct hs_open *how)
{
	struct hs_pg_pool *pool = calloc(1, sizeof *pool);

	if (!pool)
		return NULL;
	*pool = (struct hs_pg_pool){.location = strdup(how->location), .schema = how->schema ? strdup(how->schema) : NULL,
		.readonly = how->readonly, .durable = how->durable, .busy_timeout = how->busy_timeout,
		.acquire_timeout = how->acquire_timeout, .idle_timeout = how->idle_timeout,
		.min_connections = how->min_connections, .max_connections = how->max_connections,
		.shared = how->shared, .users = 1};
	if (!pool->location || (how->schema && !pool->schema)) {
		hs_pg_leave(pool);
		return NULL;
	}
	if (pool->shared) {
		pool->next = *pool->shared;
		*pool->shared = pool;
	}
	return pool;
}

/* Opens as many connections as there are always to be. */
static enum hs_code fill_pool(struct hs_pg_pool *pool, struct hs_error *err)
{
	enum hs_code code = HS_OK;

	while (code == HS_OK && pool->connections < pool->min_connections) {
		struct hs_pg_session *session;

		code = new_session(pool, &session, err);
		if (code == HS_OK) {
			pool->connections++;
			hs_pg_give(pool, session);
		}
	}
	return code;
}

enum hs_code hs_pg_join(const struct hs_open *how, struct hs_pg_pool **joined, struct hs_error *err)
{
	struct hs_pg_pool *pool = how->shared ? *how->shared : NULL;
	enum hs_code code = check_url(how->location, err);

	if (code)
		return code;
	while (pool && !is_for(pool, how))
		pool = pool->next;
	if (pool)
		pool->users++;
	else
		pool = new_pool(how);
	if (!pool)
		return hs_driver_no_memory(err);
	code = fill_pool(pool, err);
	if (code) {
		hs_pg_leave(pool);
		return code;
	}
	*joined = pool;
	return HS_OK;
}
