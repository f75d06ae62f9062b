-- Teams and their keys, accepted requests, reply partitions, and what was sent to ingest.

CREATE TABLE orchestrator.teams (
    id text PRIMARY KEY CHECK (id ~ '^[a-z0-9][a-z0-9-]{0,62}$'),
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE orchestrator.api_keys (
    id text PRIMARY KEY,
    secret_sha256 bytea NOT NULL UNIQUE,
    team text NOT NULL REFERENCES orchestrator.teams,
    groups text[] NOT NULL DEFAULT '{}',
    operator boolean NOT NULL DEFAULT false,
    name text NOT NULL DEFAULT '',
    created_at timestamptz NOT NULL DEFAULT now(),
    revoked_at timestamptz
);
CREATE INDEX api_keys_by_team ON orchestrator.api_keys (team, created_at);

COMMENT ON COLUMN orchestrator.api_keys.secret_sha256 IS 'of the key as clients send it; the key itself is stored nowhere';

-- json, not jsonb: what people write may hold characters that jsonb refuses.
CREATE TABLE orchestrator.requests (
    id text PRIMARY KEY,
    team text NOT NULL,
    key_id text NOT NULL,
    model text NOT NULL,
    tier text NOT NULL,
    state text NOT NULL
        CHECK (state IN ('accepted', 'generating', 'completed', 'refused', 'failed', 'expired', 'cancelled')),
    owner text NOT NULL,
    epoch bigint NOT NULL,
    question json NOT NULL,
    prompt json,
    answer json,
    created_at timestamptz NOT NULL,
    deadline_at timestamptz NOT NULL,
    ended_at timestamptz,
    CHECK ((ended_at IS NULL) = (state IN ('accepted', 'generating'))),
    CHECK ((ended_at IS NULL) = (answer IS NULL))
);
CREATE INDEX requests_by_team ON orchestrator.requests (team, created_at DESC, id DESC);
CREATE INDEX requests_unfinished ON orchestrator.requests (deadline_at) WHERE ended_at IS NULL;
CREATE INDEX requests_ended ON orchestrator.requests (ended_at) WHERE ended_at IS NOT NULL;

CREATE TABLE orchestrator.reply_partitions (
    partition integer PRIMARY KEY CHECK (partition >= 0),
    owner text,
    epoch bigint NOT NULL DEFAULT 0,
    beat_at timestamptz NOT NULL DEFAULT now()
);

COMMENT ON COLUMN orchestrator.reply_partitions.epoch IS 'one more at each change of owner';

CREATE SEQUENCE orchestrator.revisions;

CREATE TABLE orchestrator.submissions (
    document_id text NOT NULL,
    revision bigint NOT NULL,
    team text NOT NULL,
    source text NOT NULL,
    name text NOT NULL,
    access text[] NOT NULL,
    removal boolean NOT NULL DEFAULT false,
    blob_key text,
    bytes bigint NOT NULL DEFAULT 0,
    sha256 text,
    submitted_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (document_id, revision),
    CHECK (removal = (blob_key IS NULL))
);
CREATE INDEX submissions_by_team ON orchestrator.submissions (team, document_id, revision DESC);

COMMENT ON TABLE orchestrator.submissions IS
    'what was sent to ingest, for as long as its view may not show it yet and for as long as its blob is kept';
