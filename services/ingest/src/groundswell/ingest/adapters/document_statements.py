"""The statements of `postgres_documents`.

`%(id)s` is the document whose row is locked, `%(newest)s` the number of its newest version.
"""

ENROL = """
INSERT INTO ingest.documents (id, team, source, name, access)
VALUES (%(id)s, %(team)s, %(source)s, %(name)s, %(access)s)
ON CONFLICT (id) DO NOTHING
"""

LOCK = """
SELECT id, team, source, name, access, newest_revision, newest_version, deleted_at IS NOT NULL AS is_deleted
FROM ingest.documents WHERE id = %(id)s FOR UPDATE
"""

NEWEST_VERSION = """
SELECT version, revision, content_sha256, state, title, file_type, updated_at, tier, chunks, chunks_to_embed
FROM ingest.document_versions WHERE document_id = %(id)s AND version = %(newest)s
"""

FAILURE = "SELECT code, reason FROM ingest.failures WHERE document_id = %(id)s AND revision = %(revision)s"

NOTE_REVISION = """
WITH source AS (
    INSERT INTO ingest.sources (id, team, name) VALUES (%(source_id)s, %(team)s, %(source)s) ON CONFLICT DO NOTHING
),
forgiven AS (DELETE FROM ingest.failures WHERE document_id = %(id)s AND revision = %(revision)s)
UPDATE ingest.documents
SET newest_revision = %(revision)s, source = %(source)s, name = %(name)s, access = %(access)s, blob_key = %(blob_key)s,
    content_sha256 = %(content_sha256)s, bytes = %(bytes)s, deleted_at = NULL
WHERE id = %(id)s
"""

SKIP_REVISION = """
UPDATE ingest.documents
SET newest_revision = %(revision)s, blob_key = NULL, content_sha256 = NULL, bytes = 0, deleted_at = NULL
WHERE id = %(id)s
"""

HELD_HASHES = """
SELECT chunks.content_hash FROM ingest.chunks
JOIN ingest.documents ON documents.id = chunks.document_id AND documents.access = chunks.access
WHERE chunks.document_id = %(id)s AND chunks.content_hash = ANY(%(hashes)s) AND EXISTS (
    SELECT FROM ingest.manifest_entries AS entries
    JOIN ingest.document_versions AS versions USING (document_id, version)
    WHERE entries.document_id = %(id)s AND entries.content_hash = chunks.content_hash
        AND versions.committed_at IS NOT NULL
)
"""

SUPERSEDE_UNCOMMITTED = """
UPDATE ingest.document_versions SET state = 'superseded'
WHERE document_id = %(id)s AND version = %(newest)s AND state IN ('pending', 'failed')
"""

ADD_VERSION = """
WITH made AS (UPDATE ingest.documents SET newest_version = %(newest)s WHERE id = %(id)s)
INSERT INTO ingest.document_versions
    (document_id, version, revision, content_sha256, text, title, file_type, chunks, chunks_to_embed, state, tier,
     updated_at)
VALUES
    (%(id)s, %(newest)s, %(revision)s, %(content_sha256)s, %(text)s, %(title)s, %(file_type)s, %(chunks)s,
     %(chunks_to_embed)s, %(state)s, %(tier)s, %(updated_at)s)
"""

WANT_CHUNK = """
INSERT INTO ingest.chunks (document_id, content_hash, chunk_id, text, state, access)
SELECT id, %(content_hash)s, %(chunk_id)s, %(text)s, 'wanted', access FROM ingest.documents WHERE id = %(id)s
ON CONFLICT (document_id, content_hash)
DO UPDATE SET state = 'wanted', text = excluded.text, access = excluded.access
"""

COPY_MANIFEST = """
COPY ingest.manifest_entries
    (document_id, version, ordinal, content_hash, overlap_start, start_offset, end_offset, heading)
FROM STDIN
"""

RESTART_VERSION = """
UPDATE ingest.document_versions
SET revision = %(revision)s, state = 'pending', embed_asked_at = now(), embed_asked = 1
WHERE document_id = %(id)s AND version = %(newest)s AND state <> 'live'
"""

FAIL = """
WITH failed AS (
    UPDATE ingest.document_versions SET state = 'failed'
    WHERE document_id = %(id)s AND version = %(newest)s AND revision = %(revision)s AND state = 'pending'
)
INSERT INTO ingest.failures (document_id, revision, code, reason) VALUES (%(id)s, %(revision)s, %(code)s, %(reason)s)
ON CONFLICT (document_id, revision) DO UPDATE SET code = excluded.code, reason = excluded.reason, failed_at = now()
"""

MISSING_CHUNKS = """
SELECT chunks.chunk_id, chunks.content_hash, chunks.text
FROM ingest.chunks
JOIN LATERAL (
    SELECT min(ordinal) AS ordinal FROM ingest.manifest_entries AS entries
    WHERE entries.document_id = chunks.document_id AND entries.content_hash = chunks.content_hash
        AND entries.version = %(newest)s
) AS first ON first.ordinal IS NOT NULL
WHERE chunks.document_id = %(id)s AND chunks.state <> 'live'
ORDER BY first.ordinal
"""

HAS_MISSING_CHUNKS = """
SELECT EXISTS (
    SELECT FROM ingest.chunks
    JOIN ingest.manifest_entries AS entries USING (document_id, content_hash)
    WHERE chunks.document_id = %(id)s AND chunks.state <> 'live' AND entries.version = %(newest)s
) AS has_missing
"""

MARK_LIVE = """
WITH heard AS (
    UPDATE ingest.document_versions SET embed_asked_at = now()
    WHERE document_id = %(id)s AND version = %(newest)s AND state = 'pending'
)
UPDATE ingest.chunks SET state = 'live'
WHERE document_id = %(id)s AND content_hash = ANY(%(hashes)s) AND state = 'wanted'
"""

SUPERSEDE_CURRENT = """
UPDATE ingest.document_versions SET state = 'superseded'
WHERE document_id = %(id)s AND state = 'live'
    AND version = (SELECT current_version FROM ingest.documents WHERE id = %(id)s)
"""

COMMIT_NEWEST = """
WITH current AS (UPDATE ingest.documents SET current_version = %(newest)s WHERE id = %(id)s),
live AS (
    UPDATE ingest.document_versions SET state = 'live', committed_at = now()
    WHERE document_id = %(id)s AND version = %(newest)s RETURNING revision
)
DELETE FROM ingest.failures WHERE document_id = %(id)s AND revision <= (SELECT revision FROM live)
"""

DROP_VERSIONS = "DELETE FROM ingest.document_versions WHERE document_id = %(id)s"

EMPTY_CHUNKS = "UPDATE ingest.chunks SET text = '' WHERE document_id = %(id)s"

MARK_REMOVED = """
WITH forgiven AS (DELETE FROM ingest.failures WHERE document_id = %(id)s)
UPDATE ingest.documents
SET newest_revision = %(revision)s, current_version = NULL, deleted_at = now(), blob_key = NULL, content_sha256 = NULL,
    bytes = 0
WHERE id = %(id)s
"""

CLAIM_STRANDED = """
UPDATE ingest.document_versions AS versions SET embed_asked_at = now(), embed_asked = embed_asked + 1
FROM (
    SELECT document_id, version FROM ingest.document_versions
    WHERE state = 'pending'
        AND embed_asked_at < now() - make_interval(secs => %(silent_s)s)
        AND embed_asked_at < now() - make_interval(secs => %(silent_s)s * power(2, least(embed_asked, 7) - 1))
    ORDER BY embed_asked_at LIMIT %(most)s
    FOR UPDATE SKIP LOCKED
) AS stranded
WHERE versions.document_id = stranded.document_id AND versions.version = stranded.version
RETURNING versions.document_id
"""
