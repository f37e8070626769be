/* check_fuzz.c -- whatever text arrives, a check refuses it with a message or makes it canonical:
 * then it stands the check again and stays as it is. Addresses sort as their numbers do.
 *
 * The input is one text, or two with a newline between them. */
#include <arpa/inet.h>

#include "fuzz.h"

static void check_refusal(enum hs_code code, const struct hs_error *err)
{
	CLAIM(code == HS_INVALID && err->code == code);
	CLAIM(err->message[0] && err->field[0]);
	CLAIM(hs_is_utf8(err->message, strlen(err->message)));
}

/* The address in TEXT by another parser: its length in bytes, 0 when it is none. */
static size_t parse(const char *text, uint8_t bytes[16])
{
	if (inet_pton(AF_INET, text, bytes) == 1)
		return 4;
	return inet_pton(AF_INET6, text, bytes) == 1 ? 16 : 0;
}

static bool fuzz_ip(const char *text, struct hs_ip *ip)
{
	struct hs_ip again;
	struct hs_error err;
	enum hs_code code = hs_check_ip(text, ip, &err);
	uint8_t bytes[16], canonical[16];
	size_t size = parse(text, bytes);

	if (code) {
		check_refusal(code, &err);
		CLAIM(size == 0);
		return false;
	}
	CLAIM(size > 0 && parse(ip->text, canonical) == size && memcmp(bytes, canonical, size) == 0);
	CLAIM(hs_check_ip(ip->text, &again, &err) == HS_OK);
	CLAIM(strcmp(again.text, ip->text) == 0 && strcmp(again.key, ip->key) == 0);
	return true;
}

static int sign(int number)
{
	return (number > 0) - (number < 0);
}

static void fuzz_order(const struct hs_ip *a, const struct hs_ip *b)
{
	uint8_t x[16], y[16];
	size_t m = parse(a->text, x), n = parse(b->text, y);
	int order = m == n ? memcmp(x, y, n) : m < n ? -1 : 1;

	CLAIM(sign(strcmp(a->key, b->key)) == sign(order));
}

static void fuzz_range(const char *text)
{
	struct hs_ip_range range;
	struct hs_ip ip;
	struct hs_error err;
	enum hs_code code = hs_check_ip_range(text, &range, &err);
	size_t length = strcspn(text, "/");
	char address[64];

	if (code) {
		check_refusal(code, &err);
		return;
	}
	CLAIM(length < sizeof address);
	memcpy(address, text, length);
	address[length] = '\0';
	CLAIM(hs_check_ip(address, &ip, &err) == HS_OK);
	CLAIM(strcmp(range.first, ip.key) <= 0 && strcmp(ip.key, range.last) <= 0);
	CLAIM(text[length] || strcmp(range.first, range.last) == 0);
}

static void fuzz_name(const char *text, bool lenient)
{
	struct hs_arena arena = {0};
	struct hs_ip ip;
	struct hs_error err;
	const char *name, *again;
	enum hs_code code = hs_check_name(&arena, "hostname", text, lenient, &name, &err);

	if (code) {
		check_refusal(code, &err);
	} else {
		CLAIM(strlen(name) >= 1 && strlen(name) <= 253);
		CLAIM(hs_is_utf8(name, strlen(name)) && !strpbrk(name, " #\t\r\n"));
		CLAIM(hs_check_ip(name, &ip, &err) == HS_INVALID);
		CLAIM(hs_check_name(&arena, "hostname", name, lenient, &again, &err) == HS_OK);
		CLAIM(strcmp(again, name) == 0);
		/* What is a name by the strict rules is the same name by the lenient ones. */
		CLAIM(lenient || hs_check_name(&arena, "hostname", text, true, &again, &err) == HS_OK);
		CLAIM(strcmp(again, name) == 0);
	}
	hs_arena_free(&arena);
}

static void fuzz_time(const char *text)
{
	struct hs_error err;
	int64_t time, again;
	char formatted[32];
	enum hs_code code = hs_check_time("expires_at", text, &time, &err);

	if (code) {
		check_refusal(code, &err);
		return;
	}
	CLAIM(time != HS_TIME_UNSET && time <= HS_TIME_MAX);
	hs_format_time(time, formatted);
	CLAIM(hs_check_time("expires_at", formatted, &again, &err) == HS_OK);
	CLAIM(again == time);
}

static void fuzz_text(const char *text)
{
	struct hs_error err;
	struct hs_quoted quoted = hs_quote(text);
	enum hs_code code;

	CLAIM(strlen(quoted.s) < sizeof quoted.s && hs_is_utf8(quoted.s, strlen(quoted.s)));
	CLAIM(!strpbrk(quoted.s, "\n\r\033"));
	if ((code = hs_check_comment(text, &err)))
		check_refusal(code, &err);
	if ((code = hs_check_tag(text, &err)))
		check_refusal(code, &err);
	if ((code = hs_check_origin(text, &err)))
		check_refusal(code, &err);
	if ((code = hs_check_stream(text, &err)))
		check_refusal(code, &err);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1), *second;
	struct hs_ip a, b;

	CLAIM(text);
	memcpy(text, data, size);
	text[size] = '\0';
	fuzz_text(text);
	if ((second = strchr(text, '\n')))
		*second++ = '\0';
	fuzz_range(text);
	fuzz_name(text, false);
	fuzz_name(text, true);
	fuzz_time(text);
	if (fuzz_ip(text, &a) && second && fuzz_ip(second, &b))
		fuzz_order(&a, &b);
	free(text);
	return 0;
}
