"""Fixtures for connected tests: the real components on loopback, shared by a session, and a database per test."""

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from groundswell.native.components import Addresses
    from groundswell.native.testing import FreshDatabase


def pytest_configure() -> None:
    """In the background of a shell SIGINT is ignored, by every process that a test starts and interrupts, too."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def components() -> "Iterator[Addresses]":
    """Kafka, Weaviate and PostgreSQL that answer: `kafka`, `weaviate_url`, `weaviate_grpc_port`, `weaviate_api_key`,
    `postgres_admin`, `object_store_url`. Started by the first test that asks.
    """
    from groundswell.native import testing  # noqa: PLC0415 - unit tests of one package do not need this one

    with testing.running_components(testing.default_home(Path(__file__).parent)) as addresses:
        yield addresses


@pytest.fixture
def fresh_database(components: "Addresses") -> "Iterator[FreshDatabase]":
    """An empty database with every role and schema: `name`, `admin` (DSN), `dsns["ingest"]` and its kin."""
    from groundswell.native import testing  # noqa: PLC0415

    with testing.fresh_database(testing.default_home(Path(__file__).parent), components.postgres_admin) as database:
        yield database
