"""API keys in PostgreSQL, as the sha256 of the secret: it has 256 random bits, so that no salt is needed."""

import hashlib
import os
import secrets
from collections.abc import Sequence
from pathlib import Path

import structlog
from psycopg.rows import DictRow

from groundswell.common.errors import Misconfigured
from groundswell.common.ids import KeyId, TeamId
from groundswell.common.postgres import Connection, Postgres
from groundswell.orchestrator.domain.question import Caller
from groundswell.orchestrator.ports import KeyRecord

PREFIX = "gs_"
ADMIN_TEAM = TeamId("default")
ADMIN_NAME = "local admin"
SHORTEST_ADMIN_KEY = 32

_COLUMNS = "id, team, groups, operator, name, created_at, revoked_at"
_INSERT_TEAM = "INSERT INTO orchestrator.teams (id) VALUES (%(team)s) ON CONFLICT DO NOTHING"
_INSERT = f"""
INSERT INTO orchestrator.api_keys (id, secret_sha256, team, groups, operator, name)
VALUES (%(id)s, %(digest)s, %(team)s, %(groups)s, %(operator)s, %(name)s)
RETURNING {_COLUMNS}
"""  # noqa: S608 - constants
_AUTHENTICATE = """
SELECT id, team, groups, operator FROM orchestrator.api_keys WHERE secret_sha256 = %(digest)s AND revoked_at IS NULL
"""
_LIST = f"""
SELECT {_COLUMNS} FROM orchestrator.api_keys
WHERE %(team)s::text IS NULL OR team = %(team)s ORDER BY created_at, id
"""  # noqa: S608 - constants
_REVOKE = "UPDATE orchestrator.api_keys SET revoked_at = now() WHERE id = %(id)s AND revoked_at IS NULL"

log = structlog.get_logger(__name__)


class PostgresKeys:
    """The port Keys. Every method raises Unavailable while the server is away."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres

    async def authenticate(self, secret: str) -> Caller | None:
        async with self._postgres.transaction() as connection:
            cursor = await connection.execute(_AUTHENTICATE, {"digest": _digest(secret)})
            row = await cursor.fetchone()
        if row is None:
            return None
        return Caller(
            key=KeyId(row["id"]), team=TeamId(row["team"]), groups=tuple(row["groups"]), operator=row["operator"]
        )

    async def create(self, team: TeamId, groups: Sequence[str], *, operator: bool, name: str) -> tuple[KeyRecord, str]:
        secret = new_secret()
        async with self._postgres.transaction() as connection:
            record = await _insert(connection, secret, team, groups, operator=operator, name=name)
        return record, secret

    async def list(self, team: TeamId | None) -> list[KeyRecord]:
        async with self._postgres.transaction() as connection:
            cursor = await connection.execute(_LIST, {"team": team})
            return [_record(row) for row in await cursor.fetchall()]

    async def revoke(self, key: KeyId) -> bool:
        async with self._postgres.transaction() as connection:
            cursor = await connection.execute(_REVOKE, {"id": key})
            return cursor.rowcount > 0

    async def ensure_admin_key(self, file: Path) -> None:
        """See to it that the operators' first key exists and that `file`, which its owner alone can read, holds it.

        A key in `file` that the database does not know is registered. Without a file a key is made only if no operator
        has one. Idempotent, also with several replicas at once. Raises Misconfigured if `file` cannot be kept safe.
        """
        async with self._postgres.transaction() as connection:
            await connection.execute("SELECT pg_advisory_xact_lock(hashtext('groundswell.admin-key'))")
            secret = _read_private(file)
            if secret is not None and not await _is_known(connection, secret):
                await _insert(connection, secret, ADMIN_TEAM, (), operator=True, name=ADMIN_NAME)
                log.info("admin key registered")
            elif not await _operator_exists(connection):
                secret = new_secret()
                _write_private(file, secret)
                await _insert(connection, secret, ADMIN_TEAM, (), operator=True, name=ADMIN_NAME)
                log.info("admin key made")


def new_secret() -> str:
    return PREFIX + secrets.token_urlsafe(32)


async def _insert(
    connection: Connection, secret: str, team: TeamId, groups: Sequence[str], *, operator: bool, name: str
) -> KeyRecord:
    await connection.execute(_INSERT_TEAM, {"team": team})
    row = {
        "id": f"key_{secrets.token_hex(6)}",
        "digest": _digest(secret),
        "team": team,
        "groups": list(groups),
        "operator": operator,
        "name": name,
    }
    cursor = await connection.execute(_INSERT, row)
    inserted = await cursor.fetchone()
    assert inserted is not None  # noqa: S101 - INSERT ... RETURNING returns its row
    return _record(inserted)


async def _is_known(connection: Connection, secret: str) -> bool:
    cursor = await connection.execute(
        "SELECT FROM orchestrator.api_keys WHERE secret_sha256 = %(digest)s", {"digest": _digest(secret)}
    )
    return await cursor.fetchone() is not None


async def _operator_exists(connection: Connection) -> bool:
    cursor = await connection.execute("SELECT FROM orchestrator.api_keys WHERE operator AND revoked_at IS NULL LIMIT 1")
    return await cursor.fetchone() is not None


def _read_private(file: Path) -> str | None:
    """The key in `file`, or None if there is none. Others lose the right to read it."""
    try:
        file.chmod(0o600)
        secret = file.read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise Misconfigured(f"the admin key file {file} cannot be used: {type(error).__name__}. Remove it.") from None
    if not secret:
        return None
    if len(secret) < SHORTEST_ADMIN_KEY:
        raise Misconfigured(
            f"the admin key in {file} is shorter than {SHORTEST_ADMIN_KEY} characters. "
            "Remove the file, and a new key is made."
        )
    return secret


def _write_private(file: Path, secret: str) -> None:
    """Appears with its content at once, readable by its owner alone from the first moment."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        file.parent.chmod(0o700)
        unfinished = file.with_name(f".{file.name}.{os.getpid()}")
        unfinished.unlink(missing_ok=True)
        with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as out:
            out.write(secret + "\n")
        unfinished.replace(file)
    except OSError as error:
        raise Misconfigured(f"the admin key cannot be written to {file}: {error.strerror}") from None


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()


def _record(row: DictRow) -> KeyRecord:
    return KeyRecord(
        key=KeyId(row["id"]),
        team=TeamId(row["team"]),
        groups=tuple(row["groups"]),
        operator=row["operator"],
        name=row["name"],
        created=row["created_at"],
        revoked=row["revoked_at"],
    )
