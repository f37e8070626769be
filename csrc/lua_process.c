/* lua_process.c -- running a program and waiting for it: core.sys.spawn.
 *
 * No shell reads the words. The program gets nothing to read, what it writes is kept up to a limit,
 * and it has a time to be done in; it leads a process group of its own, so that what it has started
 * ends with it then. A daemon it leaves behind may keep the pipe open: only the program itself is
 * waited for. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "lua_value.h"

int luaopen_hoststore_process(lua_State *L);

#define DEFAULT_TIMEOUT 30.0
#define DEFAULT_LIMIT 16384
#define GRACE 2.0			/* seconds between asking it to end and making it */
#define LONGEST_PAUSE 20		/* milliseconds */

struct process {
	pid_t pid;
	int output;			/* -1: all ends of it are closed */
	char *text;
	size_t limit, length;
	double deadline;
	bool timed_out;
	int status;
};

static double monotonic(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static int fail(lua_State *L, const char *program, int number)
{
	lua_pushnil(L);
	lua_pushfstring(L, "cannot run %s: %s", program, strerror(number));
	lua_pushinteger(L, number);
	return 3;
}

/* An array of the words of the table at ARG, which keeps them alive. */
static const char **push_words(lua_State *L, int arg)
{
	size_t count = lua_rawlen(L, arg), length;
	const char **words = lua_newuserdata(L, (count + 1) * sizeof *words);

	luaL_argcheck(L, count > 0, arg, "the words of a command expected");
	for (size_t i = 0; i < count; i++) {
		lua_rawgeti(L, arg, (int)i + 1);
		luaL_argcheck(L, lua_type(L, -1) == LUA_TSTRING, arg, "the words of a command are strings");
		words[i] = lua_tolstring(L, -1, &length);
		luaL_argcheck(L, strlen(words[i]) == length, arg, "a word of a command holds no NUL");
		lua_pop(L, 1);
	}
	words[count] = NULL;
	return words;
}

static lua_Number number_field(lua_State *L, int arg, const char *name, lua_Number fallback)
{
	lua_Number value = fallback;

	if (lua_istable(L, arg)) {
		lua_getfield(L, arg, name);
		value = luaL_optnumber(L, -1, fallback);
		lua_pop(L, 1);
	}
	luaL_argcheck(L, value >= 0 && value <= 1e9, arg, "timeout and limit are between 0 and 1e9");
	return value;
}

/* -- starting -------------------------------------------------------------------------------------- */

/* Moves FD out of the way of the three standard ones, which the child will overwrite. */
static int move_up(int *fd)
{
	int moved;

	if (*fd > 2)
		return 0;
	moved = fcntl(*fd, F_DUPFD_CLOEXEC, 3);
	if (moved < 0)
		return errno;
	close(*fd);
	*fd = moved;
	return 0;
}

static void close_pipe(int ends[2])
{
	close(ends[0]);
	close(ends[1]);
}

static int open_pipe(int ends[2])
{
	int number;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return errno;
	number = move_up(&ends[0]);
	if (!number)
		number = move_up(&ends[1]);
	if (number)
		close_pipe(ends);
	return number;
}

/* In the child: the program, or its reason for not being one in REPORT. */
static _Noreturn void become(const char **words, int output, int report)
{
	sigset_t none;
	int number, nothing = open("/dev/null", O_RDONLY);

	setpgid(0, 0);
	signal(SIGPIPE, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	if (nothing >= 0 && dup2(nothing, 0) == 0 && dup2(output, 1) == 1 && dup2(output, 2) == 2)
		execvp(words[0], (char *const *)words);
	number = errno;
	while (write(report, &number, sizeof number) < 0 && errno == EINTR)
		;
	_exit(127);
}

/* 0 when the program runs: the report ends unwritten as soon as it does. */
static int read_report(int report)
{
	int number = 0;

	while (read(report, &number, sizeof number) < 0 && errno == EINTR)
		;
	return number;
}

static void reap(pid_t pid, int *status)
{
	while (waitpid(pid, status, 0) < 0 && errno == EINTR)
		;
}

static int start(struct process *p, const char **words)
{
	int output[2], report[2], number = open_pipe(output);

	if (number)
		return number;
	number = open_pipe(report);
	if (number) {
		close_pipe(output);
		return number;
	}
	p->pid = fork();
	if (p->pid == 0)
		become(words, output[1], report[1]);
	number = p->pid < 0 ? errno : 0;
	close(output[1]);
	close(report[1]);
	if (!number)
		number = read_report(report[0]);
	close(report[0]);
	if (number) {
		close(output[0]);
		if (p->pid > 0)
			reap(p->pid, &p->status);
		return number;
	}
	fcntl(output[0], F_SETFL, O_NONBLOCK);
	p->output = output[0];
	return 0;
}

/* -- waiting --------------------------------------------------------------------------------------- */

static void close_output(struct process *p)
{
	if (p->output >= 0)
		close(p->output);
	p->output = -1;
}

/* Takes what has been written so far; what is beyond the limit is forgotten. At most so much at a
 * time: who never stops writing must not escape the deadline. */
static void drain(struct process *p)
{
	char piece[4096];

	for (int i = 0; i < 64 && p->output >= 0; i++) {
		ssize_t n = read(p->output, piece, sizeof piece);
		size_t kept;

		if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
			close_output(p);
		if (n <= 0)
			return;
		kept = p->limit - p->length < (size_t)n ? p->limit - p->length : (size_t)n;
		memcpy(p->text + p->length, piece, kept);
		p->length += kept;
	}
}

static void hurry(struct process *p)
{
	double now = monotonic();

	if (now < p->deadline)
		return;
	kill(-p->pid, p->timed_out ? SIGKILL : SIGTERM);
	p->timed_out = true;
	p->deadline = now + GRACE;
}

/* Its end makes no noise that poll could hear, so it is looked for ever more slowly. */
static int wait_for(struct process *p)
{
	for (int pause = 1;; pause = pause < LONGEST_PAUSE ? pause * 2 : LONGEST_PAUSE) {
		struct pollfd output = {.fd = p->output, .events = POLLIN};
		pid_t ended;

		drain(p);
		ended = waitpid(p->pid, &p->status, WNOHANG);
		if (ended < 0 && errno != EINTR)
			return errno;
		if (ended == p->pid)
			break;
		hurry(p);
		output.fd = p->output;
		poll(&output, 1, pause);
	}
	if (p->timed_out)
		kill(-p->pid, SIGKILL);
	drain(p);
	return 0;
}

/* Where children are ignored, as in some daemons, the system forgets how they ended. */
static bool notice_children(struct sigaction *old)
{
	struct sigaction usual = {.sa_handler = SIG_DFL};

	return sigaction(SIGCHLD, NULL, old) == 0 && !(old->sa_flags & SA_SIGINFO) &&
	       old->sa_handler == SIG_IGN && sigaction(SIGCHLD, &usual, NULL) == 0;
}

static int run(struct process *p, const char **words)
{
	struct sigaction old;
	bool changed = notice_children(&old);
	int number = start(p, words);

	if (!number)
		number = wait_for(p);
	close_output(p);
	if (changed)
		sigaction(SIGCHLD, &old, NULL);
	return number;
}

/* -- the function ---------------------------------------------------------------------------------- */

/* spawn(words [, {timeout = seconds, limit = bytes}]) -> {status =, signal =, timed_out =, output =}:
 * status or signal says how it ended, output is what it wrote to stdout and stderr. */
static int sys_spawn(lua_State *L)
{
	struct process p = {.output = -1};
	const char **words;
	int number;

	luaL_checktype(L, 1, LUA_TTABLE);
	words = push_words(L, 1);
	p.deadline = monotonic() + number_field(L, 2, "timeout", DEFAULT_TIMEOUT);
	p.limit = (size_t)number_field(L, 2, "limit", DEFAULT_LIMIT);
	p.text = lua_newuserdata(L, p.limit + 1);
	number = run(&p, words);
	if (number)
		return fail(L, words[0], number);
	lua_createtable(L, 0, 4);
	if (WIFEXITED(p.status)) {
		lua_pushinteger(L, WEXITSTATUS(p.status));
		lua_setfield(L, -2, "status");
	} else {
		lua_pushinteger(L, WTERMSIG(p.status));
		lua_setfield(L, -2, "signal");
	}
	lua_pushboolean(L, p.timed_out);
	lua_setfield(L, -2, "timed_out");
	lua_pushlstring(L, p.text, p.length);
	lua_setfield(L, -2, "output");
	return 1;
}

/* Leaves the function. */
int luaopen_hoststore_process(lua_State *L)
{
	lua_pushcfunction(L, sys_spawn);
	return 1;
}
