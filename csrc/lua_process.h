/* lua_process.h -- locks and processes, for the table of lua_sys.c. */
#ifndef LUA_PROCESS_H
#define LUA_PROCESS_H

#include "lua_value.h"

/* Adds the functions of lua_process.c to the table on top of the stack. */
void set_process_functions(lua_State *L);

#endif
