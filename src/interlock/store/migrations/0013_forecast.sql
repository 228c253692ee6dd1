-- How long moves take, for forecasts: the newest that ended well of a deployment and environment.
CREATE INDEX move_ended_well ON move (deployment_id, environment_id, closed_at DESC) WHERE state = 'succeeded';
