-- What SQLite says differently.

-- name: schema_version
PRAGMA user_version;

-- name: database_check
SELECT integrity_check
FROM pragma_integrity_check
WHERE integrity_check <> 'ok';
