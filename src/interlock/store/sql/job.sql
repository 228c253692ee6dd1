-- Jobs: the hand-over, what the outside says of them, and what people read.

-- The hand-over in one statement: only while nothing that can take something away is undecided, and only until the verdicts that let it pass may
-- change. FOR SHARE waits for a freeze that is being written, so a freeze holds from its commit. Relies on primary keys.
-- name: begin_handover
WITH allowed AS MATERIALIZED (
    SELECT d.id
    FROM job j JOIN deployment d ON d.id = j.deployment_id JOIN workspace w ON w.id = j.workspace_id
    WHERE j.id = $1 AND d.decided_fence = d.fence AND d.decided_rules_fence = w.rules_fence AND w.deleted_at IS NULL
    FOR SHARE OF d, w
)
UPDATE job
SET handover = 'starting', attempt = attempt + 1, attempt_until = clock_timestamp() + make_interval(secs => $2), updated_at = interlock_now(),
    message = NULL,
    move_began = EXISTS (SELECT FROM move m WHERE m.id = move_id AND m.state = 'admitted'),
    mark_before = (SELECT t.mark_version_id FROM target t WHERE t.id = target_id),
    last_started_before = (SELECT t.last_started_at FROM target t WHERE t.id = target_id)
WHERE id = $1 AND status = 'pending' AND handover = 'waiting' AND cancel_asked_at IS NULL
  AND (valid_until IS NULL OR interlock_now() < valid_until) AND EXISTS (SELECT FROM allowed)
RETURNING id;

-- The same for a job of a run, which the caller has just judged under the workspace's lock. Relies on job's primary key.
-- name: begin_run_handover
UPDATE job
SET handover = 'starting', attempt = attempt + 1, attempt_until = clock_timestamp() + make_interval(secs => $2), updated_at = interlock_now(),
    message = NULL
WHERE id = $1 AND run_id IS NOT NULL AND status = 'pending' AND handover = 'waiting' AND cancel_asked_at IS NULL
  AND EXISTS (SELECT FROM workspace w WHERE w.id = workspace_id AND w.deleted_at IS NULL)
RETURNING id;

-- A pull agent's claim of a job of a run, which the caller has just judged under the workspace's lock. Relies on job's primary key.
-- name: claim_run_job
UPDATE job
SET handover = 'started', attempt = attempt + 1, status = 'inProgress', handed_over_at = interlock_now(), started_at = interlock_now(),
    held_by = $3, lease_s = $4, leased_until = interlock_now() + make_interval(secs => $4), heard_at = interlock_now(),
    observed_at = interlock_now(), updated_at = interlock_now()
WHERE id = $1 AND agent_id = $2 AND run_id IS NOT NULL AND status = 'queued' AND cancel_asked_at IS NULL
RETURNING status, attempt, decision_id, started_at, updated_at, observed_at, held_by, heard_at, leased_until;

-- A job of a run that a freeze keeps from starting: nobody has it. Relies on job's primary key.
-- name: withdraw_run_job
UPDATE job SET status = 'skipped', message = $2, completed_at = interlock_now(), updated_at = interlock_now()
WHERE id = $1 AND run_id IS NOT NULL AND status IN ('pending', 'queued') AND handover = 'waiting'
RETURNING id;

-- Relies on job's primary key.
-- name: is_out_of_time
SELECT (status = 'pending' AND handover = 'waiting' OR status = 'actionRequired' AND confirm = 'granted') AND cancel_asked_at IS NULL
       AND valid_until <= interlock_now()
FROM job WHERE id = $1;

-- A pull agent's claim: the same conditions, from queued. Relies on primary keys.
-- name: claim_job
WITH allowed AS MATERIALIZED (
    SELECT d.id
    FROM job j JOIN deployment d ON d.id = j.deployment_id JOIN workspace w ON w.id = j.workspace_id
    WHERE j.id = $1 AND d.decided_fence = d.fence AND d.decided_rules_fence = w.rules_fence AND w.deleted_at IS NULL
    FOR SHARE OF d, w
)
UPDATE job
SET handover = 'started', attempt = attempt + 1, status = 'inProgress', handed_over_at = interlock_now(), started_at = interlock_now(),
    held_by = $3, lease_s = $4, leased_until = interlock_now() + make_interval(secs => $4), heard_at = interlock_now(),
    observed_at = interlock_now(), updated_at = interlock_now()
WHERE id = $1 AND agent_id = $2 AND status = 'queued' AND cancel_asked_at IS NULL
  AND (valid_until IS NULL OR interlock_now() < valid_until) AND EXISTS (SELECT FROM allowed)
RETURNING status, attempt, decision_id, started_at, updated_at, observed_at, held_by, heard_at, leased_until;

-- A person takes a job: the same conditions. Relies on primary keys.
-- name: take_job
WITH allowed AS MATERIALIZED (
    SELECT d.id
    FROM job j JOIN deployment d ON d.id = j.deployment_id JOIN workspace w ON w.id = j.workspace_id
    WHERE j.id = $1 AND d.decided_fence = d.fence AND d.decided_rules_fence = w.rules_fence AND w.deleted_at IS NULL
    FOR SHARE OF d, w
)
UPDATE job
SET handover = 'started', attempt = attempt + 1, status = 'inProgress', handed_over_at = interlock_now(), started_at = interlock_now(),
    observed_at = interlock_now(), updated_at = interlock_now()
WHERE id = $1 AND status = 'queued' AND cancel_asked_at IS NULL
  AND (valid_until IS NULL OR interlock_now() < valid_until) AND EXISTS (SELECT FROM allowed)
RETURNING id;

-- The same for a job of a run, which the caller has just judged under the workspace's lock. Relies on job's primary key.
-- name: take_run_job
UPDATE job
SET handover = 'started', attempt = attempt + 1, status = 'inProgress', handed_over_at = interlock_now(), started_at = interlock_now(),
    observed_at = interlock_now(), updated_at = interlock_now()
WHERE id = $1 AND run_id IS NOT NULL AND status = 'queued' AND cancel_asked_at IS NULL
RETURNING id;

-- A pull agent's job is offered, which hands nothing over yet: whoever claims it has it. Relies on job's primary key.
-- name: offer_job
UPDATE job SET status = 'queued', updated_at = interlock_now()
WHERE id = $1 AND status = 'pending' AND handover = 'waiting' AND cancel_asked_at IS NULL
RETURNING id;

-- Relies on move's primary key.
-- name: start_move
UPDATE move SET state = 'running', started_at = interlock_now() WHERE id = $1 AND state = 'admitted'
RETURNING id, order_id IS NOT NULL OR kind = 'pin' AS by_hand;

-- The mark only goes forward. Relies on primary keys.
-- name: mark_target
UPDATE target t
SET last_started_at = interlock_now(),
    mark_version_id = CASE WHEN o.id IS NULL OR (v.created_at, v.id) > (o.created_at, o.id) THEN v.id ELSE o.id END
FROM version v, target s LEFT JOIN version o ON o.id = s.mark_version_id
WHERE t.id = $1 AND s.id = t.id AND v.id = $2;

-- Relies on job's primary key.
-- name: settle_handover
WITH before AS (SELECT id, handover FROM job WHERE id = $1 FOR UPDATE)
UPDATE job j
SET handover = $2, handed_over_at = CASE WHEN $2 = 'started' THEN coalesce(j.handed_over_at, interlock_now()) ELSE j.handed_over_at END,
    uncertain_since = CASE WHEN $2 = 'uncertain' THEN coalesce(j.uncertain_since, interlock_now()) END,
    attempt_until = NULL, updated_at = interlock_now()
FROM before WHERE j.id = before.id AND ($2 = 'started' OR before.handover <> 'started')
RETURNING before.handover AS was;

-- What let it pass may hold by now, so it has run out of time until a round judges it. Relies on job's primary key.
-- name: wait_again
UPDATE job
SET handover = 'waiting', uncertain_since = NULL, attempt_until = NULL, updated_at = interlock_now(),
    valid_until = CASE WHEN run_id IS NULL THEN interlock_now() END
WHERE id = $1 AND handover = 'uncertain' AND status = 'pending';

-- Surely nothing was started: the attempt was none. Relies on job's primary key.
-- name: take_back
UPDATE job
SET handover = 'waiting', attempt = attempt - 1, attempt_until = NULL, message = $3, updated_at = interlock_now(), turn_at = interlock_now() - interval '1 day',
    valid_until = CASE WHEN run_id IS NULL THEN interlock_now() END
WHERE id = $1 AND handover = 'starting' AND status = 'pending' AND attempt = $2
RETURNING move_began, mark_before::text, last_started_before;

-- What the hand-over had written of the target. Relies on primary keys.
-- name: unmark_target
UPDATE target
SET last_started_at = $4,
    mark_version_id = CASE WHEN mark_version_id = $2 THEN (SELECT v.id FROM version v WHERE v.id = $3) ELSE mark_version_id END
WHERE id = $1;

-- Relies on move's primary key.
-- name: unstart_move
UPDATE move SET state = 'admitted', started_at = NULL WHERE id = $1 AND state = 'running';

-- Relies on job's primary key.
-- name: lock_job
SELECT id, status, handover, overran, cancel_reason, confirm FROM job WHERE id = $1 FOR UPDATE;

-- Whether a planned run waits to be confirmed, as the outside says. Relies on job's primary key.
-- name: set_confirm
UPDATE job SET confirm = $2, confirm_at = interlock_now(), updated_at = interlock_now() WHERE id = $1;

-- What the outside said; NULL leaves a column as it was. Relies on job's primary key.
-- name: set_job_status
UPDATE job
SET status = $2, message = coalesce($3, message), external_id = coalesce($4, external_id), links = links || $5::jsonb,
    metadata = metadata || $6::jsonb, output = coalesce($7, output),
    started_at = CASE WHEN $2 IN ('inProgress', 'successful', 'failure') THEN coalesce(started_at, interlock_now()) ELSE started_at END,
    completed_at = CASE WHEN $8 THEN coalesce($9, interlock_now()) END,
    observed_at = CASE WHEN $10 THEN interlock_now() ELSE observed_at END, updated_at = interlock_now()
WHERE id = $1;

-- The same without the status, for a run that goes on as it did: that it was heard of is kept, news or not. Relies on job's primary key.
-- name: set_job_news
UPDATE job
SET message = coalesce($2, message), external_id = coalesce($3, external_id), links = links || $4::jsonb, metadata = metadata || $5::jsonb,
    output = coalesce($6, output), observed_at = CASE WHEN $7 THEN interlock_now() ELSE observed_at END,
    updated_at = CASE WHEN (message, external_id, links, metadata, output) IS DISTINCT FROM
                           (coalesce($2, message), coalesce($3, external_id), links || $4::jsonb, metadata || $5::jsonb, coalesce($6, output))
                      THEN interlock_now() ELSE updated_at END
WHERE id = $1;

-- What a run says that it wrote, and brought. Relies on job's primary key.
-- name: set_job_brought
UPDATE job
SET applied = CASE WHEN $2::jsonb = '[]' THEN applied ELSE $2::jsonb END, artifacts = CASE WHEN $3::jsonb = '[]' THEN artifacts ELSE $3::jsonb END
WHERE id = $1;

-- Relies on job's primary key.
-- name: ask_cancel
UPDATE job SET cancel_asked_at = interlock_now(), cancel_reason = $2, overran = $3, updated_at = interlock_now()
WHERE id = $1 AND cancel_asked_at IS NULL AND completed_at IS NULL
RETURNING id;

-- Everything the flow needs of one job, and the keys $2 of the configs as they stand now, those of $3 from the agent's alone. Relies on primary keys.
-- name: find_flow_job
SELECT j.id, j.workspace_id, coalesce(j.deployment_id::text, '') AS deployment_id, coalesce(j.target_id::text, '') AS target_id,
       coalesce(j.move_id::text, '') AS move_id, coalesce(j.release_id::text, '') AS release_id, j.agent_id, j.decision_id, j.status, j.handover,
       j.attempt, j.external_id, j.valid_until, j.turn_at, j.cancel_asked_at, j.cancel_reason, j.created_at, j.handed_over_at, j.started_at,
       j.uncertain_since, j.confirm, j.confirm_at, coalesce(m.version_id::text, '') AS version_id,
       coalesce(m.environment_id::text, '') AS environment_id, m.rollout_id,
       coalesce(m.change_id::text, '') AS change_id, coalesce(m.kind, 'workflow') AS move_kind, a.type AS agent_type, a.name AS agent_name,
       coalesce(r.snapshot, j.context) AS snapshot, coalesce(r.snapshot_digest, '') AS snapshot_digest, j.run_id, j.resource_id,
       (SELECT coalesce(jsonb_object_agg(said.key, said.value), '{}')
        FROM jsonb_each(a.config || ((coalesce(d.job_agent_config, j.context -> 'jobAgentConfig', '{}') || coalesce(entry.config, '{}')
                                      || coalesce(v.job_agent_config, '{}')) - $3::text[])) AS said
        WHERE said.key = ANY ($2::text[])) AS conduct_said,
       coalesce(l.failures, 0) AS failures, l.down_since, l.next_try_at, l.trying_until, coalesce(l.stands, false) AS stands, l.moves_at
FROM job j JOIN job_agent a ON a.id = j.agent_id LEFT JOIN agent_line l ON l.agent_id = a.id LEFT JOIN move m ON m.id = j.move_id LEFT JOIN release r ON r.id = j.release_id
     LEFT JOIN deployment d ON d.id = j.deployment_id LEFT JOIN version v ON v.id = m.version_id
     LEFT JOIN LATERAL (SELECT each -> 'config' AS config FROM jsonb_array_elements(d.job_agents) AS each
                        WHERE each ->> 'ref' = a.id::text LIMIT 1) AS entry ON true
WHERE j.id = $1;

-- Relies on job_of_target.
-- name: list_target_jobs
SELECT j.id, j.status, j.message, j.external_id, j.links, j.metadata, j.agent_id, coalesce(j.release_id::text, '') AS release_id,
       coalesce(j.target_id::text, '') AS target_id, j.created_at, j.updated_at, j.started_at, j.completed_at, j.attempt, j.retry_of, j.held_by, j.heard_at, j.leased_until,
       greatest(j.observed_at, j.heard_at) AS observed_at,
       coalesce(j.move_id::text, '') AS move_id, coalesce(j.deployment_id::text, '') AS deployment_id, j.decision_id,
       coalesce(m.kind, 'workflow') AS move_kind, coalesce(m.environment_id::text, '') AS environment_id,
       coalesce(t.resource_id::text, j.resource_id::text, '') AS resource_id, j.run_id, coalesce(r.snapshot, j.context) AS snapshot, count(*) OVER () AS total
FROM job j LEFT JOIN move m ON m.id = j.move_id LEFT JOIN release r ON r.id = j.release_id LEFT JOIN target t ON t.id = j.target_id
WHERE j.workspace_id = $1 AND j.target_id = $2
ORDER BY j.created_at DESC, j.id DESC LIMIT $3 OFFSET $4;

-- Relies on job's primary key and verification_of_subject.
-- name: find_job
SELECT j.id, j.status, j.message, j.external_id, j.links, j.metadata, j.agent_id, coalesce(j.release_id::text, '') AS release_id,
       coalesce(j.target_id::text, '') AS target_id, j.created_at, j.updated_at, j.started_at, j.completed_at, j.attempt, j.retry_of, j.held_by, j.heard_at, j.leased_until,
       greatest(j.observed_at, j.heard_at) AS observed_at,
       coalesce(j.move_id::text, '') AS move_id, coalesce(j.deployment_id::text, '') AS deployment_id, j.decision_id,
       coalesce(m.kind, 'workflow') AS move_kind, coalesce(m.environment_id::text, '') AS environment_id,
       coalesce(t.resource_id::text, j.resource_id::text, '') AS resource_id, j.run_id, coalesce(r.snapshot, j.context) AS snapshot, j.output, j.cancel_reason, j.applied, j.artifacts,
       (SELECT v.state FROM verification v WHERE v.subject_id = j.id ORDER BY v.started_at DESC LIMIT 1) AS verification,
       EXISTS (SELECT FROM task k WHERE k.job_id = j.id) AS is_task, a.name AS agent_name, a.type AS agent_type, 1::bigint AS total
FROM job j JOIN job_agent a ON a.id = j.agent_id LEFT JOIN move m ON m.id = j.move_id LEFT JOIN release r ON r.id = j.release_id LEFT JOIN target t ON t.id = j.target_id
WHERE j.workspace_id = $1 AND j.id = $2;

-- The newest job of each of these targets. Relies on job_of_target.
-- name: list_latest_jobs
SELECT DISTINCT ON (j.target_id) j.id, j.status, j.message, j.external_id, j.links, j.metadata, j.agent_id, coalesce(j.release_id::text, '') AS release_id,
       coalesce(j.target_id::text, '') AS target_id, j.created_at, j.updated_at, j.started_at, j.completed_at, j.attempt, j.retry_of, j.held_by, j.heard_at, j.leased_until,
       greatest(j.observed_at, j.heard_at) AS observed_at,
       coalesce(j.move_id::text, '') AS move_id, coalesce(j.deployment_id::text, '') AS deployment_id, j.decision_id,
       coalesce(m.kind, 'workflow') AS move_kind, coalesce(m.environment_id::text, '') AS environment_id,
       coalesce(t.resource_id::text, j.resource_id::text, '') AS resource_id, j.run_id, coalesce(r.snapshot, j.context) AS snapshot, 1::bigint AS total
FROM job j JOIN move m ON m.id = j.move_id JOIN release r ON r.id = j.release_id JOIN target t ON t.id = j.target_id
WHERE j.workspace_id = $1 AND j.target_id = ANY ($2::uuid[])
ORDER BY j.target_id, j.created_at DESC, j.id DESC;

-- A pull agent's list: oldest first, so that none starves. Relies on job_of_agent.
-- name: list_agent_jobs
SELECT j.id, j.status, j.message, j.external_id, j.links, j.metadata, j.agent_id, coalesce(j.release_id::text, '') AS release_id,
       coalesce(j.target_id::text, '') AS target_id, j.created_at, j.updated_at, j.started_at, j.completed_at, j.attempt, j.retry_of, j.held_by, j.heard_at, j.leased_until,
       greatest(j.observed_at, j.heard_at) AS observed_at,
       coalesce(j.move_id::text, '') AS move_id, coalesce(j.deployment_id::text, '') AS deployment_id, j.decision_id,
       coalesce(m.kind, 'workflow') AS move_kind, coalesce(m.environment_id::text, '') AS environment_id,
       coalesce(t.resource_id::text, j.resource_id::text, '') AS resource_id, j.run_id, coalesce(r.snapshot, j.context) AS snapshot, count(*) OVER () AS total
FROM job j LEFT JOIN move m ON m.id = j.move_id LEFT JOIN release r ON r.id = j.release_id LEFT JOIN target t ON t.id = j.target_id
WHERE j.workspace_id = $1 AND j.agent_id = $2 AND ($3::text IS NULL OR j.status = $3)
ORDER BY j.created_at, j.id LIMIT $4 OFFSET $5;

-- The jobs of a workspace that are not over, in the order in which deployments are locked. Relies on job_newest: it is asked once, at the end.
-- name: list_open_jobs
SELECT id FROM job WHERE workspace_id = $1 AND status IN ('pending', 'queued', 'inProgress', 'actionRequired')
ORDER BY deployment_id NULLS LAST, id;

-- Waiting jobs of a deployment, whose hand-over may succeed now that a round decided. Relies on job_waiting.
-- name: list_waiting
SELECT id FROM job WHERE workspace_id = $1 AND deployment_id = $2 AND handover = 'waiting' AND status = 'pending';

-- The oldest of a pull agent's jobs. Relies on job_of_agent.
-- name: list_queue
SELECT id FROM job WHERE agent_id = $1 AND ($2::text IS NULL OR status = $2) ORDER BY created_at, id LIMIT $3;

-- The instant of this transaction.
-- name: now
SELECT interlock_now();
