"""The statements of `postgres_library`. `%(teams)s` and `%(access)s` are what the caller may read."""

# What ingest shows, under what was sent to it since: `ahead` means that ingest has not seen the newest submission yet.
# Of a document whose first revision it could not even read, ingest knows neither source nor name.
_DOCUMENTS = """
WITH newest AS (
    SELECT DISTINCT ON (document_id) * FROM orchestrator.submissions
    WHERE team = ANY(%(teams)s) AND (%(document)s::text IS NULL OR document_id = %(document)s)
    ORDER BY document_id, revision DESC
),
known AS (
    SELECT * FROM ingest.documents_overview
    WHERE team = ANY(%(teams)s) AND (%(document)s::text IS NULL OR document_id = %(document)s)
),
joined AS (
    SELECT
        coalesce(known.document_id, newest.document_id) AS document_id,
        coalesce(known.team, newest.team) AS team,
        coalesce(known.access, newest.access) AS access,
        coalesce(newest.revision > coalesce(known.revision, 0), false) AS ahead,
        known.deleted_at IS NULL AS kept,
        nullif(known.title, '') AS title,
        known.file_type, known.version, known.chunks, known.state AS known_state, known.failure_reason,
        known.created_at, coalesce(known.updated_at, known.created_at) AS known_updated_at,
        nullif(known.source, '') AS known_source, nullif(known.name, '') AS known_name, known.bytes AS known_bytes,
        known.sha256 AS known_sha256, known.revision AS known_revision,
        newest.source, newest.name, newest.bytes, newest.sha256, newest.revision, newest.removal, newest.submitted_at
    FROM known FULL JOIN newest ON newest.document_id = known.document_id
),
documents AS (
    SELECT
        document_id,
        team,
        CASE WHEN ahead THEN source ELSE coalesce(known_source, source, '') END AS source,
        CASE WHEN ahead THEN name ELSE coalesce(known_name, name, '') END AS name,
        CASE WHEN kept THEN coalesce(title, name, '') ELSE name END AS title,
        CASE WHEN kept THEN file_type END AS file_type,
        CASE WHEN kept THEN version END AS version,
        CASE WHEN kept THEN coalesce(chunks, 0) ELSE 0 END AS chunks,
        CASE WHEN NOT ahead AND known_state IN ('live', 'failed') THEN known_state ELSE 'pending' END AS state,
        CASE WHEN ahead THEN revision ELSE coalesce(known_revision, 0) END AS revision,
        CASE WHEN ahead THEN bytes ELSE known_bytes END AS bytes,
        CASE WHEN ahead THEN sha256 ELSE known_sha256 END AS sha256,
        CASE WHEN NOT ahead THEN failure_reason END AS failure,
        coalesce(created_at, submitted_at) AS created,
        CASE WHEN ahead THEN submitted_at ELSE known_updated_at END AS updated
    FROM joined
    WHERE access && %(access)s::text[] AND NOT CASE WHEN ahead THEN removal ELSE known_state = 'removed' END
)
"""

DOCUMENTS = (
    _DOCUMENTS
    + """
SELECT * FROM documents
WHERE (%(source)s::text IS NULL OR source = %(source)s)
  AND (cardinality(%(states)s::text[]) = 0 OR state = ANY(%(states)s))
  AND (%(after)s::text IS NULL OR document_id > %(after)s)
ORDER BY document_id
LIMIT %(limit)s
"""
)

DOCUMENT = _DOCUMENTS + "SELECT * FROM documents"  # noqa: S608 - constants

SOURCES = (
    _DOCUMENTS
    + """
SELECT source, count(*) AS documents, count(*) FILTER (WHERE state = 'failed') AS failed, max(updated) AS updated
FROM documents GROUP BY source ORDER BY source
"""
)

TEXT = """
SELECT text FROM ingest.document_texts
WHERE document_id = %(document)s AND team = ANY(%(teams)s) AND access && %(access)s::text[]
  AND CASE WHEN %(version)s::integer IS NULL THEN is_current ELSE version = %(version)s END
"""

NEXT_REVISION = "SELECT nextval('orchestrator.revisions') AS revision"

SUBMIT = """
INSERT INTO orchestrator.submissions
    (document_id, revision, team, source, name, access, removal, blob_key, bytes, sha256)
VALUES
    (%(document)s, %(revision)s, %(team)s, %(source)s, %(name)s, %(access)s, %(removal)s, %(blob_key)s, %(bytes)s,
     %(sha256)s)
"""

# A removal's own row is dropped once ingest has removed the document.
IS_SUBMITTED = """
SELECT FROM orchestrator.submissions WHERE document_id = %(document)s AND revision = %(revision)s
UNION ALL
SELECT FROM ingest.documents_overview WHERE document_id = %(document)s AND revision = %(revision)s
"""

SEEN_REVISION = "SELECT revision FROM ingest.documents_overview WHERE document_id = %(document)s"

OLDER_BLOBS = """
SELECT blob_key FROM orchestrator.submissions
WHERE document_id = %(document)s AND revision < %(revision)s AND blob_key IS NOT NULL
"""

DROP_OLDER = "DELETE FROM orchestrator.submissions WHERE document_id = %(document)s AND revision < %(revision)s"
