-- Whom a fact of many concerns: found by query over stored rows, after the fact's commit, those with jobs waiting to be handed over first.

-- Every live deployment of a workspace, a page after $2. Relies on deployment_name and job_waiting.
-- name: list_deployments_of_workspace
SELECT d.id, EXISTS (SELECT FROM job j WHERE j.workspace_id = d.workspace_id AND j.deployment_id = d.id
                     AND j.handover = 'waiting' AND j.status = 'pending') AS waits
FROM deployment d WHERE d.workspace_id = $1 AND d.deleted_at IS NULL
ORDER BY waits DESC, d.id;

-- Deployments that a sweep has not looked at since $1. Relies on nothing: it runs once an hour.
-- name: list_all_deployments
SELECT id, workspace_id, wake_at, decided_fence = fence AS decided FROM deployment WHERE deleted_at IS NULL ORDER BY id;

-- What a round would find undone: a work item of the deployment tells that one is asked for already. Relies on work's primary key.
-- name: is_round_asked
SELECT EXISTS (SELECT FROM work WHERE kind = 'round' AND key = $1 AND buried_at IS NULL AND ready_at <= interlock_now() + interval '1 second');
