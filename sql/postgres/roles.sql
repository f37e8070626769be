-- Grants what a writer and a reader of a hoststore schema need, and no more. The schema's owner runs
-- it, after the first open has made the tables, and again after an upgrade:
--
--   psql -d hosts -v schema=hoststore -v writer=router -v reader=monitor -f roles.sql
--
-- Both roles exist already; they may be groups that others are members of. The writer can add events,
-- and can neither change nor remove one, nor disable the trigger that forbids it.
\set ON_ERROR_STOP on
BEGIN;

REVOKE ALL ON SCHEMA :"schema" FROM :"writer", :"reader";
REVOKE ALL ON ALL TABLES IN SCHEMA :"schema" FROM :"writer", :"reader";
GRANT USAGE ON SCHEMA :"schema" TO :"writer", :"reader";
GRANT SELECT ON ALL TABLES IN SCHEMA :"schema" TO :"writer", :"reader";
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA :"schema" TO :"writer", :"reader";

GRANT INSERT ON :"schema".events TO :"writer";
-- What is kept next to the log: it can be made anew out of it, or belongs to one user.
SELECT format('GRANT INSERT, UPDATE, DELETE ON %I.%I TO %I', schemaname, tablename, :'writer')
FROM pg_tables
WHERE schemaname = :'schema' AND tablename NOT IN ('events', 'schema_migrations')
\gexec

-- What an upgrade adds, until this is run again.
ALTER DEFAULT PRIVILEGES IN SCHEMA :"schema" GRANT SELECT ON TABLES TO :"reader";
ALTER DEFAULT PRIVILEGES IN SCHEMA :"schema" GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO :"writer";
ALTER DEFAULT PRIVILEGES IN SCHEMA :"schema" GRANT EXECUTE ON FUNCTIONS TO :"writer", :"reader";

COMMIT;
