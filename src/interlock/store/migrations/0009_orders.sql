-- Orders: somebody, or a reaction, wants one move on one target. A round answers each, or ends it (core.md 3).

CREATE TABLE steering_order (
    id             uuid PRIMARY KEY,
    workspace_id   uuid NOT NULL REFERENCES workspace ON DELETE CASCADE,
    deployment_id  uuid NOT NULL REFERENCES deployment ON DELETE CASCADE,
    target_id      uuid NOT NULL REFERENCES target ON DELETE CASCADE,
    kind           text NOT NULL CHECK (kind IN ('redeploy', 'force', 'rollback')),
    scope          text NOT NULL CHECK (scope IN ('target', 'environment', 'deployment', 'version')),   -- how much was asked for at once
    version_id     uuid NOT NULL REFERENCES version ON DELETE CASCADE,
    release_id     uuid REFERENCES release ON DELETE CASCADE,   -- what it brings; NULL: what the target runs then, or a new one (force)
    change_id      uuid NOT NULL REFERENCES change ON DELETE CASCADE,
    starts         text NOT NULL DEFAULT 'now' CHECK (starts IN ('now', 'idle')),
    reason         text NOT NULL,
    undoes_move_id uuid,
    created_by     uuid,                         -- NULL: a round
    created_at     timestamptz NOT NULL,
    expires_at     timestamptz,
    state          text NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'answered', 'expired', 'withdrawn', 'refused')),
    end_reason     text,
    ended_by       uuid,
    ended_at       timestamptz,
    move_id        uuid,                         -- the latest move that answers it
    CHECK ((state = 'open') = (ended_at IS NULL))
);
CREATE UNIQUE INDEX steering_order_one_open ON steering_order (target_id, kind) WHERE state = 'open';
CREATE INDEX steering_order_open ON steering_order (deployment_id) WHERE state = 'open';
CREATE INDEX steering_order_newest ON steering_order (workspace_id, created_at DESC, id);
CREATE INDEX steering_order_of_deployment ON steering_order (deployment_id, created_at DESC);

-- Like the others that rounds write by the thousand, without foreign keys.
ALTER TABLE move
    ADD COLUMN order_id        uuid,             -- the order that it answers
    ADD COLUMN good_release_id uuid;             -- the target's good release when it was admitted

CREATE CONSTRAINT TRIGGER order_new_recorded AFTER INSERT ON steering_order
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION require_ledger_row();
CREATE CONSTRAINT TRIGGER order_recorded AFTER UPDATE OF state ON steering_order
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (OLD.state IS DISTINCT FROM NEW.state) EXECUTE FUNCTION require_ledger_row();
