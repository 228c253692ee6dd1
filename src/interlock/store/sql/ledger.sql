-- The rows of one transaction, in the order they were recorded. Ids of one event are joined by chr(31).
-- name: insert_events
INSERT INTO ledger (workspace_id, actor_kind, actor_id, cause, trace_id,
                    kind, subject_kind, subject_id, refs, ref_kinds, decision_id, chain, body, digest)
SELECT $1::uuid, $2::text, $3::text, $4::text, $5::text,
       e.kind, e.subject_kind, e.subject_id, string_to_array(e.refs, chr(31)), string_to_array(e.ref_kinds, chr(31)),
       e.decision_id, e.chain, e.body, e.digest
FROM unnest($6::text[], $7::text[], $8::text[], $9::text[], $10::text[], $11::uuid[], $12::text[], $13::bytea[], $14::bytea[])
     WITH ORDINALITY AS e (kind, subject_kind, subject_id, refs, ref_kinds, decision_id, chain, body, digest, place)
ORDER BY e.place;

-- Relies on ledger_transaction. Asked without a lock, so that an idle sequencer writes nothing.
-- name: find_unplaced
SELECT EXISTS (
    SELECT FROM ledger
    WHERE xid >= (SELECT xid FROM ledger_position) AND xid < pg_snapshot_xmin(pg_current_snapshot())
      AND (xid, id) > (SELECT xid, id FROM ledger_position) AND id > (SELECT restored_id FROM ledger_position));

-- No row: another process has it.
-- name: lock_position
SELECT seq FROM ledger_position FOR UPDATE SKIP LOCKED;

-- Relies on ledger_transaction. Under the lock of lock_position, so that the position read here is the last one.
-- Every row below the snapshot's xmin belongs to a transaction that has ended, so none can appear before these later.
-- name: place_events
WITH unplaced AS MATERIALIZED (
    SELECT event_id, workspace_id, xid, id
    FROM ledger
    WHERE xid >= (SELECT xid FROM ledger_position) AND xid < pg_snapshot_xmin(pg_current_snapshot())
      AND (xid, id) > (SELECT xid, id FROM ledger_position) AND id > (SELECT restored_id FROM ledger_position)
    ORDER BY xid, id
    LIMIT $1
), numbered AS (
    SELECT unplaced.*, (SELECT seq FROM ledger_position) + row_number() OVER (ORDER BY xid, id) AS seq FROM unplaced
), placed AS (
    INSERT INTO ledger_order (seq, event_id, workspace_id) SELECT seq, event_id, workspace_id FROM numbered
), last AS (
    SELECT seq, xid, id FROM numbered ORDER BY seq DESC LIMIT 1
), moved AS (
    UPDATE ledger_position p SET seq = last.seq, xid = last.xid, id = last.id FROM last
)
SELECT count(*) FROM numbered;

-- A dump restored in another cluster finds another number here.
-- name: find_cluster
SELECT system_identifier FROM pg_control_system();

-- For settling a restored dump, which must not be skipped.
-- name: lock_position_and_wait
SELECT seq, cluster FROM ledger_position FOR UPDATE;

-- The first process ever to look writes it down.
-- name: set_cluster
UPDATE ledger_position SET cluster = $1;

-- Every row of the ledger came with the dump: nobody has written yet. Transaction numbers start again here, so from now on only
-- rows with a higher id are read.
-- name: place_restored
WITH numbered AS (
    SELECT l.event_id, l.workspace_id, (SELECT seq FROM ledger_position) + row_number() OVER (ORDER BY l.xid, l.id) AS seq
    FROM ledger l WHERE NOT EXISTS (SELECT FROM ledger_order o WHERE o.event_id = l.event_id)
), placed AS (
    INSERT INTO ledger_order (seq, event_id, workspace_id) SELECT seq, event_id, workspace_id FROM numbered
), moved AS (
    UPDATE ledger_position
    SET seq = seq + (SELECT count(*) FROM numbered), cluster = $1, xid = pg_snapshot_xmin(pg_current_snapshot()), id = 0,
        restored_id = (SELECT coalesce(max(id), 0) FROM ledger)
)
SELECT count(*) FROM numbered;

-- Which transaction holds the horizon? Prepared ones hold it too, until somebody finishes them.
-- name: find_oldest_writer
SELECT * FROM (
    SELECT 'pid ' || pid AS holder, application_name, state, xact_start AS since_at, age(backend_xid) AS age
    FROM pg_stat_activity WHERE backend_xid IS NOT NULL
    UNION ALL
    SELECT 'prepared ' || gid, NULL, 'prepared', prepared, age(transaction) FROM pg_prepared_xacts
) AS writer
ORDER BY age DESC, since_at
LIMIT 1;

-- Relies on ledger_order_workspace.
-- name: read_feed
SELECT * FROM ledger_feed
WHERE workspace_id = $1 AND seq > $2 AND ($4::text[] IS NULL OR kind = ANY ($4))
ORDER BY seq LIMIT $3;

-- Relies on ledger_order_workspace.
-- name: read_feed_back
SELECT * FROM ledger_feed
WHERE workspace_id = $1 AND seq < $2 AND ($4::text[] IS NULL OR kind = ANY ($4))
ORDER BY seq DESC LIMIT $3;

-- Relies on ledger_refs.
-- name: read_feed_of_subject
SELECT * FROM ledger_feed
WHERE workspace_id = $1 AND seq > $2 AND refs @> ARRAY[$5::text] AND ($4::text[] IS NULL OR kind = ANY ($4))
ORDER BY seq LIMIT $3;

-- Relies on ledger_refs.
-- name: read_feed_of_subject_back
SELECT * FROM ledger_feed
WHERE workspace_id = $1 AND seq < $2 AND refs @> ARRAY[$5::text] AND ($4::text[] IS NULL OR kind = ANY ($4))
ORDER BY seq DESC LIMIT $3;

-- The one row of the sequencer.
-- name: find_last_seq
SELECT seq FROM ledger_position;
