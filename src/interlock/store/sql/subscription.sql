-- Subscriptions to the ledger.

-- By the unique index on (workspace_id, name), or the primary key where $2 is an id; what waits by subscription_delivery_pending and subscription_delivery_parked.
-- name: list_subscriptions
SELECT s.id, s.workspace_id, s.name, s.channel, s.url, s.url_id, s.recipients AS "to", s.kinds, s.filter, s.scope_kind, s.scope_id,
       s.asked_group AS "group", s.templates, s.remind_after_s, s.state, s.state_reason, s.state_at, s.secret_id, s.old_secret_id,
       s.old_secret_until, s.cursor_seq, s.failing_since, s.last_delivered_at, s.last_error, s.revision, s.created_by, s.created_at,
       s.updated_at, waits.pending, waits.next_try_at, gone.parked
FROM subscription s
CROSS JOIN LATERAL (SELECT count(*) AS pending, min(d.next_try_at) AS next_try_at FROM subscription_delivery d
                    WHERE d.subscription_id = s.id AND d.state = 'pending') waits
CROSS JOIN LATERAL (SELECT count(*) AS parked FROM subscription_delivery d WHERE d.subscription_id = s.id AND d.state = 'parked') gone
WHERE s.workspace_id = $1 AND ($2::uuid IS NULL OR s.id = $2)
ORDER BY s.name COLLATE "C"
LIMIT $3 OFFSET $4;

-- By the unique index on (workspace_id, name).
-- name: count_subscriptions
SELECT count(*) FROM subscription WHERE workspace_id = $1;

-- By the primary key; whoever changes it waits for the others.
-- name: lock_subscription
SELECT workspace_id, state, failing_since, channel, name FROM subscription WHERE id = $1 FOR UPDATE;

-- It begins at the end of the feed as it is now: what was placed before is not told.
-- name: insert_subscription
INSERT INTO subscription (id, workspace_id, name, channel, url, url_id, recipients, kinds, filter, scope_kind, scope_id, asked_group, templates,
                          remind_after_s, secret_id, created_by, cursor_seq)
SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, seq FROM ledger_position;

-- By the primary key.
-- name: update_subscription
UPDATE subscription
SET name = $2, url = $3, url_id = $4, recipients = $5, kinds = $6, filter = $7, scope_kind = $8, scope_id = $9, asked_group = $10,
    templates = $11, remind_after_s = $12, secret_id = $13, revision = revision + 1, updated_at = interlock_now()
WHERE id = $1;

-- By the primary key; its deliveries go with it.
-- name: delete_subscription
DELETE FROM subscription WHERE id = $1;

-- By the primary key. The one before is good until $3.
-- name: rotate_secret
UPDATE subscription
SET old_secret_id = secret_id, old_secret_until = $3, secret_id = $2, revision = revision + 1, updated_at = interlock_now()
WHERE id = $1;

-- By the primary key.
-- name: set_state
UPDATE subscription SET state = $2, state_reason = $3, state_at = interlock_now(), updated_at = interlock_now() WHERE id = $1;

-- Tells again: what failed before is forgotten. $2: from the end of the feed, and what waits is left. By the primary key.
-- name: resume_subscription
UPDATE subscription
SET state = 'active', state_reason = '', state_at = interlock_now(), updated_at = interlock_now(), failing_since = NULL, last_error = NULL,
    cursor_seq = CASE WHEN $2 THEN (SELECT seq FROM ledger_position) ELSE cursor_seq END
WHERE id = $1;

-- How the last try ended. By the primary key.
-- name: note_success
UPDATE subscription SET failing_since = NULL, last_error = NULL, last_delivered_at = interlock_now() WHERE id = $1;

-- By the primary key.
-- name: note_failure
UPDATE subscription SET failing_since = coalesce(failing_since, interlock_now()), last_error = $2 WHERE id = $1;

-- Workspaces in which somebody is to be told something. By subscription_active and ledger_order_workspace.
-- name: list_workspaces_behind
SELECT DISTINCT s.workspace_id
FROM subscription s
WHERE s.state = 'active'
  AND EXISTS (SELECT FROM ledger_order o WHERE o.workspace_id = s.workspace_id AND o.seq > s.cursor_seq);

-- Those of a workspace that are not at the end of the feed and have room, by subscription_active and subscription_delivery_pending.
-- name: list_behind
SELECT s.id, s.kinds, s.filter, s.scope_kind, s.scope_id, s.asked_group, s.remind_after_s, s.cursor_seq, s.revision
FROM subscription s
WHERE s.workspace_id = $1 AND s.state = 'active' AND s.cursor_seq < (SELECT seq FROM ledger_position)
  AND (SELECT count(*) FROM (SELECT FROM subscription_delivery d WHERE d.subscription_id = s.id AND d.state = 'pending' LIMIT $2) waits) < $2
ORDER BY s.cursor_seq, s.id;

-- What a system holds, for subscriptions to a system. By the primary keys of its links.
-- name: list_in_systems
SELECT system_id, deployment_id AS member_id FROM system_deployment WHERE system_id = ANY ($1::uuid[])
UNION ALL SELECT system_id, environment_id FROM system_environment WHERE system_id = ANY ($1::uuid[]);

-- Which group each of these requests asks, and how long a yes counts. By the primary key of approval_request.
-- name: list_asked
SELECT id, approver_group AS "group", lasts_s FROM approval_request WHERE id = ANY ($1::uuid[]);

-- One row for each subscription that moved, in the order of ids; one that somebody moved meanwhile is left. By the primary key.
-- name: move_cursors
WITH held AS MATERIALIZED (
    SELECT s.id FROM subscription s WHERE s.id = ANY ($1::uuid[]) AND s.cursor_seq = $2 AND s.state = 'active'
    ORDER BY s.id FOR UPDATE
)
UPDATE subscription s SET cursor_seq = $3 FROM held WHERE s.id = held.id RETURNING s.id, s.revision;

-- Addresses of a group's members, those of this workspace first. By the unique index on (workspace_id, name) and the primary keys.
-- name: list_group_addresses
SELECT DISTINCT coalesce(m.email, p.email) AS email
FROM principal_group g
JOIN group_member i ON i.group_id = g.id
JOIN member m ON m.workspace_id = g.workspace_id AND m.principal_id = i.principal_id
JOIN principal p ON p.id = i.principal_id
WHERE g.workspace_id = $1 AND g.name = ANY ($2::text[]) AND coalesce(m.email, p.email) IS NOT NULL AND p.disabled_at IS NULL
ORDER BY email;

-- The address of one member, that of this workspace first. By the primary keys.
-- name: find_address
SELECT coalesce(m.email, p.email) AS email FROM member m JOIN principal p ON p.id = m.principal_id
WHERE m.workspace_id = $1 AND m.principal_id = $2 AND p.disabled_at IS NULL;

-- Where a job is; a run's job is nowhere. By the primary keys.
-- name: find_place_of_job
SELECT j.deployment_id, m.environment_id FROM job j JOIN move m ON m.id = j.move_id WHERE j.id = $1;

-- Addresses of those who have the role approver, or one of the workspace's own that may approve, where a version is to go ($2 deployment, $3 environment). By role_binding_of_principal,
-- role_binding_of_group and the primary keys.
-- name: list_approver_addresses
SELECT DISTINCT coalesce(m.email, p.email) AS email
FROM role_binding b
LEFT JOIN role r ON r.id = b.role_id
LEFT JOIN group_member i ON i.group_id = b.group_id
JOIN principal p ON p.id = coalesce(b.principal_id, i.principal_id)
JOIN member m ON m.workspace_id = b.workspace_id AND m.principal_id = p.id
WHERE b.workspace_id = $1 AND (b.role = 'approver' OR 'approve' = ANY (r.permissions)) AND coalesce(m.email, p.email) IS NOT NULL AND p.disabled_at IS NULL
  AND (b.scope_kind = 'workspace' OR b.scope_id IN ($2::uuid, $3::uuid)
       OR b.scope_id IN (SELECT system_id FROM system_deployment WHERE deployment_id = $2))
ORDER BY email;
