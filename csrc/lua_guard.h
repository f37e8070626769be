/* lua_guard.h -- what lua_sys.c and lua_guard.c, which fill one table, have of each other. */
#ifndef LUA_GUARD_H
#define LUA_GUARD_H

#include "lua_value.h"

/* Opens PATH as *FD if it is a regular file, which open() makes with mode 0600 where FLAGS say so; never
 * waits for who is at the other end of a pipe. Returns 0, or errno: EINVAL when it is something else. */
int open_regular(const char *path, int flags, int *fd);

/* Writes all of TEXT. Returns 0, or errno. Of lua_sys.c. */
int write_all(int fd, const char *text, size_t length);

/* Adds the functions of lua_guard.c to the table on top of the stack. */
void set_guard_functions(lua_State *L);

#endif
