-- What is on its way to subscriptions, and what became of it.

-- The newest first, by subscription_delivery_newest; $2 a state, NULL for all.
-- name: list_deliveries
SELECT id, subscription_id, purpose, seq, event_id, kind, state, attempts, created_at, next_try_at, last_try_at, last_status, last_error,
       last_ms, ended_at
FROM subscription_delivery
WHERE subscription_id = $1 AND ($2::text IS NULL OR state = $2)
ORDER BY created_at DESC, seq DESC NULLS FIRST, id
LIMIT $3 OFFSET $4;

-- By subscription_delivery_newest.
-- name: count_deliveries
SELECT count(*) FROM subscription_delivery WHERE subscription_id = $1 AND ($2::text IS NULL OR state = $2);

-- By the primary key.
-- name: find_delivery
SELECT id, subscription_id, purpose, seq, event_id, kind, state, attempts, created_at, next_try_at, last_try_at, last_status, last_error,
       last_ms, ended_at
FROM subscription_delivery WHERE id = $1 AND subscription_id = $2;

-- The next in order, tests first, a reminder once it is due and nothing else waits ($2: tests alone). By subscription_delivery_pending.
-- name: find_next_delivery
SELECT id, subscription_id, purpose, seq, event_id, kind, state, attempts, created_at, next_try_at, last_try_at, last_status, last_error,
       last_ms, ended_at
FROM subscription_delivery
WHERE subscription_id = $1 AND state = 'pending' AND (purpose = 'test' OR NOT $2::boolean)
  AND (purpose <> 'reminder' OR next_try_at <= interlock_now())
ORDER BY purpose <> 'test', purpose = 'reminder', seq
LIMIT 1;

-- When the next reminder is due. By subscription_delivery_pending.
-- name: find_next_reminder
SELECT min(next_try_at) FROM subscription_delivery WHERE subscription_id = $1 AND state = 'pending' AND purpose = 'reminder';

-- An event is delivered to a subscription once, however often it is looked at. By the unique index; the rows given.
-- name: insert_deliveries
INSERT INTO subscription_delivery (id, subscription_id, purpose, seq, event_id, kind, next_try_at)
SELECT d.id, d.subscription_id, d.purpose, d.seq, d.event_id, d.kind, d.next_try_at
FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::bigint[], $5::uuid[], $6::text[], $7::timestamptz[])
     AS d (id, subscription_id, purpose, seq, event_id, kind, next_try_at)
ON CONFLICT (subscription_id, event_id, purpose) DO NOTHING;

-- By the primary key.
-- name: end_delivery
UPDATE subscription_delivery
SET state = $2, attempts = attempts + 1, next_try_at = NULL, last_try_at = interlock_now(), last_status = $3, last_error = $4, last_ms = $5,
    ended_at = interlock_now()
WHERE id = $1;

-- By the primary key.
-- name: postpone_delivery
UPDATE subscription_delivery
SET attempts = attempts + 1, next_try_at = $2, last_try_at = interlock_now(), last_status = $3, last_error = $4, last_ms = $5
WHERE id = $1;

-- A person wants it sent (again), now: what it went through before does not count. By the primary key.
-- name: redeliver
UPDATE subscription_delivery SET state = 'pending', attempts = 0, next_try_at = interlock_now(), ended_at = NULL WHERE id = $1;

-- What waits may go at once: its receiver is back, or a person says so. By subscription_delivery_pending.
-- name: hasten_deliveries
UPDATE subscription_delivery SET next_try_at = interlock_now(), attempts = 0
WHERE subscription_id = $1 AND state = 'pending' AND purpose <> 'reminder' AND attempts > 0;

-- A person gives it up, so that what comes after it may go. By the primary key.
-- name: park_delivery
UPDATE subscription_delivery SET state = 'parked', next_try_at = NULL, ended_at = interlock_now() WHERE id = $1 AND state = 'pending';

-- A person wants none of what waits. By subscription_delivery_pending.
-- name: park_all
UPDATE subscription_delivery SET state = 'parked', next_try_at = NULL, ended_at = interlock_now() WHERE subscription_id = $1 AND state = 'pending';

-- A batch of what ended more than so many days ago. By subscription_delivery_ended.
-- name: delete_old_deliveries
DELETE FROM subscription_delivery WHERE id IN (
    SELECT id FROM subscription_delivery WHERE state <> 'pending' AND ended_at < interlock_now() - make_interval(days => $1) LIMIT 1000);

-- One entry of the feed, by its event's id. By the unique index of ledger_order and the primary key of ledger.
-- name: find_entry
SELECT * FROM ledger_feed WHERE event_id = $1;

-- The instant of this transaction.
-- name: now
SELECT interlock_now();
