-- What decisions rested on, by digest.

-- `last_used_at` is what retention looks at. Relies on blob's primary key.
-- name: store_blobs
INSERT INTO blob (digest, body) SELECT * FROM unnest($1::bytea[], $2::bytea[])
ON CONFLICT (digest) DO UPDATE SET last_used_at = interlock_now()
WHERE blob.last_used_at < interlock_now() - interval '1 day';

-- Relies on blob's primary key.
-- name: load_blobs
SELECT digest, body FROM blob WHERE digest = ANY ($1::bytea[]);

-- Relies on blob_last_used.
-- name: delete_old_blobs
DELETE FROM blob WHERE digest IN (SELECT digest FROM blob WHERE last_used_at < interlock_now() - make_interval(days => $1) LIMIT 5000);

-- Relies on round's primary key.
-- name: find_round
SELECT id, deployment_id, at, fact_digests, engine_version, tzdata_version FROM round WHERE id = $1;

-- What a round wrote down of what it decided. Relies on decision_of_deployment.
-- name: list_decisions_of_round
SELECT subject, digest FROM decision WHERE deployment_id = $1 AND round_id = $2 ORDER BY subject;
