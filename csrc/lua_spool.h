/* lua_spool.h -- work in the background, for the table of lua_sys.c. */
#ifndef LUA_SPOOL_H
#define LUA_SPOOL_H

#include "lua_value.h"

/* A lock of lua_sys.c: an int, the file descriptor that holds it. */
#define LOCK_TYPE "hoststore.Lock"

/* Adds the functions of lua_spool.c to the table on top of the stack. */
void set_spool_functions(lua_State *L);

#endif
