/* lua_sys.h -- what the files that fill the table core.sys have of each other: lua_sys.c, lua_guard.c and
 * lua_spool.c. Their functions return a value, or nil, a message and errno. */
#ifndef LUA_SYS_H
#define LUA_SYS_H

#include "lua_value.h"

/* A lock of lua_sys.c: an int, the file descriptor that holds it. */
#define LOCK_TYPE "hoststore.Lock"

/* Push nil, the message "WHAT: REASON" and NUMBER, an errno; fail_system takes the reason from it. */
int fail_because(lua_State *L, const char *what, const char *reason, int number);
int fail_system(lua_State *L, const char *what, int number);

/* Pushes true. */
int succeed(lua_State *L);

/* The argument ARG, which has to be a text without NUL. */
const char *check_path(lua_State *L, int arg);

/* Opens PATH as *FD if it is a regular file, which open() makes with mode 0600 where FLAGS say so; never
 * waits for who is at the other end of a pipe. Returns 0, or errno: EINVAL when it is something else. */
int open_regular(const char *path, int flags, int *fd);

/* Writes all of TEXT. Returns 0, or errno. */
int write_all(int fd, const char *text, size_t length);

/* Add the functions of lua_guard.c and lua_spool.c to the table on top of the stack. */
void set_guard_functions(lua_State *L);
void set_spool_functions(lua_State *L);

#endif
