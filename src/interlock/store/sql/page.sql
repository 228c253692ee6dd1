-- What the console's pages read: few statements a page, each over the whole set that the page shows.

-- The place in the feed up to which a page is true, and how many requests wait for a person (the newest of each deployment and
-- environment that is neither answered nor overtaken). Relies on ledger_order_workspace and approval_request_newest.
-- name: find_frame
SELECT coalesce((SELECT max(o.seq) FROM ledger_order o), 0) AS seq,
       (SELECT count(*)
        FROM (SELECT DISTINCT ON (r.deployment_id, r.environment_id) r.id, r.version_id, r.environment_id, r.minimum
              FROM approval_request r WHERE r.workspace_id = $1
              ORDER BY r.deployment_id, r.environment_id, r.opened_at DESC, r.id DESC) newest
        JOIN version v ON v.id = newest.version_id AND v.status = 'ready'
        CROSS JOIN LATERAL (
            SELECT count(*) FILTER (WHERE word.verdict = 'approved') AS approved, count(*) FILTER (WHERE word.verdict = 'rejected') AS rejected
            FROM (SELECT DISTINCT ON (a.principal_id) a.verdict
                  FROM approval a WHERE a.version_id = newest.version_id AND a.environment_id = newest.environment_id
                  ORDER BY a.principal_id, a.given_at DESC, a.id DESC) word) said
        WHERE said.rejected = 0 AND said.approved < newest.minimum) AS requests_open;

-- Freezes in force, or with $2 the newest $3 of all, with the names of what and who, and the systems of a frozen
-- deployment. Relies on freeze_in_force and primary keys.
-- name: list_freezes
SELECT f.id, f.scope_kind, f.scope_id, coalesce(s.name, e.name, d.name) AS scope_name, f.selector, f.reason, f.incident_url,
       p.name AS created_by, f.created_at, f.expires_at, f.thawed_at, t.name AS thawed_by, f.thaw_reason,
       f.thawed_at IS NULL AND (f.expires_at IS NULL OR f.expires_at > interlock_now()) AS in_force,
       ARRAY(SELECT l.system_id FROM system_deployment l WHERE l.deployment_id = d.id) AS system_ids
FROM "freeze" f
LEFT JOIN system s ON f.scope_kind = 'system' AND s.id = f.scope_id
LEFT JOIN environment e ON f.scope_kind = 'environment' AND e.id = f.scope_id
LEFT JOIN deployment d ON f.scope_kind = 'deployment' AND d.id = f.scope_id
LEFT JOIN principal p ON p.id = f.created_by
LEFT JOIN principal t ON t.id = f.thawed_by
WHERE f.workspace_id = $1
  AND ($2 OR (f.thawed_at IS NULL AND (f.expires_at IS NULL OR f.expires_at > interlock_now())))
ORDER BY f.created_at DESC, f.id LIMIT $3;

-- What can be frozen: systems, environments and deployments with the systems that each is in. Relies on system_of_workspace,
-- environment_name and deployment_name, then system_of_environment and system_of_deployment.
-- name: list_scopes
SELECT 'system' AS kind, s.id, s.name, ARRAY[s.id] AS system_ids FROM system s WHERE s.workspace_id = $1 AND s.deleted_at IS NULL
UNION ALL
SELECT 'environment', e.id, e.name, ARRAY(SELECT l.system_id FROM system_environment l WHERE l.environment_id = e.id)
FROM environment e WHERE e.workspace_id = $1 AND e.deleted_at IS NULL
UNION ALL
SELECT 'deployment', d.id, d.name, ARRAY(SELECT l.system_id FROM system_deployment l WHERE l.deployment_id = d.id)
FROM deployment d WHERE d.workspace_id = $1 AND d.deleted_at IS NULL
ORDER BY 1, 3, 2;

-- A page of deployments by name, with their systems. Relies on deployment_name and system_of_deployment.
-- name: list_deployments
SELECT d.id, d.name, d.description, d.decided_at, d.wake_at, count(*) OVER () AS total,
       ARRAY(SELECT s.name FROM system_deployment l JOIN system s ON s.id = l.system_id
             WHERE l.deployment_id = d.id AND s.deleted_at IS NULL ORDER BY s.name COLLATE "C") AS systems
FROM deployment d
WHERE d.workspace_id = $1 AND d.deleted_at IS NULL AND ($2::uuid IS NULL OR d.id = $2)
ORDER BY d.name COLLATE "C", d.id LIMIT $3 OFFSET $4;

-- The environments that share a system with one of these deployments, oldest first. Relies on system_of_deployment and
-- system_environment's key.
-- name: list_environments
SELECT e.id, e.name
FROM environment e
WHERE e.deleted_at IS NULL
  AND e.id IN (SELECT l.environment_id FROM system_deployment d JOIN system_environment l ON l.system_id = d.system_id
               WHERE d.deployment_id = ANY ($1::uuid[]))
ORDER BY e.created_at, e.id;

-- What runs where: targets by deployment, environment and version, newest version first; NULL runs nothing yet. `good` of them run a
-- release that proved itself. Relies on target's unique key (deployment first).
-- name: list_running
SELECT t.deployment_id, t.environment_id, v.id AS version_id, v.tag, count(*) AS targets,
       count(*) FILTER (WHERE t.good_release_id = t.current_release_id) AS good
FROM target t
LEFT JOIN release c ON c.id = t.current_release_id
LEFT JOIN version v ON v.id = c.version_id
WHERE t.deployment_id = ANY ($1::uuid[]) AND t.state = 'attached'
GROUP BY t.deployment_id, t.environment_id, v.id, v.tag, v.created_at
ORDER BY v.created_at DESC NULLS LAST, v.id DESC;

-- What waits and why: one line for each deployment, environment and version that targets would go to, with the verdicts of one of
-- them, the one that is looked at first. Relies on target_decision_of_deployment.
-- name: list_waiting
SELECT w.deployment_id, w.environment_id, w.version_id, v.tag, w.targets, q.outcome, q.verdicts, q.decision_ids, w.since, q.wake_at
FROM (SELECT t.deployment_id, t.environment_id, d.version_id, count(*) AS targets, min(d.since) AS since,
             (array_agg(d.target_id ORDER BY d.wake_at NULLS LAST, d.since, d.target_id))[1] AS target_id
      FROM target_decision d JOIN target t ON t.id = d.target_id
      WHERE d.deployment_id = ANY ($1::uuid[]) AND t.state = 'attached' AND d.outcome IN ('hold', 'unknown')
      GROUP BY t.deployment_id, t.environment_id, d.version_id) w
JOIN target_decision q ON q.target_id = w.target_id
LEFT JOIN version v ON v.id = w.version_id
ORDER BY v.created_at DESC NULLS LAST, w.version_id;

-- Rollouts that still govern their environment, with how far they are. `landed` counts targets on the version, less those that
-- are still verified there (they are in flight); for a config rollout the moves that succeeded. Relies on rollout_one_open, target's unique key and move_of_rollout.
-- name: list_rollouts
SELECT o.id, o.deployment_id, o.environment_id, o.change_id, o.kind, o.version_id, v.tag, o.state, o.reason, o.opened_at, o.state_at,
       held.targets, CASE WHEN o.kind = 'version' THEN greatest(held.on_version - gone.verifying, 0) ELSE gone.succeeded END AS landed, gone.in_flight, gone.failed
FROM rollout o
LEFT JOIN version v ON v.id = o.version_id
CROSS JOIN LATERAL (
    SELECT count(*) AS targets, count(*) FILTER (WHERE c.version_id = o.version_id) AS on_version
    FROM target t LEFT JOIN release c ON c.id = t.current_release_id
    WHERE t.deployment_id = o.deployment_id AND t.environment_id = o.environment_id AND t.state = 'attached') held
CROSS JOIN LATERAL (
    SELECT count(*) FILTER (WHERE m.closed_at IS NULL) AS in_flight, count(*) FILTER (WHERE m.state = 'succeeded') AS succeeded,
           count(*) FILTER (WHERE m.state = 'failed') AS failed,
           count(*) FILTER (WHERE m.closed_at IS NULL AND m.state = 'verifying') AS verifying
    FROM (SELECT DISTINCT ON (n.target_id) n.state, n.closed_at FROM move n
          WHERE n.rollout_id = o.id ORDER BY n.target_id, n.admitted_at DESC, n.id DESC) m) gone
WHERE o.deployment_id = ANY ($1::uuid[]) AND o.state IN ('open', 'paused', 'halted')
ORDER BY o.opened_at, o.id;

-- Targets of a deployment, at most $2 an environment: first those that move, then those that something holds. The last move by
-- move_of_target and its last job by job_of_move. Relies on target's unique key (deployment first).
-- name: list_targets
SELECT x.*, m.id AS move_id, m.kind AS move_kind, m.state AS move_state, m.id IS NOT NULL AND m.closed_at IS NULL AS move_open, m.rollout_id, m.reason AS move_reason,
       mv.tag AS move_tag, j.id AS job_id, j.status AS job_status
FROM (SELECT t.id, t.environment_id, t.resource_id, t.attached_at, t.agent_state, r.name AS resource, r.identifier,
             c.version_id AS current_version_id, v.tag AS current_tag, t.good_release_id = t.current_release_id AS current_good,
             q.outcome, q.kind AS wanted_kind, q.version_id AS wanted_version_id, w.tag AS wanted_tag,
             coalesce(q.verdicts, '[]'::jsonb) AS verdicts, coalesce(q.decision_ids, '{}') AS decision_ids, q.since, q.wake_at,
             count(*) OVER (PARTITION BY t.environment_id) AS total,
             row_number() OVER (PARTITION BY t.environment_id
                                ORDER BY o.id IS NULL, coalesce(q.outcome, '') = 'settled', r.name COLLATE "C", t.id) AS place
      FROM target t
      JOIN resource r ON r.id = t.resource_id
      LEFT JOIN release c ON c.id = t.current_release_id
      LEFT JOIN version v ON v.id = c.version_id
      LEFT JOIN move o ON o.target_id = t.id AND o.closed_at IS NULL
      LEFT JOIN target_decision q ON q.target_id = t.id
      LEFT JOIN version w ON w.id = q.version_id
      WHERE t.deployment_id = $1 AND t.state = 'attached') x
LEFT JOIN LATERAL (SELECT n.* FROM move n WHERE n.target_id = x.id ORDER BY n.admitted_at DESC, n.id DESC LIMIT 1) m ON true
LEFT JOIN version mv ON mv.id = m.version_id
LEFT JOIN LATERAL (SELECT k.id, k.status FROM job k WHERE k.move_id = m.id ORDER BY k.created_at DESC, k.id DESC LIMIT 1) j ON true
WHERE x.place <= $2
ORDER BY x.environment_id, x.place;

-- Versions of a deployment, newest first, with who made each. Relies on version_newest.
-- name: list_versions
SELECT v.id, v.tag, v.name, v.status, v.message, v.metadata, v.created_at, p.name AS author, count(*) OVER () AS total
FROM version v LEFT JOIN principal p ON p.id = v.author_id
WHERE v.deployment_id = $1
ORDER BY v.created_at DESC, v.id DESC LIMIT $2 OFFSET $3;

-- The newest request of each environment of these deployments, whatever became of it. Relies on approval_request_newest.
-- name: list_newest_requests
SELECT DISTINCT ON (r.deployment_id, r.environment_id) r.id, r.deployment_id, r.environment_id, r.version_id, v.tag, r.opened_at
FROM approval_request r JOIN version v ON v.id = r.version_id
WHERE r.workspace_id = $1 AND r.deployment_id = ANY ($2::uuid[])
ORDER BY r.deployment_id, r.environment_id, r.opened_at DESC, r.id DESC;

-- Who made a version: the owner of the key, and whom the version names. Relies on version's primary key.
-- name: find_authors
SELECT v.author_id, p.name AS author, v.metadata ->> 'interlock/author' AS named_author, v.metadata, v.created_at
FROM version v LEFT JOIN principal p ON p.id = v.author_id
WHERE v.id = $1;

-- The approval rules of a workspace's policies that are in force, with whether the author counts. Relies on policy_of_workspace.
-- name: list_approval_rules
SELECT p.name AS policy, rule -> 'anyApproval' AS params
FROM policy p
JOIN policy_revision v ON v.id = p.revision_id
CROSS JOIN LATERAL jsonb_array_elements(v.rules) rule
WHERE p.workspace_id = $1 AND p.deleted_at IS NULL AND p.enabled AND p.name = ANY ($2::text[]) AND jsonb_typeof(rule -> 'anyApproval') = 'object';

-- What stands around a job: its place in names, its move, its agent, who tried before and after. Relies on primary keys and job_of_move.
-- name: find_job_place
SELECT j.id, j.handover, j.handed_over_at, j.cancel_asked_at, j.cancel_reason, j.not_before, j.valid_until,
       a.id AS agent_id, a.name AS agent, a.type AS agent_type,
       d.id AS deployment_id, d.name AS deployment, e.name AS environment, r.name AS resource,
       m.state AS move_state, m.reason AS move_reason, m.rollout_id, v.id AS version_id, v.tag, f.tag AS from_tag,
       ARRAY(SELECT jsonb_build_object('id', k.id, 'status', k.status) FROM job k WHERE k.move_id = j.move_id ORDER BY k.created_at, k.id) AS tries
FROM job j
JOIN job_agent a ON a.id = j.agent_id
JOIN move m ON m.id = j.move_id
JOIN version v ON v.id = m.version_id
JOIN target t ON t.id = j.target_id
JOIN resource r ON r.id = t.resource_id
JOIN deployment d ON d.id = j.deployment_id
JOIN environment e ON e.id = m.environment_id
LEFT JOIN release c ON c.id = m.from_release_id
LEFT JOIN version f ON f.id = c.version_id
WHERE j.workspace_id = $1 AND j.id = $2;

-- Names of whatever ledger entries are about. Relies on the primary key of each table.
-- name: list_names
SELECT id, 'deployment' AS kind, name FROM deployment WHERE id = ANY ($1::uuid[])
UNION ALL SELECT id, 'environment', name FROM environment WHERE id = ANY ($1::uuid[])
UNION ALL SELECT id, 'system', name FROM system WHERE id = ANY ($1::uuid[])
UNION ALL SELECT id, 'version', tag FROM version WHERE id = ANY ($1::uuid[])
UNION ALL SELECT id, 'policy', name FROM policy WHERE id = ANY ($1::uuid[])
UNION ALL SELECT id, 'agent', name FROM job_agent WHERE id = ANY ($1::uuid[])
UNION ALL SELECT id, 'resource', name FROM resource WHERE id = ANY ($1::uuid[])
UNION ALL SELECT id, 'provider', name FROM resource_provider WHERE id = ANY ($1::uuid[])
UNION ALL SELECT id, 'principal', name FROM principal WHERE id = ANY ($1::uuid[])
UNION ALL SELECT id, 'workspace', name FROM workspace WHERE id = ANY ($1::uuid[])
UNION ALL SELECT t.id, 'target', r.name FROM target t JOIN resource r ON r.id = t.resource_id WHERE t.id = ANY ($1::uuid[]);
