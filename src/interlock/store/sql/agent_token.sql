-- Tokens of job agents.

-- One row by the unique index on agent_token.prefix. The secret is compared by the caller, in constant time.
-- name: find_token
SELECT t.id AS token_id, t.secret_hash, t.last_used_at, t.workspace_id, a.id AS agent_id, a.name
FROM agent_token t
JOIN job_agent a ON a.id = t.agent_id
WHERE t.prefix = $1 AND t.revoked_at IS NULL AND a.deleted_at IS NULL
  AND (t.expires_at IS NULL OR t.expires_at > interlock_now());

-- At most once a minute and token, and never waiting for another who notes the same. By the primary key.
-- name: touch_token
UPDATE agent_token SET last_used_at = interlock_now()
WHERE id = (SELECT id FROM agent_token
            WHERE id = $1 AND (last_used_at IS NULL OR last_used_at < interlock_now() - interval '1 minute')
            FOR UPDATE SKIP LOCKED);

-- One row; its identity is the caller's.
-- name: insert_token
INSERT INTO agent_token (id, workspace_id, agent_id, name, prefix, secret_hash, created_by, expires_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8);

-- The tokens of an agent, newest first, or only one of them. By agent_token_of_agent. Never the hash.
-- name: list_tokens
SELECT t.id, t.agent_id, t.name, t.prefix, p.name AS created_by, t.created_at, t.expires_at, t.revoked_at, t.last_used_at
FROM agent_token t LEFT JOIN principal p ON p.id = t.created_by
WHERE t.workspace_id = $1 AND t.agent_id = $2 AND ($3::uuid IS NULL OR t.id = $3)
ORDER BY t.created_at DESC, t.id
LIMIT $4 OFFSET $5;

-- By the same index.
-- name: count_tokens
SELECT count(*) FROM agent_token WHERE workspace_id = $1 AND agent_id = $2;

-- By the primary key.
-- name: revoke_token
UPDATE agent_token SET revoked_at = interlock_now() WHERE id = $1 AND revoked_at IS NULL;
