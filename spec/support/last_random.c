/* last_random.c -- preloaded, it gives the file that $LAST_RANDOM names for /dev/urandom: random numbers
 * that are the last there are. */
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))

EXPORT int open(const char *path, int flags, ...)
{
	const char *other = getenv("LAST_RANDOM");
	va_list more;
	int mode;

	va_start(more, flags);
	mode = va_arg(more, int);
	va_end(more);
	return (int)syscall(SYS_openat, AT_FDCWD, other && strcmp(path, "/dev/urandom") == 0 ? other : path,
			    flags, mode);
}
