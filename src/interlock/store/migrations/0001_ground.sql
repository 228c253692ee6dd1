-- The ground the core stands on: time, work, the ledger with its order, blobs and notes. core.md sections 7 and 8.
--
-- Nothing here is newer than PostgreSQL 15 and nothing needs an extension.

-- Time -----------------------------------------------------------------------------------------------------------------------

-- The one source of time in SQL: the start of the transaction, or what the simulator set for it. Leases do not use it: they
-- measure the real life of a process, with clock_timestamp().
CREATE FUNCTION interlock_now() RETURNS timestamptz LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT coalesce(nullif(current_setting('interlock.now', true), '')::timestamptz, now())
$$;

-- Work -----------------------------------------------------------------------------------------------------------------------

-- "This key needs a look, no later than T."
--
-- An epoch is drawn for every claim and never twice, so a slow worker is fenced even when its item was deleted and asked for again.
CREATE SEQUENCE work_epoch;

CREATE TABLE work (
    kind           text NOT NULL COLLATE "C",
    key            text NOT NULL COLLATE "C",
    workspace_id   uuid,
    priority       smallint NOT NULL DEFAULT 50 CHECK (priority IN (10, 30, 50, 90)),   -- people, own facts, fan-out, sweep
    ready_at       timestamptz NOT NULL,          -- never before backoff_until
    again_at       timestamptz,                   -- asked for while it ran or lay buried
    again_priority smallint CHECK (again_priority IN (10, 30, 50, 90)),
    backoff_until  timestamptz,
    owner          text,                          -- the worker that has it; NULL: it waits
    epoch          bigint NOT NULL DEFAULT 0,
    leased_until   timestamptz,
    attempts       integer NOT NULL DEFAULT 0,    -- failures in a row
    last_error     text,
    buried_at      timestamptz,
    dug_up_at      timestamptz,
    PRIMARY KEY (kind, key),
    CHECK ((owner IS NULL) = (leased_until IS NULL)),
    CHECK (buried_at IS NULL OR owner IS NULL)
)
-- Every item is written several times within milliseconds and then deleted: leave room for updates in place, and clean early.
WITH (fillfactor = 70, autovacuum_vacuum_threshold = 200, autovacuum_vacuum_scale_factor = 0.02,
      autovacuum_analyze_threshold = 500, autovacuum_vacuum_cost_delay = 0);

-- A claim and a renewal change none of these columns, so they are updates in place.
CREATE INDEX work_due ON work (kind, priority, ready_at) WHERE buried_at IS NULL;
CREATE INDEX work_buried ON work (kind, again_at) WHERE buried_at IS NOT NULL;

-- Ledger ---------------------------------------------------------------------------------------------------------------------

-- Every transition, once, with who and why. Rows carry their transaction and never change; their place in the feed is given
-- later, in ledger_order, because transactions commit in another order than they write.
CREATE TABLE ledger (
    event_id       uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    id             bigint NOT NULL GENERATED ALWAYS AS IDENTITY,   -- orders the rows of one transaction
    workspace_id   uuid,
    kind           text NOT NULL,
    schema_version smallint NOT NULL DEFAULT 1,
    subject_kind   text NOT NULL,
    subject_id     text NOT NULL,
    refs           text[] NOT NULL,      -- ids of all it is about, the subject first
    ref_kinds      text[] NOT NULL,      -- what each of them is
    actor_kind     text NOT NULL,
    actor_id       text NOT NULL,
    cause          text NOT NULL,
    decision_id    uuid,
    chain          text,                 -- the change it belongs to
    trace_id       text,
    at             timestamptz NOT NULL DEFAULT interlock_now(),
    body           bytea NOT NULL,       -- canonical JSON, RFC 8785
    digest         bytea NOT NULL,       -- SHA-256 of body
    xid            xid8 NOT NULL DEFAULT pg_current_xact_id(),
    CHECK (refs[1] = subject_id AND cardinality(refs) = cardinality(ref_kinds))
);

-- The guard below looks here for the rows of its own transaction; the sequencer reads from its position on.
CREATE INDEX ledger_transaction ON ledger (xid, subject_id);
-- "What happened to this thing?" Without a pending list: a page waits for the answer, and the guard asks once per changed row.
CREATE INDEX ledger_refs ON ledger USING gin (refs) WITH (fastupdate = off);

CREATE TABLE ledger_order (
    seq          bigint PRIMARY KEY,     -- 1, 2, 3, … without a gap
    event_id     uuid NOT NULL UNIQUE,
    workspace_id uuid
);
CREATE INDEX ledger_order_workspace ON ledger_order (workspace_id, seq);

-- The feed: what has its place, in one shape for every reader.
CREATE VIEW ledger_feed AS
    SELECT o.seq, o.event_id, o.workspace_id, l.kind, l.schema_version, l.refs, l.ref_kinds, l.actor_kind, l.actor_id, l.cause,
           l.decision_id, l.chain, l.trace_id, l.at, l.body, l.digest
    FROM ledger_order o JOIN ledger l USING (event_id);

-- Where the sequencer stands: one row, whose lock is its lease. `cluster` tells that a dump was restored elsewhere, where
-- transaction numbers start again.
CREATE TABLE ledger_position (
    only_one    boolean PRIMARY KEY DEFAULT true CHECK (only_one),
    seq         bigint NOT NULL DEFAULT 0,
    xid         xid8 NOT NULL DEFAULT '0',
    id          bigint NOT NULL DEFAULT 0,
    restored_id bigint NOT NULL DEFAULT 0,   -- rows up to here came with a dump and have their place
    cluster     bigint
);
INSERT INTO ledger_position DEFAULT VALUES;

CREATE FUNCTION refuse_ledger_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'The ledger is append-only: % is refused.', TG_OP USING ERRCODE = 'restrict_violation';
END
$$;
CREATE TRIGGER ledger_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_ledger_change();

-- For status columns: a deferred constraint trigger that refuses a change without a ledger row of the same transaction that names
-- the row (as subject, or among its refs). Use it so:
--
--     CREATE CONSTRAINT TRIGGER job_status_has_ledger_row AFTER UPDATE OF status ON job
--         DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (OLD.status IS DISTINCT FROM NEW.status)
--         EXECUTE FUNCTION require_ledger_row();
--
-- A plan that was made while the ledger was small must not become a scan of a large one, hence the setting. And the second
-- question must go by ledger_refs, not through all rows of a large transaction (20 s instead of 0.6 s for 10,000 rows): hence
-- the comparison as text, which no index serves.
CREATE FUNCTION require_ledger_row() RETURNS trigger LANGUAGE plpgsql SET enable_seqscan = off AS $$
BEGIN
    IF EXISTS (SELECT FROM ledger WHERE xid = pg_current_xact_id() AND subject_id = NEW.id::text) THEN
        RETURN NULL;
    END IF;
    IF EXISTS (SELECT FROM ledger WHERE refs @> ARRAY[NEW.id::text] AND xid::text = pg_current_xact_id()::text) THEN
        RETURN NULL;
    END IF;
    RAISE EXCEPTION 'A change of % % has no ledger row in its transaction.', TG_TABLE_NAME, NEW.id
        USING ERRCODE = 'integrity_constraint_violation',
              HINT = 'Write it through Tx.record with the event that names it.';
END
$$;

-- Blobs and notes ------------------------------------------------------------------------------------------------------------

-- Content-addressed: what decisions rested on, and other bytes worth keeping once. `digest` is SHA-256 of the content; `body`
-- may hold it compressed.
CREATE TABLE blob (
    digest       bytea PRIMARY KEY CHECK (octet_length(digest) = 32),
    body         bytea NOT NULL,
    created_at   timestamptz NOT NULL DEFAULT interlock_now(),
    last_used_at timestamptz NOT NULL DEFAULT interlock_now()
);
ALTER TABLE blob ALTER COLUMN body SET STORAGE EXTERNAL;   -- it is compressed already
CREATE INDEX blob_last_used ON blob (last_used_at);

-- What a person wrote (reasons, comments). Kept apart from the ledger, so that it can be erased while the ledger stays.
CREATE TABLE note (
    id           uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    workspace_id uuid,
    subject_kind text NOT NULL,
    subject_id   text NOT NULL,
    author_kind  text NOT NULL,
    author_id    text NOT NULL,
    body         text,                   -- NULL: erased
    created_at   timestamptz NOT NULL DEFAULT interlock_now(),
    erased_at    timestamptz,
    CHECK ((body IS NULL) = (erased_at IS NOT NULL))
);
CREATE INDEX note_subject ON note (subject_id, created_at);
