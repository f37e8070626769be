/* no_shared_mmap.c -- preloaded, it makes each file system fail as jffs2 does: a file cannot be
 * mapped shared and writable. SQLite's write-ahead log needs just that. */
#include <errno.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))

EXPORT void *mmap(void *address, size_t length, int protection, int flags, int fd, off_t offset)
{
	if (fd >= 0 && flags & MAP_SHARED && protection & PROT_WRITE) {
		errno = EINVAL;
		return MAP_FAILED;
	}
#ifdef SYS_mmap2
	return (void *)syscall(SYS_mmap2, address, length, protection, flags, fd, offset / 4096);
#else
	return (void *)syscall(SYS_mmap, address, length, protection, flags, fd, offset);
#endif
}

/* Only glibc has it, and only there may it be called; for musl it is another name of the same. */
#ifndef mmap64
EXPORT void *mmap64(void *address, size_t length, int protection, int flags, int fd, off_t offset)
	__attribute__((alias("mmap")));
#endif
