-- Leases: who has a claimed job, until when.

-- A job as who reports of it needs it, without its release. Relies on job's primary key.
-- name: find_held
SELECT j.id, j.agent_id, j.status, j.attempt, coalesce(j.deployment_id::text, '') AS deployment_id,
       coalesce(m.environment_id::text, '') AS environment_id, j.run_id, EXISTS (SELECT FROM task k WHERE k.job_id = j.id) AS is_task
FROM job j LEFT JOIN move m ON m.id = j.move_id
WHERE j.workspace_id = $1 AND j.id = $2;

-- Relies on job's primary key.
-- name: lock_held
SELECT id, status, handover, overran, attempt, lease_s, leased_until, leases_ended, heard_at, held_by, cancel_asked_at, cancel_reason, interlock_now() AS now
FROM job WHERE id = $1 FOR UPDATE;

-- One of those who claim a job at the same time goes on; the others need not wait for the locks that the claim takes.
-- name: try_claim
SELECT pg_try_advisory_xact_lock(hashtextextended($1, 5150));

-- Whoever has the job lives. Relies on job's primary key.
-- name: renew_lease
UPDATE job
SET heard_at = interlock_now(), observed_at = interlock_now(), lease_s = coalesce($2, lease_s), leased_until = interlock_now() + make_interval(secs => coalesce($2, lease_s))
WHERE id = $1
RETURNING leased_until, lease_s;

-- Nobody has it any more; a round judges it before anybody gets it. Relies on job's primary key.
-- name: offer_again
UPDATE job
SET status = 'pending', handover = 'waiting', message = $2, external_id = NULL, held_by = NULL, lease_s = NULL, leased_until = NULL,
    leases_ended = leases_ended + 1, handed_over_at = NULL, started_at = NULL, updated_at = interlock_now()
WHERE id = $1;

-- Relies on job's primary key.
-- name: count_lease
UPDATE job SET leases_ended = leases_ended + 1, leased_until = NULL WHERE id = $1;
