-- What a dump and a restore ask the catalogue, so that neither names a table: a table added by a migration is in the next dump.
-- Statements that a restore executes are put together here, by format(), which knows how names are quoted.

-- Each table of ours with its columns in order; a generated column is computed again. A partitioned table is read as one.
-- name: list_tables
SELECT c.relname::text AS name,
       array_agg(a.attname::text ORDER BY a.attnum) AS columns,
       format('TRUNCATE TABLE %s', c.oid::regclass) AS empty,
       format('SELECT EXISTS (SELECT FROM %s)', c.oid::regclass) AS has_rows,
       format('ALTER TABLE %s DISABLE TRIGGER USER', c.oid::regclass) AS triggers_off,
       format('ALTER TABLE %s ENABLE TRIGGER USER', c.oid::regclass) AS triggers_on
FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
WHERE c.relnamespace = to_regnamespace(quote_ident(current_schema())) AND c.relkind IN ('r', 'p') AND NOT c.relispartition
GROUP BY c.oid
ORDER BY c.relname COLLATE "C";

-- NULL: never drawn from. Read after the rows of the snapshot, so that no row is ahead of its sequence.
-- name: list_sequences
SELECT sequencename::text AS name, last_value FROM pg_sequences WHERE schemaname = current_schema()
ORDER BY sequencename COLLATE "C";

-- One sequence, by its name.
-- name: set_sequence
SELECT setval(to_regclass(quote_ident($1)), $2);

-- Reads the catalogue, once a restore.
-- name: list_foreign_keys
SELECT format('ALTER TABLE %s DROP CONSTRAINT %I', conrelid::regclass, conname) AS drop_it,
       format('ALTER TABLE %s ADD CONSTRAINT %I %s', conrelid::regclass, conname, pg_get_constraintdef(oid)) AS make_it
FROM pg_constraint
WHERE contype = 'f' AND conparentid = 0 AND connamespace = to_regnamespace(quote_ident(current_schema()))
ORDER BY conrelid, conname;

-- A setting of the server; no table.
-- name: find_server_version
SELECT current_setting('server_version');

-- So that the first plans over the loaded rows are good ones.
-- name: analyze
ANALYZE;
