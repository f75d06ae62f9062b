-- The index filters by the access list that came with a chunk: one under another list must be sent again.

ALTER TABLE ingest.chunks ADD COLUMN access text[];
UPDATE ingest.chunks SET access = documents.access FROM ingest.documents WHERE documents.id = chunks.document_id;
ALTER TABLE ingest.chunks ALTER COLUMN access SET NOT NULL;

COMMENT ON COLUMN ingest.chunks.access IS 'with which it was last sent to the embedder';
