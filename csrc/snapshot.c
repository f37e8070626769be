/* snapshot.c -- rendered hosts files by position, and the way back to one.
 *
 * A snapshot is kept as it was rendered; what a restore brings back comes from the log. */
#include <string.h>

#include "hs.h"

struct snapshot_sink {
	struct hs_arena *arena;
	struct hs_snapshot *items;
	size_t count, room;
};

static bool copy_text(struct hs_arena *arena, const struct hs_value *value, const char **text)
{
	*text = value->type == HS_TEXT ? hs_copy(arena, value->s, value->n) : NULL;
	return *text || value->type != HS_TEXT;
}

static enum hs_code take_snapshot(void *context, const struct hs_value *row, int columns,
				  struct hs_error *err)
{
	struct snapshot_sink *sink = context;
	struct hs_snapshot *snapshot;

	(void)columns;
	sink->items = hs_grow(sink->arena, sink->items, sink->count, &sink->room, sizeof *sink->items);
	if (!sink->items)
		return hs_no_memory(err);
	snapshot = &sink->items[sink->count++];
	snapshot->position = row[3].i;
	snapshot->created_at = row[4].i;
	snapshot->entry_count = row[5].i;
	if (!copy_text(sink->arena, &row[0], &snapshot->id) ||
	    !copy_text(sink->arena, &row[1], &snapshot->name) ||
	    !copy_text(sink->arena, &row[2], &snapshot->trigger) ||
	    !copy_text(sink->arena, &row[6], &snapshot->content))
		return hs_no_memory(err);
	return HS_OK;
}

static enum hs_code fail_not_found(struct hs_error *err, const char *id)
{
	return hs_fail(err, HS_NOT_FOUND, "id", "there is no snapshot '%s'", hs_quote(id).s);
}

static enum hs_code save(struct hs_store *store, struct hs_arena *arena, struct hs_snapshot *snapshot,
			 struct hs_error *err)
{
	struct hs_value tenant = hs_text_value(store->tenant);
	char id[HS_ULID_SIZE];
	enum hs_code rc = hs_ulid(store->ids, store->now, id, err);

	if (rc == HS_OK)
		rc = hs_log_position(store, &snapshot->position, err);
	if (rc == HS_OK)
		rc = hs_run_int(store, HS_SQL_HOST_COUNT, &tenant, 1, &snapshot->entry_count, err);
	if (rc)
		return rc;
	snapshot->id = hs_copy(arena, id, HS_ULID_SIZE - 1);
	snapshot->created_at = store->now;
	if (!snapshot->id)
		return hs_no_memory(err);
	return hs_run(store, HS_SQL_SNAPSHOT_INSERT, (struct hs_value[]){tenant, hs_text_value(snapshot->id),
		hs_text_value(snapshot->name), hs_text_value(snapshot->trigger), hs_int(snapshot->position),
		hs_int(snapshot->created_at), hs_int(snapshot->entry_count), hs_text_value(snapshot->content)},
		8, NULL, NULL, err);
}

enum hs_code hs_snapshot_save(struct hs_store *store, struct hs_arena *arena,
			      struct hs_snapshot *snapshot, struct hs_error *err)
{
	enum hs_code rc = snapshot->name ? hs_check_label("name", snapshot->name, err) : HS_OK;

	if (rc == HS_OK)
		rc = hs_check_label("trigger", snapshot->trigger, err);
	if (rc == HS_OK)
		rc = hs_begin(store, true, err);
	if (rc)
		return rc;
	return hs_end(store, save(store, arena, snapshot, err), err);
}

enum hs_code hs_snapshot_get(struct hs_store *store, struct hs_arena *arena, const char *id,
			     struct hs_snapshot *snapshot, struct hs_error *err)
{
	struct snapshot_sink sink = {.arena = arena};
	enum hs_code rc = hs_run(store, HS_SQL_SNAPSHOT_GET, (struct hs_value[]){hs_text_value(store->tenant),
		hs_text_value(id)}, 2, take_snapshot, &sink, err);

	if (rc == HS_OK && sink.count == 0)
		return fail_not_found(err, id);
	if (rc == HS_OK)
		*snapshot = sink.items[0];
	return rc;
}

enum hs_code hs_snapshot_list(struct hs_store *store, struct hs_arena *arena, int64_t limit,
			      int64_t offset, struct hs_snapshot **snapshots, size_t *count,
			      struct hs_error *err)
{
	struct snapshot_sink sink = {.arena = arena};
	enum hs_code rc = hs_run(store, HS_SQL_SNAPSHOT_LIST, (struct hs_value[]){hs_text_value(store->tenant),
		hs_int(limit < 0 ? INT64_MAX : limit), hs_int(offset)}, 3, take_snapshot, &sink, err);

	*snapshots = sink.items;
	*count = sink.count;
	return rc;
}

static enum hs_code note_deleted(void *context, const struct hs_value *row, int columns,
				 struct hs_error *err)
{
	(void)row, (void)columns, (void)err;
	*(bool *)context = true;
	return HS_OK;
}

enum hs_code hs_snapshot_delete(struct hs_store *store, const char *id, struct hs_error *err)
{
	bool deleted = false;
	enum hs_code rc = hs_begin(store, true, err);

	if (rc)
		return rc;
	rc = hs_run(store, HS_SQL_SNAPSHOT_DELETE, (struct hs_value[]){hs_text_value(store->tenant),
		hs_text_value(id)}, 2, note_deleted, &deleted, err);
	if (rc == HS_OK && !deleted)
		rc = fail_not_found(err, id);
	return hs_end(store, rc, err);
}

static enum hs_code restore(struct hs_store *store, struct hs_arena *arena, int64_t position, bool dry_run,
			    const struct hs_cause *by, struct hs_restored *restored,
			    struct hs_error *err)
{
	struct hs_hosts now = {0}, then = {0};
	struct hs_changes changes;
	enum hs_code rc = hs_hosts_at(store, arena, (struct hs_moment){.now = true}, &now, err);

	if (rc == HS_OK)
		rc = hs_hosts_at(store, arena, (struct hs_moment){.position = position, .time = INT64_MAX}, &then,
				 err);
	if (rc == HS_OK)
		rc = hs_hosts_diff(arena, &now, &then, &changes, err);
	if (rc)
		return rc;
	*restored = (struct hs_restored){.unchanged = (int64_t)changes.unchanged};
	for (size_t i = 0; i < changes.count; i++) {
		restored->added += !changes.items[i].before;
		restored->deleted += !changes.items[i].after;
	}
	restored->updated = (int64_t)changes.count - restored->added - restored->deleted;
	return dry_run ? HS_OK : hs_changes_write(store, arena, &changes, by, err);
}

enum hs_code hs_restore(struct hs_store *store, struct hs_arena *arena, int64_t position,
			bool dry_run, const struct hs_cause *by, struct hs_restored *restored,
			struct hs_error *err)
{
	enum hs_code rc = dry_run ? hs_begin(store, false, err) : hs_begin_change(store, by, err);

	if (rc)
		return rc;
	return hs_end(store, restore(store, arena, position, dry_run, by, restored, err), err);
}
