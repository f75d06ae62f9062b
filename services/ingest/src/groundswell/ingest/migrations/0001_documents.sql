-- Documents, their versions (one text each), manifests and chunks. A document's row is the lock for everything of it.

CREATE TABLE ingest.sources (
    id text PRIMARY KEY,
    team text NOT NULL,
    name text NOT NULL,
    kind text NOT NULL DEFAULT 'upload',
    created_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (team, name)
);

CREATE TABLE ingest.documents (
    id text PRIMARY KEY,
    team text NOT NULL,
    source text NOT NULL,
    name text NOT NULL,
    access text[] NOT NULL CHECK (cardinality(access) > 0),
    newest_revision bigint,
    newest_version integer NOT NULL DEFAULT 0,
    current_version integer,
    blob_key text,
    content_sha256 text,
    bytes bigint NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL DEFAULT now(),
    deleted_at timestamptz
);
CREATE INDEX documents_by_team ON ingest.documents (team, source, name);

COMMENT ON COLUMN ingest.documents.newest_revision IS 'NULL until the first revision has been read';
COMMENT ON COLUMN ingest.documents.content_sha256 IS 'of the bytes of the newest revision, readable or not';

CREATE TABLE ingest.document_versions (
    document_id text NOT NULL REFERENCES ingest.documents ON DELETE CASCADE,
    version integer NOT NULL CHECK (version > 0),
    revision bigint NOT NULL,
    content_sha256 text NOT NULL,
    text text NOT NULL,
    title text NOT NULL,
    file_type text NOT NULL,
    chunks integer NOT NULL,
    chunks_to_embed integer NOT NULL,
    state text NOT NULL CHECK (state IN ('pending', 'live', 'superseded', 'failed')),
    tier text NOT NULL,
    updated_at timestamptz NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    embed_asked_at timestamptz NOT NULL DEFAULT now(),
    embed_asked integer NOT NULL DEFAULT 1,
    committed_at timestamptz,
    PRIMARY KEY (document_id, version)
);
CREATE INDEX document_versions_pending ON ingest.document_versions (embed_asked_at) WHERE state = 'pending';

COMMENT ON COLUMN ingest.document_versions.updated_at IS 'when the text changed, as far as its source can tell';
COMMENT ON COLUMN ingest.document_versions.chunks_to_embed IS 'distinct chunks that no committed manifest held when the version was made';
COMMENT ON COLUMN ingest.document_versions.embed_asked_at IS 'last command to the embedder or last answer from it';

CREATE TABLE ingest.chunks (
    document_id text NOT NULL REFERENCES ingest.documents ON DELETE CASCADE,
    content_hash text NOT NULL,
    chunk_id uuid NOT NULL UNIQUE,
    text text NOT NULL,
    state text NOT NULL CHECK (state IN ('wanted', 'live', 'collected')),
    PRIMARY KEY (document_id, content_hash)
);
CREATE INDEX chunks_not_live ON ingest.chunks (document_id) WHERE state <> 'live';

COMMENT ON COLUMN ingest.chunks.text IS 'overlap and core: what content_hash (sha256, hex) is of; empty when the document was removed';

CREATE TABLE ingest.manifest_entries (
    document_id text NOT NULL,
    version integer NOT NULL,
    ordinal integer NOT NULL,
    content_hash text NOT NULL,
    overlap_start integer NOT NULL,
    start_offset integer NOT NULL,
    end_offset integer NOT NULL,
    heading text[] NOT NULL,
    page integer,
    PRIMARY KEY (document_id, version, ordinal),
    FOREIGN KEY (document_id, version) REFERENCES ingest.document_versions ON DELETE CASCADE,
    FOREIGN KEY (document_id, content_hash) REFERENCES ingest.chunks ON DELETE CASCADE,
    CHECK (0 <= overlap_start AND overlap_start <= start_offset AND start_offset < end_offset)
);
CREATE INDEX manifest_entries_by_chunk ON ingest.manifest_entries (document_id, content_hash, version);

COMMENT ON COLUMN ingest.manifest_entries.start_offset IS 'code points of the version''s text; cores [start_offset, end_offset) partition it';

CREATE TABLE ingest.failures (
    document_id text NOT NULL REFERENCES ingest.documents ON DELETE CASCADE,
    revision bigint NOT NULL,
    code text NOT NULL,
    reason text NOT NULL,
    failed_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (document_id, revision)
);

-- What answers may be made of, now. By chunk_id, and by (document_id, ordinal) for neighbours.
CREATE VIEW ingest.current_passages AS
SELECT
    chunks.chunk_id,
    documents.id AS document_id,
    documents.team,
    entries.content_hash,
    entries.version,
    entries.ordinal,
    entries.start_offset,
    entries.end_offset,
    entries.heading,
    entries.page,
    versions.title,
    versions.file_type,
    documents.source,
    documents.name,
    versions.updated_at,
    documents.access,
    substr(chunks.text, entries.start_offset - entries.overlap_start + 1) AS text
FROM ingest.documents
JOIN ingest.document_versions AS versions ON versions.document_id = documents.id AND versions.version = documents.current_version
JOIN ingest.manifest_entries AS entries ON entries.document_id = documents.id AND entries.version = documents.current_version
JOIN ingest.chunks ON chunks.document_id = documents.id AND chunks.content_hash = entries.content_hash
WHERE documents.deleted_at IS NULL;

-- One row a document. `version` is the live one; title, chunks and updated_at are the newest readable text's.
CREATE VIEW ingest.documents_overview AS
SELECT
    documents.team,
    documents.id AS document_id,
    documents.source,
    documents.name,
    documents.access,
    coalesce(newest.title, documents.name) AS title,
    newest.file_type,
    documents.current_version AS version,
    nullif(documents.newest_version, 0) AS newest_version,
    CASE
        WHEN documents.deleted_at IS NOT NULL THEN 'removed'
        WHEN failures.code IS NOT NULL THEN 'failed'
        ELSE coalesce(newest.state, 'reading')
    END AS state,
    coalesce(newest.chunks, 0) AS chunks,
    documents.bytes,
    failures.code AS failure_code,
    failures.reason AS failure_reason,
    documents.content_sha256 AS sha256,
    documents.newest_revision AS revision,
    newest.updated_at,
    newest.committed_at,
    documents.created_at,
    documents.deleted_at
FROM ingest.documents
LEFT JOIN ingest.document_versions AS newest ON newest.document_id = documents.id AND newest.version = documents.newest_version
LEFT JOIN ingest.failures ON failures.document_id = documents.id AND failures.revision = documents.newest_revision;

-- The texts that citations point into: of every version that was ever live and is still kept.
CREATE VIEW ingest.document_texts AS
SELECT
    documents.team,
    documents.id AS document_id,
    documents.access,
    versions.version,
    versions.version = documents.current_version AS is_current,
    versions.title,
    versions.file_type,
    versions.text,
    versions.updated_at,
    versions.committed_at
FROM ingest.documents
JOIN ingest.document_versions AS versions ON versions.document_id = documents.id
WHERE documents.deleted_at IS NULL AND versions.committed_at IS NOT NULL;

GRANT SELECT ON ingest.current_passages TO retriever;
GRANT SELECT ON ingest.documents_overview, ingest.document_texts TO orchestrator;
