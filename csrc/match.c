/* match.c -- Lua's patterns, with a limit of steps.
 *
 * The language of string.find, the same on every version of Lua and in every locale: letters are
 * those of ASCII. A pattern that tries too much runs out of steps instead of running for ever. */
#include <string.h>

#include "hs.h"

#define MAX_DEPTH 200
#define ESCAPE '%'

static const char *fail(struct hs_match *m, const char *error)
{
	if (!m->error)
		m->error = error;
	return NULL;
}

static bool step(struct hs_match *m)
{
	if (m->steps-- > 0)
		return true;
	m->steps = -1;
	fail(m, "too many steps");
	return false;
}

/* -- classes ------------------------------------------------------------------------------------ */

static bool is_between(unsigned char c, unsigned char first, unsigned char last)
{
	return c >= first && c <= last;
}

static bool is_letter(unsigned char c) { return is_between(c, 'a', 'z') || is_between(c, 'A', 'Z'); }
static bool is_digit(unsigned char c) { return is_between(c, '0', '9'); }

/* Whether C is of the class of the lower-case letter CLASS; a character that is no class is itself. */
static bool in_class(unsigned char c, unsigned char class)
{
	switch (class) {
	case 'a': return is_letter(c);
	case 'c': return c < ' ' || c == 127;
	case 'd': return is_digit(c);
	case 'g': return is_between(c, '!', '~');
	case 'l': return is_between(c, 'a', 'z');
	case 'p': return is_between(c, '!', '~') && !is_letter(c) && !is_digit(c);
	case 's': return c == ' ' || is_between(c, '\t', '\r');
	case 'u': return is_between(c, 'A', 'Z');
	case 'w': return is_letter(c) || is_digit(c);
	case 'x': return is_digit(c) || is_between(c, 'a', 'f') || is_between(c, 'A', 'F');
	case 'z': return c == 0;
	default: return c == class;
	}
}

/* The same for what stands behind a '%': a capital letter is the opposite of its class. */
static bool in_escape(unsigned char c, unsigned char class)
{
	if (is_between(class, 'A', 'Z') && strchr("ACDGLPSUWXZ", class))
		return !in_class(c, (unsigned char)(class + ('a' - 'A')));
	return in_class(c, class);
}

/* The end of the single item that begins at P; NULL when it has none. */
static const char *item_end(struct hs_match *m, const char *p)
{
	if (*p == ESCAPE)
		return p + 1 < m->pattern_end ? p + 2 : fail(m, "malformed pattern (ends with '%')");
	if (*p++ != '[')
		return p;
	if (p < m->pattern_end && *p == '^')
		p++;
	do {	/* a ']' that comes first is itself */
		if (p >= m->pattern_end)
			return fail(m, "malformed pattern (missing ']')");
		if (*p++ == ESCAPE)
			p++;
	} while (p >= m->pattern_end || *p != ']');
	return p + 1;
}

/* Whether C is in the set from P, behind its '[', to LAST, its ']'. */
static bool in_set(unsigned char c, const char *p, const char *last)
{
	bool found = true;

	if (*p == '^') {
		found = false;
		p++;
	}
	for (; p < last; p++) {
		if (*p == ESCAPE && p + 1 < last) {
			if (in_escape(c, (unsigned char)*++p))
				return found;
		} else if (p + 2 < last && p[1] == '-') {
			if (is_between(c, (unsigned char)p[0], (unsigned char)p[2]))
				return found;
			p += 2;
		} else if ((unsigned char)*p == c) {
			return found;
		}
	}
	return !found;
}

/* Whether the character at S is what the item from P to END means. */
static bool single(struct hs_match *m, const char *s, const char *p, const char *end)
{
	if (!step(m) || s >= m->end)
		return false;
	switch (*p) {
	case '.': return true;
	case ESCAPE: return in_escape((unsigned char)*s, (unsigned char)p[1]);
	case '[': return in_set((unsigned char)*s, p + 1, end - 1);
	default: return *p == *s;
	}
}

/* -- matching: each returns the end of the match, or NULL ------------------------------------------ */

static const char *match(struct hs_match *m, const char *s, const char *p);

/* As many as there are, then fewer. */
static const char *match_most(struct hs_match *m, const char *s, const char *p, const char *end)
{
	ptrdiff_t n = 0;

	while (single(m, s + n, p, end))
		n++;
	for (; n >= 0 && !m->error; n--) {
		const char *to = match(m, s + n, end + 1);

		if (to)
			return to;
	}
	return NULL;
}

/* As few as will do. */
static const char *match_least(struct hs_match *m, const char *s, const char *p, const char *end)
{
	while (!m->error) {
		const char *to = match(m, s, end + 1);

		if (to)
			return to;
		if (m->error || !single(m, s, p, end))
			return NULL;
		s++;
	}
	return NULL;
}

static const char *open_capture(struct hs_match *m, const char *s, const char *p, ptrdiff_t n)
{
	const char *to;

	if (m->level == HS_CAPTURES)
		return fail(m, "too many captures");
	m->captures[m->level++] = (struct hs_capture){s, n};
	to = match(m, s, p);
	if (!to)
		m->level--;
	return to;
}

static const char *close_capture(struct hs_match *m, const char *s, const char *p)
{
	int i = m->level - 1;
	const char *to;

	while (i >= 0 && m->captures[i].n != HS_CAPTURE_OPEN)
		i--;
	if (i < 0)
		return fail(m, "invalid pattern capture");
	m->captures[i].n = s - m->captures[i].s;
	to = match(m, s, p);
	if (!to)
		m->captures[i].n = HS_CAPTURE_OPEN;
	return to;
}

/* What capture number DIGIT has found, again. */
static const char *match_again(struct hs_match *m, const char *s, char digit)
{
	int i = digit - '1';

	if (i < 0 || i >= m->level || m->captures[i].n == HS_CAPTURE_OPEN)
		return fail(m, "invalid capture index");
	if (m->captures[i].n < 0)	/* a position is no text */
		return NULL;
	if (m->end - s < m->captures[i].n || memcmp(s, m->captures[i].s, (size_t)m->captures[i].n) != 0)
		return NULL;
	m->steps -= m->captures[i].n / 64;
	return s + m->captures[i].n;
}

/* %bxy: from an x to the y that closes it. */
static const char *match_balance(struct hs_match *m, const char *s, const char *p)
{
	int64_t depth = 1;

	if (m->pattern_end - p < 2)
		return fail(m, "malformed pattern (missing arguments to '%b')");
	if (s >= m->end || *s != p[0])
		return NULL;
	while (++s < m->end && step(m)) {
		if (*s == p[1]) {
			if (--depth == 0)
				return s + 1;
		} else if (*s == p[0]) {
			depth++;
		}
	}
	return NULL;
}

/* %f[set]: S is where the set begins; *P moves behind it. */
static bool at_frontier(struct hs_match *m, const char *s, const char **p)
{
	const char *set = *p;
	unsigned char before = s == m->text ? 0 : (unsigned char)s[-1];
	unsigned char here = s < m->end ? (unsigned char)*s : 0;

	if (set >= m->pattern_end || *set != '[') {
		fail(m, "missing '[' after '%f' in pattern");
		return false;
	}
	*p = item_end(m, set);
	return *p && !in_set(before, set + 1, *p - 1) && in_set(here, set + 1, *p - 1);
}

/* An item at P, and the quantifier behind it. True when the rest of the pattern at *P is to be
 * matched at *S; else *TO is what came of it. */
static bool match_item(struct hs_match *m, const char **s, const char **p, const char **to)
{
	const char *end = item_end(m, *p), *next;
	char quantifier = end && end < m->pattern_end ? *end : 0;

	*to = NULL;
	if (!end)
		return false;
	switch (quantifier) {
	case '?':
		next = single(m, *s, *p, end) ? match(m, *s + 1, end + 1) : NULL;
		*to = next;
		*p = end + 1;
		return !next && !m->error;
	case '+':
		*to = single(m, *s, *p, end) ? match_most(m, *s + 1, *p, end) : NULL;
		return false;
	case '*':
		*to = match_most(m, *s, *p, end);
		return false;
	case '-':
		*to = match_least(m, *s, *p, end);
		return false;
	default:
		if (!single(m, *s, *p, end))
			return false;
		++*s;
		*p = end;
		return true;
	}
}

/* The escapes that are no class. As match_item; *KNOWN says whether this was one of them. */
static bool match_escape(struct hs_match *m, const char **s, const char **p, const char **to, bool *known)
{
	char what = *p + 1 < m->pattern_end ? (*p)[1] : 0;

	*to = NULL;
	*known = true;
	if (what == 'f') {
		*p += 2;
		return at_frontier(m, *s, p);
	}
	if (what == 'b' || is_digit((unsigned char)what)) {
		*s = what == 'b' ? match_balance(m, *s, *p + 2) : match_again(m, *s, what);
		*p += what == 'b' ? 4 : 2;
		return *s != NULL;
	}
	*known = false;
	return false;
}

static const char *match_rest(struct hs_match *m, const char *s, const char *p)
{
	const char *to;

	while (p < m->pattern_end) {
		bool known = false, on;

		if (!step(m))
			return NULL;
		if (*p == '(')
			return p + 1 < m->pattern_end && p[1] == ')' ? open_capture(m, s, p + 2, HS_CAPTURE_POSITION) :
				open_capture(m, s, p + 1, HS_CAPTURE_OPEN);
		if (*p == ')')
			return close_capture(m, s, p + 1);
		if (*p == '$' && p + 1 == m->pattern_end)
			return s == m->end ? s : NULL;
		on = *p == ESCAPE && match_escape(m, &s, &p, &to, &known);
		if (!known)
			on = match_item(m, &s, &p, &to);
		if (!on)
			return to;
	}
	return s;
}

static const char *match(struct hs_match *m, const char *s, const char *p)
{
	const char *to;

	if (m->depth == MAX_DEPTH)
		return fail(m, "pattern too complex");
	m->depth++;
	to = match_rest(m, s, p);
	m->depth--;
	return to;
}

static bool is_finished(struct hs_match *m)
{
	for (int i = 0; i < m->level; i++)
		if (m->captures[i].n == HS_CAPTURE_OPEN)
			fail(m, "unfinished capture");
	return !m->error;
}

bool hs_match_find(struct hs_match *m, const char *pattern, size_t length, const char *start)
{
	bool anchored = length > 0 && *pattern == '^';

	m->pattern_end = pattern + length;
	m->error = NULL;
	pattern += anchored;
	for (; start <= m->end; start++) {
		m->level = 0;
		m->depth = 0;
		m->from = start;
		m->to = match(m, start, pattern);
		if (m->to || m->error)
			return m->to && is_finished(m);
		if (anchored)
			break;
	}
	return false;
}
