-- Where members are written to.

-- By the primary key of member.
-- name: lock_address
SELECT email FROM member WHERE workspace_id = $1 AND principal_id = $2 FOR UPDATE;

-- By the primary key of member.
-- name: update_address
UPDATE member SET email = $3 WHERE workspace_id = $1 AND principal_id = $2;
