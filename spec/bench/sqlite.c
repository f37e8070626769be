/* sqlite.c -- the rows hoststore writes, written with bare SQLite calls: what its speed is held
 * against. Prints the seconds the work took, without opening and closing.
 *
 *   bench_sqlite DB JOURNAL SYNCHRONOUS PAGE_SIZE write N         new file, N hosts in one transaction
 *   bench_sqlite DB JOURNAL SYNCHRONOUS PAGE_SIZE add N START     N hosts from START, a transaction each
 *   bench_sqlite DB JOURNAL SYNCHRONOUS PAGE_SIZE find N HOSTS    N of HOSTS hosts by address and name
 *   bench_sqlite DB JOURNAL SYNCHRONOUS PAGE_SIZE list            all hosts in the order of their addresses
 *
 * Runs where the sources are: the schema is sql/sqlite/001_init.sql. Host number i has the address
 * 10.0.0.0 + i, an alias, a tag and a comment. */
#include <sqlite3.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static sqlite3 *db;
static sqlite3_stmt *insert_event, *insert_host, *insert_alias, *insert_tag;

static void must(int rc)
{
	if (rc == SQLITE_OK || rc == SQLITE_ROW || rc == SQLITE_DONE)
		return;
	fprintf(stderr, "bench_sqlite: %s\n", db ? sqlite3_errmsg(db) : sqlite3_errstr(rc));
	exit(1);
}

static void execute(const char *sql)
{
	must(sqlite3_exec(db, sql, NULL, NULL, NULL));
}

static sqlite3_stmt *prepare(const char *sql)
{
	sqlite3_stmt *statement;

	must(sqlite3_prepare_v2(db, sql, -1, &statement, NULL));
	return statement;
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* -- writing ---------------------------------------------------------------------------------- */

static void create_schema(void)
{
	static char sql[1 << 16];
	FILE *file = fopen("sql/sqlite/001_init.sql", "r");

	if (!file || fread(sql, 1, sizeof sql - 1, file) == 0) {
		fprintf(stderr, "bench_sqlite: cannot read sql/sqlite/001_init.sql\n");
		exit(1);
	}
	fclose(file);
	execute(sql);
}

static void prepare_writes(void)
{
	insert_event = prepare("INSERT INTO events (tenant, position, stream, version, partition, id, type, "
			       "data, metadata, actor, reason, occurred_at, recorded_at) "
			       "VALUES ('default', $1, $2, 1, $3, $4, 'HostCreated', $5, NULL, 'bench', NULL, $6, $6)");
	insert_host = prepare("INSERT INTO hosts (tenant, id, version, position, ip_key, ip, hostname, aliases, "
			      "comment, tags, enabled, expires_at, origin, created_at, updated_at) "
			      "VALUES ('default', $1, 1, $2, $3, $4, $5, $6, $7, 'bench', 1, NULL, 'admin', $8, $8)");
	insert_alias = prepare("INSERT INTO host_aliases (tenant, alias, host) VALUES ('default', $1, $2)");
	insert_tag = prepare("INSERT INTO host_tags (tenant, tag, host) VALUES ('default', 'bench', $1)");
}

static void text(sqlite3_stmt *statement, int parameter, const char *value)
{
	must(sqlite3_bind_text(statement, parameter, value, -1, SQLITE_STATIC));
}

static void number(sqlite3_stmt *statement, int parameter, int64_t value)
{
	must(sqlite3_bind_int64(statement, parameter, value));
}

static void run(sqlite3_stmt *statement)
{
	must(sqlite3_step(statement));
	must(sqlite3_reset(statement));
}

static void write_host(int i)
{
	int64_t time = INT64_C(1795228981000000) + i;
	char id[27], event[27], stream[32], ip[16], key[10], name[32], alias[16], comment[48], data[320];

	snprintf(id, sizeof id, "01KA0000000000000A%08d", i);
	snprintf(event, sizeof event, "01KA0000000000000E%08d", i);
	snprintf(stream, sizeof stream, "host-%s", id);
	snprintf(ip, sizeof ip, "10.%d.%d.%d", i >> 16 & 255, i >> 8 & 255, i & 255);
	snprintf(key, sizeof key, "40a%02x%02x%02x", i >> 16 & 255, i >> 8 & 255, i & 255);
	snprintf(name, sizeof name, "host-%d.example.lan", i);
	snprintf(alias, sizeof alias, "h%d", i);
	snprintf(comment, sizeof comment, "number %d of many", i);
	snprintf(data, sizeof data, "{\"ip\":\"%s\",\"hostname\":\"%s\",\"aliases\":[\"%s\"],\"comment\":\"%s\","
		 "\"tags\":[\"bench\"],\"enabled\":true,\"origin\":\"admin\",\"created_at\":%lld}",
		 ip, name, alias, comment, (long long)time);

	number(insert_event, 1, i + 1);
	text(insert_event, 2, stream);
	number(insert_event, 3, i % 32);
	text(insert_event, 4, event);
	text(insert_event, 5, data);
	number(insert_event, 6, time);
	run(insert_event);

	text(insert_host, 1, id);
	number(insert_host, 2, i + 1);
	text(insert_host, 3, key);
	text(insert_host, 4, ip);
	text(insert_host, 5, name);
	text(insert_host, 6, alias);
	text(insert_host, 7, comment);
	number(insert_host, 8, time);
	run(insert_host);

	text(insert_alias, 1, alias);
	text(insert_alias, 2, id);
	run(insert_alias);

	text(insert_tag, 1, id);
	run(insert_tag);
}

static void write_all(int count)
{
	execute("BEGIN IMMEDIATE");
	for (int i = 0; i < count; i++)
		write_host(i);
	execute("COMMIT");
}

static void add_each(int count, int start)
{
	for (int i = start; i < start + count; i++) {
		execute("BEGIN IMMEDIATE");
		write_host(i);
		execute("COMMIT");
	}
}

/* -- reading ---------------------------------------------------------------------------------- */

#define HOST_COLUMNS "id, version, position, ip, hostname, aliases, comment, tags, enabled, " \
	"expires_at, origin, created_at, updated_at"

static void read_rows(sqlite3_stmt *statement)
{
	int rc;

	while ((rc = sqlite3_step(statement)) == SQLITE_ROW)
		for (int i = 0; i < sqlite3_column_count(statement); i++)
			sqlite3_column_text(statement, i);
	must(rc);
	must(sqlite3_reset(statement));
}

static void find(int count, int hosts)
{
	sqlite3_stmt *statement = prepare("SELECT " HOST_COLUMNS " FROM hosts "
					  "WHERE tenant = 'default' AND ip_key = $1 AND hostname = $2");
	char key[10], name[32];

	for (int n = 0; n < count; n++) {
		int i = (int)(n * INT64_C(7919) % hosts);

		snprintf(key, sizeof key, "40a%02x%02x%02x", i >> 16 & 255, i >> 8 & 255, i & 255);
		snprintf(name, sizeof name, "host-%d.example.lan", i);
		text(statement, 1, key);
		text(statement, 2, name);
		read_rows(statement);
	}
	sqlite3_finalize(statement);
}

static void list(void)
{
	sqlite3_stmt *statement = prepare("SELECT " HOST_COLUMNS " FROM hosts "
					  "WHERE tenant = 'default' ORDER BY ip_key, hostname, id");

	read_rows(statement);
	sqlite3_finalize(statement);
}

/* -- the command line -------------------------------------------------------------------------- */

static void open_database(char **argv)
{
	char pragmas[200];

	must(sqlite3_open(argv[1], &db));
	snprintf(pragmas, sizeof pragmas, "PRAGMA page_size = %d; PRAGMA journal_mode = %s; PRAGMA synchronous = %s",
		 atoi(argv[4]), argv[2], argv[3]);
	execute(pragmas);
}

int main(int argc, char **argv)
{
	const char *command = argc > 5 ? argv[5] : "";
	int count = argc > 6 ? atoi(argv[6]) : 0, other = argc > 7 ? atoi(argv[7]) : 0;
	double start;

	if (argc < 6)
		return 2;
	open_database(argv);
	if (strcmp(command, "write") == 0)
		create_schema();
	if (strcmp(command, "write") == 0 || strcmp(command, "add") == 0)
		prepare_writes();
	start = now();
	if (strcmp(command, "write") == 0)
		write_all(count);
	else if (strcmp(command, "add") == 0)
		add_each(count, other);
	else if (strcmp(command, "find") == 0)
		find(count, other);
	else if (strcmp(command, "list") == 0)
		list();
	else
		return 2;
	printf("%.6f\n", now() - start);
	sqlite3_finalize(insert_event);
	sqlite3_finalize(insert_host);
	sqlite3_finalize(insert_alias);
	sqlite3_finalize(insert_tag);
	sqlite3_close(db);
	return 0;
}
