-- A pause may end by itself: a round opens the rollout again at this instant. NULL: a person does.

ALTER TABLE rollout ADD COLUMN paused_until timestamptz;
