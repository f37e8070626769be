/* lua_sys.c -- what Lua code needs of POSIX: clocks, stat, locks, and replacing a file whole.
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
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "lua_sys.h"

int luaopen_hoststore_sys(lua_State *L);
int luaopen_hoststore_process(lua_State *L);

int fail_because(lua_State *L, const char *what, const char *reason, int number)
{
	lua_pushnil(L);
	lua_pushfstring(L, "%s: %s", what, reason);
	push_int(L, number);
	return 3;
}

int fail_system(lua_State *L, const char *what, int number)
{
	return fail_because(L, what, strerror(number), number);
}

int succeed(lua_State *L)
{
	lua_pushboolean(L, 1);
	return 1;
}

const char *check_path(lua_State *L, int arg)
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
	return S_ISREG(mode) ? "file" : S_ISDIR(mode) ? "directory" : S_ISLNK(mode) ? "link" : "other";
}

/* stat(path [, of_link]): of_link does not follow a symbolic link */
static int sys_stat(lua_State *L)
{
	const char *path = check_path(L, 1);
	struct stat st;

	if ((lua_toboolean(L, 2) ? lstat : stat)(path, &st) < 0)
		return fail_system(L, path, errno);
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

static int sys_readlink(lua_State *L)
{
	const char *path = check_path(L, 1);
	char target[PATH_MAX];
	ssize_t length = readlink(path, target, sizeof target);

	if (length < 0)
		return fail_system(L, path, errno);
	lua_pushlstring(L, target, (size_t)length);
	return 1;
}

static int sync_file(int fd)
{
	while (fsync(fd) < 0)
		if (errno != EINTR)
			return errno;
	return 0;
}

/* Makes the names in DIRECTORY last. Some file systems cannot, and say EINVAL: they need not. */
static int sync_directory(const char *directory)
{
	int number, fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return errno;
	number = sync_file(fd);
	close(fd);
	return number == EINVAL ? 0 : number;
}

/* Makes the name PATH last. A directory that may be written to and not read cannot be synced. */
static int sync_parent(const char *path)
{
	char directory[PATH_MAX];
	const char *end = path + strlen(path);
	int number;

	while (end > path + 1 && end[-1] == '/')
		end--;
	while (end > path && end[-1] != '/')
		end--;
	if (end - path >= (ptrdiff_t)sizeof directory)
		return ENAMETOOLONG;
	snprintf(directory, sizeof directory, "%.*s", (int)(end - path), path);
	number = sync_directory(*directory ? directory : ".");
	return number == EACCES ? 0 : number;
}

/* Asks for a directory at PATH, which is to last: its name is synced. One that is there already is welcome,
 * whatever mkdir says of it. */
static int make_directory(const char *path, mode_t mode)
{
	struct stat st;
	int number;

	if (mkdir(path, mode) == 0)
		return sync_parent(path);
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
			return fail_system(L, part, number);
	}
	number = make_directory(path, mode);
	return number ? fail_system(L, path, number) : succeed(L);
}

/* unlink(path): one that is not there is no failure. */
static int sys_unlink(lua_State *L)
{
	const char *path = check_path(L, 1);

	return unlink(path) < 0 && errno != ENOENT ? fail_system(L, path, errno) : succeed(L);
}

/* realpath(path): the one path of a file or directory that has no link in it */
static int sys_realpath(lua_State *L)
{
	const char *path = check_path(L, 1);
	char resolved[PATH_MAX];

	if (!realpath(path, resolved))
		return fail_system(L, path, errno);
	lua_pushstring(L, resolved);
	return 1;
}

#define DIRECTORY "hoststore.Directory"

static int close_directory(lua_State *L)
{
	DIR **directory = luaL_checkudata(L, 1, DIRECTORY);

	if (*directory)
		closedir(*directory);
	*directory = NULL;
	return 0;
}

/* list(directory): an array of the names in it, in no order */
static int sys_list(lua_State *L)
{
	const char *path = check_path(L, 1);
	DIR **directory = lua_newuserdata(L, sizeof *directory);
	const struct dirent *entry;
	int count = 0;

	*directory = NULL;
	luaL_getmetatable(L, DIRECTORY);
	lua_setmetatable(L, -2);
	*directory = opendir(path);
	if (!*directory)
		return fail_system(L, path, errno);
	lua_newtable(L);
	for (errno = 0; (entry = readdir(*directory)) != NULL; errno = 0) {
		if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
			continue;
		lua_pushstring(L, entry->d_name);
		lua_rawseti(L, -2, ++count);
	}
	if (errno)
		return fail_system(L, path, errno);
	closedir(*directory);
	*directory = NULL;
	return 1;
}

/* -- digests --------------------------------------------------------------------------------- */

/* FNV-1a 64: it tells whether a file is still as it was, and keeps nobody from forging one. */
#define DIGEST_START UINT64_C(0xcbf29ce484222325)

static uint64_t digest_bytes(uint64_t digest, const char *text, size_t length)
{
	for (size_t i = 0; i < length; i++)
		digest = (digest ^ (unsigned char)text[i]) * UINT64_C(0x100000001b3);
	return digest;
}

static void push_digest(lua_State *L, uint64_t digest)
{
	char text[17];

	snprintf(text, sizeof text, "%08lx%08lx", (unsigned long)(digest >> 32),
		 (unsigned long)(digest & 0xffffffff));
	lua_pushstring(L, text);
}

/* digest(text [, digest]): of the text, or of all that made the other digest and the text */
static int sys_digest(lua_State *L)
{
	size_t length;
	const char *text = luaL_checklstring(L, 1, &length), *before = luaL_optstring(L, 2, NULL);
	uint64_t start = before ? (uint64_t)strtoull(before, NULL, 16) : DIGEST_START;

	push_digest(L, digest_bytes(start, text, length));
	return 1;
}

/* file_digest(path) -> digest, size */
static int sys_file_digest(lua_State *L)
{
	const char *path = check_path(L, 1);
	uint64_t digest = DIGEST_START;
	int64_t size = 0;
	char block[8192];
	ssize_t n;
	int fd, number = open_regular(path, O_RDONLY, &fd);

	if (number)
		return fail_system(L, path, number);
	while ((n = read(fd, block, sizeof block)) > 0 || (n < 0 && errno == EINTR)) {
		if (n < 0)
			continue;
		digest = digest_bytes(digest, block, (size_t)n);
		size += n;
	}
	number = n < 0 ? errno : 0;
	close(fd);
	if (number)
		return fail_system(L, path, number);
	push_digest(L, digest);
	push_int(L, size);
	return 2;
}

/* -- locks ------------------------------------------------------------------------------------- */

/* A program that is started while a lock is held does not get it, and the system lets go of it when
 * its process ends, however it does. The file stays: who took it away would part those who wait. */
static int try_lock(int fd)
{
	while (flock(fd, LOCK_EX | LOCK_NB) < 0)
		if (errno != EINTR)
			return errno;
	return 0;
}

/* lock(path): a lock that nobody else gets until it is released; false when another has it. The file
 * is made. */
static int sys_lock(lua_State *L)
{
	const char *path = check_path(L, 1);
	int *fd = lua_newuserdata(L, sizeof *fd), number;

	*fd = -1;
	luaL_getmetatable(L, LOCK_TYPE);
	lua_setmetatable(L, -2);
	number = open_regular(path, O_RDWR | O_CREAT | O_NOFOLLOW, fd);
	if (number)
		return fail_system(L, path, number);
	number = try_lock(*fd);
	if (!number)
		return 1;
	close(*fd);
	*fd = -1;
	if (number != EWOULDBLOCK)
		return fail_system(L, path, number);
	lua_pushboolean(L, 0);
	return 1;
}

/* Closed, not unlocked: a child that was forked meanwhile may hold it still. */
static int lock_release(lua_State *L)
{
	int *fd = luaL_checkudata(L, 1, LOCK_TYPE);

	if (*fd >= 0)
		close(*fd);
	*fd = -1;
	return 0;
}

/* -- replacing a file ------------------------------------------------------------------------- */

#define REPLACEMENT "hoststore.Replacement"

struct replacement {
	int fd;				/* -1: committed, aborted or never opened */
	bool settled;			/* on the disk, with its attributes, and not written to since */
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
static struct replacement *push_replacement(lua_State *L, const char *path, const char *suffix)
{
	const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
	size_t length = strlen(path), directory = (size_t)(name - path);
	struct replacement *r = lua_newuserdata(L, sizeof *r + 3 * length + 16 + strlen(suffix));

	r->fd = -1;
	r->settled = false;
	luaL_getmetatable(L, REPLACEMENT);
	lua_setmetatable(L, -2);
	r->path = r->text;
	memcpy(r->path, path, length + 1);
	r->directory = r->path + length + 1;
	/* "a/b" lies in "a/", "b" in "." */
	memcpy(r->directory, directory ? path : ".", directory ? directory : 1);
	r->directory[directory ? directory : 1] = '\0';
	r->temporary = r->directory + strlen(r->directory) + 1;
	/* A name may have 255 bytes; ours has two dots and the suffix more than what it stands in for. */
	sprintf(r->temporary, "%.*s.%.*s.%s", (int)directory, path, (int)(253 - strlen(suffix)), name, suffix);
	return r;
}

/* Under a name that is known, what a killed process has left is found again. */
static int open_known(const char *path)
{
	unlink(path);
	return open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
}

/* replace(path [, mode [, suffix]]): mode is that of a file that is not there yet, 0644 by default.
 * With a suffix the new file is called ".NAME.SUFFIX" until it takes its place, for those who hold a
 * lock; one of that name is taken away. */
static int sys_replace(lua_State *L)
{
	mode_t mode = (mode_t)luaL_optinteger(L, 2, 0644);
	size_t length;
	const char *suffix = luaL_optlstring(L, 3, "XXXXXX", &length);
	struct replacement *r;

	luaL_argcheck(L, length > 0 && length <= 32 && !strchr(suffix, '/'), 3, "a short word expected");
	r = push_replacement(L, check_path(L, 1), suffix);
	r->mode = mode;
	r->fd = lua_isnoneornil(L, 3) ? mkostemp(r->temporary, O_CLOEXEC) : open_known(r->temporary);
	return r->fd < 0 ? fail_system(L, r->path, errno) : 1;
}

int write_all(int fd, const char *text, size_t length)
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

static bool has_owner_of(const struct stat *a, const struct stat *b)
{
	return a->st_uid == b->st_uid && a->st_gid == b->st_gid;
}

/* Owner first: a change of owner takes the set-id bits away. Sets *CHANGED when something was not so already,
 * and leaves the mode alone when all was. */
static int take_attributes(const char *path, int fd, mode_t mode, bool *changed)
{
	struct stat old, new;

	if (fstat(fd, &new) < 0)
		return errno;
	if (stat(path, &old) == 0) {
		mode = old.st_mode & 07777;
		if (!has_owner_of(&old, &new)) {
			*changed = true;
			if (fchown(fd, old.st_uid, old.st_gid) < 0)
				return errno;
		}
	}
	if ((new.st_mode & 07777) != mode)
		*changed = true;
	return *changed && fchmod(fd, mode) < 0 ? errno : 0;
}

/* Brings the new file down to the disk as it is to be. What was prepared needs no second time: between its look at
 * the old file and the rename, a caller has no time to lose. */
static int settle(struct replacement *r)
{
	bool changed = !r->settled;
	int number = take_attributes(r->path, r->fd, r->mode, &changed);

	if (!number && changed)
		number = sync_file(r->fd);
	r->settled = !number;
	return number;
}

static int replacement_write(lua_State *L)
{
	struct replacement *r = check_replacement(L);
	size_t length;
	const char *text = luaL_checklstring(L, 2, &length);
	int number = write_all(r->fd, text, length);

	r->settled = false;
	return number ? fail_system(L, r->path, number) : succeed(L);
}

static void abandon(struct replacement *r)
{
	if (r->fd < 0)
		return;
	close(r->fd);
	r->fd = -1;
	unlink(r->temporary);
}

/* prepare(): all that can fail of a commit for want of room, without anybody seeing the new file */
static int replacement_prepare(lua_State *L)
{
	struct replacement *r = check_replacement(L);
	int number = settle(r);

	return number ? fail_system(L, r->path, number) : succeed(L);
}

static int replacement_commit(lua_State *L)
{
	struct replacement *r = check_replacement(L);
	/* The content before the name: a rename that outlives a power cut must not show an empty file. */
	int number = settle(r);

	if (!number && rename(r->temporary, r->path) < 0)
		number = errno;
	if (number) {
		abandon(r);
		return fail_system(L, r->path, number);
	}
	close(r->fd);
	r->fd = -1;
	number = sync_directory(r->directory);
	return number ? fail_system(L, r->directory, number) : succeed(L);
}

/* temporary(): the path of the new file, for those who write it by themselves */
static int replacement_temporary(lua_State *L)
{
	struct replacement *r = check_replacement(L);

	r->settled = false;
	lua_pushstring(L, r->temporary);
	return 1;
}

static int replacement_abort(lua_State *L)
{
	abandon(luaL_checkudata(L, 1, REPLACEMENT));
	return 0;
}

/* -- writing into a file ------------------------------------------------------------------------- */

/* Makes room for the file FD to become SIZE bytes long, or leaves it as it is. A file system that
 * cannot promise room is asked for none. */
static int reserve(int fd, off_t size)
{
	struct stat st;
	int number;

	if (fstat(fd, &st) < 0)
		return errno;
	if (size <= st.st_size)
		return 0;
	number = posix_fallocate(fd, st.st_size, size - st.st_size);
	if (number && ftruncate(fd, st.st_size) < 0)
		return errno;
	return number == EOPNOTSUPP || number == EINVAL ? 0 : number;
}

static int copy_all(int from, int to)
{
	char block[8192];
	ssize_t n;
	int number = 0;

	while (!number && ((n = read(from, block, sizeof block)) > 0 || (n < 0 && errno == EINTR)))
		number = n < 0 ? 0 : write_all(to, block, (size_t)n);
	return number ? number : n < 0 ? errno : 0;
}

/* Gives the file FD the content of SOURCE from its first byte to its last. */
static int overwrite(int fd, int source)
{
	struct stat st;
	int number;

	if (fstat(source, &st) < 0)
		return errno;
	number = reserve(fd, st.st_size);
	if (!number)
		number = copy_all(source, fd);
	if (!number && ftruncate(fd, st.st_size) < 0)
		number = errno;
	return number ? number : sync_file(fd);
}

/* overwrite(path, source): the file at path stays the same one and gets the content of the other.
 * Whoever reads it meanwhile, or a crash, sees some of both. */
static int sys_overwrite(lua_State *L)
{
	const char *path = check_path(L, 1), *from = check_path(L, 2);
	int source, fd, number = open_regular(from, O_RDONLY | O_NOFOLLOW, &source);

	if (number)
		return fail_system(L, from, number);
	number = open_regular(path, O_WRONLY | O_NOFOLLOW, &fd);
	if (!number)
		number = overwrite(fd, source);
	close(source);
	if (fd >= 0)
		close(fd);
	return number ? fail_system(L, path, number) : succeed(L);
}

/* sync_directory(path): makes what happened to the names in it last */
static int sys_sync_directory(lua_State *L)
{
	const char *path = check_path(L, 1);
	int number = sync_directory(path);

	return number ? fail_system(L, path, number) : succeed(L);
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

static void make_replacement(lua_State *L)
{
	static const luaL_Reg methods[] = {
		{"write", replacement_write}, {"commit", replacement_commit},
		{"abort", replacement_abort}, {"temporary", replacement_temporary},
		{"prepare", replacement_prepare}, {NULL, NULL},
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

static void make_lock(lua_State *L)
{
	luaL_newmetatable(L, LOCK_TYPE);
	lua_pushcfunction(L, lock_release);
	lua_setfield(L, -2, "__gc");
	lua_pushcfunction(L, lock_release);
	lua_setfield(L, -2, "__close");
	lua_newtable(L);
	lua_pushcfunction(L, lock_release);
	lua_setfield(L, -2, "release");
	lua_setfield(L, -2, "__index");
	lua_pop(L, 1);
}

static void make_directory_box(lua_State *L)
{
	luaL_newmetatable(L, DIRECTORY);
	lua_pushcfunction(L, close_directory);
	lua_setfield(L, -2, "__gc");
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
	set_number(L, "EBUSY", EBUSY);
	set_number(L, "EEXIST", EEXIST);
	set_number(L, "EIO", EIO);
	set_number(L, "ENOMEM", ENOMEM);
	set_number(L, "EMFILE", EMFILE);
	set_number(L, "ENFILE", ENFILE);
}

int luaopen_hoststore_sys(lua_State *L)
{
	static const luaL_Reg functions[] = {
		{"stat", sys_stat}, {"readlink", sys_readlink},
		{"mkdir_p", sys_mkdir_p}, {"replace", sys_replace}, {"time", sys_time},
		{"monotonic", sys_monotonic}, {"sleep", sys_sleep}, {"isatty", sys_isatty},
		{"is_abandoned", sys_is_abandoned}, {"user", sys_user},
		{"unlink", sys_unlink}, {"realpath", sys_realpath}, {"list", sys_list},
		{"digest", sys_digest}, {"file_digest", sys_file_digest}, {"lock", sys_lock},
		{"overwrite", sys_overwrite}, {"sync_directory", sys_sync_directory},
		{NULL, NULL},
	};

	make_replacement(L);
	make_lock(L);
	make_directory_box(L);
	lua_newtable(L);
	luaL_setfuncs(L, functions, 0);
	set_spool_functions(L);
	set_guard_functions(L);
	luaopen_hoststore_process(L);
	lua_setfield(L, -2, "spawn");
	push_errno(L);
	lua_setfield(L, -2, "errno");
	return 1;
}
