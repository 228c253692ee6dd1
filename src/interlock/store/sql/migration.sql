-- One process at a time; ends with the connection.
-- name: take_turn
SELECT pg_advisory_lock($1);

-- The one table that no migration makes.
-- name: create_schema_migration
CREATE TABLE IF NOT EXISTS schema_migration (
    version    integer PRIMARY KEY,
    name       text NOT NULL,
    digest     text NOT NULL,            -- SHA-256 of the file
    applied_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- A handful of rows, read whole.
-- name: list_migrations
SELECT version, name, digest FROM schema_migration ORDER BY version;

-- In the transaction of the migration itself.
-- name: insert_migration
INSERT INTO schema_migration (version, name, digest) VALUES ($1, $2, $3);
