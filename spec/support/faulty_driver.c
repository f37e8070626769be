/* faulty_driver.c -- a driver for tests: forwards to another one and fails its n-th call.
 *
 * wrap(driver) gives a driver like any other. Of the calls made through it, begin, commit, run,
 * query and migrate are counted, and some of them can be told to fail the way databases do:
 *   "query"  the statement is refused, the transaction goes on
 *   "full"   no space is left, and the database has ended the transaction by itself
 * A commit that fails has rolled back, as hs_driver.h demands. The module also knows which
 * connections are open, so that a test can look for transactions left behind. */
#include <stdio.h>
#include <string.h>

#include <lauxlib.h>
#include <lua.h>

#include "hs_driver.h"

__attribute__((visibility("default"))) int luaopen_hoststore_faulty(lua_State *L);

enum { MAX_OPEN = 64 };

static const struct hs_driver *real;
static struct hs_db *open_dbs[MAX_OPEN];
static long calls, first, last;		/* the calls first to last fail */
static enum hs_code fail_code;
static char at_open[256];		/* SQL every new connection runs first, or "" */

/* -- the driver --------------------------------------------------------------------------------- */

static enum hs_code fail(enum hs_code code, struct hs_error *err)
{
	memset(err, 0, sizeof *err);
	err->code = code;
	snprintf(err->message, sizeof err->message, "call %ld failed as the test wanted", calls);
	return code;
}

static bool is_due(void)
{
	calls++;
	return calls >= first && calls <= last;
}

static enum hs_code fail_statement(struct hs_db *db, struct hs_error *err)
{
	if (fail_code == HS_FULL)
		real->rollback(db);
	return fail(fail_code, err);
}

static enum hs_code faulty_open(const struct hs_open *how, struct hs_db **db, struct hs_error *err)
{
	enum hs_code code = real->open(how, db, err);
	int slot = 0;

	if (code)
		return code;
	if (at_open[0])
		code = real->query(*db, at_open, NULL, 0, NULL, NULL, err);
	while (slot < MAX_OPEN && open_dbs[slot])
		slot++;
	if (code == HS_OK && slot == MAX_OPEN)
		code = fail(HS_CONNECTION, err);
	if (code)
		real->close(*db);
	else
		open_dbs[slot] = *db;
	return code;
}

static void faulty_close(struct hs_db *db)
{
	for (int i = 0; i < MAX_OPEN; i++)
		if (open_dbs[i] == db)
			open_dbs[i] = NULL;
	real->close(db);
}

static enum hs_code faulty_begin(struct hs_db *db, bool write, struct hs_error *err)
{
	return is_due() ? fail(fail_code, err) : real->begin(db, write, err);
}

static enum hs_code faulty_commit(struct hs_db *db, struct hs_error *err)
{
	if (!is_due())
		return real->commit(db, err);
	real->rollback(db);
	return fail(fail_code, err);
}

static void faulty_rollback(struct hs_db *db)
{
	real->rollback(db);
}

static bool faulty_in_transaction(struct hs_db *db)
{
	return real->in_transaction(db);
}

static enum hs_code faulty_run(struct hs_db *db, int statement, const struct hs_value *values,
			       int count, hs_row_fn *row, void *context, struct hs_error *err)
{
	if (is_due())
		return fail_statement(db, err);
	return real->run(db, statement, values, count, row, context, err);
}

static enum hs_code faulty_query(struct hs_db *db, const char *sql, const struct hs_value *values,
				 int count, hs_row_fn *row, void *context, struct hs_error *err)
{
	if (is_due())
		return fail_statement(db, err);
	return real->query(db, sql, values, count, row, context, err);
}

static enum hs_code faulty_migrate(struct hs_db *db, int number, struct hs_error *err)
{
	return is_due() ? fail_statement(db, err) : real->migrate(db, number, err);
}

static enum hs_code faulty_backup(struct hs_db *db, const char *path, struct hs_error *err)
{
	return real->backup(db, path, err);
}

static enum hs_code faulty_describe(struct hs_db *db, hs_row_fn *row, void *context,
				    struct hs_error *err)
{
	return real->describe(db, row, context, err);
}

/* abi, name and migrations become those of the driver it wraps. */
static struct hs_driver faulty = {
	.open = faulty_open,
	.close = faulty_close,
	.begin = faulty_begin,
	.commit = faulty_commit,
	.rollback = faulty_rollback,
	.in_transaction = faulty_in_transaction,
	.run = faulty_run,
	.query = faulty_query,
	.migrate = faulty_migrate,
	.backup = faulty_backup,
	.describe = faulty_describe,
};

/* -- Lua ------------------------------------------------------------------------------------------ */

/* wrap(driver) -> driver. One driver at a time. */
static int wrap(lua_State *L)
{
	const struct hs_driver **box;

	real = *(const struct hs_driver **)luaL_checkudata(L, 1, "hoststore.Driver");
	faulty.abi = real->abi;
	faulty.name = real->name;
	faulty.migrations = real->migrations;
	box = lua_newuserdata(L, sizeof *box);
	*box = &faulty;
	luaL_getmetatable(L, "hoststore.Driver");
	lua_setmetatable(L, -2);
	return 1;
}

/* fail_at(n [, "query" | "full" [, last]]): the calls n to last (n alone by default) from now on fail. */
static int fail_at(lua_State *L)
{
	static const char *const names[] = {"query", "full", NULL};
	static const enum hs_code codes[] = {HS_QUERY, HS_FULL};

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
		if (!open_dbs[i])
			continue;
		connections++;
		if (real->in_transaction(open_dbs[i]))
			transactions++;
	}
	lua_pushinteger(L, connections);
	lua_pushinteger(L, transactions);
	return 2;
}

int luaopen_hoststore_faulty(lua_State *L)
{
	static const luaL_Reg functions[] = {
		{"wrap", wrap}, {"fail_at", fail_at}, {"off", off}, {"calls", count_calls},
		{"at_open", set_at_open}, {"connections", count_connections}, {NULL, NULL},
	};

	lua_newtable(L);
	for (const luaL_Reg *f = functions; f->name; f++) {
		lua_pushcfunction(L, f->func);
		lua_setfield(L, -2, f->name);
	}
	return 1;
}
