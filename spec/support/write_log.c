/* write_log.c -- preloaded, it writes down what the process does to the files below a directory: each
 * write with its bytes, each change of length, each sync, and each name that comes, moves or goes.
 *
 * $WRITE_LOG names the log, $WRITE_LOG_ROOT the directory. A record is a line "OPERATION OFFSET LENGTH PATH",
 * the path relative to the root, and LENGTH bytes:
 *   create    a new file has got that name
 *   mkdir     so has a new directory
 *   write     the bytes were written at OFFSET
 *   truncate  the file is OFFSET bytes long from now on
 *   sync      what was written to the file, or in the directory, is on the disk
 *   remove    the name is gone
 *   rename    the bytes are the new name
 * With $WRITE_LOG_RANDOM, a file, /dev/urandom gives the bytes of that, so that the same work writes the same log.
 *
 * A record is one write to the end of the log, behind what it tells of, so that whoever else notes there what was
 * acknowledged knows what came before. Threads are not looked after,
 * and a file may not be longer than a long says. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))
#define REAL(name) __typeof__(&name) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

enum { MAX_FILES = 1024 };

static int log_fd = -1, random_fd = -1;
static char root[PATH_MAX];
static char *paths[MAX_FILES];	/* of the files that are open, by descriptor; NULL: not ours */

__attribute__((constructor)) static void open_log(void)
{
	const char *name = getenv("WRITE_LOG"), *directory = getenv("WRITE_LOG_ROOT");
	const char *bytes = getenv("WRITE_LOG_RANDOM");

	if (!name || !directory || !realpath(directory, root))
		return;
	log_fd = open(name, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
	if (bytes)
		random_fd = open(bytes, O_RDONLY | O_CLOEXEC);
}

/* -- the log -------------------------------------------------------------------------------------- */

/* The part of PATH below the root ("" for the root), in a buffer of its own, or NULL when it is not there. */
static char *below_root(const char *path)
{
	char parent[PATH_MAX], real_parent[PATH_MAX], *result = NULL;
	const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
	size_t length = strlen(root);

	if (log_fd < 0 || strlen(path) >= sizeof parent)
		return NULL;
	if (slash)
		snprintf(parent, sizeof parent, "%.*s", (int)(slash - path) + 1, path);
	else
		snprintf(parent, sizeof parent, ".");
	if (realpath(path, real_parent) && strcmp(real_parent, root) == 0)
		return strdup("");
	if (!realpath(parent, real_parent) || strncmp(real_parent, root, length) != 0 ||
	    (real_parent[length] != '/' && real_parent[length] != '\0'))
		return NULL;
	if (asprintf(&result, "%s%s%s", real_parent + length + (real_parent[length] == '/'),
		     real_parent[length] ? "/" : "", name) < 0)
		return NULL;
	length = strlen(result);
	if (length && result[length - 1] == '/')
		result[length - 1] = '\0';
	return result;
}

static void record(const char *operation, long long offset, const char *path, const void *bytes, size_t length)
{
	int saved = errno;
	char head[PATH_MAX + 64];
	int n = snprintf(head, sizeof head, "%s %lld %zu %s\n", operation, offset, length, path);
	struct iovec parts[] = {{head, (size_t)n}, {(void *)(uintptr_t)bytes, length}};

	if (writev(log_fd, parts, 2) != n + (ssize_t)length)
		abort();
	errno = saved;
}

static void record_path(const char *operation, const char *path)
{
	char *ours = below_root(path);

	if (ours)
		record(operation, 0, ours, NULL, 0);
	free(ours);
}

static const char *path_of(int fd)
{
	return log_fd >= 0 && fd >= 0 && fd < MAX_FILES ? paths[fd] : NULL;
}

static void forget(int fd)
{
	if (fd >= 0 && fd < MAX_FILES) {
		free(paths[fd]);
		paths[fd] = NULL;
	}
}

/* -- names ---------------------------------------------------------------------------------------- */

static bool is_missing(const char *path)
{
	struct stat st;

	return log_fd >= 0 && lstat(path, &st) < 0;
}

/* Notes the file that was opened as FD. */
static int opened(int fd, const char *path, bool created, bool emptied)
{
	char *ours = fd >= 0 && fd < MAX_FILES ? below_root(path) : NULL;

	if (!ours)
		return fd;
	forget(fd);
	paths[fd] = ours;
	if (created)
		record("create", 0, ours, NULL, 0);
	else if (emptied)
		record("truncate", 0, ours, NULL, 0);
	return fd;
}

EXPORT int open(const char *path, int flags, ...)
{
	REAL(open);
	bool created = flags & O_CREAT && is_missing(path);
	mode_t mode = 0;
	va_list args;

	va_start(args, flags);
	if (flags & O_CREAT)
		mode = va_arg(args, mode_t);
	va_end(args);
	if (random_fd >= 0 && strcmp(path, "/dev/urandom") == 0)
		return dup(random_fd);	/* goes on where the one before has stopped */
	return opened(real(path, flags, mode), path, created, flags & O_TRUNC);
}

EXPORT int mkostemp(char *path, int flags)
{
	REAL(mkostemp);

	return opened(real(path, flags), path, true, false);
}

EXPORT int mkstemp(char *path)
{
	return mkostemp(path, 0);
}

EXPORT int close(int fd)
{
	REAL(close);

	forget(fd);
	return real(fd);
}

EXPORT int mkdir(const char *path, mode_t mode)
{
	REAL(mkdir);
	int result = real(path, mode);

	if (result == 0)
		record_path("mkdir", path);
	return result;
}

EXPORT int unlink(const char *path)
{
	REAL(unlink);
	int result = real(path);

	if (result == 0)
		record_path("remove", path);
	return result;
}

EXPORT int rename(const char *from, const char *to)
{
	REAL(rename);
	char *old = below_root(from), *new = below_root(to);
	int result = real(from, to);

	if (result == 0 && old && new)
		record("rename", 0, old, new, strlen(new));
	free(old);
	free(new);
	return result;
}

/* -- content -------------------------------------------------------------------------------------- */

EXPORT ssize_t pwrite(int fd, const void *bytes, size_t length, off_t offset)
{
	REAL(pwrite);
	ssize_t n = real(fd, bytes, length, offset);

	if (n > 0 && path_of(fd))
		record("write", offset, path_of(fd), bytes, (size_t)n);
	return n;
}

EXPORT ssize_t write(int fd, const void *bytes, size_t length)
{
	REAL(write);
	off_t offset = path_of(fd) ? lseek(fd, 0, SEEK_CUR) : 0;
	ssize_t n = real(fd, bytes, length);

	if (n > 0 && path_of(fd))
		record("write", offset, path_of(fd), bytes, (size_t)n);
	return n;
}

EXPORT int ftruncate(int fd, off_t length)
{
	REAL(ftruncate);
	int result = real(fd, length);

	if (result == 0 && path_of(fd))
		record("truncate", length, path_of(fd), NULL, 0);
	return result;
}

EXPORT int posix_fallocate(int fd, off_t offset, off_t length)
{
	REAL(posix_fallocate);
	int number = real(fd, offset, length);

	if (number == 0 && path_of(fd))
		record("truncate", offset + length, path_of(fd), NULL, 0);
	return number;
}

static int synced(int fd, int result)
{
	if (result == 0 && path_of(fd))
		record("sync", 0, path_of(fd), NULL, 0);
	return result;
}

EXPORT int fsync(int fd)
{
	REAL(fsync);

	return synced(fd, real(fd));
}

EXPORT int fdatasync(int fd)
{
	REAL(fdatasync);

	return synced(fd, real(fd));
}

/* What SQLite calls; for musl they are other names of the same. */
#ifndef open64
EXPORT int open64(const char *path, int flags, ...) __attribute__((alias("open")));
EXPORT ssize_t pwrite64(int fd, const void *bytes, size_t length, off_t offset) __attribute__((alias("pwrite")));
EXPORT int ftruncate64(int fd, off_t length) __attribute__((alias("ftruncate")));
EXPORT int posix_fallocate64(int fd, off_t offset, off_t length) __attribute__((alias("posix_fallocate")));
EXPORT int mkstemp64(char *path) __attribute__((alias("mkstemp")));
EXPORT int mkostemp64(char *path, int flags) __attribute__((alias("mkostemp")));
#endif
