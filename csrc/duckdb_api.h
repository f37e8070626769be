/* duckdb_api.h -- the part of DuckDB's C interface that the driver uses.
 *
 * The packages that carry libduckdb.so have no header. These are the stable functions of the
 * interface, as https://duckdb.org/docs/stable/clients/c/api documents them, under our declarations. */
#ifndef DUCKDB_API_H
#define DUCKDB_API_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef uint64_t idx_t;
typedef struct duckdb_handle *duckdb_database, *duckdb_connection, *duckdb_config, *duckdb_prepared_statement,
	*duckdb_pending_result, *duckdb_appender, *duckdb_data_chunk, *duckdb_vector, *duckdb_error_data;

typedef enum { DUCKDB_SUCCESS, DUCKDB_ERROR } duckdb_state;

typedef enum {
	DUCKDB_TYPE_BOOLEAN = 1, DUCKDB_TYPE_TINYINT = 2, DUCKDB_TYPE_SMALLINT = 3, DUCKDB_TYPE_INTEGER = 4,
	DUCKDB_TYPE_BIGINT = 5, DUCKDB_TYPE_UTINYINT = 6, DUCKDB_TYPE_USMALLINT = 7, DUCKDB_TYPE_UINTEGER = 8,
	DUCKDB_TYPE_UBIGINT = 9, DUCKDB_TYPE_FLOAT = 10, DUCKDB_TYPE_DOUBLE = 11, DUCKDB_TYPE_HUGEINT = 16,
	DUCKDB_TYPE_VARCHAR = 17, DUCKDB_TYPE_DECIMAL = 19, DUCKDB_TYPE_UHUGEINT = 32,
} duckdb_type;

typedef enum { DUCKDB_STATEMENT_TYPE_SELECT = 1 } duckdb_statement_type;

/* What a statement gave: rows, or how many rows it has changed as if that were one. */
typedef enum { DUCKDB_RESULT_TYPE_QUERY_RESULT = 3 } duckdb_result_type;

/* Of what kind a failure is; there are more. */
typedef enum {
	DUCKDB_ERROR_INVALID = 0, DUCKDB_ERROR_TRANSACTION = 10, DUCKDB_ERROR_CONSTRAINT = 18, DUCKDB_ERROR_IO = 28,
	DUCKDB_ERROR_FATAL = 30,
} duckdb_error_type;

/* All but the last belong to interfaces that DuckDB has given up. */
typedef struct {
	idx_t old_numbers[3];
	void *old_columns;
	char *old_message;
	void *internal_data;
} duckdb_result;

/* Up to 12 bytes stand in the value itself. */
typedef struct {
	union {
		struct {
			uint32_t length;
			char prefix[4];
			char *ptr;
		} pointer;
		struct {
			uint32_t length;
			char inlined[12];
		} inlined;
	} value;
} duckdb_string_t;

struct duckdb_hugeint {
	uint64_t lower;
	int64_t upper;
};

const char *duckdb_library_version(void);
void duckdb_free(void *memory);

duckdb_state duckdb_create_config(duckdb_config *config);
duckdb_state duckdb_set_config(duckdb_config config, const char *name, const char *value);
void duckdb_destroy_config(duckdb_config *config);
/* *MESSAGE is to be freed with duckdb_free. */
duckdb_state duckdb_open_ext(const char *path, duckdb_database *database, duckdb_config config, char **message);
void duckdb_close(duckdb_database *database);
duckdb_state duckdb_connect(duckdb_database database, duckdb_connection *connection);
/* Ends what the connection runs, from another thread. */
void duckdb_interrupt(duckdb_connection connection);
void duckdb_disconnect(duckdb_connection *connection);

duckdb_state duckdb_query(duckdb_connection connection, const char *sql, duckdb_result *result);

duckdb_state duckdb_prepare(duckdb_connection connection, const char *sql, duckdb_prepared_statement *prepared);
const char *duckdb_prepare_error(duckdb_prepared_statement prepared);
void duckdb_destroy_prepare(duckdb_prepared_statement *prepared);
duckdb_statement_type duckdb_prepared_statement_type(duckdb_prepared_statement prepared);

/* Parameters are counted from 1. */
idx_t duckdb_nparams(duckdb_prepared_statement prepared);
duckdb_state duckdb_bind_int64(duckdb_prepared_statement prepared, idx_t index, int64_t value);
duckdb_state duckdb_bind_varchar_length(duckdb_prepared_statement prepared, idx_t index, const char *text,
					idx_t length);
duckdb_state duckdb_bind_double(duckdb_prepared_statement prepared, idx_t index, double value);
duckdb_state duckdb_bind_boolean(duckdb_prepared_statement prepared, idx_t index, bool value);
duckdb_state duckdb_bind_null(duckdb_prepared_statement prepared, idx_t index);

duckdb_state duckdb_pending_prepared(duckdb_prepared_statement prepared, duckdb_pending_result *pending);
/* The rows of its result come as they are fetched. */
duckdb_state duckdb_pending_prepared_streaming(duckdb_prepared_statement prepared, duckdb_pending_result *pending);
const char *duckdb_pending_error(duckdb_pending_result pending);
duckdb_state duckdb_execute_pending(duckdb_pending_result pending, duckdb_result *result);
void duckdb_destroy_pending(duckdb_pending_result *pending);

/* Many rows into a table at once, within the transaction of the connection. The values of a row in the order
 * of the columns; duckdb_appender_error_data is the last failure, to be destroyed. */
duckdb_state duckdb_appender_create(duckdb_connection connection, const char *schema, const char *table,
				    duckdb_appender *appender);
duckdb_error_data duckdb_appender_error_data(duckdb_appender appender);
duckdb_error_type duckdb_error_data_error_type(duckdb_error_data failure);
const char *duckdb_error_data_message(duckdb_error_data failure);
void duckdb_destroy_error_data(duckdb_error_data *failure);
duckdb_state duckdb_append_int64(duckdb_appender appender, int64_t value);
duckdb_state duckdb_append_varchar_length(duckdb_appender appender, const char *text, idx_t length);
duckdb_state duckdb_append_null(duckdb_appender appender);
duckdb_state duckdb_appender_end_row(duckdb_appender appender);
duckdb_state duckdb_appender_flush(duckdb_appender appender);
duckdb_state duckdb_appender_destroy(duckdb_appender *appender);

const char *duckdb_result_error(duckdb_result *result);
duckdb_error_type duckdb_result_error_type(duckdb_result *result);
duckdb_result_type duckdb_result_return_type(duckdb_result result);
idx_t duckdb_column_count(duckdb_result *result);
duckdb_type duckdb_column_type(duckdb_result *result, idx_t column);
/* NULL behind the last. */
duckdb_data_chunk duckdb_fetch_chunk(duckdb_result result);
void duckdb_destroy_result(duckdb_result *result);
idx_t duckdb_data_chunk_get_size(duckdb_data_chunk chunk);
void duckdb_destroy_data_chunk(duckdb_data_chunk *chunk);
duckdb_vector duckdb_data_chunk_get_vector(duckdb_data_chunk chunk, idx_t column);
void *duckdb_vector_get_data(duckdb_vector vector);
/* A bit for each row that is not NULL; NULL when none is. */
uint64_t *duckdb_vector_get_validity(duckdb_vector vector);

#endif
