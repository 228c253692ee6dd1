-- What one round writes: one statement a kind of row, whatever the number of rows. Arrays of one statement have the same length.

-- Locks, in the order that holds everywhere: the deployment, the workspace, slot groups by key.

-- The deployment first, then its workspace's rules: the row marks are taken in this order. Relies on primary keys.
-- name: lock_fences
SELECT d.fence, w.rules_fence
FROM deployment d JOIN workspace w ON w.id = d.workspace_id
WHERE d.id = $1
FOR UPDATE OF d FOR SHARE OF w;

-- name: ensure_slot_groups
INSERT INTO slot_group (workspace_id, key) SELECT $1, unnest($2::text[]) ON CONFLICT DO NOTHING;

-- Relies on slot_group's primary key; the order of keys keeps two rounds from waiting for each other.
-- name: lock_slot_groups
SELECT key FROM slot_group WHERE workspace_id = $1 AND key = ANY ($2::text[]) ORDER BY key FOR UPDATE;

-- Relies on slot's primary key.
-- name: count_slots
SELECT key, sum(weight)::bigint AS held FROM slot WHERE workspace_id = $1 AND key = ANY ($2::text[]) GROUP BY key;

-- name: take_slots
INSERT INTO slot (workspace_id, key, move_id, weight)
SELECT $1, * FROM unnest($2::text[], $3::uuid[], $4::int[]);

-- Relies on slot_of_move.
-- name: free_slots
DELETE FROM slot WHERE move_id = ANY ($1::uuid[]) RETURNING key;

-- name: insert_changes
INSERT INTO change (workspace_id, deployment_id, id, kind, version_id, config_digest, created_at)
SELECT $1, $2, n.*, $7 FROM unnest($3::uuid[], $4::text[], $5::uuid[], $6::text[]) AS n;

-- name: insert_rollouts
INSERT INTO rollout (workspace_id, deployment_id, id, change_id, environment_id, kind, version_id, state, opened_at, targets_at_open, tests_planned,
                     state_at)
SELECT $1, $2, n.*, $12
FROM unnest($3::uuid[], $4::uuid[], $5::uuid[], $6::text[], $7::uuid[], $8::text[], $9::timestamptz[], $10::int[], $11::int[]) AS n;

-- Relies on rollout's primary key.
-- name: add_tests
UPDATE rollout o SET tests_begun = o.tests_begun + n.tests FROM unnest($1::uuid[], $2::int[]) AS n(id, tests) WHERE o.id = n.id;

-- Relies on rollout's primary key.
-- name: set_rollout_states
UPDATE rollout o SET state = n.state, reason = n.reason, state_at = $4
FROM unnest($1::uuid[], $2::text[], $3::text[]) AS n(id, state, reason) WHERE o.id = n.id;

-- Relies on move's primary key.
-- name: end_moves
UPDATE move m SET state = n.state, reason = n.reason, closed_at = $4
FROM unnest($1::uuid[], $2::text[], $3::text[]) AS n(id, state, reason) WHERE m.id = n.id AND m.closed_at IS NULL;

-- Only jobs that nobody has. Relies on job's primary key.
-- name: withdraw_jobs
UPDATE job SET status = 'skipped', message = 'withdrawn before it was handed over', completed_at = $2, updated_at = $2, handover = 'waiting'
WHERE id = ANY ($1::uuid[])
  AND (status = 'pending' AND handover = 'waiting' OR status = 'queued');

-- Relies on move's primary key.
-- name: mark_verifying
UPDATE move SET state = 'verifying' WHERE id = ANY ($1::uuid[]) AND closed_at IS NULL;

-- NULL leaves what a target runs as it was; `desired` is written where it `goes` elsewhere. Relies on target's primary key.
-- name: set_where_targets_are
UPDATE target t
SET current_release_id = coalesce(n.current, t.current_release_id), good_release_id = coalesce(n.good, t.good_release_id),
    desired_version_id = CASE WHEN n.goes THEN n.desired ELSE t.desired_version_id END
FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::uuid[], $5::boolean[]) AS n(id, current, good, desired, goes) WHERE t.id = n.id;

-- name: upsert_landings
INSERT INTO landed (target_id, version_id, first_success_at, verified_at, left_at, renewed_at)
SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::timestamptz[], $4::timestamptz[], $5::timestamptz[], $6::timestamptz[])
ON CONFLICT (target_id, version_id) DO UPDATE
SET first_success_at = excluded.first_success_at, verified_at = excluded.verified_at, left_at = excluded.left_at,
    renewed_at = excluded.renewed_at;

-- name: insert_endings
INSERT INTO ended (target_id, version_id, status, first_at)
SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::timestamptz[])
ON CONFLICT DO NOTHING;

-- name: insert_quarantines
INSERT INTO quarantine (workspace_id, deployment_id, id, target_id, version_id, config_digest, move_id, set_at)
SELECT $1, $2, n.*, $8 FROM unnest($3::uuid[], $4::uuid[], $5::uuid[], $6::text[], $7::uuid[]) AS n;

-- name: insert_round
INSERT INTO round (id, workspace_id, deployment_id, at, fact_digests, engine_version, tzdata_version, policy_revisions)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8);

-- name: insert_decisions
INSERT INTO decision (workspace_id, deployment_id, round_id, at, id, subject, environment_id, version_id, kind, outcome, verdicts, digest, valid_until)
SELECT $1, $2, $3, $4, n.id, n.subject, n.environment_id, n.version_id, n.kind, n.outcome, n.verdicts::jsonb, n.digest, n.valid_until
FROM unnest($5::uuid[], $6::text[], $7::uuid[], $8::uuid[], $9::text[], $10::text[], $11::text[], $12::text[],
            $13::timestamptz[]) AS n(id, subject, environment_id, version_id, kind, outcome, verdicts, digest, valid_until)
ON CONFLICT (id) DO NOTHING;

-- `since` moves only with the content. Relies on target_decision's primary key.
-- name: upsert_target_decisions
INSERT INTO target_decision (deployment_id, since, target_id, kind, version_id, outcome, verdicts, decision_ids, digest, wake_at)
SELECT $1, $2, n.target_id, n.kind, n.version_id, n.outcome, n.verdicts::jsonb,
       n.decision_ids::uuid[], n.digest, n.wake_at
FROM unnest($3::uuid[], $4::text[], $5::uuid[], $6::text[], $7::text[], $8::text[], $9::text[], $10::timestamptz[])
     AS n(target_id, kind, version_id, outcome, verdicts, decision_ids, digest, wake_at)
ON CONFLICT (target_id) DO UPDATE
SET since = excluded.since, kind = excluded.kind, version_id = excluded.version_id, outcome = excluded.outcome, verdicts = excluded.verdicts,
    decision_ids = excluded.decision_ids, digest = excluded.digest, wake_at = excluded.wake_at;

-- name: insert_moves
INSERT INTO move (workspace_id, deployment_id, admitted_at, id, environment_id, target_id, rollout_id, change_id, kind, version_id,
                  from_release_id, to_release_id, undoes_move_id, decision_id, order_id, good_release_id)
SELECT $1, $2, $3, n.* FROM unnest($4::uuid[], $5::uuid[], $6::uuid[], $7::uuid[], $8::uuid[], $9::text[], $10::uuid[], $11::uuid[],
                                   $12::uuid[], $13::uuid[], $14::uuid[], $15::uuid[], $16::uuid[]) AS n;

-- Orders that the round itself gives: to go back.
-- name: insert_orders
INSERT INTO steering_order (workspace_id, deployment_id, created_at, id, target_id, kind, scope, version_id, release_id, change_id, starts, reason,
                            undoes_move_id, expires_at)
SELECT $1, $2, $3, n.* FROM unnest($4::uuid[], $5::uuid[], $6::text[], $7::text[], $8::uuid[], $9::uuid[], $10::uuid[], $11::text[], $12::text[],
                                   $13::uuid[], $14::timestamptz[]) AS n;

-- Relies on steering_order's primary key.
-- name: end_orders
UPDATE steering_order o SET state = n.state, end_reason = n.reason, ended_at = $4
FROM unnest($1::uuid[], $2::text[], $3::text[]) AS n(id, state, reason) WHERE o.id = n.id AND o.state = 'open';

-- Which move answers an order. Relies on steering_order's primary key.
-- name: link_orders
UPDATE steering_order o SET move_id = n.move_id FROM unnest($1::uuid[], $2::uuid[]) AS n(id, move_id) WHERE o.id = n.id;

-- A person was called for: said once. Relies on move's primary key.
-- name: mark_escalated
UPDATE move SET reason = 'escalated' WHERE id = ANY ($1::uuid[]) AND closed_at IS NULL;

-- The agent is the one that the release froze. Relies on move's and release's primary keys.
-- name: insert_jobs
INSERT INTO job (workspace_id, deployment_id, created_at, updated_at, id, target_id, move_id, release_id, agent_id, decision_id, retry_of, valid_until)
SELECT $1, $2, $3, $3, n.id, m.target_id, m.id, r.id, (r.snapshot #>> '{jobAgent,id}')::uuid, n.decision_id, n.retry_of, n.valid_until
FROM unnest($4::uuid[], $5::uuid[], $6::uuid[], $7::uuid[], $8::timestamptz[]) AS n(id, move_id, decision_id, retry_of, valid_until)
JOIN move m ON m.id = n.move_id
JOIN release r ON r.id = m.to_release_id;

-- Relies on job's primary key.
-- name: renew_jobs
UPDATE job j SET decision_id = n.decision_id, valid_until = n.valid_until
FROM unnest($1::uuid[], $2::uuid[], $3::timestamptz[]) AS n(id, decision_id, valid_until)
WHERE j.id = n.id AND (j.status IN ('pending', 'queued') OR j.status = 'actionRequired' AND j.confirm = 'granted')
  AND (j.decision_id, j.valid_until) IS DISTINCT FROM (n.decision_id, n.valid_until);

-- Relies on job's primary key.
-- name: keep_jobs
UPDATE job SET valid_until = NULL
WHERE id = ANY ($1::uuid[]) AND (status = 'pending' AND handover = 'waiting' OR status = 'actionRequired' AND confirm = 'granted')
  AND valid_until <= interlock_now()
RETURNING id::text;

-- Verifications with their metrics; the constraint between them is checked at the statement's end.
-- name: insert_verifications
WITH begun AS (
    INSERT INTO verification (workspace_id, deployment_id, subject_kind, started_at, id, subject_id, move_id, gates, again_s, hold_s, comes_to,
                              revokes)
    SELECT $1, $2, 'job', $3, n.*
    FROM unnest($4::uuid[], $5::uuid[], $6::uuid[], $15::boolean[], $16::float8[], $17::float8[], $18::text[], $19::boolean[]) AS n
)
INSERT INTO verification_metric (id, verification_id, position, name, spec, policy_id, next_at, alpha_share)
SELECT * FROM unnest($7::uuid[], $8::uuid[], $9::int[], $10::text[], $11::jsonb[], $12::uuid[], $13::timestamptz[], $14::float8[]);

-- The same for verifications of rollouts.
-- name: insert_proofs
WITH begun AS (
    INSERT INTO verification (workspace_id, deployment_id, started_at, id, subject_kind, subject_id, move_id, rollout_id, wave, lane, gates,
                              again_s, hold_s, comes_to, revokes)
    SELECT $1, $2, $3, n.*
    FROM unnest($4::uuid[], $5::text[], $6::uuid[], $7::uuid[], $8::uuid[], $9::int[], $10::text[], $19::boolean[], $20::float8[],
                $21::float8[], $22::text[], $23::boolean[]) AS n
)
INSERT INTO verification_metric (id, verification_id, position, name, spec, policy_id, next_at, alpha_share)
SELECT * FROM unnest($11::uuid[], $12::uuid[], $13::int[], $14::text[], $15::jsonb[], $16::uuid[], $17::timestamptz[], $18::float8[]);

-- name: insert_requests
INSERT INTO approval_request (workspace_id, deployment_id, opened_at, id, environment_id, version_id, change_id, minimum, why, shown, shown_digest,
                              approver_group, authors_excluded, lasts_s, config_digests)
SELECT $1, $2, $3, n.id, n.environment_id, n.version_id, n.change_id, n.minimum, n.why, n.shown, n.shown_digest, n.approver_group,
       n.authors_excluded, n.lasts_s, n.config_digests::text[]
FROM unnest($4::uuid[], $5::uuid[], $6::uuid[], $7::uuid[], $8::int[], $9::text[], $10::jsonb[], $11::text[], $12::text[], $13::boolean[],
            $14::float8[], $15::text[])
     AS n(id, environment_id, version_id, change_id, minimum, why, shown, shown_digest, approver_group, authors_excluded, lasts_s, config_digests);

-- Relies on job's primary key.
-- name: ask_cancel
UPDATE job j SET cancel_asked_at = $3, cancel_reason = n.reason, updated_at = $3
FROM unnest($1::uuid[], $2::text[]) AS n(id, reason)
WHERE j.id = n.id AND j.cancel_asked_at IS NULL AND j.completed_at IS NULL;

-- Planned runs that may be confirmed. Relies on job's primary key.
-- name: grant_confirms
UPDATE job j SET confirm = 'granted', confirm_at = $4, decision_id = n.decision_id, valid_until = n.valid_until, updated_at = $4
FROM unnest($1::uuid[], $2::uuid[], $3::timestamptz[]) AS n(id, decision_id, valid_until)
WHERE j.id = n.id AND j.status = 'actionRequired' AND j.confirm = 'asked' AND j.cancel_asked_at IS NULL;

-- Planned runs that are held again: nobody has confirmed them. Relies on job's primary key.
-- name: hold_confirms
UPDATE job SET confirm = 'asked', confirm_at = $2, updated_at = $2 WHERE id = ANY ($1::uuid[]) AND confirm = 'granted';

-- Planned runs that shall end: only while nobody has confirmed them. Relies on job's primary key.
-- name: discard_planned
UPDATE job j SET cancel_asked_at = $3, cancel_reason = n.reason, updated_at = $3
FROM unnest($1::uuid[], $2::text[]) AS n(id, reason)
WHERE j.id = n.id AND j.cancel_asked_at IS NULL AND j.status = 'actionRequired' AND j.confirm IN ('asked', 'granted');

-- What the round decided is decided. Relies on deployment's primary key.
-- name: finish_round
UPDATE deployment SET decided_fence = $2, decided_rules_fence = $3, decided_at = $4, wake_at = $5, round_ms = $6 WHERE id = $1;
