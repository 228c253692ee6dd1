-- Callbacks: news of a job from whoever was told to do it.

-- Whether a job runs, or was over less than $2 hours ago. Relies on job's primary key.
-- name: may_be_called_back
SELECT coalesce(completed_at > interlock_now() - make_interval(hours => $2), true) FROM job WHERE id = $1;
