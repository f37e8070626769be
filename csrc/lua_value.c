/* lua_value.c -- values between Lua and the core. See lua_value.h. */
#include <string.h>

#include "lua_value.h"

/* -- the box ---------------------------------------------------------------------------------------------- */

static int free_box(lua_State *L)
{
	hs_arena_free(lua_touserdata(L, 1));
	return 0;
}

struct hs_arena *push_box(lua_State *L)
{
	struct hs_arena *arena = lua_newuserdata(L, sizeof *arena);

	arena->chunks = NULL;
	if (luaL_newmetatable(L, "hoststore.Arena")) {
		lua_pushcfunction(L, free_box);
		lua_setfield(L, -2, "__gc");
	}
	lua_setmetatable(L, -2);
	return arena;
}

static void *alloc(lua_State *L, struct hs_arena *arena, size_t size)
{
	void *memory = hs_alloc(arena, size);

	if (!memory)
		luaL_error(L, "not enough memory");
	return memory;
}

int call_protected(lua_State *L, lua_CFunction function, void *data)
{
#if LUA_VERSION_NUM >= 502
	lua_pushcfunction(L, function);
	lua_pushlightuserdata(L, data);
	return lua_pcall(L, 1, 0, 0);
#else
	return lua_cpcall(L, function, data);
#endif
}

/* -- numbers, texts, times ------------------------------------------------------------------------------------ */

static int raise(lua_State *L, const char *name, const char *wanted, int arg)
{
	return luaL_error(L, "%s must be %s, not %s", name, wanted, luaL_typename(L, arg));
}

int compare_bytes(const char *a, size_t m, const char *b, size_t n)
{
	int order = memcmp(a, b, m < n ? m : n);

	return order ? order : m < n ? -1 : m > n;
}

int64_t check_int(lua_State *L, int arg, const char *name)
{
	lua_Number number;

	if (lua_type(L, arg) != LUA_TNUMBER)
		raise(L, name, "a whole number", arg);
#if LUA_VERSION_NUM >= 503
	if (lua_isinteger(L, arg))
		return lua_tointeger(L, arg);
#endif
	/* lua_Integer may have 32 bits; floats carry what we need, and dnsmasq gives floats. */
	number = lua_tonumber(L, arg);
	if (!(number >= -9007199254740992.0 && number <= 9007199254740992.0) ||
	    (lua_Number)(int64_t)number != number)
		luaL_error(L, "%s must be a whole number, not %f", name, number);
	return (int64_t)number;
}

const char *check_text(lua_State *L, int arg, const char *name)
{
	size_t length;
	const char *text;

	if (lua_type(L, arg) != LUA_TSTRING)
		raise(L, name, "a string", arg);
	text = lua_tolstring(L, arg, &length);
	if (strlen(text) != length)
		luaL_error(L, "%s must be a string without NUL bytes", name);
	return text;
}

const char *check_text_or_nil(lua_State *L, int arg, const char *name)
{
	return lua_isnoneornil(L, arg) ? NULL : check_text(L, arg, name);
}

bool check_flag(lua_State *L, int arg, const char *name)
{
	if (!lua_isboolean(L, arg))
		raise(L, name, "true or false", arg);
	return lua_toboolean(L, arg);
}

/* From the year 2255 on a number of Lua or JSON cannot hold each microsecond, but each second. */
static int64_t whole_second_when_far(int64_t time)
{
	return time > INT64_C(1) << 53 ? time / 1000000 * 1000000 : time;
}

enum hs_code check_time(lua_State *L, int arg, const char *field, int64_t *time, struct hs_error *err)
{
	lua_Number seconds;

	if (lua_type(L, arg) == LUA_TSTRING) {
		enum hs_code rc = hs_check_time(field, check_text(L, arg, field), time, err);

		*time = rc ? 0 : whole_second_when_far(*time);
		return rc;
	}
	if (lua_type(L, arg) != LUA_TNUMBER)
		raise(L, field, "a time (seconds since 1970 or ISO 8601)", arg);
	seconds = lua_tonumber(L, arg);
	if (!(seconds >= -62167219200.0 && seconds <= 253402300799.999999))
		return hs_fail(err, HS_INVALID, field, "the time is not within the years 0 to 9999");
	*time = whole_second_when_far((int64_t)(seconds * 1e6 + (seconds < 0 ? -0.5 : 0.5)));
	return HS_OK;
}

/* -- fields of tables --------------------------------------------------------------------------------------------- */

const char *field_text(lua_State *L, int arg, const char *name)
{
	const char *text;

	lua_getfield(L, arg, name);
	text = check_text_or_nil(L, -1, name);
	lua_pop(L, 1);		/* the table still holds it */
	return text;
}

int64_t field_int(lua_State *L, int arg, const char *name, int64_t fallback)
{
	int64_t number;

	lua_getfield(L, arg, name);
	number = lua_isnil(L, -1) ? fallback : check_int(L, -1, name);
	lua_pop(L, 1);
	return number;
}

int64_t field_count(lua_State *L, int arg, const char *name, int64_t fallback)
{
	int64_t count = field_int(L, arg, name, 0);

	if (count < 0)
		luaL_error(L, "%s cannot be negative", name);
	lua_getfield(L, arg, name);
	if (lua_isnil(L, -1))
		count = fallback;
	lua_pop(L, 1);
	return count;
}

bool field_flag(lua_State *L, int arg, const char *name, bool fallback)
{
	bool flag;

	lua_getfield(L, arg, name);
	flag = lua_isnil(L, -1) ? fallback : check_flag(L, -1, name);
	lua_pop(L, 1);
	return flag;
}

static bool is_one_of(const char *key, const char *const list[])
{
	for (; *list; list++)
		if (strcmp(key, *list) == 0)
			return true;
	return false;
}

void check_keys(lua_State *L, int arg, const char *what, const char *const allowed[])
{
	if (lua_isnoneornil(L, arg))
		return;
	if (!lua_istable(L, arg))
		luaL_error(L, "%s must be a table, not %s", what, luaL_typename(L, arg));
	for (lua_pushnil(L); lua_next(L, arg); lua_pop(L, 1)) {
		if (lua_type(L, -2) != LUA_TSTRING)
			luaL_error(L, "%s has a key that is no name", what);
		if (!is_one_of(lua_tostring(L, -2), allowed))
			luaL_error(L, "%s has an unknown key '%s'", what, lua_tostring(L, -2));
	}
}

/* The length of the array at ARG; raises for a table with any other key, such as {lan = true}. */
static size_t check_array(lua_State *L, int arg, const char *name)
{
	size_t length, keys = 0;

	if (!lua_istable(L, arg))
		raise(L, name, "an array of strings", arg);
	length = lua_rawlen(L, arg);
	for (lua_pushnil(L); lua_next(L, arg); lua_pop(L, 1))
		keys++;
	if (keys != length)
		luaL_error(L, "%s must be an array of strings: {'a', 'b'}", name);
	return length;
}

const char *const *check_texts(lua_State *L, int arg, const char *name, struct hs_arena *arena, int *count)
{
	const char **texts;
	size_t n;

	*count = 0;
	if (lua_isnoneornil(L, arg))
		return NULL;
	n = check_array(L, arg, name);
	if (n > 1000000)
		luaL_error(L, "%s has too many items", name);
	texts = alloc(L, arena, (n + 1) * sizeof *texts);
	for (size_t i = 0; i < n; i++) {
		lua_rawgeti(L, arg, (int)i + 1);
		texts[i] = check_text(L, -1, name);
		lua_pop(L, 1);
	}
	*count = (int)n;
	return texts;
}

/* -- hosts in ---------------------------------------------------------------------------------------------------------- */

/* Data that came from outside: a NUL byte in it is a wrong value, not a wrong program. */
static enum hs_code take_text(lua_State *L, int arg, const char *field, const char **text,
			      struct hs_error *err)
{
	size_t length;

	if (lua_type(L, arg) != LUA_TSTRING)
		raise(L, field, "a string", arg);
	*text = lua_tolstring(L, arg, &length);
	if (strlen(*text) != length)
		return hs_fail(err, HS_INVALID, field, "%s holds a NUL byte behind '%s'", field,
			       hs_quote(*text).s);
	return HS_OK;
}

static enum hs_code take_list(lua_State *L, int arg, const char *field, struct hs_arena *arena,
			      const char *const **items, int *count, struct hs_error *err)
{
	const char **texts;
	size_t n = check_array(L, arg, field);

	if (n > 10000)
		return hs_fail(err, HS_INVALID, field, "%s has %zu items", field, n);
	texts = alloc(L, arena, (n + 1) * sizeof *texts);
	for (size_t i = 0; i < n; i++) {
		enum hs_code rc;

		lua_rawgeti(L, arg, (int)i + 1);
		rc = take_text(L, -1, field, &texts[i], err);
		lua_pop(L, 1);
		if (rc)
			return rc;
	}
	*items = texts;
	*count = (int)n;
	return HS_OK;
}

bool is_null(lua_State *L, int arg)
{
	return lua_islightuserdata(L, arg) && !lua_touserdata(L, arg);
}

/* The value on top of the stack as FIELD of INPUT. */
static enum hs_code take_field(lua_State *L, enum hs_field field, struct hs_arena *arena,
			       struct hs_host_input *input, struct hs_error *err)
{
	const char *name = hs_field_name(field);
	bool null = is_null(L, -1);
	int value = lua_gettop(L);

	input->given |= 1u << field;
	switch (field) {
	case HS_COMMENT:
		return null ? HS_OK : take_text(L, value, name, &input->comment, err);
	case HS_EXPIRES_AT:
		input->expires_at = HS_TIME_UNSET;
		return null ? HS_OK : check_time(L, value, name, &input->expires_at, err);
	case HS_IP: return take_text(L, value, name, &input->ip, err);
	case HS_HOSTNAME: return take_text(L, value, name, &input->hostname, err);
	case HS_ORIGIN: return take_text(L, value, name, &input->origin, err);
	case HS_ALIASES:
		return take_list(L, value, name, arena, &input->aliases, &input->alias_count, err);
	case HS_TAGS: return take_list(L, value, name, arena, &input->tags, &input->tag_count, err);
	default:
		input->enabled = check_flag(L, value, name);
		return HS_OK;
	}
}

enum hs_code check_host_input(lua_State *L, int arg, struct hs_arena *arena, struct hs_host_input *input,
			      struct hs_error *err)
{
	luaL_checktype(L, arg, LUA_TTABLE);
	*input = (struct hs_host_input){0};
	for (lua_pushnil(L); lua_next(L, arg); lua_pop(L, 1)) {
		enum hs_field field = 0;
		enum hs_code rc;

		if (lua_type(L, -2) != LUA_TSTRING)
			luaL_error(L, "a host has fields by name, not by number");
		while (field < HS_FIELDS && strcmp(hs_field_name(field), lua_tostring(L, -2)) != 0)
			field++;
		if (field == HS_FIELDS)
			luaL_error(L, "a host has no field '%s' that can be set", lua_tostring(L, -2));
		rc = take_field(L, field, arena, input, err);
		if (rc) {
			lua_pop(L, 2);
			return rc;
		}
	}
	return HS_OK;
}

static bool is_list_of_texts(lua_State *L, int arg)
{
	size_t count = 0;

	if (!lua_istable(L, arg))
		return false;
	for (lua_pushnil(L); lua_next(L, arg); lua_pop(L, 1), count++) {
		if (lua_type(L, -2) != LUA_TNUMBER || lua_type(L, -1) != LUA_TSTRING) {
			lua_pop(L, 2);
			return false;
		}
	}
	return count == lua_rawlen(L, arg);
}

bool is_host_value(lua_State *L, int arg)
{
	static const struct {
		const char *name;
		int type;
		bool optional;
	} fields[] = {
		{"ip", LUA_TSTRING, false}, {"hostname", LUA_TSTRING, false}, {"aliases", LUA_TTABLE, false},
		{"comment", LUA_TSTRING, true}, {"tags", LUA_TTABLE, false}, {"enabled", LUA_TBOOLEAN, false},
		{"expires_at", LUA_TNUMBER, true}, {"origin", LUA_TSTRING, false}, {"created_at", LUA_TNUMBER, false},
	};
	bool good = lua_istable(L, arg);

	for (size_t i = 0; good && i < sizeof fields / sizeof *fields; i++) {
		int type;

		lua_getfield(L, arg, fields[i].name);
		type = lua_type(L, -1);
		good = type == fields[i].type || (type == LUA_TNIL && fields[i].optional);
		if (good && type == LUA_TTABLE)
			good = is_list_of_texts(L, lua_gettop(L));
		lua_pop(L, 1);
	}
	return good;
}

enum hs_code take_host_fields(lua_State *L, int arg, struct hs_arena *arena, struct hs_host_input *input,
			      struct hs_error *err)
{
	enum hs_code rc = HS_OK;

	*input = (struct hs_host_input){.expires_at = HS_TIME_UNSET};
	for (enum hs_field field = 0; rc == HS_OK && field < HS_FIELDS; field++) {
		lua_getfield(L, arg, hs_field_name(field));
		if (!lua_isnil(L, -1))
			rc = take_field(L, field, arena, input, err);
		lua_pop(L, 1);
	}
	return rc;
}

const char *check_host_id(lua_State *L, int arg, int64_t *expected)
{
	const char *id;

	*expected = HS_EXPECT_ANY;
	if (lua_istable(L, arg)) {
		*expected = field_int(L, arg, "version", HS_EXPECT_ANY);
		id = field_text(L, arg, "id");
		if (!id)
			luaL_error(L, "the host has no id: it was not read from a store");
	} else {
		id = check_text(L, arg, "id");
	}
	return strncmp(id, "host-", 5) == 0 ? id + 5 : id;
}

/* -- options and filters ------------------------------------------------------------------------------------------------------ */

struct hs_cause check_cause(lua_State *L, int arg, struct hs_arena *arena)
{
	struct hs_cause by = {0};
	size_t length;

	if (lua_isnoneornil(L, arg))
		return by;
	by.actor = field_text(L, arg, "actor");
	by.reason = field_text(L, arg, "reason");
	lua_getfield(L, arg, "metadata");
	if (!lua_isnil(L, -1))
		by.metadata = encode_json(L, lua_gettop(L), arena, &length);
	lua_pop(L, 1);
	return by;
}

static const char *const *filter_texts(lua_State *L, int arg, const char *name, struct hs_arena *arena,
				       int *count)
{
	const char *const *texts;

	lua_getfield(L, arg, name);
	if (lua_type(L, -1) == LUA_TSTRING) {
		const char **one = alloc(L, arena, sizeof *one);

		*one = check_text(L, -1, name);
		*count = 1;
		texts = one;
	} else {
		texts = check_texts(L, lua_gettop(L), name, arena, count);
	}
	lua_pop(L, 1);
	return texts;
}

static enum hs_order filter_order(lua_State *L, int arg)
{
	static const char *const names[] = {"ip", "ip_text", "hostname", "created", "updated"};
	const char *name = field_text(L, arg, "order");

	if (!name)
		return HS_BY_IP;
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (strcmp(names[i], name) == 0)
			return (enum hs_order)i;
	luaL_error(L, "order must be 'ip', 'ip_text', 'hostname', 'created' or 'updated', not '%s'", name);
	return HS_BY_IP;
}

static enum hs_code filter_times(lua_State *L, int arg, struct hs_filter *filter, struct hs_error *err)
{
	const struct {
		const char *name;
		int64_t *time;
	} times[] = {
		{"created_since", &filter->created_since}, {"created_until", &filter->created_until},
		{"updated_since", &filter->updated_since}, {"updated_until", &filter->updated_until},
	};
	enum hs_code rc = HS_OK;

	for (size_t i = 0; rc == HS_OK && i < sizeof times / sizeof *times; i++) {
		lua_getfield(L, arg, times[i].name);
		if (!lua_isnil(L, -1))
			rc = check_time(L, lua_gettop(L), times[i].name, times[i].time, err);
		lua_pop(L, 1);
	}
	return rc;
}

/* `after` is the last host seen, whose fields say where it stood, or its id. */
static enum hs_code filter_after(lua_State *L, int arg, struct hs_store *store, struct hs_moment at,
				 struct hs_arena *arena, struct hs_filter *filter, struct hs_error *err)
{
	struct hs_host *host = alloc(L, arena, sizeof *host);
	enum hs_code rc = HS_OK;
	int64_t expected;
	int after;

	lua_getfield(L, arg, "after");
	after = lua_gettop(L);
	if (lua_istable(L, after)) {
		*host = hs_host_blank();
		host->id = check_host_id(L, after, &expected);
		host->ip = field_text(L, after, "ip");
		host->hostname = field_text(L, after, "hostname");
		if (!host->ip || !host->hostname)
			luaL_error(L, "after must be a host or the id of one");
		for (int i = 0; rc == HS_OK && i < 2; i++) {
			const char *name = i ? "updated_at" : "created_at";

			lua_getfield(L, after, name);
			rc = check_time(L, after + 1, name, i ? &host->updated_at : &host->created_at, err);
			lua_pop(L, 1);
		}
		filter->after = host;
	} else if (!lua_isnil(L, after)) {
		rc = hs_host_get(store, arena, at, check_host_id(L, after, &expected), host, err);
		filter->after = host;
	}
	lua_pop(L, 1);
	return rc;
}

enum hs_code check_filter(lua_State *L, int arg, struct hs_store *store, struct hs_moment at,
			  struct hs_arena *arena, struct hs_filter *filter, struct hs_error *err)
{
	static const char *const keys[] = {"ip", "ip_pattern", "hostname", "hostname_pattern", "text", "tags",
		"tags_all", "tags_none", "enabled", "origin", "created_since", "created_until",
		"updated_since", "updated_until", "order", "descending", "limit", "offset", "after", NULL};
	enum hs_code rc;

	*filter = hs_filter_all();
	check_keys(L, arg, "the filter", keys);
	if (lua_isnoneornil(L, arg))
		return HS_OK;
	filter->ip = field_text(L, arg, "ip");
	filter->ip_pattern = field_text(L, arg, "ip_pattern");
	filter->hostname = field_text(L, arg, "hostname");
	filter->hostname_pattern = field_text(L, arg, "hostname_pattern");
	filter->text = field_text(L, arg, "text");
	filter->origin = field_text(L, arg, "origin");
	filter->tags = filter_texts(L, arg, "tags", arena, &filter->tag_count);
	filter->tags_all = filter_texts(L, arg, "tags_all", arena, &filter->tag_all_count);
	filter->tags_none = filter_texts(L, arg, "tags_none", arena, &filter->tag_none_count);
	filter->order = filter_order(L, arg);
	filter->descending = field_flag(L, arg, "descending", false);
	filter->limit = field_count(L, arg, "limit", -1);
	filter->offset = field_count(L, arg, "offset", 0);
	lua_getfield(L, arg, "enabled");
	filter->enabled = lua_isnil(L, -1) ? -1 : check_flag(L, -1, "enabled");
	lua_pop(L, 1);
	rc = filter_times(L, arg, filter, err);
	return rc ? rc : filter_after(L, arg, store, at, arena, filter, err);
}

/* -- out -------------------------------------------------------------------------------------------------------------------------- */

void push_int(lua_State *L, int64_t number)
{
	if (sizeof(lua_Integer) >= sizeof(int64_t))
		lua_pushinteger(L, (lua_Integer)number);
	else
		lua_pushnumber(L, (lua_Number)number);
}

void push_time(lua_State *L, int64_t time)
{
	if (time == HS_TIME_UNSET)
		lua_pushnil(L);
	else
		lua_pushnumber(L, (lua_Number)time / 1e6);
}

void push_text(lua_State *L, const char *text)
{
	if (text)
		lua_pushstring(L, text);
	else
		lua_pushnil(L);
}

static void push_list(lua_State *L, const char *list, char separator)
{
	struct hs_item item;

	/* Most lists have one item; a table that has to grow for it costs more than the rest. */
	lua_createtable(L, *list ? 1 : 0, 0);
	for (int i = 1; hs_next_item(&list, separator, &item); i++) {
		lua_pushlstring(L, item.s, item.n);
		lua_rawseti(L, -2, i);
	}
}

void push_field(lua_State *L, const struct hs_host *host, enum hs_field field)
{
	switch (field) {
	case HS_IP: push_text(L, host->ip); break;
	case HS_HOSTNAME: push_text(L, host->hostname); break;
	case HS_ALIASES: push_list(L, host->aliases, ' '); break;
	case HS_COMMENT: push_text(L, host->comment); break;
	case HS_TAGS: push_list(L, host->tags, ','); break;
	case HS_ENABLED: lua_pushboolean(L, host->enabled); break;
	case HS_EXPIRES_AT: push_time(L, host->expires_at); break;
	case HS_ORIGIN: push_text(L, host->origin); break;
	default: lua_pushnil(L);
	}
}

void push_plain_host(lua_State *L, const struct hs_host *host)
{
	lua_createtable(L, 0, 13);
	for (enum hs_field field = 0; field < HS_FIELDS; field++) {
		push_field(L, host, field);
		lua_setfield(L, -2, hs_field_name(field));
	}
	if (host->id) {
		push_text(L, host->id);
		lua_setfield(L, -2, "id");
		push_int(L, host->version);
		lua_setfield(L, -2, "version");
		push_int(L, host->position);
		lua_setfield(L, -2, "position");
		push_time(L, host->created_at);
		lua_setfield(L, -2, "created_at");
		push_time(L, host->updated_at);
		lua_setfield(L, -2, "updated_at");
	}
}

/* The same with its metatable, which knows the store and is at index META. */
static void push_host_as(lua_State *L, int meta, const struct hs_host *host)
{
	push_plain_host(L, host);
	lua_pushvalue(L, meta);
	lua_setmetatable(L, -2);
}

/* Leaves the metatable of a store's hosts on the stack. */
static int push_host_metatable(lua_State *L, int store)
{
	lua_getuservalue(L, store);
	lua_getfield(L, -1, "host");
	lua_remove(L, -2);
	return lua_gettop(L);
}

void push_host(lua_State *L, int store, const struct hs_host *host)
{
	int meta = push_host_metatable(L, store);

	push_host_as(L, meta, host);
	lua_remove(L, meta);
}

void push_hosts(lua_State *L, int store, const struct hs_hosts *hosts)
{
	int meta = push_host_metatable(L, store);

	lua_createtable(L, hosts->count < 1u << 20 ? (int)hosts->count : 0, 0);
	for (size_t i = 0; i < hosts->count; i++) {
		push_host_as(L, meta, &hosts->items[i]);
		lua_rawseti(L, -2, (int)i + 1);
	}
	lua_remove(L, meta);
}

/* Whether the same call, unchanged, may succeed later. */
bool is_retryable(const char *code)
{
	return strcmp(code, "busy") == 0 || strcmp(code, "connection") == 0 ||
	       strcmp(code, "unknown_outcome") == 0;
}

void push_error(lua_State *L, int store, const struct hs_error *err)
{
	const char *code = hs_code_name(err->code);

	lua_createtable(L, 0, 6);
	push_text(L, code);
	lua_setfield(L, -2, "code");
	push_text(L, err->message);
	lua_setfield(L, -2, "message");
	lua_pushboolean(L, is_retryable(code));
	lua_setfield(L, -2, "retryable");
	if (err->field[0]) {
		push_text(L, err->field);
		lua_setfield(L, -2, "field");
	}
	if (err->has_versions) {
		push_int(L, err->expected);
		lua_setfield(L, -2, "expected");
		push_int(L, err->actual);
		lua_setfield(L, -2, "actual");
	}
	if (err->index) {
		push_int(L, err->index);
		lua_setfield(L, -2, "index");
	}
	if (err->current && store) {
		push_host(L, store, err->current);
		lua_setfield(L, -2, "current");
	}
	luaL_getmetatable(L, ERROR_TYPE);
	lua_setmetatable(L, -2);
}

int push_failure(lua_State *L, int store, const struct hs_error *err)
{
	if (err->code == HS_NO_MEMORY)
		return luaL_error(L, "not enough memory");
	lua_pushnil(L);
	push_error(L, store, err);
	return 2;
}
