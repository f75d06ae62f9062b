"""Roles and schemas in a real PostgreSQL."""

import psycopg
import pytest
from psycopg import errors

from groundswell.native.testing import FreshDatabase

pytestmark = pytest.mark.connected


def test_each_owner_creates_tables_in_its_own_schema_only(fresh_database: FreshDatabase) -> None:
    with psycopg.connect(fresh_database.dsns["ingest"]) as ingest:
        ingest.execute("CREATE TABLE documents (id int)")
        assert ingest.execute("SELECT 'ingest.documents'::regclass::text").fetchone() == ("documents",)
        with pytest.raises(errors.InsufficientPrivilege):
            ingest.execute("CREATE TABLE embedder.vectors (id int)")


def test_nobody_may_create_in_public(fresh_database: FreshDatabase) -> None:
    for dsn in fresh_database.dsns.values():
        with (
            psycopg.connect(dsn) as connection,
            pytest.raises((errors.InsufficientPrivilege, errors.ReadOnlySqlTransaction)),
        ):
            connection.execute("CREATE TABLE public.anything (id int)")


def test_a_reader_sees_only_what_an_owner_granted_and_never_writes(fresh_database: FreshDatabase) -> None:
    with psycopg.connect(fresh_database.dsns["ingest"], autocommit=True) as ingest:
        ingest.execute("CREATE TABLE documents (id int)")
        ingest.execute("CREATE VIEW current_passages AS SELECT id FROM documents")
        ingest.execute("GRANT SELECT ON ingest.current_passages TO retriever")
    with psycopg.connect(fresh_database.dsns["retriever"], autocommit=True) as retriever:
        assert retriever.execute("SELECT count(*) FROM ingest.current_passages").fetchone() == (0,)
        with pytest.raises(errors.InsufficientPrivilege):
            retriever.execute("SELECT * FROM ingest.documents")
        with pytest.raises((errors.ReadOnlySqlTransaction, errors.InsufficientPrivilege)):
            retriever.execute("INSERT INTO ingest.current_passages VALUES (1)")


def test_a_wrong_password_is_refused(fresh_database: FreshDatabase) -> None:
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(fresh_database.dsns["ingest"], password="wrong")
