"""Real Kafka, Weaviate and PostgreSQL under one supervisor, in a home of their own beside the tests' shared one."""

import os
import signal
import socket
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from psycopg import connect

from groundswell.common.settings import cache_folder
from groundswell.native import http_get, kafka, ports, postgres, stack, weaviate
from groundswell.native.components import Addresses
from groundswell.native.layout import Home
from groundswell.native.settings import StackSettings
from groundswell.native.status import pids

pytestmark = [pytest.mark.connected, pytest.mark.timeout(180)]

LOCAL = dict.fromkeys(("kafka", "weaviate_url", "postgres_url", "object_store_url"))


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StackSettings]:
    """A home in a folder that only its owner can enter, as many homes are."""
    private = tmp_path_factory.mktemp("private")
    private.chmod(0o700)
    settings = StackSettings().model_copy(update={"state": private / "home", **LOCAL})
    yield settings
    stack.reset(settings.home)


@pytest.fixture
def running(settings: StackSettings) -> stack.Started:
    return stack.up_components(settings)


def test_every_component_answers_and_is_listed_as_ready(settings: StackSettings, running: stack.Started) -> None:
    assert kafka.is_ready(running.addresses.kafka)
    now = stack.status(settings.home)
    assert now.ready
    assert [record.service for record in now.processes] == ["kafka", "weaviate", "postgres"]
    assert all(record.rss_bytes > 0 and record.port for record in now.processes)
    assert now.http is None


def test_two_homes_run_side_by_side(components: Addresses, running: stack.Started) -> None:
    mine, theirs = running.addresses, components
    assert kafka.is_ready(mine.kafka)
    assert kafka.is_ready(theirs.kafka)
    assert weaviate.is_ready(mine.weaviate_url)
    assert weaviate.is_ready(theirs.weaviate_url)
    assert mine.kafka != theirs.kafka
    assert mine.weaviate_grpc_port != theirs.weaviate_grpc_port
    assert mine.weaviate_api_key != theirs.weaviate_api_key


def test_a_second_up_changes_nothing(settings: StackSettings, running: stack.Started) -> None:
    before = _all_pids(settings.home)
    again = stack.up_components(settings)
    assert again.was_running
    assert again.addresses == running.addresses
    assert _all_pids(settings.home) == before


def test_the_index_refuses_who_has_no_key(running: stack.Started) -> None:
    assert http_get.get(f"{running.addresses.weaviate_url}/v1/schema", 10)[0] == 401


def test_the_index_refuses_strangers_on_every_port(settings: StackSettings, running: stack.Started) -> None:
    exchange = f"http://127.0.0.1:{ports.read(settings.home)['weaviate_exchange']}"
    for path in ("nodes/status", "indices/Passages/shards/any/objects", "backups/can-commit"):
        assert http_get.get(f"{exchange}/{path}", 10)[0] == 401
    server = psutil.Process(pids(settings.home, "weaviate")[0])
    listening = {
        row.laddr.port for row in server.net_connections() if row.status == psutil.CONN_LISTEN and row.laddr.ip == "::"
    }
    assert listening <= {running.addresses.weaviate_grpc_port, ports.read(settings.home)["weaviate_exchange"]}


def test_a_killed_database_comes_back_with_what_it_had_committed(
    settings: StackSettings, running: stack.Started
) -> None:
    admin = running.addresses.postgres_admin
    with connect(admin) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS kept (id int)")
        connection.execute("INSERT INTO kept VALUES (1)")
    killed = pids(settings.home, "postgres")[0]
    os.kill(killed, signal.SIGKILL)
    _until(lambda: pids(settings.home, "postgres") not in ([], [killed]) and postgres.is_ready(admin))
    with connect(admin) as connection:
        assert connection.execute("SELECT count(*) FROM kept").fetchone() == (1,)


def test_no_secret_is_in_a_command_line_or_a_log(settings: StackSettings, running: stack.Started) -> None:
    secrets = [path.read_text() for path in settings.home.secrets.iterdir()]
    lines = [" ".join(psutil.Process(record.pid).cmdline()) for record in stack.status(settings.home).processes]
    logs = [path.read_text(errors="replace") for path in settings.home.logs.glob("*.log")]
    assert len(secrets) >= 2
    assert not [secret for secret in secrets for text in (*lines, *logs, repr(running)) if secret in text]


def test_secrets_are_for_their_owner_only(settings: StackSettings, running: stack.Started) -> None:
    assert not running.http
    assert stat.S_IMODE(settings.home.secrets.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in settings.home.secrets.iterdir()} == {0o600}


def test_the_database_server_never_runs_as_root(settings: StackSettings, running: stack.Started) -> None:
    assert not running.http
    server = psutil.Process(pids(settings.home, "postgres")[0])
    assert server.uids().real != 0
    if os.geteuid() == 0:
        assert server.username() == postgres.UNPRIVILEGED
        assert not server.exe().startswith(str(settings.home.path))
        assert postgres.site(settings.home).cluster.is_relative_to(postgres.OUTSIDE)


def test_a_stack_comes_back_on_other_ports_when_somebody_took_its_own(
    settings: StackSettings, running: stack.Started
) -> None:
    before = ports.read(settings.home)
    assert stack.down(settings.home)
    with (
        socket.create_server(("127.0.0.1", before["kafka"])),
        socket.create_server(("127.0.0.1", before["weaviate_raft"])),
        socket.create_server(("127.0.0.1", before["postgres"])),
    ):
        again = stack.up_components(settings)
        after = ports.read(settings.home)
        assert all(after[name] != before[name] for name in ("kafka", "weaviate_raft", "postgres"))
        assert again.addresses != running.addresses
        assert stack.status(settings.home).ready


def test_reset_removes_everything_that_was_made(settings: StackSettings, running: stack.Started) -> None:
    assert not running.http
    home, taken = settings.home, ports.read(settings.home)
    before = {record.pid for record in stack.status(home).processes}
    stack.reset(home)
    assert not home.path.exists()
    assert not (postgres.OUTSIDE / home.key).exists()
    assert not (cache_folder() / "ports" / f"{home.key}.json").exists()
    assert not [pid for pid in before if psutil.pid_exists(pid)]
    assert all(ports.is_free(port) for port in taken.values())


def test_rights_of_folders_that_were_there_before_stay(settings: StackSettings) -> None:
    parents = [parent for parent in settings.home.path.parents if parent != Path("/")]
    before = [(parent, parent.stat().st_mode, parent.stat().st_uid) for parent in parents]
    stack.up_components(settings)
    assert [(parent, parent.stat().st_mode, parent.stat().st_uid) for parent in parents] == before


def _all_pids(home: Home) -> dict[str, list[int]]:
    return {name: pids(home, name) for name in ("kafka", "weaviate", "postgres")}


def _until(question: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not (answer := question()):
        assert time.monotonic() < deadline, f"last answer: {answer!r}"
        time.sleep(0.05)
