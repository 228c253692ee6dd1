-- What one round loads: one query a fact kind, all in one snapshot. $1 is the deployment unless said otherwise.
--
-- Where there are many rows ids come as text: the driver reads text faster than our codec makes it.

-- One that was deleted has rounds until nothing of it is open. Relies on the primary keys of deployment and workspace, and on
-- move_open_of_deployment; `burns`, whether an incident that gates is open anywhere in the workspace, on incident_gating.
-- name: load_deployment
SELECT d.deleted_at IS NULL OR EXISTS (SELECT FROM move m WHERE m.deployment_id = d.id AND m.closed_at IS NULL) AS goes_on, interlock_now() AS now, d.id, d.workspace_id, d.name, d.supersede, d.generation, d.fence, d.decided_fence,
       d.decided_rules_fence, w.rules_fence, w.policies_fence = w.policies_matched AS policies_matched,
       EXISTS (SELECT FROM incident i WHERE i.workspace_id = w.id AND i.gates AND i.resolved_at IS NULL AND i.expires_at > interlock_now()) AS burns,
       d.metadata ->> 'interlock/tier' AS tier
FROM deployment d JOIN workspace w ON w.id = d.workspace_id
WHERE d.id = $1;

-- The environments that share a system with the deployment. Relies on system_deployment's key and system_of_environment.
-- name: load_environments
SELECT e.id, e.name, e.description, e.metadata, e.workspace_id, e.created_at, e.resource_selector,
       array_agg(se.system_id ORDER BY se.system_id) AS system_ids
FROM system_environment se JOIN environment e ON e.id = se.environment_id
WHERE se.system_id IN (SELECT system_id FROM system_deployment WHERE deployment_id = $1) AND e.deleted_at IS NULL
GROUP BY e.id;

-- The newest $2 versions, and those that a target, pin, order, move or live rollout names. `concerned` are those whose history a round may
-- look at: those that some target may still take, that move, are pinned or run, the one that somebody asks about ($3: a tag or an id), or all ($4). Relies on version_newest, version_dependency's key and target's unique
-- key (deployment first).
-- name: load_versions
WITH attached AS MATERIALIZED (
    SELECT mark_version_id, current_release_id, good_release_id FROM target WHERE deployment_id = $1 AND state = 'attached'
), moving AS MATERIALIZED (
    SELECT DISTINCT version_id AS id FROM move WHERE deployment_id = $1 AND closed_at IS NULL
), oldest AS MATERIALIZED (
    SELECT v.created_at, v.id FROM version v
    WHERE v.id IN (SELECT mark_version_id FROM attached) AND NOT EXISTS (SELECT FROM attached WHERE mark_version_id IS NULL)
    ORDER BY v.created_at, v.id LIMIT 1
), named AS (
    SELECT mark_version_id AS id FROM attached
    UNION SELECT version_id FROM release WHERE id IN (SELECT current_release_id FROM attached UNION SELECT good_release_id FROM attached)
    UNION SELECT version_id FROM pin WHERE deployment_id = $1 AND removed_at IS NULL
    UNION SELECT version_id FROM steering_order WHERE deployment_id = $1 AND state = 'open'
    UNION SELECT id FROM moving
    UNION SELECT version_id FROM rollout WHERE deployment_id = $1 AND state IN ('open', 'paused', 'halted')
    UNION (SELECT id FROM version WHERE deployment_id = $1 ORDER BY created_at DESC, id DESC LIMIT $2)
    UNION SELECT id FROM version WHERE deployment_id = $1 AND $3::text IS NOT NULL AND (tag = $3 OR id::text = $3)
), going AS MATERIALIZED (
    SELECT id FROM moving
    UNION SELECT version_id FROM pin WHERE deployment_id = $1 AND removed_at IS NULL
    UNION SELECT version_id FROM release WHERE id IN (SELECT current_release_id FROM attached)
)
SELECT v.id, v.tag, v.name, v.status, v.created_at, v.metadata, v.message, v.author_id, c.id AS change_id,
       (SELECT p.id FROM principal p WHERE p.name = v.metadata ->> 'interlock/author') AS named_author_id,
       coalesce((SELECT (v.created_at, v.id) >= (o.created_at, o.id) FROM oldest o), true) OR v.id IN (SELECT id FROM going)
           OR coalesce(v.tag = $3 OR v.id::text = $3, false) OR $4 AS concerned,
       (SELECT jsonb_agg(jsonb_build_array(n.deployment_id, n.version_selector, n.environments = 'all') ORDER BY n.deployment_id)
        FROM version_dependency n WHERE n.version_id = v.id) AS dependencies
FROM named JOIN version v ON v.id = named.id JOIN change c ON c.version_id = v.id AND c.kind = 'version';

-- Attached targets, and those that left and still count: something of theirs runs, a live rollout has them, or one of the versions $2 landed
-- on them or ended there otherwise. Relies on target's unique key (deployment first), move_open_of_deployment, rollout_one_open, landed_of_version and ended_of_version.
-- name: load_targets
SELECT t.id::text, t.environment_id::text, t.resource_id::text, t.state, t.attached_at, t.detached_at, t.policy_set_id::text, t.agent_state,
       t.config_digest, t.desired_version_id::text, t.mark_version_id::text, t.last_started_at, r.name AS resource_name,
       c.id::text AS current_id, c.version_id::text AS current_version_id, c.config_digest AS current_config_digest,
       g.id::text AS good_id, g.version_id::text AS good_version_id, g.config_digest AS good_config_digest
FROM target t
JOIN resource r ON r.id = t.resource_id
LEFT JOIN release c ON c.id = t.current_release_id
LEFT JOIN release g ON g.id = t.good_release_id
WHERE t.deployment_id = $1
  AND (t.state = 'attached'
       OR t.id IN (SELECT target_id FROM move WHERE deployment_id = $1 AND closed_at IS NULL)
       OR t.id IN (SELECT target_id FROM landed WHERE version_id = ANY ($2::uuid[]))
       OR t.id IN (SELECT target_id FROM ended WHERE version_id = ANY ($2::uuid[]))
       OR t.detached_at > (SELECT min(o.opened_at) FROM rollout o
                            WHERE o.deployment_id = $1 AND o.state IN ('open', 'paused', 'halted')));

-- $1 are the policy sets of the targets. Relies on primary keys.
-- name: load_policies
SELECT s.set_ids, p.id, p.name, v.id AS revision_id, v.mode, v.rules,
       (SELECT coalesce(jsonb_object_agg(f.rule_id, to_char(f.first_stored_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')), '{}')
        FROM policy_rule f WHERE f.policy_id = p.id) AS first_stored
FROM (SELECT policy_id, array_agg(set_id ORDER BY set_id) AS set_ids
      FROM (SELECT id AS set_id, unnest(policy_ids) AS policy_id FROM policy_set WHERE id = ANY ($1::uuid[])) AS members
      GROUP BY policy_id) AS s
JOIN policy p ON p.id = s.policy_id AND p.enabled AND p.deleted_at IS NULL
JOIN policy_revision v ON v.id = p.revision_id;

-- Slot groups: those of each attached target, how many attached targets each has, what others hold of it, and what each open move holds. The
-- groups come as an array, whatever their number, because nobody can guess how many there are. Relies on target's unique key (deployment
-- first), target_slot's primary key, target_slot_of_key, slot's primary key and move_open_of_deployment.
-- name: load_slots
WITH mine AS MATERIALIZED (
    SELECT s.* FROM target t JOIN target_slot s ON s.target_id = t.id WHERE t.deployment_id = $1 AND t.state = 'attached'
)
SELECT 'target' AS of, target_id::text AS id, policy_id::text, rule_id, key, why, NULL::bigint AS count FROM mine
UNION ALL
SELECT 'size', NULL, NULL, NULL, key, NULL, count(*) FROM target_slot
WHERE workspace_id = $2 AND key = ANY (ARRAY(SELECT DISTINCT key FROM mine WHERE key IS NOT NULL)) GROUP BY key
UNION ALL
SELECT 'held', NULL, NULL, NULL, s.key, NULL, sum(s.weight)::bigint FROM slot s JOIN move m ON m.id = s.move_id
WHERE s.workspace_id = $2 AND s.key = ANY (ARRAY(SELECT DISTINCT key FROM mine WHERE key IS NOT NULL)) AND m.deployment_id <> $1 GROUP BY s.key
UNION ALL
SELECT 'move', m.id::text, NULL, NULL, s.key, NULL, NULL
FROM move m JOIN slot s ON s.move_id = m.id WHERE m.deployment_id = $1 AND m.closed_at IS NULL;

-- Live rollouts, and any of the loaded versions ($2), each with the latest word on every part of its pace; live ones with their proofs (that one
-- had passed stands while it is measured again). Relies on rollout_of_deployment, steering_of_rollout, verification_of_rollout and verification_metric's unique key.
-- name: load_rollouts
SELECT o.id, o.change_id, o.environment_id, o.kind, o.version_id, o.state, o.opened_at, o.targets_at_open, o.failures_forgiven,
       o.paused_until, o.tests_planned, o.tests_begun, s.interval_s, s.max_in_flight, s.bake_s, s.promoted_at,
       (SELECT jsonb_agg(jsonb_build_array(v.id, v.wave, v.lane, CASE WHEN v.passed_at IS NULL THEN v.state ELSE 'passed' END,
                                           coalesce(v.ended_at, v.passed_at), v.message, v.forgiven_at IS NOT NULL,
                                           (SELECT jsonb_agg(x.name ORDER BY x.position) FROM verification_metric x WHERE x.verification_id = v.id)))
        FROM verification v WHERE v.rollout_id = o.id AND o.state IN ('open', 'paused', 'halted')) AS proofs
FROM rollout o
CROSS JOIN LATERAL (
    SELECT (array_agg(interval_s ORDER BY at DESC, id DESC) FILTER (WHERE interval_s IS NOT NULL))[1] AS interval_s,
           (array_agg(max_in_flight ORDER BY at DESC, id DESC) FILTER (WHERE max_in_flight IS NOT NULL))[1] AS max_in_flight,
           (array_agg(bake_s ORDER BY at DESC, id DESC) FILTER (WHERE bake_s IS NOT NULL))[1] AS bake_s,
           min(at) FILTER (WHERE step = 'promote') AS promoted_at
    FROM rollout_steering WHERE rollout_id = o.id) s
WHERE o.deployment_id = $1 AND (o.state IN ('open', 'paused', 'halted') OR o.version_id = ANY ($2::uuid[]));

-- Of the metadata of its targets' resources just the keys $2, where they have one of them; of the targets that left those in $3. Asked only
-- when a failure domain names a key. Relies on target's unique key (deployment first).
-- name: load_labels
SELECT t.id::text AS target_id, l.labels
FROM target t
JOIN resource r ON r.id = t.resource_id
CROSS JOIN LATERAL (SELECT jsonb_object_agg(k, r.metadata ->> k) AS labels FROM unnest($2::text[]) k WHERE r.metadata ? k) l
WHERE t.deployment_id = $1 AND (t.state = 'attached' OR t.id = ANY ($3::uuid[])) AND l.labels IS NOT NULL;

-- How many samples there are of each move of a live rollout: measurements that passed or failed, and every look of a metric that compares. Asked only when a rule wants samples. Relies on rollout_one_open,
-- move_of_rollout, verification_of_move and the unique keys of verification_metric and measurement.
-- name: load_samples
SELECT m.id::text AS move_id, sum((x.progress ->> 'passed')::integer + (x.progress ->> 'failed')::integer
           + CASE WHEN jsonb_typeof(x.spec -> 'compare') = 'object' THEN (x.progress ->> 'inconclusive')::integer ELSE 0 END)::integer AS samples
FROM move m
JOIN verification v ON v.move_id = m.id AND v.rollout_id IS NULL
JOIN verification_metric x ON x.verification_id = v.id AND x.progress IS NOT NULL
WHERE m.rollout_id IN (SELECT id FROM rollout WHERE deployment_id = $1 AND state IN ('open', 'paused', 'halted'))
GROUP BY m.id;

-- Where the error budgets of the objectives stand that cover the deployment. Asked only when a rule reads them. Relies on
-- slo_cover_of_deployment.
-- name: load_budgets
SELECT s.id::text AS slo_id, s.name, s.budget, s.why, s.since, s.observed_at, s.fresh_until, s.remaining, s.burn, s.firing
FROM slo_cover c JOIN slo s ON s.id = c.slo_id WHERE c.deployment_id = $1;

-- Open moves, all moves of live rollouts, and those for a pin since the oldest pin in force.
-- Relies on move_open_of_deployment, move_of_rollout and move_for_pin.
-- name: load_moves
SELECT m.id::text, m.target_id::text, m.environment_id::text, m.rollout_id::text, m.change_id::text, m.kind, m.version_id::text, m.state,
       m.decision_id::text, m.admitted_at, m.started_at, m.closed_at, m.reason, m.undoes_move_id::text, m.order_id::text,
       t.id::text AS to_id, t.version_id::text AS to_version_id, t.config_digest AS to_config_digest,
       f.id::text AS from_id, f.version_id::text AS from_version_id, f.config_digest AS from_config_digest,
       g.id::text AS good_id, g.version_id::text AS good_version_id, g.config_digest AS good_config_digest
FROM (SELECT * FROM move WHERE deployment_id = $1 AND closed_at IS NULL
      UNION
      SELECT * FROM move WHERE rollout_id IN (SELECT id FROM rollout
                                              WHERE deployment_id = $1 AND state IN ('open', 'paused', 'halted'))
      UNION
      SELECT * FROM move WHERE deployment_id = $1 AND kind = 'pin'
          AND admitted_at >= (SELECT min(created_at) FROM pin WHERE deployment_id = $1 AND removed_at IS NULL
                              AND (expires_at IS NULL OR expires_at > interlock_now()))) AS m
JOIN release t ON t.id = m.to_release_id
LEFT JOIN release f ON f.id = m.from_release_id
LEFT JOIN release g ON g.id = m.good_release_id;

-- The jobs and verifications of open moves, oldest first. Relies on move_open_of_deployment, job_of_move and verification_of_move.
-- name: load_steps
SELECT true AS is_job, j.id::text, j.move_id::text, j.status AS state, j.handover, NULL AS job_id, j.created_at AS began_at,
       j.completed_at AS ended_at, j.cancel_asked_at IS NOT NULL AS cancel_asked, j.message, j.confirm, NULL::timestamptz AS held_until
FROM move m JOIN job j ON j.move_id = m.id
WHERE m.deployment_id = $1 AND m.closed_at IS NULL
UNION ALL
SELECT false, v.id::text, v.move_id::text, v.state, NULL, v.subject_id::text, v.started_at, v.ended_at, false, v.message, NULL, v.held_until
FROM move m JOIN verification v ON v.move_id = m.id
WHERE m.deployment_id = $1 AND m.closed_at IS NULL AND v.subject_kind = 'job'
ORDER BY began_at, id;

-- What targets did with the versions $1, whether they are still attached or count as having left: a row with the instants of its successes,
-- and one for each other status in which a job ended. Relies on landed_of_version and ended_of_version.
-- name: load_landed
SELECT target_id::text, version_id::text, NULL AS status, first_success_at AS first_at, verified_at, left_at, renewed_at
FROM landed WHERE version_id = ANY ($1::uuid[])
UNION ALL
SELECT target_id::text, version_id::text, status, first_at, NULL, NULL, NULL FROM ended WHERE version_id = ANY ($1::uuid[]);

-- The requests about the versions $1, and the latest word of each person on them, with the groups that the person is in. Relies on
-- approval_request_of_version, approval_of_version and group_member_of_principal.
-- name: load_answers
SELECT id AS request_id, NULL::uuid AS version_id, NULL::uuid AS environment_id, NULL::uuid AS principal_id, NULL AS name, NULL AS verdict,
       NULL::timestamptz AS given_at, NULL::text[] AS groups, NULL::text[] AS config_digests
FROM approval_request WHERE version_id = ANY ($1::uuid[])
UNION ALL
SELECT NULL::uuid, latest.version_id, latest.environment_id, latest.principal_id, latest.name, latest.verdict, latest.given_at,
       ARRAY(SELECT g.name FROM group_member m JOIN principal_group g ON g.id = m.group_id
             WHERE m.principal_id = latest.principal_id AND g.workspace_id = latest.workspace_id ORDER BY g.name COLLATE "C"),
       latest.config_digests
FROM (
    SELECT DISTINCT ON (a.version_id, a.environment_id, a.principal_id, q.config_digests)
           a.workspace_id, a.version_id, a.environment_id, a.principal_id, p.name, a.verdict, a.given_at, q.config_digests
    FROM approval a JOIN principal p ON p.id = a.principal_id LEFT JOIN approval_request q ON q.id = a.request_id
    WHERE a.version_id = ANY ($1::uuid[])
    ORDER BY a.version_id, a.environment_id, a.principal_id, q.config_digests, a.given_at DESC, a.id DESC) AS latest
WHERE verdict IN ('approved', 'rejected');

-- Freezes in force that concern the deployment; `environment_ids` is NULL where all environments are meant. Relies on freeze_in_force.
-- name: load_freezes
SELECT f.id, f.scope_kind, f.selector, f.reason, f.created_at, f.expires_at, coalesce(p.name, 'system') AS created_by,
       CASE f.scope_kind
           WHEN 'environment' THEN ARRAY[f.scope_id]
           WHEN 'system' THEN ARRAY(SELECT environment_id FROM system_environment WHERE system_id = f.scope_id)
       END AS environment_ids
FROM deployment d
JOIN "freeze" f ON f.workspace_id = d.workspace_id
LEFT JOIN principal p ON p.id = f.created_by
WHERE d.id = $1 AND f.thawed_at IS NULL AND (f.expires_at IS NULL OR f.expires_at > interlock_now())
  AND (f.scope_kind IN ('workspace', 'environment') OR f.scope_id = d.id
       OR f.scope_kind = 'system' AND f.scope_id IN (SELECT system_id FROM system_deployment WHERE deployment_id = d.id));

-- The open incidents that gate and are about one of the deployments $2, in the workspace $1; each with those of them. Relies on
-- incident_gating and incident_deployment's key.
-- name: load_incidents
SELECT i.id, i.source, i.title, i.severity, i.opened_at, i.expires_at, i.environment_ids,
       array_agg(d.deployment_id ORDER BY d.deployment_id) AS deployment_ids
FROM incident i JOIN incident_deployment d ON d.incident_id = i.id AND d.deployment_id = ANY ($2::uuid[])
WHERE i.workspace_id = $1 AND i.gates AND i.resolved_at IS NULL AND i.expires_at > interlock_now()
GROUP BY i.id;

-- Pins, skips and quarantines in force, each with its columns as JSON. Relies on pin_in_force, skip_in_force, quarantine_in_force.
-- name: load_overrides
SELECT 'pin' AS kind, o.id, o.version_id, o.environment_id, o.target_id, NULL::uuid AS resource_id, NULL AS rule_id, o.reason,
       NULL AS config_digest, o.created_at, o.expires_at, NULL::uuid AS failed_version_id, coalesce(p.name, 'system') AS created_by
FROM pin o LEFT JOIN principal p ON p.id = o.created_by
WHERE o.deployment_id = $1 AND o.removed_at IS NULL AND (o.expires_at IS NULL OR o.expires_at > interlock_now())
UNION ALL
SELECT 'skip', o.id, o.version_id, o.environment_id, NULL, o.resource_id, o.rule_id, o.reason, NULL, o.created_at, o.expires_at, NULL,
       coalesce(p.name, 'system')
FROM skip o LEFT JOIN principal p ON p.id = o.created_by
WHERE o.deployment_id = $1 AND o.removed_at IS NULL AND (o.expires_at IS NULL OR o.expires_at > interlock_now())
UNION ALL
SELECT 'quarantine', q.id, q.version_id, NULL, q.target_id, NULL, NULL, '', q.config_digest, q.set_at, NULL,
       CASE WHEN q.config_digest IS NOT NULL THEN m.version_id END, NULL
FROM quarantine q JOIN move m ON m.id = q.move_id WHERE q.deployment_id = $1 AND q.cleared_at IS NULL;

-- Open orders: what has expired is ended by a round. Relies on steering_order_open.
-- name: load_orders
SELECT o.id::text, o.kind, o.target_id::text, o.version_id::text, o.change_id::text, o.created_at, o.starts AS "when", o.scope, o.reason,
       coalesce(p.name, 'interlock') AS by, o.expires_at, o.undoes_move_id::text,
       r.id::text AS release_id, r.version_id::text AS release_version_id, r.config_digest AS release_config_digest
FROM steering_order o
LEFT JOIN release r ON r.id = o.release_id
LEFT JOIN principal p ON p.id = o.created_by
WHERE o.deployment_id = $1 AND o.state = 'open';

-- The latest decision of each subject over the versions $2 (`subject` says which), and each target's. Relies on decision_of_deployment and
-- target_decision_of_deployment.
-- name: load_decided
SELECT * FROM (
    SELECT DISTINCT ON (subject) subject, NULL AS target_id, id::text, digest, NULL::timestamptz AS since
    FROM decision WHERE deployment_id = $1 AND version_id = ANY ($2::uuid[])
    ORDER BY subject, at DESC, id DESC) AS shared
UNION ALL
SELECT NULL, target_id::text, NULL, digest, since FROM target_decision WHERE deployment_id = $1;

-- The CEL maps of a freeze's selector, only when one has a selector. Relies on target's unique key.
-- name: load_selector_views
SELECT t.id AS target_id, t.environment_id, r.id, r.identifier, r.name, r.kind, r.version, r.workspace_id, r.provider_id, r.config, r.metadata,
       r.created_at, r.updated_at
FROM target t JOIN resource r ON r.id = t.resource_id
WHERE t.deployment_id = $1 AND t.state = 'attached';

-- How full things are that the deployment runs on. Asked only when a rule reads it. Relies on saturation_of_deployment.
-- name: load_saturations
SELECT name, level, value, since, observed_at, fresh_until, environment_id FROM saturation WHERE deployment_id = $1;

-- What was taken back in the last $2 days, and where. Asked only when a rule reads it. Relies on move_rolled_back and primary keys.
-- name: load_rollbacks
SELECT DISTINCT m.environment_id, coalesce(u.version_id, r.version_id, m.version_id) AS version_id, m.admitted_at AS at
FROM move m LEFT JOIN move u ON u.id = m.undoes_move_id LEFT JOIN release r ON r.id = m.from_release_id
WHERE m.deployment_id = $1 AND m.kind = 'rollback' AND m.admitted_at > interlock_now() - $2::integer * interval '1 day';
