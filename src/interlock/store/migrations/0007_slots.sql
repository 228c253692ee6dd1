-- Slot groups: which targets share a limit, worked out when they are matched (core.md 1, "slot", and 2, "Resolved before deciding").

CREATE TABLE target_slot (                      -- one row a target and rule that limits it; of attached targets only
    target_id    uuid NOT NULL REFERENCES target ON DELETE CASCADE,
    policy_id    uuid NOT NULL,
    rule_id      text NOT NULL,
    workspace_id uuid NOT NULL,
    key          text,                           -- the slot group; NULL: it cannot be told, which holds
    why          text,
    PRIMARY KEY (target_id, policy_id, rule_id),
    CHECK ((key IS NULL) <> (why IS NULL))
);
CREATE INDEX target_slot_of_key ON target_slot (workspace_id, key);

-- Who waits for a slot: found when one is set free.
CREATE INDEX target_decision_waits_for_slot ON target_decision (deployment_id) WHERE verdicts @> '[{"reason": "concurrency_full"}]';
