/* failing_calls.c -- preloaded, it makes allocations or calls on files fail; as a Lua module, it is told which.
 *
 * Of one kind the calls are counted, and those from one number to another fail:
 *   lua      an allocation by the interpreter
 *   malloc   one by anybody else in the process
 *   eio      a call on a file: it fails
 *   enospc   one that takes room: there is none
 *   erofs    one that changes something: the file system has become read-only
 *   eintr    one that may be interrupted: a signal came first
 *   short    a read or a write: it does a part of it
 *   lost     a write: it does nothing, and says that it did
 * Files are those below $FAILING_CALLS_ROOT. Of the calls that may be interrupted those are left out that no file
 * system of this machine's interrupts, and that SQLite and Lua's own library do not repeat. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

#include <lauxlib.h>
#include <lua.h>

#define EXPORT __attribute__((visibility("default")))
#define REAL(name) __typeof__(&name) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

enum { MAX_FILES = 1024 };

enum kind { NONE, IN_LUA, IN_MALLOC, EIO_CALL, ENOSPC_CALL, EROFS_CALL, EINTR_CALL, SHORT_CALL, LOST_CALL };
static const char *const names[] = {"none", "lua", "malloc", "eio", "enospc", "erofs", "eintr", "short", "lost", NULL};

static enum kind armed;
static long first, last, seen;
static const char *failed;	/* the name of the last call that failed */
static long live;		/* blocks that are not Lua's */
static int inside_lua;

static bool fails(enum kind kind, const char *call)
{
	if (armed != kind)
		return false;
	seen++;
	if (seen < first || seen > last)
		return false;
	failed = call;
	return true;
}

/* -- memory ------------------------------------------------------------------------------------------- */

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *old, size_t size);
void __libc_free(void *old);

/* lua-cjson ends the process when it gets none. To find out who calls takes long, so it is remembered. */
static bool is_hopeless(const void *caller)
{
	static struct {
		const void *caller;
		bool is_hopeless;
	} known[4096];
	size_t i = ((uintptr_t)caller >> 1) % (sizeof known / sizeof *known);
	Dl_info module;

	if (known[i].caller != caller) {
		known[i].caller = caller;
		known[i].is_hopeless = dladdr(caller, &module) && module.dli_fname && strstr(module.dli_fname, "/cjson.so");
	}
	return known[i].is_hopeless;
}

static bool has_memory(const char *call, const void *caller)
{
	if (armed != IN_MALLOC || inside_lua || is_hopeless(caller) || !fails(IN_MALLOC, call))
		return true;
	errno = ENOMEM;
	return false;
}

static void *counted(void *made)
{
	live += made && !inside_lua;
	return made;
}

EXPORT void *malloc(size_t size)
{
	return has_memory("malloc", __builtin_return_address(0)) ? counted(__libc_malloc(size)) : NULL;
}

EXPORT void *calloc(size_t count, size_t size)
{
	return has_memory("calloc", __builtin_return_address(0)) ? counted(__libc_calloc(count, size)) : NULL;
}

EXPORT void *realloc(void *old, size_t size)
{
	if (!has_memory("realloc", __builtin_return_address(0)))
		return NULL;
	return old ? __libc_realloc(old, size) : counted(__libc_realloc(old, size));
}

EXPORT void free(void *old)
{
	live -= old && !inside_lua;
	__libc_free(old);
}

static lua_Alloc real_alloc;
static void *real_context;

static bool lua_has_memory(size_t size)
{
	static size_t refused;
	bool again = size == refused;

	refused = 0;
#if LUA_VERSION_NUM > 501
	/* What was refused is asked for once more when all garbage is collected. */
	if (again && armed == IN_LUA)
		return false;
#endif
	(void)again;
	if (!fails(IN_LUA, "lua_Alloc"))
		return true;
	refused = size;
	return false;
}

/* Lua relies on a block that shrinks. */
static void *lua_memory(void *context, void *old, size_t from, size_t to)
{
	void *made;

	(void)context;
	if (to > (old ? from : 0) && !lua_has_memory(to))
		return NULL;
	inside_lua++;
	made = real_alloc(real_context, old, from, to);
	inside_lua--;
	return made;
}

/* -- which files are ours ----------------------------------------------------------------------------- */

static char root[4096];
static bool ours[MAX_FILES];

__attribute__((constructor)) static void find_root(void)
{
	const char *directory = getenv("FAILING_CALLS_ROOT");

	if (directory && strlen(directory) < sizeof root)
		strcpy(root, directory);
}

static bool below_root(const char *path)
{
	return root[0] && strncmp(path, root, strlen(root)) == 0;
}

static bool is_ours(int fd)
{
	return fd >= 0 && fd < MAX_FILES && ours[fd];
}

static bool fails_with(enum kind kind, int number, const char *call)
{
	if (!fails(kind, call))
		return false;
	errno = number;
	return true;
}

static bool breaks(const char *call)
{
	return fails_with(EIO_CALL, EIO, call);
}

static bool has_no_room(const char *call)
{
	return breaks(call) || fails_with(ENOSPC_CALL, ENOSPC, call) || fails_with(EROFS_CALL, EROFS, call);
}

static bool is_refused(const char *call)
{
	return breaks(call) || fails_with(EROFS_CALL, EROFS, call);
}

static bool is_interrupted(const char *call)
{
	return fails_with(EINTR_CALL, EINTR, call);
}

/* -- names ---------------------------------------------------------------------------------------- */

static int opened(int fd, const char *path)
{
	if (fd >= 0 && fd < MAX_FILES)
		ours[fd] = below_root(path);
	return fd;
}

static bool is_missing(const char *path)
{
	int saved = errno;
	bool missing = access(path, F_OK) < 0;

	errno = saved;
	return missing;
}

static bool fails_to_open(const char *path, int flags)
{
	if (flags & O_CREAT && is_missing(path))
		return has_no_room("open");
	return flags & (O_WRONLY | O_RDWR) ? is_refused("open") : breaks("open");
}

EXPORT int open(const char *path, int flags, ...)
{
	REAL(open);
	mode_t mode = 0;
	va_list args;

	va_start(args, flags);
	if (flags & O_CREAT)
		mode = va_arg(args, mode_t);
	va_end(args);
	if (below_root(path) && fails_to_open(path, flags))
		return -1;
	return opened(real(path, flags, mode), path);
}

EXPORT int mkostemp(char *path, int flags)
{
	REAL(mkostemp);

	return below_root(path) && has_no_room("mkostemp") ? -1 : opened(real(path, flags), path);
}

EXPORT int mkstemp(char *path)
{
	return mkostemp(path, 0);
}

EXPORT int mkdir(const char *path, mode_t mode)
{
	REAL(mkdir);

	return below_root(path) && has_no_room("mkdir") ? -1 : real(path, mode);
}

EXPORT int rename(const char *from, const char *to)
{
	REAL(rename);

	return below_root(to) && has_no_room("rename") ? -1 : real(from, to);
}

EXPORT int unlink(const char *path)
{
	REAL(unlink);

	return below_root(path) && is_refused("unlink") ? -1 : real(path);
}

/* -- content -------------------------------------------------------------------------------------- */

static size_t part_of(size_t size, const char *call)
{
	return size > 1 && fails(SHORT_CALL, call) ? size / 2 : size;
}

EXPORT ssize_t read(int fd, void *data, size_t size)
{
	REAL(read);

	if (!is_ours(fd))
		return real(fd, data, size);
	return breaks("read") || is_interrupted("read") ? -1 : real(fd, data, part_of(size, "read"));
}

EXPORT ssize_t pread(int fd, void *data, size_t size, off_t offset)
{
	REAL(pread);

	if (!is_ours(fd))
		return real(fd, data, size, offset);
	return breaks("pread") || is_interrupted("pread") ? -1 : real(fd, data, part_of(size, "pread"), offset);
}

EXPORT ssize_t write(int fd, const void *data, size_t size)
{
	REAL(write);

	if (!is_ours(fd))
		return real(fd, data, size);
	if (fails(LOST_CALL, "write"))
		return (ssize_t)size;
	return has_no_room("write") || is_interrupted("write") ? -1 : real(fd, data, part_of(size, "write"));
}

EXPORT ssize_t pwrite(int fd, const void *data, size_t size, off_t offset)
{
	REAL(pwrite);

	if (!is_ours(fd))
		return real(fd, data, size, offset);
	if (fails(LOST_CALL, "pwrite"))
		return (ssize_t)size;
	return has_no_room("pwrite") || is_interrupted("pwrite") ? -1 : real(fd, data, part_of(size, "pwrite"), offset);
}

EXPORT int ftruncate(int fd, off_t length)
{
	REAL(ftruncate);

	return is_ours(fd) && (has_no_room("ftruncate") || is_interrupted("ftruncate")) ? -1 : real(fd, length);
}

EXPORT int posix_fallocate(int fd, off_t offset, off_t length)
{
	REAL(posix_fallocate);

	return is_ours(fd) && has_no_room("posix_fallocate") ? errno : real(fd, offset, length);
}

/* Some file systems look for room only now. */
EXPORT int fsync(int fd)
{
	REAL(fsync);

	return is_ours(fd) && (has_no_room("fsync") || is_interrupted("fsync")) ? -1 : real(fd);
}

EXPORT int fdatasync(int fd)
{
	REAL(fdatasync);

	return is_ours(fd) && has_no_room("fdatasync") ? -1 : real(fd);
}

EXPORT int flock(int fd, int operation)
{
	REAL(flock);

	return is_ours(fd) && is_interrupted("flock") ? -1 : real(fd, operation);
}

/* What SQLite calls. */
EXPORT int open64(const char *path, int flags, ...) __attribute__((alias("open")));
EXPORT ssize_t pread64(int fd, void *data, size_t size, off64_t offset) __attribute__((alias("pread")));
EXPORT ssize_t pwrite64(int fd, const void *data, size_t size, off64_t offset) __attribute__((alias("pwrite")));
EXPORT int ftruncate64(int fd, off64_t length) __attribute__((alias("ftruncate")));
EXPORT int posix_fallocate64(int fd, off64_t offset, off64_t length) __attribute__((alias("posix_fallocate")));
EXPORT int mkstemp64(char *path) __attribute__((alias("mkstemp")));
EXPORT int mkostemp64(char *path, int flags) __attribute__((alias("mkostemp")));

/* -- the files of C's library ------------------------------------------------------------------------ */

/* Its calls do not come by here, so a file is one that makes them here. */
static ssize_t read_file(void *file, char *data, size_t size)
{
	REAL(read);
	int fd = (int)(intptr_t)file;

	return breaks("fread") ? -1 : real(fd, data, part_of(size, "fread"));
}

static ssize_t write_file(void *file, const char *data, size_t size)
{
	REAL(write);
	int fd = (int)(intptr_t)file;

	/* Zero says that it failed. */
	return has_no_room("fwrite") ? 0 : real(fd, data, size);
}

static int seek_file(void *file, off64_t *offset, int whence)
{
	off_t found = lseek((int)(intptr_t)file, *offset, whence);

	*offset = found;
	return found < 0 ? -1 : 0;
}

static int close_file(void *file)
{
	return close((int)(intptr_t)file);
}

EXPORT FILE *fopen(const char *path, const char *mode)
{
	REAL(fopen);
	cookie_io_functions_t functions = {read_file, write_file, seek_file, close_file};
	int flags = mode[0] == 'w' ? O_WRONLY | O_CREAT | O_TRUNC : mode[0] == 'a' ? O_WRONLY | O_CREAT | O_APPEND : O_RDONLY;
	FILE *file;
	int fd;

	if (!below_root(path))
		return real(path, mode);
	fd = open(path, flags | O_CLOEXEC, 0666);
	if (fd < 0)
		return NULL;
	file = fopencookie((void *)(intptr_t)fd, mode, functions);
	if (!file)
		close(fd);
	return file;
}

EXPORT FILE *fopen64(const char *path, const char *mode) __attribute__((alias("fopen")));

/* -- Lua ---------------------------------------------------------------------------------------------- */

/* arm(kind, first, last): of the calls from now on those from first to last fail. */
static int arm(lua_State *L)
{
	enum kind kind = (enum kind)luaL_checkoption(L, 1, NULL, names);

	first = (long)luaL_checknumber(L, 2);
	last = (long)luaL_checknumber(L, 3);
	seen = 0;
	failed = NULL;
	armed = kind;
	return 0;
}

/* disarm() -> how many calls there were, and the name of the last that failed, or nil. */
static int disarm(lua_State *L)
{
	armed = NONE;
	lua_pushnumber(L, (lua_Number)seen);
	lua_pushstring(L, failed);
	return 2;
}

/* live() -> how many blocks of memory there are that are not Lua's, more than when this was loaded. */
static int count_live(lua_State *L)
{
	lua_pushnumber(L, (lua_Number)live);
	return 1;
}

EXPORT int luaopen_failing_calls(lua_State *L);

int luaopen_failing_calls(lua_State *L)
{
	static const luaL_Reg functions[] = {{"arm", arm}, {"disarm", disarm}, {"live", count_live}, {NULL, NULL}};

	real_alloc = lua_getallocf(L, &real_context);
	lua_setallocf(L, lua_memory, NULL);
	lua_newtable(L);
	for (const luaL_Reg *f = functions; f->name; f++) {
		lua_pushcfunction(L, f->func);
		lua_setfield(L, -2, f->name);
	}
	return 1;
}
