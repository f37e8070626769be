/* lua_spool.h -- what lua_sys.c and lua_spool.c, which fill one table, have of each other. */
#ifndef LUA_SPOOL_H
#define LUA_SPOOL_H

#include "lua_value.h"

/* A lock of lua_sys.c: an int, the file descriptor that holds it. */
#define LOCK_TYPE "hoststore.Lock"

/* Writes all of TEXT; 0 or errno. Of lua_sys.c. */
int write_all(int fd, const char *text, size_t length);

/* Adds the functions of lua_spool.c to the table on top of the stack. */
void set_spool_functions(lua_State *L);

#endif
