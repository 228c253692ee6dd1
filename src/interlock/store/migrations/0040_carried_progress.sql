-- What a metric's next measurement needs of those before, so that samples may be thinned and none is folded twice.

ALTER TABLE verification_metric
    ADD COLUMN taken    integer NOT NULL DEFAULT 0,     -- measurements so far, those of earlier runs too
    ADD COLUMN progress jsonb;                          -- judge/carried.py; NULL: nothing yet, or written by a version before

UPDATE verification_metric m SET taken = n.taken
FROM (SELECT metric_id, max(number) AS taken FROM measurement GROUP BY metric_id) n WHERE n.metric_id = m.id;

-- What is over is not judged again, but its counts are read.
UPDATE verification_metric m
SET progress = jsonb_build_object('state', m.state, 'passed', n.passed, 'failed', n.failed, 'inconclusive', n.inconclusive, 'errored', n.errored,
                                  'passes_in_a_row', 0, 'errors_in_a_row', 0, 'window', '', 'next_at', NULL, 'decided_at', n.last_at,
                                  'reason', m.message, 'classified', NULL)
FROM (SELECT metric_id, count(*) FILTER (WHERE status = 'passed') AS passed, count(*) FILTER (WHERE status = 'failed') AS failed,
             count(*) FILTER (WHERE status = 'inconclusive') AS inconclusive, count(*) FILTER (WHERE status = 'errored') AS errored,
             to_jsonb(max(measured_at)) AS last_at
      FROM measurement GROUP BY metric_id) n
WHERE n.metric_id = m.id AND m.state <> 'running' AND NOT EXISTS (
    SELECT FROM verification v WHERE v.id = m.verification_id AND v.state = 'running');
