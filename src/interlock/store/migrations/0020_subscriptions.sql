-- Who is told of what happens: subscriptions to the ledger, and what is on its way to each of them.

CREATE TABLE subscription (
    id                uuid PRIMARY KEY,
    workspace_id      uuid NOT NULL REFERENCES workspace ON DELETE CASCADE,
    name              text NOT NULL,
    channel           text NOT NULL CHECK (channel IN ('webhook', 'slack', 'email')),
    url               text,                             -- of a webhook; of a chat only where it begins
    url_id            uuid,                             -- a chat's whole address is a secret
    recipients        text[] NOT NULL DEFAULT '{}',     -- of letters: addresses, group:<name>, approvers
    kinds             text[] NOT NULL,
    filter            text NOT NULL DEFAULT '',
    scope_kind        text NOT NULL DEFAULT 'workspace' CHECK (scope_kind IN ('workspace', 'system', 'deployment', 'environment')),
    scope_id          uuid,
    asked_group       text,
    templates         jsonb NOT NULL DEFAULT '{}',
    remind_after_s    double precision,
    state             text NOT NULL DEFAULT 'active' CHECK (state IN ('active', 'paused', 'disabled')),
    state_reason      text NOT NULL DEFAULT '',
    state_at          timestamptz NOT NULL DEFAULT interlock_now(),
    secret_id         uuid,                             -- what signs a webhook
    old_secret_id     uuid,
    old_secret_until  timestamptz,
    cursor_seq        bigint NOT NULL,                  -- deliveries were made of the feed up to here
    failing_since     timestamptz,
    last_delivered_at timestamptz,
    last_error        text,
    revision          integer NOT NULL DEFAULT 1,
    created_by        uuid REFERENCES principal,
    created_at        timestamptz NOT NULL DEFAULT interlock_now(),
    updated_at        timestamptz NOT NULL DEFAULT interlock_now(),
    UNIQUE (workspace_id, name)
);
CREATE INDEX subscription_active ON subscription (workspace_id, cursor_seq) WHERE state = 'active';

CREATE TABLE subscription_delivery (
    id              uuid PRIMARY KEY,                   -- the receiver's key against doubles
    subscription_id uuid NOT NULL REFERENCES subscription ON DELETE CASCADE,
    purpose         text NOT NULL CHECK (purpose IN ('event', 'reminder', 'test')),
    seq             bigint,
    event_id        uuid,
    kind            text NOT NULL,
    state           text NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'delivered', 'parked', 'skipped')),
    attempts        integer NOT NULL DEFAULT 0,
    created_at      timestamptz NOT NULL DEFAULT interlock_now(),
    next_try_at     timestamptz,
    last_try_at     timestamptz,
    last_status     integer,
    last_error      text,
    last_ms         integer,
    ended_at        timestamptz,
    UNIQUE (subscription_id, event_id, purpose)
);
CREATE INDEX subscription_delivery_pending ON subscription_delivery (subscription_id, seq) WHERE state = 'pending';
CREATE INDEX subscription_delivery_parked ON subscription_delivery (subscription_id) WHERE state = 'parked';
CREATE INDEX subscription_delivery_newest ON subscription_delivery (subscription_id, created_at DESC, id);
CREATE INDEX subscription_delivery_ended ON subscription_delivery (ended_at) WHERE state <> 'pending';

-- Whoever a rule asks for approval is written to, unless that is paused or changed. New workspaces begin with it too.
INSERT INTO subscription (id, workspace_id, name, channel, recipients, kinds, remind_after_s, cursor_seq)
SELECT gen_random_uuid(), w.id, 'approvers', 'email', '{approvers}',
       '{approval.requested,approval.given,approval.rejected,approval.withdrawn}', 86400, (SELECT seq FROM ledger_position)
FROM workspace w;

CREATE CONSTRAINT TRIGGER subscription_new_recorded AFTER INSERT ON subscription
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION require_ledger_row();
CREATE CONSTRAINT TRIGGER subscription_recorded AFTER UPDATE OF state ON subscription
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (OLD.state IS DISTINCT FROM NEW.state) EXECUTE FUNCTION require_ledger_row();
