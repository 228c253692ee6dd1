-- Groups of people. A rule names a group, a binding may give it a role.

-- By the unique index on (workspace_id, name).
-- name: list_groups
SELECT g.id, g.name, g.created_at, g.claim,
       COALESCE(jsonb_agg(jsonb_build_object('id', p.id, 'name', p.name, 'from_claims', m.from_claims) ORDER BY p.name COLLATE "C") FILTER (WHERE p.id IS NOT NULL), '[]'::jsonb)
           AS members
FROM principal_group g
LEFT JOIN group_member m ON m.group_id = g.id
LEFT JOIN principal p ON p.id = m.principal_id
WHERE g.workspace_id = $1 AND ($2::text IS NULL OR g.name = $2)
GROUP BY g.id, g.name, g.created_at, g.claim
ORDER BY g.name COLLATE "C"
LIMIT $3 OFFSET $4;

-- By the same index.
-- name: count_groups
SELECT count(*) FROM principal_group WHERE workspace_id = $1;

-- One row; its identity is the caller's.
-- name: insert_group
INSERT INTO principal_group (id, workspace_id, name) VALUES ($1, $2, $3);

-- By the primary key; its members go with it.
-- name: delete_group
DELETE FROM principal_group WHERE id = $1;

-- Who of the people $2 is no member of the workspace. By the primary key of member.
-- name: list_strangers
SELECT p.name FROM principal p
WHERE p.id = ANY ($2::uuid[]) AND NOT EXISTS (SELECT FROM member m WHERE m.workspace_id = $1 AND m.principal_id = p.id)
ORDER BY p.name COLLATE "C";

-- By the primary key.
-- name: remove_group_members
DELETE FROM group_member WHERE group_id = $1 AND principal_id <> ALL ($2::uuid[]) AND NOT from_claims;

-- By the primary key.
-- name: add_group_members
INSERT INTO group_member (group_id, principal_id) SELECT $1, unnest($2::uuid[])
ON CONFLICT (group_id, principal_id) DO UPDATE SET from_claims = false WHERE group_member.from_claims;

-- By the primary key.
-- name: set_claim
UPDATE principal_group SET claim = $2 WHERE id = $1;

-- Whose yes counts is a rule of the workspace. By its primary key.
-- name: bump_rules_fence
UPDATE workspace SET rules_fence = rules_fence + 1 WHERE id = $1;
