/* lua_spool.h -- the lock of a spool and work in the background, for the table of lua_sys.c. */
#ifndef LUA_SPOOL_H
#define LUA_SPOOL_H

#include "lua_value.h"

/* Adds the functions of lua_spool.c to the table on top of the stack. */
void set_spool_functions(lua_State *L);

#endif
