/* line.c -- a host as a line of hosts(5), which resolvers read.
 *
 *   192.168.1.2<TAB>nas.lan nas<TAB># backup server [lan, storage]
 *
 * lua/hoststore/format/hosts.lua reads such lines back and has the rule of what is escaped. Nothing that a
 * host holds can add a line, and the same host has the same line always. */
#include <string.h>

#include "hs.h"

/* Whether a reader would take what is at S for one of the four escapes. */
static bool is_escape(const char *s, size_t n)
{
	return n >= 4 && (memcmp(s, "\\040", 4) == 0 || memcmp(s, "\\133", 4) == 0 || memcmp(s, "\\134", 4) == 0 ||
			  memcmp(s, "\\135", 4) == 0);
}

/* How many bytes at S are a control character: C0, DEL, or C1 in UTF-8; 0 for none. */
static size_t control_at(const char *s, size_t n)
{
	unsigned char c = (unsigned char)s[0];

	if (c < ' ' || c == 0x7f)
		return 1;
	return n > 1 && c == 0xc2 && ((unsigned char)s[1] & 0xe0) == 0x80 ? 2 : 0;
}

static void add_comment(struct hs_text *text, const char *s)
{
	size_t n = strlen(s), width;

	for (size_t i = 0; i < n; i += width) {
		size_t control = control_at(s + i, n - i);

		width = control ? control : 1;
		if (control || s[i] == ' ')
			hs_text_add(text, i == 0 || i + width == n ? "\\040" : " ");
		else if (is_escape(s + i, n - i))
			hs_text_add(text, "\\134");
		else if (s[i] == ']' && i + 1 == n)
			hs_text_add(text, "\\135");
		else
			hs_text_add_bytes(text, s + i, 1);
	}
}

static void add_tag(struct hs_text *text, struct hs_item tag)
{
	for (size_t i = 0; i < tag.n; i++) {
		const char *s = tag.s + i;

		if (*s == '[')
			hs_text_add(text, "\\133");
		else if (*s == ']')
			hs_text_add(text, "\\135");
		else if (*s == ' ' && (i == 0 || i + 1 == tag.n))
			hs_text_add(text, "\\040");
		else if (is_escape(s, tag.n - i))
			hs_text_add(text, "\\134");
		else
			hs_text_add_bytes(text, s, 1);
	}
}

static void add_tags(struct hs_text *text, const char *tags)
{
	struct hs_item tag;

	for (const char *before = " ["; hs_next_item(&tags, ',', &tag); before = ", ") {
		hs_text_add(text, before);
		add_tag(text, tag);
	}
	hs_text_add(text, "]");
}

void hs_line_add(struct hs_text *text, const struct hs_host *host)
{
	bool has_comment = host->comment && *host->comment;

	hs_text_add(text, host->ip);
	hs_text_add(text, "\t");
	hs_text_add(text, host->hostname);
	if (*host->aliases) {
		hs_text_add(text, " ");
		hs_text_add(text, host->aliases);
	}
	if (has_comment || *host->tags)
		hs_text_add(text, "\t#");
	if (has_comment) {
		hs_text_add(text, " ");
		add_comment(text, host->comment);
	}
	if (*host->tags)
		add_tags(text, host->tags);
	hs_text_add(text, "\n");
}

bool hs_is_published(const struct hs_host *host, int64_t now)
{
	return host->enabled && (host->expires_at == HS_TIME_UNSET || host->expires_at > now);
}
