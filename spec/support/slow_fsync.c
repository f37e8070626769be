/* slow_fsync.c -- preloaded, it makes a disk out of any: each sync takes 30 ms longer, as on flash. */
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))

static void wait_for_flash(void)
{
	struct timespec left = {.tv_nsec = 30 * 1000 * 1000};

	while (nanosleep(&left, &left) < 0)
		;
}

EXPORT int fsync(int fd)
{
	wait_for_flash();
	return (int)syscall(SYS_fsync, fd);
}

EXPORT int fdatasync(int fd)
{
	wait_for_flash();
	return (int)syscall(SYS_fdatasync, fd);
}
