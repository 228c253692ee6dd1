-- What a provider's set compares and writes.

-- Nobody else sets this provider as long as this connection holds it; it assigns no transaction number, so the ledger's horizon moves on.
-- name: take_turn
SELECT pg_try_advisory_lock(hashtextextended('sync:' || $1, 0));

-- The turn of this connection is over.
-- name: end_turn
SELECT pg_advisory_unlock(hashtextextended('sync:' || $1, 0));

-- Of the wanted identifiers $3 with their digests $4 those that are not there as they are wanted: unknown, changed, somebody else's or nobody's.
-- An unknown one is told with what had the identifier before. By resource_identifier and resource_gone.
-- name: compare_set
SELECT w.place::integer, r.id::text, r.provider_id::text, p.name AS provider, r.content_digest IS DISTINCT FROM w.digest AS differs,
       (SELECT g.id::text FROM resource g
        WHERE r.id IS NULL AND g.workspace_id = $1 AND g.identifier = w.identifier AND g.deleted_at IS NOT NULL
        ORDER BY g.deleted_at DESC LIMIT 1) AS formerly
FROM unnest($3::text[], $4::text[]) WITH ORDINALITY AS w (identifier, digest, place)
LEFT JOIN resource r ON r.workspace_id = $1 AND r.identifier = w.identifier AND r.deleted_at IS NULL
LEFT JOIN resource_provider p ON p.id = r.provider_id
WHERE r.id IS NULL OR r.provider_id IS DISTINCT FROM $2 OR r.content_digest <> w.digest
ORDER BY w.place;

-- What the provider $1 offers and does not want any more ($2 is what it wants). By resource_of_provider. NOT IN, because that is looked up
-- in a hash whatever the planner believes of a table that has just grown; an anti-join may become a loop over both (100,000 times 100,000).
-- name: list_unwanted
SELECT r.id::text, r.identifier FROM resource r
WHERE r.provider_id = $1 AND r.deleted_at IS NULL
  AND r.identifier NOT IN (SELECT unnest($2::text[]))
ORDER BY r.identifier COLLATE "C";

-- $4 holds of each [name, kind, version, config, metadata].
-- name: insert_offered
INSERT INTO resource (workspace_id, provider_id, id, identifier, name, kind, version, config, metadata, content_digest)
SELECT $1, $2, n.id, n.identifier, n.said ->> 0, n.said ->> 1, n.said ->> 2, n.said -> 3, n.said -> 4, n.digest
FROM unnest($3::uuid[], $4::jsonb[], $5::text[], $6::text[]) AS n (id, said, identifier, digest);

-- As insert_offered; only what is still this provider's, or nobody's. By the primary key.
-- name: update_offered
UPDATE resource r
SET provider_id = $1, name = n.said ->> 0, kind = n.said ->> 1, version = n.said ->> 2, config = n.said -> 3, metadata = n.said -> 4,
    content_digest = n.digest, updated_at = interlock_now()
FROM unnest($2::uuid[], $3::jsonb[], $4::text[]) AS n (id, said, digest)
WHERE r.id = n.id AND r.deleted_at IS NULL AND (r.provider_id IS NULL OR r.provider_id = $1)
RETURNING r.id::text;

-- Those that nobody offers, as they are. By the primary key.
-- name: adopt_offered
UPDATE resource SET provider_id = $1, updated_at = interlock_now() WHERE id = ANY ($2::uuid[]) AND provider_id IS NULL AND deleted_at IS NULL RETURNING id::text;

-- Those that are still this provider's. By the primary key.
-- name: delete_offered
UPDATE resource SET deleted_at = interlock_now(), updated_at = interlock_now()
WHERE id = ANY ($2::uuid[]) AND provider_id = $1 AND deleted_at IS NULL
RETURNING id::text;

-- Of those that were deleted. By the primary key.
-- name: delete_variables
DELETE FROM resource_variable v USING resource r WHERE v.resource_id = ANY ($1::uuid[]) AND r.id = v.resource_id AND r.deleted_at IS NOT NULL;

-- The order of the last set, in one row: a set that only turns things round rewrites no resource. By resource_identifier.
-- name: save_order
INSERT INTO provider_order (provider_id, resource_ids)
SELECT $2, coalesce(array_agg(r.id ORDER BY w.place), '{}')
FROM unnest($3::text[]) WITH ORDINALITY AS w (identifier, place)
JOIN resource r ON r.workspace_id = $1 AND r.identifier = w.identifier AND r.deleted_at IS NULL AND r.provider_id = $2
ON CONFLICT (provider_id) DO UPDATE SET resource_ids = excluded.resource_ids;

-- By the primary key.
-- name: find_synced
SELECT order_digest, contested FROM resource_provider WHERE id = $1;

-- By the primary key.
-- name: set_synced
UPDATE resource_provider SET order_digest = $2, contested = $3 WHERE id = $1;

-- What a provider offers or offered and a set touched since $2. By resource_all_of_provider.
-- name: list_touched
SELECT r.id::text FROM resource r WHERE r.provider_id = $1 AND r.updated_at >= $2 ORDER BY r.id;

-- What a provider offered and what still has targets: its set asked for a look that has not come yet. By resource_all_of_provider and
-- target_of_resource.
-- name: list_left
SELECT r.id FROM resource r
WHERE r.provider_id = $1 AND r.deleted_at IS NOT NULL
  AND EXISTS (SELECT FROM target t WHERE t.resource_id = r.id AND t.state = 'attached')
ORDER BY r.id LIMIT $2;

-- The instant of this transaction.
-- name: now
SELECT interlock_now();
