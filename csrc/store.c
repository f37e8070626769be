/* store.c -- one open log: schema, transactions, statements.
 *
 * The only file that touches a driver's functions. One function begins a transaction and one
 * ends it, so none is ever left open by a failure. */
#include <stdio.h>
#include <string.h>

#include "hs.h"

struct hs_value hs_int(int64_t i)
{
	return (struct hs_value){.type = HS_INT, .i = i};
}

struct hs_value hs_text_value(const char *s)
{
	return s ? hs_driver_text(s) : (struct hs_value){.type = HS_NULL};
}

struct hs_value hs_time_value(int64_t time)
{
	if (time == HS_TIME_UNSET)
		return (struct hs_value){.type = HS_NULL};
	return hs_int(time);
}

void hs_piece(struct hs_composed *composed, const char *sql)
{
	hs_text_add(&composed->sql, sql);
}

void hs_parameter(struct hs_composed *composed, const char *sql, struct hs_value value)
{
	char number[16];

	composed->values[composed->count++] = value;
	snprintf(number, sizeof number, "$%d", composed->count);
	hs_piece(composed, sql);
	hs_piece(composed, number);
}

/* -- statements --------------------------------------------------------------------------------------- */

/* A database may end the transaction when a statement fails (a full disk): what follows must not
 * pass for the rest of it. */
static enum hs_code notice(struct hs_store *store, enum hs_code rc)
{
	if (rc && store->depth > 0 && !store->driver->in_transaction(store->db))
		store->broken = rc;
	return rc;
}

/* Nothing but UTF-8 is ever stored, so a read that asks for another text finds nothing. Some
 * databases would find that, others refuse the question. */
static bool finds_nothing(const struct hs_value *values, int count, hs_row_fn *row)
{
	for (int i = 0; row && i < count; i++)
		if (values[i].type == HS_TEXT && !hs_is_utf8(values[i].s, values[i].n))
			return true;
	return false;
}

enum hs_code hs_send(struct hs_store *store, enum hs_sql statement, const struct hs_value *values,
		     int count, hs_row_fn *row, void *context, struct hs_error *err)
{
	return notice(store, store->driver->send(store->db, statement, values, count, row, context, err));
}

enum hs_code hs_sync(struct hs_store *store, struct hs_error *err)
{
	return notice(store, store->driver->sync(store->db, err));
}

enum hs_code hs_run(struct hs_store *store, enum hs_sql statement, const struct hs_value *values,
		    int count, hs_row_fn *row, void *context, struct hs_error *err)
{
	if (finds_nothing(values, count, row))
		return HS_OK;
	return notice(store, store->driver->run(store->db, statement, values, count, row, context, err));
}

enum hs_code hs_query(struct hs_store *store, const char *sql, const struct hs_value *values,
		      int count, hs_row_fn *row, void *context, struct hs_error *err)
{
	if (finds_nothing(values, count, row))
		return HS_OK;
	return notice(store, store->driver->query(store->db, sql, values, count, row, context, err));
}

static enum hs_code take_int(void *context, const struct hs_value *row, int columns,
			     struct hs_error *err)
{
	(void)columns, (void)err;
	*(int64_t *)context = row[0].i;
	return HS_STOP;
}

enum hs_code hs_run_int(struct hs_store *store, enum hs_sql statement, const struct hs_value *values,
			int count, int64_t *number, struct hs_error *err)
{
	*number = 0;
	return hs_run(store, statement, values, count, take_int, number, err);
}

/* -- transactions ----------------------------------------------------------------------------------------- */

static enum hs_code fail_broken(enum hs_code broken, struct hs_error *err)
{
	return hs_fail(err, broken, NULL, "the database ended this transaction after an earlier failure; "
		       "nothing of it was written");
}

enum hs_code hs_begin(struct hs_store *store, bool write, struct hs_error *err)
{
	enum hs_code rc;

	if (write && store->readonly)
		return hs_fail(err, HS_READONLY, NULL, "the store was opened readonly; open it without "
			       "readonly to write");
	if (store->broken)
		return fail_broken(store->broken, err);
	if (write && store->depth > 0 && !store->writing)
		return hs_fail(err, HS_READONLY, NULL, "the transaction only reads; begin it without readonly to "
			       "write in it");
	if (store->depth == 0)
		rc = store->driver->begin(store->db, write, err);
	else
		rc = hs_send(store, HS_SQL_SAVEPOINT, NULL, 0, NULL, NULL, err);
	if (rc)
		return rc;
	if (store->depth++ == 0)
		store->writing = write;
	return HS_OK;
}

static enum hs_code end_outermost(struct hs_store *store, enum hs_code rc, struct hs_error *err)
{
	enum hs_code broken = store->broken;

	store->broken = HS_OK;
	if (rc == HS_OK && broken)
		rc = fail_broken(broken, err);
	if (rc == HS_OK)
		return store->driver->commit(store->db, err);
	store->driver->rollback(store->db);
	return rc;
}

static enum hs_code end_nested(struct hs_store *store, enum hs_code rc, struct hs_error *err)
{
	struct hs_error ignored;
	enum hs_code undone;

	if (rc == HS_OK)
		rc = hs_run(store, HS_SQL_SAVEPOINT_RELEASE, NULL, 0, NULL, NULL, err);
	if (rc == HS_OK)
		return HS_OK;
	/* Nothing that was sent may answer once the caller, whom it would answer, has gone. */
	store->driver->sync(store->db, &ignored);
	if (store->broken)
		return rc;
	/* What failed here is reported as it is; that the undo failed too shows at the outer end. */
	undone = hs_run(store, HS_SQL_SAVEPOINT_ROLLBACK, NULL, 0, NULL, NULL, &ignored);
	if (undone == HS_OK)
		undone = hs_run(store, HS_SQL_SAVEPOINT_RELEASE, NULL, 0, NULL, NULL, &ignored);
	if (undone)
		store->broken = undone;
	return rc;
}

enum hs_code hs_end(struct hs_store *store, enum hs_code rc, struct hs_error *err)
{
	if (--store->depth == 0)
		return end_outermost(store, rc, err);
	return end_nested(store, rc, err);
}

enum hs_code hs_check_cause(const struct hs_cause *by, struct hs_error *err)
{
	if (by->reason && (strlen(by->reason) > 16 * 1024 || !hs_is_utf8(by->reason, strlen(by->reason))))
		return hs_fail(err, HS_INVALID, "reason", "the reason must be UTF-8 of at most 16384 bytes: '%s'",
			       hs_quote(by->reason).s);
	return by->actor ? hs_check_label("actor", by->actor, err) : HS_OK;
}

/* -- opening ------------------------------------------------------------------------------------------------ */

static enum hs_code schema_version(struct hs_store *store, int64_t *version, struct hs_error *err)
{
	return hs_run_int(store, HS_SQL_SCHEMA_VERSION, NULL, 0, version, err);
}

static enum hs_code migrate(struct hs_store *store, struct hs_error *err)
{
	int64_t version;
	enum hs_code rc = hs_begin(store, true, err);

	if (rc)
		return rc;
	/* Read again under the write lock: another process may have been first. */
	rc = schema_version(store, &version, err);
	for (int64_t n = version + 1; rc == HS_OK && n <= store->driver->migrations; n++)
		rc = store->driver->migrate(store->db, (int)n, err);
	return hs_end(store, rc, err);
}

static enum hs_code check_schema(struct hs_store *store, struct hs_error *err)
{
	int64_t version;
	int known = store->driver->migrations;
	enum hs_code rc = schema_version(store, &version, err);

	if (rc)
		return rc;
	if (version > known)
		return hs_fail(err, HS_MIGRATION, NULL, "the database has schema version %lld, this hoststore "
			       "knows versions up to %d; use a newer hoststore", (long long)version, known);
	if (version == known)
		return HS_OK;
	if (store->readonly)
		return hs_fail(err, HS_MIGRATION, NULL, "the database has schema version %lld, version %d is "
			       "needed; open it once without readonly", (long long)version, known);
	return migrate(store, err);
}

enum hs_code hs_store_open(struct hs_store *store, const struct hs_driver *driver,
			   const struct hs_store_options *options, struct hs_error *err)
{
	struct hs_open how = options->open;
	enum hs_code rc;

	if (driver->abi != HS_DRIVER_ABI)
		return hs_fail(err, HS_UNSUPPORTED, NULL, "the driver '%s' is of another version of hoststore; "
			       "install both from the same release", driver->name);
	rc = hs_check_label("tenant", options->tenant, err);
	if (rc == HS_OK && options->actor)
		rc = hs_check_label("actor", options->actor, err);
	if (rc)
		return rc;
	store->driver = driver;
	store->readonly = options->open.readonly;
	store->lenient = options->lenient;
	store->ids = options->ids;
	store->tenant = hs_copy(&store->arena, options->tenant, strlen(options->tenant));
	if (!store->tenant)
		return hs_no_memory(err);
	if (options->actor) {
		store->actor = hs_copy(&store->arena, options->actor, strlen(options->actor));
		if (!store->actor)
			return hs_no_memory(err);
	}
	how.tenant = store->tenant;
	rc = driver->open(&how, &store->db, err);
	if (rc)
		return rc;
	return check_schema(store, err);
}

void hs_store_close(struct hs_store *store)
{
	if (store->db) {
		if (store->depth > 0)
			store->driver->rollback(store->db);
		store->driver->close(store->db);
	}
	hs_arena_free(&store->arena);
	memset(store, 0, sizeof *store);
}

enum hs_code hs_store_wait(struct hs_store *store, int milliseconds, struct hs_error *err)
{
	return store->driver->wait(store->db, milliseconds, err);
}

enum hs_code hs_store_backup(struct hs_store *store, const char *path, struct hs_error *err)
{
	if (!store->driver->backup)
		return hs_fail(err, HS_UNSUPPORTED, NULL, "a database of %s is no file to copy", store->driver->name);
	return store->driver->backup(store->db, path, err);
}

enum hs_code hs_store_describe(struct hs_store *store, hs_row_fn *row, void *context,
			       struct hs_error *err)
{
	return store->driver->describe(store->db, row, context, err);
}
