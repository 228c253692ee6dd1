-- What releases freeze.

-- What the releases of one round share, each as JSON: deployment $1, environments $2, versions $3, resolved configs $4. Relies on primary keys.
-- name: read_shared
SELECT 'deployment' AS kind, id::text AS key, to_jsonb(d) AS body FROM deployment d WHERE id = $1
UNION ALL SELECT 'environment', id::text, to_jsonb(e) FROM environment e WHERE id = ANY ($2::uuid[])
UNION ALL SELECT 'version', id::text, to_jsonb(v) FROM version v WHERE id = ANY ($3::uuid[])
UNION ALL SELECT 'config', digest, body FROM resolved_config WHERE digest = ANY ($4::text[]);

-- The resources of targets $1, ids as text: there are many. Relies on primary keys.
-- name: read_resources
SELECT t.id::text AS target_id, r.id::text, r.identifier, r.name, r.kind, r.version, r.config, r.metadata, r.provider_id::text, r.created_at
FROM target t JOIN resource r ON r.id = t.resource_id WHERE t.id = ANY ($1::uuid[]);

-- Where the variables of targets $1 come from, and of which config that is true. Relies on primary keys.
-- name: read_origins
SELECT t.id::text AS target_id, t.config_digest, o.body -> 'variables' AS variables
FROM target t JOIN variable_origin o ON o.digest = t.origin_digest WHERE t.id = ANY ($1::uuid[]);

-- One row a new move.
-- name: insert_releases
INSERT INTO release (workspace_id, id, target_id, version_id, config_digest, snapshot, snapshot_digest, created_at)
SELECT $1, n.*, $8 FROM unnest($2::uuid[], $3::uuid[], $4::uuid[], $5::text[], $6::jsonb[], $7::text[]) AS n;
