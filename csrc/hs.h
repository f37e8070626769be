/* hs.h -- the core of hoststore, and its table of contents: a section per file.
 *
 *   arena     where results live            check    what a value may be
 *   id        ULIDs and partitions          event    events and the bodies of host events
 *   store     one open log, transactions    stream   append and read events
 *   host      add, update, delete           list     find hosts by filter, now or then
 *   line      hosts as hosts(5) has them    history  who changed what, undo, diff
 *   feed      durable cursors over the log  verify   proof that log and read model agree
 *   import    what one entry means          snapshot rendered files, restore
 *   policy    rules asked before a write    match    Lua's patterns, with a limit
 *   record    all a tenant has, row by row  dump     records as lines of text
 *   load      records into an empty tenant  query    questions of users, in SQL
 *
 * Functions that can fail return enum hs_code and, when it is not HS_OK, have filled *err.
 * What a function returns lives in the arena it was given. Strings are UTF-8, end with a NUL and
 * hold none; NULL is "not set". Times are microseconds since 1970 UTC. */
#ifndef HS_H
#define HS_H

#include "hs_driver.h"
#include "hs_sql.h"

#define HS_TIME_MIN INT64_C(-62167219200000000)	/* 0000-01-01 */
#define HS_TIME_MAX INT64_C(253402300799999999)	/* 9999-12-31T23:59:59.999999Z */
#define HS_TIME_UNSET INT64_MIN
#define HS_POSITION_MAX INT64_MAX

/* -- arena: memory that is freed all at once ---------------------------------------------- */

struct hs_arena {
	struct hs_chunk *chunks;
	bool is_out;			/* memory was asked for, and there was none */
};

struct hs_mark {
	struct hs_chunk *chunk;
	size_t used;
};

/* An arena starts as {0}. Allocations are aligned for any object; NULL when memory is out. */
void *hs_alloc(struct hs_arena *arena, size_t size);
char *hs_copy(struct hs_arena *arena, const char *text, size_t length);
/* Makes room for one more item of an array; NULL when memory is out. */
void *hs_grow(struct hs_arena *arena, void *items, size_t count, size_t *room, size_t size);
void hs_arena_free(struct hs_arena *arena);
/* Forgets all allocations made since the mark was taken. */
struct hs_mark hs_mark(const struct hs_arena *arena);
void hs_rewind(struct hs_arena *arena, struct hs_mark mark);

/* Text that grows in an arena; a failed allocation sticks in `failed`. */
struct hs_text {
	struct hs_arena *arena;
	char *s;
	size_t n, room;
	bool failed;
};

void hs_text_add(struct hs_text *text, const char *s);
void hs_text_add_bytes(struct hs_text *text, const char *s, size_t n);

/* -- check: what a value may be, and failures ---------------------------------------------- */

/* Fills *ERR and returns CODE. FIELD may be NULL. Every failure of the core is made here. */
enum hs_code hs_fail(struct hs_error *err, enum hs_code code, const char *field,
		     const char *format, ...) __attribute__((format(printf, 4, 5)));
enum hs_code hs_no_memory(struct hs_error *err);
const char *hs_code_name(enum hs_code code);

/* TEXT made fit for a message: shortened, control characters and bad UTF-8 replaced. */
struct hs_quoted {
	char s[96];
};
struct hs_quoted hs_quote(const char *text);

bool hs_is_utf8(const char *text, size_t length);

/* An IP address without a zone: canonical text (RFC 5952), and the same as text that sorts by
 * number, IPv4 before IPv6. ::ffff:1.2.3.4 stays IPv6: resolvers serve it as AAAA. */
struct hs_ip {
	char text[46];
	char key[34];
};
enum hs_code hs_check_ip(const char *text, struct hs_ip *ip, struct hs_error *err);
/* An address, or an address and a prefix length: the range of keys it covers. Bits beyond the
 * prefix are ignored. */
struct hs_ip_range {
	char first[34], last[34];
};
enum hs_code hs_check_ip_range(const char *text, struct hs_ip_range *range, struct hs_error *err);

/* A host name or alias, lower-cased, one trailing dot dropped. Strict: RFC 1123 labels and '_'.
 * Lenient: any UTF-8 without space, control character or '#'. */
enum hs_code hs_check_name(struct hs_arena *arena, const char *field, const char *text, bool lenient,
			   const char **name, struct hs_error *err);
enum hs_code hs_check_comment(const char *text, struct hs_error *err);
enum hs_code hs_check_tag(const char *text, struct hs_error *err);
enum hs_code hs_check_origin(const char *text, struct hs_error *err);
enum hs_code hs_check_stream(const char *text, struct hs_error *err);
/* A short text without control characters: an event type, an actor, a snapshot's name. */
enum hs_code hs_check_label(const char *field, const char *text, struct hs_error *err);

/* ISO 8601 date or date and time (RFC 3339, 'T' or a space, 'Z' when no offset is given). */
enum hs_code hs_check_time(const char *field, const char *text, int64_t *time, struct hs_error *err);
/* TIME as 2026-01-31T12:00:00.000001Z; the fraction is left out when it is zero. */
void hs_format_time(int64_t time, char out[32]);

char hs_lower(char c);

/* -- id: ULIDs and partitions -------------------------------------------------------------- */

#define HS_ULID_SIZE 27

/* The ids of one process: each is greater than the one before, whatever the clock does. */
struct hs_ids {
	int process;		/* a forked child starts afresh */
	uint64_t time;		/* milliseconds */
	uint8_t random[10];
};

enum hs_code hs_ulid(struct hs_ids *ids, int64_t now, char out[HS_ULID_SIZE], struct hs_error *err);
bool hs_is_ulid(const char *text);
/* FNV-1a 64 of the stream id, mod 32. Fixed for ever: "" 5, "a" 12, "foobar" 8. */
int hs_partition(const char *stream);

/* -- event: what the log holds -------------------------------------------------------------- */

struct hs_event {
	int64_t position, version;
	const char *stream, *id, *type;
	const char *data, *metadata;		/* JSON text, kept byte for byte */
	const char *actor, *reason;
	int64_t occurred_at, recorded_at;
};

enum { HS_EVENT_COLUMNS = 11 };
/* Copies a row of event columns into the arena. */
enum hs_code hs_event_from_row(struct hs_arena *arena, const struct hs_value *row,
			       struct hs_event *event, struct hs_error *err);

/* A host entry. As a value to write, id, version, position and updated_at may be unset. */
struct hs_host {
	const char *id;
	int64_t version, position;
	const char *ip, *hostname;
	const char *aliases;		/* in order, separated by a space; "" for none */
	const char *comment;
	const char *tags;		/* sorted by bytes, separated by a comma; "" for none */
	bool enabled;
	int64_t expires_at;		/* or HS_TIME_UNSET */
	const char *origin;
	int64_t created_at, updated_at;
};

enum hs_field {
	HS_IP, HS_HOSTNAME, HS_ALIASES, HS_COMMENT, HS_TAGS, HS_ENABLED, HS_EXPIRES_AT, HS_ORIGIN,
	HS_FIELDS
};

const char *hs_field_name(enum hs_field field);
bool hs_field_equal(const struct hs_host *a, const struct hs_host *b, enum hs_field field);
bool hs_fields_equal(const struct hs_host *a, const struct hs_host *b);
void hs_field_copy(struct hs_host *to, const struct hs_host *from, enum hs_field field);
/* The event type that says FIELD changed, and the field a type is about (HS_FIELDS: none). */
const char *hs_field_event(enum hs_field field);
enum hs_field hs_event_field(const char *type);
bool hs_event_is_host(const struct hs_event *event);
bool hs_event_is_deletion(const struct hs_event *event);

/* The body of a host event: the whole host as JSON, and back. */
const char *hs_host_encode(struct hs_arena *arena, const struct hs_host *host);
enum hs_code hs_host_decode(struct hs_arena *arena, const struct hs_event *event,
			    struct hs_host *host, struct hs_error *err);

/* -- store: one open log --------------------------------------------------------------------- */

/* Who writes, why and when: the same for all events of one call. */
struct hs_cause {
	const char *actor, *reason, *metadata;
};

enum hs_code hs_check_cause(const struct hs_cause *by, struct hs_error *err);

/* Asked before HOST, which was BEFORE (NULL: not there), is written; may change its fields, to values that
 * were checked like any input. What it did becomes *EFFECTS, JSON objects joined by commas, or stays
 * NULL. A refusal is HS_POLICY; HS_STOP says that the policy failed and the change is to be written as it
 * was given. It must not use the store. */
enum hs_policy_stage {
	HS_POLICY_NORMALISE,
	HS_POLICY_KEEP,			/* HOST has the tags of a source: rules may leave as in BEFORE what is theirs */
	HS_POLICY_RULES
};
struct hs_host;
typedef enum hs_code hs_policy_fn(void *context, struct hs_arena *arena, enum hs_policy_stage stage,
				  const struct hs_host *before, struct hs_host *host,
				  const char **effects, struct hs_error *err);

struct hs_store {
	const struct hs_driver *driver;
	struct hs_db *db;
	const char *tenant;
	const char *actor;		/* of events that name none, or NULL */
	bool readonly, lenient;
	int depth;			/* open transactions, nested ones included */
	bool writing;			/* the outermost of them may write */
	enum hs_code broken;		/* why the database ended the transaction under us */
	int64_t now;			/* the time of the call being served */
	struct hs_ids *ids;
	hs_policy_fn *policy;		/* or NULL */
	void *policy_context;
	struct hs_arena arena;		/* the store's own strings */
};

struct hs_store_options {
	struct hs_open open;
	const char *tenant, *actor;
	bool lenient;
	struct hs_ids *ids;
};

/* Opens the database and brings its schema up to date. *STORE starts as {0}; close it either way. */
enum hs_code hs_store_open(struct hs_store *store, const struct hs_driver *driver,
			   const struct hs_store_options *options, struct hs_error *err);
void hs_store_close(struct hs_store *store);

/* Transactions nest. hs_end commits when RC is HS_OK and rolls back otherwise; it returns RC or
 * what went wrong with the commit. A nested one is undone alone. */
enum hs_code hs_begin(struct hs_store *store, bool write, struct hs_error *err);
enum hs_code hs_end(struct hs_store *store, enum hs_code rc, struct hs_error *err);

/* Returns when others may have written since the last call, or after MILLISECONDS; early is allowed,
 * so read before each wait and once more after it. Not within a transaction, which sees no change. */
enum hs_code hs_store_wait(struct hs_store *store, int milliseconds, struct hs_error *err);

/* Sends a named statement without waiting for it: what it says to ROW, or its failure, may come as
 * late as the next hs_sync, hs_run, hs_query or hs_end. A command whose statements are all sent is
 * one round trip to a server, so a statement decides by itself whether it may write. */
enum hs_code hs_send(struct hs_store *store, enum hs_sql statement, const struct hs_value *values,
		     int count, hs_row_fn *row, void *context, struct hs_error *err);
enum hs_code hs_sync(struct hs_store *store, struct hs_error *err);
/* A named or a composed statement. With ROW, a value that is not UTF-8 finds nothing. */
enum hs_code hs_run(struct hs_store *store, enum hs_sql statement, const struct hs_value *values,
		    int count, hs_row_fn *row, void *context, struct hs_error *err);
enum hs_code hs_query(struct hs_store *store, const char *sql, const struct hs_value *values,
		      int count, hs_row_fn *row, void *context, struct hs_error *err);
/* A statement whose answer is one number. */
enum hs_code hs_run_int(struct hs_store *store, enum hs_sql statement, const struct hs_value *values,
			int count, int64_t *number, struct hs_error *err);
/* HS_UNSUPPORTED when the database is not a file that could be copied. */
enum hs_code hs_store_backup(struct hs_store *store, const char *path, struct hs_error *err);
enum hs_code hs_store_describe(struct hs_store *store, hs_row_fn *row, void *context,
			       struct hs_error *err);

/* A statement under construction: constant pieces, and the values bound to $1, $2 ... */
struct hs_composed {
	struct hs_text sql;
	struct hs_value *values;
	int count;
};

void hs_piece(struct hs_composed *composed, const char *sql);
/* Adds a piece and the next parameter behind it. */
void hs_parameter(struct hs_composed *composed, const char *sql, struct hs_value value);

struct hs_value hs_int(int64_t i);
struct hs_value hs_text_value(const char *s);		/* NULL becomes NULL */
struct hs_value hs_time_value(int64_t time);		/* HS_TIME_UNSET becomes NULL */

/* -- stream: append and read events ---------------------------------------------------------- */

enum { HS_EXPECT_ANY = -1, HS_EXPECT_EXISTS = -2 };	/* 0: must not exist; n: is at version n */

struct hs_new_event {
	const char *type, *data, *metadata;
	const char *id;			/* or NULL: one is made */
	int64_t occurred_at;		/* or HS_TIME_UNSET: now */
};

struct hs_append {
	const char *stream;
	int64_t expected;
	const struct hs_new_event *events;
	int count;
	struct hs_cause by;
	/* what came of it */
	int64_t first, last, position;	/* versions, and the position of the last event */
	bool idempotent;		/* the events were there already */
	const char **ids;
	struct hs_error err;		/* when not atomic */
};

/* Appends all or, not ATOMIC, each that can be; then a refused one has its err set. */
enum hs_code hs_append(struct hs_store *store, struct hs_arena *arena, struct hs_append *appends,
		       int count, bool atomic, struct hs_error *err);
/* What has to hold for an event to be written, where nobody has looked under the writer's lock. */
struct hs_guard {
	int64_t expected;		/* version of the stream */
	const char *body;		/* NULL, or the data of the stream's newest event */
	const char *ip_key, *hostname;	/* NULL, or a key that no host but `host` may have */
	const char *host;
};

/* Send one event to the head of the log, within a write transaction: at event->version, whatever
 * that breaks; if the guard lets it; directly behind the event PREVIOUS, if that was written. ROW gets
 * the version and the position, or is not called when nothing was written. */
enum hs_code hs_event_send(struct hs_store *store, const struct hs_event *event, struct hs_error *err);
enum hs_code hs_event_send_if(struct hs_store *store, const struct hs_event *event,
			      const struct hs_guard *guard, hs_row_fn *row, void *context,
			      struct hs_error *err);
enum hs_code hs_event_send_next(struct hs_store *store, const struct hs_event *event,
				const char *previous, hs_row_fn *row, void *context,
				struct hs_error *err);
/* As the first event of the host ID, together with its row HOST of the read model, if neither the event's
 * id nor the host's key is known. */
enum { HS_HOST_VALUES = 10 };
enum hs_code hs_event_send_host(struct hs_store *store, const struct hs_event *event, const char *id,
				const struct hs_value host[HS_HOST_VALUES], hs_row_fn *row, void *context,
				struct hs_error *err);

/* Which events, in which order. Unset is NULL, 0 for numbers; limit -1 is "all". */
struct hs_event_query {
	int64_t after;			/* position */
	const char *stream, *prefix, *actor;
	const char *const *types;
	int type_count;
	int64_t since;			/* recorded_at, HS_TIME_UNSET for none */
	int64_t from, to;		/* versions; with `stream` only. to 0: the end */
	bool by_version, backward;
	int64_t limit;
};

struct hs_events {
	struct hs_arena *arena;
	struct hs_event *items;
	size_t count, room;
};

enum hs_code hs_events_read(struct hs_store *store, const struct hs_event_query *query,
			    struct hs_events *events, struct hs_error *err);
/* Sends a named statement that selects events: they arrive as with hs_send. */
enum hs_code hs_events_ask(struct hs_store *store, enum hs_sql statement, const struct hs_value *values,
			   int count, struct hs_events *events, struct hs_error *err);
/* The one event a named statement finds; *FOUND is false when it finds none. */
enum hs_code hs_event_get(struct hs_store *store, struct hs_arena *arena, enum hs_sql statement,
			  const struct hs_value *values, int count, struct hs_event *event, bool *found,
			  struct hs_error *err);
enum hs_code hs_stream_version(struct hs_store *store, const char *stream, int64_t *version,
			       struct hs_error *err);
enum hs_code hs_log_position(struct hs_store *store, int64_t *position, struct hs_error *err);

struct hs_stream {
	const char *stream;
	int64_t version, partition, created_at, updated_at;
};

struct hs_stream_query {
	const char *prefix, *after;
	int64_t partition;		/* -1: all */
	int64_t limit;			/* -1: all */
};

enum hs_code hs_streams(struct hs_store *store, struct hs_arena *arena,
			const struct hs_stream_query *query, struct hs_stream **streams,
			size_t *count, struct hs_error *err);

enum hs_code hs_state_save(struct hs_store *store, const char *stream, int64_t version,
			   const char *state, struct hs_error *err);
/* *STATE is NULL when none was saved. */
enum hs_code hs_state_load(struct hs_store *store, struct hs_arena *arena, const char *stream,
			   int64_t *version, const char **state, struct hs_error *err);

/* -- host: entries over the log --------------------------------------------------------------- */

/* A host as somebody gave it: unchecked, fields not in `given` (bits 1 << enum hs_field) ignored. */
struct hs_host_input {
	unsigned given;
	const char *ip, *hostname, *comment, *origin;
	const char *const *aliases, *const *tags;
	int alias_count, tag_count;
	bool enabled;
	int64_t expires_at;		/* or HS_TIME_UNSET */
};

struct hs_add {
	struct hs_cause by;
	const char *event_id;		/* or NULL */
};

enum hs_code hs_host_add(struct hs_store *store, struct hs_arena *arena,
			 const struct hs_host_input *input, const struct hs_add *how,
			 struct hs_host *host, struct hs_error *err);
/* EXPECTED is a version, or HS_EXPECT_ANY. KNOWN is NULL, or the host as the caller read it: if that
 * is still so, it need not be read again. Equal values write nothing. */
enum hs_code hs_host_update(struct hs_store *store, struct hs_arena *arena, const char *id,
			    int64_t expected, const struct hs_host *known,
			    const struct hs_host_input *changes, const struct hs_cause *by,
			    struct hs_host *host, bool *changed, struct hs_error *err);
enum hs_code hs_host_delete(struct hs_store *store, struct hs_arena *arena, const char *id,
			    int64_t expected, const struct hs_host *known, const struct hs_cause *by,
			    struct hs_error *err);

/* Brings a host from BEFORE (NULL: not there), as it was read in this write transaction, to AFTER
 * (NULL: gone): an event for each changed field, and the read model. The caller has checked the
 * values and that nobody has the key. A new host gets its id here. */
enum hs_code hs_host_write(struct hs_store *store, struct hs_arena *arena,
			   const struct hs_host *before, struct hs_host *after,
			   const struct hs_cause *by, struct hs_error *err);
/* HS_DUPLICATE when another host has the key (ip, hostname) of HOST. */
enum hs_code hs_host_check_free(struct hs_store *store, struct hs_arena *arena, const struct hs_host *host,
				struct hs_error *err);

/* The two halves of hs_host_write: its events, of which *NEWEST becomes the id of the last (NULL when
 * nothing changed), and the row of the read model, which is as the event of that id left the host. */
enum hs_code hs_host_log(struct hs_store *store, struct hs_arena *arena, const struct hs_host *before,
			 const struct hs_host *after, const struct hs_cause *by, const char **newest,
			 struct hs_error *err);
enum hs_code hs_model_put(struct hs_store *store, struct hs_arena *arena, const struct hs_host *before,
			  const struct hs_host *after, const char *event, struct hs_error *err);

/* Checks who and why, then begins a write transaction. */
enum hs_code hs_begin_change(struct hs_store *store, const struct hs_cause *by, struct hs_error *err);

/* A host nobody has said anything about yet: enabled, of origin admin. */
struct hs_host hs_host_blank(void);

/* Checks and canonicalises each given field of INPUT into HOST, which holds the others. */
enum hs_code hs_host_check(struct hs_arena *arena, const struct hs_host_input *input, bool lenient,
			   struct hs_host *host, struct hs_error *err);

/* Parts of a list joined by a separator: calls of hs_next_item walk over it. */
struct hs_item {
	const char *s;
	size_t n;
};
bool hs_next_item(const char **list, char separator, struct hs_item *item);
bool hs_list_has(const char *list, char separator, const char *s, size_t n);
/* The parts of LIST as an input array, so that they are checked like anything given. NULL without memory. */
const char **hs_split(struct hs_arena *arena, const char *list, char separator, int *count);

enum { HS_HOST_COLUMNS = 13 };
/* Copies a row of host columns into the arena. */
enum hs_code hs_host_from_row(struct hs_arena *arena, const struct hs_value *row, struct hs_host *host,
			      struct hs_error *err);

/* -- list: find hosts by filter, now or then -------------------------------------------------- */

/* A moment in the log: the newest event of each host at or before both the position and the
 * recorded time. `now` reads the maintained table instead. */
struct hs_moment {
	bool now;
	int64_t position, time;
};

enum hs_code hs_host_get(struct hs_store *store, struct hs_arena *arena, struct hs_moment at,
			 const char *id, struct hs_host *host, struct hs_error *err);

/* *FOUND is false when no host has this address and name. */
enum hs_code hs_host_find(struct hs_store *store, struct hs_arena *arena, struct hs_moment at,
			  const char *ip, const char *hostname, struct hs_host *host, bool *found,
			  struct hs_error *err);

enum hs_order { HS_BY_IP, HS_BY_IP_TEXT, HS_BY_HOSTNAME, HS_BY_CREATED, HS_BY_UPDATED };

/* Which hosts, in which order; NULL, 0 or HS_TIME_UNSET: no such condition. `ip` is an address
 * or CIDR, `hostname` a glob over hostname and aliases, the patterns are literal substrings;
 * names and patterns match whatever the case of ASCII letters. */
struct hs_filter {
	const char *ip;
	const char *ip_pattern, *hostname, *hostname_pattern, *text;
	const char *const *tags, *const *tags_all, *const *tags_none;
	int tag_count, tag_all_count, tag_none_count;
	int enabled;				/* -1: either */
	const char *origin;
	int64_t created_since, created_until, updated_since, updated_until;
	enum hs_order order;
	bool descending;
	int64_t limit, offset;			/* limit -1: all */
	const struct hs_host *after;		/* continue behind this host */
};

struct hs_filter hs_filter_all(void);

struct hs_hosts {
	struct hs_host *items;
	size_t count, room;
};

enum hs_code hs_hosts_add(struct hs_arena *arena, struct hs_hosts *hosts, const struct hs_host *host,
			  struct hs_error *err);

enum hs_code hs_host_list(struct hs_store *store, struct hs_arena *arena, struct hs_moment at,
			  const struct hs_filter *filter, struct hs_hosts *hosts,
			  struct hs_error *err);
/* Counts all that match; order, limit, offset and after have no say. */
enum hs_code hs_host_count(struct hs_store *store, struct hs_arena *arena, struct hs_moment at,
			   const struct hs_filter *filter, int64_t *count, struct hs_error *err);

/* -- line: hosts as hosts(5) has them ------------------------------------------------------------- */

/* Adds the line of HOST. Nothing that a host holds can add another; what would be read back as something else is
 * written as an octal escape, and control characters of a comment as spaces. */
void hs_line_add(struct hs_text *text, const struct hs_host *host);
/* Whether files that are read by others have HOST: enabled, and not expired at NOW. */
bool hs_is_published(const struct hs_host *host, int64_t now);

/* -- history: who changed what, differences, undo ------------------------------------------------ */

/* All hosts of a moment in the order of their ids: what differences are made of. */
enum hs_code hs_hosts_at(struct hs_store *store, struct hs_arena *arena, struct hs_moment at,
			 struct hs_hosts *hosts, struct hs_error *err);

struct hs_change {
	struct hs_host *before, *after;		/* NULL: was not, is not there */
};

struct hs_changes {
	struct hs_change *items;
	size_t count, unchanged;
};

/* Writes all changes at once: hosts may trade addresses and names with each other. */
enum hs_code hs_changes_write(struct hs_store *store, struct hs_arena *arena,
			      const struct hs_changes *changes, const struct hs_cause *by,
			      struct hs_error *err);

/* What has to happen to hosts A to become hosts B; both in the order of their ids. */
enum hs_code hs_hosts_diff(struct hs_arena *arena, const struct hs_hosts *a, const struct hs_hosts *b,
			   struct hs_changes *changes, struct hs_error *err);

/* Takes back the event at POSITION, if what it changed has not been changed since. */
enum hs_code hs_undo(struct hs_store *store, struct hs_arena *arena, int64_t position,
		     const struct hs_cause *by, int64_t *written, struct hs_error *err);

/* One line of history: an event, the host after it and, when there was one, before it. */
struct hs_history_entry {
	struct hs_event event;
	bool has_host, has_before;
	struct hs_host host, before;
};

enum hs_code hs_history(struct hs_store *store, struct hs_arena *arena,
			const struct hs_event_query *query, struct hs_history_entry **entries,
			size_t *count, struct hs_error *err);

/* -- feed: durable cursors over the log ------------------------------------------------------------ */

/* A reader of a feed. Its first read or ack claims the feed: whoever had it is fenced, and gets
 * HS_CONFLICT from then on. */
struct hs_feed {
	const char *name;
	int64_t epoch;			/* 0: not claimed yet */
	char reader[HS_ULID_SIZE];	/* "": any that has claimed this epoch */
};

/* The events behind the cursor, the same until they are acknowledged. Only a claim writes. */
enum hs_code hs_feed_read(struct hs_store *store, struct hs_feed *feed, int64_t limit,
			  struct hs_events *events, struct hs_error *err);
/* Moves the cursor on to POSITION. It never goes back: an earlier one changes nothing. */
enum hs_code hs_feed_ack(struct hs_store *store, struct hs_feed *feed, int64_t position,
			 struct hs_error *err);
/* Where the cursor is, 0 for a feed that nobody has claimed yet, and where the log ends. */
enum hs_code hs_feed_progress(struct hs_store *store, const char *name, int64_t *position,
			      int64_t *head, struct hs_error *err);
/* Fences the reader; the next one begins at the start of the log. */
enum hs_code hs_feed_delete(struct hs_store *store, const char *name, struct hs_error *err);

/* -- verify: proof that log and read model agree --------------------------------------------------- */

/* What verify found wrong: `kind` names the check, stream may be NULL, position 0. */
struct hs_problem {
	const char *kind, *stream, *message;
	int64_t position;
};

struct hs_verified {
	struct hs_problem *problems;
	size_t count, room;
	int64_t events, streams, hosts;
};

/* Proves that positions and versions have no gaps, that each host event follows from the one
 * before it, and that the read model is what the window over the log says. */
enum hs_code hs_verify(struct hs_store *store, struct hs_arena *arena, struct hs_verified *verified,
		       struct hs_error *err);

/* -- import: decide and apply one entry of a source --------------------------------------------- */

enum hs_import_mode { HS_SKIP, HS_REPLACE, HS_MERGE, HS_STRICT, HS_SYNC };
enum hs_action { HS_CREATE, HS_UPDATE, HS_UNCHANGED, HS_SKIPPED };

struct hs_import {
	enum hs_import_mode mode;
	const char *origin;		/* NULL: an admin's, who may touch any host */
	unsigned fields;		/* what the source can carry, as hs_host_input.given */
	struct hs_cause by;
	const char *effects;		/* what the policy did to the entry decided last, or NULL */
	int64_t start;			/* position of the log when the import began */
	uint8_t *seen;			/* a bit for each position up to start */
};

enum hs_code hs_import_begin(struct hs_store *store, struct hs_import *import, struct hs_error *err);
/* What the entry means; CHANGE's after is ready to be written. Reads only. */
enum hs_code hs_import_decide(struct hs_store *store, struct hs_arena *arena,
			      struct hs_import *import, const struct hs_host_input *entry,
			      enum hs_action *action, struct hs_change *change, struct hs_error *err);
/* Counts the host of a faulty entry as named: it is in the source, whatever is wrong with it. */
enum hs_code hs_import_spare(struct hs_store *store, struct hs_arena *arena, struct hs_import *import,
			     const char *ip, const char *hostname, struct hs_error *err);
/* The hosts of the origin that no entry named. */
enum hs_code hs_import_missing(struct hs_store *store, struct hs_arena *arena,
			       const struct hs_import *import, struct hs_hosts *missing,
			       struct hs_error *err);
void hs_import_end(struct hs_import *import);

/* -- snapshot: rendered files by position -------------------------------------------------------- */

struct hs_snapshot {
	const char *id, *name, *trigger, *content;
	int64_t position, created_at, entry_count;
};

/* Saves SNAPSHOT's name, trigger and content for the log's position; fills in the rest. */
enum hs_code hs_snapshot_save(struct hs_store *store, struct hs_arena *arena,
			      struct hs_snapshot *snapshot, struct hs_error *err);
enum hs_code hs_snapshot_get(struct hs_store *store, struct hs_arena *arena, const char *id,
			     struct hs_snapshot *snapshot, struct hs_error *err);
enum hs_code hs_snapshot_list(struct hs_store *store, struct hs_arena *arena, int64_t limit,
			      int64_t offset, struct hs_snapshot **snapshots, size_t *count,
			      struct hs_error *err);
enum hs_code hs_snapshot_delete(struct hs_store *store, const char *id, struct hs_error *err);

struct hs_restored {
	int64_t added, updated, deleted, unchanged;
};

/* Brings the hosts back to what they were at POSITION; ids are kept. DRY_RUN only counts. */
enum hs_code hs_restore(struct hs_store *store, struct hs_arena *arena, int64_t position,
			bool dry_run, const struct hs_cause *by,
			struct hs_restored *restored, struct hs_error *err);

/* -- policy: rules asked before a write ------------------------------------------------------------ */

/* Asks the store's policy, if it has one; what it did is added to *EFFECTS. After HS_STOP these are all,
 * and the caller goes back to the host as it was given. */
enum hs_code hs_policy_ask(struct hs_store *store, struct hs_arena *arena, enum hs_policy_stage stage,
			   const struct hs_host *before, struct hs_host *host, const char **effects,
			   struct hs_error *err);
/* Makes *BY the same cause with EFFECTS, unless NULL, in its metadata. */
enum hs_code hs_policy_note(struct hs_arena *arena, const char *effects, const struct hs_cause **by,
			    struct hs_error *err);
/* All stages, for a change that is known whole. */
enum hs_code hs_policy_change(struct hs_store *store, struct hs_arena *arena, const struct hs_host *before,
			      struct hs_host *after, const struct hs_cause **by, struct hs_error *err);

/* -- match: Lua's patterns, with a limit of steps -------------------------------------------------- */

enum { HS_CAPTURES = 32, HS_CAPTURE_OPEN = -1, HS_CAPTURE_POSITION = -2 };

struct hs_capture {
	const char *s;
	ptrdiff_t n;			/* length, or HS_CAPTURE_POSITION */
};

struct hs_match {
	const char *text, *end;		/* what is searched */
	int64_t steps;			/* how many are left; -1 when they were used up */
	const char *error;		/* what is wrong with the pattern, or NULL */
	const char *from, *to;		/* what was found, and its captures */
	int level;
	struct hs_capture captures[HS_CAPTURES];
	const char *pattern_end;
	int depth;
};

/* Finds PATTERN at or behind START in m->text. Whoever gets false looks at m->error and m->steps. */
bool hs_match_find(struct hs_match *m, const char *pattern, size_t length, const char *start);

/* -- record: all a tenant has, row by row ------------------------------------------------------- */

/* What a tenant consists of, in the order it is read and loaded. The hosts are not among them: they
 * follow from the events. A kind is an entry in record.c, one in load.c and a statement. */
enum hs_kind { HS_KIND_EVENT, HS_KIND_SNAPSHOT, HS_KIND_STATE, HS_KIND_FEED, HS_KINDS };

enum { HS_RECORD_COLUMNS = 11, HS_KEY_SIZE = 256 };

/* A row as the database holds it. The first value is its key, by which records of a kind are ordered. */
struct hs_record {
	enum hs_kind kind;
	struct hs_value values[HS_RECORD_COLUMNS];
};

const char *hs_kind_name(enum hs_kind kind);		/* event */
const char *hs_kind_plural(enum hs_kind kind);		/* events */
int hs_kind_columns(enum hs_kind kind);
const char *hs_kind_column(enum hs_kind kind, int column);
/* HS_INVALID when a value is not of its column's type, not UTF-8, or lacks where it must not. */
enum hs_code hs_record_check(const struct hs_record *record, struct hs_error *err);

/* What records add up to. The digest is FNV-1a 64 over every byte of every value in order: equal ones
 * mean that nothing was lost, added, changed or moved by accident. It is no proof against a forger. */
struct hs_sum {
	int64_t counts[HS_KINDS];
	uint64_t digest;
};

struct hs_sum hs_sum_of_nothing(void);
void hs_sum_add(struct hs_sum *sum, const struct hs_record *record);
bool hs_sum_equal(const struct hs_sum *a, const struct hs_sum *b);

/* A walk over all records of a tenant, to be made within one transaction. */
struct hs_records {
	enum hs_kind kind;		/* of the page */
	struct hs_record *items;	/* the page, in `arena` until the next one is read */
	size_t count, room, bytes;
	char key[HS_KEY_SIZE];		/* the last one of a text */
	int64_t number;			/* the last one of a number */
	struct hs_arena arena;
	struct hs_sum sum;		/* of all pages so far */
	int lines;			/* of a dump: 0 none, 1 the head, 2 the tail too */
};

void hs_records_begin(struct hs_records *records);
/* Reads the next page, of bounded size; its count is 0 when all were read. */
enum hs_code hs_records_next(struct hs_store *store, struct hs_records *records, struct hs_error *err);
void hs_records_end(struct hs_records *records);

/* -- dump: records as lines of text -------------------------------------------------------------- */

/* Adds the next lines of a dump to TEXT: the head, a page of records, at last the tail; then nothing. */
enum hs_code hs_dump_next(struct hs_store *store, struct hs_records *records, struct hs_text *text,
			  struct hs_error *err);

/* Adds the line of one record. */
void hs_dump_record(struct hs_text *text, const struct hs_record *record);

enum hs_line_kind { HS_LINE_HEAD, HS_LINE_RECORD, HS_LINE_TAIL };

/* What one line of a dump says. */
struct hs_line {
	enum hs_line_kind kind;
	int64_t position;		/* head: of the newest event */
	struct hs_record record;
	struct hs_sum sum;		/* tail */
};

/* HS_INVALID for what no dump of ours can hold, HS_UNSUPPORTED for one of a later version. */
enum hs_code hs_line_parse(struct hs_arena *arena, const char *s, size_t length, struct hs_line *line,
			   struct hs_error *err);
bool hs_is_json(const char *s, size_t length);

/* -- load: records into an empty tenant ----------------------------------------------------------- */

struct hs_load {
	struct hs_arena line, scratch;	/* of one line, of one record */
	struct hs_sum sum;		/* of what was loaded */
	enum hs_kind kind;		/* of the last record */
	bool has_head, has_tail;
	int64_t position;		/* what the head said */
	struct hs_sum tail;
	int64_t lines;			/* so many were read */
	int64_t stored;			/* position of the last event the database has answered for */
	int64_t fault;			/* position of the event that was refused; 0: the record given last */
};

/* All of these within one write transaction, which is to be rolled back when one fails. HS_CONFLICT
 * when the tenant is not empty; a record that cannot belong to a log of ours is HS_INVALID. Records are
 * sent, as with hs_send: LOAD must live until they are settled. */
enum hs_code hs_load_begin(struct hs_store *store, struct hs_load *load, struct hs_error *err);
enum hs_code hs_load_record(struct hs_store *store, struct hs_load *load, const struct hs_record *record,
			    struct hs_error *err);
enum hs_code hs_load_line(struct hs_store *store, struct hs_load *load, const char *s, size_t length,
			  struct hs_error *err);
enum hs_code hs_load_settle(struct hs_store *store, struct hs_load *load, struct hs_error *err);
/* Whether a dump had its last line. */
enum hs_code hs_load_is_whole(const struct hs_load *load, struct hs_error *err);
/* Makes the read model, then proves that the store verifies and gives back what was loaded. */
enum hs_code hs_load_finish(struct hs_store *store, struct hs_load *load, struct hs_error *err);
void hs_load_end(struct hs_load *load);

/* -- query: questions of users, in SQL ------------------------------------------------------------- */

/* Rows as they came: COLUMNS values each. Of columns of the same name, the later ones get a number. */
struct hs_answer {
	struct hs_arena *arena;
	int64_t limit;			/* no more rows than that */
	const char *names[HS_QUESTION_COLUMNS];
	int columns;
	struct hs_value *values;
	size_t count, room;		/* of the values */
	size_t bytes;			/* of the texts */
	int64_t rows;
	bool more;			/* there are more than the limit */
};

/* Asks one SELECT, outside transactions. It sees all tenants, writes nothing, and is ended after TIMEOUT
 * milliseconds, or when there is too much of the answer. ANSWER has its arena and limit, and is empty. */
enum hs_code hs_ask(struct hs_store *store, const char *sql, const struct hs_value *values, int count, int timeout,
		    struct hs_answer *answer, struct hs_error *err);

#endif
