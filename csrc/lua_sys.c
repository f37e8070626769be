/* lua_sys.c -- what Lua code needs of POSIX: clocks, stat, and replacing a file whole.
 *
 * Every function returns its value, or nil, a message and errno; hoststore.file makes an error of
 * the store out of these. A replacement is a new file beside the old one, named with a leading dot
 * so that whoever watches the directory passes it over; it takes the old one's place in one step,
 * with its mode and owner, or it leaves no trace. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "lua_spool.h"
#include "lua_value.h"

int luaopen_hoststore_sys(lua_State *L);

static int fail(lua_State *L, const char *path, int number)
{
	lua_pushnil(L);
	lua_pushfstring(L, "%s: %s", path, strerror(number));
	lua_pushinteger(L, number);
	return 3;
}

static int succeed(lua_State *L)
{
	lua_pushboolean(L, 1);
	return 1;
}

static const char *check_path(lua_State *L, int arg)
{
	size_t length;
	const char *path = luaL_checklstring(L, arg, &length);

	luaL_argcheck(L, strlen(path) == length, arg, "a path holds no NUL");
	return path;
}

static void set_number(lua_State *L, const char *name, int64_t number)
{
	push_int(L, number);
	lua_setfield(L, -2, name);
}

/* -- files ---------------------------------------------------------------------------------- */

static const char *type_name(mode_t mode)
{
	return S_ISREG(mode) ? "file" : S_ISDIR(mode) ? "directory" : "other";
}

static int sys_stat(lua_State *L)
{
	const char *path = check_path(L, 1);
	struct stat st;

	if (stat(path, &st) < 0)
		return fail(L, path, errno);
	lua_createtable(L, 0, 8);
	lua_pushstring(L, type_name(st.st_mode));
	lua_setfield(L, -2, "type");
	set_number(L, "mode", st.st_mode & 07777);
	set_number(L, "uid", st.st_uid);
	set_number(L, "gid", st.st_gid);
	set_number(L, "size", st.st_size);
	set_number(L, "device", st.st_dev);
	set_number(L, "inode", st.st_ino);
	lua_pushnumber(L, (lua_Number)st.st_mtim.tv_sec + (lua_Number)st.st_mtim.tv_nsec / 1e9);
	lua_setfield(L, -2, "mtime");
	return 1;
}

/* The names in a directory, in no order; the handle is closed before anything can raise again. */
static int sys_list(lua_State *L)
{
	const char *path = check_path(L, 1);
	struct hs_arena *arena = push_box(L);
	const char **names = NULL;
	size_t count = 0, room = 0;
	struct dirent *entry;
	DIR *directory = opendir(path);
	bool failed = false;

	if (!directory)
		return fail(L, path, errno);
	while (!failed && (entry = readdir(directory))) {
		names = hs_grow(arena, names, count, &room, sizeof *names);
		failed = !names || !(names[count++] = hs_copy(arena, entry->d_name, strlen(entry->d_name)));
	}
	closedir(directory);
	if (failed)
		return luaL_error(L, "not enough memory");
	lua_newtable(L);
	for (size_t i = 0; i < count; i++) {
		lua_pushstring(L, names[i]);
		lua_rawseti(L, -2, (int)i + 1);
	}
	return 1;
}

static int sys_readlink(lua_State *L)
{
	const char *path = check_path(L, 1);
	char target[PATH_MAX];
	ssize_t length = readlink(path, target, sizeof target);

	if (length < 0)
		return fail(L, path, errno);
	lua_pushlstring(L, target, (size_t)length);
	return 1;
}

/* Asks for a directory at PATH. One that is there already is welcome, whatever mkdir says of it. */
static int make_directory(const char *path, mode_t mode)
{
	struct stat st;
	int number;

	if (mkdir(path, mode) == 0)
		return 0;
	number = errno;
	if (stat(path, &st) == 0)
		return S_ISDIR(st.st_mode) ? 0 : ENOTDIR;
	return number;
}

static int sys_mkdir_p(lua_State *L)
{
	const char *path = check_path(L, 1);
	mode_t mode = (mode_t)luaL_optinteger(L, 2, 0755);
	size_t size = strlen(path) + 1;
	char *part = memcpy(lua_newuserdata(L, size), path, size);
	int number;

	for (char *slash = part; (slash = strchr(slash + 1, '/')) != NULL; *slash = '/') {
		*slash = '\0';
		number = make_directory(part, mode);
		if (number)
			return fail(L, part, number);
	}
	number = make_directory(path, mode);
	return number ? fail(L, path, number) : succeed(L);
}

/* -- replacing a file ------------------------------------------------------------------------- */

#define REPLACEMENT "hoststore.Replacement"

struct replacement {
	int fd;				/* -1: committed, aborted or never opened */
	mode_t mode;			/* of a file that is not there yet */
	char *path, *temporary, *directory;
	char text[];
};

static struct replacement *check_replacement(lua_State *L)
{
	struct replacement *r = luaL_checkudata(L, 1, REPLACEMENT);

	if (r->fd < 0)
		luaL_error(L, "the replacement is already committed or aborted");
	return r;
}

/* A replacement of PATH that holds its paths but no file yet. */
static struct replacement *push_replacement(lua_State *L, const char *path)
{
	const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
	size_t length = strlen(path), directory = (size_t)(name - path);
	struct replacement *r = lua_newuserdata(L, sizeof *r + 3 * length + 16);

	r->fd = -1;
	luaL_getmetatable(L, REPLACEMENT);
	lua_setmetatable(L, -2);
	r->path = r->text;
	memcpy(r->path, path, length + 1);
	r->directory = r->path + length + 1;
	/* "a/b" lies in "a/", "b" in "." */
	memcpy(r->directory, directory ? path : ".", directory ? directory : 1);
	r->directory[directory ? directory : 1] = '\0';
	r->temporary = r->directory + strlen(r->directory) + 1;
	/* A name may have 255 bytes; ours has 8 more than the name it stands in for. */
	sprintf(r->temporary, "%.*s.%.247s.XXXXXX", (int)directory, path, name);
	return r;
}

/* replace(path [, mode]): mode is that of a file that is not there yet, 0644 by default */
static int sys_replace(lua_State *L)
{
	mode_t mode = (mode_t)luaL_optinteger(L, 2, 0644);
	struct replacement *r = push_replacement(L, check_path(L, 1));

	r->mode = mode;
	r->fd = mkostemp(r->temporary, O_CLOEXEC);
	return r->fd < 0 ? fail(L, r->path, errno) : 1;
}

static int write_all(int fd, const char *text, size_t length)
{
	while (length) {
		ssize_t n = write(fd, text, length);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno;
		text += n;
		length -= (size_t)n;
	}
	return 0;
}

static int sync_file(int fd)
{
	while (fsync(fd) < 0)
		if (errno != EINTR)
			return errno;
	return 0;
}

/* Makes a rename in DIRECTORY last. Some file systems cannot, and say EINVAL: they need not. */
static int sync_directory(const char *directory)
{
	int number, fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return errno;
	number = sync_file(fd);
	close(fd);
	return number == EINVAL ? 0 : number;
}

/* Owner first: a change of owner takes the set-id bits away. */
static int take_attributes(const char *path, int fd, mode_t mode)
{
	struct stat old, new;

	if (stat(path, &old) == 0) {
		if (fstat(fd, &new) < 0)
			return errno;
		if ((old.st_uid != new.st_uid || old.st_gid != new.st_gid) &&
		    fchown(fd, old.st_uid, old.st_gid) < 0)
			return errno;
		mode = old.st_mode & 07777;
	}
	return fchmod(fd, mode) < 0 ? errno : 0;
}

static int replacement_write(lua_State *L)
{
	struct replacement *r = check_replacement(L);
	size_t length;
	const char *text = luaL_checklstring(L, 2, &length);
	int number = write_all(r->fd, text, length);

	return number ? fail(L, r->path, number) : succeed(L);
}

static void abandon(struct replacement *r)
{
	if (r->fd < 0)
		return;
	close(r->fd);
	r->fd = -1;
	unlink(r->temporary);
}

static int replacement_commit(lua_State *L)
{
	struct replacement *r = check_replacement(L);
	int number = take_attributes(r->path, r->fd, r->mode);

	/* The content before the name: a rename that outlives a power cut must not show an empty file. */
	if (!number)
		number = sync_file(r->fd);
	if (!number && rename(r->temporary, r->path) < 0)
		number = errno;
	if (number) {
		abandon(r);
		return fail(L, r->path, number);
	}
	close(r->fd);
	r->fd = -1;
	number = sync_directory(r->directory);
	return number ? fail(L, r->directory, number) : succeed(L);
}

/* temporary(): the path of the new file, for those who write it by themselves */
static int replacement_temporary(lua_State *L)
{
	lua_pushstring(L, check_replacement(L)->temporary);
	return 1;
}

static int replacement_abort(lua_State *L)
{
	abandon(luaL_checkudata(L, 1, REPLACEMENT));
	return 0;
}

/* -- time and terminals -------------------------------------------------------------------------- */

static int push_clock(lua_State *L, clockid_t id)
{
	struct timespec now;

	clock_gettime(id, &now);
	lua_pushnumber(L, (lua_Number)now.tv_sec + (lua_Number)(now.tv_nsec / 1000) / 1e6);
	return 1;
}

static int sys_time(lua_State *L)
{
	return push_clock(L, CLOCK_REALTIME);
}

static int sys_monotonic(lua_State *L)
{
	return push_clock(L, CLOCK_MONOTONIC);
}

/* True when all of it was slept, false when a signal came: its handler is to run now. */
static int sys_sleep(lua_State *L)
{
	lua_Number seconds = luaL_checknumber(L, 1);
	struct timespec duration;

	luaL_argcheck(L, seconds >= 0 && seconds <= 1e9, 1, "seconds are between 0 and 1e9");
	duration.tv_sec = (time_t)seconds;
	duration.tv_nsec = (long)((seconds - (lua_Number)duration.tv_sec) * 1e9);
	lua_pushboolean(L, nanosleep(&duration, NULL) == 0);
	return 1;
}

static int sys_isatty(lua_State *L)
{
	lua_pushboolean(L, isatty((int)luaL_checkinteger(L, 1)));
	return 1;
}

/* is_abandoned(fd): whether the other end of a pipe, a socket or a terminal is closed */
static int sys_is_abandoned(lua_State *L)
{
	struct pollfd file = {.fd = (int)luaL_checkinteger(L, 1)};

	lua_pushboolean(L, poll(&file, 1, 0) > 0 && file.revents & (POLLERR | POLLHUP));
	return 1;
}

/* user(): the name of the user this process runs as, or the number when there is no name */
static int sys_user(lua_State *L)
{
	const struct passwd *user = getpwuid(getuid());

	if (user)
		lua_pushstring(L, user->pw_name);
	else
		lua_pushfstring(L, "%d", (int)getuid());
	return 1;
}

/* -- the module ------------------------------------------------------------------------------------ */

static void make_metatable(lua_State *L)
{
	static const luaL_Reg methods[] = {
		{"write", replacement_write}, {"commit", replacement_commit},
		{"abort", replacement_abort}, {"temporary", replacement_temporary}, {NULL, NULL},
	};
	static const luaL_Reg ends[] = {
		{"__gc", replacement_abort}, {"__close", replacement_abort}, {NULL, NULL},
	};

	luaL_newmetatable(L, REPLACEMENT);
	luaL_setfuncs(L, ends, 0);
	lua_newtable(L);
	luaL_setfuncs(L, methods, 0);
	lua_setfield(L, -2, "__index");
	lua_pop(L, 1);
}

/* The numbers differ between CPUs (EDQUOT does), so Lua code asks by name. */
static void push_errno(lua_State *L)
{
	lua_newtable(L);
	set_number(L, "ENOENT", ENOENT);
	set_number(L, "EROFS", EROFS);
	set_number(L, "EACCES", EACCES);
	set_number(L, "EPERM", EPERM);
	set_number(L, "ENOSPC", ENOSPC);
	set_number(L, "EDQUOT", EDQUOT);
	set_number(L, "EFBIG", EFBIG);
}

int luaopen_hoststore_sys(lua_State *L)
{
	static const luaL_Reg functions[] = {
		{"stat", sys_stat}, {"list", sys_list}, {"readlink", sys_readlink},
		{"mkdir_p", sys_mkdir_p}, {"replace", sys_replace}, {"time", sys_time},
		{"monotonic", sys_monotonic}, {"sleep", sys_sleep}, {"isatty", sys_isatty},
		{"is_abandoned", sys_is_abandoned}, {"user", sys_user},
		{NULL, NULL},
	};

	make_metatable(L);
	lua_newtable(L);
	luaL_setfuncs(L, functions, 0);
	set_spool_functions(L);
	push_errno(L);
	lua_setfield(L, -2, "errno");
	return 1;
}
