/* lua_fuzz.c -- gives every input to a function of targets.lua, which raises where something does not
 * hold. $HOSTSTORE_FUZZ is its name. */
#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* libFuzzer has no other place for what lives as long as the process. */
static lua_State *L;

static void fail(void)
{
	fprintf(stderr, "%s\n", lua_tostring(L, -1));
	abort();
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	const char *name = getenv("HOSTSTORE_FUZZ");

	(void)argc, (void)argv;
	L = luaL_newstate();
	if (!L || !name)
		abort();
	luaL_openlibs(L);
	lua_getglobal(L, "debug");
	lua_getfield(L, -1, "traceback");
	lua_replace(L, 1);
	if (luaL_dofile(L, "spec/fuzz/targets.lua"))
		fail();
	lua_getfield(L, -1, name);
	if (!lua_isfunction(L, -1)) {
		fprintf(stderr, "targets.lua has no '%s'\n", name);
		abort();
	}
	return 0;
}

/* The stack holds debug.traceback, the table of targets, and the function. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	lua_pushvalue(L, 3);
	lua_pushlstring(L, (const char *)data, size);
	if (lua_pcall(L, 1, 0, 1))
		fail();
	/* Stores and results that are garbage are not to look like a leak. */
	lua_gc(L, LUA_GCCOLLECT, 0);
	return 0;
}
