CREATE TABLE orchestrator.outbox (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    message_id text NOT NULL UNIQUE,
    topic text NOT NULL,
    partition integer,
    key text NOT NULL,
    headers json NOT NULL,
    payload bytea NOT NULL,
    deadline_at timestamptz,
    leased_until timestamptz NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX outbox_by_lease ON orchestrator.outbox (leased_until);

COMMENT ON TABLE orchestrator.outbox IS 'messages that their transaction committed and that may not be on the bus yet';
COMMENT ON COLUMN orchestrator.outbox.leased_until IS 'until then its publisher, or the sweeper that took it, publishes it';
COMMENT ON COLUMN orchestrator.outbox.deadline_at IS 'NULL: none';
