-- Signing in through an identity provider, and from a terminal.

-- One row; its identity is the browser's.
-- name: insert_attempt
INSERT INTO sign_in_attempt (browser_hash, state, nonce, verifier, redirect_uri, goal, expires_at)
VALUES ($1, $2, $3, $4, $5, $6, interlock_now() + make_interval(secs => $7));

-- Each is good once. By the primary key.
-- name: take_attempt
DELETE FROM sign_in_attempt WHERE browser_hash = $1 AND expires_at > interlock_now()
RETURNING state, nonce, verifier, redirect_uri, goal;

-- By sign_in_attempt_over.
-- name: delete_old_attempts
DELETE FROM sign_in_attempt WHERE expires_at <= interlock_now();

-- By login_code_over.
-- name: delete_old_codes
DELETE FROM login_code WHERE expires_at <= interlock_now();

-- One row; its identity is the caller's.
-- name: insert_code
INSERT INTO login_code (code_hash, principal_id, challenge, name, expires_at) VALUES ($1, $2, $3, $4, interlock_now() + make_interval(secs => $5));

-- Each is good once, whatever else is wrong with the request. By the primary key.
-- name: take_code
DELETE FROM login_code WHERE code_hash = $1 AND expires_at > interlock_now() RETURNING principal_id, challenge, name;

-- By the primary keys.
-- name: find_identity
SELECT i.principal_id, i.made_admin, p.name, p.email, p.system_role, p.disabled_at
FROM identity i JOIN principal p ON p.id = i.principal_id
WHERE i.issuer = $1 AND i.subject = $2
FOR NO KEY UPDATE OF i;

-- A person who was invited by address and has not signed in through this provider. By principal's unique name, then identity_of_principal.
-- name: find_invited
SELECT p.id AS principal_id, p.name, p.email, p.system_role, p.disabled_at
FROM principal p
WHERE p.name = $1 AND p.kind = 'user'
  AND NOT EXISTS (SELECT FROM identity i WHERE i.principal_id = p.id)
FOR NO KEY UPDATE OF p;

-- By principal's unique name.
-- name: is_name_taken
SELECT EXISTS (SELECT FROM principal WHERE name = $1);

-- By the primary key.
-- name: save_identity
INSERT INTO identity (issuer, subject, principal_id, made_admin) VALUES ($1, $2, $3, $4)
ON CONFLICT (issuer, subject) DO UPDATE SET made_admin = excluded.made_admin, signed_in_at = interlock_now();

-- By the primary key.
-- name: update_email
UPDATE principal SET email = $2 WHERE id = $1 AND email IS DISTINCT FROM $2;

-- By the primary key.
-- name: update_system_role
UPDATE principal SET system_role = $2 WHERE id = $1;

-- The groups that a person joins and leaves, now that the provider says which they are in. By principal_group_of_claim and group_member_of_principal.
-- name: list_group_changes
SELECT g.workspace_id, g.id AS group_id, g.name, g.claim = ANY ($2::text[]) AS joins
FROM principal_group g
LEFT JOIN group_member m ON m.group_id = g.id AND m.principal_id = $1
WHERE (g.claim = ANY ($2::text[]) AND m.group_id IS NULL)
   OR (m.from_claims AND (g.claim IS NULL OR g.claim <> ALL ($2::text[])))
ORDER BY g.workspace_id, g.id;

-- By the primary key.
-- name: join_group
INSERT INTO group_member (group_id, principal_id, from_claims) VALUES ($1, $2, true) ON CONFLICT DO NOTHING;

-- By the primary key.
-- name: leave_group
DELETE FROM group_member WHERE group_id = $1 AND principal_id = $2 AND from_claims;

-- One row; its identity is the caller's.
-- name: join_workspace
INSERT INTO member (workspace_id, principal_id, from_claims) VALUES ($1, $2, true) ON CONFLICT DO NOTHING;

-- Who is a member by claims alone, and has neither a group nor a role left. By the primary keys of member, role_binding_of_principal, group_member_of_principal.
-- name: leave_workspace
DELETE FROM member m
WHERE m.workspace_id = $1 AND m.principal_id = $2 AND m.from_claims
  AND NOT EXISTS (SELECT FROM role_binding b WHERE b.workspace_id = $1 AND b.principal_id = $2)
  AND NOT EXISTS (SELECT FROM group_member gm JOIN principal_group g ON g.id = gm.group_id WHERE gm.principal_id = $2 AND g.workspace_id = $1);

-- Whose yes counts is a rule of the workspace. By its primary key.
-- name: bump_rules_fence
UPDATE workspace SET rules_fence = rules_fence + 1 WHERE id = $1;
