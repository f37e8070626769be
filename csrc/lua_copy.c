/* lua_copy.c -- hoststore.core's table `copy`: walks over records, and loads.
 *
 * Walks and loads belong to no store: each call names the one it works on, whose transaction the Lua
 * side has begun. What they hold is freed with them, whatever is raised. */
#include <stdio.h>
#include <string.h>

#include "lua_value.h"

#define RECORDS_TYPE "hoststore.Records"
#define LOAD_TYPE "hoststore.Load"

int luaopen_hoststore_copy(lua_State *L);

static int records_gc(lua_State *L)
{
	hs_records_end(lua_touserdata(L, 1));
	return 0;
}

static int load_gc(lua_State *L)
{
	hs_load_end(lua_touserdata(L, 1));
	return 0;
}

/* {events =, snapshots = ..., digest =} */
static int push_sum(lua_State *L, const struct hs_sum *sum)
{
	char digest[17];

	lua_createtable(L, 0, HS_KINDS + 1);
	for (enum hs_kind kind = 0; kind < HS_KINDS; kind++) {
		push_int(L, sum->counts[kind]);
		lua_setfield(L, -2, hs_kind_plural(kind));
	}
	snprintf(digest, sizeof digest, "%016llx", (unsigned long long)sum->digest);
	push_text(L, digest);
	lua_setfield(L, -2, "digest");
	return 1;
}

/* records() -> a walk that has not begun */
static int copy_records(lua_State *L)
{
	hs_records_begin(lua_newuserdata(L, sizeof(struct hs_records)));
	luaL_getmetatable(L, RECORDS_TYPE);
	lua_setmetatable(L, -2);
	return 1;
}

/* sum(records) -> counts and digest of what was read */
static int copy_sum(lua_State *L)
{
	const struct hs_records *records = luaL_checkudata(L, 1, RECORDS_TYPE);

	return push_sum(L, &records->sum);
}

/* dump_lines(store, records) -> the next lines of a dump, number of records in them; "" at the end */
static int copy_dump_lines(lua_State *L)
{
	struct hs_store *store = check_store(L, 1);
	struct hs_records *records = luaL_checkudata(L, 2, RECORDS_TYPE);
	struct hs_text text = {.arena = push_box(L)};
	struct hs_error err;

	if (hs_dump_next(store, records, &text, &err))
		return push_failure(L, 1, &err);
	lua_pushlstring(L, text.n ? text.s : "", text.n);
	push_int(L, (int64_t)records->count);
	return 2;
}

/* load(store) -> a load that has begun, within a write transaction */
static int copy_load(lua_State *L)
{
	struct hs_store *store = check_store(L, 1);
	struct hs_load *load = lua_newuserdata(L, sizeof *load);
	struct hs_error err;

	memset(load, 0, sizeof *load);
	luaL_getmetatable(L, LOAD_TYPE);
	lua_setmetatable(L, -2);
	if (hs_load_begin(store, load, &err))
		return push_failure(L, 1, &err);
	return 1;
}

/* Nothing that was sent may answer to a load that is gone. */
static int push_refusal(lua_State *L, struct hs_store *store, const struct hs_error *err)
{
	struct hs_error ignored;

	hs_sync(store, &ignored);
	return push_failure(L, 1, err);
}

/* load_lines(store, load, {text ...}) -> true; or nil, err and the number of the line at fault */
static int copy_load_lines(lua_State *L)
{
	struct hs_store *store = check_store(L, 1);
	struct hs_load *load = luaL_checkudata(L, 2, LOAD_TYPE);
	struct hs_error err;
	enum hs_code rc = HS_OK;
	int count;

	luaL_checktype(L, 3, LUA_TTABLE);
	count = (int)lua_rawlen(L, 3);
	for (int i = 1; rc == HS_OK && i <= count; i++) {
		size_t length;
		const char *text;

		lua_rawgeti(L, 3, i);
		text = lua_tolstring(L, -1, &length);
		rc = hs_load_line(store, load, text, length, &err);
		lua_pop(L, 1);
	}
	if (rc == HS_OK)
		rc = hs_load_settle(store, load, &err);
	if (rc) {
		push_refusal(L, store, &err);
		/* The first line is the head, and up to the fault no event is missing. */
		push_int(L, load->fault ? load->fault + 1 : load->lines);
		return 3;
	}
	lua_pushboolean(L, 1);
	return 1;
}

/* whole(load) -> true when a dump was loaded up to its last line; or nil, err and its number */
static int copy_whole(lua_State *L)
{
	const struct hs_load *load = luaL_checkudata(L, 1, LOAD_TYPE);
	struct hs_error err;

	if (hs_load_is_whole(load, &err)) {
		push_failure(L, 0, &err);
		push_int(L, load->lines);
		return 3;
	}
	lua_pushboolean(L, 1);
	return 1;
}

/* page(from, records, to, load) -> number of records, 0 at the end */
static int copy_page(lua_State *L)
{
	struct hs_store *from = check_store(L, 1), *to = check_store(L, 3);
	struct hs_records *records = luaL_checkudata(L, 2, RECORDS_TYPE);
	struct hs_load *load = luaL_checkudata(L, 4, LOAD_TYPE);
	struct hs_error err;
	enum hs_code rc = hs_records_next(from, records, &err);

	for (size_t i = 0; rc == HS_OK && i < records->count; i++)
		rc = hs_load_record(to, load, &records->items[i], &err);
	if (rc == HS_OK)
		rc = hs_load_settle(to, load, &err);
	if (rc)
		return push_refusal(L, to, &err);
	push_int(L, (int64_t)records->count);
	return 1;
}

/* finish(store, load) -> counts and digest; or nil, err and, where it is one event's, its line */
static int copy_finish(lua_State *L)
{
	struct hs_store *store = check_store(L, 1);
	struct hs_load *load = luaL_checkudata(L, 2, LOAD_TYPE);
	struct hs_error err;

	if (hs_load_finish(store, load, &err) == HS_OK)
		return push_sum(L, &load->sum);
	push_refusal(L, store, &err);
	if (!load->fault)
		return 2;
	push_int(L, load->fault + 1);
	return 3;
}

static void make_type(lua_State *L, const char *name, lua_CFunction gc)
{
	luaL_newmetatable(L, name);
	lua_pushcfunction(L, gc);
	lua_setfield(L, -2, "__gc");
	lua_pop(L, 1);
}

int luaopen_hoststore_copy(lua_State *L)
{
	static const luaL_Reg functions[] = {
		{"records", copy_records}, {"sum", copy_sum}, {"dump_lines", copy_dump_lines},
		{"load", copy_load}, {"load_lines", copy_load_lines}, {"whole", copy_whole},
		{"page", copy_page}, {"finish", copy_finish},
		{NULL, NULL},
	};

	make_type(L, RECORDS_TYPE, records_gc);
	make_type(L, LOAD_TYPE, load_gc);
	lua_newtable(L);
	luaL_setfuncs(L, functions, 0);
	return 1;
}
