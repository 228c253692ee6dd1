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
