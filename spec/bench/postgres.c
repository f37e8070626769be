/* postgres.c -- an event's row and no more, written with bare libpq calls: what the speed of
 * hoststore on PostgreSQL is held against. One client; as many are run as there shall be.
 *
 *   bench_postgres URL bare SIZE START SECONDS GO       into a table with the keys of events
 *   bench_postgres URL keyless SIZE START SECONDS GO    into a table with a primary key alone
 *   bench_postgres URL gapless SIZE START SECONDS GO    the least that a log without gaps must do
 *
 * Writes SIZE rows in each transaction, numbered from START. `bare` and `keyless` send a statement when
 * the one before it is answered, and a single row without BEGIN and COMMIT. `gapless` takes the lock of all
 * writers first and gives each row the position after the last one; it sends the whole transaction
 * and then reads the answers.
 *
 * After one transaction for practice it says "ready", waits until the named pipe GO has a writer,
 * works for SECONDS, and prints the number of rows and when it began and ended. */
#include <fcntl.h>
#include <libpq-fe.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { PARAMETERS = 6 };

/* The values of a row, as texts. */
struct row {
	char position[16], stream[32], partition[16], id[27], data[320], time[24];
};

static PGconn *db;

static void fail(const char *what)
{
	fprintf(stderr, "bench_postgres: %s: %s", what, db ? PQerrorMessage(db) : "\n");
	exit(1);
}

static void take(PGresult *result, ExecStatusType expected)
{
	if (PQresultStatus(result) != expected)
		fail("PostgreSQL refused");
	PQclear(result);
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void prepare(const char *name, const char *sql)
{
	take(PQprepare(db, name, sql, 0, NULL), PGRES_COMMAND_OK);
}

/* -- rows ------------------------------------------------------------------------------------- */

/* The same host for the same number as in postgres.lua. */
static struct row row_of(int i)
{
	struct row row;
	int64_t time = INT64_C(1795228981000000) + i;

	snprintf(row.position, sizeof row.position, "%d", i + 1);
	snprintf(row.stream, sizeof row.stream, "host-01KA0000000000000A%08d", i);
	snprintf(row.partition, sizeof row.partition, "%d", i % 32);
	snprintf(row.id, sizeof row.id, "01KA0000000000000E%08d", i);
	snprintf(row.data, sizeof row.data, "{\"ip\":\"10.%d.%d.%d\",\"hostname\":\"host-%d.example.lan\","
		 "\"aliases\":[],\"comment\":\"number %d of many\",\"tags\":[\"bench\"],\"enabled\":true,"
		 "\"origin\":\"admin\",\"created_at\":%lld}", i >> 16 & 255, i >> 8 & 255, i & 255, i, i,
		 (long long)time);
	snprintf(row.time, sizeof row.time, "%lld", (long long)time);
	return row;
}

static void point_at(const struct row *row, const char *values[PARAMETERS])
{
	values[0] = row->stream;
	values[1] = row->partition;
	values[2] = row->id;
	values[3] = row->data;
	values[4] = row->time;
	values[5] = row->position;
}

/* -- bare ------------------------------------------------------------------------------------- */

static void run(const char *name, int count, const char *const *values)
{
	take(PQexecPrepared(db, name, count, values, NULL, NULL, 0), PGRES_COMMAND_OK);
}

static void prepare_bare(const char *table)
{
	char sql[320];

	snprintf(sql, sizeof sql, "INSERT INTO %s (tenant, position, stream, version, partition, id, type, data, "
		 "metadata, actor, reason, occurred_at, recorded_at) "
		 "VALUES ('default', $6, $1, 1, $2, $3, 'HostCreated', $4, NULL, 'bench', NULL, $5, $5)", table);
	prepare("begin", "BEGIN");
	prepare("commit", "COMMIT");
	prepare("insert", sql);
}

static void write_bare(int start, int size)
{
	const char *values[PARAMETERS];

	if (size > 1)
		run("begin", 0, NULL);
	for (int i = start; i < start + size; i++) {
		struct row row = row_of(i);

		point_at(&row, values);
		run("insert", PARAMETERS, values);
	}
	if (size > 1)
		run("commit", 0, NULL);
}

/* -- gapless ---------------------------------------------------------------------------------- */

static void prepare_gapless(void)
{
	prepare("begin", "BEGIN");
	prepare("commit", "COMMIT");
	prepare("lock", "SELECT pg_advisory_xact_lock(1)");
	prepare("insert", "INSERT INTO gapless (tenant, position, stream, version, partition, id, type, data, "
		"metadata, actor, reason, occurred_at, recorded_at) "
		"SELECT 'default', COALESCE(MAX(position), 0) + 1, $1, 1, $2::integer, $3, 'HostCreated', $4, "
		"NULL, 'bench', NULL, $5::bigint, $5::bigint FROM gapless WHERE tenant = 'default'");
	if (!PQenterPipelineMode(db))
		fail("no pipeline");
}

static void send_statement(const char *name, int count, const char *const *values)
{
	if (!PQsendQueryPrepared(db, name, count, values, NULL, NULL, 0))
		fail("cannot send");
}

static void receive_result(ExecStatusType expected)
{
	take(PQgetResult(db), expected);
	/* The end of a statement's results is a NULL, that of the pipeline is not. */
	if (expected != PGRES_PIPELINE_SYNC && PQgetResult(db))
		fail("more results than statements");
}

static void write_gapless(int start, int size)
{
	const char *values[PARAMETERS];

	send_statement("begin", 0, NULL);
	send_statement("lock", 0, NULL);
	for (int i = start; i < start + size; i++) {
		struct row row = row_of(i);

		point_at(&row, values);
		send_statement("insert", PARAMETERS - 1, values);
	}
	send_statement("commit", 0, NULL);
	if (!PQpipelineSync(db))
		fail("cannot send");
	receive_result(PGRES_COMMAND_OK);
	receive_result(PGRES_TUPLES_OK);
	for (int i = 0; i < size; i++)
		receive_result(PGRES_COMMAND_OK);
	receive_result(PGRES_COMMAND_OK);
	receive_result(PGRES_PIPELINE_SYNC);
}

/* -- the command line -------------------------------------------------------------------------- */

int main(int argc, char **argv)
{
	bool gapless = argc > 2 && strcmp(argv[2], "gapless") == 0;
	void (*write_rows)(int, int) = gapless ? write_gapless : write_bare;
	int size, number, count = 0;
	double seconds, begin, end;

	if (argc != 7)
		return 2;
	size = atoi(argv[3]);
	number = atoi(argv[4]);
	seconds = strtod(argv[5], NULL);
	db = PQconnectdb(argv[1]);
	if (PQstatus(db) != CONNECTION_OK)
		fail("cannot connect");
	if (gapless)
		prepare_gapless();
	else
		prepare_bare(argv[2]);
	write_rows(number, size);
	printf("ready\n");
	fflush(stdout);
	if (open(argv[6], O_RDONLY) < 0)
		fail("cannot open the pipe");
	begin = now();
	do {
		count += size;
		write_rows(number + count, size);
		end = now();
	} while (end < begin + seconds);
	printf("%d %.6f %.6f\n", count, begin, end);
	PQfinish(db);
	return 0;
}
