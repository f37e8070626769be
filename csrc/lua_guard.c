/* lua_guard.c -- files where other users may write: what they could have put in the way of ours.
 *
 * A path is safe when nobody but root and this user can make it lead elsewhere; then there is no race
 * to lose. Files are opened so that a pipe makes nobody wait, and are read up to a bound. As in
 * lua_sys.c, a function returns its value, or nil, a message and errno. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lua_sys.h"

enum { MAX_LINKS = 40 };

/* -- where a path leads ------------------------------------------------------------------------- */

/* A walk from directory to directory. `at` is where it is, without links; `rest` is still to be walked. */
struct walk {
	char at[PATH_MAX], rest[PATH_MAX];
	struct stat directory;		/* of `at` */
	int links;
	bool strict, alone;
	const char *reason;		/* why it is not safe */
};

static bool anybody_may_write(const struct stat *st)
{
	return st->st_mode & S_IWOTH;
}

/* Root could do what it likes anyhow, and so could whoever owns all, whoever that is in a container. */
static bool is_trusted(const struct stat *st)
{
	struct stat root;

	return st->st_uid == 0 || st->st_uid == geteuid() || (stat("/", &root) == 0 && st->st_uid == root.st_uid);
}

static bool refuse(struct walk *walk, const char *reason)
{
	walk->reason = reason;
	return false;
}

static bool is_safe_directory(struct walk *walk)
{
	if (walk->strict && anybody_may_write(&walk->directory) && !(walk->directory.st_mode & S_ISVTX))
		return refuse(walk, "anybody may write to the directory it is in; take that away with chmod o-w");
	return true;
}

/* What is in a directory that anybody may write to can be anybody's; and of root's own files, too, any
 * other user could have made a second name. */
static bool is_safe_entry(struct walk *walk, const struct stat *entry)
{
	if (!anybody_may_write(&walk->directory))
		return true;
	if (!is_trusted(entry))
		return refuse(walk, "it belongs to another user, in a directory that anybody may write to; chown it "
			      "if you trust what it is");
	if (S_ISREG(entry->st_mode) && entry->st_nlink > 1)
		return refuse(walk, "it has a second name, in a directory that anybody may write to; copy it");
	return true;
}

/* Whoever may write to a directory that is not sticky can replace what is in it, and so can its owner. */
static bool is_ours_alone(struct walk *walk, const struct stat *entry)
{
	if (!is_trusted(entry))
		return refuse(walk, "belongs to another user, who could replace what is behind it");
	if (S_ISDIR(entry->st_mode) && (entry->st_mode & (S_IWGRP | S_IWOTH)) && !(entry->st_mode & S_ISVTX))
		return refuse(walk, "others may write to it, and so replace what is in it");
	return true;
}

/* Takes the next name off the rest. Returns 0, or errno. */
static int next_name(struct walk *walk, char name[NAME_MAX + 1])
{
	const char *begin = walk->rest + strspn(walk->rest, "/");
	size_t length = strcspn(begin, "/");

	if (length > NAME_MAX)
		return ENAMETOOLONG;
	memcpy(name, begin, length);
	name[length] = '\0';
	memmove(walk->rest, begin + length, strlen(begin + length) + 1);
	return 0;
}

static int go_up(struct walk *walk)
{
	char *slash = strrchr(walk->at, '/');

	*slash = '\0';
	return stat(*walk->at ? walk->at : "/", &walk->directory) < 0 ? errno : 0;
}

/* Puts the target of the link at PATH before the rest. */
static int follow(struct walk *walk, const char *path)
{
	char target[PATH_MAX];
	ssize_t length = readlink(path, target, sizeof target - 1);

	if (length < 0)
		return errno;
	if (++walk->links > MAX_LINKS)
		return ELOOP;
	if ((size_t)length + 1 + strlen(walk->rest) >= sizeof walk->rest)
		return ENAMETOOLONG;
	memmove(walk->rest + length + 1, walk->rest, strlen(walk->rest) + 1);
	memcpy(walk->rest, target, (size_t)length);
	walk->rest[length] = '/';
	if (*target != '/')
		return 0;
	*walk->at = '\0';
	return stat("/", &walk->directory) < 0 ? errno : 0;
}

static bool is_last(const struct walk *walk)
{
	return walk->rest[strspn(walk->rest, "/")] == '\0';
}

/* Goes on to NAME. Returns 0 with walk->reason set when that is not safe, or errno; ENOENT where
 * nothing is. */
static int step(struct walk *walk, const char *name)
{
	size_t length = strlen(walk->at);
	struct stat entry;
	int number;

	if (length + 1 + strlen(name) >= sizeof walk->at)
		return ENAMETOOLONG;
	sprintf(walk->at + length, "/%s", name);
	if (!is_safe_directory(walk))
		return 0;
	if (lstat(walk->at, &entry) < 0)
		return errno;
	if (walk->alone && !is_ours_alone(walk, &entry))
		return 0;
	if (!is_safe_entry(walk, &entry))
		return 0;
	if (S_ISLNK(entry.st_mode)) {
		number = follow(walk, walk->at);
		if (*walk->at)
			walk->at[length] = '\0';
		return number;
	}
	if (walk->strict && is_last(walk) && anybody_may_write(&entry))
		refuse(walk, "anybody may write to it; take that away with chmod o-w");
	walk->directory = entry;
	return 0;
}

static int walk_all(struct walk *walk)
{
	char name[NAME_MAX + 1];
	int number = 0;

	while (!number && !walk->reason && !is_last(walk)) {
		number = next_name(walk, name);
		if (!number && strcmp(name, "..") == 0 && *walk->at)
			number = go_up(walk);
		else if (!number && strcmp(name, ".") != 0 && strcmp(name, "..") != 0)
			number = step(walk, name);
	}
	return number;
}

static int start(struct walk *walk, const char *path)
{
	char here[PATH_MAX] = "";

	if (*path != '/' && !getcwd(here, sizeof here))
		return errno;
	if (snprintf(walk->rest, sizeof walk->rest, "%s/%s", here, path) >= (int)sizeof walk->rest)
		return ENAMETOOLONG;
	return stat("/", &walk->directory) < 0 ? errno : 0;
}

/* guard(path [, strict [, alone]]): true when what path leads to, link by link, is what root or this user has put
 * there; so is what is not there yet. In directories that anybody may write to, all else is refused. When
 * strict, such a directory has to be sticky, as nobody can rename our files then, and what path leads to is
 * not to be anybody's to write. When alone, all on the way has to belong to root or this user, and to be theirs
 * alone to write, or sticky. */
static int sys_guard(lua_State *L)
{
	const char *path = check_path(L, 1);
	struct walk walk = {.strict = lua_toboolean(L, 2), .alone = lua_toboolean(L, 3)};
	int number = start(&walk, path);

	if (!number)
		number = walk_all(&walk);
	if (walk.reason && strcmp(walk.at, path) != 0)
		return fail_because(L, path, lua_pushfstring(L, "leads to %s: %s", walk.at, walk.reason), EPERM);
	if (walk.reason)
		return fail_because(L, path, walk.reason, EPERM);
	if (number && number != ENOENT)
		return fail_system(L, path, number);
	return succeed(L);
}

/* -- opening, reading and writing ------------------------------------------------------------------ */

int open_regular(const char *path, int flags, int *fd)
{
	struct stat st;

	*fd = open(path, flags | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, 0600);
	if (*fd < 0)
		return errno == ENXIO ? EINVAL : errno;
	if (fstat(*fd, &st) == 0 && S_ISREG(st.st_mode))
		return 0;
	close(*fd);
	*fd = -1;
	return EINVAL;
}

/* As open_regular, but of a file that is ours under its own name. EPERM when it is not, whatever it is. */
static int open_own(const char *path, int flags, int *fd)
{
	struct stat st;
	int number = open_regular(path, flags | O_NOFOLLOW, fd);

	if (!number && (fstat(*fd, &st) < 0 || st.st_uid != geteuid())) {
		close(*fd);
		*fd = -1;
		return EPERM;
	}
	return number == EINVAL ? EPERM : number;
}

#define OPENED "hoststore.Opened"

static int opened_close(lua_State *L)
{
	int *fd = luaL_checkudata(L, 1, OPENED);

	if (*fd >= 0)
		close(*fd);
	*fd = -1;
	return 0;
}

/* Pushes what closes the file when an error is raised. */
static int *push_opened(lua_State *L)
{
	int *fd = lua_newuserdata(L, sizeof *fd);

	*fd = -1;
	luaL_getmetatable(L, OPENED);
	lua_setmetatable(L, -2);
	return fd;
}

static int fail_open(lua_State *L, const char *path, int number)
{
	return number == EINVAL ? fail_because(L, path, "is no regular file", number) : fail_system(L, path, number);
}

/* As read(2), but to the end. */
static ssize_t read_all(int fd, char *text, size_t size)
{
	size_t length = 0;
	ssize_t n;

	while (length < size && (n = read(fd, text + length, size - length)) != 0) {
		if (n < 0 && errno != EINTR)
			return -1;
		length += n < 0 ? 0 : (size_t)n;
	}
	return (ssize_t)length;
}

/* Pushes the content of FD, which has no more than LIMIT bytes. Returns 0, or errno. */
static int push_content(lua_State *L, int fd, lua_Integer limit)
{
	struct stat st;
	char *text;
	ssize_t length;

	if (fstat(fd, &st) < 0)
		return errno;
	if (st.st_size > limit)
		return EFBIG;
	/* One byte more, in which it shows when the file has grown. */
	text = lua_newuserdata(L, (size_t)st.st_size + 1);
	length = read_all(fd, text, (size_t)st.st_size + 1);
	if (length < 0)
		return errno;
	if (length > limit)
		return EFBIG;
	lua_pushlstring(L, text, (size_t)length);
	return 0;
}

static int read_content(lua_State *L, int (*open_it)(const char *path, int flags, int *fd))
{
	const char *path = check_path(L, 1);
	lua_Integer limit = luaL_checkinteger(L, 2);
	int *fd = push_opened(L), number = open_it(path, O_RDONLY, fd);

	if (number)
		return fail_open(L, path, number);
	number = push_content(L, *fd, limit);
	close(*fd);
	*fd = -1;
	return number ? fail_system(L, path, number) : 1;
}

/* read(path, limit): the content of a regular file of at most so many bytes */
static int sys_read(lua_State *L)
{
	return read_content(L, open_regular);
}

/* read_own(path, limit): as read, of a file that is ours */
static int sys_read_own(lua_State *L)
{
	return read_content(L, open_own);
}

static int write_and_close(int fd, const char *text, size_t length)
{
	int number = write_all(fd, text, length);

	if (close(fd) < 0 && !number)
		number = errno;
	return number;
}

/* create(path, text): a file that was not there, for us alone to read whatever the umask */
static int sys_create(lua_State *L)
{
	const char *path = check_path(L, 1);
	size_t length;
	const char *text = luaL_checklstring(L, 2, &length);
	int fd, number = open_regular(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, &fd);

	if (number)
		return fail_open(L, path, number);
	number = write_and_close(fd, text, length);
	if (number) {
		unlink(path);
		return fail_system(L, path, number);
	}
	return succeed(L);
}

/* append(path, text): adds to a file of ours, which is made when it is missing -> its size before */
static int sys_append(lua_State *L)
{
	const char *path = check_path(L, 1);
	size_t length;
	const char *text = luaL_checklstring(L, 2, &length);
	struct stat st = {0};
	int fd, number = open_own(path, O_WRONLY | O_APPEND | O_CREAT, &fd);

	if (number)
		return fail_open(L, path, number);
	number = fstat(fd, &st) < 0 ? errno : 0;
	if (number)
		close(fd);
	else
		number = write_and_close(fd, text, length);
	if (number)
		return fail_system(L, path, number);
	push_int(L, st.st_size);
	return 1;
}

void set_guard_functions(lua_State *L)
{
	static const luaL_Reg functions[] = {
		{"guard", sys_guard}, {"read", sys_read}, {"read_own", sys_read_own}, {"create", sys_create},
		{"append", sys_append}, {NULL, NULL},
	};

	luaL_newmetatable(L, OPENED);
	lua_pushcfunction(L, opened_close);
	lua_setfield(L, -2, "__gc");
	lua_pop(L, 1);
	luaL_setfuncs(L, functions, 0);
}
