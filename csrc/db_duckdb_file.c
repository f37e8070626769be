/* db_duckdb_file.c -- the files of DuckDB: opened once, made for their owner alone, written by one.
 *
 * DuckDB lets one process have a file open. Within this process all handles of a file share one
 * instance of it, and a writer holds a lock from its start, so that commits never conflict. What does
 * not fit into DuckDB's memory is refused, as it would be written where others may see it. */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "db_duckdb.h"

enum {
	PRIVATE = 0600,
	HEADERS_SIZE = 3 * 4096, BEGINNING = 2000,	/* of a file that is being made: bytes, milliseconds */
	FIRST_PAUSE = 20, LONGEST_PAUSE = 250,		/* milliseconds between two tries to open */
};

/* Those of files are in a list, so that a file is never opened twice: DuckDB would not notice within one
 * process, and the two would overwrite each other. */
struct hs_duck_instance {
	struct hs_duck_instance *next;
	dev_t device;
	ino_t inode;
	mode_t mode;			/* who may read and write the file, and so its write-ahead log */
	duckdb_database database;
	bool readonly;
	int users;
	struct hs_duck_session *writer;	/* who is in a write transaction */
	int64_t commits;
};

static struct hs_duck_instance *instances;
/* Guards the list: whoever opens or closes a file has it. */
static pthread_mutex_t opening = PTHREAD_MUTEX_INITIALIZER;
/* Guards what changes in an instance; `released` is told when a writer has ended. */
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t released = PTHREAD_COND_INITIALIZER;
/* Guards the umask, of which the process has one. */
static pthread_mutex_t masking = PTHREAD_MUTEX_INITIALIZER;

/* -- time ----------------------------------------------------------------------------------------------------- */

struct timespec hs_duck_in(int milliseconds)
{
	struct timespec end;

	clock_gettime(CLOCK_REALTIME, &end);
	end.tv_sec += milliseconds / 1000;
	end.tv_nsec += milliseconds % 1000 * 1000000L;
	if (end.tv_nsec >= 1000000000L) {
		end.tv_sec++;
		end.tv_nsec -= 1000000000L;
	}
	return end;
}

bool hs_duck_sleep(int64_t milliseconds)
{
	return nanosleep(&(struct timespec){milliseconds / 1000, (long)(milliseconds % 1000) * 1000000}, NULL) == 0;
}

/* -- the lock of the writer ----------------------------------------------------------------------------------- */

bool hs_duck_lock(struct hs_duck_session *session)
{
	struct hs_duck_instance *instance = session->instance;
	struct timespec end = hs_duck_in(session->busy_timeout);
	int failed = 0;
	bool taken;

	pthread_mutex_lock(&mutex);
	while (instance->writer && !failed)
		failed = pthread_cond_timedwait(&released, &mutex, &end);
	taken = !instance->writer;
	if (taken)
		instance->writer = session;
	pthread_mutex_unlock(&mutex);
	return taken;
}

void hs_duck_unlock(struct hs_duck_session *session, bool written)
{
	struct hs_duck_instance *instance = session->instance;

	pthread_mutex_lock(&mutex);
	instance->commits += written;
	if (instance->writer == session)
		instance->writer = NULL;
	pthread_cond_broadcast(&released);
	pthread_mutex_unlock(&mutex);
}

int64_t hs_duck_commits(struct hs_duck_session *session)
{
	int64_t commits;

	pthread_mutex_lock(&mutex);
	commits = session->instance->commits;
	pthread_mutex_unlock(&mutex);
	return commits;
}

/* -- files for their owner ------------------------------------------------------------------------------------ */

/* DuckDB makes its files for everybody that the umask lets. Until unmask they are made with MODE. */
static mode_t mask(mode_t mode)
{
	pthread_mutex_lock(&masking);
	return umask(0777 & ~mode);
}

static void unmask(mode_t before)
{
	umask(before);
	pthread_mutex_unlock(&masking);
}

enum hs_code hs_duck_commit(struct hs_duck_session *session, struct hs_error *err)
{
	mode_t before = mask(session->instance->mode);
	enum hs_code code = hs_duck_execute(session, "COMMIT", err);

	unmask(before);
	return code;
}

static void close_database(struct hs_duck_instance *instance)
{
	mode_t before = mask(instance->mode);

	duckdb_close(&instance->database);
	unmask(before);
}

/* -- opening ---------------------------------------------------------------------------------------------------- */

bool hs_duck_is_memory(const char *location)
{
	return strcmp(location, ":memory:") == 0;
}

/* No statement may reach what is outside the database, and none may change that. */
static bool configure(duckdb_config config, bool readonly)
{
	const char *const settings[][2] = {
		{"access_mode", readonly ? "READ_ONLY" : "READ_WRITE"}, {"temp_directory", ""},
		{"enable_external_access", "false"}, {"autoload_known_extensions", "false"},
		{"autoinstall_known_extensions", "false"}, {"lock_configuration", "true"},
	};

	for (size_t i = 0; i < sizeof settings / sizeof *settings; i++)
		if (duckdb_set_config(config, settings[i][0], settings[i][1]))
			return false;
	return true;
}

/* Who has the file, out of what DuckDB says of a lock: "Conflicting lock is held in PROGRAM (PID 7). See ..." */
static enum hs_code fail_locked(const struct hs_open *how, const char *message, struct hs_error *err)
{
	const char *who = strstr(message, "held in "), *stop = who ? strstr(who, ". See") : NULL;

	return hs_driver_fail(err, HS_BUSY, "'%s' is open in another process%s%.*s; DuckDB lets one at a time have it; gave "
			      "up after %d ms (busy_timeout)", how->location, stop ? ": " : "",
			      stop ? (int)(stop - who - 8) : 0, stop ? who + 8 : "", how->busy_timeout);
}

static bool says_damaged(const char *message)
{
	return strstr(message, "Corrupt database file") || strstr(message, "Corrupt WAL") ||
	       strstr(message, "not a valid DuckDB database file");
}

/* Of opening DuckDB has a message alone: no type, as it has of statements, and no number. */
static enum hs_code fail_open(const struct hs_open *how, const char *message, struct hs_error *err)
{
	if (strstr(message, "Could not set lock on file"))
		return fail_locked(how, message, err);
	if (says_damaged(message))
		return hs_driver_fail(err, HS_CORRUPT, "'%s' is no database of DuckDB, or damaged: %s", how->location,
				      message);
	return hs_driver_fail(err, hs_code_of_system(hs_duck_system_error(message), HS_CONNECTION),
			      "cannot open '%s': %s", how->location, message);
}

static enum hs_code open_once(const struct hs_open *how, struct hs_duck_instance *instance, struct hs_error *err)
{
	duckdb_config config = NULL;
	char *message = NULL;
	mode_t before = mask(instance->mode);
	enum hs_code code = HS_OK;

	if (duckdb_create_config(&config) || !configure(config, instance->readonly))
		code = hs_driver_fail(err, HS_UNSUPPORTED, "DuckDB %s cannot be used: it lacks a setting",
				      duckdb_library_version());
	else if (duckdb_open_ext(how->location, &instance->database, config, &message))
		code = fail_open(how, message ? message : "", err);
	unmask(before);
	duckdb_free(message);
	duckdb_destroy_config(&config);
	return code;
}

/* Whether the file has not even its headers, as one that another process is just making. */
static bool is_beginning(const struct hs_open *how)
{
	struct stat status;

	return stat(how->location, &status) == 0 && status.st_size < HEADERS_SIZE;
}

/* Another process may close the file soon, or have made it. */
static enum hs_code open_database(const struct hs_open *how, struct hs_duck_instance *instance, struct hs_error *err)
{
	int64_t start = hs_monotonic_ms(), pause = FIRST_PAUSE;

	for (;;) {
		enum hs_code code = open_once(how, instance, err);
		int64_t patience = code == HS_BUSY ? how->busy_timeout
			: code == HS_CORRUPT && is_beginning(how) ? BEGINNING : 0;
		int64_t left = start + patience - hs_monotonic_ms();

		if (left <= 0)
			return code;
		/* Not in step with others who wait. */
		pause = pause / 2 + getpid() % pause;
		hs_duck_sleep(left < pause ? left : pause);
		pause = pause * 2 < LONGEST_PAUSE ? pause * 2 + 2 : LONGEST_PAUSE;
	}
}

static enum hs_code check_file(const struct hs_open *how, bool *exists, struct stat *status, struct hs_error *err)
{
	*exists = stat(how->location, status) == 0;
	if (*exists && S_ISDIR(status->st_mode))
		return hs_driver_fail(err, HS_CONNECTION, "'%s' is a directory, not a database file", how->location);
	if (*exists)
		return HS_OK;
	if (errno != ENOENT && errno != ENOTDIR)
		return hs_driver_fail(err, HS_CONNECTION, "cannot open '%s': %s", how->location, strerror(errno));
	if (how->readonly || !how->create)
		return hs_driver_fail(err, HS_NOT_FOUND, "there is no database '%s'", how->location);
	return HS_OK;
}

static struct hs_duck_instance *find_instance(const struct stat *status)
{
	struct hs_duck_instance *instance = instances;

	while (instance && (instance->device != status->st_dev || instance->inode != status->st_ino))
		instance = instance->next;
	return instance;
}

/* Of a file that is there already FOUND says who may use it. */
static enum hs_code new_instance(const struct hs_open *how, const struct stat *found, struct hs_duck_instance **made,
				 struct hs_error *err)
{
	struct hs_duck_instance *instance = calloc(1, sizeof *instance);
	bool in_file = !hs_duck_is_memory(how->location);
	struct stat status;
	enum hs_code code;

	if (!instance)
		return hs_driver_no_memory(err);
	instance->readonly = how->readonly && in_file;
	instance->mode = found ? found->st_mode & 0666 : PRIVATE;
	code = open_database(how, instance, err);
	if (code) {
		free(instance);
		return code;
	}
	if (in_file && stat(how->location, &status) == 0) {
		instance->device = status.st_dev;
		instance->inode = status.st_ino;
		instance->next = instances;
		instances = instance;
	}
	*made = instance;
	return HS_OK;
}

/* Under `opening`: two threads must not open the same file. */
static enum hs_code get_instance(const struct hs_open *how, struct hs_duck_instance **found, struct hs_error *err)
{
	bool exists = false;
	struct hs_duck_instance *instance;
	struct stat status;
	enum hs_code code = hs_duck_is_memory(how->location) ? HS_OK : check_file(how, &exists, &status, err);

	if (code)
		return code;
	instance = exists ? find_instance(&status) : NULL;
	if (instance && instance->readonly && !how->readonly)
		return hs_driver_fail(err, HS_BUSY, "'%s' is open in this process to be read alone; close that handle first",
				      how->location);
	if (!instance)
		code = new_instance(how, exists ? &status : NULL, &instance, err);
	if (code)
		return code;
	instance->users++;
	*found = instance;
	return HS_OK;
}

static void leave_instance(struct hs_duck_instance *instance)
{
	pthread_mutex_lock(&opening);
	if (--instance->users == 0) {
		for (struct hs_duck_instance **link = &instances; *link; link = &(*link)->next) {
			if (*link == instance) {
				*link = instance->next;
				break;
			}
		}
		close_database(instance);
		free(instance);
	}
	pthread_mutex_unlock(&opening);
}

enum hs_code hs_duck_connect(const struct hs_open *how, struct hs_duck_session *session, struct hs_error *err)
{
	enum hs_code code;

	*session = (struct hs_duck_session){.location = strdup(how->location), .busy_timeout = how->busy_timeout,
		.readonly = how->readonly && !hs_duck_is_memory(how->location), .process = getpid()};
	if (!session->location)
		return hs_driver_no_memory(err);
	pthread_mutex_lock(&opening);
	code = get_instance(how, &session->instance, err);
	pthread_mutex_unlock(&opening);
	if (code == HS_OK && duckdb_connect(session->instance->database, &session->connection))
		code = hs_driver_fail(err, HS_CONNECTION, "cannot connect to '%s'", how->location);
	if (code)
		hs_duck_disconnect(session);
	return code;
}

void hs_duck_disconnect(struct hs_duck_session *session)
{
	if (session->connection)
		duckdb_disconnect(&session->connection);
	if (session->instance)
		leave_instance(session->instance);
	free(session->location);
	*session = (struct hs_duck_session){.location = NULL};
}
