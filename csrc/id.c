/* id.c -- ULIDs that strictly increase within a process, and partitions.
 *
 * A ULID is 48 bits of milliseconds and 80 random bits in Crockford's base 32 (the ULID
 * specification). Here they only identify: order is position and version, never the clock. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "hs.h"

static const char DIGITS[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

static bool read_random(uint8_t *bytes, size_t size)
{
	size_t got = 0;
	int fd = open("/dev/urandom", O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return false;
	while (got < size) {
		ssize_t n = read(fd, bytes + got, size - got);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		got += (size_t)n;
	}
	close(fd);
	return got == size;
}

/* False when all 80 bits were ones. */
static bool increment(uint8_t random[10])
{
	for (int i = 9; i >= 0; i--)
		if (++random[i])
			return true;
	return false;
}

static void encode(uint64_t time, const uint8_t random[10], char out[HS_ULID_SIZE])
{
	for (int i = 9; i >= 0; i--) {
		out[i] = DIGITS[time & 31];
		time >>= 5;
	}
	for (int half = 0; half < 2; half++) {
		uint64_t bits = 0;

		for (int i = 0; i < 5; i++)
			bits = bits << 8 | random[half * 5 + i];
		for (int i = 7; i >= 0; i--) {
			out[10 + half * 8 + i] = DIGITS[bits & 31];
			bits >>= 5;
		}
	}
	out[26] = '\0';
}

enum hs_code hs_ulid(struct hs_ids *ids, int64_t now, char out[HS_ULID_SIZE], struct hs_error *err)
{
	uint64_t time = now > 0 ? (uint64_t)(now / 1000) : 0;
	/* A forked child would go on with its parent's sequence and make the same ids. */
	bool fresh = ids->process != (int)getpid();

	if (fresh || time > ids->time) {
		if (!read_random(ids->random, sizeof ids->random))
			return hs_fail(err, HS_QUERY, NULL, "cannot read /dev/urandom: %s", strerror(errno));
		ids->process = (int)getpid();
		if (time > ids->time)
			ids->time = time;
	} else if (!increment(ids->random)) {
		ids->time++;
	}
	encode(ids->time, ids->random, out);
	return HS_OK;
}

bool hs_is_ulid(const char *text)
{
	/* 128 bits in 26 digits: the first holds three. */
	return strlen(text) == 26 && text[0] <= '7' && strspn(text, DIGITS) == 26;
}

int hs_partition(const char *stream)
{
	uint64_t hash = UINT64_C(0xcbf29ce484222325);

	for (; *stream; stream++)
		hash = (hash ^ (unsigned char)*stream) * UINT64_C(0x100000001b3);
	return (int)(hash % 32);
}
