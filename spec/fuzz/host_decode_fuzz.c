/* host_decode_fuzz.c -- whatever an event's body is, reading it says that it is damaged or gives a
 * host; and what is written of that host reads as the same host. */
#include "fuzz.h"

static bool decode(struct hs_arena *arena, const char *body, struct hs_host *host)
{
	struct hs_event event = {
		.position = 1, .version = 1, .stream = "host-01ARZ3NDEKTSV4RRFFQ69G5FAV",
		.id = "01ARZ3NDEKTSV4RRFFQ69G5FAV", .type = "HostCreated", .data = body,
	};
	struct hs_error err;
	enum hs_code code = hs_host_decode(arena, &event, host, &err);

	CLAIM(code == HS_OK || (code == HS_CORRUPT && hs_is_utf8(err.message, strlen(err.message))));
	return code == HS_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct hs_arena arena = {0};
	struct hs_host host, again, once_more;
	char *body = hs_copy(&arena, (const char *)data, size);
	const char *written;

	CLAIM(body);
	/* A body that no check has seen may hold an empty alias, or one too long to be written;
	 * after one round it is as we write it. */
	if (decode(&arena, body, &host) && (written = hs_host_encode(&arena, &host))) {
		CLAIM(decode(&arena, written, &again));
		written = hs_host_encode(&arena, &again);
		CLAIM(written && decode(&arena, written, &once_more));
		for (int field = 0; field < HS_FIELDS; field++)
			CLAIM(hs_field_equal(&again, &once_more, field));
		CLAIM(again.created_at == once_more.created_at);
		CLAIM(again.expires_at == host.expires_at && again.created_at == host.created_at);
	}
	hs_arena_free(&arena);
	return 0;
}
