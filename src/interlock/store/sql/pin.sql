-- Pins as people set, read and remove them. Rounds read them in fact.sql.

-- Pins in force, or with $4 those that are over as well; the pin $2, those of the deployment $3. By pin_in_force where it narrows, else the
-- primary key; what a pin covers by target's unique key (deployment first).
-- name: list_pins
SELECT o.id, o.deployment_id, d.name AS deployment, e.id AS environment_id, e.name AS environment, o.target_id, r.id AS resource_id,
       r.name AS resource, o.version_id, v.tag, o.reason, p.name AS created_by, o.created_at, o.expires_at, o.removed_at,
       q.name AS removed_by, o.remove_reason,
       o.removed_at IS NULL AND (o.expires_at IS NULL OR o.expires_at > interlock_now()) AS in_force,
       (SELECT count(*) FROM target c
        WHERE c.deployment_id = o.deployment_id AND c.state = 'attached' AND (o.target_id IS NULL OR c.id = o.target_id)
          AND (o.environment_id IS NULL OR c.environment_id = o.environment_id)) AS targets,
       count(*) OVER () AS total
FROM pin o
JOIN deployment d ON d.id = o.deployment_id
JOIN version v ON v.id = o.version_id
LEFT JOIN target t ON t.id = o.target_id
LEFT JOIN environment e ON e.id = coalesce(o.environment_id, t.environment_id)
LEFT JOIN resource r ON r.id = t.resource_id
LEFT JOIN principal p ON p.id = o.created_by
LEFT JOIN principal q ON q.id = o.removed_by
WHERE o.workspace_id = $1
  AND ($2::uuid IS NULL OR o.id = $2)
  AND ($3::uuid IS NULL OR o.deployment_id = $3)
  AND ($4 OR (o.removed_at IS NULL AND (o.expires_at IS NULL OR o.expires_at > interlock_now())))
ORDER BY o.created_at DESC, o.id LIMIT $5 OFFSET $6;

-- The pins in force over exactly this place. By pin_in_force.
-- name: list_pins_at
SELECT id, version_id, reason, expires_at FROM pin
WHERE deployment_id = $1 AND environment_id IS NOT DISTINCT FROM $2 AND target_id IS NOT DISTINCT FROM $3
  AND removed_at IS NULL AND (expires_at IS NULL OR expires_at > interlock_now());

-- One row; its identity is the caller's.
-- name: insert_pin
INSERT INTO pin (id, workspace_id, deployment_id, environment_id, target_id, version_id, reason, created_by, expires_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9);

-- By the primary key.
-- name: remove_pin
UPDATE pin SET removed_at = interlock_now(), removed_by = $2, remove_reason = $3 WHERE id = $1 AND removed_at IS NULL;

-- What the pin left is a candidate again: everything newer than what each of its targets runs. By target's unique key (deployment first).
-- name: forget_marks
UPDATE target t SET mark_version_id = x.version_id
FROM target s LEFT JOIN release x ON x.id = s.current_release_id
WHERE t.id = s.id AND s.deployment_id = $1 AND s.state = 'attached' AND ($2::uuid IS NULL OR s.environment_id = $2)
  AND ($3::uuid IS NULL OR s.id = $3) AND s.mark_version_id IS DISTINCT FROM x.version_id;

-- The instant of this transaction.
-- name: now
SELECT interlock_now();
