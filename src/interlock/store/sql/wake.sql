-- Whom a fact of many concerns: found by query over stored rows, after the fact's commit, those with jobs waiting to be handed over first.

-- Every live deployment of a workspace, a page after $2. Relies on deployment_name and job_waiting.
-- name: list_deployments_of_workspace
SELECT d.id, EXISTS (SELECT FROM job j WHERE j.workspace_id = d.workspace_id AND j.deployment_id = d.id
                     AND j.handover = 'waiting' AND j.status = 'pending') AS waits
FROM deployment d WHERE d.workspace_id = $1 AND d.deleted_at IS NULL
ORDER BY waits DESC, d.id;

-- The deployments of a workspace of which some target waits for a slot in a group that has fewer in flight now, or more targets, than its row
-- says; and those with slot groups whose round runs at this moment: its row is not there yet. Relies on deployment_name,
-- target_decision_waits_for_slot, slot's primary key and target_slot_of_key.
-- name: list_deployments_waiting_for_slots
WITH told AS MATERIALIZED (
    SELECT d.id, said.value -> 'values' ->> 'key' AS key, max((said.value -> 'values' ->> 'held')::bigint) AS held,
           min((said.value -> 'values' ->> 'size')::bigint) AS size
    FROM deployment d
    JOIN target_decision t ON t.deployment_id = d.id AND t.verdicts @> '[{"reason": "concurrency_full"}]'
    CROSS JOIN LATERAL jsonb_array_elements(t.verdicts) AS said
    WHERE d.workspace_id = $1 AND d.deleted_at IS NULL AND said.value ->> 'reason' = 'concurrency_full'
    GROUP BY d.id, said.value -> 'values' ->> 'key'
)
SELECT id, false AS waits FROM told
WHERE coalesce((SELECT sum(s.weight) FROM slot s WHERE s.workspace_id = $1 AND s.key = told.key), 0) < held
   OR (SELECT count(*) FROM target_slot o WHERE o.workspace_id = $1 AND o.key = told.key) > size
UNION
SELECT d.id, false FROM work w JOIN deployment d ON d.id::text = w.key
WHERE w.kind = 'round' AND w.workspace_id = $1 AND w.owner IS NOT NULL
  AND EXISTS (SELECT FROM target t JOIN target_slot s ON s.target_id = t.id WHERE t.deployment_id = d.id)
ORDER BY id;

-- The deployments that have a live rollout by failure domain with a target on one of the resources $2. Relies on target_of_resource,
-- rollout_one_open and primary keys.
-- name: list_deployments_by_domain
SELECT DISTINCT t.deployment_id AS id
FROM target t
JOIN rollout o ON o.deployment_id = t.deployment_id AND o.environment_id = t.environment_id AND o.state IN ('open', 'paused', 'halted')
JOIN policy_set s ON s.id = t.policy_set_id
JOIN policy p ON p.id = ANY (s.policy_ids)
JOIN policy_revision v ON v.id = p.revision_id
WHERE t.workspace_id = $1 AND t.resource_id = ANY ($2::uuid[]) AND t.state = 'attached'
  AND v.rules @? '$[*].gradualRollout.failureDomains'
ORDER BY id;

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
