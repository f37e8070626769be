/* event.c -- events, and the bodies of host events.
 *
 * The only file that knows how a host is written into an event: as a JSON object of the whole
 * host after the event. So the newest event is the state, and a field that is not in it is unset. */
#include <cjson/cJSON.h>
#include <stdio.h>
#include <string.h>

#include "hs.h"

/* -- rows ------------------------------------------------------------------------------------------ */

/* Copies a text column; false when memory is out. NULL stays NULL. */
static bool copy_text(struct hs_arena *arena, const struct hs_value *value, const char **text)
{
	*text = value->type == HS_TEXT ? hs_copy(arena, value->s, value->n) : NULL;
	return *text || value->type != HS_TEXT;
}

enum hs_code hs_event_from_row(struct hs_arena *arena, const struct hs_value *row,
			       struct hs_event *event, struct hs_error *err)
{
	event->position = row[0].i;
	event->version = row[2].i;
	event->occurred_at = row[9].i;
	event->recorded_at = row[10].i;
	if (!copy_text(arena, &row[1], &event->stream) || !copy_text(arena, &row[3], &event->id) ||
	    !copy_text(arena, &row[4], &event->type) || !copy_text(arena, &row[5], &event->data) ||
	    !copy_text(arena, &row[6], &event->metadata) || !copy_text(arena, &row[7], &event->actor) ||
	    !copy_text(arena, &row[8], &event->reason))
		return hs_no_memory(err);
	if (!event->stream || !event->id || !event->type || !event->data)
		return hs_fail(err, HS_CORRUPT, NULL, "the event at position %lld lacks its stream, id, type "
			       "or data", (long long)event->position);
	return HS_OK;
}

/* -- fields and event types ---------------------------------------------------------------------------- */

static const struct {
	const char *name, *event;
} fields[HS_FIELDS] = {
	[HS_IP] = {"ip", "IpAddressChanged"},
	[HS_HOSTNAME] = {"hostname", "HostnameChanged"},
	[HS_ALIASES] = {"aliases", "AliasesChanged"},
	[HS_COMMENT] = {"comment", "CommentUpdated"},
	[HS_TAGS] = {"tags", "TagsModified"},
	[HS_ENABLED] = {"enabled", "EnabledChanged"},
	[HS_EXPIRES_AT] = {"expires_at", "ExpiryChanged"},
	[HS_ORIGIN] = {"origin", "OriginChanged"},
};

const char *hs_field_name(enum hs_field field)
{
	return fields[field].name;
}

const char *hs_field_event(enum hs_field field)
{
	return fields[field].event;
}

enum hs_field hs_event_field(const char *type)
{
	enum hs_field field = 0;

	while (field < HS_FIELDS && strcmp(fields[field].event, type) != 0)
		field++;
	return field;
}

/* The text of a text field; NULL for the others. */
static const char **text_field(struct hs_host *host, enum hs_field field)
{
	switch (field) {
	case HS_IP: return &host->ip;
	case HS_HOSTNAME: return &host->hostname;
	case HS_ALIASES: return &host->aliases;
	case HS_COMMENT: return &host->comment;
	case HS_TAGS: return &host->tags;
	case HS_ORIGIN: return &host->origin;
	default: return NULL;
	}
}

bool hs_field_equal(const struct hs_host *a, const struct hs_host *b, enum hs_field field)
{
	/* Only read through; the cast spares a const twin of text_field. */
	const char **x = text_field((struct hs_host *)a, field);
	const char **y = text_field((struct hs_host *)b, field);

	if (x)
		return *x == *y || (*x && *y && strcmp(*x, *y) == 0);
	if (field == HS_ENABLED)
		return a->enabled == b->enabled;
	return a->expires_at == b->expires_at;
}

bool hs_fields_equal(const struct hs_host *a, const struct hs_host *b)
{
	for (enum hs_field field = 0; field < HS_FIELDS; field++)
		if (!hs_field_equal(a, b, field))
			return false;
	return true;
}

void hs_field_copy(struct hs_host *to, const struct hs_host *from, enum hs_field field)
{
	const char **text = text_field(to, field);

	if (text)
		*text = *text_field((struct hs_host *)from, field);
	else if (field == HS_ENABLED)
		to->enabled = from->enabled;
	else
		to->expires_at = from->expires_at;
}

bool hs_event_is_host(const struct hs_event *event)
{
	return strncmp(event->stream, "host-", 5) == 0;
}

bool hs_event_is_deletion(const struct hs_event *event)
{
	return strcmp(event->type, "HostDeleted") == 0;
}

/* -- bodies ------------------------------------------------------------------------------------------------ */

/* Adds TEXT, a list joined by SEPARATOR, as an array. */
static bool add_list(cJSON *object, const char *name, const char *text, char separator)
{
	cJSON *array = cJSON_AddArrayToObject(object, name);
	char item[1024];

	while (array && *text) {
		const char *end = strchr(text, separator);
		size_t length = end ? (size_t)(end - text) : strlen(text);
		cJSON *string;

		if (length >= sizeof item)
			return false;
		memcpy(item, text, length);
		item[length] = '\0';
		string = cJSON_CreateString(item);
		if (!string || !cJSON_AddItemToArray(array, string)) {
			cJSON_Delete(string);
			return false;
		}
		text += length + (end ? 1 : 0);
	}
	return array;
}

/* cJSON writes numbers with 15 digits when that is near enough; a time needs all of them. */
static bool add_time(cJSON *object, const char *name, int64_t time)
{
	char digits[24];

	if (time == HS_TIME_UNSET)
		return true;
	snprintf(digits, sizeof digits, "%lld", (long long)time);
	return cJSON_AddRawToObject(object, name, digits);
}

static bool add_fields(cJSON *object, const struct hs_host *host)
{
	return cJSON_AddStringToObject(object, "ip", host->ip) &&
	       cJSON_AddStringToObject(object, "hostname", host->hostname) &&
	       add_list(object, "aliases", host->aliases, ' ') &&
	       (!host->comment || cJSON_AddStringToObject(object, "comment", host->comment)) &&
	       add_list(object, "tags", host->tags, ',') &&
	       cJSON_AddBoolToObject(object, "enabled", host->enabled) &&
	       add_time(object, "expires_at", host->expires_at) &&
	       cJSON_AddStringToObject(object, "origin", host->origin) &&
	       add_time(object, "created_at", host->created_at);
}

const char *hs_host_encode(struct hs_arena *arena, const struct hs_host *host)
{
	cJSON *object = cJSON_CreateObject();
	char *printed = object && add_fields(object, host) ? cJSON_PrintUnformatted(object) : NULL;
	char *text = printed ? hs_copy(arena, printed, strlen(printed)) : NULL;

	cJSON_free(printed);
	cJSON_Delete(object);
	return text;
}

/* Takes the string NAME out of OBJECT; a missing one is NULL. */
static bool take_string(struct hs_arena *arena, const cJSON *object, const char *name, const char **text)
{
	const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, name);

	*text = NULL;
	if (!item || cJSON_IsNull(item))
		return true;
	if (!cJSON_IsString(item))
		return false;
	*text = hs_copy(arena, item->valuestring, strlen(item->valuestring));
	return *text;
}

static bool take_list(struct hs_arena *arena, const cJSON *object, const char *name, const char *separator,
		      const char **text)
{
	const cJSON *array = cJSON_GetObjectItemCaseSensitive(object, name), *item;
	struct hs_text joined = {.arena = arena};

	if (array && !cJSON_IsArray(array))
		return false;
	cJSON_ArrayForEach(item, array) {
		if (!cJSON_IsString(item) || !*item->valuestring || strchr(item->valuestring, *separator))
			return false;
		if (joined.n)
			hs_text_add(&joined, separator);
		hs_text_add(&joined, item->valuestring);
	}
	*text = joined.n ? joined.s : "";
	return !joined.failed;
}

static bool take_time(const cJSON *object, const char *name, int64_t *time)
{
	const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, name);

	*time = HS_TIME_UNSET;
	if (!item || cJSON_IsNull(item))
		return true;
	/* Within these bounds a number has a meaning as an integer. */
	if (!cJSON_IsNumber(item) || !(item->valuedouble > -1e18 && item->valuedouble < 1e18))
		return false;
	*time = (int64_t)item->valuedouble;
	return *time >= HS_TIME_MIN && *time <= HS_TIME_MAX;
}

static bool take_fields(struct hs_arena *arena, const cJSON *object, struct hs_host *host)
{
	const cJSON *enabled = cJSON_GetObjectItemCaseSensitive(object, "enabled");

	host->enabled = cJSON_IsTrue(enabled);
	return cJSON_IsBool(enabled) &&
	       take_string(arena, object, "ip", &host->ip) && host->ip &&
	       take_string(arena, object, "hostname", &host->hostname) && host->hostname &&
	       take_list(arena, object, "aliases", " ", &host->aliases) &&
	       take_string(arena, object, "comment", &host->comment) &&
	       take_list(arena, object, "tags", ",", &host->tags) &&
	       take_time(object, "expires_at", &host->expires_at) &&
	       take_string(arena, object, "origin", &host->origin) && host->origin &&
	       take_time(object, "created_at", &host->created_at) && host->created_at != HS_TIME_UNSET;
}

/* cJSON does not say why it gave nothing. With room for all it could make of the text it is the text: a value
 * takes two bytes of it at least, and of memory 64 and its own text. */
static cJSON *parse(struct hs_arena *arena, const char *text)
{
	cJSON *object = cJSON_Parse(text);
	struct hs_mark mark = hs_mark(arena);
	bool is_room;

	if (object)
		return object;
	is_room = hs_alloc(arena, 64 + 40 * strlen(text));
	hs_rewind(arena, mark);
	return is_room ? cJSON_Parse(text) : NULL;
}

enum hs_code hs_host_decode(struct hs_arena *arena, const struct hs_event *event,
			    struct hs_host *host, struct hs_error *err)
{
	cJSON *object;
	bool good;

	arena->is_out = false;
	object = parse(arena, event->data);
	good = object && take_fields(arena, object, host);
	cJSON_Delete(object);
	if (arena->is_out)
		return hs_no_memory(err);
	if (!good || !hs_event_is_host(event))
		return hs_fail(err, HS_CORRUPT, NULL, "the body of the event at position %lld (%s version %lld) "
			       "is not a host: '%s'", (long long)event->position,
			       hs_quote(event->stream).s, (long long)event->version,
			       hs_quote(event->data).s);
	host->id = event->stream + 5;
	host->version = event->version;
	host->position = event->position;
	host->updated_at = event->recorded_at;
	return HS_OK;
}
