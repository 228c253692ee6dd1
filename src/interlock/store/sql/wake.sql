-- Whom a fact of many concerns: found by query over stored rows, after the fact's commit, those with jobs waiting to be handed over first.

-- Every live deployment of a workspace, a page after $2. Relies on deployment_name and job_waiting.
-- name: list_deployments_of_workspace
SELECT d.id, EXISTS (SELECT FROM job j WHERE j.workspace_id = d.workspace_id AND j.deployment_id = d.id
                     AND j.handover = 'waiting' AND j.status = 'pending') AS waits
FROM deployment d WHERE d.workspace_id = $1 AND d.deleted_at IS NULL
ORDER BY waits DESC, d.id;

-- All live deployments. Relies on nothing: it runs once an hour.
-- name: list_all_deployments
SELECT id, workspace_id, wake_at FROM deployment WHERE deleted_at IS NULL ORDER BY id;

-- Whether somebody will look by himself: a round is due, runs, waits for its back-off or lies buried, where people see it; or a fact of many or
-- a match of its workspace ($2) is still on its way. Relies on work's primary key.
-- name: is_round_asked
SELECT EXISTS (SELECT FROM work WHERE kind = 'round' AND key = $1
               AND (buried_at IS NOT NULL OR owner IS NOT NULL OR backoff_until > interlock_now()
                    OR ready_at <= interlock_now() + interval '1 second'))
    OR EXISTS (SELECT FROM work WHERE kind IN ('wake', 'match') AND workspace_id = $2);
