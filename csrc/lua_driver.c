/* lua_driver.c -- hands a driver to Lua as the module hoststore.<driver>.
 *
 * Compiled once into each driver module: HS_DRIVER names its struct, HS_LUAOPEN its entry. */
#include <lauxlib.h>
#include <lua.h>

#include "hs_driver.h"

extern const struct hs_driver HS_DRIVER;
__attribute__((visibility("default"))) int HS_LUAOPEN(lua_State *L);

int HS_LUAOPEN(lua_State *L)
{
	const struct hs_driver **driver = lua_newuserdata(L, sizeof *driver);

	*driver = &HS_DRIVER;
	luaL_newmetatable(L, "hoststore.Driver");
	lua_setmetatable(L, -2);
	return 1;
}
