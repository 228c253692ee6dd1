-- Tasks: jobs that people do.

-- By the primary key.
-- name: insert_task
INSERT INTO task (job_id, workspace_id, instructions, assignee_id, assignee, asked_group, evidence, due_at, on_overdue, asked_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, interlock_now() + make_interval(secs => $8), $9, interlock_now())
RETURNING due_at;

-- A member of the workspace by name or id. By the primary keys and the unique index on principal's name.
-- name: find_assignee
SELECT p.id, p.name FROM principal p JOIN member m ON m.principal_id = p.id AND m.workspace_id = $1
WHERE (p.name = $2 OR p.id::text = lower($2)) AND p.disabled_at IS NULL;

-- By the unique index on (workspace_id, name).
-- name: find_group_id
SELECT id FROM principal_group WHERE workspace_id = $1 AND name = $2;

-- A task as one person sees it ($3). By the primary keys and the unique index on principal_group (workspace_id, name).
-- name: find_task
SELECT t.job_id, j.status, t.instructions, t.assignee_id, coalesce(a.name, t.assignee) AS assignee, t.asked_group AS "group", t.evidence, t.due_at, t.on_overdue,
       t.overdue_at, t.asked_at, k.name AS taken_by, t.taken_at, t.answer, w.name AS answered_by, t.answered_at, t.given, t.comment,
       coalesce(r.snapshot, j.context) #>> '{deployment,name}' AS deployment, coalesce(r.snapshot, j.context) #>> '{environment,name}' AS environment,
       coalesce(r.snapshot, j.context) #>> '{resource,name}' AS resource, coalesce(r.snapshot, j.context) #>> '{version,tag}' AS version,
       coalesce(r.snapshot, j.context) #>> '{workflow,name}' AS workflow,
       t.assignee_id IS NOT DISTINCT FROM $3::uuid AND $3 IS NOT NULL AS is_assignee,
       EXISTS (SELECT FROM principal_group g JOIN group_member i ON i.group_id = g.id
               WHERE g.workspace_id = t.workspace_id AND g.name = t.asked_group AND i.principal_id = $3) AS is_in_group
FROM task t JOIN job j ON j.id = t.job_id LEFT JOIN release r ON r.id = j.release_id
LEFT JOIN principal a ON a.id = t.assignee_id LEFT JOIN principal k ON k.id = t.taken_by LEFT JOIN principal w ON w.id = t.answered_by
WHERE t.workspace_id = $1 AND t.job_id = $2;

-- The tasks of a workspace as one person ($2) sees them, those that are due first before the newest. `$3` says whether only what asks that person,
-- `$4` whether those that still wait, those that are over, or all. Relies on task_open, else on task_newest.
-- name: list_tasks
SELECT t.job_id, j.status, t.instructions, t.assignee_id, coalesce(a.name, t.assignee) AS assignee, t.asked_group AS "group", t.evidence, t.due_at, t.on_overdue,
       t.overdue_at, t.asked_at, k.name AS taken_by, t.taken_at, t.answer, w.name AS answered_by, t.answered_at, t.given, t.comment,
       coalesce(r.snapshot, j.context) #>> '{deployment,name}' AS deployment, coalesce(r.snapshot, j.context) #>> '{environment,name}' AS environment,
       coalesce(r.snapshot, j.context) #>> '{resource,name}' AS resource, coalesce(r.snapshot, j.context) #>> '{version,tag}' AS version,
       coalesce(r.snapshot, j.context) #>> '{workflow,name}' AS workflow,
       t.assignee_id IS NOT DISTINCT FROM $2::uuid AND $2 IS NOT NULL AS is_assignee, coalesce(t.asked_group = ANY (mine.names), false) AS is_in_group,
       count(*) OVER () AS total
FROM task t JOIN job j ON j.id = t.job_id LEFT JOIN release r ON r.id = j.release_id
CROSS JOIN LATERAL (SELECT array_agg(g.name) AS names FROM principal_group g JOIN group_member i ON i.group_id = g.id
                    WHERE g.workspace_id = $1 AND i.principal_id = $2) mine
LEFT JOIN principal a ON a.id = t.assignee_id LEFT JOIN principal k ON k.id = t.taken_by LEFT JOIN principal w ON w.id = t.answered_by
WHERE t.workspace_id = $1
  AND (NOT $3 OR t.assignee_id = $2 OR t.asked_group = ANY (mine.names) OR t.assignee IS NULL AND t.asked_group IS NULL)
  AND CASE $4::text WHEN 'open' THEN t.answer IS NULL AND j.status IN ('queued', 'inProgress', 'actionRequired')
                    WHEN 'over' THEN NOT (t.answer IS NULL AND j.status IN ('queued', 'inProgress', 'actionRequired')) ELSE true END
ORDER BY t.due_at NULLS LAST, t.asked_at DESC, t.job_id DESC LIMIT $5 OFFSET $6;

-- By the primary key.
-- name: set_taken
UPDATE task SET taken_by = $2, taken_at = interlock_now() WHERE job_id = $1;

-- By the primary key. One answer: a second one touches no row.
-- name: set_answer
UPDATE task SET answer = $2, answered_by = $3, answered_at = interlock_now(), given = $4, comment = $5 WHERE job_id = $1 AND answer IS NULL;

-- Whether a task has become overdue with this look. By the primary keys.
-- name: note_overdue
UPDATE task t SET overdue_at = interlock_now() FROM job j
WHERE t.job_id = $1 AND j.id = t.job_id AND t.overdue_at IS NULL AND t.answer IS NULL AND t.due_at <= interlock_now()
  AND j.status IN ('queued', 'inProgress', 'actionRequired')
RETURNING t.asked_group, t.on_overdue, t.assignee_id, round(extract(epoch FROM t.due_at - t.asked_at) / 60)::float8 AS minutes;

-- When to look again. By the primary keys.
-- name: find_due
SELECT t.due_at FROM task t JOIN job j ON j.id = t.job_id
WHERE t.job_id = $1 AND t.overdue_at IS NULL AND t.answer IS NULL AND j.status IN ('queued', 'inProgress', 'actionRequired');

-- What people wrote about a job, oldest first. Relies on note_subject.
-- name: list_comments
SELECT n.id, n.body AS text, n.created_at AS at, n.author_id, p.name AS by
FROM note n LEFT JOIN principal p ON p.id::text = n.author_id
WHERE n.subject_id = $1 AND n.subject_kind = 'job' AND n.body IS NOT NULL
ORDER BY n.created_at, n.id LIMIT $2;

-- By the primary key.
-- name: insert_comment
INSERT INTO note (id, workspace_id, subject_kind, subject_id, author_kind, author_id, body) VALUES ($1, $2, 'job', $3, $4, $5, $6);
