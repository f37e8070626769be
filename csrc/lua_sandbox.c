/* lua_sandbox.c -- a second Lua, for scripts that must not do harm.
 *
 * A box is a Lua state of its own: a short list of functions, a limit of memory that its allocator
 * keeps, a limit of instructions that a hook counts, and one of processor time as the last resort.
 * No function of a box runs long by itself: those of the library that do are replaced, here or in
 * hoststore.policy.prelude. Once a limit is hit, whatever the script still does raises, until the
 * call has ended; then the box is closed for good.
 *
 * Values cross between the two states as bytes in a parcel. So neither state ever raises through
 * frames of the other, and a script gets copies and nothing else. */
#include <lualib.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "lua_value.h"

int luaopen_hoststore_sandbox(lua_State *L);

#define BOX_TYPE "hoststore.Sandbox"
#define PRELUDE "hoststore"

enum {
	MAX_NESTING = 32,
	MAX_CHUNK = 256 * 1024,		/* bytes: a compiler has no hook */
	MIN_MEMORY = 256 * 1024,
	HOOK_EVERY = 1000
};

/* -- the box ----------------------------------------------------------------------------------------- */

/* Values as bytes. */
struct parcel {
	char *s;
	size_t n, room, limit;
	size_t read;
};

enum stop { RUNNING, OUT_OF_STEPS, OUT_OF_TIME, OUT_OF_MEMORY };

struct box {
	lua_State *L;			/* NULL: closed */
	lua_Alloc alloc;		/* the state's own allocator */
	void *alloc_data;
	size_t used, memory;
	int64_t steps, instructions;	/* left of this call; of every call */
	double seconds, deadline;	/* processor time */
	enum stop stop;
	bool busy;			/* a call is on */
	bool full;			/* over its memory: the hook is to look */
	char where[320];		/* "FILE:LINE: " where it was stopped */
	char subject[192];		/* "FILE:LINE: rule 'NAME': " of the rule that is asked, or "" */
	char message[512];		/* why the last call failed, or why the box is closed */
	struct parcel parcel;
	lua_State *outer;		/* the call's state, and what lies on its stack */
	int forward, functions;
};

static double processor_time(void)
{
	struct timespec now;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static struct box *box_of(lua_State *inner)
{
	void *data;

	lua_getallocf(inner, &data);
	return data;
}

/* -- limits ------------------------------------------------------------------------------------------- */

static void count_steps(lua_State *inner, lua_Debug *ar);

static void set_hook(struct box *box, int every)
{
	lua_sethook(box->L, count_steps, LUA_MASKCOUNT, every);
}

static int hook_interval(const struct box *box)
{
	return box->instructions < HOOK_EVERY ? (int)box->instructions : HOOK_EVERY;
}

/* Over the limit, small pieces are still given until the next instruction, where the hook collects
 * garbage and, if that does not help, says which line it was. Half as much again is the end. */
static void *limited_alloc(void *data, void *old, size_t old_size, size_t size)
{
	struct box *box = data;
	size_t had = old ? old_size : 0;
	void *memory;

	if (size > had && box->L) {
		size_t wanted = box->used + (size - had);

		if (wanted > box->memory + box->memory / 2)
			return NULL;
		if (wanted > box->memory && !box->full) {
			box->full = true;
			set_hook(box, 1);
		}
	}
	memory = box->alloc(box->alloc_data, old, old_size, size);
	if (memory || size == 0)
		box->used += size - had;
	return memory;
}

/* The line of a script that is being run: not of the prelude, whose name begins with '='. It is not
 * known behind a tail call. */
static void note_where(struct box *box, lua_State *inner)
{
	lua_Debug ar;

	*box->where = '\0';
	for (int level = 0; lua_getstack(inner, level, &ar); level++) {
		lua_getinfo(inner, "Sl", &ar);
		if (ar.currentline > 0 && *ar.source == '@') {
			snprintf(box->where, sizeof box->where, "%s:%d: ", ar.short_src, ar.currentline);
			return;
		}
	}
}

/* What is raised once a limit is hit; it takes no memory. */
static int raise_stop(lua_State *inner, struct box *box)
{
	lua_pushlightuserdata(inner, box);
	return lua_error(inner);
}

static int stop_box(lua_State *inner, struct box *box, enum stop why)
{
	if (box->stop == RUNNING) {
		box->stop = why;
		note_where(box, inner);
		set_hook(box, 1);
	}
	return raise_stop(inner, box);
}

static void count_steps(lua_State *inner, lua_Debug *ar)
{
	struct box *box = box_of(inner);

	(void)ar;
	if (box->stop != RUNNING)
		raise_stop(inner, box);
	if (box->full) {
		lua_gc(inner, LUA_GCCOLLECT, 0);
		if (box->used > box->memory)
			stop_box(inner, box, OUT_OF_MEMORY);
		box->full = false;
		set_hook(box, hook_interval(box));
	}
	box->steps -= hook_interval(box);
	if (box->steps < 0)
		stop_box(inner, box, OUT_OF_STEPS);
	if (processor_time() > box->deadline)
		stop_box(inner, box, OUT_OF_TIME);
}

static void charge(lua_State *inner, struct box *box, double steps)
{
	/* Also what is no number goes here. */
	if (!(steps <= (double)box->steps))
		stop_box(inner, box, OUT_OF_STEPS);
	if (steps > 0)
		box->steps -= (int64_t)steps;
	if (box->steps < 0 || processor_time() > box->deadline)
		stop_box(inner, box, box->steps < 0 ? OUT_OF_STEPS : OUT_OF_TIME);
}

/* -- functions of the box ------------------------------------------------------------------------------ */

/* What a script must not catch goes on being raised. */
static void pass_on_stop(lua_State *inner, int status)
{
	struct box *box = box_of(inner);

	if (status == LUA_ERRMEM && box->stop == RUNNING)
		stop_box(inner, box, OUT_OF_MEMORY);
	if (box->stop != RUNNING)
		raise_stop(inner, box);
}

/* Message handler: an error of the prelude is one of the line that called it. It is C and short, so
 * it does no harm where no hook is called. */
static int name_caller(lua_State *inner)
{
	struct box *box = box_of(inner);
	const char *text = lua_type(inner, 1) == LUA_TSTRING ? lua_tostring(inner, 1) : "";
	const char *rest = strncmp(text, PRELUDE ":", sizeof PRELUDE) == 0 ? strstr(text, ": ") : NULL;

	lua_settop(inner, 1);
	if (!rest)
		return 1;
	note_where(box, inner);
	lua_pushfstring(inner, "%s%s", box->where, rest + 2);
	return 1;
}

static int inner_pcall(lua_State *inner)
{
	int status;

	luaL_checkany(inner, 1);
	lua_pushcfunction(inner, name_caller);
	lua_insert(inner, 1);
	status = lua_pcall(inner, lua_gettop(inner) - 2, LUA_MULTRET, 1);
	pass_on_stop(inner, status);
	lua_pushboolean(inner, status == 0);
	lua_replace(inner, 1);
	return lua_gettop(inner);
}

/* xpcall(f, handler, ...). Lua's own calls the handler within the hook that raises, where no hook is
 * called; here it is called after that. */
static int inner_xpcall(lua_State *inner)
{
	int status;

	luaL_checkany(inner, 2);
	lua_pushvalue(inner, 2);
	lua_pushvalue(inner, 1);
	lua_replace(inner, 2);
	lua_replace(inner, 1);		/* handler, f, ... */
	status = lua_pcall(inner, lua_gettop(inner) - 2, LUA_MULTRET, 0);
	pass_on_stop(inner, status);
	if (status)
		pass_on_stop(inner, lua_pcall(inner, 1, 1, 0));
	else
		lua_remove(inner, 1);
	lua_pushboolean(inner, status == 0);
	lua_insert(inner, 1);
	return lua_gettop(inner);
}

/* A finalizer runs where no hook is called, and weak keys tell when garbage is collected. */
static int inner_setmetatable(lua_State *inner)
{
	int type = lua_type(inner, 2);

	luaL_checktype(inner, 1, LUA_TTABLE);
	luaL_argcheck(inner, type == LUA_TNIL || type == LUA_TTABLE, 2, "nil or table expected");
	lua_settop(inner, 2);
	if (luaL_getmetafield(inner, 1, "__metatable"))
		return luaL_error(inner, "cannot change a protected metatable");
	for (int i = 0; type == LUA_TTABLE && i < 2; i++) {
		const char *name = i ? "__mode" : "__gc";

		lua_pushstring(inner, name);
		lua_rawget(inner, 2);
		if (!lua_isnil(inner, -1))
			return luaL_error(inner, "a metatable in the sandbox cannot have '%s'", name);
		lua_pop(inner, 1);
	}
	lua_setmetatable(inner, 1);
	return 1;
}

/* charge(n): n steps are done, in a function that no hook counts */
static int inner_charge(lua_State *inner)
{
	charge(inner, box_of(inner), luaL_checknumber(inner, 1));
	return 0;
}

/* where(level): "FILE:LINE" of who called, as the level of error() */
static int inner_where(lua_State *inner)
{
	luaL_where(inner, (int)luaL_checknumber(inner, 1));
	return 1;
}

static void push_capture(lua_State *inner, const struct hs_match *m, int i)
{
	if (m->captures[i].n == HS_CAPTURE_POSITION)
		lua_pushinteger(inner, (lua_Integer)(m->captures[i].s - m->text + 1));
	else
		lua_pushlstring(inner, m->captures[i].s, (size_t)m->captures[i].n);
}

/* subject(text): what the call is about now; a message that it was stopped begins with it. */
static int inner_subject(lua_State *inner)
{
	struct box *box = box_of(inner);

	snprintf(box->subject, sizeof box->subject, "%s", luaL_checkstring(inner, 1));
	return 0;
}

/* scan(text, pattern, first) -> from, to, captures ...; nil when there is no match */
static int inner_scan(lua_State *inner)
{
	struct box *box = box_of(inner);
	size_t length, pattern_length;
	const char *text = luaL_checklstring(inner, 1, &length);
	const char *pattern = luaL_checklstring(inner, 2, &pattern_length);
	lua_Number first = luaL_checknumber(inner, 3);
	struct hs_match m = {.text = text, .end = text + length, .steps = box->steps};

	if (first < 1 || first > (lua_Number)length + 1 ||
	    !hs_match_find(&m, pattern, pattern_length, text + (size_t)first - 1)) {
		box->steps = m.steps;
		charge(inner, box, 0);
		if (m.error)
			return luaL_error(inner, "%s", m.error);
		lua_pushnil(inner);
		return 1;
	}
	box->steps = m.steps;
	charge(inner, box, 0);
	luaL_checkstack(inner, m.level + 2, "too many captures");
	lua_pushinteger(inner, (lua_Integer)(m.from - text + 1));
	lua_pushinteger(inner, (lua_Integer)(m.to - text));
	for (int i = 0; i < m.level; i++)
		push_capture(inner, &m, i);
	return m.level + 2;
}

/* is_before(a, b): whether the bytes of a come first */
static int inner_is_before(lua_State *inner)
{
	size_t m, n;
	const char *a = luaL_checklstring(inner, 1, &m), *b = luaL_checklstring(inner, 2, &n);

	lua_pushboolean(inner, compare_bytes(a, m, b, n) < 0);
	return 1;
}

/* lower(text): as names are compared everywhere, whatever the language of the process makes of I */
static int inner_lower(lua_State *inner)
{
	size_t length;
	const char *text = luaL_checklstring(inner, 1, &length);
	luaL_Buffer buffer;

	luaL_buffinit(inner, &buffer);
	for (size_t i = 0; i < length; i++)
		luaL_addchar(&buffer, hs_lower(text[i]));
	luaL_pushresult(&buffer);
	return 1;
}

/* -- values as bytes ------------------------------------------------------------------------------------- */

static void put_bytes(lua_State *L, struct parcel *parcel, const void *bytes, size_t n)
{
	if (n > parcel->limit - parcel->n)
		luaL_error(L, "the values are too large to be copied");
	if (n > parcel->room - parcel->n) {
		size_t room = 2 * (parcel->n + n) + 64;
		char *s = realloc(parcel->s, room);

		if (!s)
			luaL_error(L, "not enough memory");
		parcel->s = s;
		parcel->room = room;
	}
	memcpy(parcel->s + parcel->n, bytes, n);
	parcel->n += n;
}

static void put_tag(lua_State *L, struct parcel *parcel, char tag)
{
	put_bytes(L, parcel, &tag, 1);
}

static void put_text(lua_State *L, struct parcel *parcel, const char *s, size_t n)
{
	put_tag(L, parcel, 's');
	put_bytes(L, parcel, &n, sizeof n);
	put_bytes(L, parcel, s, n);
}

static void put_number(lua_State *L, struct parcel *parcel, int arg)
{
	lua_Number number;

#if LUA_VERSION_NUM >= 503
	if (lua_isinteger(L, arg)) {
		lua_Integer integer = lua_tointeger(L, arg);

		put_tag(L, parcel, 'i');
		put_bytes(L, parcel, &integer, sizeof integer);
		return;
	}
#endif
	number = lua_tonumber(L, arg);
	put_tag(L, parcel, 'd');
	put_bytes(L, parcel, &number, sizeof number);
}

static void put_value(lua_State *L, struct parcel *parcel, int arg, int depth);

static void put_table(lua_State *L, struct parcel *parcel, int arg, int depth)
{
	if (depth == MAX_NESTING)
		luaL_error(L, "a table is nested too deeply to be copied, or holds itself");
	luaL_checkstack(L, 4, "a table is nested too deeply");
	put_tag(L, parcel, '{');
	for (lua_pushnil(L); lua_next(L, arg); lua_pop(L, 1)) {
		int top = lua_gettop(L), type = lua_type(L, top - 1);

		if (type != LUA_TSTRING && type != LUA_TNUMBER && type != LUA_TBOOLEAN)
			luaL_error(L, "a table with a key that is a %s cannot be copied", lua_typename(L, type));
		put_value(L, parcel, top - 1, depth + 1);
		put_value(L, parcel, top, depth + 1);
	}
	put_tag(L, parcel, '}');
}

static void put_value(lua_State *L, struct parcel *parcel, int arg, int depth)
{
	size_t length;
	const char *text;

	switch (lua_type(L, arg)) {
	case LUA_TNIL: put_tag(L, parcel, 'n'); return;
	case LUA_TBOOLEAN: put_tag(L, parcel, lua_toboolean(L, arg) ? 't' : 'f'); return;
	case LUA_TNUMBER: put_number(L, parcel, arg); return;
	case LUA_TTABLE: put_table(L, parcel, arg, depth); return;
	case LUA_TSTRING:
		text = lua_tolstring(L, arg, &length);
		put_text(L, parcel, text, length);
		return;
	case LUA_TLIGHTUSERDATA:
		if (!lua_touserdata(L, arg)) {	/* hoststore.null */
			put_tag(L, parcel, 'z');
			return;
		}	/* fall through */
	default: luaL_error(L, "a %s cannot cross the border of the sandbox", luaL_typename(L, arg));
	}
}

static void put_values(lua_State *L, struct parcel *parcel, int first, int last)
{
	parcel->n = parcel->read = 0;
	for (int i = first; i <= last; i++)
		put_value(L, parcel, i, 0);
}

static void take_bytes(struct parcel *parcel, void *bytes, size_t n)
{
	memcpy(bytes, parcel->s + parcel->read, n);
	parcel->read += n;
}

static void push_value(lua_State *L, struct parcel *parcel)
{
	char tag;
	size_t n;
	lua_Number number;

	take_bytes(parcel, &tag, 1);
	switch (tag) {
	case 't': case 'f': lua_pushboolean(L, tag == 't'); return;
	case 'z': lua_pushlightuserdata(L, NULL); return;
	case 'd':
		take_bytes(parcel, &number, sizeof number);
		lua_pushnumber(L, number);
		return;
	case 'i': {
		lua_Integer integer;

		take_bytes(parcel, &integer, sizeof integer);
		lua_pushinteger(L, integer);
		return;
	}
	case 's':
		take_bytes(parcel, &n, sizeof n);
		lua_pushlstring(L, parcel->s + parcel->read, n);
		parcel->read += n;
		return;
	case '{':
		luaL_checkstack(L, 4, "a table is nested too deeply");
		lua_newtable(L);
		while (parcel->s[parcel->read] != '}') {
			push_value(L, parcel);
			push_value(L, parcel);
			lua_rawset(L, -3);
		}
		parcel->read++;
		return;
	default: lua_pushnil(L);
	}
}

/* Unpacks all values on to the stack; returns how many. */
static int push_values(lua_State *L, struct parcel *parcel)
{
	int count = 0;

	parcel->read = 0;
	for (; parcel->read < parcel->n; count++) {
		luaL_checkstack(L, 2, "too many values");
		push_value(L, parcel);
	}
	return count;
}

/* -- host functions ------------------------------------------------------------------------------------------ */

/* Runs in the outer state, protected: (call, functions). The parcel holds the arguments, then the
 * results. */
struct host_call {
	struct box *box;
	int number;
};

static int forward(lua_State *L)
{
	struct host_call *call = lua_touserdata(L, 1);

	lua_rawgeti(L, 2, call->number);
	lua_call(L, push_values(L, &call->box->parcel), LUA_MULTRET);
	put_values(L, &call->box->parcel, 3, lua_gettop(L));
	return 0;
}

static void note_message(struct box *box, lua_State *L)
{
	const char *text = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : NULL;

	if (text)
		snprintf(box->message, sizeof box->message, "%s", text);
	else
		snprintf(box->message, sizeof box->message, "the error is no text but a %s", luaL_typename(L, -1));
}

static int call_host(lua_State *inner)
{
	struct box *box = box_of(inner);
	struct host_call call = {box, (int)lua_tonumber(inner, lua_upvalueindex(1))};
	lua_State *outer = box->outer;

	put_values(inner, &box->parcel, 1, lua_gettop(inner));
	/* What is pushed here fits into the room that every C function has. */
	lua_pushvalue(outer, box->forward);
	lua_pushlightuserdata(outer, &call);
	lua_pushvalue(outer, box->functions);
	if (lua_pcall(outer, 2, 0, 0)) {
		note_message(box, outer);
		lua_pop(outer, 1);
		return luaL_error(inner, "%s", box->message);
	}
	return push_values(inner, &box->parcel);
}

/* -- making a box --------------------------------------------------------------------------------------------- */

static const char *const BASE[] = {"assert", "error", "getmetatable", "ipairs", "next", "pairs", "rawequal",
	"rawget", "rawlen", "rawset", "select", "tonumber", "tostring", "type", "unpack", "string", "table",
	"math", "utf8", NULL};
static const char *const STRING[] = {"byte", "char", "format", "len", "lower", "rep", "reverse", "sub", "upper",
	NULL};
static const char *const TABLE[] = {"concat", "unpack", NULL};

static bool is_listed(const char *name, const char *const *list)
{
	for (; *list; list++)
		if (strcmp(name, *list) == 0)
			return true;
	return false;
}

/* Leaves in the table on top of the stack only what is listed. */
static void keep_only(lua_State *inner, const char *const *list)
{
	int table = lua_gettop(inner);

	for (lua_pushnil(inner); lua_next(inner, table);) {
		lua_pop(inner, 1);
		if (lua_type(inner, -1) == LUA_TSTRING && is_listed(lua_tostring(inner, -1), list))
			continue;
		/* A field that is there may be set while it is walked over. */
		lua_pushvalue(inner, -1);
		lua_pushnil(inner);
		lua_rawset(inner, table);
	}
}

static void forget(lua_State *inner, const char *library, const char *name)
{
	lua_getglobal(inner, library);
	lua_pushnil(inner);
	lua_setfield(inner, -2, name);
	lua_pop(inner, 1);
}

static void open_library(lua_State *inner, const char *name, lua_CFunction open)
{
	lua_pushcfunction(inner, open);
	lua_pushstring(inner, name);
	lua_call(inner, 1, 1);
#if LUA_VERSION_NUM >= 502
	if (*name)
		lua_setglobal(inner, name);
#endif
	lua_settop(inner, 1);
}

static void open_libraries(lua_State *inner)
{
	open_library(inner, "", luaopen_base);
	open_library(inner, "string", luaopen_string);
	open_library(inner, "table", luaopen_table);
	open_library(inner, "math", luaopen_math);
#if LUA_VERSION_NUM >= 503
	open_library(inner, "utf8", luaopen_utf8);
#endif
#if LUA_VERSION_NUM >= 502
	lua_pushglobaltable(inner);
#else
	lua_pushvalue(inner, LUA_GLOBALSINDEX);
#endif
	keep_only(inner, BASE);
	lua_pushvalue(inner, -1);
	lua_setfield(inner, -2, "_G");
	lua_getfield(inner, -1, "string");
	keep_only(inner, STRING);
	lua_pushcfunction(inner, inner_lower);
	lua_setfield(inner, -2, "lower");
	lua_getfield(inner, -2, "table");
	keep_only(inner, TABLE);
	forget(inner, "math", "random");
	forget(inner, "math", "randomseed");
	lua_settop(inner, 1);
}

/* The functions that take the place of the library's, and those only the prelude gets. */
static const luaL_Reg INNER[] = {
	{"pcall", inner_pcall}, {"xpcall", inner_xpcall}, {"setmetatable", inner_setmetatable},
	{"where", inner_where}, {"subject", inner_subject}, {NULL, NULL},
};

struct making {
	struct box *box;
	const char *prelude;
	size_t length;
};

static void run_prelude(lua_State *inner, const struct making *making)
{
	/* Strings find their methods through a metatable that nobody else is to see. */
	lua_pushliteral(inner, "");
	lua_getmetatable(inner, -1);
	lua_pushboolean(inner, 0);
	lua_setfield(inner, -2, "__metatable");
	lua_settop(inner, 1);
	if (luaL_loadbuffer(inner, making->prelude, making->length, "=" PRELUDE))
		lua_error(inner);
	lua_pushcfunction(inner, inner_charge);
	lua_pushcfunction(inner, inner_scan);
	lua_pushcfunction(inner, inner_is_before);
	lua_pushnumber(inner, (lua_Number)making->box->memory);
	lua_call(inner, 4, 0);
}

static int fill_box(lua_State *inner)
{
	const struct making *making = lua_touserdata(inner, 1);

	open_libraries(inner);
	for (const luaL_Reg *function = INNER; function->name; function++) {
		lua_pushcfunction(inner, function->func);
		lua_setglobal(inner, function->name);
	}
	lua_pushlightuserdata(inner, NULL);
	lua_setglobal(inner, "null");
	run_prelude(inner, making);
	return 0;
}

/* -- calls ------------------------------------------------------------------------------------------------------ */

enum what { LOAD, CALL, SET };

/* What is to be done in the inner state. */
struct job {
	struct box *box;
	enum what what;
	const char *name;		/* of the chunk, or of the global */
	const char *text, *environment;
	size_t length;
	int number;			/* of a host function */
	bool done;
};

static bool set_environment(lua_State *inner, const char *name)
{
	if (!name)
		return true;
	lua_getglobal(inner, name);
	if (!lua_istable(inner, -1)) {
		lua_pushfstring(inner, "the sandbox has no table '%s'", name);
		return false;
	}
#if LUA_VERSION_NUM >= 502
	lua_setupvalue(inner, -2, 1);
#else
	lua_setfenv(inner, -2);
#endif
	return true;
}

/* Leaves the chunk, or the error, on top of the stack. */
static bool load_chunk(lua_State *inner, const struct job *job)
{
	int status = luaL_loadbuffer(inner, job->text, job->length, job->name);

	pass_on_stop(inner, status);
	return status == 0 && set_environment(inner, job->environment);
}

/* Runs in the inner state, protected. What is done is told by `done`, results by the parcel. */
static int run_job(lua_State *inner)
{
	struct job *job = lua_touserdata(inner, 1);
	struct box *box = job->box;
	int count = 0, status;

	if (job->what == SET) {
		lua_pushnumber(inner, job->number);
		lua_pushcclosure(inner, call_host, 1);
		lua_setglobal(inner, job->name);
		job->done = true;
		return 0;
	}
	if (job->what == LOAD && !load_chunk(inner, job))
		return note_message(box, inner), 0;
	if (job->what == CALL) {
		lua_getglobal(inner, job->name);
		count = push_values(inner, &box->parcel);
	}
	lua_pushcfunction(inner, name_caller);
	lua_insert(inner, 2);
	status = lua_pcall(inner, count, LUA_MULTRET, 2);
	pass_on_stop(inner, status);
	if (status)
		return note_message(box, inner), 0;
	put_values(inner, &box->parcel, 3, job->what == LOAD ? 2 : lua_gettop(inner));
	job->done = true;
	return 0;
}

static void close_state(struct box *box)
{
	lua_State *inner = box->L;

	if (!inner)
		return;
	box->L = NULL;
	/* The state gives itself back to the allocator it has come from. */
	lua_setallocf(inner, box->alloc, box->alloc_data);
	lua_close(inner);
	free(box->parcel.s);
	box->parcel = (struct parcel){0};
}

/* Where a box was stopped: the line, and the rule, which begins with a line of its own. */
static void join_where(struct box *box)
{
	const char *rule = strstr(box->subject, ": ");
	size_t n = strlen(box->where);

	if (!rule)
		return;
	if (n)
		snprintf(box->where + n, sizeof box->where - n, "%s", rule + 2);
	else
		snprintf(box->where, sizeof box->where, "%s", box->subject);
}

static void describe_stop(struct box *box)
{
	join_where(box);
	if (box->stop == OUT_OF_STEPS)
		snprintf(box->message, sizeof box->message, "%sthe script was stopped after %lld instructions",
			 box->where, (long long)box->instructions);
	else if (box->stop == OUT_OF_TIME)
		snprintf(box->message, sizeof box->message, "%sthe script was stopped after %g seconds", box->where,
			 box->seconds);
	else
		snprintf(box->message, sizeof box->message, "%sthe script needs more than %lld bytes of memory",
			 box->where, (long long)box->memory);
}

/* Carries out JOB. When it fails, box->message says why, and a box that hit a limit is closed. */
static bool carry_out(lua_State *L, struct box *box, struct job *job)
{
	int status;

	box->busy = true;
	box->outer = L;
	*box->subject = '\0';
	box->steps = box->instructions;
	box->deadline = processor_time() + box->seconds;
	set_hook(box, hook_interval(box));
	lua_pushvalue(box->L, 1);
	lua_pushlightuserdata(box->L, job);
	status = lua_pcall(box->L, 1, 0, 0);
	if (status && box->stop == RUNNING && lua_type(box->L, -1) == LUA_TSTRING && status != LUA_ERRMEM)
		note_message(box, box->L);
	else if (status && box->stop == RUNNING)
		box->stop = OUT_OF_MEMORY;
	lua_settop(box->L, 1);
	box->outer = NULL;
	box->busy = false;
	if (box->stop != RUNNING) {
		describe_stop(box);
		close_state(box);
		return false;
	}
	return job->done;
}

/* -- methods ------------------------------------------------------------------------------------------------------ */

static int box_close(lua_State *L)
{
	struct box *box = luaL_checkudata(L, 1, BOX_TYPE);

	if (box->busy)
		return luaL_error(L, "a sandbox cannot be closed from within");
	close_state(box);
	if (box->stop == RUNNING)
		snprintf(box->message, sizeof box->message, "the sandbox is closed");
	return 0;
}

static struct box *check_box(lua_State *L)
{
	struct box *box = luaL_checkudata(L, 1, BOX_TYPE);

	if (box->busy)
		luaL_error(L, "the sandbox is in use");
	return box;
}

/* nil and an error that knows the line, when the message begins with FILE:LINE. */
static int push_box_failure(lua_State *L, const struct box *box)
{
	struct hs_error err;
	const char *colon = strstr(box->message, ": ");
	int line = 0;

	hs_fail(&err, HS_POLICY, NULL, "%s", box->message);
	push_failure(L, 0, &err);
	while (colon && colon > box->message && colon[-1] >= '0' && colon[-1] <= '9')
		colon--;
	if (colon && colon > box->message && colon[-1] == ':')
		line = atoi(colon);
	if (line > 0) {
		push_int(L, line);
		lua_setfield(L, -2, "line");
	}
	return 2;
}

/* Readies the stack for host functions: forward and the table of functions lie on it. */
static void push_call(lua_State *L, struct box *box)
{
	lua_pushcfunction(L, forward);
	box->forward = lua_gettop(L);
	lua_getuservalue(L, 1);
	box->functions = lua_gettop(L);
	luaL_checkstack(L, LUA_MINSTACK, "too many values");
}

/* load(chunk name, text [, environment]): runs a chunk of text. Its globals are those of the box, or
 * of the table in it that `environment` names. */
static int box_load(lua_State *L)
{
	struct box *box = check_box(L);
	struct job job = {.box = box, .what = LOAD};
	const char *name = check_text(L, 2, "the name of the chunk");

	job.text = luaL_checklstring(L, 3, &job.length);
	job.environment = luaL_optstring(L, 4, NULL);
	if (!box->L)
		return push_box_failure(L, box);
	if (job.length > 0 && *job.text == LUA_SIGNATURE[0]) {
		snprintf(box->message, sizeof box->message, "%s:1: this is compiled Lua; only text is run", name);
		return push_box_failure(L, box);
	}
	if (job.length > MAX_CHUNK) {
		snprintf(box->message, sizeof box->message, "%s:1: a script has at most %d bytes", name, MAX_CHUNK);
		return push_box_failure(L, box);
	}
	/* One whose name says so already is ours: its lines are no places in a script. */
	job.name = *name == '=' ? name : lua_pushfstring(L, "@%s", name);
	push_call(L, box);
	if (!carry_out(L, box, &job))
		return push_box_failure(L, box);
	lua_pushboolean(L, 1);
	return 1;
}

/* call(name, ...): calls a global function of the box */
static int box_call(lua_State *L)
{
	struct box *box = check_box(L);
	struct job job = {.box = box, .what = CALL, .name = check_text(L, 2, "the name of the function")};

	if (!box->L)
		return push_box_failure(L, box);
	put_values(L, &box->parcel, 3, lua_gettop(L));
	push_call(L, box);
	if (!carry_out(L, box, &job))
		return push_box_failure(L, box);
	return push_values(L, &box->parcel);
}

/* set(name, function): makes a function of this side a global of the box */
static int box_set(lua_State *L)
{
	struct box *box = check_box(L);
	struct job job = {.box = box, .what = SET, .name = check_text(L, 2, "the name of the function")};

	luaL_checktype(L, 3, LUA_TFUNCTION);
	if (!box->L)
		return push_box_failure(L, box);
	lua_getuservalue(L, 1);
	job.number = (int)lua_rawlen(L, -1) + 1;
	lua_pushvalue(L, 3);
	lua_rawseti(L, -2, job.number);
	if (!carry_out(L, box, &job))
		return push_box_failure(L, box);
	lua_pushboolean(L, 1);
	return 1;
}

/* Makes run_job lie at the bottom of the stack, where pushing it takes no memory. */
static int push_run_job(lua_State *inner)
{
	lua_pushcfunction(inner, run_job);
	lua_setfield(inner, LUA_REGISTRYINDEX, "run");
	return 0;
}

/* LuaJIT calls no hook in what it has compiled. A module for Lua 5.1 may be loaded by LuaJIT, so it is
 * looked for when the box is made. */
extern int luaJIT_setmode(lua_State *L, int index, int mode) __attribute__((weak));

static void turn_compiler_off(lua_State *inner)
{
	enum { ENGINE = 0, OFF = 0 };

	if (luaJIT_setmode)
		luaJIT_setmode(inner, 0, ENGINE | OFF);
}

static void make_state(lua_State *L, struct box *box, const char *prelude, size_t length)
{
	struct making making = {box, prelude, length};
	lua_State *inner = luaL_newstate();

	if (!inner)
		luaL_error(L, "not enough memory");
	box->used = (size_t)lua_gc(inner, LUA_GCCOUNT, 0) * 1024 + (size_t)lua_gc(inner, LUA_GCCOUNTB, 0);
	box->alloc = lua_getallocf(inner, &box->alloc_data);
	box->L = inner;
	lua_setallocf(inner, limited_alloc, box);
	turn_compiler_off(inner);
	box->steps = INT64_MAX;
	box->deadline = processor_time() + 3600;
	if (call_protected(inner, fill_box, &making) || call_protected(inner, push_run_job, NULL)) {
		note_message(box, inner);
		luaL_error(L, "%s", box->message);
	}
	lua_getfield(inner, LUA_REGISTRYINDEX, "run");
}

/* new(memory, instructions, seconds, prelude) */
static int sandbox_new(lua_State *L)
{
	int64_t memory = check_int(L, 1, "memory"), instructions = check_int(L, 2, "instructions");
	lua_Number seconds = luaL_checknumber(L, 3);
	size_t length;
	const char *prelude = luaL_checklstring(L, 4, &length);
	struct box *box;

	luaL_argcheck(L, memory >= MIN_MEMORY && memory <= INT32_MAX, 1, "memory is from 256 KiB to 2 GiB");
	luaL_argcheck(L, instructions > 0, 2, "there must be instructions");
	luaL_argcheck(L, seconds > 0, 3, "there must be time");
	box = lua_newuserdata(L, sizeof *box);
	memset(box, 0, sizeof *box);
	box->memory = (size_t)memory;
	box->parcel.limit = box->memory;
	box->instructions = instructions;
	box->seconds = seconds;
	luaL_getmetatable(L, BOX_TYPE);
	lua_setmetatable(L, -2);
	lua_newtable(L);
	lua_setuservalue(L, -2);
	make_state(L, box, prelude, length);
	return 1;
}

int luaopen_hoststore_sandbox(lua_State *L)
{
	static const luaL_Reg methods[] = {
		{"load", box_load}, {"call", box_call}, {"set", box_set}, {"close", box_close}, {NULL, NULL},
	};

	luaL_newmetatable(L, BOX_TYPE);
	lua_pushcfunction(L, box_close);
	lua_setfield(L, -2, "__gc");
	lua_pushcfunction(L, box_close);
	lua_setfield(L, -2, "__close");
	lua_newtable(L);
	luaL_setfuncs(L, methods, 0);
	lua_setfield(L, -2, "__index");
	lua_pop(L, 1);
	lua_pushcfunction(L, sandbox_new);
	return 1;
}
