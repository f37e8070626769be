/* lua_spool.c -- what a spool needs of the system: names in order, files that are nobody else's, and
 * work that goes on when the caller is gone.
 *
 * As in lua_sys.c, a function returns its value, or nil, a message and errno. No file is opened
 * through a symbolic link, and none that others may have put there. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "lua_spool.h"

static int fail(lua_State *L, const char *what, int number)
{
	lua_pushnil(L);
	lua_pushfstring(L, "%s: %s", what, strerror(number));
	lua_pushinteger(L, number);
	return 3;
}

/* -- work in the background ---------------------------------------------------------------------- */

/* A parent that waits for the end of a pipe must not wait for us. Returns -1 when there is no list. */
static int close_listed(int kept)
{
	DIR *directory = opendir("/proc/self/fd");
	struct dirent *entry;

	if (!directory)
		return -1;
	while ((entry = readdir(directory)) != NULL) {
		int fd = atoi(entry->d_name);

		if (fd > 2 && fd != kept && fd != dirfd(directory))
			close(fd);
	}
	closedir(directory);
	return 0;
}

static void close_others(int kept)
{
	if (close_listed(kept) < 0)
		for (int fd = 3; fd < 1024; fd++)
			if (fd != kept)
				close(fd);
}

static void silence(void)
{
	int null = open("/dev/null", O_RDWR);

	for (int fd = 0; null >= 0 && fd <= 2; fd++)
		dup2(null, fd);
	if (null > 2)
		close(null);
}

static void become_ordinary(int kept)
{
	static const int signals[] = {SIGTERM, SIGINT, SIGHUP, SIGALRM, SIGCHLD, SIGPIPE};
	sigset_t none;

	setsid();
	for (size_t i = 0; i < sizeof signals / sizeof *signals; i++)
		signal(signals[i], SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	silence();
	close_others(kept);
}

/* The first child ends at once, so that the second one is nobody's to wait for. */
static void run_orphaned(lua_State *L, int kept)
{
	pid_t child = fork();

	if (child)
		_exit(child < 0 ? 1 : 0);
	become_ordinary(kept);
	_exit(lua_pcall(L, 0, 0, 0) ? 1 : 0);
}

/* background(lock, fn): fn runs in a process of its own, which has the lock and nothing else that is
 * open here. True as soon as it has begun. */
static int spool_background(lua_State *L)
{
	const int *lock = luaL_checkudata(L, 1, LOCK_TYPE);
	int status = 0;
	pid_t child;

	luaL_checktype(L, 2, LUA_TFUNCTION);
	lua_settop(L, 2);
	child = fork();
	if (child < 0)
		return fail(L, "fork", errno);
	if (child == 0)
		run_orphaned(L, *lock);
	/* Who ignores SIGCHLD is told ECHILD, and nothing else. */
	while (waitpid(child, &status, 0) < 0 && errno == EINTR)
		;
	if (status)
		return fail(L, "fork", EAGAIN);
	lua_pushboolean(L, 1);
	return 1;
}

/* -- names ------------------------------------------------------------------------------- */

/* sequence(): a name that sorts behind those made before it, by whatever process since the start. The
 * clock may stand still for a while, so those of one interpreter are counted, too. */
static int spool_sequence(lua_State *L)
{
	lua_Number count = lua_tonumber(L, lua_upvalueindex(1));
	struct timespec now;
	char name[64];

	clock_gettime(CLOCK_MONOTONIC, &now);
	snprintf(name, sizeof name, "%010" PRId64 "%09ld-%ld-%010.0f", (int64_t)now.tv_sec, now.tv_nsec,
		 (long)getpid(), count);
	lua_pushnumber(L, count + 1);
	lua_replace(L, lua_upvalueindex(1));
	lua_pushstring(L, name);
	return 1;
}

/* -- files ------------------------------------------------------------------------------- */

static int write_and_close(int fd, const char *text, size_t length)
{
	int number = write_all(fd, text, length);

	if (close(fd) < 0 && !number)
		number = errno;
	return number;
}

/* create(path, text): a file that was not there, for us alone to read */
static int spool_create(lua_State *L)
{
	size_t length;
	const char *path = luaL_checkstring(L, 1), *text = luaL_checklstring(L, 2, &length);
	int number, fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);

	if (fd < 0)
		return fail(L, path, errno);
	number = write_and_close(fd, text, length);
	if (number) {
		unlink(path);
		return fail(L, path, number);
	}
	lua_pushboolean(L, 1);
	return 1;
}

/* Opens a file that is ours and no larger than LIMIT, which gets its size. Does not wait for the other
 * end of a pipe. Returns -1 and sets errno. */
static int open_own(const char *path, int flags, off_t *limit)
{
	int number = 0, fd = open(path, flags | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0600);
	struct stat st;

	if (fd < 0)
		return -1;
	if (fstat(fd, &st) < 0)
		number = errno;
	else if (!S_ISREG(st.st_mode) || st.st_uid != geteuid())
		number = EPERM;
	else if (st.st_size > *limit)
		number = EFBIG;
	if (!number) {
		*limit = st.st_size;
		return fd;
	}
	close(fd);
	errno = number;
	return -1;
}

/* Returns how many bytes there were, at most SIZE, or -1 and sets errno. */
static ssize_t read_all(int fd, char *text, size_t size)
{
	size_t length = 0;

	while (length < size) {
		ssize_t n = read(fd, text + length, size - length);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? n : (ssize_t)length;
		length += (size_t)n;
	}
	return (ssize_t)length;
}

/* read_own(path, limit): the content of a file that is ours and has no more than so many bytes */
static int spool_read_own(lua_State *L)
{
	const char *path = luaL_checkstring(L, 1);
	off_t size = (off_t)luaL_checkinteger(L, 2);
	int number, fd;
	ssize_t length;
	char *text;

	luaL_argcheck(L, size >= 0 && size <= 1 << 20, 2, "a limit is between 0 and 1 MiB");
	text = lua_newuserdata(L, (size_t)size + 1);
	fd = open_own(path, O_RDONLY, &size);
	if (fd < 0)
		return fail(L, path, errno);
	length = read_all(fd, text, (size_t)size);
	number = errno;
	close(fd);
	if (length < 0)
		return fail(L, path, number);
	lua_pushlstring(L, text, (size_t)length);
	return 1;
}

/* append(path, text): adds to a file of ours, which is made when it is missing -> its size before */
static int spool_append(lua_State *L)
{
	size_t length;
	const char *path = luaL_checkstring(L, 1), *text = luaL_checklstring(L, 2, &length);
	off_t size = INT32_MAX;
	int number, fd = open_own(path, O_WRONLY | O_APPEND | O_CREAT, &size);

	if (fd < 0)
		return fail(L, path, errno);
	number = write_and_close(fd, text, length);
	if (number)
		return fail(L, path, number);
	push_int(L, size);
	return 1;
}

/* euid(): whose files this process makes */
static int spool_euid(lua_State *L)
{
	push_int(L, geteuid());
	return 1;
}

void set_spool_functions(lua_State *L)
{
	static const luaL_Reg functions[] = {
		{"background", spool_background}, {"euid", spool_euid}, {"create", spool_create},
		{"read_own", spool_read_own}, {"append", spool_append}, {NULL, NULL},
	};

	luaL_setfuncs(L, functions, 0);
	lua_pushnumber(L, 0);
	lua_pushcclosure(L, spool_sequence, 1);
	lua_setfield(L, -2, "sequence");
}
