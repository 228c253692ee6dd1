-- An answer that is still kept. Relies on kept_answer's primary key.
-- name: find_answer
SELECT request_digest, status, location, answer FROM kept_answer
WHERE principal_id = $1 AND key_digest = $2 AND until > interlock_now();

-- Take a key. Waits while another transaction holds it; no row: that one went through. One that is past its time is taken over.
-- name: take_key
INSERT INTO kept_answer AS kept (principal_id, key_digest, request_digest, until)
VALUES ($1, $2, $3, interlock_now() + make_interval(hours => $4))
ON CONFLICT (principal_id, key_digest) DO UPDATE
SET request_digest = excluded.request_digest, status = NULL, location = NULL, answer = NULL, until = excluded.until
WHERE kept.until <= interlock_now()
RETURNING principal_id;

-- Relies on kept_answer's primary key.
-- name: keep_answer
UPDATE kept_answer SET status = $3, location = $4, answer = $5 WHERE principal_id = $1 AND key_digest = $2;

-- Relies on kept_answer's primary key.
-- name: drop_key
DELETE FROM kept_answer WHERE principal_id = $1 AND key_digest = $2;

-- In batches. $1 is how many days longer than promised. Relies on kept_answer_until.
-- name: delete_old_answers
DELETE FROM kept_answer WHERE (principal_id, key_digest) IN (
    SELECT principal_id, key_digest FROM kept_answer WHERE until < interlock_now() - make_interval(days => $1)
    ORDER BY until LIMIT 1000 FOR UPDATE SKIP LOCKED
);
