/* policy.c -- the rules of the administrator, asked before a change of a host is written.
 *
 * Every way to write a host but a restore and an undo, which bring back what was, comes through here.
 * The core knows no rules: store->policy does. */
#include <string.h>

#include "hs.h"

enum hs_code hs_policy_ask(struct hs_store *store, struct hs_arena *arena, enum hs_policy_stage stage,
			   const struct hs_host *before, struct hs_host *host, const char **effects,
			   struct hs_error *err)
{
	const char *more = NULL;
	struct hs_text joined = {.arena = arena};
	enum hs_code rc;

	if (!store->policy)
		return HS_OK;
	rc = store->policy(store->policy_context, arena, stage, before, host, &more, err);
	if (rc == HS_STOP)
		*effects = more;
	if (rc || !more)
		return rc;
	if (*effects) {
		hs_text_add(&joined, *effects);
		hs_text_add(&joined, ",");
	}
	hs_text_add(&joined, more);
	*effects = joined.s;
	return joined.failed ? hs_no_memory(err) : HS_OK;
}

/* METADATA, JSON or NULL, with the key "policy". What is no object becomes its key "metadata". */
static const char *add_effects(struct hs_arena *arena, const char *metadata, const char *effects)
{
	struct hs_text text = {.arena = arena};
	size_t n = metadata ? strlen(metadata) : 0;

	if (n >= 2 && *metadata == '{' && metadata[n - 1] == '}') {
		hs_text_add_bytes(&text, metadata, n - 1);
		if (n > 2)
			hs_text_add(&text, ",");
	} else if (metadata) {
		hs_text_add(&text, "{\"metadata\":");
		hs_text_add(&text, metadata);
		hs_text_add(&text, ",");
	} else {
		hs_text_add(&text, "{");
	}
	hs_text_add(&text, "\"policy\":[");
	hs_text_add(&text, effects);
	hs_text_add(&text, "]}");
	return text.failed ? NULL : text.s;
}

enum hs_code hs_policy_note(struct hs_arena *arena, const char *effects, const struct hs_cause **by,
			    struct hs_error *err)
{
	struct hs_cause *noted;

	if (!effects)
		return HS_OK;
	noted = hs_alloc(arena, sizeof *noted);
	if (!noted)
		return hs_no_memory(err);
	*noted = **by;
	noted->metadata = add_effects(arena, (*by)->metadata, effects);
	*by = noted;
	return noted->metadata ? HS_OK : hs_no_memory(err);
}

enum hs_code hs_policy_change(struct hs_store *store, struct hs_arena *arena, const struct hs_host *before,
			      struct hs_host *after, const struct hs_cause **by, struct hs_error *err)
{
	const char *effects = NULL;
	struct hs_host given = *after;
	enum hs_code rc = hs_policy_ask(store, arena, HS_POLICY_NORMALISE, before, after, &effects, err);

	if (rc == HS_OK)
		rc = hs_policy_ask(store, arena, HS_POLICY_RULES, before, after, &effects, err);
	if (rc == HS_STOP) {
		*after = given;
		rc = HS_OK;
	}
	return rc ? rc : hs_policy_note(arena, effects, by, err);
}
