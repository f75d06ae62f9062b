-- Where the replies to a request arrive, so that another replica can carry it on.

ALTER TABLE orchestrator.requests
    ADD COLUMN reply_partition integer,
    ADD COLUMN reply_offset bigint NOT NULL DEFAULT 0;

CREATE INDEX requests_orphaned ON orchestrator.requests (reply_partition) WHERE ended_at IS NULL;

COMMENT ON COLUMN orchestrator.requests.reply_offset IS 'no reply to the request lies before it on its reply topic';
