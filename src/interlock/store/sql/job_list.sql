-- The jobs of all agents together. Every condition whose value is NULL falls away when the statement is planned, and with it the join that it alone
-- needs; `plan_anew` makes PostgreSQL plan for the values at hand. Page and count have the same conditions.

-- This transaction's statements are planned for their values: without it, a list that is asked often would be planned once for all values.
-- name: plan_anew
SELECT set_config('plan_cache_mode', 'force_custom_plan', true);

-- Relies on job_newest; on job_open where only open ones are wanted, on job_of_deployment, job_of_agent and job_of_target where these narrow.
-- name: list_job_ids
SELECT j.id
FROM job j
LEFT JOIN move m ON m.id = j.move_id
LEFT JOIN version v ON v.id = m.version_id
LEFT JOIN target t ON t.id = j.target_id
LEFT JOIN resource x ON x.id = coalesce(t.resource_id, j.resource_id)
LEFT JOIN deployment d ON d.id = j.deployment_id
LEFT JOIN job_agent a ON a.id = j.agent_id
WHERE j.workspace_id = $1
  AND ($2::text[] IS NULL OR j.status = ANY ($2))
  AND ($3::uuid IS NULL OR j.agent_id = $3)
  AND ($4::text[] IS NULL OR a.type = ANY ($4))
  AND ($5::uuid IS NULL OR j.deployment_id = $5)
  AND ($6::uuid IS NULL OR m.environment_id = $6)
  AND ($7::uuid[] IS NULL OR j.target_id = ANY ($7) OR j.resource_id = $8::uuid)
  AND ($9::uuid IS NULL OR j.deployment_id IN (SELECT s.deployment_id FROM system_deployment s WHERE s.system_id = $9))
  AND ($10::text IS NULL OR v.tag = $10 OR v.id::text = $10)
  AND ($11::text IS NULL OR CASE $11 WHEN 'workflow' THEN j.run_id IS NOT NULL WHEN 'retry' THEN j.retry_of IS NOT NULL ELSE m.kind = $11 END)
  AND ($12::timestamptz IS NULL OR j.created_at >= $12)
  AND ($13::text IS NULL OR x.name ILIKE $13 OR x.identifier ILIKE $13 OR d.name ILIKE $13 OR v.tag ILIKE $13 OR a.name ILIKE $13
       OR j.message ILIKE $13 OR j.external_id ILIKE $13 OR j.id::text ILIKE $13)
ORDER BY j.created_at DESC, j.id DESC LIMIT $14 OFFSET $15;

-- Relies on the same indexes.
-- name: count_jobs
SELECT count(*)
FROM job j
LEFT JOIN move m ON m.id = j.move_id
LEFT JOIN version v ON v.id = m.version_id
LEFT JOIN target t ON t.id = j.target_id
LEFT JOIN resource x ON x.id = coalesce(t.resource_id, j.resource_id)
LEFT JOIN deployment d ON d.id = j.deployment_id
LEFT JOIN job_agent a ON a.id = j.agent_id
WHERE j.workspace_id = $1
  AND ($2::text[] IS NULL OR j.status = ANY ($2))
  AND ($3::uuid IS NULL OR j.agent_id = $3)
  AND ($4::text[] IS NULL OR a.type = ANY ($4))
  AND ($5::uuid IS NULL OR j.deployment_id = $5)
  AND ($6::uuid IS NULL OR m.environment_id = $6)
  AND ($7::uuid[] IS NULL OR j.target_id = ANY ($7) OR j.resource_id = $8::uuid)
  AND ($9::uuid IS NULL OR j.deployment_id IN (SELECT s.deployment_id FROM system_deployment s WHERE s.system_id = $9))
  AND ($10::text IS NULL OR v.tag = $10 OR v.id::text = $10)
  AND ($11::text IS NULL OR CASE $11 WHEN 'workflow' THEN j.run_id IS NOT NULL WHEN 'retry' THEN j.retry_of IS NOT NULL ELSE m.kind = $11 END)
  AND ($12::timestamptz IS NULL OR j.created_at >= $12)
  AND ($13::text IS NULL OR x.name ILIKE $13 OR x.identifier ILIKE $13 OR d.name ILIKE $13 OR v.tag ILIKE $13 OR a.name ILIKE $13
       OR j.message ILIKE $13 OR j.external_id ILIKE $13 OR j.id::text ILIKE $13);

-- The targets of a resource: its jobs are found by them. Relies on target_of_resource.
-- name: list_target_ids
SELECT id FROM target WHERE resource_id = $1;

-- The jobs of a page, with what is shown of each. Relies on primary keys and verification_of_subject.
-- name: list_jobs
SELECT j.id, j.status, j.message, j.external_id, j.links, j.metadata, j.agent_id, a.name AS agent_name, a.type AS agent_type,
       coalesce(j.release_id::text, '') AS release_id, coalesce(j.target_id::text, '') AS target_id, j.created_at, j.updated_at, j.started_at,
       j.completed_at, j.attempt, j.retry_of, j.held_by, j.heard_at, j.leased_until, greatest(j.observed_at, j.heard_at) AS observed_at,
       coalesce(j.move_id::text, '') AS move_id, coalesce(j.deployment_id::text, '') AS deployment_id, j.decision_id,
       coalesce(m.kind, 'workflow') AS move_kind, coalesce(m.environment_id::text, '') AS environment_id,
       coalesce(t.resource_id::text, j.resource_id::text, '') AS resource_id, j.run_id, coalesce(r.snapshot, j.context) AS snapshot, j.cancel_reason,
       (SELECT v.state FROM verification v WHERE v.subject_id = j.id ORDER BY v.started_at DESC LIMIT 1) AS verification,
       EXISTS (SELECT FROM task k WHERE k.job_id = j.id) AS is_task
FROM job j JOIN job_agent a ON a.id = j.agent_id
LEFT JOIN move m ON m.id = j.move_id LEFT JOIN release r ON r.id = j.release_id LEFT JOIN target t ON t.id = j.target_id
WHERE j.id = ANY ($1::uuid[])
ORDER BY j.created_at DESC, j.id DESC;

-- How many jobs of a workspace are in each status that is not over. Relies on job_open.
-- name: count_open
SELECT status, count(*) AS jobs FROM job
WHERE workspace_id = $1 AND status IN ('pending', 'queued', 'inProgress', 'actionRequired')
GROUP BY status;

-- The types of a workspace's agents, those that are gone too: their jobs are still there. By job_agent_name, else over all agents of a workspace.
-- name: list_agents
SELECT id, name, type FROM job_agent WHERE workspace_id = $1 AND deleted_at IS NULL ORDER BY name COLLATE "C";
