-- Objectives, whom they cover, and what was read of them.

-- By the primary key.
-- name: find_slo
SELECT id, workspace_id, name, description, spec, interval_s, deployment_ids, selector, revision, created_at, updated_at, budget, why, since,
       observed_at, fresh_until, remaining, burn, firing, empty_at, read_at, next_at
FROM slo WHERE id = $2 AND workspace_id = $1;

-- By the unique key.
-- name: find_slo_by_name
SELECT id, workspace_id, name, description, spec, interval_s, deployment_ids, selector, revision, created_at, updated_at, budget, why, since,
       observed_at, fresh_until, remaining, burn, firing, empty_at, read_at, next_at
FROM slo WHERE workspace_id = $1 AND name = $2;

-- By the unique key; with $2 those that cover a deployment, by slo_cover_of_deployment.
-- name: count_slos
SELECT count(*) FROM slo
WHERE workspace_id = $1 AND ($2::uuid IS NULL OR id IN (SELECT slo_id FROM slo_cover WHERE deployment_id = $2));

-- By name. As count_slos.
-- name: list_slos
SELECT id, workspace_id, name, description, spec, interval_s, deployment_ids, selector, revision, created_at, updated_at, budget, why, since,
       observed_at, fresh_until, remaining, burn, firing, empty_at, read_at, next_at
FROM slo
WHERE workspace_id = $1 AND ($2::uuid IS NULL OR id IN (SELECT slo_id FROM slo_cover WHERE deployment_id = $2))
ORDER BY name COLLATE "C" LIMIT $3 OFFSET $4;

-- One row; its identity is the caller's.
-- name: insert_slo
INSERT INTO slo (id, workspace_id, name, description, spec, interval_s, deployment_ids, selector)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8);

-- By the primary key. What was read of another promise says nothing of this one ($8).
-- name: update_slo
UPDATE slo SET name = $2, description = $3, spec = $4, interval_s = $5, deployment_ids = $6, selector = $7, revision = revision + 1,
    updated_at = interlock_now(), next_at = interlock_now(),
    held = CASE WHEN $8 THEN NULL ELSE held END, asked = CASE WHEN $8 THEN '{}' ELSE asked END,
    newest_at = CASE WHEN $8 THEN NULL ELSE newest_at END
WHERE id = $1;

-- By the primary key.
-- name: delete_slo
DELETE FROM slo WHERE id = $1;

-- Whom some objectives cover, with their names. By the primary key.
-- name: list_covered
SELECT c.slo_id, d.id, d.name FROM slo_cover c JOIN deployment d ON d.id = c.deployment_id AND d.deleted_at IS NULL
WHERE c.slo_id = ANY ($1::uuid[]) ORDER BY d.name COLLATE "C";

-- By the primary key.
-- name: list_covered_ids
SELECT deployment_id::text AS id FROM slo_cover WHERE slo_id = $1 ORDER BY deployment_id;

-- By the primary key; ids that are live deployments of the workspace.
-- name: list_live_ids
SELECT id::text FROM deployment WHERE workspace_id = $1 AND id = ANY ($2::uuid[]) AND deleted_at IS NULL;

-- The live deployments with these ids or names. By the primary key and deployment_name.
-- name: list_named
SELECT id::text, name FROM deployment
WHERE workspace_id = $1 AND deleted_at IS NULL AND (name = ANY ($2::text[]) OR id::text = ANY ($2::text[]));

-- Those that may cover a deployment: every one with a selector, those that name it, those that cover it now. By the unique key.
-- name: list_covering
SELECT s.id::text, s.workspace_id::text, s.name, s.selector, s.deployment_ids::text[],
       EXISTS (SELECT FROM slo_cover c WHERE c.slo_id = s.id AND c.deployment_id = $2) AS covers,
       (SELECT count(*) FROM slo_cover c WHERE c.slo_id = s.id) AS covered
FROM slo s
WHERE s.workspace_id = $1
  AND (s.selector IS NOT NULL OR $2 = ANY (s.deployment_ids) OR EXISTS (SELECT FROM slo_cover c WHERE c.slo_id = s.id AND c.deployment_id = $2))
ORDER BY s.id;

-- By the primary key.
-- name: add_covered
INSERT INTO slo_cover (slo_id, deployment_id) SELECT $1, unnest($2::uuid[]) ON CONFLICT DO NOTHING;

-- By the primary key.
-- name: remove_covered
DELETE FROM slo_cover WHERE slo_id = $1 AND deployment_id = ANY ($2::uuid[]);

-- In the one order in which deployments are locked. By the primary key.
-- name: lock_deployments
SELECT id FROM deployment WHERE id = ANY ($1::uuid[]) ORDER BY id FOR NO KEY UPDATE;

-- An own fact of each (core.md 2). By the primary key; they are locked.
-- name: touch_deployments
UPDATE deployment SET generation = generation + 1, fence = fence + CASE WHEN $2 THEN 1 ELSE 0 END WHERE id = ANY ($1::uuid[]);

-- What the next reading starts from. By the primary key.
-- name: find_due
SELECT id::text, workspace_id::text, name, spec, revision, interval_s, budget, why, since, held, asked, newest_at, errors, next_at, burn,
       remaining, firing, fresh_until
FROM slo WHERE id = $1;

-- The instant of this statement: a transaction may have waited.
-- name: now
SELECT interlock_now() + (clock_timestamp() - now());

-- The row is held until the reading is written; NULL where it changed meanwhile ($2). By the primary key.
-- name: lock_slo
SELECT revision = $2 FROM slo WHERE id = $1 FOR UPDATE;

-- By the primary key.
-- name: note_reading
UPDATE slo SET budget = $2, why = $3, since = CASE WHEN budget = $2 THEN since ELSE interlock_now() END, observed_at = $4, fresh_until = $5,
    remaining = $6, burn = $7, firing = $8, empty_at = $9, held = $10, asked = $11, newest_at = $12, errors = $13, read_at = $14, next_at = $15
WHERE id = $1;

-- One row; a second at the same instant is the same reading.
-- name: insert_reading
INSERT INTO slo_reading (slo_id, at, budget, remaining, burn, why) VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING;

-- The readings of a stretch of time, oldest first, at most $4: evenly spread where there are more, and the newest in any case. By the primary
-- key.
-- name: list_readings
WITH found AS MATERIALIZED (
    SELECT at, budget, remaining, burn, why, row_number() OVER (ORDER BY at DESC) AS place, count(*) OVER () AS total
    FROM slo_reading WHERE slo_id = $1 AND at >= $2 AND at < $3
)
SELECT at, budget, remaining, burn, why FROM found
WHERE total <= $4 OR place = 1 OR place % ((total + $4 - 1) / $4) = 0
ORDER BY at;

-- Once an hour: of the readings older than six hours one a quarter of an hour stays, of those older than a week one in two hours; a change of
-- class always; nothing older than the period and a week. Relies on the primary key.
-- name: thin_readings
WITH aged AS MATERIALIZED (
    SELECT r.slo_id, r.at, r.budget,
           lag(r.budget) OVER (PARTITION BY r.slo_id ORDER BY r.at) AS before,
           row_number() OVER (PARTITION BY r.slo_id, CASE WHEN r.at < interlock_now() - interval '7 days'
                                                          THEN floor(extract(epoch FROM r.at) / 7200)
                                                          ELSE floor(extract(epoch FROM r.at) / 900) END
                              ORDER BY r.at) AS place,
           r.at < interlock_now() - interval '97 days' AS gone
    FROM slo_reading r WHERE r.at < interlock_now() - interval '6 hours'
)
DELETE FROM slo_reading r USING aged a
WHERE r.slo_id = a.slo_id AND r.at = a.at AND (a.gone OR (a.place > 1 AND a.budget IS NOT DISTINCT FROM a.before));
