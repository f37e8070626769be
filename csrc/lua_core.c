/* lua_core.c -- the module hoststore.core: the core as Lua sees it.
 *
 * A method reads its arguments, lays a box on the stack, calls the core and pushes the result;
 * whatever raises on the way, the box frees what was allocated. Methods a script calls are in
 * `methods`; what only hoststore's own Lua files call is in `functions`, with the store first. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "lua_value.h"

int luaopen_hoststore_sandbox(lua_State *L);
int luaopen_hoststore_sys(lua_State *L);
int luaopen_hoststore_copy(lua_State *L);
HS_EXPORT int luaopen_hoststore_core(lua_State *L);

/* -- the store ------------------------------------------------------------------------------------------------ */

static struct lua_store *to_store(lua_State *L, int arg)
{
	return luaL_checkudata(L, arg, STORE_TYPE);
}

static int64_t wall_clock(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

/* Asks the store's clock before the core is entered: a clock given by a script may raise. */
static void read_clock(lua_State *L, int arg, struct hs_store *store)
{
	struct hs_error err;

	lua_getuservalue(L, arg);
	lua_getfield(L, -1, "clock");
	if (lua_isnil(L, -1)) {
		store->now = wall_clock();
		lua_pop(L, 2);
		return;
	}
	lua_call(L, 0, 1);
	if (check_time(L, lua_gettop(L), "clock", &store->now, &err))
		luaL_error(L, "clock: %s", err.message);
	lua_pop(L, 2);
}

struct hs_store *check_store(lua_State *L, int arg)
{
	struct lua_store *store = to_store(L, arg);

	if (!store->is_open)
		luaL_error(L, "the store is closed");
	store->L = L;
	return &store->store;
}

/* A store for a call that notes when it happened. */
static struct hs_store *check_store_and_clock(lua_State *L, int arg)
{
	/* The clock first: it is a script's, and may close the store. */
	read_clock(L, arg, &to_store(L, arg)->store);
	to_store(L, arg)->is_asked = false;
	return check_store(L, arg);
}

static int store_close(lua_State *L)
{
	struct lua_store *store = to_store(L, 1);

	if (store->is_open) {
		store->is_open = false;
		hs_store_close(&store->store);
	}
	luaL_unref(L, LUA_REGISTRYINDEX, store->policy);
	store->policy = LUA_NOREF;
	lua_pushboolean(L, 1);
	return 1;
}

static int store_tostring(lua_State *L)
{
	struct lua_store *store = to_store(L, 1);

	lua_pushfstring(L, "%s (%s)", STORE_TYPE, store->is_open ? "open" : "closed");
	return 1;
}

/* The ids of this Lua state; they outlive every store, so no two stores make the same. */
static struct hs_ids *get_ids(lua_State *L)
{
	struct hs_ids *ids;

	lua_getfield(L, LUA_REGISTRYINDEX, "hoststore.ids");
	ids = lua_touserdata(L, -1);
	lua_pop(L, 1);
	return ids;
}

/* Lays a closed store on the stack, with the table its hosts and its clock are kept in. */
static struct lua_store *push_store(lua_State *L, int options)
{
	struct lua_store *store = lua_newuserdata(L, sizeof *store);
	int self = lua_gettop(L);

	memset(store, 0, sizeof *store);
	store->policy = LUA_NOREF;
	luaL_getmetatable(L, STORE_TYPE);
	lua_setmetatable(L, self);
	lua_newtable(L);
	lua_getfield(L, options, "clock");
	lua_setfield(L, -2, "clock");
	lua_newtable(L);
	lua_getfield(L, LUA_REGISTRYINDEX, "hoststore.host_methods");
	lua_setfield(L, -2, "__index");
	lua_pushvalue(L, self);
	lua_setfield(L, -2, "store");
	lua_pushstring(L, "hoststore.Host");
	lua_setfield(L, -2, "__name");
	lua_setfield(L, -2, "host");
	lua_setuservalue(L, self);
	return store;
}

/* Where the databases of a driver keep what they share within this Lua state. It has no finalizer:
 * stores that are collected after it, at the end, still find it. */
static void **get_shared(lua_State *L, const char *driver)
{
	void **shared;

	lua_getfield(L, LUA_REGISTRYINDEX, "hoststore.shared");
	lua_getfield(L, -1, driver);
	shared = lua_touserdata(L, -1);
	if (!shared) {
		shared = lua_newuserdata(L, sizeof *shared);
		*shared = NULL;
		lua_setfield(L, -3, driver);
	}
	lua_pop(L, 2);
	return shared;
}

/* -- policy ------------------------------------------------------------------------------------------------ */

/* A question of the core, for policy(first, stage, before, host) -> true, changes, effects, on_mistake; or
 * false and {message=, field=}, a refusal; or nil, nil, effects: what was given is to be written. FIRST is
 * whether nothing was asked yet in this call of the store. on_mistake(message, field), which comes with
 * changes, says what becomes of changes that are none: one of the other two answers. */
struct question {
	struct lua_store *store;
	struct hs_arena *arena;
	enum hs_policy_stage stage;
	const struct hs_host *before;
	struct hs_host *host;
	const char **effects;
	enum hs_code rc;
	struct hs_error *err;
};

/* The texts of HOST that still lie in the table they were read from. */
static bool keep_texts(struct hs_arena *arena, struct hs_host *host)
{
	const char **texts[] = {&host->comment, &host->origin};

	for (int i = 0; i < 2; i++) {
		if (*texts[i])
			*texts[i] = hs_copy(arena, *texts[i], strlen(*texts[i]));
		if (!*texts[i] && i > 0)
			return false;
	}
	return true;
}

/* What the rules give is checked like what a user gives: HS_POLICY says that it is wrong. */
static enum hs_code take_changes(lua_State *L, int arg, const struct question *question)
{
	struct hs_host_input changes;
	struct hs_error *err = question->err;
	bool had_comment;
	enum hs_code rc = check_host_input(L, arg, question->arena, &changes, err);

	if (rc == HS_OK)
		rc = hs_host_check(question->arena, &changes, question->store->store.lenient, question->host, err);
	if (rc) {
		err->code = rc == HS_INVALID ? HS_POLICY : rc;
		return err->code;
	}
	had_comment = question->host->comment != NULL;
	if (!keep_texts(question->arena, question->host) || had_comment != (question->host->comment != NULL))
		return hs_no_memory(err);
	return HS_OK;
}

static enum hs_code take_answer(lua_State *L, const struct question *question)
{
	const char *effects;
	enum hs_code rc;

	if (lua_isboolean(L, 2) && !lua_toboolean(L, 2)) {
		const char *field = field_text(L, 3, "field");

		return hs_fail(question->err, HS_POLICY, field, "%s", field_text(L, 3, "message"));
	}
	effects = check_text_or_nil(L, 4, "effects");
	if (effects) {
		*question->effects = hs_copy(question->arena, effects, strlen(effects));
		if (!*question->effects)
			return hs_no_memory(question->err);
	}
	if (lua_isnil(L, 2))
		return HS_STOP;
	rc = lua_isnil(L, 3) ? HS_OK : take_changes(L, 3, question);
	if (rc != HS_POLICY)
		return rc;
	/* on_mistake is on top; its answer takes the place of the one before. */
	lua_settop(L, 5);
	lua_pushstring(L, question->err->message);
	lua_pushstring(L, question->err->field);
	lua_call(L, 2, 3);
	for (int i = 0; i < 3; i++)
		lua_remove(L, 2);
	return take_answer(L, question);
}

/* Runs protected: nothing may be raised through the core. */
static int answer_question(lua_State *L)
{
	struct question *question = lua_touserdata(L, 1);
	static const char *const stages[] = {"normalise", "keep", "rules"};

	lua_rawgeti(L, LUA_REGISTRYINDEX, question->store->policy);
	lua_pushboolean(L, !question->store->is_asked);
	question->store->is_asked = true;
	lua_pushstring(L, stages[question->stage]);
	if (question->before)
		push_plain_host(L, question->before);
	else
		lua_pushnil(L);
	push_plain_host(L, question->host);
	lua_call(L, 4, 4);
	question->rc = take_answer(L, question);
	return 0;
}

static enum hs_code ask_policy(void *context, struct hs_arena *arena, enum hs_policy_stage stage,
			       const struct hs_host *before, struct hs_host *host, const char **effects,
			       struct hs_error *err)
{
	struct lua_store *store = context;
	struct question question = {store, arena, stage, before, host, effects, HS_OK, err};
	lua_State *L = store->L;
	int status = call_protected(L, answer_question, &question);

	if (status == 0)
		return question.rc;
	if (status == LUA_ERRMEM)
		hs_no_memory(err);
	else
		hs_fail(err, HS_POLICY, NULL, "%s", lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) :
			"the policy failed");
	lua_pop(L, 1);
	return err->code;
}

/* open(driver, options) */
static int core_open(lua_State *L)
{
	const struct hs_driver *driver = *(const struct hs_driver **)luaL_checkudata(L, 1, "hoststore.Driver");
	struct hs_store_options options = {0};
	struct lua_store *store;
	struct hs_error err;

	luaL_checktype(L, 2, LUA_TTABLE);
	options.open.location = field_text(L, 2, "location");
	options.open.journal = field_text(L, 2, "journal");
	options.open.readonly = field_flag(L, 2, "readonly", false);
	options.open.create = field_flag(L, 2, "create", true);
	options.open.durable = field_flag(L, 2, "durable", true);
	options.open.page_size = (int)field_int(L, 2, "page_size", 0);
	options.open.busy_timeout = (int)field_int(L, 2, "busy_timeout", 0);
	options.open.schema = field_text(L, 2, "schema");
	options.open.notify = field_flag(L, 2, "notify", false);
	options.open.min_connections = (int)field_int(L, 2, "min_connections", 1);
	options.open.max_connections = (int)field_int(L, 2, "max_connections", 1);
	options.open.acquire_timeout = (int)field_int(L, 2, "acquire_timeout", 0);
	options.open.idle_timeout = (int)field_int(L, 2, "idle_timeout", 0);
	options.open.shared = get_shared(L, driver->name);
	options.tenant = field_text(L, 2, "tenant");
	options.actor = field_text(L, 2, "actor");
	options.lenient = field_flag(L, 2, "lenient", false);
	options.ids = get_ids(L);
	store = push_store(L, 2);
	if (hs_store_open(&store->store, driver, &options, &err)) {
		hs_store_close(&store->store);
		return push_failure(L, 0, &err);
	}
	store->is_open = true;
	lua_getfield(L, 2, "policy");
	if (lua_isfunction(L, -1)) {
		store->policy = luaL_ref(L, LUA_REGISTRYINDEX);
		store->store.policy = ask_policy;
		store->store.policy_context = store;
	} else {
		lua_pop(L, 1);
	}
	return 1;
}

/* -- hosts ------------------------------------------------------------------------------------------------------- */

static int push_result(lua_State *L, enum hs_code rc, const struct hs_host *host, const struct hs_error *err)
{
	if (rc)
		return push_failure(L, 1, err);
	push_host(L, 1, host);
	return 1;
}

/* add(store, host [, options]) */
static int store_add(lua_State *L)
{
	static const char *const keys[] = {"actor", "reason", "event_id", "metadata", NULL};
	struct hs_store *store = check_store_and_clock(L, 1);
	struct hs_arena *arena;
	struct hs_host_input input;
	struct hs_add how = {0};
	struct hs_host host;
	struct hs_error err;
	enum hs_code rc;

	lua_settop(L, 3);
	check_keys(L, 3, "the options", keys);
	arena = push_box(L);
	how.by = check_cause(L, 3, arena);
	if (!lua_isnil(L, 3))
		how.event_id = field_text(L, 3, "event_id");
	rc = check_host_input(L, 2, arena, &input, &err);
	if (rc == HS_OK)
		rc = hs_host_add(store, arena, &input, &how, &host, &err);
	return push_result(L, rc, &host, &err);
}

/* The host at ARG as it was read, when EXPECTED is its version; else NULL. A script may have put
 * anything into the table: nothing here is an error. */
static const struct hs_host *to_known(lua_State *L, int arg, const struct hs_store *store,
				      struct hs_arena *arena, int64_t expected)
{
	struct hs_host_input input;
	struct hs_host *host;
	struct hs_error err;

	if (expected < 1 || !is_host_value(L, arg))
		return NULL;
	host = hs_alloc(arena, sizeof *host);
	if (!host)
		return NULL;
	*host = hs_host_blank();
	host->id = check_host_id(L, arg, &host->version);
	lua_getfield(L, arg, "created_at");
	if (host->version != expected || check_time(L, lua_gettop(L), "created_at", &host->created_at, &err) ||
	    take_host_fields(L, arg, arena, &input, &err) ||
	    hs_host_check(arena, &input, store->lenient, host, &err))
		host = NULL;
	lua_pop(L, 1);
	return host;
}

/* update(store, host or id, changes [, options]) -> host, changed */
static int store_update(lua_State *L)
{
	static const char *const keys[] = {"expected_version", "actor", "reason", "metadata", NULL};
	struct hs_store *store = check_store_and_clock(L, 1);
	struct hs_arena *arena;
	struct hs_host_input changes;
	struct hs_cause by;
	struct hs_host host;
	struct hs_error err;
	int64_t expected;
	const char *id = check_host_id(L, 2, &expected);
	bool changed = false;
	const struct hs_host *known;
	enum hs_code rc;

	lua_settop(L, 4);
	check_keys(L, 4, "the options", keys);
	arena = push_box(L);
	by = check_cause(L, 4, arena);
	if (!lua_isnil(L, 4))
		expected = field_count(L, 4, "expected_version", expected);
	known = to_known(L, 2, store, arena, expected);
	rc = check_host_input(L, 3, arena, &changes, &err);
	if (rc == HS_OK)
		rc = hs_host_update(store, arena, id, expected, known, &changes, &by, &host, &changed, &err);
	if (rc)
		return push_failure(L, 1, &err);
	push_host(L, 1, &host);
	lua_pushboolean(L, changed);
	return 2;
}

/* delete(store, host or id [, options]) */
static int store_delete(lua_State *L)
{
	static const char *const keys[] = {"expected_version", "actor", "reason", "metadata", NULL};
	struct hs_store *store = check_store_and_clock(L, 1);
	struct hs_arena *arena;
	struct hs_cause by;
	struct hs_error err;
	int64_t expected;
	const char *id = check_host_id(L, 2, &expected);

	lua_settop(L, 3);
	check_keys(L, 3, "the options", keys);
	arena = push_box(L);
	by = check_cause(L, 3, arena);
	if (!lua_isnil(L, 3))
		expected = field_count(L, 3, "expected_version", expected);
	if (hs_host_delete(store, arena, id, expected, to_known(L, 2, store, arena, expected), &by, &err))
		return push_failure(L, 1, &err);
	lua_pushboolean(L, 1);
	return 1;
}

/* The reads below serve the store and its views: a view passes its moment, position and time, as
 * the first arguments behind the store. FIRST is the argument behind those. */
static const struct hs_moment NOW = {.now = true};

/* A position, and a time in seconds or nil. */
static struct hs_moment check_moment(lua_State *L, int arg)
{
	struct hs_moment at = {.position = check_int(L, arg, "position"), .time = INT64_MAX};
	struct hs_error err;

	if (!lua_isnil(L, arg + 1) && check_time(L, arg + 1, "time", &at.time, &err))
		luaL_error(L, "%s", err.message);
	return at;
}

static int get_host(lua_State *L, struct hs_moment at, int first)
{
	struct hs_store *store = check_store(L, 1);
	int64_t expected;
	const char *id = check_host_id(L, first, &expected);
	struct hs_arena *arena = push_box(L);
	struct hs_host host;
	struct hs_error err;

	return push_result(L, hs_host_get(store, arena, at, id, &host, &err), &host, &err);
}

static int find_host(lua_State *L, struct hs_moment at, int first)
{
	struct hs_store *store = check_store(L, 1);
	const char *ip = check_text(L, first, "ip");
	const char *hostname = check_text(L, first + 1, "hostname");
	struct hs_arena *arena = push_box(L);
	struct hs_host host;
	struct hs_error err;
	bool found;
	enum hs_code rc = hs_host_find(store, arena, at, ip, hostname, &host, &found, &err);

	if (rc == HS_OK && !found) {
		lua_pushnil(L);
		return 1;
	}
	return push_result(L, rc, &host, &err);
}

static int push_listed(lua_State *L, struct hs_store *store, struct hs_arena *arena, struct hs_moment at,
		       const struct hs_filter *filter)
{
	struct hs_hosts hosts = {0};
	struct hs_error err;

	if (hs_host_list(store, arena, at, filter, &hosts, &err))
		return push_failure(L, 1, &err);
	push_hosts(L, 1, &hosts);
	return 1;
}

static int list_hosts(lua_State *L, struct hs_moment at, int first)
{
	struct hs_store *store = check_store(L, 1);
	struct hs_arena *arena;
	struct hs_filter filter;
	struct hs_error err;

	lua_settop(L, first);
	arena = push_box(L);
	if (check_filter(L, first, store, at, arena, &filter, &err))
		return push_failure(L, 1, &err);
	return push_listed(L, store, arena, at, &filter);
}

/* hosts_lines(store, filter, now) -> text, how many hosts are in it, how many were listed, the last of them or nil:
 * the hosts as lines of hosts(5) without those that are disabled, or expired at `now` unless that is nil */
static int core_hosts_lines(lua_State *L)
{
	struct hs_store *store = check_store(L, 1);
	int64_t now = INT64_MIN, count = 0;
	struct hs_arena *arena;
	struct hs_filter filter;
	struct hs_hosts hosts = {0};
	struct hs_text text = {0};
	struct hs_error err;

	lua_settop(L, 3);
	text.arena = arena = push_box(L);
	if ((!lua_isnil(L, 3) && check_time(L, 3, "now", &now, &err)) ||
	    check_filter(L, 2, store, NOW, arena, &filter, &err) ||
	    hs_host_list(store, arena, NOW, &filter, &hosts, &err))
		return push_failure(L, 1, &err);
	for (size_t i = 0; i < hosts.count; i++) {
		if (!hs_is_published(&hosts.items[i], now))
			continue;
		hs_line_add(&text, &hosts.items[i]);
		count++;
	}
	if (text.failed)
		return luaL_error(L, "not enough memory");
	lua_pushlstring(L, text.n ? text.s : "", text.n);
	push_int(L, count);
	push_int(L, (int64_t)hosts.count);
	if (hosts.count)
		push_host(L, 1, &hosts.items[hosts.count - 1]);
	else
		lua_pushnil(L);
	hs_arena_free(arena);	/* the collector does not know how much it holds */
	return 4;
}

static const char *join(struct hs_arena *arena, const char *const *items, int count, const char *separator)
{
	struct hs_text text = {.arena = arena};

	for (int i = 0; i < count; i++) {
		hs_text_add(&text, i ? separator : "");
		hs_text_add(&text, items[i]);
	}
	return text.failed ? NULL : count ? text.s : "";
}

/* host_line(host) -> the line of hosts(5) of a host value, for whoever made it */
static int core_host_line(lua_State *L)
{
	struct hs_arena *arena = push_box(L);
	struct hs_text text = {.arena = arena};
	struct hs_host host = hs_host_blank();
	struct hs_host_input input;
	struct hs_error err;

	if (take_host_fields(L, 1, arena, &input, &err))
		return push_failure(L, 0, &err);
	host.ip = input.ip;
	host.hostname = input.hostname;
	host.comment = input.comment;
	host.aliases = join(arena, input.aliases, input.alias_count, " ");
	host.tags = join(arena, input.tags, input.tag_count, ",");
	if (host.aliases && host.tags)
		hs_line_add(&text, &host);
	if (!host.aliases || !host.tags || text.failed)
		return luaL_error(L, "not enough memory");
	lua_pushlstring(L, text.s, text.n);
	hs_arena_free(arena);	/* the collector does not know how much it holds */
	return 1;
}

static int lookup_name(lua_State *L, struct hs_moment at, int first)
{
	struct hs_store *store = check_store(L, 1);
	struct hs_filter filter = hs_filter_all();
	const char *name = check_text(L, first, "name");
	struct hs_arena *arena = push_box(L);

	filter.hostname = name;
	if (strpbrk(name, "*?")) {	/* no name holds these: it is not a pattern here */
		lua_newtable(L);
		return 1;
	}
	return push_listed(L, store, arena, at, &filter);
}

static int count_hosts(lua_State *L, struct hs_moment at, int first)
{
	struct hs_store *store = check_store(L, 1);
	struct hs_arena *arena;
	struct hs_filter filter;
	struct hs_error err;
	int64_t count;

	lua_settop(L, first);
	arena = push_box(L);
	if (check_filter(L, first, store, at, arena, &filter, &err) ||
	    hs_host_count(store, arena, at, &filter, &count, &err))
		return push_failure(L, 1, &err);
	push_int(L, count);
	return 1;
}

static int store_get(lua_State *L) { return get_host(L, NOW, 2); }
static int store_find(lua_State *L) { return find_host(L, NOW, 2); }
static int store_list(lua_State *L) { return list_hosts(L, NOW, 2); }
static int store_lookup(lua_State *L) { return lookup_name(L, NOW, 2); }
static int store_count(lua_State *L) { return count_hosts(L, NOW, 2); }
static int view_get(lua_State *L) { return get_host(L, check_moment(L, 2), 4); }
static int view_find(lua_State *L) { return find_host(L, check_moment(L, 2), 4); }
static int view_list(lua_State *L) { return list_hosts(L, check_moment(L, 2), 4); }
static int view_lookup(lua_State *L) { return lookup_name(L, check_moment(L, 2), 4); }
static int view_count(lua_State *L) { return count_hosts(L, check_moment(L, 2), 4); }

/* reverse(store, ip) */
static int store_reverse(lua_State *L)
{
	struct hs_store *store = check_store(L, 1);
	struct hs_filter filter = hs_filter_all();
	struct hs_arena *arena = push_box(L);
	struct hs_error err;
	struct hs_ip ip;

	if (hs_check_ip(check_text(L, 2, "ip"), &ip, &err))
		return push_failure(L, 1, &err);
	filter.ip = ip.text;
	return push_listed(L, store, arena, NOW, &filter);
}

/* -- streams ------------------------------------------------------------------------------------------------------------- */

/* The event table at the top of the stack. */
static void check_new_event(lua_State *L, struct hs_new_event *event)
{
	int table = lua_gettop(L);

	event->type = field_text(L, table, "type");
	event->data = field_text(L, table, "data");
	event->metadata = field_text(L, table, "metadata");
	event->id = field_text(L, table, "id");
	event->occurred_at = HS_TIME_UNSET;
	lua_getfield(L, table, "occurred_at");
	if (!lua_isnil(L, -1)) {
		struct hs_error err;

		if (check_time(L, table + 1, "occurred_at", &event->occurred_at, &err))
			luaL_error(L, "occurred_at: %s", err.message);
	}
	lua_pop(L, 1);
}

/* The operation {stream=, expected=, events={...}, actor=, metadata=} at the top of the stack;
 * data and metadata are JSON text here. */
static void check_append(lua_State *L, struct hs_arena *arena, struct hs_append *append)
{
	struct hs_new_event *events;
	int table = lua_gettop(L), count;

	memset(append, 0, sizeof *append);
	append->stream = field_text(L, table, "stream");
	append->expected = field_int(L, table, "expected", HS_EXPECT_ANY);
	append->by.actor = field_text(L, table, "actor");
	append->by.reason = field_text(L, table, "reason");
	append->by.metadata = field_text(L, table, "metadata");
	lua_getfield(L, table, "events");
	count = (int)lua_rawlen(L, -1);
	events = hs_alloc(arena, ((size_t)count + 1) * sizeof *events);
	if (!events)
		luaL_error(L, "not enough memory");
	for (int i = 0; i < count; i++) {
		lua_rawgeti(L, -1, i + 1);
		check_new_event(L, &events[i]);
		lua_pop(L, 1);
	}
	lua_pop(L, 1);
	append->events = events;
	append->count = count;
}

static void push_appended(lua_State *L, const struct hs_append *append)
{
	lua_createtable(L, 0, 5);
	if (append->err.code) {
		push_error(L, 0, &append->err);
		lua_setfield(L, -2, "error");
		return;
	}
	push_int(L, append->first);
	lua_setfield(L, -2, "first");
	push_int(L, append->last);
	lua_setfield(L, -2, "last");
	push_int(L, append->position);
	lua_setfield(L, -2, "position");
	lua_pushboolean(L, append->idempotent);
	lua_setfield(L, -2, "idempotent");
	lua_createtable(L, append->count, 0);
	for (int i = 0; i < append->count; i++) {
		push_text(L, append->ids[i]);
		lua_rawseti(L, -2, i + 1);
	}
	lua_setfield(L, -2, "ids");
}

/* append(store, operations, atomic) -> results */
static int core_append(lua_State *L)
{
	struct hs_store *store = check_store_and_clock(L, 1);
	bool atomic = check_flag(L, 3, "atomic");
	struct hs_arena *arena = push_box(L);
	struct hs_append *appends;
	struct hs_error err;
	int count;

	luaL_checktype(L, 2, LUA_TTABLE);
	count = (int)lua_rawlen(L, 2);
	appends = hs_alloc(arena, ((size_t)count + 1) * sizeof *appends);
	if (!appends)
		return luaL_error(L, "not enough memory");
	for (int i = 0; i < count; i++) {
		lua_rawgeti(L, 2, i + 1);
		check_append(L, arena, &appends[i]);
		lua_pop(L, 1);
	}
	if (hs_append(store, arena, appends, count, atomic, &err))
		return push_failure(L, 1, &err);
	lua_createtable(L, count, 0);
	for (int i = 0; i < count; i++) {
		push_appended(L, &appends[i]);
		lua_rawseti(L, -2, i + 1);
	}
	return 1;
}

/* An event query out of a table; `types` stays in the arena. */
static void check_event_query(lua_State *L, int arg, struct hs_arena *arena, struct hs_event_query *query)
{
	struct hs_error err;

	luaL_checktype(L, arg, LUA_TTABLE);
	*query = (struct hs_event_query){.since = HS_TIME_UNSET};
	query->after = field_count(L, arg, "after", 0);
	query->stream = field_text(L, arg, "stream");
	query->prefix = field_text(L, arg, "prefix");
	query->actor = field_text(L, arg, "actor");
	query->from = field_count(L, arg, "from", 0);
	query->to = field_count(L, arg, "to", 0);
	query->by_version = field_flag(L, arg, "by_version", false);
	query->backward = field_flag(L, arg, "backward", false);
	query->limit = field_count(L, arg, "limit", -1);
	lua_getfield(L, arg, "types");
	query->types = check_texts(L, lua_gettop(L), "types", arena, &query->type_count);
	lua_getfield(L, arg, "since");
	if (!lua_isnil(L, -1) && check_time(L, lua_gettop(L), "since", &query->since, &err))
		luaL_error(L, "since: %s", err.message);
	lua_pop(L, 2);
}

/* Sets the fields every event has, data and metadata as JSON text, on the table on top. */
static void set_event(lua_State *L, const struct hs_event *event)
{
	push_int(L, event->position);
	lua_setfield(L, -2, "position");
	push_text(L, event->stream);
	lua_setfield(L, -2, "stream");
	push_int(L, event->version);
	lua_setfield(L, -2, "version");
	push_text(L, event->id);
	lua_setfield(L, -2, "id");
	push_text(L, event->type);
	lua_setfield(L, -2, "type");
	push_text(L, event->data);
	lua_setfield(L, -2, "data");
	push_text(L, event->metadata);
	lua_setfield(L, -2, "metadata");
	push_text(L, event->actor);
	lua_setfield(L, -2, "actor");
	push_text(L, event->reason);
	lua_setfield(L, -2, "reason");
	push_time(L, event->occurred_at);
	lua_setfield(L, -2, "occurred_at");
	push_time(L, event->recorded_at);
	lua_setfield(L, -2, "recorded_at");
}

static void push_events(lua_State *L, const struct hs_events *events)
{
	lua_createtable(L, events->count < 1u << 20 ? (int)events->count : 0, 0);
	for (size_t i = 0; i < events->count; i++) {
		lua_createtable(L, 0, 11);
		set_event(L, &events->items[i]);
		lua_rawseti(L, -2, (int)i + 1);
	}
}

/* events(store, query) -> events */
static int core_events(lua_State *L)
{
	struct hs_store *store = check_store(L, 1);
	struct hs_arena *arena = push_box(L);
	struct hs_event_query query;
	struct hs_events events = {.arena = arena};
	struct hs_error err;

	check_event_query(L, 2, arena, &query);
	if (hs_events_read(store, &query, &events, &err))
		return push_failure(L, 1, &err);
	push_events(L, &events);
	return 1;
}

static int push_done(lua_State *L, enum hs_code rc, const struct hs_error *err)
{
	if (rc)
		return push_failure(L, 1, err);
	lua_pushboolean(L, 1);
	return 1;
}

static int push_number(lua_State *L, enum hs_code rc, int64_t number, const struct hs_error *err)
{
	if (rc)
		return push_failure(L, 1, err);
	push_int(L, number);
	return 1;
}

/* stream_version(store, stream) */
static int core_stream_version(lua_State *L)
{
	struct hs_store *store = check_store(L, 1);
	struct hs_error err;
	int64_t version;
	enum hs_code rc = hs_stream_version(store, check_text(L, 2, "stream"), &version, &err);

	return push_number(L, rc, version, &err);
}

/* position(store): of the newest event */
static int core_position(lua_State *L)
{
	struct hs_store *store = check_store(L, 1);
	struct hs_error err;
	int64_t position;
	enum hs_code rc = hs_log_position(store, &position, &err);

	return push_number(L, rc, position, &err);
}

/* streams(store, {prefix=, after=, partition=, limit=}) */
static int core_streams(lua_State *L)
{
	struct hs_store *store = check_store(L, 1);
	struct hs_arena *arena = push_box(L);
	struct hs_stream_query query;
	struct hs_stream *streams;
	struct hs_error err;
	size_t count;

	query.prefix = field_text(L, 2, "prefix");
	query.after = field_text(L, 2, "after");
	query.partition = field_int(L, 2, "partition", -1);
	query.limit = field_count(L, 2, "limit", -1);
	if (hs_streams(store, arena, &query, &streams, &count, &err))
		return push_failure(L, 1, &err);
	lua_newtable(L);
	for (size_t i = 0; i < count; i++) {
		lua_createtable(L, 0, 5);
		push_text(L, streams[i].stream);
		lua_setfield(L, -2, "stream");
		push_int(L, streams[i].version);
		lua_setfield(L, -2, "version");
		push_int(L, streams[i].partition);
		lua_setfield(L, -2, "partition");
		push_time(L, streams[i].created_at);
		lua_setfield(L, -2, "created_at");
		push_time(L, streams[i].updated_at);
		lua_setfield(L, -2, "updated_at");
		lua_rawseti(L, -2, (int)i + 1);
	}
	return 1;
}

/* state_save(store, stream, version, state) */
static int core_state_save(lua_State *L)
{
	struct hs_store *store = check_store_and_clock(L, 1);
	struct hs_error err;

	if (hs_state_save(store, check_text(L, 2, "stream"), check_int(L, 3, "version"),
			  check_text(L, 4, "state"), &err))
		return push_failure(L, 1, &err);
	lua_pushboolean(L, 1);
	return 1;
}

/* state_load(store, stream) -> version, state; nil when none is saved */
static int core_state_load(lua_State *L)
{
	struct hs_store *store = check_store(L, 1);
	const char *stream = check_text(L, 2, "stream"), *state;
	struct hs_arena *arena = push_box(L);
	struct hs_error err;
	int64_t version;

	if (hs_state_load(store, arena, stream, &version, &state, &err))
		return push_failure(L, 1, &err);
	if (!state) {
		lua_pushnil(L);
		return 1;
	}
	push_int(L, version);
	push_text(L, state);
	return 2;
}

/* -- rows of views ------------------------------------------------------------------------------------------------------------- */

/* Rows become tables after the statement is done: a row callback must not raise. */
struct row_sink {
	struct hs_arena *arena;
	struct hs_value *values;
	size_t count, room;		/* in values */
};

static enum hs_code take_row(void *context, const struct hs_value *row, int columns, struct hs_error *err)
{
	struct row_sink *sink = context;

	for (int i = 0; i < columns; i++) {
		struct hs_value *value;

		sink->values = hs_grow(sink->arena, sink->values, sink->count, &sink->room, sizeof *sink->values);
		if (!sink->values)
			return hs_no_memory(err);
		value = &sink->values[sink->count++];
		*value = row[i];
		if (value->type == HS_TEXT && !(value->s = hs_copy(sink->arena, row[i].s, row[i].n)))
			return hs_no_memory(err);
	}
	return HS_OK;
}

static void push_value(lua_State *L, const struct hs_value *value)
{
	if (value->type == HS_INT)
		push_int(L, value->i);
	else if (value->type == HS_TEXT)
		lua_pushlstring(L, value->s, value->n);
	else if (value->type == HS_BOOL)
		lua_pushboolean(L, (int)value->i);
	else if (value->type == HS_REAL)
		lua_pushnumber(L, value->r);
	else
		lua_pushnil(L);
}

static int push_rows(lua_State *L, enum hs_sql statement, const char *const names[])
{
	struct hs_store *store = check_store(L, 1);
	struct row_sink sink = {.arena = push_box(L)};
	struct hs_value tenant = hs_text_value(store->tenant);
	struct hs_error err;
	int columns = 0, index = 0;

	while (names[columns])
		columns++;
	if (hs_run(store, statement, &tenant, 1, take_row, &sink, &err))
		return push_failure(L, 1, &err);
	lua_newtable(L);
	for (size_t i = 0; i < sink.count; i += (size_t)columns) {
		lua_createtable(L, 0, columns);
		for (int k = 0; k < columns; k++) {
			push_value(L, &sink.values[i + (size_t)k]);
			lua_setfield(L, -2, names[k]);
		}
		lua_rawseti(L, -2, ++index);
	}
	return 1;
}

static int core_stream_health(lua_State *L)
{
	return push_rows(L, HS_SQL_STREAM_HEALTH,
			 (const char *const[]){"stream", "version", "watermark", "gap_size", "status", NULL});
}

static int core_partition_stats(lua_State *L)
{
	return push_rows(L, HS_SQL_PARTITION_STATS,
			 (const char *const[]){"partition", "streams", "events", "max_version", NULL});
}

static int core_log_counts(lua_State *L)
{
	return push_rows(L, HS_SQL_LOG_COUNTS, (const char *const[]){"events", "streams", NULL});
}

/* The values of the array at ARG, of `n` items; the sign for nothing, hoststore.null, is NULL. */
static struct hs_value *check_values(lua_State *L, int arg, struct hs_arena *arena, int count)
{
	struct hs_value *values = hs_alloc(arena, ((size_t)count + 1) * sizeof *values);

	for (int i = 0; values && i < count; i++) {
		values[i] = (struct hs_value){.s = ""};
		lua_rawgeti(L, arg, i + 1);
		if (lua_type(L, -1) == LUA_TBOOLEAN) {
			values[i].type = HS_BOOL;
			values[i].i = lua_toboolean(L, -1);
		} else if (lua_type(L, -1) == LUA_TNUMBER) {
			values[i].r = lua_tonumber(L, -1);
			values[i].type = values[i].r >= -9007199254740992.0 && values[i].r <= 9007199254740992.0 &&
				values[i].r == (double)(int64_t)values[i].r ? HS_INT : HS_REAL;
			values[i].i = values[i].type == HS_INT ? (int64_t)values[i].r : 0;
#if LUA_VERSION_NUM >= 503
			if (lua_isinteger(L, -1)) {
				values[i].type = HS_INT;
				values[i].i = (int64_t)lua_tointeger(L, -1);
			}
#endif
		} else if (lua_type(L, -1) == LUA_TSTRING) {
			values[i].type = HS_TEXT;
			values[i].s = lua_tolstring(L, -1, &values[i].n);
		}
		lua_pop(L, 1);	/* the array keeps it */
	}
	return values;
}

/* ask(store, sql, {values}, count, limit, seconds) -> rows; rows.columns, rows.more */
static int core_ask(lua_State *L)
{
	struct hs_store *store = check_store(L, 1);
	const char *sql = check_text(L, 2, "the SQL");
	int count = (int)check_int(L, 4, "count"), timeout = (int)(lua_tonumber(L, 6) * 1000);
	struct hs_answer answer = {.limit = check_int(L, 5, "limit"), .arena = push_box(L)};
	struct hs_value *values = check_values(L, 3, answer.arena, count);
	struct hs_error err;

	if (!values)
		return luaL_error(L, "not enough memory");
	if (hs_ask(store, sql, values, count, timeout, &answer, &err))
		return push_failure(L, 1, &err);
	lua_createtable(L, (int)answer.rows, 2);
	for (int64_t i = 0; i < answer.rows; i++) {
		lua_createtable(L, 0, answer.columns);
		for (int k = 0; k < answer.columns; k++) {
			push_value(L, &answer.values[i * answer.columns + k]);
			lua_setfield(L, -2, answer.names[k]);
		}
		lua_rawseti(L, -2, (int)i + 1);
	}
	lua_createtable(L, answer.columns, 0);
	for (int k = 0; k < answer.columns; k++) {
		push_text(L, answer.names[k]);
		lua_rawseti(L, -2, k + 1);
	}
	lua_setfield(L, -2, "columns");
	lua_pushboolean(L, answer.more);
	lua_setfield(L, -2, "more");
	return 1;
}

/* describe(store) -> {name = value} */
static int core_describe(lua_State *L)
{
	struct hs_store *store = check_store(L, 1);
	struct row_sink sink = {.arena = push_box(L)};
	struct hs_error err;

	if (hs_store_describe(store, take_row, &sink, &err))
		return push_failure(L, 1, &err);
	lua_newtable(L);
	push_text(L, store->driver->name);
	lua_setfield(L, -2, "backend");
	push_text(L, store->tenant);
	lua_setfield(L, -2, "tenant");
	for (size_t i = 0; i < sink.count; i += 2) {
		push_value(L, &sink.values[i]);
		push_value(L, &sink.values[i + 1]);
		lua_rawset(L, -3);
	}
	return 1;
}

/* -- history --------------------------------------------------------------------------------------------------------------------- */

static void push_changed(lua_State *L, const struct hs_history_entry *entry, enum hs_field field)
{
	lua_createtable(L, 0, 2);
	if (entry->has_before) {
		push_field(L, &entry->before, field);
		lua_setfield(L, -2, "old");
	}
	push_field(L, &entry->host, field);
	lua_setfield(L, -2, "new");
	lua_setfield(L, -2, hs_field_name(field));
}

static bool field_is_set(const struct hs_host *host, enum hs_field field)
{
	switch (field) {
	case HS_ALIASES: return *host->aliases;
	case HS_COMMENT: return host->comment;
	case HS_TAGS: return *host->tags;
	case HS_EXPIRES_AT: return host->expires_at != HS_TIME_UNSET;
	default: return true;
	}
}

/* {field = {old =, new =}}: what the event changed; for a new host, what it was made with. */
static void push_changes(lua_State *L, const struct hs_history_entry *entry)
{
	lua_newtable(L);
	for (enum hs_field field = 0; field < HS_FIELDS; field++)
		if (entry->has_before ? !hs_field_equal(&entry->before, &entry->host, field)
				      : field_is_set(&entry->host, field))
			push_changed(L, entry, field);
}

/* history(store, query) -> entries */
static int core_history(lua_State *L)
{
	struct hs_store *store = check_store(L, 1);
	struct hs_arena *arena = push_box(L);
	struct hs_event_query query;
	struct hs_history_entry *entries;
	struct hs_error err;
	size_t count;

	check_event_query(L, 2, arena, &query);
	if (hs_history(store, arena, &query, &entries, &count, &err))
		return push_failure(L, 1, &err);
	lua_newtable(L);
	for (size_t i = 0; i < count; i++) {
		lua_createtable(L, 0, 14);
		set_event(L, &entries[i].event);
		push_time(L, entries[i].event.recorded_at);
		lua_setfield(L, -2, "at");
		if (entries[i].has_host) {
			push_changes(L, &entries[i]);
			lua_setfield(L, -2, "changes");
			push_host(L, 1, &entries[i].host);
			lua_setfield(L, -2, "host");
		}
		lua_rawseti(L, -2, (int)i + 1);
	}
	return 1;
}

/* undo(store, position [, options]) -> number of events written */
static int store_undo(lua_State *L)
{
	static const char *const keys[] = {"actor", "reason", "metadata", NULL};
	struct hs_store *store = check_store_and_clock(L, 1);
	int64_t position = check_int(L, 2, "position"), written;
	struct hs_arena *arena;
	struct hs_cause by;
	struct hs_error err;
	enum hs_code rc;

	lua_settop(L, 3);
	check_keys(L, 3, "the options", keys);
	arena = push_box(L);
	by = check_cause(L, 3, arena);
	rc = hs_undo(store, arena, position, &by, &written, &err);
	return push_number(L, rc, written, &err);
}

static void push_change(lua_State *L, const struct hs_change *change)
{
	if (change->before && change->after) {
		lua_createtable(L, 0, 2);
		push_host(L, 1, change->before);
		lua_setfield(L, -2, "before");
		push_host(L, 1, change->after);
		lua_setfield(L, -2, "after");
	} else {
		push_host(L, 1, change->before ? change->before : change->after);
	}
}

/* diff(store, position, time, position, time) -> {added =, removed =, changed =} */
static int core_diff(lua_State *L)
{
	struct hs_store *store = check_store(L, 1);
	struct hs_moment a = check_moment(L, 2), b = check_moment(L, 4);
	struct hs_arena *arena = push_box(L);
	struct hs_hosts then = {0}, later = {0};
	struct hs_changes changes;
	struct hs_error err;
	int table, counts[3] = {0};

	if (hs_hosts_at(store, arena, a, &then, &err) || hs_hosts_at(store, arena, b, &later, &err) ||
	    hs_hosts_diff(arena, &then, &later, &changes, &err))
		return push_failure(L, 1, &err);
	lua_newtable(L);
	table = lua_gettop(L);
	for (int i = 0; i < 3; i++)
		lua_newtable(L);
	for (size_t i = 0; i < changes.count; i++) {
		const struct hs_change *change = &changes.items[i];
		int kind = !change->before ? 0 : !change->after ? 1 : 2;

		push_change(L, change);
		lua_rawseti(L, table + 1 + kind, ++counts[kind]);
	}
	lua_setfield(L, table, "changed");
	lua_setfield(L, table, "removed");
	lua_setfield(L, table, "added");
	return 1;
}

/* verify(store) -> {problems = {error ...}, events =, streams =, hosts =} */
static int core_verify(lua_State *L)
{
	struct hs_store *store = check_store(L, 1);
	struct hs_arena *arena = push_box(L);
	struct hs_verified verified;
	struct hs_error err;

	if (hs_verify(store, arena, &verified, &err))
		return push_failure(L, 1, &err);
	lua_newtable(L);
	push_int(L, verified.events);
	lua_setfield(L, -2, "events");
	push_int(L, verified.streams);
	lua_setfield(L, -2, "streams");
	push_int(L, verified.hosts);
	lua_setfield(L, -2, "hosts");
	lua_newtable(L);
	for (size_t i = 0; i < verified.count; i++) {
		const struct hs_problem *problem = &verified.problems[i];

		hs_fail(&err, HS_CORRUPT, NULL, "%s", problem->message);
		push_error(L, 0, &err);
		push_text(L, problem->kind);
		lua_setfield(L, -2, "kind");
		push_text(L, problem->stream);
		lua_setfield(L, -2, "stream");
		if (problem->position) {
			push_int(L, problem->position);
			lua_setfield(L, -2, "position");
		}
		lua_rawseti(L, -2, (int)i + 1);
	}
	lua_setfield(L, -2, "problems");
	return 1;
}

/* -- feeds ----------------------------------------------------------------------------------------------------------------------------- */

/* A feed is a table: its name and, once it is claimed, epoch and reader. */
static struct hs_feed check_feed(lua_State *L, int arg)
{
	struct hs_feed feed = {0};
	const char *reader;

	luaL_checktype(L, arg, LUA_TTABLE);
	feed.name = field_text(L, arg, "name");
	feed.epoch = field_count(L, arg, "epoch", 0);
	reader = field_text(L, arg, "reader");
	if (reader && strlen(reader) < sizeof feed.reader)
		strcpy(feed.reader, reader);
	return feed;
}

static void keep_claim(lua_State *L, int arg, const struct hs_feed *feed)
{
	push_int(L, feed->epoch);
	lua_setfield(L, arg, "epoch");
	push_text(L, *feed->reader ? feed->reader : NULL);
	lua_setfield(L, arg, "reader");
}

/* feed_read(store, feed, limit) -> events */
static int core_feed_read(lua_State *L)
{
	struct hs_store *store = check_store_and_clock(L, 1);
	struct hs_feed feed = check_feed(L, 2);
	int64_t limit = check_int(L, 3, "limit");
	struct hs_events events = {.arena = push_box(L)};
	struct hs_error err;

	if (hs_feed_read(store, &feed, limit, &events, &err))
		return push_failure(L, 1, &err);
	keep_claim(L, 2, &feed);
	push_events(L, &events);
	return 1;
}

/* feed_ack(store, feed, position) */
static int core_feed_ack(lua_State *L)
{
	struct hs_store *store = check_store_and_clock(L, 1);
	struct hs_feed feed = check_feed(L, 2);
	struct hs_error err;
	enum hs_code rc = hs_feed_ack(store, &feed, check_int(L, 3, "position"), &err);

	if (rc == HS_OK)
		keep_claim(L, 2, &feed);
	return push_done(L, rc, &err);
}

/* feed_progress(store, name) -> position of the feed, and of the newest event */
static int core_feed_progress(lua_State *L)
{
	struct hs_store *store = check_store(L, 1);
	struct hs_error err;
	int64_t position, head;

	if (hs_feed_progress(store, check_text(L, 2, "name"), &position, &head, &err))
		return push_failure(L, 1, &err);
	push_int(L, position);
	push_int(L, head);
	return 2;
}

/* feeds(store): updated_at in microseconds */
static int core_feeds(lua_State *L)
{
	return push_rows(L, HS_SQL_FEED_LIST,
			 (const char *const[]){"name", "position", "lag", "epoch", "updated_at", NULL});
}

/* feed_delete(store, name) */
static int core_feed_delete(lua_State *L)
{
	struct hs_store *store = check_store_and_clock(L, 1);
	struct hs_error err;

	return push_done(L, hs_feed_delete(store, check_text(L, 2, "name"), &err), &err);
}

/* -- transactions ---------------------------------------------------------------------------------------------------------------------- */

/* begin(store, write) */
static int core_begin(lua_State *L)
{
	struct hs_store *store = check_store(L, 1);
	struct hs_error err;
	enum hs_code rc = hs_begin(store, check_flag(L, 2, "write"), &err);

	if (rc == HS_OK) {
		/* What the script does before its first statement is done as the only writer, too. */
		rc = hs_sync(store, &err);
		if (rc)
			hs_end(store, rc, &err);
	}
	return push_done(L, rc, &err);
}

/* finish(store, commit): ends the transaction begun last */
static int core_finish(lua_State *L)
{
	struct lua_store *store = to_store(L, 1);
	bool commit = check_flag(L, 2, "commit");
	struct hs_error err;
	enum hs_code rc;

	if (!store->is_open || store->store.depth == 0)	/* fn closed the store: all is rolled back */
		return luaL_error(L, "the store was closed within its transaction");
	rc = hs_end(&store->store, commit ? HS_OK : HS_STOP, &err);
	return push_done(L, rc == HS_STOP ? HS_OK : rc, &err);
}

/* call(fn, ...): as pcall, but fn cannot yield: within a transaction the store is not to be left to
 * somebody else, who would take part in it. */
static int core_call(lua_State *L)
{
	bool ok = lua_pcall(L, lua_gettop(L) - 1, LUA_MULTRET, 0) == 0;

	lua_pushboolean(L, ok);
	lua_insert(L, 1);
	return lua_gettop(L);
}

/* amended(store, host or nil, changes) -> the host as the changes make it, checked as if it were written: a
 * plain table of its fields */
static int core_amended(lua_State *L)
{
	struct hs_store *store = check_store(L, 1);
	struct hs_arena *arena = push_box(L);
	struct hs_host_input input;
	struct hs_host host = hs_host_blank();
	struct hs_error err;
	enum hs_code rc = HS_OK;

	if (!lua_isnil(L, 2)) {
		rc = take_host_fields(L, 2, arena, &input, &err);
		/* It may have been written when other names were allowed. */
		if (rc == HS_OK)
			rc = hs_host_check(arena, &input, true, &host, &err);
	}
	if (rc == HS_OK)
		rc = check_host_input(L, 3, arena, &input, &err);
	if (rc == HS_OK && lua_isnil(L, 2))
		input.given |= 1u << HS_IP | 1u << HS_HOSTNAME;
	if (rc == HS_OK)
		rc = hs_host_check(arena, &input, store->lenient, &host, &err);
	if (rc)
		return push_failure(L, 1, &err);
	push_plain_host(L, &host);
	return 1;
}

/* -- import -------------------------------------------------------------------------------------------------------------------------------- */

/* An import in progress, for the store in its user value. */
struct lua_import {
	struct hs_import import;
	struct hs_arena arena, scratch;	/* its own strings; those of one entry */
};

#define IMPORT_TYPE "hoststore.Import"

static int import_gc(lua_State *L)
{
	struct lua_import *import = lua_touserdata(L, 1);

	hs_import_end(&import->import);
	hs_arena_free(&import->arena);
	hs_arena_free(&import->scratch);
	return 0;
}

static const char *keep_text(lua_State *L, struct hs_arena *arena, const char *text)
{
	char *copy = text ? hs_copy(arena, text, strlen(text)) : NULL;

	if (text && !copy)
		luaL_error(L, "not enough memory");
	return copy;
}

static unsigned import_fields(lua_State *L, int arg)
{
	unsigned fields = 0;

	lua_getfield(L, arg, "fields");
	for (enum hs_field field = 0; field < HS_FIELDS; field++)
		fields |= (unsigned)field_flag(L, lua_gettop(L), hs_field_name(field), false) << field;
	lua_pop(L, 1);
	return fields;
}

/* import_begin(store, {mode=, origin=, fields=, actor=, reason=}) -> import */
static int core_import_begin(lua_State *L)
{
	static const char *const modes[] = {"skip", "replace", "merge", "strict", "sync", NULL};
	struct hs_store *store = check_store_and_clock(L, 1);
	struct lua_import *import;
	struct hs_error err;

	import = lua_newuserdata(L, sizeof *import);
	memset(import, 0, sizeof *import);
	luaL_getmetatable(L, IMPORT_TYPE);
	lua_setmetatable(L, -2);
	lua_getfield(L, 2, "mode");
	import->import.mode = (enum hs_import_mode)luaL_checkoption(L, -1, NULL, modes);
	lua_pop(L, 1);
	import->import.origin = keep_text(L, &import->arena, field_text(L, 2, "origin"));
	import->import.by = check_cause(L, 2, &import->arena);
	import->import.by.actor = keep_text(L, &import->arena, import->import.by.actor);
	import->import.by.reason = keep_text(L, &import->arena, import->import.by.reason);
	import->import.fields = import_fields(L, 2);
	if (hs_import_begin(store, &import->import, &err))
		return push_failure(L, 1, &err);
	return 1;
}

/* import_decide(store, import, entry) -> action, after, before, effects: what the entry means, read only
 * import_entry(store, import, entry) -> action: decides, and writes it */
static int import_one(lua_State *L, bool write)
{
	static const char *const names[] = {"create", "update", "unchanged", "skip"};
	/* All entries are recorded at the time the import began. */
	struct hs_store *store = check_store(L, 1);
	struct lua_import *import = luaL_checkudata(L, 2, IMPORT_TYPE);
	struct hs_host_input entry;
	const struct hs_cause *by = &import->import.by;
	struct hs_change change;
	enum hs_action action;
	struct hs_error err;
	enum hs_code rc;

	hs_rewind(&import->scratch, (struct hs_mark){0});
	rc = check_host_input(L, 3, &import->scratch, &entry, &err);
	if (rc == HS_OK)
		rc = hs_import_decide(store, &import->scratch, &import->import, &entry, &action, &change, &err);
	if (rc == HS_OK && write && (action == HS_CREATE || action == HS_UPDATE)) {
		rc = hs_policy_note(&import->scratch, import->import.effects, &by, &err);
		if (rc == HS_OK)
			rc = hs_host_write(store, &import->scratch, change.before, change.after, by, &err);
	}
	if (rc)
		return push_failure(L, 1, &err);
	lua_pushstring(L, names[action]);
	if (write)
		return 1;
	push_host(L, 1, change.after);
	if (change.before)
		push_host(L, 1, change.before);
	else
		lua_pushnil(L);
	push_text(L, import->import.effects);
	return 4;
}

static int core_import_entry(lua_State *L) { return import_one(L, true); }
static int core_import_decide(lua_State *L) { return import_one(L, false); }

/* import_spare(store, import, ip, hostname) */
static int core_import_spare(lua_State *L)
{
	struct hs_store *store = check_store(L, 1);
	struct lua_import *import = luaL_checkudata(L, 2, IMPORT_TYPE);
	const char *ip = luaL_checkstring(L, 3), *hostname = luaL_checkstring(L, 4);
	struct hs_error err;
	enum hs_code rc;

	hs_rewind(&import->scratch, (struct hs_mark){0});
	rc = hs_import_spare(store, &import->scratch, &import->import, ip, hostname, &err);
	return push_done(L, rc, &err);
}

/* import_missing(store, import) -> hosts of the origin that no entry named */
static int core_import_missing(lua_State *L)
{
	struct hs_store *store = check_store(L, 1);
	struct lua_import *import = luaL_checkudata(L, 2, IMPORT_TYPE);
	struct hs_arena *arena = push_box(L);
	struct hs_hosts missing = {0};
	struct hs_error err;

	if (hs_import_missing(store, arena, &import->import, &missing, &err))
		return push_failure(L, 1, &err);
	push_hosts(L, 1, &missing);
	return 1;
}

/* -- snapshots -------------------------------------------------------------------------------------------------------------------------------- */

static void push_snapshot(lua_State *L, const struct hs_snapshot *snapshot)
{
	lua_createtable(L, 0, 7);
	push_text(L, snapshot->id);
	lua_setfield(L, -2, "id");
	push_text(L, snapshot->name);
	lua_setfield(L, -2, "name");
	push_text(L, snapshot->trigger);
	lua_setfield(L, -2, "trigger");
	push_int(L, snapshot->position);
	lua_setfield(L, -2, "position");
	push_time(L, snapshot->created_at);
	lua_setfield(L, -2, "created_at");
	push_int(L, snapshot->entry_count);
	lua_setfield(L, -2, "entry_count");
}

/* snapshot_save(store, {name=, trigger=, content=}) -> snapshot */
static int core_snapshot_save(lua_State *L)
{
	struct hs_store *store = check_store_and_clock(L, 1);
	struct hs_arena *arena = push_box(L);
	struct hs_snapshot snapshot = {0};
	struct hs_error err;

	snapshot.name = field_text(L, 2, "name");
	snapshot.trigger = field_text(L, 2, "trigger");
	snapshot.content = field_text(L, 2, "content");
	if (hs_snapshot_save(store, arena, &snapshot, &err))
		return push_failure(L, 1, &err);
	push_snapshot(L, &snapshot);
	return 1;
}

/* get_snapshot(store, id) */
static int store_get_snapshot(lua_State *L)
{
	struct hs_store *store = check_store(L, 1);
	const char *id = check_text(L, 2, "id");
	struct hs_arena *arena = push_box(L);
	struct hs_snapshot snapshot;
	struct hs_error err;

	if (hs_snapshot_get(store, arena, id, &snapshot, &err))
		return push_failure(L, 1, &err);
	push_snapshot(L, &snapshot);
	push_text(L, snapshot.content);
	lua_setfield(L, -2, "hosts_content");
	return 1;
}

/* snapshots(store [, {limit=, offset=}]): newest first */
static int store_snapshots(lua_State *L)
{
	static const char *const keys[] = {"limit", "offset", NULL};
	struct hs_store *store = check_store(L, 1);
	struct hs_arena *arena;
	struct hs_snapshot *snapshots;
	struct hs_error err;
	int64_t limit = -1, offset = 0;
	size_t count;

	lua_settop(L, 2);
	check_keys(L, 2, "the options", keys);
	if (!lua_isnil(L, 2)) {
		limit = field_count(L, 2, "limit", -1);
		offset = field_count(L, 2, "offset", 0);
	}
	arena = push_box(L);
	if (hs_snapshot_list(store, arena, limit, offset, &snapshots, &count, &err))
		return push_failure(L, 1, &err);
	lua_newtable(L);
	for (size_t i = 0; i < count; i++) {
		push_snapshot(L, &snapshots[i]);
		lua_rawseti(L, -2, (int)i + 1);
	}
	return 1;
}

/* delete_snapshot(store, id) */
static int store_delete_snapshot(lua_State *L)
{
	struct hs_store *store = check_store(L, 1);
	struct hs_error err;

	return push_done(L, hs_snapshot_delete(store, check_text(L, 2, "id"), &err), &err);
}

/* restore(store, position, dry_run, options) -> counters */
static int core_restore(lua_State *L)
{
	struct hs_store *store = check_store_and_clock(L, 1);
	int64_t position = check_int(L, 2, "position");
	bool dry_run = check_flag(L, 3, "dry_run");
	struct hs_arena *arena = push_box(L);
	struct hs_cause by = check_cause(L, 4, arena);
	struct hs_restored restored;
	struct hs_error err;

	if (hs_restore(store, arena, position, dry_run, &by, &restored, &err))
		return push_failure(L, 1, &err);
	lua_createtable(L, 0, 5);
	push_int(L, restored.added);
	lua_setfield(L, -2, "added");
	push_int(L, restored.updated);
	lua_setfield(L, -2, "updated");
	push_int(L, restored.deleted);
	lua_setfield(L, -2, "deleted");
	push_int(L, restored.unchanged);
	lua_setfield(L, -2, "unchanged");
	return 1;
}

/* -- small things ---------------------------------------------------------------------------------------------------------------------------------- */

/* backup(store, path): a new file */
static int core_backup(lua_State *L)
{
	struct hs_store *store = check_store(L, 1);
	struct hs_error err;

	return push_done(L, hs_store_backup(store, check_text(L, 2, "path"), &err), &err);
}

/* wait(store, seconds): until others may have written, or less */
static int core_wait(lua_State *L)
{
	struct hs_store *store = check_store(L, 1);
	lua_Number seconds = luaL_checknumber(L, 2);
	struct hs_error err;

	luaL_argcheck(L, seconds >= 0, 2, "seconds are not negative");
	if (store->depth > 0)
		return luaL_error(L, "cannot wait for others within a transaction, which does not see what they write");
	/* Rounded up: who has half a millisecond left is not to ask again and again. */
	return push_done(L, hs_store_wait(store, seconds < 1e6 ? (int)(seconds * 1000 + 0.999) : 1000000000, &err), &err);
}

/* now(store): the store's clock, in seconds */
static int core_now(lua_State *L)
{
	push_time(L, check_store_and_clock(L, 1)->now);
	return 1;
}

static int error_tostring(lua_State *L)
{
	lua_getfield(L, 1, "message");
	return 1;
}

/* error{code=, message=, ...}: makes the table an error of the store */
static int core_error(lua_State *L)
{
	luaL_checktype(L, 1, LUA_TTABLE);
	lua_settop(L, 1);
	lua_pushboolean(L, is_retryable(field_text(L, 1, "code")));
	lua_setfield(L, 1, "retryable");
	luaL_getmetatable(L, ERROR_TYPE);
	lua_setmetatable(L, 1);
	return 1;
}

static int core_is_error(lua_State *L)
{
	bool same = false;

	if (lua_getmetatable(L, 1)) {
		luaL_getmetatable(L, ERROR_TYPE);
		same = lua_rawequal(L, -1, -2);
	}
	lua_pushboolean(L, same);
	return 1;
}

/* parse_time(seconds or ISO 8601) -> seconds */
static int core_parse_time(lua_State *L)
{
	struct hs_error err;
	int64_t time;

	if (check_time(L, 1, "time", &time, &err))
		return push_failure(L, 0, &err);
	push_time(L, time);
	return 1;
}

/* check_host(store, host) -> the host as it would be stored, or nil and why it cannot be. Nothing is read, no policy asked. */
static int core_check_host(lua_State *L)
{
	struct hs_store *store = check_store(L, 1);
	struct hs_arena *arena = push_box(L);
	struct hs_host host = hs_host_blank();
	struct hs_host_input input;
	struct hs_error err;

	if (check_host_input(L, 2, arena, &input, &err) || hs_host_check(arena, &input, store->lenient, &host, &err))
		return push_failure(L, 1, &err);
	push_host(L, 1, &host);
	return 1;
}

/* is_json(text) -> whether it is JSON, in UTF-8 */
static int core_is_json(lua_State *L)
{
	size_t length;
	const char *text = luaL_checklstring(L, 1, &length);

	lua_pushboolean(L, hs_is_json(text, length) && hs_is_utf8(text, length));
	return 1;
}

/* ip_within(address, address or CIDR) -> whether it is in it; nil and an error when one of them is none */
static int core_ip_within(lua_State *L)
{
	const char *address = check_text(L, 1, "ip"), *network = check_text(L, 2, "network");
	struct hs_ip_range range;
	struct hs_ip ip;
	struct hs_error err;

	if (hs_check_ip(address, &ip, &err) || hs_check_ip_range(network, &range, &err))
		return push_failure(L, 0, &err);
	lua_pushboolean(L, strcmp(ip.key, range.first) >= 0 && strcmp(ip.key, range.last) <= 0);
	return 1;
}

static int core_format_time(lua_State *L)
{
	struct hs_error err;
	int64_t time;
	char text[32];

	if (check_time(L, 1, "time", &time, &err))
		return push_failure(L, 0, &err);
	hs_format_time(time, text);
	push_text(L, text);
	return 1;
}

/* depth(store): open transactions */
static int core_depth(lua_State *L)
{
	push_int(L, check_store(L, 1)->depth);
	return 1;
}

/* -- the module -------------------------------------------------------------------------------------------------------------------------------------- */

static const luaL_Reg methods[] = {
	{"add", store_add}, {"get", store_get}, {"find", store_find}, {"lookup", store_lookup},
	{"reverse", store_reverse}, {"update", store_update}, {"delete", store_delete},
	{"list", store_list}, {"count", store_count}, {"undo", store_undo},
	{"get_snapshot", store_get_snapshot}, {"snapshots", store_snapshots},
	{"delete_snapshot", store_delete_snapshot}, {"close", store_close},
	{NULL, NULL},
};

static const luaL_Reg functions[] = {
	{"open", core_open}, {"append", core_append}, {"events", core_events},
	{"stream_version", core_stream_version}, {"position", core_position}, {"streams", core_streams},
	{"state_save", core_state_save}, {"state_load", core_state_load},
	{"stream_health", core_stream_health}, {"partition_stats", core_partition_stats},
	{"log_counts", core_log_counts}, {"describe", core_describe}, {"ask", core_ask}, {"history", core_history},
	{"diff", core_diff}, {"verify", core_verify}, {"begin", core_begin}, {"finish", core_finish},
	{"call", core_call}, {"feed_read", core_feed_read}, {"feed_ack", core_feed_ack},
	{"feed_progress", core_feed_progress}, {"feeds", core_feeds}, {"feed_delete", core_feed_delete},
	{"amended", core_amended}, {"import_begin", core_import_begin}, {"import_decide", core_import_decide},
	{"import_entry", core_import_entry}, {"import_spare", core_import_spare}, {"import_missing", core_import_missing},
	{"snapshot_save", core_snapshot_save}, {"restore", core_restore}, {"backup", core_backup},
	{"view_get", view_get}, {"view_find", view_find}, {"view_list", view_list},
	{"view_lookup", view_lookup}, {"view_count", view_count}, {"hosts_lines", core_hosts_lines},
	{"now", core_now}, {"wait", core_wait}, {"depth", core_depth},
	{"error", core_error}, {"is_error", core_is_error}, {"parse_time", core_parse_time},
	{"ip_within", core_ip_within}, {"check_host", core_check_host}, {"host_line", core_host_line},
	{"format_time", core_format_time}, {"encode_json", core_encode_json}, {"is_json", core_is_json},
	{NULL, NULL},
};

static void make_error_type(lua_State *L)
{
	luaL_newmetatable(L, ERROR_TYPE);
	lua_pushcfunction(L, error_tostring);
	lua_setfield(L, -2, "__tostring");
	lua_pushstring(L, ERROR_TYPE);
	lua_setfield(L, -2, "__name");
	lua_pop(L, 1);
}

/* Leaves the method table on the stack; Lua files add the methods written in Lua. */
static void make_store_type(lua_State *L)
{
	luaL_newmetatable(L, STORE_TYPE);
	lua_newtable(L);
	luaL_setfuncs(L, methods, 0);
	lua_pushvalue(L, -1);
	lua_setfield(L, -3, "__index");
	lua_pushcfunction(L, store_close);
	lua_setfield(L, -3, "__gc");
	lua_pushcfunction(L, store_close);
	lua_setfield(L, -3, "__close");
	lua_pushcfunction(L, store_tostring);
	lua_setfield(L, -3, "__tostring");
	lua_remove(L, -2);
}

int luaopen_hoststore_core(lua_State *L)
{
	make_error_type(L);
	luaL_newmetatable(L, IMPORT_TYPE);
	lua_pushcfunction(L, import_gc);
	lua_setfield(L, -2, "__gc");
	lua_pop(L, 1);
	memset(lua_newuserdata(L, sizeof(struct hs_ids)), 0, sizeof(struct hs_ids));
	lua_setfield(L, LUA_REGISTRYINDEX, "hoststore.ids");
	lua_newtable(L);
	lua_setfield(L, LUA_REGISTRYINDEX, "hoststore.shared");
	lua_newtable(L);
	luaL_setfuncs(L, functions, 0);
	make_store_type(L);
	lua_setfield(L, -2, "methods");
	lua_newtable(L);
	lua_pushvalue(L, -1);
	lua_setfield(L, LUA_REGISTRYINDEX, "hoststore.host_methods");
	lua_setfield(L, -2, "host_methods");
	lua_pushlightuserdata(L, NULL);
	lua_setfield(L, -2, "null");
	luaopen_hoststore_sys(L);
	lua_setfield(L, -2, "sys");
	luaopen_hoststore_sandbox(L);
	lua_setfield(L, -2, "sandbox");
	luaopen_hoststore_copy(L);
	lua_setfield(L, -2, "copy");
	return 1;
}
