/* faulty_driver.c -- a driver for tests: forwards to another one and fails its n-th call.
 *
 * wrap(driver) gives a driver like any other, one for each of a few. Of the calls made through it, begin, commit, send,
 * run, query, ask, migrate, wait, backup and describe are counted, and some of them can be told to fail the way
 * databases do:
 *   "query"       the statement is refused, the transaction goes on
 *   "busy"        so it is here, too: somebody else holds a lock
 *   "full"        no space is left, and the database has ended the transaction by itself
 *   "connection"  the connection is lost, and the transaction with it
 * A commit that fails has rolled back, as hs_driver.h demands. The module also knows which
 * connections are open, so that a test can look for transactions left behind. */
#include <malloc.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <lauxlib.h>
#include <lua.h>

#include "hs_driver.h"

__attribute__((visibility("default"))) int luaopen_hoststore_faulty(lua_State *L);

enum { MAX_OPEN = 64 };

/* A connection of one of the drivers that are wrapped. */
struct hs_db {
	const struct hs_driver *driver;
	struct hs_db *real;
};

static struct hs_db open_dbs[MAX_OPEN];	/* free where driver is NULL */
static long calls, first, last;		/* the calls first to last fail */
static enum hs_code fail_code;
static char at_open[256];		/* SQL every new connection runs first, or "" */

/* -- the driver --------------------------------------------------------------------------------- */

static enum hs_code fail(enum hs_code code, struct hs_error *err)
{
	return hs_driver_fail(err, code, "call %ld failed as the test wanted", calls);
}

static bool is_due(void)
{
	calls++;
	return calls >= first && calls <= last;
}

static enum hs_code fail_statement(struct hs_db *db, struct hs_error *err)
{
	if (fail_code == HS_FULL || fail_code == HS_CONNECTION)
		db->driver->rollback(db->real);
	return fail(fail_code, err);
}

static enum hs_code open_real(const struct hs_driver *driver, const struct hs_open *how, struct hs_db **opened,
			      struct hs_error *err)
{
	struct hs_db *db = open_dbs, *real;
	enum hs_code code;

	while (db < open_dbs + MAX_OPEN && db->driver)
		db++;
	if (db == open_dbs + MAX_OPEN)
		return fail(HS_CONNECTION, err);
	code = driver->open(how, &real, err);
	if (code)
		return code;
	if (at_open[0])
		code = driver->query(real, at_open, NULL, 0, NULL, NULL, err);
	if (code) {
		driver->close(real);
		return code;
	}
	*db = (struct hs_db){driver, real};
	*opened = db;
	return HS_OK;
}

static void faulty_close(struct hs_db *db)
{
	db->driver->close(db->real);
	db->driver = NULL;
}

static enum hs_code faulty_begin(struct hs_db *db, bool write, struct hs_error *err)
{
	return is_due() ? fail(fail_code, err) : db->driver->begin(db->real, write, err);
}

static enum hs_code faulty_commit(struct hs_db *db, struct hs_error *err)
{
	if (!is_due())
		return db->driver->commit(db->real, err);
	db->driver->rollback(db->real);
	return fail(fail_code, err);
}

static void faulty_rollback(struct hs_db *db)
{
	db->driver->rollback(db->real);
}

static bool faulty_in_transaction(struct hs_db *db)
{
	return db->driver->in_transaction(db->real);
}

static enum hs_code faulty_run(struct hs_db *db, int statement, const struct hs_value *values,
			       int count, hs_row_fn *row, void *context, struct hs_error *err)
{
	if (is_due())
		return fail_statement(db, err);
	return db->driver->run(db->real, statement, values, count, row, context, err);
}

static enum hs_code faulty_send(struct hs_db *db, int statement, const struct hs_value *values,
				int count, hs_row_fn *row, void *context, struct hs_error *err)
{
	if (is_due())
		return fail_statement(db, err);
	return db->driver->send(db->real, statement, values, count, row, context, err);
}

static enum hs_code faulty_sync(struct hs_db *db, struct hs_error *err)
{
	return db->driver->sync(db->real, err);
}

static enum hs_code faulty_query(struct hs_db *db, const char *sql, const struct hs_value *values,
				 int count, hs_row_fn *row, void *context, struct hs_error *err)
{
	if (is_due())
		return fail_statement(db, err);
	return db->driver->query(db->real, sql, values, count, row, context, err);
}

static enum hs_code faulty_ask(struct hs_db *db, const struct hs_question *question, struct hs_error *err)
{
	return is_due() ? fail(fail_code, err) : db->driver->ask(db->real, question, err);
}

static enum hs_code faulty_migrate(struct hs_db *db, int number, struct hs_error *err)
{
	return is_due() ? fail_statement(db, err) : db->driver->migrate(db->real, number, err);
}

static enum hs_code faulty_wait(struct hs_db *db, int milliseconds, struct hs_error *err)
{
	return is_due() ? fail(fail_code, err) : db->driver->wait(db->real, milliseconds, err);
}

static enum hs_code faulty_backup(struct hs_db *db, const char *path, struct hs_error *err)
{
	return is_due() ? fail(fail_code, err) : db->driver->backup(db->real, path, err);
}

static enum hs_code faulty_describe(struct hs_db *db, hs_row_fn *row, void *context,
				    struct hs_error *err)
{
	return is_due() ? fail_statement(db, err) : db->driver->describe(db->real, row, context, err);
}

/* Opening is not told which driver is meant: so each that is wrapped has a function of its own. */
enum { DRIVERS = 3 };
static const struct hs_driver *reals[DRIVERS];

static enum hs_code open_first(const struct hs_open *how, struct hs_db **db, struct hs_error *err)
{
	return open_real(reals[0], how, db, err);
}

static enum hs_code open_second(const struct hs_open *how, struct hs_db **db, struct hs_error *err)
{
	return open_real(reals[1], how, db, err);
}

static enum hs_code open_third(const struct hs_open *how, struct hs_db **db, struct hs_error *err)
{
	return open_real(reals[2], how, db, err);
}

/* abi, name, migrations and open become those of the driver it wraps. */
static struct hs_driver wrapped[DRIVERS];
static const struct hs_driver faulty = {
	.close = faulty_close,
	.begin = faulty_begin,
	.commit = faulty_commit,
	.rollback = faulty_rollback,
	.in_transaction = faulty_in_transaction,
	.send = faulty_send,
	.sync = faulty_sync,
	.run = faulty_run,
	.query = faulty_query,
	.ask = faulty_ask,
	.migrate = faulty_migrate,
	.wait = faulty_wait,
	.backup = faulty_backup,
	.describe = faulty_describe,
};

/* -- Lua ------------------------------------------------------------------------------------------ */

static const struct hs_driver *check_driver(lua_State *L)
{
	return *(const struct hs_driver **)luaL_checkudata(L, 1, "hoststore.Driver");
}

/* wrap(driver) -> driver. Three drivers at most. */
static int wrap(lua_State *L)
{
	static enum hs_code (*const opens[DRIVERS])(const struct hs_open *, struct hs_db **, struct hs_error *) = {
		open_first, open_second, open_third};
	const struct hs_driver *real = check_driver(L), **box;
	int i = 0;

	while (i < DRIVERS && reals[i] && reals[i] != real)
		i++;
	if (i == DRIVERS)
		return luaL_error(L, "%d drivers are wrapped already", DRIVERS);
	reals[i] = real;
	wrapped[i] = faulty;
	wrapped[i].abi = real->abi;
	wrapped[i].name = real->name;
	wrapped[i].migrations = real->migrations;
	wrapped[i].open = opens[i];
	if (!real->backup)
		wrapped[i].backup = NULL;
	box = lua_newuserdata(L, sizeof *box);
	*box = &wrapped[i];
	luaL_getmetatable(L, "hoststore.Driver");
	lua_setmetatable(L, -2);
	return 1;
}

/* execute(driver, location, sql): runs SQL on a connection of its own, which nobody counts. It waits for locks,
 * for the server itself takes some for a moment. */
static int execute(lua_State *L)
{
	const struct hs_driver *driver = check_driver(L);
	struct hs_open how = {.location = luaL_checkstring(L, 2), .tenant = "", .journal = "auto",
		.create = true, .busy_timeout = 30000, .acquire_timeout = 30000, .max_connections = 1};
	const char *sql = luaL_checkstring(L, 3);
	struct hs_error err = {.message = ""};
	struct hs_db *db;
	enum hs_code code = driver->open(&how, &db, &err);

	if (code == HS_OK) {
		code = driver->query(db, sql, NULL, 0, NULL, NULL, &err);
		driver->close(db);
	}
	return code ? luaL_error(L, "%s", err.message) : 0;
}

/* fail_at(n [, how [, last]]): the calls n to last (n alone by default) from now on fail. */
static int fail_at(lua_State *L)
{
	static const char *const names[] = {"query", "busy", "full", "connection", NULL};
	static const enum hs_code codes[] = {HS_QUERY, HS_BUSY, HS_FULL, HS_CONNECTION};

	first = (long)luaL_checknumber(L, 1);
	fail_code = codes[luaL_checkoption(L, 2, "query", names)];
	last = (long)luaL_optnumber(L, 3, (lua_Number)first);
	calls = 0;
	return 0;
}

/* off(): nothing fails any more. */
static int off(lua_State *L)
{
	(void)L;
	first = last = 0;
	return 0;
}

/* calls() -> how many calls were made since fail_at. */
static int count_calls(lua_State *L)
{
	lua_pushinteger(L, (lua_Integer)calls);
	return 1;
}

/* at_open(sql | nil): what new connections run before anything else. */
static int set_at_open(lua_State *L)
{
	snprintf(at_open, sizeof at_open, "%s", luaL_optstring(L, 1, ""));
	return 0;
}

/* connections() -> how many are open, and how many of them are in a transaction. */
static int count_connections(lua_State *L)
{
	int connections = 0, transactions = 0;

	for (int i = 0; i < MAX_OPEN; i++) {
		if (!open_dbs[i].driver)
			continue;
		connections++;
		if (faulty_in_transaction(&open_dbs[i]))
			transactions++;
	}
	lua_pushinteger(L, connections);
	lua_pushinteger(L, transactions);
	return 2;
}

/* forked(fn) -> what became of it: runs fn in a child process, which then collects all it has. */
static int forked(lua_State *L)
{
	int status = -1;
	pid_t child = fork();

	if (child == 0) {
		lua_settop(L, 1);
		status = lua_pcall(L, 0, 0, 0);
		if (status)
			fprintf(stderr, "in the forked child: %s\n", lua_tostring(L, -1));
		lua_settop(L, 0);
		lua_gc(L, LUA_GCCOLLECT, 0);
		_exit(status);
	}
	waitpid(child, &status, 0);
	lua_pushinteger(L, status);
	return 1;
}

/* allocated() -> bytes of memory that the process has asked for and not given back; nil where the library of C does
 * not tell. Under a sanitizer it is always the same. */
static int count_allocated(lua_State *L)
{
#ifdef __GLIBC__
	struct mallinfo2 info = mallinfo2();

	lua_pushnumber(L, (lua_Number)(info.uordblks + info.hblkhd));
#else
	lua_pushnil(L);
#endif
	return 1;
}

int luaopen_hoststore_faulty(lua_State *L)
{
	static const luaL_Reg functions[] = {
		{"wrap", wrap}, {"execute", execute}, {"fail_at", fail_at}, {"off", off},
		{"calls", count_calls}, {"forked", forked}, {"at_open", set_at_open}, {"connections", count_connections},
		{"allocated", count_allocated}, {NULL, NULL},
	};

	lua_newtable(L);
	for (const luaL_Reg *f = functions; f->name; f++) {
		lua_pushcfunction(L, f->func);
		lua_setfield(L, -2, f->name);
	}
	return 1;
}
