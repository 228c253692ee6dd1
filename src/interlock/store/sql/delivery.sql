-- Webhooks that came in and were acted on.

-- Waits for another transaction that acts on the same one. Relies on delivery's primary key.
-- name: note_delivery
INSERT INTO delivery (key, source, until) VALUES ($1, $2, $3) ON CONFLICT (key) DO NOTHING RETURNING key;

-- Those that their own age refuses, $1 days ago and longer. Relies on delivery_until.
-- name: delete_old_deliveries
DELETE FROM delivery WHERE key IN (SELECT key FROM delivery WHERE until < interlock_now() - make_interval(days => $1) LIMIT 5000);
