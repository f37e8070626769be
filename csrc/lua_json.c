/* lua_json.c -- the JSON text of a value of Lua's: the same text for the same value.
 *
 * Keys are sorted by their bytes, numbers are exact, and a string may hold any bytes: one that is no UTF-8 is
 * written as a lone surrogate \udcXX, of which lua/hoststore/json.lua makes that byte again. An empty table is
 * written {}. What JSON cannot carry raises. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lua_value.h"

#define MAX_DEPTH 1000
#define MAX_EXACT 9007199254740992.0	/* 2^53 */

struct key {
	const char *s;
	size_t n;
};

static bool is_plain(char c)
{
	return c >= ' ' && c <= '~' && c != '"' && c != '\\';
}

static void add_ascii(struct hs_text *text, char c)
{
	static const char letters[] = "\"\\\b\f\n\r\t", names[] = "\"\\bfnrt";
	const char *letter = c ? strchr(letters, c) : NULL;
	char escape[8];

	if (letter)
		snprintf(escape, sizeof escape, "\\%c", names[letter - letters]);
	else
		snprintf(escape, sizeof escape, "\\u%04x", (unsigned char)c);
	hs_text_add(text, escape);
}

/* Of the character that is at S, or of a byte that is none. Returns how many bytes it has. */
static size_t add_beyond_ascii(struct hs_text *text, const char *s, size_t n)
{
	char escape[8];

	for (size_t width = 2; width <= 4 && width <= n; width++) {
		if (!hs_is_utf8(s, width))
			continue;
		hs_text_add_bytes(text, s, width);
		return width;
	}
	snprintf(escape, sizeof escape, "\\udc%02x", (unsigned char)*s);
	hs_text_add(text, escape);
	return 1;
}

static void add_string(struct hs_text *text, const char *s, size_t n)
{
	const char *end = s + n;

	hs_text_add(text, "\"");
	while (s < end) {
		const char *start = s;

		while (s < end && is_plain(*s))
			s++;
		hs_text_add_bytes(text, start, (size_t)(s - start));
		if (s < end && (unsigned char)*s >= 0x80)
			s += add_beyond_ascii(text, s, (size_t)(end - s));
		else if (s < end)
			add_ascii(text, *s++);
	}
	hs_text_add(text, "\"");
}

static void check_number(lua_State *L, int arg)
{
	lua_Number number = lua_tonumber(L, arg);

#if LUA_VERSION_NUM >= 503
	if (lua_isinteger(L, arg) && (lua_tointeger(L, arg) > INT64_C(1) << 53 ||
				      lua_tointeger(L, arg) < -(INT64_C(1) << 53))) {
		lua_pushvalue(L, arg);
		luaL_error(L, "JSON cannot carry the integer %s exactly; give it as a string", lua_tostring(L, -1));
	}
#endif
	if (number != number || number - number != 0) {
		lua_pushvalue(L, arg);
		luaL_error(L, "JSON cannot carry %s", lua_tostring(L, -1));
	}
}

static bool is_of_number(char c)
{
	return (c >= '0' && c <= '9') || c == 'e' || c == '+' || c == '-';
}

/* The shortest text that is read back as NUMBER. The language of the process may write more than one byte for the
 * point. */
static void add_fraction(struct hs_text *text, double number)
{
	char written[40] = "";

	for (int digits = 15; digits <= 17; digits++) {
		snprintf(written, sizeof written, "%.*g", digits, number);
		if (strtod(written, NULL) == number)
			break;
	}
	for (const char *s = written; *s; s++) {
		if (is_of_number(*s))
			hs_text_add_bytes(text, s, 1);
		else if (s > written && is_of_number(s[-1]))
			hs_text_add(text, ".");
	}
}

static void add_number(lua_State *L, int arg, struct hs_text *text)
{
	double number = (double)lua_tonumber(L, arg);
	char written[32];

	check_number(L, arg);
	if (number < -MAX_EXACT || number > MAX_EXACT || number != (double)(int64_t)number) {
		add_fraction(text, number);
		return;
	}
	snprintf(written, sizeof written, "%.0f", number);
	hs_text_add(text, written);
}

static void add_value(lua_State *L, int arg, struct hs_text *text, int depth);

static void add_array(lua_State *L, int arg, struct hs_text *text, int depth)
{
	int count = 0;

	for (lua_pushnil(L); lua_next(L, arg); lua_pop(L, 1))
		count++;
	for (int i = 1; i <= count; i++) {
		hs_text_add(text, i == 1 ? "[" : ",");
		lua_rawgeti(L, arg, i);
		if (lua_isnil(L, -1))
			luaL_error(L, "JSON cannot carry a table that has number keys and is not a list without gaps");
		add_value(L, lua_gettop(L), text, depth);
		lua_pop(L, 1);
	}
	hs_text_add(text, "]");
}

static int compare_keys(const void *a, const void *b)
{
	const struct key *x = a, *y = b;

	return compare_bytes(x->s, x->n, y->s, y->n);
}

/* The table keeps the texts of its keys where they are. */
static struct key *sorted_keys(lua_State *L, int arg, struct hs_arena *arena, size_t *count)
{
	struct key *keys = NULL;
	size_t room = 0;

	*count = 0;
	for (lua_pushnil(L); lua_next(L, arg); lua_pop(L, 1)) {
		if (lua_type(L, -2) != LUA_TSTRING)
			luaL_error(L, "JSON cannot carry a %s as a key", luaL_typename(L, -2));
		keys = hs_grow(arena, keys, *count, &room, sizeof *keys);
		if (!keys)
			luaL_error(L, "not enough memory");
		keys[*count].s = lua_tolstring(L, -2, &keys[*count].n);
		++*count;
	}
	if (*count)
		qsort(keys, *count, sizeof *keys, compare_keys);
	return keys;
}

static void add_object(lua_State *L, int arg, struct hs_text *text, int depth)
{
	size_t count;
	struct key *keys = sorted_keys(L, arg, text->arena, &count);

	hs_text_add(text, "{");
	for (size_t i = 0; i < count; i++) {
		if (i)
			hs_text_add(text, ",");
		add_string(text, keys[i].s, keys[i].n);
		hs_text_add(text, ":");
		lua_pushlstring(L, keys[i].s, keys[i].n);
		lua_rawget(L, arg);
		add_value(L, lua_gettop(L), text, depth);
		lua_pop(L, 1);
	}
	hs_text_add(text, "}");
}

static void add_table(lua_State *L, int arg, struct hs_text *text, int depth)
{
	bool is_array;

	if (depth == MAX_DEPTH)
		luaL_error(L, "JSON cannot carry a table nested %d deep (or within itself)", MAX_DEPTH);
	luaL_checkstack(L, 8, "JSON");
	lua_pushnil(L);
	is_array = lua_next(L, arg) && lua_type(L, -2) == LUA_TNUMBER;
	lua_settop(L, arg);
	if (is_array)
		add_array(L, arg, text, depth + 1);
	else
		add_object(L, arg, text, depth + 1);
}

static void add_value(lua_State *L, int arg, struct hs_text *text, int depth)
{
	const char *s;
	size_t n;

	switch (lua_type(L, arg)) {
	case LUA_TSTRING:
		s = lua_tolstring(L, arg, &n);
		add_string(text, s, n);
		break;
	case LUA_TNUMBER: add_number(L, arg, text); break;
	case LUA_TBOOLEAN: hs_text_add(text, lua_toboolean(L, arg) ? "true" : "false"); break;
	case LUA_TTABLE: add_table(L, arg, text, depth); break;
	default:
		if (!is_null(L, arg))
			luaL_error(L, "JSON cannot carry a %s", luaL_typename(L, arg));
		hs_text_add(text, "null");
	}
}

const char *encode_json(lua_State *L, int arg, struct hs_arena *arena, size_t *length)
{
	struct hs_text text = {.arena = arena};
	int top = lua_gettop(L);

	lua_pushvalue(L, arg);
	add_value(L, top + 1, &text, 0);
	lua_settop(L, top);
	if (text.failed)
		luaL_error(L, "not enough memory");
	*length = text.n;
	return text.s;
}

int core_encode_json(lua_State *L)
{
	struct hs_arena *arena;
	const char *text;
	size_t length;

	luaL_checkany(L, 1);
	arena = push_box(L);
	text = encode_json(L, 1, arena, &length);
	lua_pushlstring(L, text, length);
	hs_arena_free(arena);	/* the collector does not know how much it holds */
	return 1;
}
