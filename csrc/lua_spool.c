/* lua_spool.c -- what a spool needs of the system: names in order, and work that goes on
 * when the caller is gone.
 *
 * As in lua_sys.c, a function returns its value, or nil, a message and errno. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "lua_sys.h"

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
		return fail_system(L, "fork", errno);
	if (child == 0)
		run_orphaned(L, *lock);
	/* Who ignores SIGCHLD is told ECHILD, and nothing else. */
	while (waitpid(child, &status, 0) < 0 && errno == EINTR)
		;
	if (status)
		return fail_system(L, "fork", EAGAIN);
	return succeed(L);
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

/* euid(): whose files this process makes */
static int spool_euid(lua_State *L)
{
	push_int(L, geteuid());
	return 1;
}

void set_spool_functions(lua_State *L)
{
	static const luaL_Reg functions[] = {
		{"background", spool_background}, {"euid", spool_euid}, {NULL, NULL},
	};

	luaL_setfuncs(L, functions, 0);
	lua_pushnumber(L, 0);
	lua_pushcclosure(L, spool_sequence, 1);
	lua_setfield(L, -2, "sequence");
}
