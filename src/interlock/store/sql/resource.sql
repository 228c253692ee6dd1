-- Resources and their variables.

-- By resource_identifier.
-- name: find_resource
SELECT id, workspace_id, provider_id, identifier, name, kind, version, config, metadata, created_at, updated_at
FROM resource WHERE workspace_id = $1 AND identifier = $2 AND deleted_at IS NULL;

-- By resource_identifier; held until the transaction ends.
-- name: lock_resource
SELECT id, content_digest FROM resource WHERE workspace_id = $1 AND identifier = $2 AND deleted_at IS NULL FOR UPDATE;

-- By resource_kind, as list_resources.
-- name: count_resources
SELECT count(*) FROM resource r WHERE r.workspace_id = $1 AND r.deleted_at IS NULL AND (TRUE /* selector */);

-- In order of creation. A translated selector takes its place; then by resource_metadata or resource_kind, as it says.
-- name: list_resources
SELECT r.id, r.workspace_id, r.provider_id, r.identifier, r.name, r.kind, r.version, r.config, r.metadata, r.created_at, r.updated_at
FROM resource r WHERE r.workspace_id = $1 AND r.deleted_at IS NULL AND (TRUE /* selector */)
ORDER BY r.created_at, r.identifier COLLATE "C" LIMIT $2 OFFSET $3;

-- In the order last set. By provider_order's key and resource_of_provider.
-- name: list_resources_of_provider
SELECT r.id, r.workspace_id, r.provider_id, r.identifier, r.name, r.kind, r.version, r.config, r.metadata, r.created_at, r.updated_at
FROM resource r
LEFT JOIN (SELECT o.id, o.place FROM provider_order p, unnest(p.resource_ids) WITH ORDINALITY AS o (id, place) WHERE p.provider_id = $1) o
    ON o.id = r.id
WHERE r.provider_id = $1 AND r.deleted_at IS NULL
ORDER BY o.place, r.created_at, r.identifier COLLATE "C" LIMIT $2 OFFSET $3;

-- What had an identifier last and is gone. By resource_gone.
-- name: find_gone
SELECT id FROM resource WHERE workspace_id = $1 AND identifier = $2 AND deleted_at IS NOT NULL ORDER BY deleted_at DESC LIMIT 1;

-- By the primary key, in the order of the ids.
-- name: list_resources_by_ids
SELECT r.id, r.workspace_id, r.provider_id, r.identifier, r.name, r.kind, r.version, r.config, r.metadata, r.created_at, r.updated_at
FROM unnest($1::uuid[]) WITH ORDINALITY wanted (id, place)
JOIN resource r USING (id)
ORDER BY wanted.place;

-- OR within a filter, AND across them; NULL filters nothing. Metadata by resource_metadata, kinds by resource_kind.
-- name: count_search
SELECT count(*) FROM resource
WHERE workspace_id = $1 AND deleted_at IS NULL
  AND ($2::text[] IS NULL OR identifier = ANY($2))
  AND ($3::text[] IS NULL OR kind = ANY($3))
  AND ($4::text[] IS NULL OR version = ANY($4))
  AND ($5::text[] IS NULL OR provider_id::text = ANY($5))
  AND ($6::jsonb IS NULL OR metadata @> $6)
  AND ($7::text IS NULL OR name ILIKE $7 OR identifier ILIKE $7);

-- As count_search, sorted by one column and then the identifier. Filtered once for the page and the total; rows are read whole for the page alone.
-- name: search_resources
WITH found AS MATERIALIZED (
    SELECT id, identifier, CASE $8::text
                               WHEN 'name' THEN name
                               WHEN 'kind' THEN kind
                               WHEN 'updatedAt' THEN to_char(updated_at AT TIME ZONE 'UTC', 'YYYYMMDDHH24MISSUS')
                               ELSE to_char(created_at AT TIME ZONE 'UTC', 'YYYYMMDDHH24MISSUS')
                           END COLLATE "C" AS sort_key
    FROM resource
    WHERE workspace_id = $1 AND deleted_at IS NULL
      AND ($2::text[] IS NULL OR identifier = ANY($2))
      AND ($3::text[] IS NULL OR kind = ANY($3))
      AND ($4::text[] IS NULL OR version = ANY($4))
      AND ($5::text[] IS NULL OR provider_id::text = ANY($5))
      AND ($6::jsonb IS NULL OR metadata @> $6)
      AND ($7::text IS NULL OR name ILIKE $7 OR identifier ILIKE $7)
), page AS MATERIALIZED (
    SELECT id, row_number() OVER (ORDER BY CASE WHEN NOT $9::boolean THEN sort_key END,
                                           CASE WHEN $9::boolean THEN sort_key END DESC, identifier COLLATE "C") AS place
    FROM found
    ORDER BY CASE WHEN NOT $9::boolean THEN sort_key END, CASE WHEN $9::boolean THEN sort_key END DESC, identifier COLLATE "C"
    LIMIT $10 OFFSET $11
)
SELECT r.id, r.workspace_id, r.provider_id, r.identifier, r.name, r.kind, r.version, r.config, r.metadata, r.created_at, r.updated_at,
       (SELECT count(*) FROM found) AS total
FROM page JOIN resource r ON r.id = page.id
ORDER BY page.place;

-- One row an object of the list; nobody's.
-- name: insert_resources
INSERT INTO resource (id, workspace_id, identifier, name, kind, version, config, metadata, content_digest)
SELECT id, $2, identifier, name, kind, version, config, metadata, content_digest
FROM jsonb_to_recordset($1) AS sent (id uuid, identifier text, name text, kind text, version text, config jsonb, metadata jsonb, content_digest text);

-- One row an object of the list; a resource keeps the provider that it has.
-- name: update_resources
UPDATE resource r
SET name = sent.name, kind = sent.kind, version = sent.version, config = sent.config, metadata = sent.metadata,
    content_digest = sent.content_digest, updated_at = interlock_now()
FROM jsonb_to_recordset($1) AS sent (id uuid, name text, kind text, version text, config jsonb, metadata jsonb, content_digest text)
WHERE r.id = sent.id;

-- One row or its few, by the primary key.
-- name: delete_resources
UPDATE resource SET deleted_at = interlock_now(), updated_at = interlock_now()
WHERE id = ANY($1::uuid[]) AND deleted_at IS NULL;

-- By the primary key.
-- name: count_variables
SELECT count(*) FROM resource_variable WHERE resource_id = $1;

-- By the primary key.
-- name: list_variables
SELECT resource_id, key, value FROM resource_variable WHERE resource_id = $1 ORDER BY key COLLATE "C" LIMIT $2 OFFSET $3;

-- One row or its few, by the primary key.
-- name: delete_variables
DELETE FROM resource_variable WHERE resource_id = $1 AND NOT key = ANY($2::text[]);

-- One row or its few, by the primary key.
-- name: save_variables
INSERT INTO resource_variable (resource_id, key, value)
SELECT $1, key, value FROM jsonb_each($2)
ON CONFLICT (resource_id, key) DO UPDATE SET value = EXCLUDED.value;
