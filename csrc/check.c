/* check.c -- what a value may be, and how a failure is said.
 *
 * Everything that enters the store passes here once and comes out canonical. No function
 * depends on the locale. */
#include <arpa/inet.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "hs.h"

/* -- failures --------------------------------------------------------------------------------- */

enum hs_code hs_fail(struct hs_error *err, enum hs_code code, const char *field,
		     const char *format, ...)
{
	va_list args;

	va_start(args, format);
	hs_fill_error(err, code, format, args);
	va_end(args);
	if (field)
		snprintf(err->field, sizeof err->field, "%s", field);
	return code;
}

enum hs_code hs_no_memory(struct hs_error *err)
{
	return hs_fail(err, HS_NO_MEMORY, NULL, "not enough memory");
}

const char *hs_code_name(enum hs_code code)
{
	static const char *const names[] = {
		[HS_OK] = "ok", [HS_INVALID] = "invalid", [HS_INVALID_URL] = "invalid_url",
		[HS_DUPLICATE] = "duplicate", [HS_CONFLICT] = "conflict", [HS_NOT_FOUND] = "not_found",
		[HS_PARTIAL_REPLAY] = "partial_replay", [HS_ID_REUSE] = "id_reuse", [HS_BUSY] = "busy",
		[HS_READONLY] = "readonly", [HS_FULL] = "full", [HS_CONNECTION] = "connection",
		[HS_UNKNOWN_OUTCOME] = "unknown_outcome", [HS_QUERY] = "query",
		[HS_MIGRATION] = "migration", [HS_CORRUPT] = "corrupt", [HS_PRUNED] = "pruned",
		[HS_UNSUPPORTED] = "unsupported", [HS_POLICY] = "policy",
		[HS_NO_MEMORY] = "no_memory", [HS_STOP] = "stop",
	};
	return names[code];
}

/* -- UTF-8 -------------------------------------------------------------------------------------- */

/* The length of the character at S (RFC 3629: shortest form, no surrogates), 0 if it is none. */
static size_t utf8_length(const unsigned char *s, size_t n)
{
	size_t length;
	uint32_t c;

	if (n == 0)
		return 0;
	if (s[0] < 0x80)
		return 1;
	if (s[0] >= 0xc2 && s[0] <= 0xdf)
		length = 2, c = s[0] & 0x1f;
	else if (s[0] >= 0xe0 && s[0] <= 0xef)
		length = 3, c = s[0] & 0x0f;
	else if (s[0] >= 0xf0 && s[0] <= 0xf4)
		length = 4, c = s[0] & 0x07;
	else
		return 0;
	if (n < length)
		return 0;
	for (size_t i = 1; i < length; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (s[i] & 0x3f);
	}
	if (length == 3 && (c < 0x800 || (c >= 0xd800 && c <= 0xdfff)))
		return 0;
	if (length == 4 && (c < 0x10000 || c > 0x10ffff))
		return 0;
	return length;
}

bool hs_is_utf8(const char *text, size_t length)
{
	while (length) {
		size_t n = utf8_length((const unsigned char *)text, length);

		if (n == 0)
			return false;
		text += n;
		length -= n;
	}
	return true;
}

/* C0, DEL, and C1 (U+0080 to U+009F): terminals obey all of them. */
static bool is_control(const unsigned char *s)
{
	return s[0] < 0x20 || s[0] == 0x7f || (s[0] == 0xc2 && s[1] >= 0x80 && s[1] <= 0x9f);
}

static bool has_control(const char *text)
{
	for (; *text; text++)
		if (is_control((const unsigned char *)text))
			return true;
	return false;
}

struct hs_quoted hs_quote(const char *text)
{
	struct hs_quoted quoted;
	const unsigned char *s = (const unsigned char *)text;
	size_t left = strlen(text), n = 0;

	while (left) {
		size_t length = utf8_length(s, left);
		bool bad = length == 0 || is_control(s);

		if (n + 8 > sizeof quoted.s) {
			memcpy(quoted.s + n, "...", 3);
			n += 3;
			break;
		}
		if (length == 0)
			length = 1;
		if (bad) {
			quoted.s[n++] = '?';
		} else {
			memcpy(quoted.s + n, s, length);
			n += length;
		}
		s += length;
		left -= length;
	}
	quoted.s[n] = '\0';
	return quoted;
}

/* -- IP addresses --------------------------------------------------------------------------------- */

static void ip_key(const unsigned char *bytes, size_t size, char key[34])
{
	static const char hex[] = "0123456789abcdef";
	char *out = key;

	*out++ = size == 4 ? '4' : '6';
	for (size_t i = 0; i < size; i++) {
		*out++ = hex[bytes[i] >> 4];
		*out++ = hex[bytes[i] & 15];
	}
	*out = '\0';
}

/* RFC 5952: lower case, no leading zeros, the longest run of two or more zero groups (the first
 * of equals) as "::", and dotted quads only for ::ffff:0:0/96. */
static void format_ip6(const unsigned char bytes[16], char text[46])
{
	static const unsigned char mapped[12] = {[10] = 0xff, [11] = 0xff};
	unsigned groups[8];
	int run = -1, run_length = 1;
	char *out = text;

	if (memcmp(bytes, mapped, sizeof mapped) == 0) {
		snprintf(text, 46, "::ffff:%d.%d.%d.%d", bytes[12], bytes[13], bytes[14], bytes[15]);
		return;
	}
	for (int i = 0; i < 8; i++)
		groups[i] = (unsigned)bytes[i * 2] << 8 | bytes[i * 2 + 1];
	for (int i = 0; i < 8; i++) {
		int length = 0;

		while (i + length < 8 && groups[i + length] == 0)
			length++;
		if (length > run_length)
			run = i, run_length = length;
	}
	for (int i = 0; i < 8; i++) {
		if (i == run) {
			*out++ = ':';
			*out++ = ':';
			i += run_length - 1;
		} else {
			if (i > 0 && i != run + run_length)
				*out++ = ':';
			out += snprintf(out, 5, "%x", groups[i]);
		}
	}
	*out = '\0';
}

/* The address in TEXT as 4 or 16 bytes; 0 when it is none. inet_pton refuses leading zeros,
 * white space, zones and the short forms of inet_aton. */
static size_t parse_ip(const char *text, unsigned char bytes[16])
{
	if (inet_pton(AF_INET, text, bytes) == 1)
		return 4;
	if (inet_pton(AF_INET6, text, bytes) == 1)
		return 16;
	return 0;
}

static enum hs_code fail_ip(struct hs_error *err, const char *text)
{
	if (strchr(text, '%'))
		return hs_fail(err, HS_INVALID, "ip", "'%s' names a zone; an entry is an address "
			       "without one, like fe80::1", hs_quote(text).s);
	return hs_fail(err, HS_INVALID, "ip", "'%s' is not an IP address; write it like 192.168.1.2 "
		       "(no leading zeros) or 2001:db8::2", hs_quote(text).s);
}

enum hs_code hs_check_ip(const char *text, struct hs_ip *ip, struct hs_error *err)
{
	unsigned char bytes[16];
	size_t size = parse_ip(text, bytes);

	if (size == 0)
		return fail_ip(err, text);
	if (size == 4)
		snprintf(ip->text, sizeof ip->text, "%d.%d.%d.%d", bytes[0], bytes[1], bytes[2], bytes[3]);
	else
		format_ip6(bytes, ip->text);
	ip_key(bytes, size, ip->key);
	return HS_OK;
}

/* The number in TEXT, 0 to MAX, digits only; -1 when it is none. */
static int parse_small(const char *text, int max)
{
	int number = 0;

	if (!*text || strlen(text) > 3)
		return -1;
	for (; *text; text++) {
		if (*text < '0' || *text > '9')
			return -1;
		number = number * 10 + (*text - '0');
	}
	return number <= max ? number : -1;
}

enum hs_code hs_check_ip_range(const char *text, struct hs_ip_range *range, struct hs_error *err)
{
	unsigned char first[16], last[16];
	char address[64];
	const char *slash = strchr(text, '/');
	size_t length = slash ? (size_t)(slash - text) : strlen(text), size = 0;
	int prefix;

	if (length < sizeof address) {
		memcpy(address, text, length);
		address[length] = '\0';
		size = parse_ip(address, first);
	}
	if (size == 0)
		return fail_ip(err, text);
	prefix = slash ? parse_small(slash + 1, (int)size * 8) : (int)size * 8;
	if (prefix < 0)
		return hs_fail(err, HS_INVALID, "ip", "'%s' has no prefix length between 0 and %d behind "
			       "the '/'", hs_quote(text).s, (int)size * 8);
	memcpy(last, first, size);
	for (int bit = prefix; bit < (int)size * 8; bit++) {
		first[bit / 8] &= (unsigned char)~(128u >> bit % 8);
		last[bit / 8] |= (unsigned char)(128u >> bit % 8);
	}
	ip_key(first, size, range->first);
	ip_key(last, size, range->last);
	return HS_OK;
}

/* -- names, comments, tags ---------------------------------------------------------------------------- */

char hs_lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static bool is_strict(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

static enum hs_code check_labels(const char *field, const char *name, struct hs_error *err)
{
	const char *label = name;

	for (const char *s = name;; s++) {
		if (*s && *s != '.') {
			if (!is_strict(*s))
				return hs_fail(err, HS_INVALID, field, "'%s' may hold only letters, digits, "
					       "'-', '_' and dots", hs_quote(name).s);
			continue;
		}
		if (s == label)
			return hs_fail(err, HS_INVALID, field, "'%s' has an empty label", hs_quote(name).s);
		if (s - label > 63)
			return hs_fail(err, HS_INVALID, field, "'%s' has a label of %d characters; at most "
				       "63 are allowed", hs_quote(name).s, (int)(s - label));
		if (*label == '-' || s[-1] == '-')
			return hs_fail(err, HS_INVALID, field, "'%s' has a label that begins or ends with "
				       "'-'", hs_quote(name).s);
		if (!*s)
			return HS_OK;
		label = s + 1;
	}
}

static enum hs_code check_lenient(const char *field, const char *name, struct hs_error *err)
{
	if (!hs_is_utf8(name, strlen(name)))
		return hs_fail(err, HS_INVALID, field, "'%s' is not UTF-8", hs_quote(name).s);
	for (const char *s = name; *s; s++)
		if (is_control((const unsigned char *)s) || *s == ' ' || *s == '#')
			return hs_fail(err, HS_INVALID, field, "'%s' may not hold a space, a control "
				       "character or '#'", hs_quote(name).s);
	if (name[strlen(name) - 1] == '.')
		return hs_fail(err, HS_INVALID, field, "'%s' ends with an empty label", hs_quote(name).s);
	return HS_OK;
}

/* What a resolver may take for an address: labels that are all numbers, decimal or hexadecimal
 * (RFC 1123 2.1, inet_aton). */
static bool is_ip_like(const char *name)
{
	unsigned char bytes[16];

	if (parse_ip(name, bytes))
		return true;
	for (;;) {
		size_t length = strcspn(name, ".");
		bool hex = name[0] == '0' && name[1] == 'x';
		size_t number = hex ? 2 + strspn(name + 2, "0123456789abcdef") : strspn(name, "0123456789");

		if (number != length)
			return false;
		if (!name[length])
			return true;
		name += length + 1;
	}
}

enum hs_code hs_check_name(struct hs_arena *arena, const char *field, const char *text, bool lenient,
			   const char **name, struct hs_error *err)
{
	size_t length = strlen(text);
	enum hs_code rc;
	char *lower;

	if (length > 1 && text[length - 1] == '.')
		length--;
	if (length == 0)
		return hs_fail(err, HS_INVALID, field, "a %s is missing: it is empty",
			       strcmp(field, "hostname") == 0 ? "hostname" : "name");
	if (length > 253)
		return hs_fail(err, HS_INVALID, field, "'%s' has %zu characters; at most 253 are allowed",
			       hs_quote(text).s, length);
	lower = hs_copy(arena, text, length);
	if (!lower)
		return hs_no_memory(err);
	for (size_t i = 0; i < length; i++)
		lower[i] = hs_lower(lower[i]);
	rc = lenient ? check_lenient(field, lower, err) : check_labels(field, lower, err);
	if (rc)
		return rc;
	if (is_ip_like(lower))
		return hs_fail(err, HS_INVALID, field, "'%s' looks like an IP address, not a name", lower);
	*name = lower;
	return HS_OK;
}

enum hs_code hs_check_comment(const char *text, struct hs_error *err)
{
	size_t length = strlen(text);

	if (length > 16 * 1024)
		return hs_fail(err, HS_INVALID, "comment", "the comment has %zu bytes; at most 16384 are "
			       "allowed: '%s'", length, hs_quote(text).s);
	if (!hs_is_utf8(text, length))
		return hs_fail(err, HS_INVALID, "comment", "the comment is not UTF-8: '%s'", hs_quote(text).s);
	return HS_OK;
}

enum hs_code hs_check_tag(const char *text, struct hs_error *err)
{
	size_t length = strlen(text);

	if (length == 0)
		return hs_fail(err, HS_INVALID, "tags", "a tag is empty");
	if (length > 128)
		return hs_fail(err, HS_INVALID, "tags", "tag '%s' has %zu bytes; at most 128 are allowed",
			       hs_quote(text).s, length);
	if (!hs_is_utf8(text, length))
		return hs_fail(err, HS_INVALID, "tags", "tag '%s' is not UTF-8", hs_quote(text).s);
	if (strchr(text, ',') || has_control(text))
		return hs_fail(err, HS_INVALID, "tags", "tag '%s' may hold neither a comma nor a control "
			       "character", hs_quote(text).s);
	return HS_OK;
}

enum hs_code hs_check_label(const char *field, const char *text, struct hs_error *err)
{
	size_t length = strlen(text);

	if (length == 0 || length > 255)
		return hs_fail(err, HS_INVALID, field, "%s '%s' has %zu bytes; 1 to 255 are allowed", field,
			       hs_quote(text).s, length);
	if (!hs_is_utf8(text, length) || has_control(text))
		return hs_fail(err, HS_INVALID, field, "%s '%s' must be UTF-8 without control characters",
			       field, hs_quote(text).s);
	return HS_OK;
}

enum hs_code hs_check_origin(const char *text, struct hs_error *err)
{
	enum hs_code rc = hs_check_label("origin", text, err);

	if (rc)
		return rc;
	if (strcmp(text, "admin") != 0 && strcmp(text, "dhcp") != 0 &&
	    (strncmp(text, "import:", 7) != 0 || !text[7]))
		return hs_fail(err, HS_INVALID, "origin", "'%s' is no origin; write 'admin', 'dhcp' or "
			       "'import:NAME'", hs_quote(text).s);
	return HS_OK;
}

enum hs_code hs_check_stream(const char *text, struct hs_error *err)
{
	return hs_check_label("stream", text, err);
}

/* -- times ------------------------------------------------------------------------------------------------ */

/* Days from 1970-01-01 to a date of the proleptic Gregorian calendar, and back: years are counted
 * from March, so that the leap day is the last of its year and an era of 400 years has 146097 days. */
static int64_t days_of_date(int64_t year, int month, int day)
{
	int64_t y = month <= 2 ? year - 1 : year;
	int64_t era = (y >= 0 ? y : y - 399) / 400;
	int64_t year_of_era = y - era * 400;
	int64_t day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;

	return era * 146097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719468;
}

static void date_of_days(int64_t days, int64_t *year, int *month, int *day)
{
	int64_t shifted = days + 719468;
	int64_t era = (shifted >= 0 ? shifted : shifted - 146096) / 146097;
	int64_t day_of_era = shifted - era * 146097;
	int64_t year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
	int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
	int from_march = (int)((5 * day_of_year + 2) / 153);

	*day = (int)(day_of_year - (153 * from_march + 2) / 5 + 1);
	*month = from_march < 10 ? from_march + 3 : from_march - 9;
	*year = year_of_era + era * 400 + (*month <= 2);
}

/* Reads exactly COUNT digits, or returns -1. */
static int digits(const char **text, int count)
{
	int number = 0;

	for (int i = 0; i < count; i++) {
		if ((*text)[i] < '0' || (*text)[i] > '9')
			return -1;
		number = number * 10 + ((*text)[i] - '0');
	}
	*text += count;
	return number;
}

static bool skip(const char **text, char c)
{
	if (**text != c)
		return false;
	++*text;
	return true;
}

static bool parse_date(const char **s, int64_t *days)
{
	int year, month, day, length;

	if ((year = digits(s, 4)) < 0 || !skip(s, '-') || (month = digits(s, 2)) < 1 || month > 12 ||
	    !skip(s, '-') || (day = digits(s, 2)) < 1)
		return false;
	length = month == 2 ? 28 + ((year % 4 == 0 && year % 100 != 0) || year % 400 == 0)
			    : 30 + (month + month / 8) % 2;
	*days = days_of_date(year, month, day);
	return day <= length;
}

static bool parse_clock(const char **s, int64_t *micros)
{
	int hour, minute, second = 0;
	int64_t fraction = 0;

	if ((hour = digits(s, 2)) < 0 || hour > 23 || !skip(s, ':') || (minute = digits(s, 2)) < 0 ||
	    minute > 59)
		return false;
	if (skip(s, ':')) {
		if ((second = digits(s, 2)) < 0 || second > 60)
			return false;
		if (skip(s, '.') || skip(s, ',')) {
			int64_t unit = 100000;
			const char *start = *s;

			for (; **s >= '0' && **s <= '9'; ++*s, unit /= 10)
				fraction += (**s - '0') * unit;
			if (*s == start)
				return false;
		}
	}
	*micros = ((hour * 60 + minute) * INT64_C(60) + second) * 1000000 + fraction;
	return true;
}

static bool parse_offset(const char **s, int64_t *micros)
{
	int sign = **s == '-' ? -1 : 1, hour, minute;

	*micros = 0;
	if (!**s || skip(s, 'Z') || skip(s, 'z'))
		return true;
	if (!skip(s, '+') && !skip(s, '-'))
		return false;
	hour = digits(s, 2);
	skip(s, ':');
	minute = digits(s, 2);
	*micros = sign * (hour * 60 + minute) * INT64_C(60000000);
	return hour >= 0 && hour <= 23 && minute >= 0 && minute <= 59;
}

enum hs_code hs_check_time(const char *field, const char *text, int64_t *time, struct hs_error *err)
{
	const char *s = text;
	int64_t days, clock = 0, offset = 0;
	bool good = parse_date(&s, &days);

	if (good && *s)
		good = (skip(&s, 'T') || skip(&s, 't') || skip(&s, ' ')) && parse_clock(&s, &clock) &&
		       parse_offset(&s, &offset);
	if (good)
		*time = days * INT64_C(86400000000) + clock - offset;
	if (!good || *s || *time < HS_TIME_MIN || *time > HS_TIME_MAX)
		return hs_fail(err, HS_INVALID, field, "'%s' is not a time; write it like 2026-01-31 or "
			       "2026-01-31T12:00:00Z", hs_quote(text).s);
	return HS_OK;
}

void hs_format_time(int64_t time, char out[32])
{
	int64_t days = time / INT64_C(86400000000), rest = time % INT64_C(86400000000), year;
	int month, day, seconds, length;

	if (rest < 0)
		days--, rest += INT64_C(86400000000);
	date_of_days(days, &year, &month, &day);
	seconds = (int)(rest / 1000000);
	length = snprintf(out, 32, "%04d-%02d-%02dT%02d:%02d:%02d", (int)(year % 100000), month, day,
			  seconds / 3600, seconds / 60 % 60, seconds % 60);
	if (rest % 1000000)
		length += snprintf(out + length, 32 - (size_t)length, ".%06d", (int)(rest % 1000000));
	snprintf(out + length, 32 - (size_t)length, "Z");
}
