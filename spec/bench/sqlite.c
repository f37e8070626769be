/* sqlite.c -- the rows of hoststore, written and read with bare SQLite calls: what its speed is held against.
 * Prints the seconds the work took, without opening and closing.
 *
 *   bench_sqlite DB JOURNAL SYNCHRONOUS PAGE_SIZE COMMAND...
 *     write HOSTS [VERSIONS [DEEP]]  new file, so many versions of each host in one transaction; the first one
 *                                    has DEEP events more
 *     add N START                    N hosts from START, a transaction each
 *     append N SIZE                  SIZE events to a stream, in N transactions
 *     get N HOSTS, find N HOSTS      N of HOSTS hosts by id, by address and name
 *     scan                           all hosts in the order of their addresses
 *     list                           the same, made into tables of Lua
 *     publish FILE                   the same, printed as a hosts file and synced
 *     at POSITION                    the hosts as they were then, out of the log
 *     diff A B                       what was different then, out of the log
 *     history                        the events of the first host, with what was before each
 *     log PAGE                       all events, in pages
 *
 * Runs where the sources are: the schema is in sql. Host number i has the address 10.0.0.0 + i, an
 * alias, a comment and the tag "bench", the first ten "rare" instead. */
#include <lauxlib.h>
#include <lua.h>
#include <sqlite3.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define BASE_TIME INT64_C(1795228981000000)

static sqlite3 *db;
static sqlite3_stmt *insert_event, *insert_host, *update_host, *insert_alias, *insert_tag;

static void fail(const char *what)
{
	fprintf(stderr, "bench_sqlite: %s\n", what);
	exit(1);
}

static void must(int rc)
{
	if (rc != SQLITE_OK && rc != SQLITE_ROW && rc != SQLITE_DONE)
		fail(db ? sqlite3_errmsg(db) : sqlite3_errstr(rc));
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

/* -- writing ---------------------------------------------------------------------------------- */

static void create_schema(const char *path)
{
	static char sql[1 << 16];
	FILE *file = fopen(path, "r");
	size_t length = file ? fread(sql, 1, sizeof sql - 1, file) : 0;

	if (length == 0)
		fail(path);
	sql[length] = '\0';
	fclose(file);
	execute(sql);
}

static void prepare_writes(void)
{
	insert_event = prepare("INSERT INTO events (tenant, position, stream, version, partition, id, type, "
			       "data, metadata, actor, reason, occurred_at, recorded_at) "
			       "VALUES ('default', ?1, ?2, ?3, ?4, ?5, ?6, ?7, NULL, 'bench', NULL, ?8, ?8)");
	insert_host = prepare("INSERT INTO hosts (tenant, id, version, position, ip_key, ip, hostname, aliases, "
			      "comment, tags, enabled, expires_at, origin, created_at, updated_at) "
			      "VALUES ('default', ?1, 1, ?2, ?3, ?4, ?5, ?6, ?7, ?9, 1, NULL, 'admin', ?8, ?8)");
	update_host = prepare("UPDATE hosts SET version = ?2, position = ?3, comment = ?4, updated_at = ?5 "
			      "WHERE tenant = 'default' AND id = ?1");
	insert_alias = prepare("INSERT INTO host_aliases (tenant, alias, host) VALUES ('default', ?1, ?2)");
	insert_tag = prepare("INSERT INTO host_tags (tenant, tag, host) VALUES ('default', ?1, ?2)");
}

static int64_t last_position(void)
{
	sqlite3_stmt *statement = prepare("SELECT MAX(position) FROM events WHERE tenant = 'default'");
	int64_t position;

	must(sqlite3_step(statement));
	position = sqlite3_column_int64(statement, 0);
	sqlite3_finalize(statement);
	return position;
}

static void write_event(int64_t position, const char *stream, int version, const char *type, const char *data)
{
	char id[27];

	snprintf(id, sizeof id, "01KA0000000000000E%08d", (int)position);
	number(insert_event, 1, position);
	text(insert_event, 2, stream);
	number(insert_event, 3, version);
	number(insert_event, 4, position % 32);
	text(insert_event, 5, id);
	text(insert_event, 6, type);
	text(insert_event, 7, data);
	number(insert_event, 8, BASE_TIME + position);
	run(insert_event);
}

/* The texts of host number I in its VERSION. */
struct host {
	char id[27], stream[32], ip[16], key[10], name[32], alias[16], comment[64], data[400];
	const char *tag;
};

static struct host host_of(int i, int version)
{
	struct host h = {.tag = i < 10 ? "rare" : "bench"};

	snprintf(h.id, sizeof h.id, "01KA0000000000000A%08d", i);
	snprintf(h.stream, sizeof h.stream, "host-%s", h.id);
	snprintf(h.ip, sizeof h.ip, "10.%d.%d.%d", i >> 16 & 255, i >> 8 & 255, i & 255);
	snprintf(h.key, sizeof h.key, "40a%02x%02x%02x", i >> 16 & 255, i >> 8 & 255, i & 255);
	snprintf(h.name, sizeof h.name, "host-%d.example.lan", i);
	snprintf(h.alias, sizeof h.alias, "h%d", i);
	snprintf(h.comment, sizeof h.comment, "number %d of many, version %d", i, version);
	snprintf(h.data, sizeof h.data, "{\"ip\":\"%s\",\"hostname\":\"%s\",\"aliases\":[\"%s\"],\"comment\":\"%s\","
		 "\"tags\":[\"%s\"],\"enabled\":true,\"origin\":\"admin\",\"created_at\":%lld}",
		 h.ip, h.name, h.alias, h.comment, h.tag, (long long)BASE_TIME + i);
	return h;
}

static void add_host(int i, int64_t position)
{
	struct host h = host_of(i, 1);

	write_event(position, h.stream, 1, "HostCreated", h.data);
	text(insert_host, 1, h.id);
	number(insert_host, 2, position);
	text(insert_host, 3, h.key);
	text(insert_host, 4, h.ip);
	text(insert_host, 5, h.name);
	text(insert_host, 6, h.alias);
	text(insert_host, 7, h.comment);
	number(insert_host, 8, BASE_TIME + position);
	text(insert_host, 9, h.tag);
	run(insert_host);
	text(insert_alias, 1, h.alias);
	text(insert_alias, 2, h.id);
	run(insert_alias);
	text(insert_tag, 1, h.tag);
	text(insert_tag, 2, h.id);
	run(insert_tag);
}

static void change_host(int i, int version, int64_t position)
{
	struct host h = host_of(i, version);

	write_event(position, h.stream, version, "CommentUpdated", h.data);
	text(update_host, 1, h.id);
	number(update_host, 2, version);
	number(update_host, 3, position);
	text(update_host, 4, h.comment);
	number(update_host, 5, BASE_TIME + position);
	run(update_host);
}

static void write_all(char **words)
{
	int hosts = atoi(words[0]), versions = words[1] ? atoi(words[1]) : 1;
	int deep = words[1] && words[2] ? atoi(words[2]) : 0;
	int64_t position = 0;

	execute("BEGIN IMMEDIATE");
	for (int i = 0; i < hosts; i++)
		add_host(i, ++position);
	for (int version = 2; version <= versions; version++)
		for (int i = 0; i < hosts; i++)
			change_host(i, version, ++position);
	for (int version = versions + 1; version <= versions + deep; version++)
		change_host(0, version, ++position);
	execute("COMMIT");
}

static void add_each(char **words)
{
	int count = atoi(words[0]), start = atoi(words[1]);
	int64_t position = last_position();

	for (int i = start; i < start + count; i++) {
		execute("BEGIN IMMEDIATE");
		add_host(i, ++position);
		execute("COMMIT");
	}
}

static void append(char **words)
{
	int count = atoi(words[0]), size = atoi(words[1]), version = (int)last_position();
	int64_t position = version;
	char data[200];

	for (int i = 0; i < count; i++) {
		execute("BEGIN IMMEDIATE");
		for (int n = 0; n < size; n++) {
			snprintf(data, sizeof data, "{\"number\":%d,\"place\":\"attic\",\"unit\":\"kelvin\"}", n + 1);
			write_event(++position, "attic", ++version, "Measured", data);
		}
		execute("COMMIT");
	}
}

/* -- reading ---------------------------------------------------------------------------------- */

#define HOST_COLUMNS "id, version, position, ip, hostname, aliases, comment, tags, enabled, " \
	"expires_at, origin, created_at, updated_at"
#define ALL_HOSTS "SELECT " HOST_COLUMNS " FROM hosts WHERE tenant = 'default' ORDER BY ip_key, hostname, id"
#define EVENT_COLUMNS "position, stream, version, id, type, data, metadata, actor, reason, occurred_at, recorded_at"
#define BODY(data) data " ->> '$.ip', " data " ->> '$.hostname', " data " -> '$.aliases', " data " ->> '$.comment', " \
	data " -> '$.tags', " data " ->> '$.enabled', " data " ->> '$.expires_at', " data " ->> '$.origin', " \
	data " ->> '$.created_at'"
/* In SQLite the other columns beside MAX are of the row with the highest version: a window would cost more. */
#define NEWEST(position) "SELECT stream, type, data, recorded_at, MAX(version) AS version, position FROM events " \
	"WHERE tenant = 'default' AND stream >= 'host-' AND stream < 'host.' AND position <= " position \
	" GROUP BY stream"

/* Returns how many rows there were. */
static int read_rows(sqlite3_stmt *statement)
{
	int rc, rows = 0;

	for (; (rc = sqlite3_step(statement)) == SQLITE_ROW; rows++)
		for (int i = 0; i < sqlite3_column_count(statement); i++)
			sqlite3_column_text(statement, i);
	must(rc);
	must(sqlite3_reset(statement));
	return rows;
}

static void read_once(const char *sql, int count, char **words)
{
	sqlite3_stmt *statement = prepare(sql);

	for (int i = 0; i < count; i++)
		number(statement, i + 1, atoi(words[i]));
	if (read_rows(statement) == 0)
		fail("no row was found");
	sqlite3_finalize(statement);
}

static void scan(char **words)
{
	read_once(ALL_HOSTS, 0, words);
}

static void at(char **words)
{
	read_once("SELECT stream, version, position, recorded_at, " BODY("data") " FROM (" NEWEST("?1") ") "
		  "WHERE type <> 'HostDeleted' ORDER BY stream", 1, words);
}

static void diff(char **words)
{
	read_once("WITH a AS MATERIALIZED (" NEWEST("?1") "), b AS MATERIALIZED (" NEWEST("?2") ") "
		  "SELECT b.stream, a.version, b.version, " BODY("a.data") ", " BODY("b.data") " "
		  "FROM b LEFT JOIN a ON a.stream = b.stream WHERE a.data IS NOT b.data", 2, words);
}

static void history(char **words)
{
	read_once("SELECT position, version, type, recorded_at, actor, reason, " BODY("data") ", " BODY("previous") " "
		  "FROM (SELECT *, LAG(data) OVER (ORDER BY version) AS previous FROM events "
		  "WHERE tenant = 'default' AND stream = 'host-01KA0000000000000A00000000')", 0, words);
}

static void get(char **words)
{
	sqlite3_stmt *statement = prepare("SELECT " HOST_COLUMNS " FROM hosts WHERE tenant = 'default' AND id = ?1");

	for (int n = 0; n < atoi(words[0]); n++) {
		struct host h = host_of((int)(n * INT64_C(7919) % atoi(words[1])), 1);

		text(statement, 1, h.id);
		read_rows(statement);
	}
	sqlite3_finalize(statement);
}

static void find(char **words)
{
	sqlite3_stmt *statement = prepare("SELECT " HOST_COLUMNS " FROM hosts "
					  "WHERE tenant = 'default' AND ip_key = ?1 AND hostname = ?2");

	for (int n = 0; n < atoi(words[0]); n++) {
		struct host h = host_of((int)(n * INT64_C(7919) % atoi(words[1])), 1);

		text(statement, 1, h.key);
		text(statement, 2, h.name);
		read_rows(statement);
	}
	sqlite3_finalize(statement);
}

static void read_log(char **words)
{
	sqlite3_stmt *statement = prepare("SELECT " EVENT_COLUMNS " FROM events WHERE tenant = 'default' "
					  "AND position > ?1 ORDER BY position LIMIT ?2");
	int64_t position = 0;
	int rows;

	do {
		number(statement, 1, position);
		number(statement, 2, atoi(words[0]));
		rows = read_rows(statement);
		position += rows;
	} while (rows > 0);
	sqlite3_finalize(statement);
}

/* -- tables and files --------------------------------------------------------------------------- */

static const char *column(sqlite3_stmt *statement, int i)
{
	return (const char *)sqlite3_column_text(statement, i);
}

static void push_list(lua_State *L, const char *list, char separator)
{
	lua_createtable(L, 1, 0);
	for (int n = 1; *list; n++) {
		size_t length = strcspn(list, (char[]){separator, '\0'});

		lua_pushlstring(L, list, length);
		lua_rawseti(L, -2, n);
		list += length + (list[length] != '\0');
	}
}

static void push_column(lua_State *L, sqlite3_stmt *statement, int i)
{
	const char *name = sqlite3_column_name(statement, i);

	if (strcmp(name, "aliases") == 0 || strcmp(name, "tags") == 0)
		push_list(L, column(statement, i), *name == 'a' ? ' ' : ',');
	else if (strcmp(name, "enabled") == 0)
		lua_pushboolean(L, sqlite3_column_int(statement, i));
	else if (sqlite3_column_type(statement, i) == SQLITE_INTEGER)
		lua_pushnumber(L, (lua_Number)sqlite3_column_int64(statement, i) / 1e6);
	else
		lua_pushstring(L, column(statement, i));
	lua_setfield(L, -2, name);
}

static void list(char **words)
{
	lua_State *L = luaL_newstate();
	sqlite3_stmt *statement = prepare(ALL_HOSTS);
	int rc, columns = sqlite3_column_count(statement);

	(void)words;
	lua_newtable(L);
	for (int n = 1; (rc = sqlite3_step(statement)) == SQLITE_ROW; n++) {
		lua_createtable(L, 0, columns);
		for (int i = 0; i < columns; i++)
			push_column(L, statement, i);
		lua_rawseti(L, -2, n);
	}
	must(rc);
	sqlite3_finalize(statement);
}

static void publish(char **words)
{
	FILE *file = fopen(words[0], "w");
	sqlite3_stmt *statement = prepare(ALL_HOSTS);

	if (!file)
		fail(words[0]);
	while (sqlite3_step(statement) == SQLITE_ROW)
		if (sqlite3_column_int(statement, 8))
			fprintf(file, "%s\t%s %s\t# %s [%s]\n", column(statement, 3), column(statement, 4),
				column(statement, 5), column(statement, 6), column(statement, 7));
	if (fflush(file) || fsync(fileno(file)) || fclose(file))
		fail(words[0]);
	sqlite3_finalize(statement);
}

/* -- the command line -------------------------------------------------------------------------- */

static const struct {
	const char *name;
	void (*work)(char **words);
	int words;
} commands[] = {
	{"write", write_all, 1}, {"add", add_each, 2}, {"append", append, 2}, {"get", get, 2}, {"find", find, 2},
	{"scan", scan, 0}, {"list", list, 0}, {"publish", publish, 1}, {"at", at, 1}, {"diff", diff, 2},
	{"history", history, 0}, {"log", read_log, 1},
};

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
	const char *name = argc > 5 ? argv[5] : "";
	size_t i = 0;
	double start;

	while (i < sizeof commands / sizeof *commands && strcmp(commands[i].name, name) != 0)
		i++;
	if (i == sizeof commands / sizeof *commands || argc < 6 + commands[i].words)
		return 2;
	open_database(argv);
	if (strcmp(name, "write") == 0) {
		create_schema("sql/sqlite/001_init.sql");
		create_schema("sql/views.sql");
		create_schema("sql/sqlite/002_feeds.sql");
	}
	prepare_writes();
	start = now();
	commands[i].work(argv + 6);
	printf("%.6f\n", now() - start);
	sqlite3_finalize(insert_event);
	sqlite3_finalize(insert_host);
	sqlite3_finalize(update_host);
	sqlite3_finalize(insert_alias);
	sqlite3_finalize(insert_tag);
	sqlite3_close(db);
	return 0;
}
