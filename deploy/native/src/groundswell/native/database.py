"""One database, a login role per service, a schema per owner. What a role may do is decided here and in its owner's
migrations, nowhere else.
"""

from collections.abc import Mapping
from contextlib import closing

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from groundswell.native.credentials import secret
from groundswell.native.layout import Home

DATABASE = "groundswell"
OWNERS = ("orchestrator", "ingest", "embedder")
READERS = ("retriever",)
ROLES = (*OWNERS, *READERS)


def passwords(home: Home) -> dict[str, str]:
    return {role: secret(home, f"postgres_{role}.password") for role in ROLES}


def create(admin: str, name: str, role_passwords: Mapping[str, str]) -> dict[str, str]:
    """Makes the database with its roles and schemas, or completes what is there. Returns a DSN per role.

    A reader has no schema of its own and read-only transactions; what it may select is granted by the owners'
    migrations. Nobody may create anything in `public`, and only these roles may connect.
    """
    with closing(psycopg.connect(admin, autocommit=True)) as server:
        _lock(server)
        for role, password in role_passwords.items():
            _ensure_role(server, role, password)
        _ensure_database(server, name)
        with closing(psycopg.connect(make_conninfo(admin, dbname=name), autocommit=True)) as database:
            _grant(database, name)
    return {role: role_url(admin, name, role, password) for role, password in role_passwords.items()}


def drop(admin: str, name: str) -> None:
    with closing(psycopg.connect(admin, autocommit=True)) as server:
        server.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


def admin_url(admin: str, name: str) -> str:
    """The administrator's DSN of one database."""
    return make_conninfo(admin, dbname=name)


def role_url(admin: str, name: str, role: str, password: str) -> str:
    parts = conninfo_to_dict(admin)
    return f"postgresql://{role}:{password}@{parts.get('host', 'localhost')}:{parts.get('port', 5432)}/{name}"


def _lock(server: psycopg.Connection) -> None:
    """Two starts at once would both see a role missing; released with the connection."""
    server.execute("SELECT pg_advisory_lock(hashtext('groundswell.database'))")


def _ensure_role(server: psycopg.Connection, role: str, password: str) -> None:
    known = server.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (role,)).fetchone()
    verb = sql.SQL("ALTER" if known else "CREATE")
    server.execute(
        sql.SQL("{} ROLE {} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE PASSWORD {}").format(
            verb, sql.Identifier(role), sql.Literal(password)
        )
    )
    if role in READERS:
        server.execute(sql.SQL("ALTER ROLE {} SET default_transaction_read_only = on").format(sql.Identifier(role)))


def _ensure_database(server: psycopg.Connection, name: str) -> None:
    if server.execute("SELECT 1 FROM pg_database WHERE datname = %s", (name,)).fetchone() is None:
        server.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(sql.Identifier(name)))


def _grant(database: psycopg.Connection, name: str) -> None:
    everyone = sql.SQL(", ").join(map(sql.Identifier, ROLES))
    database.execute("REVOKE ALL ON SCHEMA public FROM PUBLIC")
    database.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(sql.Identifier(name)))
    database.execute(sql.SQL("GRANT CONNECT, TEMPORARY ON DATABASE {} TO {}").format(sql.Identifier(name), everyone))
    for owner in OWNERS:
        schema = sql.Identifier(owner)
        database.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {} AUTHORIZATION {}").format(schema, schema))
        database.execute(sql.SQL("GRANT USAGE ON SCHEMA {} TO {}").format(schema, everyone))
    for role in ROLES:
        path = sql.Identifier(role if role in OWNERS else "pg_catalog")
        database.execute(
            sql.SQL("ALTER ROLE {} IN DATABASE {} SET search_path = {}").format(
                sql.Identifier(role), sql.Identifier(name), path
            )
        )
