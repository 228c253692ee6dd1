-- Keys of one statement are distinct and the rows are locked in (kind, key) order, as everywhere: no two requests can deadlock.
-- ON CONFLICT locks the row even where WHERE is false, so whoever claims it next sees the fact behind this request.
-- least() and greatest() ignore NULL.
-- The lane of a job's looks is its agent; that of a metric's or an objective's is where its provider is called: a tool that hangs holds up its own alone.
-- name: request_work
INSERT INTO work AS w (kind, key, workspace_id, priority, ready_at, lane)
SELECT r.kind, r.key, r.workspace_id, r.priority, coalesce(r.ready_at, interlock_now()),
       CASE WHEN r.kind IN ('dispatch', 'observe') AND r.key ~ '^[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}$'
            THEN (SELECT j.agent_id::text FROM job j WHERE j.id = r.key::uuid)
            WHEN r.kind = 'measure' AND r.key ~ '^[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}$'
            THEN (SELECT left(concat_ws(' ', p ->> 'type', substring(coalesce(p ->> 'address', p ->> 'url', p ->> 'site') from '^(?:[a-z]+://)?[^/?#]*')), 200)
                  FROM verification_metric m, LATERAL (SELECT m.spec -> 'provider') AS one (p) WHERE m.id = r.key::uuid)
            WHEN r.kind = 'slo' AND r.key ~ '^[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}$'
            THEN (SELECT left(concat_ws(' ', p ->> 'type', substring(coalesce(p ->> 'address', p ->> 'url', p ->> 'site') from '^(?:[a-z]+://)?[^/?#]*')), 200)
                  FROM slo s, LATERAL (SELECT s.spec -> 'provider') AS one (p) WHERE s.id = r.key::uuid) END
FROM unnest($1::text[], $2::text[], $3::uuid[], $4::smallint[], $5::timestamptz[])
     AS r (kind, key, workspace_id, priority, ready_at)
ORDER BY r.kind COLLATE "C", r.key COLLATE "C"
ON CONFLICT (kind, key) DO UPDATE SET
    -- It waits: bring it forward, never over the back-off. It lies buried and may be dug up: now. It runs: leave it.
    ready_at = CASE
        WHEN w.owner IS NOT NULL THEN w.ready_at
        WHEN w.buried_at IS NULL THEN greatest(least(w.ready_at, excluded.ready_at), w.backoff_until)
        WHEN w.dug_up_at IS NULL OR w.dug_up_at <= interlock_now() - interval '1 minute' THEN excluded.ready_at
        ELSE w.ready_at END,
    priority = CASE WHEN w.owner IS NULL THEN least(w.priority, excluded.priority) ELSE w.priority END,
    -- It runs: look again afterwards. It was dug up less than a minute ago: dig it up when the minute has passed.
    again_at = CASE
        WHEN w.owner IS NOT NULL THEN least(w.again_at, excluded.ready_at)
        WHEN w.dug_up_at > interlock_now() - interval '1 minute' AND w.buried_at IS NOT NULL
            THEN greatest(least(w.again_at, excluded.ready_at), w.dug_up_at + interval '1 minute')
        WHEN w.buried_at IS NOT NULL THEN NULL
        ELSE w.again_at END,
    again_priority = CASE
        WHEN w.owner IS NOT NULL THEN least(w.again_priority, excluded.priority) ELSE w.again_priority END,
    buried_at = CASE WHEN w.dug_up_at > interlock_now() - interval '1 minute' THEN w.buried_at END,
    backoff_until = CASE WHEN w.buried_at IS NULL THEN w.backoff_until END,
    dug_up_at = CASE
        WHEN w.buried_at IS NULL OR w.dug_up_at > interlock_now() - interval '1 minute' THEN w.dug_up_at
        ELSE interlock_now() END
WHERE w.buried_at IS NOT NULL
   OR (w.owner IS NULL AND excluded.ready_at < w.ready_at AND w.ready_at IS DISTINCT FROM w.backoff_until)
   OR (w.owner IS NULL AND excluded.priority < w.priority)
   OR (w.owner IS NOT NULL AND (w.again_at IS NULL OR excluded.ready_at < w.again_at))
   OR (w.owner IS NOT NULL AND excluded.priority < w.again_priority);

-- Relies on work_due: one range of it per priority and kind, most urgent first; the outer LIMIT stops pulling, so exactly the
-- rows that are claimed are locked. A lease that has ended is work like any other, and counts as a failed attempt.
-- A look asked for before now is the one that begins now. $5 are lanes that have their share.
-- name: claim_work
WITH picked AS MATERIALIZED (
    SELECT due.kind, due.key, due.recovered
    FROM (SELECT priority, kind FROM unnest('{10,30,50,90}'::smallint[]) AS priority, unnest($1::text[]) AS kind
          ORDER BY priority) AS class
    CROSS JOIN LATERAL (
        SELECT w.kind, w.key, w.owner IS NOT NULL AS recovered
        FROM work w
        WHERE w.kind = class.kind AND w.priority = class.priority AND w.buried_at IS NULL AND w.ready_at <= interlock_now()
          AND (w.owner IS NULL OR w.leased_until <= clock_timestamp()) AND (w.lane IS NULL OR w.lane <> ALL ($5::text[]))
        ORDER BY w.ready_at
        LIMIT $2
        FOR UPDATE SKIP LOCKED
    ) AS due
    LIMIT $2
)
UPDATE work w
SET owner = $3, epoch = nextval('work_epoch'), leased_until = clock_timestamp() + make_interval(secs => $4),
    attempts = w.attempts + picked.recovered::integer,
    last_error = CASE WHEN picked.recovered THEN 'Worker ' || w.owner || ' did not come back from it.' ELSE w.last_error END,
    again_at = CASE WHEN w.again_at > interlock_now() THEN w.again_at END,
    again_priority = CASE WHEN w.again_at > interlock_now() THEN w.again_priority END
FROM picked
WHERE w.kind = picked.kind AND w.key = picked.key
RETURNING w.kind, w.key, w.workspace_id, w.owner, w.epoch, w.attempts, w.ready_at, picked.recovered, w.lane;

-- Relies on work_due. Seconds until something waiting becomes ready; NULL when nothing will by itself.
-- name: find_next_ready
SELECT extract(epoch FROM min(soon.ready_at) - interlock_now())::float8
FROM unnest('{10,30,50,90}'::smallint[]) AS priority, unnest($1::text[]) AS wanted (kind)
CROSS JOIN LATERAL (
    SELECT w.ready_at FROM work w
    WHERE w.kind = wanted.kind AND w.priority = priority AND w.buried_at IS NULL AND w.ready_at > interlock_now()
    ORDER BY w.ready_at
    LIMIT 1
) AS soon;

-- Relies on work_buried. What was asked for while it lay buried and had been dug up less than a minute before.
-- name: dig_up_work
WITH ripe AS MATERIALIZED (
    SELECT kind, key FROM work
    WHERE kind = ANY ($1::text[]) AND buried_at IS NOT NULL AND again_at <= interlock_now()
    ORDER BY kind, key
    FOR UPDATE SKIP LOCKED
)
UPDATE work w
SET buried_at = NULL, dug_up_at = interlock_now(), ready_at = w.again_at, backoff_until = NULL, again_at = NULL,
    again_priority = NULL
FROM ripe
WHERE w.kind = ripe.kind AND w.key = ripe.key;

-- A row that another transaction holds is skipped: it gets its turn at the next renewal, and others do not wait for it.
-- name: renew_work
WITH held AS MATERIALIZED (
    SELECT w.kind, w.key
    FROM unnest($2::text[], $3::text[], $4::bigint[]) AS c (kind, key, epoch)
    JOIN work w ON w.kind = c.kind AND w.key = c.key AND w.epoch = c.epoch
    WHERE w.owner = $1
    FOR UPDATE OF w SKIP LOCKED
)
UPDATE work w
SET leased_until = clock_timestamp() + make_interval(secs => $5)
FROM held
WHERE w.kind = held.kind AND w.key = held.key
RETURNING w.kind, w.key;

-- Lock first, then delete or hand on. Two branches of one statement share a snapshot: without the lock a request in between
-- is in neither, and the item stays leased for ever. What is asked for by the run itself comes as c.again_at.
-- name: finish_work
WITH held AS MATERIALIZED (
    SELECT w.kind, w.key, least(w.again_at, c.again_at) AS again_at
    FROM unnest($2::text[], $3::text[], $4::bigint[], $5::timestamptz[]) AS c (kind, key, epoch, again_at)
    JOIN work w ON w.kind = c.kind AND w.key = c.key AND w.epoch = c.epoch
    WHERE w.owner = $1
    ORDER BY w.kind, w.key
    FOR UPDATE OF w
), deleted AS (
    DELETE FROM work w USING held WHERE w.kind = held.kind AND w.key = held.key AND held.again_at IS NULL
), handed_on AS (
    UPDATE work w
    SET owner = NULL, leased_until = NULL, ready_at = held.again_at, priority = coalesce(w.again_priority, w.priority),
        again_at = NULL, again_priority = NULL, backoff_until = NULL, attempts = 0, last_error = NULL, dug_up_at = NULL
    FROM held
    WHERE w.kind = held.kind AND w.key = held.key AND held.again_at IS NOT NULL
)
SELECT kind, key, again_at FROM held;

-- $5 error, $6 attempts at which it is buried (NULL: never), $7 bury now, $8 seconds to wait (NULL: back off), $9 first and
-- $10 longest back-off. The back-off doubles, with half of it left to chance, so that many that failed together do not come
-- back together. A look that was asked for meanwhile stays asked for; a buried item is dug up for it a minute later.
-- name: fail_work
UPDATE work w
SET owner = NULL, leased_until = NULL, attempts = w.attempts + 1, last_error = left($5::text, 2000),
    ready_at = interlock_now() + make_interval(secs => wait.s),
    backoff_until = interlock_now() + make_interval(secs => wait.s),
    buried_at = CASE WHEN wait.bury THEN interlock_now() END,
    again_at = CASE
        WHEN wait.bury AND w.again_at IS NOT NULL THEN greatest(w.again_at, interlock_now() + interval '1 minute')
        ELSE w.again_at END
FROM (
    SELECT h.kind, h.key, $7::boolean OR coalesce(h.attempts + 1 >= $6::integer, false) AS bury,
           CASE WHEN $8::float8 IS NULL
                THEN least($10::float8, $9::float8 * power(2, least(h.attempts, 30))) * (0.5 + random() / 2)
                ELSE least($8::float8, 3600) END AS s
    FROM work h
    WHERE h.kind = $2 AND h.key = $3 AND h.owner = $1 AND h.epoch = $4
    FOR UPDATE
) AS wait
WHERE w.kind = wait.kind AND w.key = wait.key
RETURNING w.attempts, w.buried_at IS NOT NULL AS buried;

-- Give back what was not done, $5 seconds from now; no attempt is counted.
-- name: release_work
WITH held AS MATERIALIZED (
    SELECT w.kind, w.key
    FROM unnest($2::text[], $3::text[], $4::bigint[]) AS c (kind, key, epoch)
    JOIN work w ON w.kind = c.kind AND w.key = c.key AND w.epoch = c.epoch
    WHERE w.owner = $1
    ORDER BY w.kind, w.key
    FOR UPDATE OF w
)
UPDATE work w
SET owner = NULL, leased_until = NULL,
    ready_at = CASE WHEN $5::float8 > 0 THEN interlock_now() + make_interval(secs => $5) ELSE w.ready_at END
FROM held
WHERE w.kind = held.kind AND w.key = held.key
RETURNING w.kind, w.key;

-- By primary key: all the rows a transaction will touch at its end, in the one order.
-- name: lock_work
SELECT w.kind, w.key, w.owner, w.epoch
FROM work w
WHERE (w.kind, w.key) IN (SELECT * FROM unnest($1::text[], $2::text[]))
ORDER BY w.kind, w.key
FOR UPDATE;

-- By primary key, without a lock.
-- name: find_claim
SELECT EXISTS (SELECT FROM work WHERE kind = $1 AND key = $2 AND owner = $3 AND epoch = $4);

-- For a person; reads the table, which holds what is waiting and no history.
-- name: list_work
SELECT kind, key, workspace_id, priority, ready_at, again_at, backoff_until, owner, leased_until, attempts, last_error,
       buried_at, dug_up_at,
       CASE WHEN buried_at IS NOT NULL THEN 'buried'
            WHEN owner IS NOT NULL THEN 'running'
            WHEN ready_at <= interlock_now() THEN 'due'
            ELSE 'waiting' END AS state
FROM work
WHERE ($1::text IS NULL OR kind = $1)
  AND ($2::text IS NULL OR $2 = CASE WHEN buried_at IS NOT NULL THEN 'buried'
                                     WHEN owner IS NOT NULL THEN 'running'
                                     WHEN ready_at <= interlock_now() THEN 'due'
                                     ELSE 'waiting' END)
ORDER BY buried_at IS NULL, priority, ready_at, kind, key
LIMIT $3;

-- A person wants it looked at now: nothing it did before counts.
-- name: retry_work
UPDATE work
SET buried_at = NULL, dug_up_at = NULL, backoff_until = NULL, attempts = 0,
    ready_at = CASE WHEN owner IS NULL THEN least(ready_at, interlock_now()) ELSE ready_at END,
    again_at = CASE WHEN owner IS NOT NULL THEN least(again_at, interlock_now()) WHEN buried_at IS NULL THEN again_at END
WHERE kind = $1 AND key = $2
RETURNING kind;

-- A worker that has it is fenced off: its commit finds another owner.
-- name: bury_work
UPDATE work
SET buried_at = interlock_now(), owner = NULL, leased_until = NULL, last_error = left($3::text, 2000), again_at = NULL,
    again_priority = NULL
WHERE kind = $1 AND key = $2
RETURNING kind;

-- One row per kind, for /metrics and health.
-- name: measure_work
SELECT kind,
       count(*) FILTER (WHERE buried_at IS NULL AND owner IS NULL AND ready_at <= interlock_now()) AS due,
       count(*) FILTER (WHERE buried_at IS NULL AND owner IS NULL AND ready_at > interlock_now()) AS waiting,
       count(*) FILTER (WHERE owner IS NOT NULL) AS running,
       count(*) FILTER (WHERE buried_at IS NOT NULL) AS buried,
       coalesce(extract(epoch FROM interlock_now() - min(ready_at)
           FILTER (WHERE buried_at IS NULL AND owner IS NULL AND ready_at <= interlock_now()))::float8, 0) AS oldest_s
FROM work
GROUP BY kind
ORDER BY kind;
