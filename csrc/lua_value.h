/* lua_value.h -- values between Lua and the core.
 *
 * check_ functions read an argument: what is of the wrong type raises, what breaks a rule of the
 * store is left to the core. push_ functions leave one value on the stack. */
#ifndef LUA_VALUE_H
#define LUA_VALUE_H

#include <lauxlib.h>
#include <lua.h>

#include "hs.h"

#define ERROR_TYPE "hoststore.Error"
#define STORE_TYPE "hoststore.Store"

#if defined(__GNUC__)
#define HS_EXPORT __attribute__((visibility("default")))
#else
#define HS_EXPORT
#endif

#if LUA_VERSION_NUM < 502
#define lua_rawlen(L, i) lua_objlen(L, i)
#define lua_setuservalue(L, i) lua_setfenv(L, i)
#define lua_getuservalue(L, i) lua_getfenv(L, i)
#define luaL_setfuncs(L, functions, n) luaL_register(L, NULL, functions)
#endif

/* A store as Lua holds it. Its user value is a table: host = metatable of its hosts, clock = fn. */
struct lua_store {
	struct hs_store store;
	bool is_open;
	lua_State *L;			/* of the call being served */
	int policy;			/* the policy function in the registry, or LUA_NOREF */
	bool is_asked;			/* it was, in this call */
};

/* The store at ARG; raises when it is closed. */
struct hs_store *check_store(lua_State *L, int arg);

/* An arena that is freed with the stack slot it stands in, whatever is raised. */
struct hs_arena *push_box(lua_State *L);
/* Calls FUNCTION with DATA and without results; raises nothing, not even for want of memory. Returns
 * what lua_pcall does. */
int call_protected(lua_State *L, lua_CFunction function, void *data);

/* Below 0 when the M bytes at A come before the N at B, 0 when they are the same; in no language's order. */
int compare_bytes(const char *a, size_t m, const char *b, size_t n);

int64_t check_int(lua_State *L, int arg, const char *name);
const char *check_text(lua_State *L, int arg, const char *name);
/* nil is NULL. */
const char *check_text_or_nil(lua_State *L, int arg, const char *name);
bool check_flag(lua_State *L, int arg, const char *name);
/* Seconds since 1970 or ISO 8601; an ISO text that is none is HS_INVALID. */
enum hs_code check_time(lua_State *L, int arg, const char *field, int64_t *time, struct hs_error *err);

/* Fields of the table at ARG: absent is NULL, the fallback, false. */
const char *field_text(lua_State *L, int arg, const char *name);
int64_t field_int(lua_State *L, int arg, const char *name, int64_t fallback);
/* A whole number that is not negative. */
int64_t field_count(lua_State *L, int arg, const char *name, int64_t fallback);
bool field_flag(lua_State *L, int arg, const char *name, bool fallback);
/* Raises unless the value at ARG is nil or a table with no key but those of ALLOWED. */
void check_keys(lua_State *L, int arg, const char *what, const char *const allowed[]);

/* A host's fields out of a table. Fills ERR when a text holds a NUL byte, a time is none. */
enum hs_code check_host_input(lua_State *L, int arg, struct hs_arena *arena, struct hs_host_input *input,
			      struct hs_error *err);
/* A filter; nil is all hosts. STORE looks up `after` when it is an id. */
enum hs_code check_filter(lua_State *L, int arg, struct hs_store *store, struct hs_moment at,
			  struct hs_arena *arena, struct hs_filter *filter, struct hs_error *err);
/* actor, reason and metadata of an options table. */
struct hs_cause check_cause(lua_State *L, int arg, struct hs_arena *arena);
/* Whether the value is hoststore.null. */
bool is_null(lua_State *L, int arg);
/* The value as JSON text; raises when JSON cannot carry it. */
const char *encode_json(lua_State *L, int arg, struct hs_arena *arena, size_t *length);
/* encode_json(value) -> text, for Lua */
int core_encode_json(lua_State *L);
/* An array of texts; NULL when the value is nil. */
const char *const *check_texts(lua_State *L, int arg, const char *name, struct hs_arena *arena, int *count);
/* An id out of an id or a host; *EXPECTED is the host's version, or HS_EXPECT_ANY. */
const char *check_host_id(lua_State *L, int arg, int64_t *expected);
/* Whether the table at ARG has all that a host has, of the right types; and these fields of it. */
bool is_host_value(lua_State *L, int arg);
enum hs_code take_host_fields(lua_State *L, int arg, struct hs_arena *arena, struct hs_host_input *input,
			      struct hs_error *err);

void push_int(lua_State *L, int64_t number);
void push_time(lua_State *L, int64_t time);
void push_text(lua_State *L, const char *text);
/* STORE is the index of the store the host belongs to. */
void push_host(lua_State *L, int store, const struct hs_host *host);
/* The host as a table of its fields and nothing else. */
void push_plain_host(lua_State *L, const struct hs_host *host);
void push_hosts(lua_State *L, int store, const struct hs_hosts *hosts);
/* A field of a host as `changes` shows it; nil when it is not set. */
void push_field(lua_State *L, const struct hs_host *host, enum hs_field field);
void push_error(lua_State *L, int store, const struct hs_error *err);
/* nil and the error: what a method returns. Memory running out raises instead. */
int push_failure(lua_State *L, int store, const struct hs_error *err);
bool is_retryable(const char *code);

#endif
