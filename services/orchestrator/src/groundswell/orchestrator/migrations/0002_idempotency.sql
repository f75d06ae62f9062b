-- What was asked under an Idempotency-Key; the id of such a request follows from its team and key.

ALTER TABLE orchestrator.requests ADD COLUMN fingerprint text;
