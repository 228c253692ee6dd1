-- Runs that were planned, and wait to be confirmed.

-- The confirm in one statement: the same conditions as a hand-over's. FOR SHARE waits for a freeze that is being written, so a freeze holds from
-- its commit. Relies on primary keys.
-- name: begin_confirm
WITH allowed AS MATERIALIZED (
    SELECT d.id
    FROM job j JOIN deployment d ON d.id = j.deployment_id JOIN workspace w ON w.id = j.workspace_id
    WHERE j.id = $1 AND d.decided_fence = d.fence AND d.decided_rules_fence = w.rules_fence AND w.deleted_at IS NULL
    FOR SHARE OF d, w
)
UPDATE job SET confirm = 'giving', confirm_at = interlock_now(), updated_at = interlock_now()
WHERE id = $1 AND status = 'actionRequired' AND confirm = 'granted' AND cancel_asked_at IS NULL
  AND (valid_until IS NULL OR interlock_now() < valid_until) AND EXISTS (SELECT FROM allowed)
RETURNING id;

-- The same for a job of a workflow's run, which the caller has just judged under the workspace's lock. Relies on job's primary key.
-- name: begin_run_confirm
UPDATE job SET confirm = 'giving', confirm_at = interlock_now(), updated_at = interlock_now()
WHERE id = $1 AND run_id IS NOT NULL AND status = 'actionRequired' AND confirm = 'granted' AND cancel_asked_at IS NULL
  AND EXISTS (SELECT FROM workspace w WHERE w.id = workspace_id AND w.deleted_at IS NULL)
RETURNING id;

-- What became of it. `confirm_at` stays when it was given: from then on its run's time counts. Relies on job's primary key.
-- name: settle_confirm
UPDATE job SET confirm = $2, confirm_at = CASE WHEN $2 = 'given' THEN confirm_at ELSE interlock_now() END, message = coalesce($3, message),
       updated_at = interlock_now()
WHERE id = $1 AND confirm = 'giving'
RETURNING id;

-- The instant of this transaction.
-- name: now
SELECT interlock_now();
