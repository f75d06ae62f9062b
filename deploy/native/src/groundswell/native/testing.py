"""Real components for connected tests: one components-only stack that test sessions share, and a database per test.

The first session that needs the stack starts it; the last one that leaves stops it, unless a person started it with
`up --components`. Sessions count themselves by shared locks, so that a killed session is not counted.
"""

import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from fcntl import LOCK_EX, LOCK_NB, LOCK_SH, flock
from pathlib import Path

from groundswell.common.settings import cache_folder
from groundswell.native import database, stack
from groundswell.native.components import Addresses
from groundswell.native.layout import Home
from groundswell.native.settings import StackSettings

HOME_VARIABLE = "GROUNDSWELL_TEST_HOME"


def default_home(checkout: Path) -> Home:
    """A home of the tests' own for each checkout, so that tests never touch a person's stack."""
    named = os.environ.get(HOME_VARIABLE)
    if named:
        return Home.at(Path(named))
    return Home.at(cache_folder() / "tests" / Home.at(checkout).key)


@contextmanager
def running_components(home: Home) -> Iterator[Addresses]:
    """Addresses of Kafka, Weaviate and PostgreSQL that answer, for as long as the block runs."""
    home.create()
    started_here = home.run / "started-by-tests"
    with (home.run / "sessions.lock").open("w") as sessions:
        flock(sessions, LOCK_SH)
        # a stack of its own for the tests: variables that point at existing components do not count here
        local = dict.fromkeys(("kafka", "weaviate_url", "postgres_url", "object_store_url"))
        started = stack.up_components(StackSettings().model_copy(update={"state": home.path, **local}))
        if not started.was_running:
            started_here.touch()
        try:
            yield started.addresses
        finally:
            if started_here.exists() and _is_last(sessions.fileno()):
                stack.down(home)
                started_here.unlink(missing_ok=True)


def _is_last(sessions: int) -> bool:
    try:
        flock(sessions, LOCK_EX | LOCK_NB)
    except BlockingIOError:
        return False
    return True


@dataclass(frozen=True)
class FreshDatabase:
    """An empty database with the roles and schemas of a stack; `dsns` has one entry per role."""

    name: str
    admin: str
    dsns: Mapping[str, str]


@contextmanager
def fresh_database(home: Home, admin: str) -> Iterator[FreshDatabase]:
    name = f"test_{secrets.token_hex(6)}"
    dsns = database.create(admin, name, database.passwords(home))
    try:
        yield FreshDatabase(name, database.admin_url(admin, name), dsns)
    finally:
        database.drop(admin, name)
